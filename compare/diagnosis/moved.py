"""A gradient that is right, but taken at other weights: those of an earlier step, or already updated ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis
from compare.diagnosis.feeds import Arrays
from compare.side import needs_closure

__all__ = ["at_other_weights", "backward_at"]

_MOST = 12  # parameters of which each is tried alone
_ROUNDS = 8  # layers whose updates may depend on each other
FIRST_ALL = "all gradients first, at the old weights; only then the update"
CACHED = "where the weights are copied, transposed or cached"

Predicted = dict[Checkpoint, np.ndarray]


def at_other_weights(evidence: Evidence) -> Iterator[Hypothesis]:
    """Yield a step's values and gradients at weights of another time."""
    if evidence.sync == "module" or not evidence.step.micro_batches:
        return
    shown = evidence.by_name("deposit").values()
    if evidence.phase == "accumulated" and shown and all(pair.agrees for pair in shown):
        return  # what is added is right
    yield from _stale(evidence)
    if getattr(evidence.reference, "optimizer", None) is None or not hasattr(evidence.reference, "update"):
        return
    yield from _moved_in_backward(evidence)
    if len(evidence.step.micro_batches) > 1:
        yield from _moved_in_the_loop(evidence)


def _stale(evidence: Evidence) -> Iterator[Hypothesis]:
    """The weights of an earlier step, everywhere, or in the backward pass, or in one place only."""
    number = evidence.step.number
    now = evidence.step.state["parameters"]
    for back in dict.fromkeys(back for back in (1, 2, number - 1) if 0 < back < number):
        then = evidence.steps[number - 1 - back].state["parameters"]
        when = "of the step before" if back == 1 else f"of {back} steps before"
        changed = {name: value for name, value in then.items() if not np.array_equal(value, now[name])}
        if not changed:
            continue
        choices: list[tuple[str, Mapping[str, np.ndarray]]] = [("", changed)]
        alone = [name for name in changed if _owns(evidence, name)]
        if back == 1 and len(changed) > 1 and len(alone) <= _MOST:
            choices += [(f", for {name} alone", {name: changed[name]}) for name in alone]
        for where, weights in choices:
            rank = 3 if where else 2
            predicted = _run(evidence, weights)
            says = f"the weights {when} are used{where}"
            yield Hypothesis("stale weights", predicted, says, CACHED, rank, bool(where))
            predicted = _run(evidence, {}, partial(backward_at, weights=weights))
            says = f"the backward pass uses the weights {when}{where}"
            yield Hypothesis("stale weights", predicted, says, CACHED, rank, bool(where))


def _owns(evidence: Evidence, parameter: str) -> bool:
    """Whether a parameter may be the one to look at: where a module is blamed, it is one of its own."""
    blamed = evidence.phase in ("forward", "backward") and evidence.culprit != "loss"
    return not blamed or parameter.rpartition(".")[0] == evidence.culprit.replace("(model)", "")


def _moved_in_backward(evidence: Evidence) -> Iterator[Hypothesis]:
    """The backward pass goes through weights that the update has already moved, those of later layers first.

    A layer's update follows from its gradient, which follows from the updated layers after it. So the moved weights
    are found by going round until they stay.
    """
    if evidence.phase not in ("backward", "deposit", "accumulated") or needs_closure(evidence.another_reference()):
        return
    facts = evidence.step
    index = evidence.checkpoint.micro_batch or 1
    weight = facts.weights[index - 1]
    shares = {1.0: "", 1 / weight if weight else 1.0: ", moved by this micro-batch's own mean gradient"}
    for share, text in shares.items():
        moved = _after_update(evidence, _deposits(evidence.replay(micro_batch=index)), share)
        predicted: Predicted = {}
        for _ in range(_ROUNDS):
            predicted = evidence.replay(partial(backward_at, weights=moved), micro_batch=index)
            again = _after_update(evidence, _deposits(predicted), share)
            if all(np.array_equal(again[name], moved[name]) for name in moved):
                break
            moved = again
        predicted = _with_sums(evidence, index, predicted)
        says = "the backward pass goes through weights that have already been updated" + text
        yield Hypothesis("already updated weights", predicted, says, FIRST_ALL, 1)


