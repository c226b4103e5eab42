"""``compare.training``: training steps of your own against those of PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

import torch_ref
from compare.batches import InputError, MicroBatch, check_batches, cut
from compare.calls.arrays import ContractError, admit, called, describe, narrowest
from compare.calls.call import Call
from compare.calls.owned import Owned, captured, is_factory, repeatable
from compare.calls.renamed import Renamed, told_nearest
from compare.calls.running import checked_seed, checked_sync, checked_tolerance, dtype_hint, verdict_of
from compare.culprit import MODEL
from compare.naming import NameMap, Names, name_map
from compare.report.report import Report
from compare.tolerance import Tolerance
from compare.verdict import Outcome
from torch_ref.copying import copy_side
from torch_ref.training import loss_denominator

__all__ = ["training"]


def training(
    side: Any,
    reference: Any,
    batches: Sequence[tuple[Any, Any]],
    micro_batches: int | Sequence[int] = 1,
    *,
    sync: str = "free",
    names: Names = None,
    tolerance: Tolerance | str | None = None,
    seed: int = 0,
) -> Report:
    """Compare whole training steps, one for each batch: loss, gradients, accumulation, clip, state, update, schedule.

    Parameters
    ----------
    side : object or factory
        Yours. It has ``parameters`` (name to array), ``gradients`` (name to array, cumulative), ``zero_grad()``,
        ``accumulate((x, y), weight)`` and ``step()``; whatever else :mod:`compare.side` lists is compared, too.
        ``accumulate`` adds ``weight`` times the gradient of the micro-batch's own mean loss, and returns that loss or
        nothing. An object is copied for every run, or used once if it cannot be copied; a factory makes a new one.
    reference : torch_ref.Side or a factory of one
        ``torch_ref.Side(module, optimizer, loss, scheduler=None, clip=None)``. It starts from the same parameters.
    batches : list of ``(x, y)``
        Arrays, or for ``x`` a tuple of arrays, with equal numbers of rows.
    micro_batches : int or row counts
        Into how many micro-batches each batch is cut, with a shorter tail, or their row counts. Each is weighed by its
        share of the loss's denominator: its rows, or what the reference's loss or ``denominator`` counts.
    sync : "free", "step" or "module"
        How to walk: both on their own, or from the reference's state before each step, or module by module.
    names : dict or callable, optional
        Your side's names in terms of PyTorch's: ``{"W1": "hidden.weight"}``, patterns with one ``*``
        (``{"layers_*_kernel": "layers.*.weight"}``), or a function of your name; a value may be ``(name, axes)``, the
        order of axes that turns your array into PyTorch's. It holds for parameters, buffers, module paths and slots.
        What has no counterpart is in the coverage, with the nearest candidates.
    tolerance : "measured" (the default), "fixed" or a :class:`compare.tolerance.Tolerance`
    seed : int
        Seeds the noise of the measured tolerance, and NumPy's and PyTorch's generators where a factory is called.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If the arguments cannot be used. What the two sides do wrong is in the report.
    """
    sync, tolerance = checked_sync(sync), checked_tolerance(tolerance)
    seed = checked_seed(seed)
    admitted = _admitted(batches)
    told: dict[str, None] = {}
    notes: list[str] = []
    repeated = True
    make_expected = _with_copies(_reference(reference, seed))
    twin = _tried(make_expected)

    def own(held: Any) -> Owned:
        return Owned(held, told, penalty=getattr(twin, "penalty", None) is not None)

    if is_factory("the side", side):
        make_actual: Callable[[], Any] = _seeded(lambda: own(side()), seed)
        one, other = _tried(make_actual), _tried(make_actual)
        _check_apart(
            one, other, "its factory hands out the same {name!r} twice; make everything inside the factory, from copies"
        )
    else:
        make_actual = repeatable(side, own, notes, needs_copies=sync == "module")
        one, repeated = own(side), not notes
    mapping = None
    if one is not None and twin is not None:
        mapping = _matched(names, one, twin, make_expected, admitted)
        notes += _about_parameters(one, twin, mapping)
        if names is not None:
            make_actual = _renaming(make_actual, mapping)
    steps = _steps(admitted, micro_batches, twin, make_expected, notes)
    parameters = [] if twin is None else list(twin.parameters.values())
    verdict = verdict_of(
        make_actual,
        make_expected,
        steps,
        tolerance=tolerance,
        dtype=narrowest(parameters),
        seed=seed,
        told=told,
        name=MODEL,
        sync=sync,
    )
    dtype_hint(verdict, [item for x, _ in admitted for item in _each(x)], parameters)
    verdict.coverage.notes += [note for note in notes if note not in verdict.coverage.notes]
    if mapping is not None:
        told_nearest(verdict.coverage, mapping)
    if verdict.outcome is Outcome.ERROR:
        verdict.reason += "".join(f"; {note}" for note in notes if "has shape" in note)
    module = getattr(twin, "module", twin)
    call = Call(
        "training",
        {
            "side": side,
            "reference": reference,
            "batches": admitted,
            "micro_batches": micro_batches,
            "sync": sync,
            "names": names,
            "tolerance": tolerance,
            "seed": seed,
        },
        once="" if repeated else "the side could not be copied and has been trained; hand in a factory of it",
    )
    return Report(verdict, f"training of {called(side)} against {called(module)}", call)


def _tried(make: Callable[[], Any]) -> Any:
    """What a factory makes, or ``None`` if it raises: the walk meets that again and reports it."""
    try:
        return make()
    except InputError:
        raise
    except Exception:
        return None


def _seeded(make: Callable[[], Any], seed: int) -> Callable[[], Any]:
    """A factory whose random numbers are the same in every call."""

    def seeded() -> Any:
        with _generators(seed):
            return make()

    return seeded


@contextmanager
def _generators(seed: int) -> Iterator[None]:
    """Seed the global generators of PyTorch and NumPy for a while."""
    state = np.random.get_state()  # noqa: NPY002 (a user's code may draw from it)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


# -- the reference -----------------------------------------------------------------------------------------------------


def _reference(reference: Any, seed: int) -> Callable[[], Any]:
    """A factory of the reference; what it is given stays as it is."""
    wanted = "it must be torch_ref.Side(module, optimizer, loss), or a factory of one"
    if isinstance(reference, torch_ref.Side):
        for what in ("penalty", "denominator", "clip", "loss"):
            held = getattr(reference, what)
            if not isinstance(held, nn.Module) and captured(held, _trained):
                raise InputError(
                    f"the reference's {what} reaches values from outside, which a copy of the module would not share; "
                    "hand in a factory of the reference in place of the object"
                )
        try:
            copy_side(reference)
        except Exception as error:
            raise InputError(
                f"the reference cannot be copied ({type(error).__name__}: {error}); hand in a factory of it"
            ) from error
        return lambda: copy_side(reference)
    try:
        factory = is_factory("the reference", reference)
    except InputError:
        raise InputError(f"the reference is {describe(reference)}; {wanted}") from None
    if not factory:
        return lambda: copy.deepcopy(reference)
    make = _seeded(reference, seed)
    one, other = _tried(make), _tried(make)
    for made in (one, other):
        if made is not None and not hasattr(made, "accumulate"):
            raise InputError(f"the factory of the reference makes {describe(made)}; {wanted}")
    _check_apart(
        one, other, "the reference's factory hands out the same {name!r} twice; make the module inside the factory"
    )
    return make


def _with_copies(make: Callable[[], Any]) -> Callable[[], Any]:
    """The factory of sides that get copies of their micro-batches: a module may work in place on what it is given."""

    def make_careful() -> Any:
        side = make()
        accumulate = side.accumulate

        def accumulate_copies(micro_batch: Any, weight: float) -> Any:
            x, y = micro_batch
            given = tuple(item.copy() for item in x) if isinstance(x, tuple) else x.copy()
            return accumulate((given, y.copy()), weight)

        side.accumulate = accumulate_copies
        return side

    return make_careful


def _trained(value: Any) -> bool:
    """Whether a value has to be the copy's own."""
    return isinstance(value, (nn.Module, torch.optim.Optimizer)) or (
        isinstance(value, torch.Tensor) and value.requires_grad
    )


