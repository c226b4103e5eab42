"""``compare.gradients``: hand-derived gradients of a scalar function against autograd's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from compare.batches import InputError
from compare.calls.arrays import ContractError, Watch, admit, as_array, called, describe, hint, listed, narrowest
from compare.calls.call import Call
from compare.calls.running import checked_seed, checked_tolerance, verdict_of
from compare.calls.sides import Given, Reference, as_tensor
from compare.naming import NameMap, Names, name_map, order_of_axes, suggestion
from compare.report.report import Report
from compare.tolerance import Tolerance
from compare.verdict import Outcome, Verdict
from torch_ref.recording import to_array

__all__ = ["gradients"]

Constant = (bool, int, float, str, type(None))
"""What is handed to both functions as it is: a setting, not an input."""


def gradients(
    manual_fn: Callable[..., Any],
    torch_fn: Callable[..., Tensor],
    inputs: Mapping[str, Any],
    *,
    wrt: Iterable[str] | None = None,
    names: Names = None,
    tolerance: Tolerance | str | None = None,
    seed: int = 0,
) -> Report:
    """Compare the loss and the gradients that a function of yours returns with what autograd computes.

    Shapes: each gradient has its input's; the loss is a scalar.

    Parameters
    ----------
    manual_fn : callable
        ``manual_fn(**inputs) -> (loss, {name: gradient})``, in NumPy or in whatever NumPy can read.
    torch_fn : callable
        ``torch_fn(**inputs) -> scalar tensor``; it gets tensors of the same dtypes.
    inputs : dict of name to NumPy array
        Floating, integer or boolean. Each side gets copies, in native byte order and C order. Python numbers, strings
        and ``None`` are settings: both functions get them as they are.
    wrt : names, optional
        The inputs whose gradients are compared. Naming one promises its gradient. By default every floating input for
        which ``manual_fn`` returns one; the others are listed in the coverage as not compared.
    names : dict or callable, optional
        What ``manual_fn`` calls its arguments and gradients, in terms of ``inputs``: ``{"dW": "W"}``, patterns with
        one ``*`` (``{"d*": "*"}``), or a function of its name; a value may be ``(name, axes)``, the order of axes that
        turns its array into PyTorch's.
    tolerance : "measured" (the default), "fixed" or a :class:`compare.tolerance.Tolerance`
    seed : int
        Seeds what the comparison itself draws.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If the inputs, ``wrt`` or the tolerance cannot be used. What the two functions do wrong is in the report.

    Examples
    --------
    >>> import compare, torch, numpy as np
    >>> report = compare.gradients(
    ...     lambda w, x: (((x @ w) ** 2).sum(), {"w": x.T @ (x @ w)}),
    ...     lambda w, x: ((x @ w) ** 2).sum(),
    ...     {"w": np.array([1.0, -2.0]), "x": np.array([[1.0, 3.0], [2.0, 0.5]])},
    ... )
    >>> report.outcome == "diverged", report.first_divergence.checkpoint.name, report.causes[0].cause
    (True, 'w', 'constant factor')
    """
    seed = checked_seed(seed)
    keys, values = _admitted(inputs)
    floating = [n for n, v in zip(keys, values, strict=True) if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    asked = _asked(wrt, keys, values, floating)
    mapping = name_map(names, {}, dict(zip(keys, values, strict=True)), later=keys)
    arguments = _arguments(manual_fn, keys, mapping)
    told: dict[str, None] = {}
    notes: list[str] = []

    def actual(compared: Sequence[str]) -> _ManualFunction:
        return _ManualFunction(manual_fn, keys, values, asked, compared, told, notes, mapping, arguments)

    returned = _returned(actual(asked), values, asked)
    compared = [name for name in asked if wrt is not None or name in returned]

    def expected() -> _TorchFunction:
        return _TorchFunction(torch_fn, keys, values, asked, compared, told)

    verdict = verdict_of(
        lambda: actual(compared),
        expected,
        [[((tuple(values), None), 1.0)]],
        tolerance=checked_tolerance(tolerance),
        dtype=narrowest(values),
        seed=seed,
        told=told,
        name=called(manual_fn),
        promises=("accumulated",),
        only=("init", "loss", "accumulated"),
        irrelevant=("one step", "one micro-batch", "no "),
        one_point=True,
    )
    coverage = verdict.coverage
    coverage.notes += [note for note in dict.fromkeys([*notes, *mapping.unused()]) if note not in coverage.notes]
    missing = [name for name in floating if name not in returned]
    if missing:
        coverage.notes.append(f"not compared: {called(manual_fn)} returned no gradient for {listed(missing)}")
        coverage.only_expected += [
            text for name in missing if (text := f"accumulated: {name}") not in coverage.only_expected
        ]
    if verdict.outcome is Outcome.ABSTAINED:
        promised = [name for name in missing if name in compared]
        if promised:
            verdict.reason = f"{called(manual_fn)} returned no gradient for {listed(promised)}, which wrt asks for"
        elif not compared:
            verdict.reason = f"{called(manual_fn)} returned no gradient, so none was compared"
        else:
            _reconsider(verdict, expected, values, keys, seed)
    call = Call(
        "gradients",
        {
            "manual_fn": manual_fn,
            "torch_fn": torch_fn,
            "inputs": dict(zip(keys, values, strict=True)),
            "wrt": None if wrt is None else asked,
            "names": names,
            "tolerance": tolerance,
            "seed": seed,
        },
    )
    return Report(verdict, f"gradients of {called(manual_fn)} against {called(torch_fn)}", call)


# -- the inputs --------------------------------------------------------------------------------------------------------


def _admitted(inputs: Any) -> tuple[list[str], list[Any]]:
    if not isinstance(inputs, Mapping):
        raise InputError(f"inputs is {describe(inputs)}; it must be a dict of name to NumPy array")
    if not inputs:
        raise InputError("inputs is empty: there is nothing to differentiate with respect to")
    for name in inputs:
        if not isinstance(name, str):
            raise InputError(f"inputs has the key {name!r}; keys are the names of the functions' arguments")
    constants = {name for name, value in inputs.items() if type(value) in Constant}
    values = [value if name in constants else admit(f"inputs[{name!r}]", value) for name, value in inputs.items()]
    return list(inputs), values


def _asked(
    wrt: Iterable[str] | None, names: Sequence[str], values: Sequence[Any], floating: Sequence[str]
) -> list[str]:
    """The inputs whose gradients autograd is asked for."""
    if not floating:
        raise InputError(f"no input is floating ({listed(names)}): there is nothing to differentiate with respect to")
    if wrt is None:
        return list(floating)
    asked = list(dict.fromkeys([wrt] if isinstance(wrt, str) else wrt))
    if not asked:
        raise InputError("wrt is empty: no gradient would be compared; leave it out for every floating input")
    for name in asked:
        if name not in names:
            raise InputError(f"wrt names {name!r}, which is no input; {hint(name, names)}")
        if name not in floating:
            raise InputError(f"wrt names {name!r}, which is {_kind(values[names.index(name)])} and has no gradient")
    return asked


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an input of dtype {value.dtype}"
    return f"the setting {value!r}"


def _arguments(function: Any, keys: Sequence[str], names: NameMap) -> dict[str, str]:
    """By input what the function calls that argument: its own name, where the map makes the input's of it."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # built in another language: it says nothing about itself
        return {}
    found: dict[str, str] = {}
    for name in parameters:
        target = names.expected_name(name)
        if name not in keys and target in keys:
            if target in found:
                raise InputError(
                    f"names maps both {found[target]!r} and {name!r}, arguments of one function, to {target!r}"
                )
            names.met(name)
            found[target] = name
    return found