def _moved_in_the_loop(evidence: Evidence) -> Iterator[Hypothesis]:
    """The update is made after every micro-batch, and the next one sees its weights."""
    facts = evidence.step
    for cleared in (False, True):
        side = evidence.another_reference()
        if needs_closure(side):  # gradients do not make a step of it
            return
        side.load_state(facts.state)
        held: Arrays = {}
        predicted: Predicted = {}
        for index in range(1, len(facts.micro_batches) + 1):
            weights = {name: np.array(value) for name, value in side.parameters.items()}
            found = evidence.replay(parameters=weights, micro_batch=index)
            predicted |= found
            for name, value in _deposits(found).items():
                held[name] = value if cleared or name not in held else held[name] + value
                predicted[Checkpoint(facts.number, index, "accumulated", name)] = held[name]
            side.load_state({"gradients": held})
            side.update()
        says = "the weights are updated after every micro-batch" + (", and the gradients cleared" if cleared else "")
        yield Hypothesis(
            "already updated weights", predicted, says, "one update per step, after the last micro-batch", 2
        )


# -- running the reference elsewhere ---------------------------------------------------------------------------------


def _run(
    evidence: Evidence,
    parameters: Mapping[str, np.ndarray],
    context: Callable[[Any], AbstractContextManager[Any]] | None = None,
) -> Predicted:
    """All micro-batches of the step; the diverging one alone where it already differs from what was seen."""
    own = evidence.checkpoint.micro_batch or 1
    extra: dict[str, Any] = {"parameters": parameters}
    arguments = () if context is None else (context,)
    found = evidence.replay(*arguments, micro_batch=own, **extra)
    many = len(evidence.step.micro_batches)
    if many == 1:
        return found
    if evidence.phase != "accumulated" and not evidence.fit(found).explained:
        return found
    predicted: Predicted = {}
    held: Arrays = {}
    for index in range(1, many + 1):
        one = found if index == own else evidence.replay(*arguments, micro_batch=index, **extra)
        predicted |= one
        for name, value in _deposits(one).items():
            held[name] = held[name] + value if name in held else value
            predicted[Checkpoint(evidence.step.number, index, "accumulated", name)] = held[name]
    return predicted


def _with_sums(evidence: Evidence, index: int, predicted: Predicted) -> Predicted:
    """One micro-batch's values with its accumulated gradients, on top of what was held before it."""
    before = evidence.by_name("accumulated", micro_batch=index - 1) if index > 1 else {}
    sums = {
        Checkpoint(evidence.step.number, index, "accumulated", name): value
        + (before[name].actual if name in before else 0)
        for name, value in _deposits(predicted).items()
    }
    return predicted | sums


def _deposits(found: Predicted) -> Arrays:
    return {key.name: value for key, value in found.items() if key.phase == "deposit"}


def _after_update(evidence: Evidence, gradients: Arrays, share: float) -> Arrays:
    """The weights after the reference's update with given gradients."""
    side = evidence.another_reference()
    side.load_state(evidence.step.state)
    side.load_state({"gradients": {name: share * value for name, value in gradients.items()}})
    side.update()
    return {name: np.array(value) for name, value in side.parameters.items()}


def backward_at(side: Any, weights: Mapping[str, np.ndarray]) -> AbstractContextManager[Any]:
    """While entered, every backward pass of a reference finds these weights where the forward pass left the others.

    The arrays of a side are views of its tensors' memory, and autograd does not see that they are written to.
    """
    from torch import Tensor, autograd
    from torch.overrides import TorchFunctionMode

    class Swapped(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function not in (Tensor.backward, autograd.backward, autograd.grad):
                return function(*args, **(kwargs or {}))
            held = {name: np.array(side.parameters[name]) for name in weights}
            try:
                for name, value in weights.items():
                    np.copyto(side.parameters[name], value)
                return function(*args, **(kwargs or {}))
            finally:
                for name, value in held.items():
                    np.copyto(side.parameters[name], value)

    return Swapped()
