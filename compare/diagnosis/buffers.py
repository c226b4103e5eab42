"""Running statistics: the wrong variance, the wrong momentum, moving where they are frozen or standing still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis

__all__ = ["hypotheses"]

FORMULA = "running <- (1 - momentum) * running + momentum * batch statistic; the variance with n - 1"
_EPOCHS = "num_batches_tracked"


class _Layer(NamedTuple):
    """A layer with running statistics, and what it saw in each micro-batch of the diverging step."""

    path: str
    momentum: float | None
    training: bool
    seen: list[list[np.ndarray]]  # by micro-batch, the inputs of its calls as (channel, values)
    before: dict[str, np.ndarray]


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Yield what the buffers of the diverging layer would be under each mistake."""
    if evidence.phase != "buffer":
        return
    before = evidence.step.state.get("buffers", {}).get(evidence.checkpoint.name)
    if before is not None:
        says = "the buffer stays as it was"
        yield Hypothesis("buffer not updated", {evidence.checkpoint: before}, says, FORMULA, 2)
    layer = _layer(evidence)
    if layer is None:
        return
    for cause, says, rank, update in _updates(layer):
        values = _after(layer, update)
        predicted = {
            Checkpoint(evidence.step.number, None, "buffer", f"{layer.path}.{name}".lstrip(".")): value
            for name, value in values.items()
        }
        yield Hypothesis(cause, predicted, says, FORMULA, rank)


Update = Callable[[np.ndarray, np.ndarray, str, float], np.ndarray]
"""The new running value from (running, what was seen as (channel, values), which statistic, momentum)."""


def _statistic(seen: np.ndarray, which: str, ddof: int = 1) -> np.ndarray:
    if which == "running_mean":
        return seen.mean(axis=1)
    return seen.var(axis=1, ddof=ddof) if seen.shape[1] > ddof else np.full(len(seen), np.nan)


def _updates(layer: _Layer) -> Iterator[tuple[str, str, int, Update]]:
    def moved(running: np.ndarray, seen: np.ndarray, which: str, momentum: float) -> np.ndarray:
        return (1 - momentum) * running + momentum * _statistic(seen, which)

    if not layer.training:
        yield "buffer updated when frozen", "the running statistics move although the layer is frozen", 1, moved

        def frozen_biased(running: np.ndarray, seen: np.ndarray, which: str, momentum: float) -> np.ndarray:
            return (1 - momentum) * running + momentum * _statistic(seen, which, 0)

        says = "the running statistics move although the layer is frozen, and the variance divides by n"
        yield "buffer updated when frozen", says, 2, frozen_biased
        return

    def biased(running: np.ndarray, seen: np.ndarray, which: str, momentum: float) -> np.ndarray:
        return (1 - momentum) * running + momentum * _statistic(seen, which, 0)

    yield "biased or unbiased variance", "the running variance divides by n, not by n - 1", 1, biased

    def swapped(running: np.ndarray, seen: np.ndarray, which: str, momentum: float) -> np.ndarray:
        return momentum * running + (1 - momentum) * _statistic(seen, which)

    says = "momentum and 1 - momentum have changed places"
    yield "moment without its average", says, 2, swapped

    def swapped_biased(running: np.ndarray, seen: np.ndarray, which: str, momentum: float) -> np.ndarray:
        return momentum * running + (1 - momentum) * _statistic(seen, which, 0)

    yield "moment without its average", says + ", and the variance divides by n", 3, swapped_biased

    def deviation(running: np.ndarray, seen: np.ndarray, which: str, momentum: float) -> np.ndarray:
        new = _statistic(seen, which)
        return (1 - momentum) * running + momentum * (np.sqrt(new) if which == "running_var" else new)

    yield "wrong function", "the running variance averages standard deviations", 3, deviation

    def replaced(running: np.ndarray, seen: np.ndarray, which: str, momentum: float) -> np.ndarray:
        return _statistic(seen, which)

    yield "moment without its average", "the running statistics are the last batch's alone", 3, replaced

    def added(running: np.ndarray, seen: np.ndarray, which: str, momentum: float) -> np.ndarray:
        return momentum * running + _statistic(seen, which)

    yield "moment without its average", "the batch statistic is added in full", 4, added

    def standing(running: np.ndarray, seen: np.ndarray, which: str, momentum: float) -> np.ndarray:
        return running

    yield "buffer not updated", "the running statistics stay as they were", 1, standing


def _after(layer: _Layer, update: Update) -> dict[str, np.ndarray]:
    """The layer's buffers after all micro-batches of the step."""
    values = {name: np.asarray(value, np.float64) for name, value in layer.before.items() if name != _EPOCHS}
    count = int(layer.before.get(_EPOCHS, np.zeros(())))
    for calls in layer.seen:
        for seen in calls:
            count += 1
            momentum = 1 / count if layer.momentum is None else layer.momentum
            values = {name: update(value, seen, name, momentum) for name, value in values.items()}
    return values


def _layer(evidence: Evidence) -> _Layer | None:
    """The layer that holds the diverging buffer, with its inputs from another run of the reference."""
    path, _, buffer = evidence.checkpoint.name.rpartition(".")
    if buffer not in ("running_mean", "running_var"):
        return None
    module = getattr(evidence.reference, "module", None)
    child = None if module is None else dict(module.named_modules()).get(path)
    if child is None or not hasattr(child, "momentum"):
        return None
    seen: list[list[np.ndarray]] = []
    for index in range(1, len(evidence.step.micro_batches) + 1):
        calls: list[np.ndarray] = []
        evidence.replay(partial(_watching, path=path, calls=calls), micro_batch=index)
        seen.append(calls)
    held = evidence.step.state.get("buffers", {})
    before = {
        name: np.asarray(held[key])
        for name in ("running_mean", "running_var", _EPOCHS)
        if (key := f"{path}.{name}".lstrip(".")) in held
    }
    return _Layer(path, child.momentum, bool(child.training), seen, before)


def _watching(side: Any, path: str, calls: list[np.ndarray]) -> AbstractContextManager[Any]:
    """While entered, keep what a layer is given, channels first."""

    @contextmanager
    def watch() -> Iterator[None]:
        def keep(module: Any, arguments: tuple[Any, ...]) -> None:
            value = arguments[0].detach().double().numpy()
            calls.append(np.moveaxis(value, 1, 0).reshape(value.shape[1], -1))

        handle = side.module.get_submodule(path).register_forward_pre_hook(keep)
        try:
            yield
        finally:
            handle.remove()

    return watch()
