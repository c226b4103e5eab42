"""Clipping: left out, by another norm, to another length, at another time.

With ``G`` all gradients as one vector and ``M`` the largest norm allowed, ``G <- G min(1, M / (|G| + 1e-6))``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence, Hypothesis
from compare.diagnosis.feeds import Arrays, accumulated, counts_of, deposits, walked
from compare.diagnosis.numbers import equals
from compare.diagnosis.updates.run import Run
from compare.side import needs_closure

__all__ = ["hypotheses"]

FORMULA = "G <- G min(1, M / (|G| + 1e-6)), with |G| the norm of all gradients together"
ORDER = "zero_grad, backward of every micro-batch, clip, update: in this order"
_EPS = 1e-6

Predicted = dict[Checkpoint, Any]


class _Setting(NamedTuple):
    """What the reference clips by."""

    kind: str  # "norm" or "value"
    bound: float
    order: float  # of the norm


class _Clipped(NamedTuple):
    """The gradients that a clip leaves, and the norm that it reports."""

    gradients: Arrays
    norm: float | None


Clip = Callable[[Arrays], _Clipped]


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Yield what the clipped gradients (or, where they are not shown, the updates) would be under each mistake."""
    setting = _setting(evidence)
    if setting is None or evidence.pair.actual.shape != evidence.pair.expected.shape:
        return
    if evidence.phase == "clip":
        for cause, says, rank, freedom, clip in _wrong(evidence, setting):
            yield Hypothesis(cause, _predicted(evidence, clip), says, FORMULA, rank, freedom)
        for text, each in _pieces(evidence, setting):
            yield Hypothesis("clipped per micro-batch", each, text, ORDER, 2)
    elif evidence.phase in ("deposit", "accumulated"):
        for text, each in _in_the_loop(evidence, setting):
            yield Hypothesis("clipped per micro-batch", each, text, ORDER, 2)
    elif evidence.phase in ("slots", "update", "parameter"):
        yield from _unseen(evidence, setting)


# -- the reference's clip -------------------------------------------------------------------------------------------


def _setting(evidence: Evidence) -> _Setting | None:
    """What the reference clips by, read from ``functools.partial``, else found out by clipping a long gradient."""
    clip = getattr(evidence.reference, "clip", None)
    if clip is None:
        return None
    function = getattr(clip, "func", clip)
    given = dict(getattr(clip, "keywords", {}))
    name = getattr(function, "__name__", "")
    if name == "clip_grad_norm_" and "max_norm" in given:
        return _Setting("norm", float(given["max_norm"]), float(given.get("norm_type", 2.0)))
    if name == "clip_grad_value_" and "clip_value" in given:
        return _Setting("value", float(given["clip_value"]), 2.0)
    return _found_out(clip)


def _found_out(clip: Any) -> _Setting | None:
    """Clip two long gradients of different directions: only the right norm is the same of what is left of both."""
    shortened = [_clipped_by(clip, np.array(long)) for long in ([3e9, -4e9, 1e9], [2e9, 2e9, 2e9])]
    if any(short is None for short in shortened):
        return None
    one, other = shortened
    if np.ptp(np.abs(one)) == 0:
        return _Setting("value", float(np.max(np.abs(one))), 2.0)
    for order in (2.0, 1.0, np.inf):
        bounds = [float(np.linalg.norm(short, order)) for short in (one, other)]
        if abs(bounds[0] - bounds[1]) <= 1e-9 * bounds[0]:
            return _Setting("norm", bounds[0] * (1 + _EPS / float(np.linalg.norm([3e9, 4e9, 1e9], order))), order)
    return None


def _clipped_by(clip: Any, gradient: np.ndarray) -> Any:
    """What a clip leaves of one parameter's gradient; ``None`` where it leaves all, or wants a model of its own."""
    import torch

    parameter = torch.nn.Parameter(torch.zeros(gradient.size, dtype=torch.float64))
    parameter.grad = torch.from_numpy(gradient.copy())
    try:
        clip([parameter])
    except Exception:
        return None
    if parameter.grad is None or np.array_equal(parameter.grad.numpy(), gradient):
        return None
    return parameter.grad.numpy()


# -- wrong clips ----------------------------------------------------------------------------------------------------


def _norm(gradients: Mapping[str, np.ndarray], order: float = 2.0) -> float:
    if not gradients:
        return 0.0
    flat = np.concatenate([np.asarray(g, np.float64).reshape(-1) for g in gradients.values()])
    return float(np.linalg.norm(flat, order)) if flat.size else 0.0


