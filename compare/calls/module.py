"""``compare.module``: a hand-written layer, forward and backward, against a module of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from compare.batches import InputError
from compare.calls.arrays import admit, called, describe, listed, map_tree, narrowest, tree_leaves
from compare.calls.call import Call
from compare.calls.layers import FunctionClass, ManualFunction, ManualModule, TorchModule, copied
from compare.calls.renamed import Renamed, told_nearest
from compare.calls.running import checked_seed, checked_tolerance, dtype_hint, verdict_of
from compare.naming import NameMap, Names, name_map
from compare.report.report import Report
from compare.tolerance import Tolerance
from compare.verdict import Outcome
from manual.nn import Module
from torch_ref.recording import to_array

__all__ = ["module"]


def module(
    manual_fn: Any,
    torch_module: nn.Module,
    *inputs: Any,
    names: Names = None,
    tolerance: Tolerance | str | None = None,
    seed: int = 0,
) -> Report:
    """Compare outputs, input gradients and parameter gradients of a layer of yours with those of PyTorch's.

    The gradient that comes in from behind is drawn at random: both signs, several magnitudes, never all ones.

    Parameters
    ----------
    manual_fn : callable, manual.nn.Module, torch.autograd.Function or nn.Module
        A function ``manual_fn(inputs, parameters) -> (output, backward)``, where
        ``backward(incoming) -> (input gradients, {name: gradient})``. ``inputs`` is a tuple, also of one array;
        ``parameters`` maps PyTorch's names to arrays, buffers after the parameters. Several outputs are a tuple, and
        ``incoming`` then is one, too. Input gradients are a tuple, or an array if there is one input; an input
        without a gradient (an integer) has ``None``.
        A class of ``torch.autograd.Function`` is applied to the inputs and then the parameters in PyTorch's order. A
        module of :mod:`manual.nn` or PyTorch gets the parameters of ``torch_module``.
    torch_module : nn.Module
        It is copied, and left as it is.
    *inputs : NumPy arrays
        Floating, integer or boolean, or tuples of them; other constants are handed on as they are.
    names : dict or callable, optional
        What your layer calls the parameters, in terms of PyTorch's names: ``{"W": "weight"}``, patterns with one ``*``,
        or a function of your name; a value may be ``(name, axes)``, the order of axes that turns your array into
        PyTorch's. A function of yours is then given its own names and layouts, too, but where ``names`` is a function,
        which cannot be read backwards.
    tolerance : "measured" (the default), "fixed" or a :class:`compare.tolerance.Tolerance`
    seed : int
        Seeds the incoming gradient.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If the arguments cannot be used. What the two layers do wrong is in the report.
    """
    seed = checked_seed(seed)
    if not isinstance(torch_module, nn.Module):
        what = f"the class {called(torch_module)}" if isinstance(torch_module, type) else describe(torch_module)
        raise InputError(f"torch_module is {what}; it must be an instance of torch.nn.Module")
    if not inputs:
        raise InputError("no inputs: give the arrays that the module is called with after the module")
    given = tuple(_admitted(f"inputs[{i}]", value) for i, value in enumerate(inputs))
    told: dict[str, None] = {}
    # a tree is watched where both sides have one; a function shows its outputs only
    tree = isinstance(manual_fn, (Module, nn.Module))
    prototype = copied(torch_module)

    def expected() -> TorchModule:
        return TorchModule(prototype, tree=tree, seed=seed)

    mapping = _matched(names, manual_fn, prototype)
    make_actual = _actual(manual_fn, prototype, told, seed, mapping)
    incoming = _incoming(expected, given, seed)
    arrays = [leaf for _, leaf in tree_leaves(given, "") if isinstance(leaf, np.ndarray)]
    held = [to_array(p) for p in prototype.parameters()]
    backward = any(array.dtype.kind == "f" for array in arrays)
    named = [name for name, parameter in prototype.named_parameters() if parameter.requires_grad]
    promises = ["forward", *(["backward"] if backward else []), *(["accumulated"] if named else [])]
    verdict = verdict_of(
        make_actual,
        expected,
        [[((given, incoming), 1.0)]],
        tolerance=checked_tolerance(tolerance),
        dtype=narrowest([*arrays, *held]),
        seed=seed,
        told=told,
        name=called(manual_fn),
        promises=promises,
        only=("init", "forward", "backward", "accumulated", "buffer"),
        irrelevant=("one step", "one micro-batch", "no deposit"),
        one_point=True,
    )
    dtype_hint(verdict, arrays, held)
    if verdict.outcome is Outcome.ABSTAINED:
        missing = [name for name in named if f"accumulated: {name}" in verdict.coverage.only_expected]
        if missing:
            verdict.reason = f"the backward of {called(manual_fn)} returned no gradient for {listed(missing)}"
    told_nearest(verdict.coverage, mapping)
    home = "torch.nn." if type(torch_module).__module__.startswith("torch.nn.") else ""
    call = Call(
        "module",
        {
            "manual_fn": manual_fn,
            "torch_module": prototype,
            "inputs": given,
            "names": names,
            "tolerance": tolerance,
            "seed": seed,
        },
    )
    return Report(verdict, f"{called(manual_fn)} against {home}{called(torch_module)}", call)


def _admitted(what: str, value: Any) -> Any:
    """An input, copied; a constant stays as it is."""
    if type(value) in (bool, int, float, str, type(None)):
        return value
    if isinstance(value, tuple):
        return map_tree(admit, value, what)
    return admit(what, value)


def _matched(names: Names, manual_fn: Any, prototype: nn.Module) -> NameMap:
    """The layer's own names and PyTorch's; what a function calls its parameters shows when it is called."""
    theirs = {name: tuple(value.shape) for name, value in prototype.state_dict().items()}
    paths = [path for path, _ in prototype.named_modules() if path]
    if isinstance(manual_fn, (Module, nn.Module)):
        mine = {name: tuple(np.shape(value)) for name, value in manual_fn.state_dict().items()}
        return name_map(names, mine, theirs, later=paths)
    found = name_map(names, {}, theirs, later=theirs)
    found.only_expected = []  # a function is given what PyTorch has
    return found


def _actual(
    manual_fn: Any, prototype: nn.Module, told: dict[str, None], seed: int, names: NameMap
) -> Callable[[], Any]:
    """The factory of the user's side, by what the user handed in."""
    if isinstance(manual_fn, (Module, nn.Module)):
        values = {}
        for theirs, value in prototype.state_dict().items():
            mine = names.actual_name(theirs)
            values[mine] = np.asarray(names.to_actual(mine, to_array(value)), order="C")
        try:
            if isinstance(manual_fn, Module):
                ManualModule(manual_fn, values)
                return lambda: Renamed(ManualModule(manual_fn, values), names)
            twin = copied(manual_fn)
            twin.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in values.items()})
        except RuntimeError as error:
            tips = [f"{name!r}: {tip}" for name in names.only_actual if (tip := names.hint("actual", name))]
            raise InputError(
                f"{called(manual_fn)} cannot take the parameters of {called(prototype)}: {' '.join(str(error).split())}"
                + "".join(f"; {tip}" for tip in tips)
            ) from error
        return lambda: Renamed(TorchModule(twin, tree=True, seed=seed), names)
    if isinstance(manual_fn, type):
        if issubclass(manual_fn, torch.autograd.Function):
            if names.given:
                raise InputError(
                    f"names means nothing for {called(manual_fn)}: an autograd.Function is applied to the parameters "
                    "in PyTorch's order"
                )
            return lambda: FunctionClass(manual_fn, prototype, seed=seed)
        raise InputError(f"manual_fn is the class {called(manual_fn)}; hand in an instance, or a function")
    if not callable(manual_fn):
        raise InputError(f"manual_fn is {describe(manual_fn)}; it must be a function or a module")
    return lambda: ManualFunction(manual_fn, prototype, told, names)


# -- the incoming gradient ---------------------------------------------------------------------------------------------


def _incoming(make_expected: Callable[[], TorchModule], inputs: tuple[Any, ...], seed: int) -> Any:
    """A gradient for every output through which one flows, in the structure of the output.

    ``None`` where PyTorch's module raises: the walk meets that again and reports it.
    """
    side = make_expected()
    try:
        output = side.run(inputs)
    except Exception:
        return None
    generator = np.random.default_rng(seed)

    def arriving(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return tuple(arriving(item) for item in value)
        if not isinstance(value, torch.Tensor) or not value.requires_grad:
            return None
        return hostile(tuple(value.shape), to_array(value).dtype, generator)

    return arriving(output)


def hostile(shape: Sequence[int], dtype: Any, generator: np.random.Generator) -> np.ndarray:
    """Random numbers of both signs and several magnitudes: no two rules look alike under them."""
    numbers = generator.standard_normal(shape) * 10.0 ** generator.uniform(-1.5, 0.5, shape)
    return np.asarray(numbers, dtype)
