"""A training loop as a user writes it in NumPy, with a mistake by name in one line, and PyTorch's twin of it."""

from collections import OrderedDict
from functools import partial

import numpy as np
import torch

import compare
import torch_ref.training

SHAPES = {"hidden.weight": (5, 4), "hidden.bias": (5,), "output.weight": (3, 5), "output.bias": (3,)}
DECAY = 0.3
RATE = 0.4
IGNORED = -100


def initial(seed=3):
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal(shape) for name, shape in SHAPES.items()}


def batches(steps=4, rows=11, ignored=False, seed=8):
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(steps):
        x, y = generator.standard_normal((rows, 4)), generator.integers(0, 3, rows)
        if ignored:
            y[[1, 2, 5, 9]] = IGNORED
        found.append((x, y))
    return found


class Trained:
    """Two layers with a tanh between them, cross entropy, a penalty, clipping, momentum, a falling rate.

    ``wrong`` names the mistake; ``shown`` what is shown beside the five members that a side must have.
    """

    def __init__(self, wrong="", *, penalty=False, max_norm=None, momentum=0.8, micro_batches=3, from_step=1, shown=()):
        self.wrong = wrong
        self.penalty = penalty
        self.max_norm = max_norm
        self.momentum = momentum
        self.micro_batches = micro_batches
        self.from_step = from_step
        self.shown = shown
        self.p = initial()
        self.grads = {}
        self.velocity = {}
        self.rate = RATE
        self.number = 1
        self.index = 0
        self.previous = None
        self.stale = None

    def off(self, wrong):
        return self.wrong == wrong and self.number >= self.from_step

    # -- the five members ------------------------------------------------------------------------------------------------

    @property
    def parameters(self):
        return self.p

    @property
    def gradients(self):
        if self.off("stale gradient"):
            return self.stale or dict.fromkeys(SHAPES)
        return self.grads

    def zero_grad(self):
        self.index = 0
        self.own = []
        if not self.off("zero_grad left out"):
            kept = {name: g for name, g in self.grads.items() if self.off("bias not cleared") and name == "output.bias"}
            self.grads = kept

    def accumulate(self, micro_batch, weight):
        self.index += 1
        x, y = micro_batch
        p = self.p
        if self.off("stale weights") and self.previous is not None:
            p = self.previous
        counted = y != IGNORED
        rows = counted.sum()
        a = np.tanh(x @ p["hidden.weight"].T + p["hidden.bias"])
        z = a @ p["output.weight"].T + p["output.bias"]
        z = z - z.max(1, keepdims=True)
        q = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        loss = -np.log(q[np.arange(len(y)), np.where(counted, y, 0)])[counted].mean()
        target = np.eye(3)[np.where(counted, y, 0)]
        delta = (q - target) * counted[:, None] / rows
        grads = {"output.weight": delta.T @ a, "output.bias": delta.sum(0)}
        back = p["output.weight"]
        if self.off("updated weights in the backward pass"):
            back = back - self.rate * grads["output.weight"]
        if self.off("stale weights in the backward pass") and self.previous is not None:
            back = self.previous["output.weight"]
        inner = delta @ back * (1 - a**2)
        grads = {"hidden.weight": inner.T @ x, "hidden.bias": inner.sum(0), **grads}
        penalty = self._penalise(grads, weight)
        self._add(grads, self._weight(weight, len(y)))
        self._inside_the_loop()
        self.deposits_now = {name: self._weight(weight, len(y)) * g for name, g in grads.items()}
        total = loss + penalty
        return {"data": loss, "penalty": penalty, "total": total} if "terms" in self.shown else total

    def step(self):
        if self.off("stale gradient"):
            self.stale, self.grads = self.grads, self.gradients
        self._clip()
        before = {name: value.copy() for name, value in self.p.items()}
        if self.off("rate of the next step"):
            self.rate *= 0.5
        self._update()
        self.previous = before
        if self.wrong == "clipped after the step":
            self._clip(late=True)
        if not self.off("rate of the next step") and not self.off("rate not advanced"):
            for _ in range(self.micro_batches if self.off("rate per micro-batch") else 1):
                self.rate *= 0.5**self.number if self.off("rate compounded") else 0.5
        self.number += 1

    # -- what else may be shown ------------------------------------------------------------------------------------------

    def __getattr__(self, name):
        shown = self.__dict__.get("shown", ())
        if name == "deposits" and "deposits" in shown:
            return self.deposits_now
        if name == "slots" and "slots" in shown:
            return {name: {"momentum_buffer": value} for name, value in self.velocity.items()}
        if name == "learning_rate" and "rate" in shown:
            return self.rate
        raise AttributeError(name)

    # -- the lines that may be wrong ---------------------------------------------------------------------------------------

    def _weight(self, weight, rows):
        many, off = self.micro_batches, self.off
        if off("mean of means"):
            return 1 / many
        if off("sum"):
            return 1.0
        if off("normalised twice"):
            return weight / many
        if off("equal and normalised twice"):
            return 1 / many**2
        if off("weight twice"):
            return weight**2
        if off("share of rows"):
            return rows / 11
        if off("times the micro-batches"):
            return weight * many
        if off("scaled"):
            return 16 * weight
        if off("seven"):
            return weight * 0.7123
        if off("odd"):
            return (0.5, 0.41, 0.23)[self.index - 1]
        return weight

    def _penalise(self, grads, weight):
        if not self.penalty or self.off("no penalty"):
            return 0.0
        p, value = self.p, 0.0
        on = [name for name in SHAPES if name.endswith("weight")]
        if self.off("bias penalised") or self.off("bias penalised in the gradient"):
            on = list(SHAPES)
        if self.off("one penalty forgotten"):
            on = ["output.weight"]
        strength = DECAY * {"half": 0.5, "by rows": 1 / 11, "subtracted": -1.0, "half in the gradient": 1.0}.get(
            self.wrong if self.number >= self.from_step else "", 1.0
        )
        for name in on:
            share = strength * p[name]
            if self.off("half in the gradient"):
                share = share / 2
            if self.off("absolute"):
                share = strength * np.sign(p[name])
            if self.off("absolute in the gradient"):
                share = strength * np.sign(p[name])
            if self.off("averaged"):
                share = share / p[name].size
            if self.off("of the gradient"):
                share = strength * grads[name]
            if self.off("per micro-batch"):
                share = share / weight
            if not (self.off("no penalty in the gradient")):
                grads[name] = grads[name] + share
            if name.endswith("weight") or self.off("bias penalised"):
                strength_here = strength / p[name].size if self.off("averaged") else strength
                value += strength_here * (np.abs(p[name]).sum() if self.off("absolute") else (p[name] ** 2).sum() / 2)
        return value

    def _add(self, grads, weight):
        for name, g in grads.items():
            if self.off("clipped before weighing") and self.max_norm:
                norm = np.sqrt(sum((v**2).sum() for v in grads.values()))
                g = g * min(1, self.max_norm / (norm + 1e-6))
            if self.off(f"micro-batch {self.index} lost"):
                g = np.zeros_like(g)
            if self.off("running mean"):
                held = self.grads.get(name, 0)
                self.grads[name] = held + (g - held) / self.index
            elif self.off("cleared in the loop") or (self.off("bias overwritten") and name == "output.bias"):
                self.grads[name] = weight * g
            else:
                self.grads[name] = self.grads.get(name, 0) + weight * g

    def _inside_the_loop(self):
        if self.off("clipped in the loop"):
            self._scale(self._factor(self._norm()))
        if self.off("updated in the loop"):
            for name, g in self.grads.items():
                self.p[name] = self.p[name] - self.rate * g

    def _norm(self):
        return np.sqrt(sum((g**2).sum() for g in self.grads.values()))

    def _factor(self, norm, eps=1e-6):
        return min(1, self.max_norm / (norm + eps))

    def _scale(self, factor):
        self.grads = {name: g * factor for name, g in self.grads.items()}

    def _clip(self, late=False):
        off = self.off
        if self.max_norm is None or off("not clipped") or (self.wrong == "clipped after the step" and not late):
            return
        norm, bound = self._norm(), self.max_norm
        if off("clipped per tensor"):
            self.grads = {n: g * min(1, bound / (np.sqrt((g**2).sum()) + 1e-6)) for n, g in self.grads.items()}
        elif off("clipped per layer"):
            for layer in ("hidden", "output"):
                mine = {name: g for name, g in self.grads.items() if name.startswith(layer)}
                norm = np.sqrt(sum((g**2).sum() for g in mine.values()))
                self.grads |= {name: g * min(1, bound / (norm + 1e-6)) for name, g in mine.items()}
        elif off("clipped by value"):
            self.grads = {name: np.clip(g, -bound, bound) for name, g in self.grads.items()}
        elif off("squared norm"):
            self._scale(self._factor(norm**2))
        elif off("always scaled"):
            self._scale(bound / (norm + 1e-6))
        elif off("largest magnitude"):
            self._scale(self._factor(max(np.abs(g).max() for g in self.grads.values())))
        elif off("sum of magnitudes"):
            self._scale(self._factor(sum(np.abs(g).sum() for g in self.grads.values())))
        elif off("without eps"):
            self._scale(self._factor(norm, 0.0))
        elif off("bias not in the norm"):
            self._scale(self._factor(np.sqrt(sum((g**2).sum() for n, g in self.grads.items() if n != "output.bias"))))
        elif off("scaled norm"):
            self._scale(self._factor(norm * 4096))
        elif off("norm of the sum"):
            self._scale(self._factor(norm * self.micro_batches))
        elif off("half the bound"):
            self._scale(min(1, bound / 2 / (norm + 1e-6)))
        elif off("odd clip"):
            self._scale(self._factor(norm**1.37))
        else:
            self._scale(self._factor(norm))

    def _update(self):
        names = list(SHAPES)
        if self.off("bias left out"):
            names.remove("hidden.bias")
        if self.off("updated twice"):
            names.append("output.weight")
        for name in names:
            g = self.grads.get(name)
            if g is None:
                continue
            if self.off("shared slots"):
                slot = "shared" if name.endswith("weight") else name
            else:
                slot = name
            held = self.velocity.get(slot)
            self.velocity[slot] = g.copy() if held is None else self.momentum * held + g
            self.p[name] = self.p[name] - self.rate * self.velocity[slot]


