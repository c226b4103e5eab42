"""Sampling of images at given positions, as spatial transformers do: affine grids, and values at the grid's points.

Positions are normalised: along each axis of ``d`` pixels the image spans from -1 to 1. With ``align_corners`` -1 and 1
are the *centres* of the outermost pixels, ``p = (u + 1) (d - 1) / 2`` in pixels; without, they are the image's *edges*,
``p = ((u + 1) d - 1) / 2``. The last axis of a grid names the axes of the image from the last to the first:
``(x, y, z)``.

Source: Jaderberg et al. (2015), Spatial Transformer Networks, sections 3.2 and 3.3.
"""

from __future__ import annotations

import itertools
import math
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, contraction

__all__ = ["affine_grid", "grid_sample"]

A = -0.75
"""The parameter of the cubic kernel, as in torch and OpenCV; Keys himself recommends -1/2."""

FAR = 2.0**30
"""Positions are cut off here, in pixels: far outside every image, and within the integers."""

OUTSIDE = 2**40
"""A step that leads out of every image, whatever the others are."""


# -- grids of positions ------------------------------------------------------------------------------------------------


def affine_grid(theta: Any, *, size: Any, align_corners: bool = False) -> tuple[Array, Pullback]:
    """Make a grid of positions by an affine map of the regular grid, one map for each image.

    Shapes: ``theta`` ``(N, 2, 3)`` for ``size = (N, C, H, W)`` and a value of ``(N, H, W, 2)``; ``(N, 3, 4)`` for
    ``(N, C, D, H, W)`` and ``(N, D, H, W, 3)``.

    Forward: ``y[n, p] = θ[n] (b_p, 1)`` with ``b_p = (x, y)`` the normalised centre of pixel ``p``.

    Backward: ``dy[n, p] = dθ[n] (b_p, 1)``, so with ``g`` incoming the gradient of ``θ[n]`` is
    ``Σ_p g[n, p] (b_p, 1)ᵀ``.

    Convention: without ``align_corners`` the centres lie at ``(2 j + 1) / d - 1``, else they reach from -1 to 1; the
    only pixel of an axis lies at 0.

    Raises
    ------
    ValueError, RuntimeError, NotImplementedError
        If ``theta`` and ``size`` do not fit each other, as torch distinguishes them.

    Examples
    --------
    >>> mirror = np.array([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> value, pullback = rules.affine_grid(mirror, size=(1, 1, 1, 2))
    >>> value[0]
    array([[[ 0.5,  0. ],
            [-0.5,  0. ]]])
    >>> pullback(np.array([[[[1.0, 0.0], [4.0, 0.0]]]]), (True,))[0]
    array([[[1.5, 0. , 5. ],
            [0. , 0. , 0. ]]])
    """
    size = tuple(int(length) for length in size)
    _check_affine(theta, size, align_corners)
    kind = np.dtype(np.float32) if theta.dtype == np.float16 else theta.dtype
    base = _base(size[2:], align_corners, kind)
    spatial = len(size) - 2
    value = base @ theta.astype(kind, copy=False).swapaxes(1, 2)

    def affine_grid_pullback(incoming: Array, needs: Needs) -> Gradients:
        flat = incoming.reshape(size[0], -1, spatial).astype(kind, copy=False)
        return ((flat.swapaxes(1, 2) @ base).astype(incoming.dtype, copy=False),)

    return value.reshape(size[0], *size[2:], spatial).astype(theta.dtype, copy=False), affine_grid_pullback


def _base(lengths: tuple[int, ...], align_corners: bool, kind: np.dtype[Any]) -> Array:
    """The centres of all pixels and a 1 each, ``(pixels, spatial + 1)``."""
    axes = []
    for length in lengths:
        places = 2 * np.arange(length, dtype=np.promote_types(kind, np.float64)) - (length - 1)
        axes.append(places / (max(length - 1, 1) if align_corners else length))
    meshed = np.meshgrid(*axes, indexing="ij")
    ones = np.ones(lengths, kind)
    return np.stack([*(axis.astype(kind) for axis in reversed(meshed)), ones], axis=-1).reshape(-1, len(lengths) + 1)


