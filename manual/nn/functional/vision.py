"""Images of another size, and images sampled at given positions, as functions."""

from __future__ import annotations

import warnings
from typing import Any

from manual import rules
from manual.tensor import Tensor, apply, lift

__all__ = [
    "affine_grid",
    "grid_sample",
    "interpolate",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]

interpolate = lift(rules.interpolate)


def upsample(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Tensor:
    """The old name of :func:`interpolate`.

    Shapes: ``input (N, C, *)``; the value the same, with ``size`` or ``floor(length scale_factor)`` for each length.

    Raises
    ------
    ValueError
        If not just one of ``size`` and ``scale_factor`` is given.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     y = F.upsample(tensor([[[1.0, 2.0]]]), scale_factor=2)
    >>> y
    Tensor([[[1., 1., 2., 2.]]])
    """
    _deprecated("upsample")
    result: Tensor = interpolate(input, size, scale_factor, mode, align_corners)
    return result


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The old name of :func:`interpolate` with ``mode="nearest"``.

    Shapes: ``input (N, C, *)``; the value the same, with ``size`` or ``floor(length scale_factor)`` for each length.

    Raises
    ------
    ValueError
        If not just one of ``size`` and ``scale_factor`` is given.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     y = F.upsample_nearest(tensor([[[1.0, 2.0]]]), scale_factor=2)
    >>> y
    Tensor([[[1., 1., 2., 2.]]])
    """
    _deprecated("upsample_nearest")
    result: Tensor = interpolate(input, size, scale_factor, "nearest")
    return result


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The old name of :func:`interpolate` with ``mode="bilinear"`` and ``align_corners=True``.

    Shapes: ``input (N, C, *)``; the value the same, with ``size`` or ``floor(length scale_factor)`` for each length.

    Raises
    ------
    ValueError
        If not just one of ``size`` and ``scale_factor`` is given.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     y = F.upsample_bilinear(tensor([[[[0.0, 4.0]]]]), size=(1, 3))
    >>> y
    Tensor([[[[0., 2., 4.]]]])
    """
    _deprecated("upsample_bilinear")
    result: Tensor = interpolate(input, size, scale_factor, "bilinear", True)
    return result


def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """Read an image at the positions of a grid; see :func:`manual.rules.grid_sample`.

    Shapes: ``input (N, C, H, W)`` with ``grid (N, Ho, Wo, 2)``, the value ``(N, C, Ho, Wo)``; or volumes with an axis
    more.

    Raises
    ------
    ValueError
        If a mode is unknown.
    RuntimeError
        If a shape does not fit.

    Examples
    --------
    >>> image = tensor([[[[1.0, 5.0]]]], requires_grad=True)
    >>> y = F.grid_sample(image, tensor([[[[0.0, 0.0], [-0.5, 0.0]]]]), align_corners=False)
    >>> y
    Tensor([[[[3., 1.]]]], requires_grad=True)
    >>> y.backward(tensor([[[[4.0, 10.0]]]]))
    >>> image.grad
    array([[[[12.,  2.]]]], dtype=float32)
    """
    aligned = _aligned(align_corners)
    result: Tensor = apply(rules.grid_sample, input, grid, mode=mode, padding_mode=padding_mode, align_corners=aligned)
    return result


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Tensor:
    """Make a grid of positions by an affine map; see :func:`manual.rules.affine_grid`.

    Shapes: ``theta (N, 2, 3)`` for ``size (N, C, H, W)``, the value ``(N, H, W, 2)``; or ``(N, 3, 4)`` for volumes.

    Raises
    ------
    NotImplementedError
        If ``size`` has other axes.
    ValueError
        If ``theta`` is not floating or has another shape, or a size is not positive.

    Examples
    --------
    >>> mirror = tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> F.affine_grid(mirror, [1, 1, 1, 2], align_corners=False)[0]
    Tensor([[[ 0.5,  0. ],
             [-0.5,  0. ]]])
    """
    aligned = _aligned(align_corners)
    size = tuple(int(length) for length in size)
    if aligned and len(size) in (4, 5) and min(size[2:]) == 1:
        warnings.warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when align_corners=True. "
            "The only position of such an axis is 0.",
            stacklevel=2,
        )
    result: Tensor = apply(rules.affine_grid, theta, size=size, align_corners=aligned)
    return result


def _aligned(align_corners: bool | None) -> bool:
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. "
            "Please specify align_corners=True if the old behavior is desired.",
            stacklevel=3,
        )
    return bool(align_corners)


def _deprecated(name: str) -> None:
    warnings.warn(
        f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=3,
    )
