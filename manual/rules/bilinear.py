"""A form that is linear in each of two inputs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, contraction

__all__ = ["bilinear"]


@contraction
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> tuple[Array, Pullback]:
    """Apply one bilinear form per output to the last axes of two inputs.

    Shapes: ``input1 (..., in1)``, ``input2 (..., in2)`` with the same leading axes, ``weight (out, in1, in2)``,
    ``bias (out,)`` or ``None``, value ``(..., out)``.

    Forward: ``y_o = Σ_ij u_i W_oij v_j + b_o``, in two steps: ``T_oj = Σ_i u_i W_oij``, one product of
    matrices for all rows, then ``y_o = Σ_j T_oj v_j + b_o``.

    Backward: with ``g`` incoming, ``dL/dT_oj = g_o v_j``. Hence ``dL/dv_j = Σ_o g_o T_oj``,
    ``dL/du_i = Σ_oj g_o v_j W_oij``, and summed over all rows ``dL/dW_oij = Σ u_i g_o v_j`` and ``dL/db_o = Σ g_o``.

    Raises
    ------
    RuntimeError
        If a shape does not fit.

    Examples
    --------
    >>> value, pullback = rules.bilinear(
    ...     np.array([[3.0, 2.0]]), np.array([[4.0, 5.0]]), np.array([[[1.0, 0.0], [0.0, -1.0]]])
    ... )
    >>> value
    array([[2.]])
    >>> pullback(np.array([[10.0]]), (True, False, False, False))[0]
    array([[ 40., -50.]])
    """
    _check(input1, input2, weight, bias)
    outputs, first, second = weight.shape
    rows = math.prod(input1.shape[:-1])
    u, v = input1.reshape(rows, first), input2.reshape(rows, second)
    flat = weight.swapaxes(0, 1).reshape(first, outputs * second)
    partial = (u @ flat).reshape(rows, outputs, second)
    value = (partial @ v[:, :, np.newaxis]).reshape(*input1.shape[:-1], outputs)
    if bias is not None:
        value += bias

    def bilinear_pullback(incoming: Array, needs: Needs) -> Gradients:
        g = incoming.reshape(rows, outputs)
        to_first = to_second = to_weight = to_bias = None
        if needs[0] or needs[2]:
            to_partial = (g[:, :, np.newaxis] * v[:, np.newaxis, :]).reshape(rows, outputs * second)
            if needs[0]:
                to_first = (to_partial @ flat.T).reshape(input1.shape)
            if needs[2]:
                product = (u.T @ to_partial).reshape(first, outputs, second)
                to_weight = np.ascontiguousarray(product.swapaxes(0, 1))
        if needs[1]:
            to_second = (g[:, np.newaxis, :] @ partial).reshape(input2.shape)
        if len(needs) > 3 and needs[3]:
            to_bias = np.ones(rows, g.dtype) @ g
        return (to_first, to_second, to_weight, to_bias)[: len(needs)]

    return value, bilinear_pullback


def _check(input1: Array, input2: Array, weight: Array, bias: Array | None) -> None:
    if weight.ndim != 3:
        raise RuntimeError(f"bilinear(): expected weight (out, in1, in2), got {list(weight.shape)}")
    if input1.ndim != input2.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1.ndim} and {input2.ndim}")
    for axis, (one, other) in enumerate(zip(input1.shape[:-1], input2.shape[:-1], strict=True)):
        if one != other:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {axis}: got {one} and {other}")
    for number, input in enumerate((input1, input2), 1):
        if not input.ndim or input.shape[-1] != weight.shape[number]:
            got = input.shape[-1] if input.ndim else 1
            raise RuntimeError(
                f"bilinear(): input{number} size does not match weight size: got {got} but expected "
                f"{weight.shape[number]}"
            )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {bias.shape[0] if bias.ndim else 1} but expected "
            f"{weight.shape[0]}"
        )
