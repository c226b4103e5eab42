"""Sums of products over named axes: einsum, and the products that are special cases of it.

Every axis of every operand has a *label*. The value's axes are some of the labels; over the others is summed::

    y[out] = Σ_(labels not in out) a[labels of a] b[labels of b] ...

This is linear in each operand. So the gradient of ``a`` is again such a sum, of the incoming gradient and the *other*
operands, onto the labels of ``a``: ``dL/da[labels of a] = Σ g[out] b[labels of b] ...``. What remains is book-keeping:

- a label that ``a`` alone has was summed over without a partner: the gradient is the same all along it;
- a label that stands twice in ``a`` picks its diagonal: the gradient lies on the diagonal, 0 beside it;
- an axis of length 1 under a label of another length was broadcast: its gradient is summed over that label.

A product of two operands is a (stacked) matrix product, which BLAS does; several are multiplied from left to right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, contraction, elementwise, reduce_axes

__all__ = ["einsum", "kron", "tensordot"]

Labels = tuple[Any, ...]


@contraction
def einsum(*operands: Any, equation: str) -> tuple[Array, Pullback]:
    """Multiply arrays and sum over axes as an equation says.

    Shapes: ``"bij,bjk->bik"`` takes ``(b, i, j)`` and ``(b, j, k)`` to ``(b, i, k)``. ``...`` stands for axes without
    a letter, which are aligned at their ends and broadcast.

    Forward: ``y[out] = Σ Π_k x_k[labels of k]``. Backward: an einsum of the incoming gradient and the other operands
    onto the labels of each operand; see the head of this file.

    Convention: as in torch, a missing output means the axes of ``...`` and then every letter that stands once, in
    ASCII order (capitals first); ``...`` that the output lacks is summed over; axes of length 1 broadcast.

    Raises
    ------
    RuntimeError
        If the equation is malformed or does not fit the operands.

    Examples
    --------
    >>> value, pullback = rules.einsum(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]), equation="ij,j->i")
    >>> value
    array([21., 43.])
    >>> pullback(np.array([5.0, 7.0]), (True, True))
    (array([[ 5., 50.],
           [ 7., 70.]]), array([26., 38.]))
    """
    labels, out = _parsed(equation, [operand.ndim for operand in operands])
    return _contraction(operands, labels, out)


@contraction
def tensordot(x: Any, y: Any, *, dims: Any = 2) -> tuple[Array, Pullback]:
    """Sum products over axes of two arrays.

    Shapes: the axes of ``x`` that are not summed over, then those of ``y``. ``dims`` is how many axes at the end of
    ``x`` meet as many at the start of ``y``, or two lists of axes that meet.

    Forward: an :func:`einsum` whose summed axes share a label. Backward: as there.

    Raises
    ------
    RuntimeError
        If axes that meet have different lengths (other than 1), or the lists do not pair.

    Examples
    --------
    >>> value, pullback = rules.tensordot(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]), dims=1)
    >>> value
    array([21., 43.])
    >>> pullback(np.array([5.0, 7.0]), (True, True))
    (array([[ 5., 50.],
           [ 7., 70.]]), array([26., 38.]))
    """
    if isinstance(dims, (int, np.integer)):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(x.ndim, y.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a + 1, but got dims={dims} for {x.ndim}D and {y.ndim}D")
        pairs = [tuple(range(x.ndim - dims, x.ndim)), tuple(range(dims))]
    else:
        pairs = [(int(d),) if isinstance(d, (int, np.integer)) else tuple(d) for d in dims]
        if len(pairs[0]) != len(pairs[1]):
            raise RuntimeError("both dimension lists should have same length")
        pairs = [reduce_axes(pair, array.ndim) if pair else () for pair, array in zip(pairs, (x, y), strict=True)]
    labels = [[("x", axis) for axis in range(x.ndim)], [("y", axis) for axis in range(y.ndim)]]
    for number, (first, second) in enumerate(zip(*pairs, strict=True)):
        if x.shape[first] != y.shape[second] and 1 not in (x.shape[first], y.shape[second]):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {x.shape[first]} in dim {first} "
                f"and second has size {y.shape[second]} in dim {second}"
            )
        labels[0][first] = labels[1][second] = ("both", number)
    out = tuple(label for label in labels[0] + labels[1] if label[0] != "both")
    return _contraction((x, y), [tuple(one) for one in labels], out)


@elementwise
def kron(x: Any, y: Any) -> tuple[Array, Pullback]:
    """Put a multiple of ``y`` in the place of every element of ``x``: the Kronecker product.

    Shapes: ``(n, m)`` and ``(k, l)`` give ``(n k, m l)``; the shorter shape gets axes of length 1 in front.

    Forward: ``z[i k + r, j l + s] = x[i, j] y[r, s]``. Backward: with the incoming gradient as ``g[i, r, j, s]``,
    ``dL/dx = Σ_(r, s) g y`` and ``dL/dy = Σ_(i, j) g x``.

    Raises nothing of its own.

    Examples
    --------
    >>> value, pullback = rules.kron(np.array([1.0, 2.0]), np.array([1.0, 10.0]))
    >>> value
    array([ 1., 10.,  2., 20.])
    >>> pullback(np.array([3.0, 5.0, 7.0, 9.0]), (True, True))
    (array([53., 97.]), array([17., 23.]))
    """
    ndim = max(x.ndim, y.ndim)
    shapes = [(1,) * (ndim - array.ndim) + array.shape for array in (x, y)]
    labels = [tuple((name, axis) for axis in range(ndim)) for name in "xy"]
    apart = [size for pair in zip(*shapes, strict=True) for size in pair]
    out = tuple(label for pair in zip(*labels, strict=True) for label in pair)
    value, product_pullback = _contraction((x.reshape(shapes[0]), y.reshape(shapes[1])), labels, out)

    def kron_pullback(incoming: Array, needs: Needs) -> Gradients:
        found = product_pullback(incoming.reshape(apart), needs)
        return tuple(
            None if one is None else one.reshape(array.shape) for one, array in zip(found, (x, y), strict=True)
        )

    joined = [first * second for first, second in zip(*shapes, strict=True)]
    return value.reshape(joined), kron_pullback


# -- reading the equation ----------------------------------------------------------------------------------------------


def _parsed(equation: str, ndims: list[int]) -> tuple[list[Labels], Labels]:
    """The labels of every operand and of the value: letters, and numbers from the right for the axes of ``...``."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        which = "fewer" if len(ndims) < len(terms) else "more"
        raise RuntimeError(f"einsum(): {which} operands were provided than specified in the equation")
    labels = []
    for number, (term, ndim) in enumerate(zip(terms, ndims, strict=True)):
        letters = _letters(term, f"for operand {number}")
        named = len(letters) - ("..." in letters)
        if named > ndim or (named < ndim and "..." not in letters):
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({named}) "
                f"{'is more than' if named > ndim else 'does not match'} the number of dimensions ({ndim}) "
                f"for operand {number}" + ("" if named > ndim else " and no ellipsis was given")
            )
        labels.append(_spelt(letters, ndim - named))
    widest = max([sum(isinstance(label, int) for label in one) for one in labels], default=0)
    if not arrow:
        every = [label for one in labels for label in one if isinstance(label, str)]
        return labels, (*range(-widest, 0), *sorted(label for label in every if every.count(label) == 1))
    letters = _letters(right, "in the output")
    for letter in letters:
        if letters.count(letter) > 1:
            raise RuntimeError(f"einsum(): output subscript {letter} appears more than once in the output")
        if letter != "..." and not any(letter in one for one in labels):
            raise RuntimeError(
                f"einsum(): output subscript {letter} does not appear in the equation for any input operand"
            )
    return labels, _spelt(letters, widest)