def _scaled(gradients: Arrays, factor: float, norm: float | None) -> _Clipped:
    return _Clipped({name: factor * np.asarray(g, np.float64) for name, g in gradients.items()}, norm)


def _by_norm(
    gradients: Arrays,
    bound: float,
    order: float,
    *,
    eps: float = _EPS,
    norm: Callable[[Arrays], float] | None = None,
    always: bool = False,
) -> _Clipped:
    """Clip as torch does, by another norm, another eps, or always."""
    size = _norm(gradients, order) if norm is None else norm(gradients)
    with np.errstate(all="ignore"):
        factor = float(np.float64(bound) / np.float64(size + eps))
    return _scaled(gradients, factor if always else min(1.0, factor), size)


def _wrong(evidence: Evidence, setting: _Setting) -> Iterator[tuple[str, str, int, int, Clip]]:
    """Each wrong clip as (cause, what it says, rank, freedom, clip)."""
    bound, order = setting.bound, setting.order
    says = "the gradients are left as they are"
    yield "not clipped", says, 1, 0, lambda g: _scaled(g, 1.0, None)
    yield "not clipped", f"{says}; their norm is measured only", 1, 0, lambda g: _scaled(g, 1.0, _norm(g, order))
    text = f"{says}: when they were clipped, before the backward pass, there were none"
    yield "not clipped", text, 1, 0, lambda g: _scaled(g, 1.0, 0.0)
    by_norm = partial(_by_norm, bound=bound, order=order)
    right = _norm

    def by_value(g: Arrays) -> _Clipped:
        return _Clipped({name: np.clip(value, -bound, bound) for name, value in g.items()}, None)

    if setting.kind == "value":
        says = "the whole gradient is scaled to this norm; each element should be cut off for itself"
        yield "wrong function", says, 2, 0, by_norm
        return

    def per_tensor(g: Arrays) -> _Clipped:
        each = {name: by_norm({name: value}) for name, value in g.items()}
        return _Clipped({name: clipped.gradients[name] for name, clipped in each.items()}, None)

    yield "clipped per tensor", "each gradient is clipped by its own norm", 1, 0, per_tensor

    def per_layer(g: Arrays) -> _Clipped:
        layers: dict[str, Arrays] = {}
        for name, value in g.items():
            layers.setdefault(name.rpartition(".")[0], {})[name] = value
        return _Clipped({n: v for each in layers.values() for n, v in by_norm(each).gradients.items()}, None)

    yield "clipped per tensor", "each layer's gradients are clipped by their own norm", 2, 0, per_layer

    def from_above(g: Arrays) -> _Clipped:
        return _Clipped({name: np.minimum(value, bound) for name, value in g.items()}, None)

    yield "clipped by value", f"each element is cut off at {bound:g}", 1, 0, by_value
    yield "clipped by value", f"each element is cut off at {bound:g}, from above only", 2, 0, from_above

    def compared_squared(g: Arrays) -> _Clipped:
        return by_norm(g, always=True) if right(g) ** 2 > bound else _scaled(g, 1.0, None)

    says = "the square of the norm is held against the bound"
    yield "squared norm", says, 2, 0, compared_squared
    says = "the norm is used without its root"
    yield "squared norm", says, 1, 0, partial(by_norm, norm=lambda g: right(g) ** 2)
    says = f"the gradient is scaled to the norm {bound:g} even where it is shorter"
    yield "always scaled", says, 1, 0, partial(by_norm, always=True)
    yield "always scaled", says + ", without 1e-6", 3, 0, partial(by_norm, always=True, eps=0.0)
    others = {"1": (1.0, "the sum of magnitudes"), "inf": (np.inf, "the largest magnitude"), "2": (2.0, "the 2-norm")}
    for other, text in others.values():
        if other != order:
            yield "wrong function", f"the norm is {text}", 2, 0, partial(by_norm, order=other)
    says = "the norms of the tensors are added up, not their squares"
    yield "wrong function", says, 3, 0, partial(by_norm, norm=lambda g: sum(right({n: v}) for n, v in g.items()))
    says = "the norm is a root mean square: divided by the root of the number of elements"
    yield "mean instead of sum", says, 3, 0, partial(by_norm, norm=lambda g: right(g) / np.sqrt(_count(g)))
    for eps, text in (
        (0.0, "left out"),
        (1e-8, "1e-8"),
        (1e-7, "1e-7"),
        (1e-5, "1e-5"),
        (1e-4, "1e-4"),
        (1e-3, "1e-3"),
    ):
        yield "other eps", f"the 1e-6 that is added to the norm is {text}", 2, 0, partial(by_norm, eps=eps)
    factor, norm = _factor(evidence), right(accumulated(evidence, evidence.step.number), order)
    clipped = [step for step in walked(evidence) if not _same(accumulated(evidence, step), evidence, step)]
    if factor is not None and len(clipped) > 1 and 0 < bound / factor - norm < norm:
        eps = bound / factor - norm
        yield "other eps", f"{eps:.6g} is added to the norm in place of 1e-6", 5, 1, partial(by_norm, eps=eps)
    yield from _without_some(evidence, by_norm)
    yield from _other_bounds(evidence, setting, by_norm)