def _returned(side: _ManualFunction, values: Sequence[Any], asked: Sequence[str]) -> set[str]:
    """The inputs for which the function returns a gradient; all, if it fails, for the walk to meet the failure."""
    try:
        side.accumulate((tuple(values), None), 1.0)
    except Exception:
        return set(asked)
    return side.returned


# -- the sides ---------------------------------------------------------------------------------------------------------


class _ManualFunction(Given):
    """The user's function as a side: one micro-batch, whose gradients are what it returns."""

    def __init__(
        self,
        function: Callable[..., Any],
        names: Sequence[str],
        values: Sequence[Any],
        asked: Sequence[str],
        compared: Sequence[str],
        told: dict[str, None],
        notes: list[str],
        mapping: NameMap,
        arguments: Mapping[str, str],
    ):
        super().__init__({n: v for n, v in zip(names, values, strict=True) if n in compared})
        self.function = function
        self._names = names
        self._asked = asked
        self._told = told
        self._notes = notes
        self._map = mapping
        self._arguments = arguments
        self.returned: set[str] = set()

    def accumulate(self, micro_batch: Any, weight: float) -> dict[str, Any]:
        (values, _), who = micro_batch, called(self.function)
        given = {
            name: self.parameters.get(name, self.fitted(value)) if isinstance(value, np.ndarray) else value
            for name, value in zip(self._names, values, strict=True)
        }
        watch = Watch(self._told)
        own = {self._arguments.get(name, name): value for name, value in given.items()}
        result = self.function(**{name: self._handed(name, value, watch) for name, value in own.items()})
        wanted = f"{who} must return (loss, {{name: gradient}})"
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise ContractError(f"{wanted}; it returned {describe(result)}")
        loss, returned = result
        if not isinstance(returned, Mapping):
            raise ContractError(f"{wanted}; the second is {describe(returned)}")
        if loss is None:
            raise ContractError(f"{wanted}; the loss is None")
        self.gradients = {}
        self.returned = set()
        for name, gradient in returned.items():
            self._take(name, gradient, given)
        loss = as_array(f"the loss that {who} returned", loss)
        watch.look(who)
        return {"data": loss}

    def _handed(self, name: str, value: Any, watch: Watch) -> Any:
        """An argument in the function's own layout, as a copy."""
        if not isinstance(value, np.ndarray):
            return value
        return watch(f"its input {name!r}", np.asarray(self._map.to_actual(name, value), order="C"))

    def _take(self, own: str, gradient: Any, given: Mapping[str, Any]) -> None:
        who = called(self.function)
        name = self._map.met(own) if isinstance(own, str) else own
        if name not in given:
            shapes = {n: v.shape for n, v in given.items() if isinstance(v, np.ndarray) and n not in self.returned}
            tip = suggestion(str(own), getattr(gradient, "shape", None), shapes) or hint(own, given)
            raise ContractError(f"{who} returned a gradient for {own!r}, which is no input; {tip}")
        if gradient is None:
            return
        if name in self.returned:
            raise ContractError(f"{who} returned two gradients for {name!r}, one of them as {own!r}")
        self.returned.add(name)
        value = given[name]
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            raise ContractError(f"{who} returned a gradient for {name!r}, which is {_kind(value)} and has none")
        if name not in self._asked:
            self._notes.append(f"not compared: {who} returned a gradient for {name!r}, which wrt leaves out")
            return
        found = as_array(f"the gradient that {who} returned for {own!r}", gradient, value.dtype)
        axes = order_of_axes(found.shape, value.shape)
        if axes is not None and self._map.order_of(own) is None:
            self._notes.append(
                f"the gradient for {own!r} has shape {found.shape}, the input {value.shape}: transpose it; or, if that "
                f"is your layout of both, say names={{{own!r}: ({name!r}, {axes})}}"
            )
        self.gradients[name] = np.asarray(self._map.to_expected(own, found), order="C")