def _letters(term: str, where: str) -> list[str]:
    """A term letter by letter, ``...`` as one."""
    before, dots, after = term.partition("...")
    for letter in before + after:
        if letter == ".":
            raise RuntimeError(f"einsum(): found '.' {where} that is not part of any ellipsis, or a second ellipsis")
        if not (letter.isascii() and letter.isalpha()):
            raise RuntimeError(f"einsum(): invalid subscript {letter!r} {where}, subscripts must be in [a-zA-Z]")
    return [*before, *([dots] if dots else []), *after]


def _spelt(letters: list[str], covered: int) -> Labels:
    """The labels with those of ``...`` in its place."""
    spelt: list[Any] = []
    for letter in letters:
        spelt += range(-covered, 0) if letter == "..." else [letter]
    return tuple(spelt)


# -- the product -------------------------------------------------------------------------------------------------------


def _contraction(operands: Sequence[Any], labels: Sequence[Labels], out: Labels) -> tuple[Array, Pullback]:
    """The sum of products of operands with labels, and its pullback."""
    sizes = _sizes(operands, labels)
    distinct = [tuple(dict.fromkeys(one)) for one in labels]
    plain = [
        _without_ones(_diagonal(operand, one, unique), unique, sizes)
        for operand, one, unique in zip(operands, labels, distinct, strict=True)
    ]

    def contraction_pullback(incoming: Array, needs: Needs) -> Gradients:
        gradients: list[Array | None] = []
        for place, (operand, need) in enumerate(zip(operands, needs, strict=True)):
            if not need:
                gradients.append(None)
                continue
            wanted = plain[place][1]
            terms = [_without_ones(incoming, out, sizes), *plain[:place], *plain[place + 1 :]]
            known = {label for _, one in terms for label in one}
            found = _product(terms, tuple(label for label in wanted if label in known))
            if not known.issuperset(wanted):
                found = found.reshape([sizes[label] if label in known else 1 for label in wanted])
                found = np.array(np.broadcast_to(found, [sizes[label] for label in wanted]))
            if distinct[place] == labels[place]:
                gradients.append(found.reshape(operand.shape))
                continue
            gradient = np.zeros(operand.shape, operand.dtype)
            line = _diagonal(gradient, labels[place], distinct[place])
            line[...] = found.reshape(line.shape)
            gradients.append(gradient)
        return tuple(gradients)

    value = _product(plain, tuple(label for label in out if sizes[label] != 1))
    return value.reshape([sizes[label] for label in out]), contraction_pullback