def _check_apart(one: Any, other: Any, message: str) -> None:
    """Refuse two sides that would train the same parameters."""
    if one is None or other is None:
        return
    theirs = other.parameters
    for name, value in one.parameters.items():
        if name in theirs and np.may_share_memory(value, theirs[name]):
            raise InputError("the side cannot be compared: " + message.format(name=name))


# -- names ------------------------------------------------------------------------------------------------------------


def _matched(
    names: Names, mine: Any, theirs: Any, make_expected: Callable[[], Any], batches: Sequence[tuple[Any, Any]]
) -> NameMap:
    """The two sides' parameters and buffers, matched; what the reference shows in a step may be named too."""
    held = [{**side.parameters, **_buffers(side)} for side in (mine, theirs)]
    if names is None or callable(names):
        return name_map(names, *held)
    later: set[str] = set()
    try:  # one step of the reference shows its module paths and slots
        scout = make_expected()
        scout.zero_grad()
        scout.accumulate(batches[0], 1.0)
        scout.step()
        later.update(path for path, _, _ in getattr(scout, "activations", None) or {})
        later.update(slot for slots in (getattr(scout, "slots", None) or {}).values() for slot in slots)
    except Exception:
        later.update(value if isinstance(value, str) else value[0] for value in names.values())  # the walk reports it
    return name_map(names, *held, later=sorted(later - set(held[1])))


