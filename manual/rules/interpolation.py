"""Interpolation: images of another size.

Every mode is linear in the image and acts on its axes one after the other, so each axis is a small sparse matrix
``W`` of ``out`` rows (columns and weights, :class:`_Matrix`). One implementation serves 1, 2 and 3 axes of space, and
the pullback is the same code with the transposed matrices: with ``y = (W_h (x) W_w) x`` the gradient is
``(W_hᵀ (x) W_wᵀ) g``.
What distinguishes the modes is only how the rows of ``W`` are made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback

__all__ = ["interpolate"]

NEAREST = ("nearest", "nearest-exact")
NDIM = {"linear": 3, "bilinear": 4, "bicubic": 4, "lanczos": 4, "trilinear": 5}
ANTIALIASED = ("bilinear", "bicubic", "lanczos")


def interpolate(
    x: Any,
    *,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> tuple[Array, Pullback]:
    """Resample an image of one to three axes to another size.

    Shapes: ``x`` ``(N, C, d1, ...)``; the value ``(N, C, o1, ...)``, where ``o`` is ``size`` or
    ``floor(d scale_factor)``.

    Forward: along each axis ``y_i = Σ_j W_ij x_j``. Row ``i`` looks at the position ``p`` of the input; with
    ``s = d / o`` (``1 / scale_factor`` where that is given and not recomputed) and ``l = floor(p)``:

    - ``nearest``: 1 at ``floor(i s)``; ``nearest-exact``: 1 at ``floor((i + 1/2) s)``.
    - ``linear``, ``bilinear``, ``trilinear``: ``1 - (p - l)`` at ``l`` and ``p - l`` at ``l + 1``.
    - ``bicubic``: ``k(p - j)`` at ``j = l - 1, ..., l + 2`` with Keys' cubic ``k`` of ``A = -3/4``.
    - ``area``: the mean of the inputs from ``floor(i d / o)`` to ``ceil((i + 1) d / o) - 1``.
    - ``antialias``: the kernel is stretched by ``max(s, 1)`` around ``(i + 1/2) s``, cut off at the image's ends, and
      divided by its sum; ``lanczos`` is ``sinc(u) sinc(u / 3)`` for ``|u| < 3``.

    Backward: a linear map, so the gradient is ``Σ_i W_ij g_i`` along each axis: each input gets the incoming gradients
    of the outputs that it took part in, by the weights it had there. Along one axis of two elements stretched to three,
    ``W = [[1, 0], [1/2, 1/2], [0, 1]]``, and ``g = (1, 2, 4)`` comes back as ``(2, 5)``.

    Source: Keys (1981), Cubic Convolution Interpolation for Digital Image Processing, section II.

    Convention: pixels are squares, and ``p = (i + 1/2) s - 1/2`` aligns the images' outer edges; ``align_corners``
    aligns the centres of the outermost pixels, ``p = i (d - 1) / (o - 1)``, 0 for ``o = 1``. Linear modes clamp ``p``
    at 0, and all clamp the columns to the image, so that the outermost pixel is repeated.
    Convention: where a ``scale_factor`` such as 1.1 keeps the length of an axis, linear and antialiased modes leave it
    as it is, and bicubic does not, as in torch, whose gradient of bicubic and antialiased modes is then that of the
    *other* map. ``nearest`` leaves it as it is, and repeats each pixel where the length is doubled: so do torch's
    gradient and its values of small images; those of its other sizes do not. Here the gradient is always the transpose.
    Convention: antialiased bicubic takes ``A = -1/2`` and, with ``align_corners``, ``s = (d - 1) / (o - 1)`` in the
    same formula, as in torch, whose CPU value of one antialiased column of several rows is wrong (its own
    ``gradcheck`` refuses it); here that is the formula's.
    Convention: the columns of ``nearest`` are rounded as torch rounds them forward, in the dtype of ``x`` and then to
    float32.

    Raises
    ------
    ValueError, TypeError, RuntimeError, NotImplementedError
        If sizes, mode and options do not fit each other, as torch distinguishes them.

    Examples
    --------
    >>> value, pullback = rules.interpolate(np.array([[[0.0, 4.0]]]), scale_factor=2, mode="linear")
    >>> value
    array([[[0., 1., 3., 4.]]])
    >>> pullback(np.array([[[4.0, 8.0, 0.0, 0.0]]]), (True,))
    (array([[[10.,  2.]]]),)
    """
    lengths = x.shape[2:]
    sizes, scales = _sizes(x, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
    kept = x.dtype
    kind = np.dtype(np.float32) if kept == np.float16 else kept
    matrices = [
        _matrix(mode, bool(align_corners), bool(antialias), length, out, scale, kind)
        for length, out, scale in zip(lengths, sizes, scales, strict=True)
    ]
    value = _through(matrices, x, kind)

    def interpolate_pullback(incoming: Array, needs: Needs) -> Gradients:
        return (_through([_transposed(matrix) for matrix in matrices], incoming, kind),)

    return value, interpolate_pullback


# -- a sparse matrix on one axis ---------------------------------------------------------------------------------------


class _Tap(NamedTuple):
    """At most one entry of each row: ``rows`` is None where every row has one, ``weights`` where all are 1."""

    rows: Array | None
    columns: Array
    weights: Array | None


class _Matrix:
    """A sparse matrix, its entries in any order: row, column and weight.

    It is kept as *taps*: the k-th entry of every row makes tap k, so that a product is a few whole-array gathers.
    No entry is made up to fill a row: a weight of 0 would carry infinities where there is no weight at all.
    """

    def __init__(self, rows: Array, columns: Array, weights: Array | None, shape: tuple[int, int]):
        self.entries = rows, columns, weights
        self.shape = shape
        order = np.argsort(rows, kind="stable")
        rows, columns = rows[order], columns[order]
        weights = None if weights is None else weights[order]
        starts = np.searchsorted(rows, rows)
        rank = np.arange(rows.size) - starts
        self.taps = []
        for k in range(int(rank.max(initial=-1)) + 1):
            of_tap = np.flatnonzero(rank == k)
            whole = of_tap.size == shape[0]
            part = None if weights is None else weights[of_tap][:, np.newaxis]
            self.taps.append(_Tap(None if whole else rows[of_tap], columns[of_tap], part))

    def along(self, x: Array, axis: int) -> Array:
        """The product with every vector along one axis of ``x``."""
        out, length = self.shape
        before, after = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
        flat = x.reshape(before, length, after)
        value = None
        for tap in self.taps:
            part = flat.take(tap.columns, axis=1)
            if tap.weights is not None:
                part *= tap.weights
            if tap.rows is None:
                value = part if value is None else np.add(value, part, out=value)
            else:
                if value is None:
                    value = np.zeros((before, out, after), x.dtype)
                value[:, tap.rows] += part
        if value is None:
            value = np.zeros((before, out, after), x.dtype)
        return value.reshape(*x.shape[:axis], out, *x.shape[axis + 1 :])


def _through(matrices: Sequence[_Matrix | None], x: Array, kind: np.dtype[Any]) -> Array:
    """Apply a matrix to each axis of space (None leaves one as it is); always a new array of the dtype of ``x``."""
    value = x.astype(kind, copy=False)
    for place in reversed(range(len(matrices))):  # the last axis first, while the array is small
        matrix = matrices[place]
        if matrix is not None:
            value = matrix.along(value, 2 + place)
    return value.astype(x.dtype, copy=value is x)


@lru_cache(maxsize=256)
def _transposed(matrix: _Matrix | None) -> _Matrix | None:
    if matrix is None:
        return None
    rows, columns, weights = matrix.entries
    return _Matrix(columns, rows, weights, matrix.shape[::-1])


# -- the rows of each mode ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _matrix(
    mode: str, align_corners: bool, antialias: bool, length: int, out: int, scale: float | None, kind: np.dtype[Any]
) -> _Matrix | None:
    """The matrix of one axis from ``length`` to ``out``, or None for the identity."""
    if mode in NEAREST:
        columns, weights = _nearest(mode, length, out, scale, kind)[:, np.newaxis], None
        rows = np.arange(out)[:, np.newaxis]
    elif mode == "area":
        rows, columns, weights = _area(length, out)
    else:
        fine = np.promote_types(kind, np.float64)
        if align_corners:
            step = fine.type(length - 1) / (out - 1) if out > 1 else fine.type(0)
        else:
            step = fine.type(1.0 / scale if scale else fine.type(length) / out)
        if length == out and (antialias or mode != "bicubic"):
            return None
        if antialias:
            rows, columns, weights = _antialiased(_KERNELS[mode], length, out, step)
        else:
            i = np.arange(out, dtype=fine)
            position = i * step if align_corners else (i + 0.5) * step - 0.5
            columns, weights = (_cubic_rows if mode == "bicubic" else _linear_rows)(position)
            np.clip(columns, 0, length - 1, out=columns)
            rows = np.broadcast_to(np.arange(out)[:, np.newaxis], columns.shape)
    flat = None if weights is None else weights.reshape(-1).astype(kind)
    return _Matrix(rows.reshape(-1), columns.reshape(-1), flat, (out, length))


def _nearest(mode: str, length: int, out: int, scale: float | None, kind: np.dtype[Any]) -> Array:
    """The column of each row, with torch's rounding: an exact quotient may differ where it is a whole number."""
    if mode == "nearest" and out in (length, 2 * length):
        return np.arange(out) // (out // length)
    wide = np.dtype(np.float64) if kind.itemsize > 4 else kind
    step = wide.type(1.0 / scale) if scale else wide.type(length) / wide.type(out)
    i = np.arange(out, dtype=wide)
    if mode == "nearest":
        position = i * step
    else:
        position = np.maximum(step * (i + wide.type(0.5)) - wide.type(0.5), 0) + wide.type(0.5)
    return np.minimum(np.floor(position.astype(np.float32)).astype(np.intp), length - 1)


