"""Images of another size as modules. Formulas and conventions are in :func:`manual.rules.interpolate`."""

from __future__ import annotations

from typing import Any

from manual import rules
from manual.nn.module import Module
from manual.tensor import Tensor, apply

__all__ = ["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"]


class Upsample(Module):
    """Resamples images, volumes or sequences to a size, or by a factor.

    Shapes: input ``(N, C, d1, ...)`` with one to three axes of space, output ``(N, C, o1, ...)``, where ``o`` is
    ``size`` or ``floor(d scale_factor)``. ``mode`` is nearest, nearest-exact, linear, bilinear, bicubic, trilinear or
    area.

    Raises
    ------
    ValueError
        When it is called, if not just one of ``size`` and ``scale_factor`` is given, or the mode does not go with
        ``align_corners``.
    NotImplementedError
        When it is called, if the mode does not go with the input's axes.

    Examples
    --------
    >>> x = tensor([[[0.0, 4.0]]], requires_grad=True)
    >>> y = nn.Upsample(scale_factor=2, mode="linear")(x)
    >>> y
    Tensor([[[0., 1., 3., 4.]]], requires_grad=True)
    >>> y.backward(tensor([[[4.0, 8.0, 0.0, 0.0]]]))
    >>> x.grad
    array([[[10.,  2.]]], dtype=float32)
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ):
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        if isinstance(scale_factor, tuple):
            self.scale_factor: Any = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = apply(
            rules.interpolate,
            input,
            size=self.size,
            scale_factor=self.scale_factor,
            mode=self.mode,
            align_corners=self.align_corners,
            recompute_scale_factor=self.recompute_scale_factor,
        )
        return result

    def extra_repr(self) -> str:
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor!r}, mode={self.mode!r}"
        return f"size={self.size!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Resamples images by repeating pixels: :class:`Upsample` with ``mode="nearest"``.

    Shapes: input ``(N, C, H, W)``, output ``(N, C, Ho, Wo)``.

    Raises
    ------
    ValueError
        When it is called, if not just one of ``size`` and ``scale_factor`` is given.

    Examples
    --------
    >>> nn.UpsamplingNearest2d(scale_factor=2)(tensor([[[[1.0, 2.0]]]]))
    Tensor([[[[1., 1., 2., 2.],
              [1., 1., 2., 2.]]]])
    """

    def __init__(self, size: Any = None, scale_factor: Any = None):
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Resamples images linearly along both axes: :class:`Upsample` with ``mode="bilinear"``, corners aligned.

    Shapes: input ``(N, C, H, W)``, output ``(N, C, Ho, Wo)``.

    Convention: ``align_corners`` is True, unlike the default of :class:`Upsample`.

    Raises
    ------
    ValueError
        When it is called, if not just one of ``size`` and ``scale_factor`` is given.

    Examples
    --------
    >>> nn.UpsamplingBilinear2d(size=(1, 5))(tensor([[[[0.0, 4.0]]]]))
    Tensor([[[[0., 1., 2., 3., 4.]]]])
    """

    def __init__(self, size: Any = None, scale_factor: Any = None):
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