def _buffers(side: Any) -> Mapping[str, Any]:
    try:
        return getattr(side, "buffers", None) or {}
    except ContractError:  # which the walk reports
        return {}


def _renaming(make: Callable[[], Any], names: NameMap) -> Callable[[], Any]:
    return lambda: Renamed(make(), names)


def _about_parameters(mine: Any, theirs: Any, names: NameMap) -> list[str]:
    """Which parameters have another shape, in sentences."""
    ours, known = mine.parameters, theirs.parameters
    notes = []
    for name, value in ours.items():
        target = names.expected_name(name)
        shape = names.to_expected(name, value).shape
        if target in known and shape != known[target].shape:
            turned = " with the axes that names gives it" if name in names.axes else ""
            tip = names.another_layout(name)
            notes.append(
                f"the side's parameter {name!r} has shape {shape}{turned}, PyTorch's {known[target].shape}"
                + (f"; {tip}" if tip else "")
            )
    return notes


# -- the batches -------------------------------------------------------------------------------------------------------


def _admitted(batches: Any) -> list[tuple[Any, Any]]:
    """The batches as copies that PyTorch can hold."""
    if isinstance(batches, (tuple, list)) and any(isinstance(item, np.ndarray) for item in batches):
        raise InputError("batches must be a list of pairs [(x, y), ...], one for each step; put the pair into a list")
    try:
        found = list(batches)
    except TypeError:
        raise InputError(f"batches is {describe(batches)}; it must be a list of pairs [(x, y), ...]") from None
    admitted = []
    for number, pair in enumerate(found):
        where = f"batches[{number}]"
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InputError(f"{where} is {describe(pair)}; it must be a pair (x, y)")
        x, y = pair
        if isinstance(x, tuple):
            inputs: Any = tuple(admit(f"{where}[0][{i}]", item) for i, item in enumerate(x))
        else:
            inputs = admit(f"{where}[0]", x)
        admitted.append((inputs, admit(f"{where}[1]", y)))
    check_batches(admitted)
    return admitted


def _each(x: Any) -> tuple[np.ndarray, ...]:
    return x if isinstance(x, tuple) else (x,)


def _steps(
    batches: Sequence[tuple[Any, Any]],
    micro_batches: Any,
    twin: Any,
    make_expected: Callable[[], Any],
    notes: list[str],
) -> list[list[MicroBatch]]:
    """Each batch cut into micro-batches, weighed by what the reference's loss divides by."""
    whole = isinstance(micro_batches, (int, np.integer)) and not isinstance(micro_batches, bool)
    if not whole and (
        not isinstance(micro_batches, (list, tuple, np.ndarray))
        or not all(isinstance(size, (int, np.integer)) for size in micro_batches)
    ):
        raise InputError(f"micro_batches is {micro_batches!r}; it must be a whole number or a list of row counts")
    steps = [cut(x, y, micro_batches) for x, y in batches]
    loss = getattr(twin, "loss", None)
    if all(len(step) == 1 for step in steps) or loss is None:
        return steps
    if getattr(loss, "reduction", None) == "sum":
        raise InputError(
            "the reference's loss has reduction='sum', and sums of micro-batches are not weighed; use 'mean' or "
            "micro_batches=1"
        )
    custom = getattr(twin, "denominator", None)
    if custom is None and not isinstance(loss, (nn.CrossEntropyLoss, nn.NLLLoss)):
        if not type(loss).__module__.startswith("torch."):
            notes.append(
                "the loss is none of torch.nn's, so micro-batches are weighed by their rows; "
                "torch_ref.Side(..., denominator=) says what else its mean divides by"
            )
        return steps
    scout = make_expected()
    return [_weighed(step, number, scout, custom) for number, step in enumerate(steps, 1)]


def _weighed(step: Sequence[MicroBatch], number: int, scout: Any, custom: Any) -> list[MicroBatch]:
    counts = []
    for (x, y), _ in step:
        target, output = torch.from_numpy(y), None
        if custom is not None:
            with torch.no_grad():
                output = scout.module(*(torch.from_numpy(item) for item in _each(x)))
        counts.append(float(custom(output, target)) if custom else loss_denominator(scout.loss, output, target))  # type: ignore[arg-type]
    for place, count in enumerate(counts, 1):
        if not count > 0:
            raise InputError(
                f"batch {number}, micro-batch {place}: no target counts in the loss, and the mean of nothing is NaN; "
                "cut the batch otherwise"
            )
    return [(batch, count / sum(counts)) for (batch, _), count in zip(step, counts, strict=True)]