def _without_some(evidence: Evidence, by_norm: Callable[..., _Clipped]) -> Iterator[tuple[str, str, int, int, Clip]]:
    """The norm leaves a tensor out, or all but one, or what is no matrix."""
    names = list(accumulated(evidence, evidence.step.number))
    if not 1 < len(names) <= 24:
        return

    def norm_of(chosen: Sequence[str]) -> Callable[[Arrays], float]:
        return lambda g: _norm({name: value for name, value in g.items() if name in chosen})

    choices = {f"leaves {out} out": [name for name in names if name != out] for out in names}
    choices |= {f"is that of {only} alone": [only] for only in names} if len(names) > 2 else {}
    matrices = [n for n, g in accumulated(evidence, evidence.step.number).items() if g.ndim > 1]
    if 1 < len(matrices) < len(names) - 1:
        choices["leaves out what is no matrix"] = matrices
    for text, chosen in choices.items():
        yield "missing term", f"the norm {text}", 3, 0, partial(by_norm, norm=norm_of(chosen))


def _other_bounds(
    evidence: Evidence, setting: _Setting, by_norm: Callable[..., _Clipped]
) -> Iterator[tuple[str, str, int, int, Clip]]:
    """The gradient's norm is taken at another scale, or the bound is another."""
    factor = _factor(evidence)
    if factor is None:
        return
    norm = _norm(accumulated(evidence, evidence.step.number), setting.order)
    scale = (setting.bound / factor - _EPS) / norm if norm else 0.0
    if not np.isfinite(scale) or scale <= 0:
        return
    whole = round(np.log2(scale)) if scale > 0 else 0
    many = len(evidence.step.micro_batches)
    clip = partial(by_norm, norm=lambda g: scale * _norm(g, setting.order))
    if whole >= 2 and abs(scale / 2.0**whole - 1) < 1e-6:
        scale = 2.0**whole
        says = f"the norm is that of gradients that still carry the scale {scale:g}"
        yield "clipped before unscaling", says, 2, 0, clip
    elif many > 1 and abs(scale / many - 1) < 1e-6:
        says = f"the norm is that of gradients not yet divided by the number of micro-batches, {many}"
        yield "clipped before unscaling", says, 2, 0, clip
    bound = setting.bound / scale
    says = f"the largest norm is {bound:.6g}, {equals(1 / scale, counts_of(evidence), 1e-6)} times {setting.bound:g}"
    yield "constant factor", says, 5, 1, partial(by_norm, bound=bound)


def _same(before: Arrays, evidence: Evidence, step: int) -> bool:
    """Whether the actual side's clip left the gradients of a step as they were."""
    after = evidence.by_name("clip", step)
    return all(np.array_equal(after[name].actual, value) for name, value in before.items() if name in after)


def _count(gradients: Arrays) -> int:
    return sum(np.size(value) for value in gradients.values())


def _factor(evidence: Evidence) -> float | None:
    """By what the actual side has multiplied its gradients in the diverging step."""
    before = accumulated(evidence, evidence.step.number)
    after = {name: pair.actual for name, pair in evidence.by_name("clip").items() if name in before}
    size = sum(float(np.vdot(before[name], before[name])) for name in after)
    factor = sum(float(np.vdot(before[name], value)) for name, value in after.items()) / size if size else 0.0
    return factor if np.isfinite(factor) and factor > 0 else None


# -- what they lead to ----------------------------------------------------------------------------------------------


def _predicted(evidence: Evidence, clip: Clip) -> Predicted:
    """The clipped gradients of every step, and the updates where they agree.

    A side that keeps its clipped gradients to itself shows unclipped ones and updates rightly: it has clipped.
    """
    predicted: Predicted = {}
    for step in walked(evidence):
        before = accumulated(evidence, step)
        if not evidence.at("clip", step):
            continue
        after = clip(before)
        if not needs_closure(evidence.reference):  # it leaves the gradients of its last evaluation
            predicted |= {Checkpoint(step, None, "clip", name): value for name, value in after.gradients.items()}
        if after.norm is not None:
            predicted[Checkpoint(step, None, "clip", "total_norm")] = np.asarray(after.norm)
    if evidence.sync == "module":
        return predicted
    return predicted | {
        key: value
        for key, value in _updates(evidence, predicted).items()
        if key in evidence.pairs and evidence.pairs[key].agrees
    }


