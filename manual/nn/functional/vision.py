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
    """The old name of :func:`interpolate`."""
    _deprecated("upsample")
    result: Tensor = interpolate(input, size, scale_factor, mode, align_corners)
    return result


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The old name of :func:`interpolate` with ``mode="nearest"``."""
    _deprecated("upsample_nearest")
    result: Tensor = interpolate(input, size, scale_factor, "nearest")
    return result


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The old name of :func:`interpolate` with ``mode="bilinear"`` and ``align_corners=True``."""
    _deprecated("upsample_bilinear")
    result: Tensor = interpolate(input, size, scale_factor, "bilinear", True)
    return result


def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """Read an image at the positions of a grid; see :func:`manual.rules.grid_sample`."""
    aligned = _aligned(align_corners)
    result: Tensor = apply(rules.grid_sample, input, grid, mode=mode, padding_mode=padding_mode, align_corners=aligned)
    return result


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Tensor:
    """Make a grid of positions by an affine map; see :func:`manual.rules.affine_grid`."""
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