class _TorchFunction(Reference):
    """The function in PyTorch as a side.

    Attributes
    ----------
    function : callable
        What the user handed in.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        names: Sequence[str],
        values: Sequence[Any],
        asked: Sequence[str],
        compared: Sequence[str],
        told: dict[str, None],
    ):
        given = zip(names, values, strict=True)
        super().__init__({name: as_tensor(value, False, True) for name, value in given if name in compared})
        self.function = function
        self._names = names
        self._asked = asked
        self._told = told

    def accumulate(self, micro_batch: Any, weight: float) -> dict[str, Any]:
        values, _ = micro_batch
        given = {}
        for name, value in zip(self._names, values, strict=True):
            if name in self._named:
                given[name] = self._named[name]
            elif isinstance(value, np.ndarray):
                given[name] = as_tensor(value, self._wide, name in self._asked)
            else:
                given[name] = value
        before = _copied(given)
        loss = self.function(**given)
        self._check(loss)
        for name, now in _copied(given).items():
            if not np.array_equal(before[name], now, equal_nan=now.dtype.kind == "f"):
                self._told[f"{called(self.function)} changes its input {name!r} in place; work on a copy"] = None
        found = torch.autograd.grad(loss, list(self._named.values()), allow_unused=True) if self._named else ()
        for tensor, gradient in zip(self._named.values(), found, strict=True):
            if gradient is not None:
                tensor.grad = gradient * weight if tensor.grad is None else tensor.grad + gradient * weight
        return {"data": to_array(loss)}

    def _check(self, loss: Any) -> None:
        wanted = f"{called(self.function)} must return a scalar tensor"
        if not isinstance(loss, Tensor):
            raise ContractError(f"{wanted}; it returned {describe(loss)}")
        if loss.numel() != 1:
            raise ContractError(f"{wanted}; it returned one of shape {tuple(loss.shape)}: take its mean or sum")
        if not loss.requires_grad:
            raise ContractError(
                f"{wanted} that depends on {listed(self._asked)}; no gradient reaches them: "
                "is it computed under no_grad, or through .detach(), .item() or NumPy?"
            )


def _copied(given: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The values of the tensors; nothing that watches the ops of the function sees them taken."""
    with _disable_current_modes():
        return {name: to_array(value).copy() for name, value in given.items() if isinstance(value, Tensor)}