def _updates(evidence: Evidence, clipped: Predicted) -> Predicted:
    """What the right optimizer makes of clipped gradients in the diverging step and before."""
    run = Run.of(evidence)
    if run is None or needs_closure(evidence.reference):  # gradients do not make a step of it
        return {}

    def feed(step: int, name: str) -> Any:
        found = clipped.get(Checkpoint(step, None, "clip", name))
        return run.gradient(step, name) if found is None else np.asarray(found, np.float64)

    found: Predicted = {}
    for name in run.groups:
        for key, value in run.trajectory(name, run.rule(), feed=feed):
            if key.phase == "update" and key.step <= evidence.step.number:
                found[key] = value
    return found


def _pieces(evidence: Evidence, setting: _Setting) -> Iterator[tuple[str, Predicted]]:
    """Every micro-batch's deposit clipped, and the sum of what is left; seen at the clip."""
    if len(evidence.step.micro_batches) < 2 or setting.kind != "norm" or evidence.sync == "module":
        return
    weights = evidence.step.weights
    each = deposits(evidence, evidence.step.number)
    for own, text in ((False, "every micro-batch's share is"), (True, "every micro-batch's own gradient is")):
        total: Arrays = {}
        for weight, deposit in zip(weights, each, strict=False):
            scale = weight if own and weight else 1.0
            one = _by_norm({name: value / scale for name, value in deposit.items()}, setting.bound, setting.order)
            for name, value in one.gradients.items():
                total[name] = total.get(name, 0.0) + scale * value
        step = evidence.step.number
        yield f"{text} clipped, not their sum", {Checkpoint(step, None, "clip", n): v for n, v in total.items()}


def _in_the_loop(evidence: Evidence, setting: _Setting) -> Iterator[tuple[str, Predicted]]:
    """Clipped after every backward; seen where the gradients are held."""
    facts = evidence.step
    each = deposits(evidence, facts.number)
    if setting.kind != "norm" or not each:
        return
    clip = partial(_by_norm, bound=setting.bound, order=setting.order)
    held: Arrays = {}
    sums: Predicted = {}
    for index, deposit in enumerate(each, 1):
        right = {name: held.get(name, 0.0) + value for name, value in deposit.items()}
        left = clip(right).gradients
        held = right if evidence.sync == "module" else left  # there the next one starts from the reference's
        sums |= {Checkpoint(facts.number, index, "accumulated", name): value for name, value in left.items()}
    yield "what has been accumulated is clipped after every micro-batch", sums
    if evidence.sync == "module":
        return
    for own, text in ((False, "every micro-batch's share is"), (True, "every micro-batch's own gradient is")):
        held, sums = {}, {}
        for index, (weight, deposit) in enumerate(zip(facts.weights, each, strict=True), 1):
            scale = weight if own and weight else 1.0
            for name, value in clip({n: v / scale for n, v in deposit.items()}).gradients.items():
                held[name] = held.get(name, 0.0) + scale * value
                sums[Checkpoint(facts.number, index, "deposit", name)] = scale * value
                sums[Checkpoint(facts.number, index, "accumulated", name)] = held[name]
        yield f"{text} clipped, not their sum", sums


def _unseen(evidence: Evidence, setting: _Setting) -> Iterator[Hypothesis]:
    """The clipped gradients look right or are not shown, and the update is one from others."""
    run = Run.of(evidence)
    if run is None or run.name not in run.groups or evidence.sync == "module" or needs_closure(evidence.reference):
        return

    def judged(cause: str, says: str, rank: int, clip: Clip) -> Hypothesis:
        fed = {step: clip(accumulated(evidence, step)).gradients for step in run.steps}

        def feed(step: int, name: str) -> Any:
            return fed[step].get(name)

        found = run.judged(lambda name: run.trajectory(name, run.rule(), feed=feed))
        return Hypothesis(cause, found.predicted, says, FORMULA if rank > 1 else ORDER, rank)

    if evidence.at("clip"):
        says = "the update uses the gradients as they were before the clip: it comes after the update"
        yield judged("not clipped", says, 1, lambda g: _scaled(g, 1.0, None))
        return
    for cause, says, rank, freedom, clip in _wrong(evidence, setting):
        if not freedom:
            yield judged(cause, says, rank, clip)
