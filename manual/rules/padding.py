"""Padding: more elements before and after an axis, or fewer.

Every padded element is a copy of an element of ``x`` or of a constant, so the gradient of an element is the sum over
its copies. Reflected, repeated and wrapped borders are filled axis by axis, the last first, each from what is already
there; the pullback empties them again in the opposite order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback

__all__ = ["pad"]

_MODES = ("constant", "reflect", "replicate", "circular")


def pad(x: Any, *, pad: tuple[int, ...], mode: str = "constant", value: float | None = None) -> tuple[Array, Pullback]:
    """Put elements before and after the last axes, or take some away where ``pad`` is negative.

    Shapes: ``pad`` is ``(before, after)`` of the last axis, then of the one before it, and so on; an axis of ``n``
    elements becomes ``before + n + after``. With ``"constant"`` any number of axes may be padded, else one of
    ``(N, C, W)``, two of ``(N, C, H, W)``, three of ``(N, C, D, H, W)``, or the same without ``N``.

    Forward: ``y_j = x_(r(j - before))``, where outside of ``0 .. n - 1`` the index is turned back inside: ``r(j)`` is
    ``-j`` or ``2 (n - 1) - j`` for ``"reflect"``, the nearer end for ``"replicate"``, ``j mod n`` for ``"circular"``.
    For ``"constant"`` the element there is ``value`` (0 if ``None``).

    Backward: ``dx_i`` is the sum of ``dy_j`` over all ``j`` with ``r(j - before) = i``.

    Convention: ``"reflect"`` does not repeat the end itself. With a negative number at one end, ``"reflect"`` and
    ``"replicate"`` at the other still see what is taken away, ``"circular"`` does not. As torch.

    Raises
    ------
    RuntimeError
        If the padding does not fit the axis.
    NotImplementedError
        For a mode or a number of axes that is not supported.

    Examples
    --------
    >>> value, pullback = rules.pad(np.array([1.0, 2.0, 3.0]), pad=(1, 2), value=9.0)
    >>> value
    array([9., 1., 2., 3., 9., 9.])
    >>> pullback(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), (True,))
    (array([2., 3., 4.]),)
    """
    pairs = _pairs(x, tuple(pad), mode, value)
    shape = tuple(length + before + after for length, (before, after) in zip(x.shape, pairs, strict=True))
    if mode == "constant":
        return _pad_constant(x, pairs, shape, value)
    if mode == "circular":
        kept, pairs = _cropped(x.shape, pairs)
        crop: tuple[slice, ...] = (slice(None),) * x.ndim
    else:
        kept = (slice(None),) * x.ndim
        crop, pairs = _cropped(
            tuple(length + max(b, 0) + max(a, 0) for length, (b, a) in zip(x.shape, pairs, strict=True)), pairs
        )
    inner = x[kept]
    borders = _borders(inner.shape, pairs, mode)
    centre = tuple(slice(before, before + length) for length, (before, _) in zip(inner.shape, pairs, strict=True))
    full = tuple(length + before + after for length, (before, after) in zip(inner.shape, pairs, strict=True))
    padded = np.empty(full, x.dtype)
    padded[centre] = inner
    for border, source in borders:
        padded[border] = padded[source]

    def pad_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradient = np.zeros(full, incoming.dtype)
        gradient[crop] = incoming
        for border, source in reversed(borders):
            share = gradient[border]
            if mode == "replicate":
                share = share.sum(axis=_padded_axis(border, source), keepdims=True)
            gradient[source] += share
        if inner.shape == x.shape:
            return (gradient[centre],)
        whole = np.zeros(x.shape, incoming.dtype)
        whole[kept] = gradient[centre]
        return (whole,)

    return padded[crop], pad_pullback


def _pad_constant(
    x: Array, pairs: list[tuple[int, int]], shape: tuple[int, ...], value: float | None
) -> tuple[Array, Pullback]:
    kept, positive = _cropped(x.shape, pairs)
    centre = tuple(slice(before, length - after) for length, (before, after) in zip(shape, positive, strict=True))
    padded = np.full(shape, value, x.dtype) if value else np.zeros(shape, x.dtype)
    padded[centre] = x[kept]
    whole = all(min(pair) >= 0 for pair in pairs)

    def pad_pullback(incoming: Array, needs: Needs) -> Gradients:
        if whole:
            return (incoming[centre],)
        gradient = np.zeros(x.shape, incoming.dtype)
        gradient[kept] = incoming[centre]
        return (gradient,)

    return padded, pad_pullback


def _cropped(shape: tuple[int, ...], pairs: list[tuple[int, int]]) -> tuple[tuple[slice, ...], list[tuple[int, int]]]:
    """The part that negative numbers leave of an array, and the numbers without them."""
    kept = tuple(
        slice(max(-before, 0), length - max(-after, 0)) for length, (before, after) in zip(shape, pairs, strict=True)
    )
    return kept, [(max(before, 0), max(after, 0)) for before, after in pairs]


def _borders(shape: tuple[int, ...], pairs: list[tuple[int, int]], mode: str) -> list[tuple[Any, Any]]:
    """Each border and what it is copied from, in the order of filling."""
    found: list[tuple[Any, Any]] = []
    for axis in reversed(range(len(shape))):
        length, (before, after) = shape[axis], pairs[axis]
        inside = tuple(slice(b, b + n) for n, (b, _) in zip(shape[:axis], pairs[:axis], strict=True))
        rest = (slice(None),) * (len(shape) - axis - 1)
        end = before + length
        if mode == "reflect":
            sources = _backwards(before + 1, 2 * before + 1), _backwards(end - 1 - after, end - 1)
        elif mode == "replicate":
            sources = slice(before, before + 1), slice(end - 1, end)
        else:
            sources = slice(length, length + before), slice(before, before + after)
        if before:
            found.append(((*inside, slice(0, before), *rest), (*inside, sources[0], *rest)))
        if after:
            found.append(((*inside, slice(end, end + after), *rest), (*inside, sources[1], *rest)))
    return found


def _backwards(first: int, stop: int) -> slice:
    """The elements from ``first`` to before ``stop``, in the opposite order."""
    return slice(stop - 1, first - 1 if first else None, -1)


def _padded_axis(border: tuple[slice, ...], source: tuple[slice, ...]) -> int:
    return next(axis for axis, (one, other) in enumerate(zip(border, source, strict=True)) if one != other)


def _pairs(x: Array, pad: tuple[int, ...], mode: str, value: float | None) -> list[tuple[int, int]]:
    """``(before, after)`` of every axis, checked as torch checks it."""
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) > 2 * x.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {x.ndim}"
        )
    if mode not in _MODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    axes = len(pad) // 2
    last = [(int(pad[2 * place]), int(pad[2 * place + 1])) for place in reversed(range(axes))]
    pairs = [(0, 0)] * (x.ndim - axes) + last
    if mode == "constant":
        if any(max(-b, 0) + max(-a, 0) > length for length, (b, a) in zip(x.shape, pairs, strict=True)):
            raise RuntimeError("narrow(): length must be non-negative.")
        return pairs
    if value:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if not 1 <= axes <= 3 or x.ndim not in (axes + 1, axes + 2):
        raise NotImplementedError(
            f"Padding size {len(pad)} is not supported for {x.ndim}D input tensor.\n"
            "Supported combinations for non-constant padding:\n"
            "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
            "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
            "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"
        )
    if mode == "circular":
        _check_circular(x.shape, pairs)
    else:
        _check_mirrored(x, pairs, axes, mode)
    return pairs


def _check_circular(shape: tuple[int, ...], pairs: list[tuple[int, int]]) -> None:
    for length, (before, after) in zip(shape, pairs, strict=True):
        if length + before + after < 0:
            raise RuntimeError("Negative padding value is resulting in an empty dimension")
        if max(before, after) > length - max(-before, 0) - max(-after, 0):
            raise RuntimeError("Padding value causes wrapping around more than once.")


def _check_mirrored(x: Array, pairs: list[tuple[int, int]], axes: int, mode: str) -> None:
    if x.dtype.kind == "b":
        raise NotImplementedError(f'"{mode}" padding not implemented for {x.dtype}')
    if 0 in x.shape[x.ndim - axes - 1 :]:
        raise RuntimeError(
            f"Expected {axes + 1}D or {axes + 2}D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions for input, but got: {list(x.shape)}"
        )
    for axis in range(x.ndim - axes, x.ndim):
        if mode == "reflect" and max(pairs[axis]) >= x.shape[axis]:
            raise RuntimeError(
                f"Argument #{2 + 2 * (x.ndim - axis)}: Padding size should be less than the corresponding input "
                f"dimension, but got: padding {pairs[axis]} at dimension {axis} of input {list(x.shape)}"
            )
    names = "DHW"[-axes:]
    given, results = x.shape[-axes:], [n + b + a for n, (b, a) in zip(x.shape[-axes:], pairs[-axes:], strict=True)]
    if min(results) < 0 or max(results) < 1:
        raise RuntimeError(
            f"input ({' '.join(f'{name}: {size}' for name, size in zip(names, given, strict=True))}) is too small. "
            f"Calculated output {' '.join(f'{name}: {size}' for name, size in zip(names, results, strict=True))}"
        )
