"""Mistakes of the training step around the gradient: micro-batches and zero_grad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.faults import scenes
from compare.faults.collecting import Faults, every_side, with_gradient
from compare.faults.planting import Plant, Planting
from manual.optim import SGD

__all__ = ["FAULTS"]

FAULTS = Faults()
_PLAIN = scenes.network()
_TOKENS = scenes.tagger()


def _weighted(share: Callable[[Planting, Any, float], float]) -> Plant:
    """A side that gives a micro-batch another weight."""

    def planted(plant: Planting) -> None:
        every_side(
            plant,
            "accumulate",
            lambda right, side, micro_batch, weight: right(side, micro_batch, share(plant, micro_batch, weight)),
        )

    return planted


# -- the weight of a micro-batch ---------------------------------------------------------------------------------------

FAULTS.add(
    "mean-of-means",
    "the loss of every micro-batch is divided by their number, whatever it contains",
    cause="mean of means",
    phase="deposit",
    step=1,
    scene=_PLAIN,
    source="huggingface/transformers#34191",
)(_weighted(lambda plant, micro_batch, weight: 1 / plant.micro_batches))

FAULTS.add(
    "token-mean-per-rank",
    "every rank takes the mean over its own tokens, and the ranks are averaged",
    cause="mean of means",
    phase="deposit",
    step=1,
    scene=_TOKENS,
    source="meta-pytorch/torchtune#2172",
)(_weighted(lambda plant, micro_batch, weight: 1 / plant.micro_batches))

FAULTS.add(
    "sum-of-micro-batches",
    "the gradients of the micro-batches' means are added up",
    cause="sum of micro-batches",
    phase="deposit",
    step=1,
    scene=_PLAIN,
    source="paiml/aprender#2123",
)(_weighted(lambda plant, micro_batch, weight: 1.0))

FAULTS.add(
    "normalised-twice",
    "the loss is divided by the tokens of the whole batch, and then by the number of micro-batches too",
    cause="normalised twice",
    phase="deposit",
    step=1,
    scene=_TOKENS,
    source="unslothai/unsloth-zoo#1023",
)(_weighted(lambda plant, micro_batch, weight: weight / plant.micro_batches))

FAULTS.add(
    "accumulation-factor-multiplied-back",
    "the loss, divided by the tokens of the whole batch already, is multiplied by the number of micro-batches",
    cause="constant factor",
    also=("wrong denominator",),
    phase="deposit",
    step=1,
    scene=_TOKENS,
    source="huggingface/transformers#35203",
)(_weighted(lambda plant, micro_batch, weight: weight * plant.micro_batches))


def _share_of_rows(plant: Planting, micro_batch: Any, weight: float) -> float:
    rows = sum(len(targets) for (_, targets), _ in plant.steps[0])
    return len(micro_batch[1]) / rows


FAULTS.add(
    "share-of-rows-for-tokens",
    "a micro-batch weighs by its rows, its mean counts tokens",
    cause="wrong denominator",
    phase="deposit",
    step=1,
    scene=_TOKENS,
)(_weighted(_share_of_rows))

FAULTS.add(
    "share-of-rows-for-class-weights",
    "a micro-batch weighs by its rows, its mean divides by the sum of the target weights",
    cause="wrong denominator",
    phase="deposit",
    step=1,
    scene=scenes.cross_entropy(weighted=True),
    source="pytorch/pytorch#72047",
)(_weighted(_share_of_rows))


@FAULTS.add(
    "loss-scale-left-in",
    "the loss is scaled by 1024 against underflow, and the gradients are never scaled back",
    cause="constant factor",
    phase="deposit",
    step=1,
    scene=_PLAIN,
)
def loss_scale_left_in(plant: Planting) -> None:
    _weighted(lambda plant, micro_batch, weight: 1024 * weight)(plant)


# -- adding up ---------------------------------------------------------------------------------------------------------


@FAULTS.add(
    "zero-grad-left-out",
    "gradients are never cleared",
    cause="previous gradient added",
    phase="accumulated",
    step=2,
    scene=_PLAIN,
    source="tenstorrent/tt-blacksmith#711",
)
def zero_grad_left_out(plant: Planting) -> None:
    every_side(plant, "zero_grad", lambda right, side: None)


@FAULTS.add(
    "tail-never-cleared",
    "what the last micro-batch deposits is still there at the first one of the next step",
    cause="previous gradient added",
    phase="accumulated",
    step=2,
    scene=_PLAIN,
    source="meta-pytorch/torchtune#2745",
)
def tail_never_cleared(plant: Planting) -> None:
    def zero_grad(right: Any, side: Any) -> None:
        tail = {name: deposit.copy() for name, deposit in side.deposits.items()}
        right(side)
        for name, deposit in tail.items():
            side._named[name].grad = deposit

    every_side(plant, "zero_grad", zero_grad)


@FAULTS.add(
    "zero-grad-inside-the-loop",
    "gradients are cleared before every micro-batch",
    cause="only the last micro-batch",
    phase="accumulated",
    step=1,
    scene=_PLAIN,
    source="bytetriper/RAE#67",
)
def zero_grad_inside(plant: Planting) -> None:
    def accumulate(right: Any, side: Any, micro_batch: Any, weight: float) -> Any:
        side.zero_grad()
        return right(side, micro_batch, weight)

    every_side(plant, "accumulate", accumulate)


@FAULTS.add(
    "one-gradient-overwritten",
    "the kernel of one layer assigns its weight's gradient, all others add",
    cause="only the last micro-batch",
    also=("overwritten instead of added",),
    phase="accumulated",
    step=1,
    scene=_PLAIN,
    source="apache/mxnet#18499",
)
def one_gradient_overwritten(plant: Planting) -> None:
    def accumulate(right: Any, side: Any, micro_batch: Any, weight: float) -> Any:
        next(iter(side._named.values())).grad = None
        return right(side, micro_batch, weight)

    every_side(plant, "accumulate", accumulate)


@FAULTS.add(
    "tail-dropped",
    "a last micro-batch that is not full is run, and its gradient thrown away",
    cause="micro-batch left out",
    phase="accumulated",
    step=1,
    scene=_PLAIN,
    source="tracel-ai/burn#5695",
)
def tail_dropped(plant: Planting) -> None:
    def accumulate(right: Any, side: Any, micro_batch: Any, weight: float) -> Any:
        kept = {name: None if value is None else value.copy() for name, value in side.gradients.items()}
        terms = right(side, micro_batch, weight)
        if len(micro_batch[1]) < len(plant.steps[0][1][0][1]):
            for name, value in kept.items():
                side._named[name].grad = value
        return terms

    every_side(plant, "accumulate", accumulate)


@FAULTS.add(
    "first-micro-batch-lost",
    "the gradients are cleared after the first micro-batch, when the buffers are found to be cold",
    cause="micro-batch left out",
    phase="accumulated",
    step=1,
    scene=_PLAIN,
)
def first_micro_batch_lost(plant: Planting) -> None:
    seen = [0]

    def zero_grad(right: Any, side: Any) -> None:
        seen[0] = 0
        right(side)

    def accumulate(right: Any, side: Any, micro_batch: Any, weight: float) -> Any:
        terms = right(side, micro_batch, weight)
        seen[0] += 1
        if seen[0] == 1:
            for parameter in side._named.values():
                parameter.grad = None
        return terms

    every_side(plant, "zero_grad", zero_grad)
    every_side(plant, "accumulate", accumulate)


@FAULTS.add(
    "stale-gradient",
    "the update overlaps the next backward and uses the gradients of the step before",
    cause="stale gradient",
    phase="slots",
    step=2,
    scene=scenes.network(momentum=0.8),
)
def stale_gradient(plant: Planting) -> None:
    before: dict[str, Any] = {}

    def update(right: Any, side: Any, closure: Any = None) -> None:
        fresh = side.gradients
        for name, gradient in (before or fresh).items():
            side._named[name].grad = gradient
        right(side, closure)
        before.update(fresh)
        for name, gradient in fresh.items():
            side._named[name].grad = gradient

    every_side(plant, "update", update)


@FAULTS.add(
    "buffer-is-the-gradient",
    "the momentum buffer starts as the gradient's own memory, which the next backward adds to",
    cause="aliased memory",
    phase="slots",
    step=2,
    scene=scenes.network(momentum=0.8),
)
def buffer_is_the_gradient(plant: Planting) -> None:
    def zero_grad(right: Any, side: Any) -> None:
        side.optimizer.zero_grad(set_to_none=False)

    def update_alone(right: Any, optimizer: Any, tensor: Any, group: Any) -> None:
        slots = optimizer.state[tensor]
        if "momentum_buffer" not in slots:
            slots["momentum_buffer"] = tensor.grad
        else:
            slots["momentum_buffer"] *= group["momentum"]
            slots["momentum_buffer"] += tensor.grad
        tensor.data -= group["lr"] * slots["momentum_buffer"]

    every_side(plant, "zero_grad", zero_grad)
    plant.replace(SGD, "bundled", lambda right, optimizer, group: False)
    plant.replace(SGD, "update_alone", update_alone)


@FAULTS.add(
    "gradients-reduced-in-float16",
    "the gradients of a float64 run go through float16 on their way between the ranks",
    cause="lower precision",
    phase="accumulated",
    step=1,
    scene=_PLAIN,
)
def reduced_in_float16(plant: Planting) -> None:
    def accumulate(right: Any, side: Any, micro_batch: Any, weight: float) -> Any:
        terms = right(side, micro_batch, weight)
        for parameter in with_gradient(side):
            parameter.grad = parameter.grad.astype(np.float16).astype(parameter.dtype)
        return terms

    every_side(plant, "accumulate", accumulate)
