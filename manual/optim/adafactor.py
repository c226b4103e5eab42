"""Adafactor: the second moment of a matrix kept as a row and a column."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from manual.optim.averages import average
from manual.optim.bundles import slot_like
from manual.optim.optimizer import Optimizer, Rate, check_learning_rate
from manual.rules.core import Array

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Divide the gradient by a factored root mean square, clip the step, and scale it by the parameter's own size.

    With gradient ``G`` (n x m, or a stack of such matrices), weight decay ``λ`` and rate ``γ``, from ``R = C = V = 0``,
    for ``t = 1, 2, ...`` and ``RMS(x) = √(mean of x²)``::

        G ← −G                          to maximise
        β = 1 − t^τ
        α = max(ε₂, RMS(θ)) min(γ, 1/√t)
        θ ← θ − γ λ θ
        R ← β R + (1 − β) mean over columns of G²       (n x 1)
        C ← β C + (1 − β) mean over rows of G²          (1 x m)
        V = R C / max(mean of R, ε₁)                    (n x m)
        V ← β V + (1 − β) G²            in place of the three lines above, where G has fewer than two dimensions
        U = G / √max(V, ε₁²)
        θ ← θ − α U / max(1, RMS(U) / d)

    Slots: ``step`` (``t``), ``row_var`` (``R``) and ``col_var`` (``C``), or ``variance`` (``V``).

    Among the matrices of rank one that are nowhere negative, ``R C / mean(R)`` is the one nearest to the moving mean of
    ``G²`` in generalised Kullback-Leibler divergence; it has the same row and column means. For an n x m matrix it
    takes n + m numbers of memory, not n m.

    Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost" (ICML 2018), algorithm 4.

    Convention: ``ε₁`` is a floor under the mean of ``R`` and, squared, under ``V``, as in torch; the paper adds it to
    ``G²``. Where it is None it is the machine epsilon of the *first* parameter of the group that has a gradient, also
    for parameters of another dtype, as in torch.

    Convention: ``R`` and ``C`` are means, as in torch; in the paper sums. ``V`` is the same.

    Convention: the step is relative to the size of ``θ`` before it decays, and ``γ`` bounds the relative step, as in
    torch; the paper has 0.01 in its place, and no weight decay.

    Convention: an empty parameter stays as it is and counts its steps; torch divides by zero.

    Shapes: parameters and gradients of any shape; from two axes on ``(..., n, m)`` the slots are ``row_var`` ``(..., n,
    1)`` and ``col_var`` ``(..., 1, m)``, below ``variance`` of the parameter's shape. ``step`` is a scalar.

    Raises
    ------
    ValueError
        If the rate, an ``eps`` or the weight decay is negative, ``beta2_decay`` positive, or ``d`` less than 1.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([[1.0, 1.0], [1.0, 1.0]]))
    >>> adafactor = optim.Adafactor([weight], lr=0.5)
    >>> weight.backward(tensor([[1.0, 2.0], [3.0, -6.0]]))
    >>> adafactor.step()
    >>> adafactor.state[weight]["row_var"]
    array([[ 2.5],
           [22.5]], dtype=float32)
    >>> weight.data
    array([[0.5, 0.5],
           [0.5, 1.5]], dtype=float32)
    """

    elementwise = False

    scalar_slots = ("step",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: Rate = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ):
        check_learning_rate(lr, "Learning rate should be >= 0 but is")
        if not beta2_decay <= 0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not eps[0] >= 0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not eps[1] >= 0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not d >= 1:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": tuple(eps),
            "d": d,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def new_slots(self, parameter: Array, group: dict[str, Any]) -> dict[str, Any]:
        slots: dict[str, Any] = {"step": np.zeros((), np.float32)}
        if parameter.ndim < 2:
            return {**slots, "variance": slot_like(parameter)}
        *stack, n, m = parameter.shape
        slots["row_var"] = np.zeros((*stack, n, 1), parameter.dtype)
        slots["col_var"] = np.zeros((*stack, 1, m), parameter.dtype)
        return slots

    def slot_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        if name == "row_var":
            return (*shape[:-1], 1)
        return (*shape[:-2], 1, *shape[-1:]) if name == "col_var" else shape

    def update(self, parameter: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]) -> None:
        if not parameter.size:
            return
        lr, t, (_, smallest) = float(group["lr"]), slots["step"].item(), group["eps"]
        floor, beta = first_epsilon(group), 1 - t ** group["beta2_decay"]
        alpha = max(smallest, root_mean_square(parameter)) * min(lr, 1 / math.sqrt(t))
        if group["weight_decay"]:
            parameter *= 1 - lr * group["weight_decay"]

        G = -gradient if group["maximize"] else gradient
        V = np.multiply(G, G, out=np.empty_like(parameter))
        if parameter.ndim < 2:
            average(slots["variance"], V, beta, None)
            V[...] = slots["variance"]
        else:
            R, C = slots["row_var"], slots["col_var"]
            average(R, V.mean(axis=-1, keepdims=True), beta, None)
            average(C, V.mean(axis=-2, keepdims=True), beta, None)
            np.multiply(R, C, out=V)
            V /= np.maximum(R.mean(axis=-2, keepdims=True), floor)

        root = np.sqrt(np.maximum(V, floor**2, out=V), out=V)
        U = np.divide(G, root, out=V)
        U *= alpha / max(1, root_mean_square(U) / group["d"])
        parameter -= U


def first_epsilon(group: dict[str, Any]) -> float:
    """``ε₁``, or the machine epsilon in its place."""
    given = group["eps"][0]
    if given is not None:
        return float(given)
    first = next(tensor for tensor in group["params"] if tensor.grad is not None)
    return float(np.finfo(first.dtype).eps)


def root_mean_square(array: Array) -> float:
    """``RMS(x)``, summed in float32 where the array is float16."""
    flat = array.ravel(order="K")
    if flat.dtype == np.float16:
        flat = flat.astype(np.float32)
    return math.sqrt(np.dot(flat, flat) / flat.size)
