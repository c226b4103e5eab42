"""Mistakes in clipping: what is measured, what is scaled, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compare.faults import scenes
from compare.faults.collecting import Faults, every_side, with_gradient
from compare.faults.planting import Plant, Planting
from manual.nn.utils import clip_grad, clip_grad_norm_, clip_grad_value_

__all__ = ["FAULTS", "clipped_by"]

FAULTS = Faults()
_CLIPPED = scenes.network(max_norm=0.11)
_LOOSELY_CLIPPED = scenes.network(max_norm=6.0)


@FAULTS.add(
    "clipped-after-every-backward",
    "the accumulated gradient is clipped after each micro-batch, so that later ones weigh more",
    cause="clipped per micro-batch",
    phase="accumulated",
    step=1,
    scene=_CLIPPED,
    source="huggingface/transformers#1563",
)
def clipped_after_every_backward(plant: Planting) -> None:
    def accumulate(right: Any, side: Any, micro_batch: Any, weight: float) -> Any:
        terms = right(side, micro_batch, weight)
        for parameter in with_gradient(side):
            parameter.grad = parameter.grad.copy()  # what was deposited stays as it is
        side.clip_gradients()
        return terms

    every_side(plant, "accumulate", accumulate)


@FAULTS.add(
    "clipped-before-unscaling",
    "the norm is taken of gradients that still carry the loss scale",
    cause="clipped before unscaling",
    phase="clip",
    step=1,
    scene=_CLIPPED,
    source="milesial/Pytorch-UNet#470",
)
def clipped_before_unscaling(plant: Planting) -> None:
    scale = 1024.0

    def clip(right: Any, side: Any) -> None:
        for parameter in with_gradient(side):
            parameter.grad *= scale
        right(side)
        for parameter in with_gradient(side):
            parameter.grad /= scale

    every_side(plant, "clip_gradients", clip)


@FAULTS.add(
    "clipped-before-backward",
    "the call stands before backward, where there is nothing to clip",
    cause="not clipped",
    phase="clip",
    step=1,
    scene=_CLIPPED,
    source="nano-world-model#22",
)
def clipped_before_backward(plant: Planting) -> None:
    norm = [0.0]

    def zero_grad(right: Any, side: Any) -> None:
        right(side)
        if side.clip is not None:
            norm[0] = float(side.clip(list(side._named.values())))

    def clip(right: Any, side: Any) -> None:
        side.total_norm = None if side.clip is None else norm[0]

    every_side(plant, "zero_grad", zero_grad)
    every_side(plant, "clip_gradients", clip)


@FAULTS.add(
    "norm-logged-but-not-clipped",
    "the norm is computed and logged, the gradients stay as they are",
    cause="not clipped",
    phase="clip",
    step=1,
    scene=_CLIPPED,
)
def not_clipped(plant: Planting) -> None:
    plant.replace(clip_grad, "clip_grads_with_norm_", lambda right, *arguments, **options: None)


@FAULTS.add(
    "clipped-after-the-step",
    "the gradients are clipped when the update has been made",
    cause="not clipped",
    phase="slots",
    step=1,
    scene=scenes.network(momentum=0.8, max_norm=0.11),
    source="nano-world-model#22",
)
def clipped_after_the_step(plant: Planting) -> None:
    def update(right: Any, side: Any, closure: Any = None) -> None:
        right(side, closure)
        if side.clip is not None:
            side.total_norm = float(side.clip(list(side._named.values())))

    every_side(plant, "clip_gradients", lambda right, side: None)
    every_side(plant, "update", update)


def clipped_by(clip: Callable[[list[Any], float], Any]) -> Plant:
    """A side that clips by ``clip(parameters, max_norm)``."""

    def clip_gradients(right: Any, side: Any) -> None:
        if side.clip is None:
            return
        bound = side.clip.keywords["max_norm"]
        norm = clip(with_gradient(side), bound)
        side.total_norm = None if norm is None else float(norm)

    return lambda plant: every_side(plant, "clip_gradients", clip_gradients)


def _scaled(parameters: list[Any], norm: Any, bound: float) -> Any:
    for parameter in parameters:
        parameter.grad *= min(1.0, bound / (norm + 1e-6))
    return norm


def _squares(parameters: list[Any]) -> Any:
    return sum((parameter.grad**2).sum() for parameter in parameters)


def _each_by_its_own(parameters: list[Any], bound: float) -> Any:
    return np.sqrt(sum(clip_grad_norm_(parameter, bound) ** 2 for parameter in parameters))


FAULTS.add(
    "clipped-per-tensor",
    "each gradient is clipped by a norm of its own",
    cause="clipped per tensor",
    phase="clip",
    step=1,
    scene=_CLIPPED,
    source="keras-team/keras#13575",
)(clipped_by(_each_by_its_own))

FAULTS.add(
    "squared-norm",
    "the sum of squares is compared with the bound, and divided by, without its root",
    cause="squared norm",
    phase="clip",
    step=1,
    scene=_CLIPPED,
)(clipped_by(lambda parameters, bound: _scaled(parameters, _squares(parameters), bound)))

FAULTS.add(
    "clipped-by-value",
    "every element is cut off at the bound",
    cause="clipped by value",
    phase="clip",
    step=1,
    scene=scenes.network(max_norm=0.02),
)(clipped_by(lambda parameters, bound: clip_grad_value_(parameters, bound)))


def _always(parameters: list[Any], bound: float) -> Any:
    norm = np.sqrt(_squares(parameters))
    for parameter in parameters:
        parameter.grad *= bound / (norm + 1e-6)
    return norm


FAULTS.add(
    "always-scaled",
    "the gradient is brought to the largest allowed norm even where it is smaller",
    cause="always scaled",
    phase="clip",
    step=1,
    scene=_LOOSELY_CLIPPED,
)(clipped_by(_always))

FAULTS.add(
    "norm-without-the-biases",
    "the norm leaves out the vectors",
    cause="missing term",
    phase="clip",
    step=1,
    scene=_CLIPPED,
)(
    clipped_by(
        lambda parameters, bound: _scaled(parameters, np.sqrt(_squares([p for p in parameters if p.ndim > 1])), bound)
    )
)


def _without_eps(parameters: list[Any], bound: float) -> Any:
    norm = np.sqrt(_squares(parameters))
    for parameter in parameters:
        parameter.grad *= min(1.0, bound / norm)
    return norm


FAULTS.add(
    "clip-without-eps",
    "the bound is divided by the norm alone, where torch adds 1e-6",
    cause="other eps",
    phase="clip",
    step=1,
    scene=_CLIPPED,
)(clipped_by(_without_eps))


def _largest(parameters: list[Any]) -> Any:
    return max(np.abs(parameter.grad).max() for parameter in parameters)


FAULTS.add(
    "clipped-by-the-largest-element",
    "the norm is the largest magnitude of all elements, where it is the 2-norm",
    cause="wrong function",
    phase="clip",
    step=1,
    scene=scenes.network(max_norm=0.02),
)(clipped_by(lambda parameters, bound: _scaled(parameters, _largest(parameters), bound)))

FAULTS.add(
    "norms-added-up",
    "the norms of the tensors are added up, not their squares",
    cause="wrong function",
    phase="clip",
    step=1,
    scene=_CLIPPED,
)(clipped_by(lambda parameters, bound: _scaled(parameters, sum(np.linalg.norm(p.grad) for p in parameters), bound)))

FAULTS.add(
    "norm-of-the-mean-square",
    "the norm is the root of the mean square, and grows with no model",
    cause="mean instead of sum",
    phase="clip",
    step=1,
    scene=scenes.network(max_norm=0.02),
)(
    clipped_by(
        lambda parameters, bound: _scaled(
            parameters, np.sqrt(_squares(parameters) / sum(p.grad.size for p in parameters)), bound
        )
    )
)