# -- gradients that say little -----------------------------------------------------------------------------------------


def _reconsider(
    verdict: Verdict, make_expected: Callable[[], Any], values: Sequence[Any], names: Sequence[str], seed: int
) -> None:
    """Let agreement on a gradient that is the same number everywhere count where it is that number by nature.

    A constant gradient says little where the constancy is an accident of the inputs. The gradient of a mean is constant
    whatever they are; autograd is asked for it at other inputs.
    """
    accumulated = verdict.coverage.phases.get("accumulated")
    if verdict.sides is None or accumulated is None or verdict.diverged:
        return
    expected = {name: g for name, g in verdict.sides[1].gradients.items() if g is not None}
    silent = [name for name in expected if name not in accumulated.informative_names]
    if not silent or any(name not in accumulated.names for name in expected):
        return
    if not all(_constant(expected[name]) for name in silent):
        return
    generator = np.random.default_rng(seed)

    def moved(value: Any) -> Any:
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            return value
        return np.asarray(value * generator.standard_normal(value.shape), value.dtype)

    elsewhere = [moved(value) for value in values]
    side = make_expected()
    side.load_state({"parameters": {n: v for n, v in zip(names, elsewhere, strict=True) if n in side.parameters}})
    try:
        side.accumulate((tuple(elsewhere), None), 1.0)
    except Exception:
        return
    if all(side.gradients[name] is not None and _constant(side.gradients[name]) for name in silent):
        verdict.outcome, verdict.reason = Outcome.EQUIVALENT, ""
        verdict.coverage.notes.append(
            f"the gradient of {listed(silent)} is one number, whatever the inputs: another order of its elements would "
            "not have shown"
        )


def _constant(gradient: np.ndarray) -> bool:
    """Whether a gradient is one finite number other than zero, in every element."""
    return bool(gradient.size and np.isfinite(gradient).all() and gradient.flat[0] != 0 and np.ptp(gradient) == 0.0)
