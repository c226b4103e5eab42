"""A training loop for a small regression network, whole and in micro-batches, one line wrong each."""

from functools import partial

import numpy as np
import torch

import torch_ref

from ..cases import Topic

__all__ = ["CASES"]

PARTS = 4


class Trainer:
    """Three inputs, four sigmoids, two outputs; the mean squared error, and SGD in up to three trimmings."""

    def __init__(self, *, wrong="", ceiling=None, decay=0.0, strength=0.0, halve_every=None):
        self.wrong, self.ceiling, self.decay, self.strength = wrong, ceiling, decay, strength
        self.halve_every, self.rate, self.done = halve_every, 0.5, 0
        self.parameters = {name: value.copy() for name, value in START.items()}
        self.gradients = dict.fromkeys(START, 0.0)

    def zero_grad(self):
        if self.wrong != "never_zeroed":
            self.gradients = dict.fromkeys(START, 0.0)

    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        w1, b1, w2, b2 = self.parameters.values()
        a = 1 / (1 + np.exp(-x @ w1.T - b1))
        miss = a @ w2.T + b2 - y
        top = 2 * miss / miss.size
        low = (top @ w2) * a * (1 - a)
        own = [low.T @ x, low.sum(0), top.T @ a, top.sum(0)]
        if self.wrong == "parts_weigh_the_same":
            weight = 1 / PARTS
        if self.wrong == "parts_added_whole":
            weight = 1.0
        for name, gradient in zip(START, own, strict=True):
            if self.strength and name.endswith("weight"):
                share = 2 if self.wrong == "penalty_without_its_half" else 1
                gradient = gradient + share * self.strength * self.parameters[name]
            self.gradients[name] = self.gradients[name] + weight * gradient
        data = np.mean(miss**2)
        if not self.strength:
            return data
        penalty = 0.5 * self.strength * (np.sum(w1**2) + np.sum(w2**2))
        return {"data": data, "penalty": penalty, "total": data + penalty}

    def clip(self):
        squares = {name: np.sum(gradient**2) for name, gradient in self.gradients.items()}
        for name in self.gradients:
            norm = np.sqrt(squares[name] if self.wrong == "each_by_itself" else sum(squares.values()))
            if self.wrong == "norm_without_root":
                norm = norm**2
            factor = self.ceiling / (norm + 1e-6)
            self.gradients[name] = self.gradients[name] * (factor if self.wrong == "also_raised" else min(1, factor))

    def step(self):
        if self.ceiling is not None:
            self.clip()
        if self.wrong == "counted_before_the_step":
            self.count()
        for name, value in self.parameters.items():
            decay = self.decay if name.endswith("weight") or self.wrong == "biases_decay" else 0
            value -= self.rate * (self.gradients[name] + decay * value)
        if self.wrong != "counted_before_the_step":
            self.count()

    def count(self):
        self.done += 1
        if self.halve_every and self.done % self.halve_every == 0:
            self.rate /= 2


def half_squares(parameters):
    return 0.5 * 0.15 * sum((value**2).sum() for name, value in parameters.items() if name.endswith("weight"))


def reference(ceiling=None, decay=0.0, penalty=None, halve_every=None):
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Sigmoid(), torch.nn.Linear(4, 2)).double()
    net.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in START.items()})
    groups = [
        {"params": [net[0].weight, net[2].weight], "weight_decay": decay},
        {"params": [net[0].bias, net[2].bias], "weight_decay": 0.0},
    ]
    sgd = torch.optim.SGD(groups, lr=0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(sgd, halve_every, 0.5) if halve_every else None
    clip = partial(torch.nn.utils.clip_grad_norm_, max_norm=ceiling) if ceiling else None
    return torch_ref.Side(net, sgd, torch.nn.MSELoss(), scheduler=scheduler, clip=clip, penalty=penalty)


# -- data: five batches of ten rows, the first far from its targets and the later ones near ----------------------------

_rng = np.random.default_rng(777)
START = {
    "0.weight": _rng.standard_normal((4, 3)),
    "0.bias": 0.4 * _rng.standard_normal(4),
    "2.weight": _rng.standard_normal((2, 4)),
    "2.bias": 0.4 * _rng.standard_normal(2),
}
BATCHES = [(_rng.standard_normal((10, 3)), far * _rng.standard_normal((10, 2))) for far in (3.0, 0.3, 1.0, 0.5, 2.0)]
CEILING = 0.9


def _topic(name, parts, own, **theirs):
    inputs = {"batches": BATCHES, "micro_batches": parts}
    return Topic(name, "training", partial(Trainer, **own), partial(reference, **theirs), inputs)


CASES = [
    *_topic("in_parts", PARTS, {}).cases(
        [
            ("never_zeroed", "zero_grad does nothing", {"previous gradient added"}),
            ("parts_weigh_the_same", "unequal micro-batches weigh the same", {"mean of means"}),
            ("parts_added_whole", "the micro-batches are added without weights", {"sum of micro-batches"}),
        ]
    ),
    *_topic("ceiling", 1, {"ceiling": CEILING}, ceiling=CEILING).cases(
        [
            ("each_by_itself", "every tensor is clipped by its own norm", {"clipped per tensor"}),
            ("norm_without_root", "the norm lacks its root", {"squared norm"}),
            ("also_raised", "a small gradient is raised to the largest norm", {"always scaled"}),
        ]
    ),
    *_topic("decay_groups", 2, {"decay": 0.08}, decay=0.08).cases(
        [("biases_decay", "the biases decay too", {"penalty on the bias"})]
    ),
    *_topic("half_penalty", PARTS, {"strength": 0.15}, penalty=half_squares).cases(
        [("penalty_without_its_half", "the penalty's gradient forgets the half in front of the square",
          {"penalty scaled", "doubled term"})]
    ),
    *_topic("halving", 1, {"halve_every": 2}, halve_every=2).cases(
        [("counted_before_the_step", "the schedule advances before the update", {"schedule off by one"})]
    ),
]  # fmt: skip
