"""Convolution and transposed convolution in any number of dimensions: windows and one product of matrices.

Both are one trilinear form. With windows of ``x`` at stride ``s``, dilation ``d`` and padding ``p``::

    B(x, w, y) = Σ y[n, o, i] w[o, c, k] x[n, c, s i + d k - p]

summed over samples ``n``, channels ``o`` and ``c``, windows ``i`` and taps ``k`` (``i`` and ``k`` have one number per
axis of space). Holding two of its arguments fixed and asking for the coefficients of the third gives three maps:

- of ``y``: ``Σ_ck w x``, a *convolution* of ``x`` (a cross-correlation: the kernel is not flipped);
- of ``x``: ``Σ_oik y w`` over what lands at one place, a *transposed convolution* of ``y``;
- of ``w``: ``Σ_ni y x``, the gradient of the weight.

``conv_nd`` is the first map, and with ``g`` incoming the loss is to first order ``B(x, w, g)``: its gradients are the
second map (to the input, a transposed convolution of ``g``) and the third. ``conv_transpose_nd`` is the second, with
loss ``B(g, w, y)``: its gradients are the first map (to the input ``y``, a convolution of ``g``) and the third.

In matrices: ``X`` holds the windows of ``x`` as columns ``(c k, n i)``, ``Y`` is ``y`` as ``(o, n i)``, ``W`` is ``w``
as ``(o, c k)``. The maps are ``W X``, ``Wᵀ Y`` (columns, which are added up where they came from) and ``Y Xᵀ``. Groups
are several such products side by side. Windows are cut out anew for the backward pass: kept, they would take as many
times the memory of ``x`` as the kernel has taps.

Source: Dumoulin and Visin (2016), A guide to convolution arithmetic for deep learning, chapters 2 to 5.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.convolution_shapes import Plan, plan_conv, plan_transposed
from manual.rules.core import Array, Gradients, Needs, Pullback, contraction
from manual.rules.folding import overlap_add, windows

__all__ = ["conv_nd", "conv_transpose_nd"]


@contraction
def conv_nd(
    input: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Array, Pullback]:
    """Slide a kernel over the last axes of an input (a cross-correlation, as everywhere in deep learning).

    Shapes: ``input (N, C, *S)`` or ``(C, *S)``, ``weight (O, C / groups, *K)``, ``bias (O,)`` or ``None``, value
    ``(N, O, *L)`` or ``(O, *L)`` with ``L = floor((S + 2 p - d (K - 1) - 1) / s) + 1`` on each axis.

    Forward: ``y[n, o, i] = b[o] + Σ_ck w[o, c, k] x[n, c, s i + d k - p]``, with zeros outside of ``x``.

    Backward: with ``g`` incoming, element ``j`` of ``x`` acts through every window and tap with ``s i + d k - p = j``,
    so ``dL/dx[n, c, j] = Σ_oik w[o, c, k] g[n, o, i]``: the transposed convolution of ``g`` by the same weight.
    ``dL/dw[o, c, k] = Σ_ni g[n, o, i] x[n, c, s i + d k - p]``, and ``dL/db[o] = Σ_ni g[n, o, i]``.

    Convention: ``padding="same"`` pads ``d (K - 1)`` zeros in all, the odd one behind; ``"valid"`` pads none.

    Raises
    ------
    RuntimeError
        If a shape or a length does not fit.

    Examples
    --------
    >>> row, kernel = np.array([[[1.0, 3.0, 2.0]]]), np.array([[[2.0, -1.0]]])
    >>> value, pullback = rules.conv_nd(row, kernel)
    >>> value
    array([[[-1.,  4.]]])
    >>> pullback(np.array([[[5.0, 7.0]]]), (True, True, False))
    (array([[[10.,  9., -7.]]]), array([[[26., 29.]]]), None)
    """
    plan = plan_conv(
        input.shape,
        weight.shape,
        None if bias is None else bias.shape,
        _hashable(stride),
        _hashable(padding),
        _hashable(dilation),
        int(groups),
    )
    x = input.reshape(plan.wide)
    value = _from_rows(_forward(_matrix(weight, plan), _columns(x, plan)), plan, bias)

    def conv_nd_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_input = to_weight = to_bias = None
        rows = _rows(incoming.reshape(plan.narrow))
        if needs[0]:
            to_input = _add_columns(_matrix(weight, plan), rows, plan).reshape(plan.input)
        if needs[1]:
            to_weight = _between(rows, _columns(x, plan), plan)
        if len(needs) > 2 and needs[2]:
            to_bias = np.add.reduce(rows, axis=1)
        return (to_input, to_weight, to_bias)[: len(needs)]

    return value.reshape(plan.output), conv_nd_pullback


@contraction
def conv_transpose_nd(
    input: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> tuple[Array, Pullback]:
    """Let every element of an input stamp a kernel into a larger output: the transpose of :func:`conv_nd`.

    Shapes: ``input (N, C, *S)`` or ``(C, *S)``, ``weight (C, O / groups, *K)``, ``bias (O,)`` or ``None``, value
    ``(N, O, *L)`` or ``(O, *L)`` with ``L = (S - 1) s - 2 p + d (K - 1) + q + 1``, ``q`` the output padding.

    Forward: ``y[n, o, j] = b[o] + Σ x[n, c, i] w[c, o, k]`` over all ``c`` and all ``s i + d k - p = j``.

    Backward: with ``g`` incoming, element ``i`` of ``x`` acts through the taps of one window of ``y``, so
    ``dL/dx[n, c, i] = Σ_ok w[c, o, k] g[n, o, s i + d k - p]``: the convolution of ``g`` by the same weight.
    ``dL/dw[c, o, k] = Σ_ni x[n, c, i] g[n, o, s i + d k - p]``, and ``dL/db[o] = Σ_nj g[n, o, j]``.

    Convention: ``padding`` cuts ``p`` elements off each end of the output. Where outputs of several lengths would have
    been convolved to the input's length, ``output_padding`` chooses a longer one: nothing is put around the input.

    Raises
    ------
    RuntimeError
        If a shape or a length does not fit.

    Examples
    --------
    >>> row, kernel = np.array([[[3.0, 1.0]]]), np.array([[[2.0, -1.0]]])
    >>> value, pullback = rules.conv_transpose_nd(row, kernel)
    >>> value
    array([[[ 6., -1., -1.]]])
    >>> pullback(np.array([[[5.0, 7.0, 0.0]]]), (True, True, False))
    (array([[[ 3., 14.]]]), array([[[22., 21.]]]), None)
    """
    plan = plan_transposed(
        input.shape,
        weight.shape,
        None if bias is None else bias.shape,
        _hashable(stride),
        _hashable(padding),
        _hashable(output_padding),
        _hashable(dilation),
        int(groups),
    )
    rows = _rows(input.reshape(plan.narrow))
    value = np.ascontiguousarray(_add_columns(_matrix(weight, plan), rows, plan))
    if bias is not None:
        value += bias.reshape(-1, *(1,) * (value.ndim - 2))

    def conv_transpose_nd_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_input = to_weight = to_bias = None
        g = incoming.reshape(plan.wide)
        if needs[0] or needs[1]:
            columns = _columns(g, plan)
            if needs[0]:
                to_input = _from_rows(_forward(_matrix(weight, plan), columns), plan).reshape(plan.input)
            if needs[1]:
                to_weight = _between(rows, columns, plan)
        if len(needs) > 2 and needs[2]:
            to_bias = np.add.reduce(_rows(g), axis=1)
        return (to_input, to_weight, to_bias)[: len(needs)]

    return value.reshape(plan.output), conv_transpose_nd_pullback


# -- the three maps ----------------------------------------------------------------------------------------------------


def _matrix(weight: Array, plan: Plan) -> Array:
    """The weight as a stack of matrices, one a group: ``(G, o, c k)``."""
    return weight.reshape(plan.groups, plan.weight[0] // plan.groups, math.prod(plan.weight[1:]))


def _columns(x: Array, plan: Plan) -> Array:
    """The windows as a stack of matrices, one a group: ``(G, c k, n i)``."""
    n = len(plan.frame.kernel)
    seen = windows(x, plan.frame).transpose(1, *range(2, 2 + n), 0, *range(2 + n, 2 + 2 * n))
    return seen.reshape(
        plan.groups,
        plan.wide[1] // plan.groups * math.prod(plan.frame.kernel),
        plan.wide[0] * math.prod(plan.frame.counts),
    )


def _rows(y: Array) -> Array:
    """Channels by everything else: ``(N, O, *L)`` gives ``(O, n i)``."""
    return y.swapaxes(0, 1).reshape(y.shape[1], y.shape[0] * math.prod(y.shape[2:]))


def _from_rows(rows: Array, plan: Plan, bias: Array | None = None) -> Array:
    """The inverse of :func:`_rows`, and the bias added on the way."""
    batch, channels = plan.narrow[:2]
    turned = rows.reshape(channels, batch, *plan.narrow[2:]).swapaxes(0, 1)
    if bias is None:
        return np.ascontiguousarray(turned)
    return np.add(turned, bias.reshape(-1, *(1,) * (turned.ndim - 2)), out=np.empty(plan.narrow, rows.dtype))


def _forward(matrix: Array, columns: Array) -> Array:
    """``W X``, group by group."""
    return matrix[0] @ columns[0] if len(matrix) == 1 else matrix @ columns


def _add_columns(matrix: Array, rows: Array, plan: Plan) -> Array:
    """``Wᵀ Y``, and its columns added up where their windows lie."""
    if plan.groups == 1:
        columns = matrix[0].T @ rows
    else:
        grouped = rows.reshape(plan.groups, plan.narrow[1] // plan.groups, rows.shape[1])
        turned = matrix.swapaxes(1, 2)
        columns = turned * grouped if plan.narrow[1] == plan.groups else turned @ grouped  # one column by one row
    n = len(plan.frame.kernel)
    apart = columns.reshape(plan.wide[1], *plan.frame.kernel, plan.wide[0], *plan.frame.counts)
    return overlap_add(apart.transpose(n + 1, *range(n + 1), *range(n + 2, 2 * n + 2)), plan.frame, plan.wide[2:])


def _between(rows: Array, columns: Array, plan: Plan) -> Array:
    """``Y Xᵀ``, the gradient of the weight, group by group."""
    if plan.groups == 1:
        return (rows @ columns[0].T).reshape(plan.weight)
    grouped = rows.reshape(plan.groups, plan.narrow[1] // plan.groups, rows.shape[1])
    return (grouped @ columns.swapaxes(1, 2)).reshape(plan.weight)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


# -- borders -----------------------------------------------------------------------------------------------------------