def _sizes(operands: Sequence[Any], labels: Sequence[Labels]) -> dict[Any, int]:
    """The length that each label stands for."""
    sizes: dict[Any, int] = {}
    for number, (operand, one) in enumerate(zip(operands, labels, strict=True)):
        own: dict[Any, int] = {}
        for label, size in zip(one, operand.shape, strict=True):
            if own.setdefault(label, size) != size:
                raise RuntimeError(
                    f"einsum(): subscript {label} is repeated for operand {number} but the sizes don't match, "
                    f"{size} != {own[label]}"
                )
            seen = sizes.setdefault(label, size)
            if seen == 1:
                sizes[label] = size
            elif size not in (1, seen):
                raise RuntimeError(
                    f"einsum(): subscript {label} has size {size} for operand {number} which does not broadcast with "
                    f"previously seen size {seen}"
                )
    return sizes


def _diagonal(x: Any, labels: Labels, distinct: Labels) -> Any:
    """A view of the elements at which equal labels have equal indices."""
    if labels == distinct:
        return x
    return np.einsum(x, [distinct.index(label) for label in labels], list(range(len(distinct))))


def _without_ones(x: Any, labels: Labels, sizes: dict[Any, int]) -> tuple[Any, Labels]:
    """The array without the axes of length 1: they count nothing, or are broadcast."""
    if 1 not in x.shape:
        return x, labels
    kept = tuple(label for label, size in zip(labels, x.shape, strict=True) if size != 1)
    return x.reshape([size for size in x.shape if size != 1]), kept


def _product(terms: Sequence[tuple[Any, Labels]], out: Labels) -> Any:
    """Multiply terms from left to right; sum over what is not in ``out``, each label once no later term has it."""
    value, labels = terms[0]
    for place in range(1, len(terms)):
        later = {label for _, one in terms[place + 1 :] for label in one}
        value, labels = _pair(value, labels, *terms[place], later.union(out))
    value, labels = _summed(value, labels, set(out))
    return value.transpose([labels.index(label) for label in out])


def _summed(x: Any, labels: Labels, kept: set[Any]) -> tuple[Any, Labels]:
    """The array summed over every label that is not kept."""
    axes = tuple(axis for axis, label in enumerate(labels) if label not in kept)
    if not axes:
        return x, labels
    return np.asarray(np.add.reduce(x, axis=axes)), tuple(label for label in labels if label in kept)


def _pair(x: Any, x_labels: Labels, y: Any, y_labels: Labels, kept: set[Any]) -> tuple[Any, Labels]:
    """The product of two arrays, summed over what both have and nobody keeps: a stack of matrix products."""
    x, x_labels = _summed(x, x_labels, kept.union(y_labels))
    y, y_labels = _summed(y, y_labels, kept.union(x_labels))
    stack = tuple(label for label in x_labels if label in y_labels and label in kept)
    inner = tuple(label for label in x_labels if label in y_labels and label not in kept)
    left = tuple(label for label in x_labels if label not in y_labels)
    right = tuple(label for label in y_labels if label not in x_labels)
    x = x.transpose([x_labels.index(label) for label in stack + left + inner])
    y = y.transpose([y_labels.index(label) for label in stack + inner + right])
    stacked, rows, columns = (
        x.shape[: len(stack)],
        x.shape[len(stack) : len(stack + left)],
        y.shape[len(stack + inner) :],
    )
    length = math.prod(x.shape[len(stack + left) :])
    x = x.reshape(*stacked, math.prod(rows), length)
    y = y.reshape(*stacked, length, math.prod(columns))
    if not inner:
        value = x * y
    elif stack and not left and not right:
        value = np.einsum("...ij,...ji->...", x, y)
    else:
        value = x @ y
    return value.reshape(stacked + rows + columns), stack + left + right