def _area(length: int, out: int) -> tuple[Array, Array, Array]:
    i = np.arange(out)
    starts, ends = i * length // out, -((i + 1) * -length // out)
    counts = ends - starts
    rows = np.repeat(i, counts)
    columns = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts, counts)
    return rows, columns, 1 / np.repeat(counts, counts).astype(np.longdouble)


def _linear_rows(position: Array) -> tuple[Array, Array]:
    np.maximum(position, 0, out=position)
    lower = np.floor(position)
    upper_weight = position - lower
    columns = lower.astype(np.intp)[:, np.newaxis] + np.arange(2)
    return columns, np.stack([1 - upper_weight, upper_weight], axis=1)


def _cubic_rows(position: Array) -> tuple[Array, Array]:
    lower = np.floor(position)
    offsets = np.arange(-1, 3)
    distance = (position - lower)[:, np.newaxis] - offsets
    return lower.astype(np.intp)[:, np.newaxis] + offsets, cubic(distance, -0.75)


def _antialiased(kernel: tuple[Callable[[Array], Array], int], length: int, out: int, step: Any) -> Any:
    """Rows of a kernel that is stretched, cut off and divided by its sum."""
    function, width = kernel
    stretch = max(step, type(step)(1))
    support = width / 2 * stretch
    centre = step * (np.arange(out, dtype=np.asarray(step).dtype) + 0.5)
    starts = np.maximum((centre - support + 0.5).astype(np.intp), 0)
    ends = np.minimum((centre + support + 0.5).astype(np.intp), length)
    columns = np.arange(length)
    inside = (columns >= starts[:, np.newaxis]) & (columns < ends[:, np.newaxis])
    weights = np.where(inside, function((columns - centre[:, np.newaxis] + 0.5) / stretch), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    rows, columns = np.nonzero(inside)
    return rows, columns, weights[rows, columns]


def cubic(distance: Array, a: float) -> Array:
    """Keys' cubic kernel: ``(a + 2) u^3 - (a + 3) u^2 + 1`` up to 1, ``a (u^3 - 5 u^2 + 8 u - 4)`` up to 2, then 0."""
    u = np.abs(distance)
    near = ((a + 2) * u - (a + 3)) * u * u + 1
    far = a * (((u - 5) * u + 8) * u - 4)
    return np.where(u <= 1, near, np.where(u < 2, far, 0))


def _triangle(distance: Array) -> Array:
    return np.maximum(1 - np.abs(distance), 0)


def _lanczos(distance: Array) -> Array:
    return np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)