def _check_affine(theta: Array, size: tuple[int, ...], align_corners: bool) -> None:
    if theta.dtype.kind != "f":
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    if len(size) not in (4, 5):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. "
            f"Got size {size}."
        )
    spatial = len(size) - 2
    if theta.ndim != 3 or theta.shape[1:] != (spatial, spatial + 1):
        raise ValueError(
            f"Expected a batch of {spatial}D affine matrices of shape Nx{spatial}x{spatial + 1} for size {size}. "
            f"Got {theta.shape}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    if len(theta) != size[0]:
        raise RuntimeError(f"Expected {size[0]} affine matrices for size {size}, but got {len(theta)}")


# -- values at the positions -------------------------------------------------------------------------------------------


@contraction
def grid_sample(
    x: Any, grid: Any, *, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False
) -> tuple[Array, Pullback]:
    """Read an image at the positions of a grid, between its pixels.

    Shapes: ``x`` ``(N, C, H, W)``, ``grid`` ``(N, Ho, Wo, 2)``, the value ``(N, C, Ho, Wo)``; or ``(N, C, D, H, W)``,
    ``(N, Do, Ho, Wo, 3)`` and ``(N, C, Do, Ho, Wo)``.

    Forward: ``y[n, c, o] = Σ_q w_q(p) x[n, c, q]`` over the pixels ``q`` around ``p``, the position ``grid[n, o]`` in
    pixels. The weights are a product over the axes; with ``l = floor(p)`` and ``t = p - l`` on one axis

    - ``bilinear`` has ``1 - t`` at ``l`` and ``t`` at ``l + 1`` (in 3d this is trilinear);
    - ``bicubic`` has ``k(t + 1), k(t), k(1 - t), k(2 - t)`` at ``l - 1, ..., l + 2``, with Keys' cubic ``k``;
    - ``nearest`` has 1 at the nearest pixel.

    Backward: the value is linear in the image, so pixel ``q`` gets ``Σ_o w_q(p_o) g[n, c, o]``. For the grid, let
    ``s_q = Σ_c g[n, c, o] x[n, c, q]``, what a larger weight of pixel ``q`` would do to the loss; along axis ``a`` the
    gradient is ``dp_a/du_a Σ_q s_q w'_q,a Π_(b≠a) w_q,b``. For ``bilinear`` ``w'`` is -1 and 1: a difference of
    neighbours.

    Source: Jaderberg et al. (2015), section 3.3; Keys (1981), Cubic Convolution Interpolation, section II.

    Convention: ``zeros`` reads 0 outside the image, pixel by pixel. ``border`` moves positions to the nearest in the
    image, and ``reflection`` mirrors them at -1 and 1 until they lie inside; for ``bicubic`` both move the pixels that
    are read instead of the position. A position that was moved to the border, and one exactly on it, has gradient 0
    there; one that was mirrored has its sign turned.
    Convention: exactly on a pixel the gradient of ``bilinear`` is that of the side of larger positions.
    Convention: ``nearest`` takes the even pixel halfway between two, and gives the grid gradient 0.
    Convention: ``bicubic`` has Keys' ``A = -3/4``.
    Convention: a position that is not a number counts as -1, as torch documents (its CPU code answers nan, 0, or
    crashes).

    Raises
    ------
    ValueError, RuntimeError, NotImplementedError
        If shapes and options do not fit, as torch distinguishes them.

    Examples
    --------
    >>> image, grid = np.array([[[[1.0, 5.0]]]]), np.array([[[[0.0, 0.0], [-0.5, 0.0]]]])
    >>> value, pullback = rules.grid_sample(image, grid)
    >>> value
    array([[[[3., 1.]]]])
    >>> pullback(np.array([[[[4.0, 10.0]]]]), (True, True))[0]
    array([[[[12.,  2.]]]])
    """
    _check(x, grid, mode, padding_mode)
    kept, lengths, outputs = x.dtype, x.shape[2:], grid.shape[1:-1]
    kind = np.dtype(np.float32) if kept == np.float16 else kept
    (count, channels), size = x.shape[:2], math.prod(lengths)
    pixels = _channels_first(x, kind, 1)
    axes = []
    for number, length in enumerate(lengths):
        u = grid[..., len(lengths) - 1 - number].astype(kind).reshape(-1)
        axes.append(_axis(u, length, math.prod(lengths[number + 1 :]), mode, padding_mode, align_corners))
    taps = list(itertools.product(*(range(len(axis.weights)) for axis in axes)))
    places = _places(axes, taps, size, count)
    weights = [_weight(axes, tap) for tap in taps]
    value = np.zeros((channels, math.prod(grid.shape[:-1])), kind)
    for place, weight in zip(places, weights, strict=True):
        read = pixels.take(place, axis=1)
        read *= weight
        value += read

    def grid_sample_pullback(incoming: Array, needs: Needs) -> Gradients:
        g = _channels_first(incoming, kind, 0)
        image = np.zeros(pixels.size, kind) if needs[0] else None
        slopes = [np.zeros(g.shape[1], kind) for _ in axes] if needs[1] else None
        first = np.arange(channels)[:, np.newaxis] * pixels.shape[1]
        for tap, place, weight in zip(taps, places, weights, strict=True):
            if image is not None:
                np.add.at(image, (first + place).reshape(-1), (g * weight).reshape(-1))
            if slopes is not None and mode != "nearest":
                effect = np.einsum("cp,cp->p", g, pixels.take(place, axis=1))
                for along, slope in enumerate(slopes):
                    slope += effect * _weight(axes, tap, along)
        return (
            None
            if image is None
            else _channels_last(image.reshape(channels, count, size + 1)[..., :size], x.shape, kept),
            None if slopes is None else np.stack(slopes[::-1], axis=-1).reshape(grid.shape).astype(kept, copy=False),
        )

    return _channels_last(value, (count, channels, *outputs), kept), grid_sample_pullback


def _channels_first(x: Array, kind: np.dtype[Any], zeros: int) -> Array:
    """The images as ``(C, N pixels)``, each with some zeros at its end: one stands for all that lies outside."""
    count, channels = x.shape[:2]
    flat = x.reshape(count, channels, math.prod(x.shape[2:])).swapaxes(0, 1)
    result = np.zeros((channels, count, flat.shape[2] + zeros), kind)
    result[..., : flat.shape[2]] = flat
    return result.reshape(channels, math.prod(result.shape[1:]))


def _channels_last(flat: Array, shape: tuple[int, ...], kind: np.dtype[Any]) -> Array:
    """The opposite: an array of ``(N, C, ...)``."""
    count, channels = shape[:2]
    value = flat.reshape(channels, count, math.prod(shape[2:])).swapaxes(0, 1)
    return np.array(value, dtype=kind).reshape(shape)


class _Axis(NamedTuple):
    """What is read along one axis, tap by tap, each for all points.

    ``steps`` lead from the image's first pixel to the one that is read, or beyond the last; ``slopes`` are the
    derivatives of the ``weights`` by the normalised position.
    """

    steps: list[Array]
    weights: list[Array | None]
    slopes: list[Array]


def _places(axes: list[_Axis], taps: list[tuple[int, ...]], size: int, count: int) -> list[Array]:
    """Where each tap of every point lies in ``(N pixels)``."""
    points = axes[0].steps[0].size
    images = np.repeat(np.arange(count) * (size + 1), points // max(count, 1))
    found = []
    for tap in taps:
        place = reduce(np.add, (axis.steps[number] for axis, number in zip(axes, tap, strict=True)))
        found.append(np.minimum(place, size) + images)
    return found


def _weight(axes: list[_Axis], tap: tuple[int, ...], derived: int | None = None) -> Any:
    """The weight of one tap of every point, or its derivative along one axis."""
    factors = [
        axis.slopes[number] if place == derived else axis.weights[number]
        for place, (axis, number) in enumerate(zip(axes, tap, strict=True))
    ]
    given = [factor for factor in factors if factor is not None]
    return reduce(np.multiply, given) if given else 1


def _axis(u: Array, length: int, stride: int, mode: str, padding_mode: str, align_corners: bool) -> _Axis:
    """The taps along one axis, whose pixels lie ``stride`` apart, at normalised positions."""
    u[np.isnan(u)] = -1
    scale = (length - 1) / 2 if align_corners else length / 2
    position = (u + 1) * scale
    if not align_corners:
        position -= 0.5
    if mode == "bicubic":
        np.clip(position, -FAR, FAR, out=position)
        lower = np.floor(position)
        read = [_move(lower + offset, length, padding_mode, align_corners)[0] for offset in range(-1, 3)]
        weights, slopes = _cubic(position - lower)
        return _Axis([_steps(column, length, stride) for column in read], weights, [slope * scale for slope in slopes])
    position, turn = _move(position, length, padding_mode, align_corners)
    np.clip(position, -FAR, FAR, out=position)
    if mode == "nearest":
        return _Axis([_steps(np.rint(position), length, stride)], [None], [])
    lower = np.floor(position)
    upper_weight = position - lower
    slope = turn * scale
    steps = [_steps(lower, length, stride), _steps(lower + 1, length, stride)]
    return _Axis(steps, [1 - upper_weight, upper_weight], [-slope, slope])


def _steps(column: Array, length: int, stride: int) -> Array:
    steps = column.astype(np.intp)
    steps *= stride
    steps[(column < 0) | (column >= length)] = OUTSIDE
    return steps


def _move(position: Array, length: int, padding_mode: str, align_corners: bool) -> tuple[Array, Array]:
    """Bring positions into the image, and say by what factor a step of theirs is turned or stopped."""
    turn = np.ones_like(position)
    if padding_mode == "zeros":
        return position, turn
    if padding_mode == "reflection":
        low, span = (0.0, length - 1.0) if align_corners else (-0.5, float(length))
        if not span:
            return np.zeros_like(position), np.zeros_like(position)
        with np.errstate(invalid="ignore"):
            distance = position - low
            turn[distance < 0] = -1
            distance = np.abs(distance)
            flips = np.floor(distance / span)
            rest = distance - flips * span
            odd = flips % 2 == 1
        turn[odd] *= -1
        position = np.where(odd, span - rest, rest) + low
        position[~np.isfinite(position)] = 0
    turn[(position <= 0) | (position >= length - 1)] = 0
    return np.clip(position, 0, length - 1), turn


def _cubic(t: Array) -> tuple[list[Array | None], list[Array]]:
    """Keys' cubic at the distances ``t + 1, t, 1 - t, 2 - t``, and its derivative by ``t``."""

    def near(u: Array) -> Array:
        return ((A + 2) * u - (A + 3)) * u * u + 1

    def far(u: Array) -> Array:
        return ((A * u - 5 * A) * u + 8 * A) * u - 4 * A

    def near_slope(u: Array) -> Array:
        return (3 * (A + 2) * u - 2 * (A + 3)) * u

    def far_slope(u: Array) -> Array:
        return (3 * A * u - 10 * A) * u + 8 * A

    return (
        [far(t + 1), near(t), near(1 - t), far(2 - t)],
        [far_slope(t + 1), near_slope(t), -near_slope(1 - t), -far_slope(2 - t)],
    )


def _check(x: Array, grid: Array, mode: str, padding_mode: str) -> None:
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', "
            f"but got: '{padding_mode}'"
        )
    shown = f"but got input with sizes {list(x.shape)} and grid with sizes {list(grid.shape)}"
    if x.ndim not in (4, 5) or grid.ndim != x.ndim:
        raise RuntimeError(f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, {shown}")
    if len(x) != len(grid):
        raise RuntimeError(f"grid_sampler(): expected grid and input to have same batch size, {shown}")
    if grid.shape[-1] != x.ndim - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {x.ndim - 2} in last dimension, "
            f"but got grid with sizes {list(grid.shape)}"
        )
    if 0 in x.shape[2:]:
        raise RuntimeError(
            "grid_sampler(): expected input to have non-empty spatial dimensions, "
            f"but input has sizes {list(x.shape)} with dimension {x.shape.index(0, 2)} being empty"
        )
    if mode == "bicubic" and x.ndim == 5:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if x.dtype.kind != "f":
        raise NotImplementedError(f"grid_sample is not implemented for {x.dtype}")