def twin(penalty=False, max_norm=None, momentum=0.8):
    """PyTorch's side."""
    module = torch.nn.Sequential(
        OrderedDict(hidden=torch.nn.Linear(4, 5), act=torch.nn.Tanh(), output=torch.nn.Linear(5, 3))
    ).double()
    module.load_state_dict({name: torch.from_numpy(value) for name, value in initial().items()})
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=momentum)
    return torch_ref.training.Side(
        module,
        optimizer,
        torch.nn.CrossEntropyLoss(),
        torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5),
        None if max_norm is None else partial(torch.nn.utils.clip_grad_norm_, max_norm=max_norm),
        penalty=_penalty if penalty else None,
    )


def _penalty(named):
    return DECAY / 2 * sum(value.square().sum() for name, value in named.items() if name.endswith("weight"))


def report_on(
    wrong="", *, ignored=False, micro_batches=3, steps=4, from_step=1, shown=(), tolerance="fixed", **options
):
    """What ``compare.training`` says of the loop with one mistake in it."""
    return compare.training(
        lambda: Trained(wrong, micro_batches=micro_batches, from_step=from_step, shown=shown, **options),
        lambda: twin(**options),
        batches(steps, ignored=ignored),
        micro_batches,
        tolerance=tolerance,
    )