_KERNELS: dict[str, tuple[Callable[[Array], Array], int]] = {
    "bilinear": (_triangle, 2),
    "bicubic": (lambda distance: cubic(distance, -0.5), 4),
    "lanczos": (_lanczos, 6),
}


# -- what was asked for ------------------------------------------------------------------------------------------------


def _sizes(
    x: Array,
    size: Any,
    scale_factor: Any,
    mode: str,
    align_corners: bool | None,
    recompute_scale_factor: bool | None,
    antialias: bool,
) -> tuple[list[int], list[float | None]]:
    """The length of each axis of the output, and the scale factors that positions are computed from."""
    if align_corners is not None and (mode in NEAREST or mode == "area"):
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    lengths = list(x.shape[2:])
    scales: list[float | None] = [None] * len(lengths)
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        sizes = _each(size, lengths, "output", f"output size of {size}", "output size in (o1, o2, ...,oK)")
        if not all(_whole(one) for one in sizes):
            raise TypeError(
                "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], "
                f"but got size with types {[type(one) for one in sizes]}"
            )
        if recompute_scale_factor:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        sizes = [int(one) for one in sizes]
    elif scale_factor is not None:
        shown = f"scale_factor of shape {scale_factor}"
        factors = _each(scale_factor, lengths, "scale_factor", shown, "scale_factor in (s1, s2, ...,sK)")
        if any(isinstance(factor, str) for factor in factors):
            raise TypeError(f"expected scale_factor to be a number or a tuple of numbers, but got {scale_factor!r}")
        sizes = [math.floor(length * float(factor)) for length, factor in zip(lengths, factors, strict=True)]
        if not recompute_scale_factor and mode != "area":
            scales = [float(factor) for factor in factors]
    else:
        raise ValueError("either size or scale_factor should be defined")
    _check_mode(x, mode, align_corners, antialias)
    _check_lengths(x, lengths, sizes, mode)
    return sizes, scales


