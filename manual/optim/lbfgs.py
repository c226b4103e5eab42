"""L-BFGS: a quasi-Newton step from the last few changes of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from manual.engine import enable_grad
from manual.optim.line_search import largest, strong_wolfe
from manual.optim.optimizer import Optimizer, at_least_zero
from manual.rules.core import Array

__all__ = ["LBFGS"]

LEAST_CURVATURE = 1e-10
"""A pair with less of it is not remembered: it would spoil the inverse Hessian."""


class LBFGS(Optimizer):
    """Limited-memory BFGS, with a fixed step or a line search.

    All parameters form one vector ``θ``. One ``step`` makes up to ``max_iter`` iterations, and calls the closure for
    each loss and gradient it needs. Iteration ``k``, with gradient ``g`` and the remembered pairs ``(sᵢ, yᵢ)``::

        y ← g − g₋,  s ← t d            what the last iteration changed, from k = 2 on
        if yᵀs > 1e-10: remember (s, y), ρ = 1/yᵀs, and H = yᵀs / yᵀy
        q ← −g
        for i from the newest pair to the oldest:  αᵢ = ρᵢ sᵢᵀq,  q ← q − αᵢ yᵢ
        d ← H q
        for i from the oldest to the newest:       d ← d + (αᵢ − ρᵢ yᵢᵀd) sᵢ
        t ← γ                           with min(1, 1/‖g‖₁) γ at the first iteration of all
        stop if gᵀd > −tolerance_change
        t ← line search from t          with line_search_fn="strong_wolfe"
        θ ← θ + t d

    The two loops apply to ``−g`` the matrix that the BFGS update, repeated for every pair from the start ``H I``, would
    have made of the inverse Hessian: ``B ← (I − ρ s yᵀ) B (I − ρ y sᵀ) + ρ s sᵀ``, which meets ``B y = s``.

    A step ends after ``max_iter`` iterations or ``max_eval`` evaluations (by default 5/4 of ``max_iter``), and where
    the largest element of ``|g|`` is at most ``tolerance_grad``, that of ``|t d|`` at most ``tolerance_change``, or the
    loss changed by less than ``tolerance_change``.

    State, kept under the first parameter: ``func_evals`` and ``n_iter`` (counts), ``d``, ``t``, ``old_dirs`` (the
    ``yᵢ``), ``old_stps`` (the ``sᵢ``), ``ro`` (the ``ρᵢ``), ``H_diag`` (``H``), ``prev_flat_grad`` and ``prev_loss``
    (of the last iteration's start), ``al`` (the ``αᵢ``, a list of ``history_size``). What torch keeps as a tensor is an
    array here, what it keeps as a number is one.

    Nocedal and Wright, "Numerical Optimization" (2nd edition), algorithms 7.4 and 7.5; Schmidt's minFunc (2005).

    Convention: a step without line search is ``γ`` long whatever the loss does, as in torch; the book has no such step.

    Convention: memory goes on from one ``step`` to the next, as in torch, and the first evaluation of a step is made
    anew; so with another batch, ``y`` mixes the change of the batch with that of the parameters.

    Convention: without line search the loss is not evaluated after the last iteration, as in torch, so that ``step``
    calls the closure as often as it iterates.

    Convention: parameters without gradient count as having a gradient of zeros, as in torch, and row-sparse gradients
    are made dense.

    Shapes: parameters and gradients of any shape; each remembered ``s`` and ``y`` is one vector of all their elements.

    Raises
    ------
    ValueError
        If there is more than one parameter group.
    RuntimeError
        From ``step``, if ``line_search_fn`` is another name.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, -2.0]))
    >>> lbfgs = optim.LBFGS([weight], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     lbfgs.zero_grad()
    ...     loss = ((weight - tensor([3.0, 4.0])) * tensor([1.0, 3.0])).square().sum()
    ...     loss.backward()
    ...     return loss
    >>> lbfgs.step(closure).item()
    328.0
    >>> weight.data
    array([3., 4.], dtype=float32)
    """

    elementwise = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        at_least_zero("learning rate", lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Iterate.

        Parameters
        ----------
        closure : callable
            Clears the gradients, evaluates the model, calls ``backward`` and returns the loss. It is called many times.

        Returns
        -------
        What the closure returned first: the loss at the start.
        """
        self._opt_called = True
        group = self.param_groups[0]
        lr, tolerance = group["lr"], group["tolerance_change"]
        if not isinstance(lr, (int, float)):
            lr = float(lr)
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        with enable_grad():
            first_loss = closure()
        loss, g = float(first_loss), self._gradient()
        evaluations = 1
        state["func_evals"] += 1
        if largest(g) <= group["tolerance_grad"]:
            return first_loss

        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                state.update(d=-g, old_dirs=[], old_stps=[], ro=[], H_diag=1)
                t = _first_length(g) * lr
            else:
                self._remember(state, g, group["history_size"])
                state["d"] = _direction(state, g, group["history_size"])
                t = lr
            d = state["d"]
            before = loss
            state.update(t=_kept(t), prev_flat_grad=g, prev_loss=loss)

            slope = np.dot(g, d)
            if slope > -tolerance:
                break

            made = 0
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                loss, g, t, made = strong_wolfe(
                    self._along(closure, d), t, d, loss, g, slope, evaluations=group["max_eval"] - evaluations
                )
                state["t"] = _kept(t)
                self._move(t, d)
            else:
                self._move(t, d)
                if iteration < group["max_iter"]:
                    with enable_grad():
                        loss = float(closure())
                    g = self._gradient()
                    made = 1
            evaluations += made
            state["func_evals"] += made

            if (
                iteration == group["max_iter"]
                or evaluations >= group["max_eval"]
                or largest(g) <= group["tolerance_grad"]
                or largest(d) * abs(t) <= tolerance
                or abs(loss - before) < tolerance
            ):
                break
        return first_loss

    # -- the parameters as one vector --------------------------------------------------------------------------------

    def _gradient(self) -> Array:
        """All gradients, one after the other, in a new array."""
        return np.concatenate(
            [
                np.zeros(tensor.data.size, tensor.data.dtype) if tensor.grad is None else np.ravel(tensor.grad)
                for tensor in self.param_groups[0]["params"]
            ]
        )

    def _move(self, t: Any, d: Array) -> None:
        """``θ ← θ + t d``."""
        start = 0
        for tensor in self.param_groups[0]["params"]:
            parameter = tensor.data
            parameter += t * d[start : start + parameter.size].reshape(parameter.shape)
            start += parameter.size

    def _along(self, closure: Callable[[], Any], d: Array) -> Callable[[Any], tuple[float, Array]]:
        """The loss and gradient at a length ``t`` along ``d``; the parameters stay where they are."""
        tensors = self.param_groups[0]["params"]
        origin = [tensor.data.copy() for tensor in tensors]

        def evaluate(t: Any) -> tuple[float, Array]:
            self._move(t, d)
            with enable_grad():
                loss = float(closure())
            gradient = self._gradient()
            for tensor, start in zip(tensors, origin, strict=True):
                tensor.data[...] = start
            return loss, gradient

        return evaluate

    # -- memory ------------------------------------------------------------------------------------------------------

    def _remember(self, state: dict[str, Any], g: Array, history_size: int) -> None:
        """Add the last iteration's pair to the memory, if it has curvature."""
        y, s = g - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = np.dot(y, s)
        if not curvature > LEAST_CURVATURE:
            return
        if len(state["old_dirs"]) == history_size:
            for name in ("old_dirs", "old_stps", "ro"):
                state[name].pop(0)
        state["old_dirs"].append(y)
        state["old_stps"].append(s)
        state["ro"].append(_kept(1.0 / curvature))
        state["H_diag"] = _kept(curvature / np.dot(y, y))

    def _loaded(self, slots: dict[str, Any], parameter: Array, number: Any) -> dict[str, Any]:
        return {name: _as_arrays(value, parameter.dtype) for name, value in slots.items() if value is not None}


def _direction(state: dict[str, Any], g: Array, history_size: int) -> Array:
    """The two loops: the inverse Hessian's approximation applied to ``−g``."""
    changes, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
    al = state.setdefault("al", [None] * history_size)
    d = -g
    scratch = np.empty_like(d)
    for i in reversed(range(len(changes))):
        al[i] = _kept(np.dot(steps[i], d) * ro[i])
        d -= np.multiply(changes[i], al[i], out=scratch)
    d *= state["H_diag"]
    for i in range(len(changes)):
        d += np.multiply(steps[i], al[i] - np.dot(changes[i], d) * ro[i], out=scratch)
    return d


@np.errstate(divide="ignore", over="ignore")
def _first_length(g: Array) -> Any:
    return min(1.0, 1.0 / np.abs(g).sum())


def _kept(value: Any) -> Any:
    """A scalar as state holds it: a 0-d array where torch has a tensor, a Python number where torch has one."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def _as_arrays(value: Any, dtype: np.dtype[Any]) -> Any:
    """Copies of all arrays in nested lists, in one dtype; numbers stay numbers."""
    if isinstance(value, (list, tuple)):
        return [_as_arrays(item, dtype) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return np.array(value, dtype)