def _each(value: Any, lengths: list[int], what: str, shown: str, form: str) -> list[Any]:
    """One value for each axis."""
    if not isinstance(value, (tuple, list)):
        return [value] * len(lengths)
    if len(value) != len(lengths):
        who = "Input and output" if what == "output" else "Input and scale_factor"
        raise ValueError(
            f"{who} must have the same number of spatial dimensions, but got input with spatial dimensions of "
            f"{lengths} and {shown}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and {form} format."
        )
    return list(value)


def _whole(value: Any) -> bool:
    return not isinstance(value, (bool, np.bool_)) and (
        isinstance(value, (int, np.integer)) or (isinstance(value, np.ndarray) and value.dtype.kind in "iu")
    )


def _check_mode(x: Array, mode: str, align_corners: bool | None, antialias: bool) -> None:
    if antialias and not (mode in ANTIALIASED and x.ndim == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )
    fits = 3 <= x.ndim <= 5 and (mode in NEAREST or mode == "area" or NDIM.get(mode) == x.ndim)
    if not fits and 3 <= x.ndim <= 5 and mode in ("linear", "bilinear", "trilinear"):
        raise NotImplementedError(f"Got {x.ndim}D input, but {mode} mode needs {NDIM[mode]}D input")
    if not fits:
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {x.ndim}D) for the modes: "
            f"nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got {mode})"
        )
    if mode == "lanczos" and align_corners:
        raise ValueError("Lanczos mode does not support align_corners=True")
    if mode == "lanczos" and not antialias:
        raise ValueError("Lanczos mode requires antialias=True")
    if x.dtype.kind != "f" and not (x.dtype == np.uint8 and mode in NEAREST):
        raise NotImplementedError(f"interpolate with mode {mode} is not implemented for {x.dtype}")


def _check_lengths(x: Array, lengths: list[int], sizes: list[int], mode: str) -> None:
    if mode == "area":
        name = f"adaptive_avg_pool{len(lengths)}d"
        if 0 in lengths:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                f"{list(x.shape)} with dimension {2 + lengths.index(0)} being empty"
            )
        if min(sizes) < 0:
            raise RuntimeError(
                f"{name}: elements of output_size must be greater than or equal to 0 but received {sizes}"
            )
        return
    if min(lengths) <= 0 or min(sizes) <= 0:
        names = "DHW"[-len(lengths) :]
        got, wanted = (
            ", ".join(f"{name}: {length}" for name, length in zip(names, values, strict=True))
            for values in (lengths, sizes)
        )
        joint = " and" if len(lengths) == 1 else ""
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input ({got}){joint} output ({wanted})"
        )
    if not x.shape[1]:
        raise RuntimeError(f"Non-empty {x.ndim}D data tensor expected but got a tensor with sizes {list(x.shape)}")
