"""The pages of schedules: what the rate is, and the first ten rates on both sides."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from compare.explaining.blocks import Block, Code, Heading, Paragraph, table
from compare.explaining.docstrings import lesson
from compare.explaining.finding import Topic, topics
from compare.explaining.rules import signature_of

__all__ = ["EXAMPLES", "rates", "schedule_page"]

RATE = 0.5
EPOCHS = 10
METRICS = (1.0, 0.8, 0.9, 0.85, 0.84, 0.7, 0.75, 0.72, 0.71, 0.7)
"""What the plateau schedule is told after each epoch."""


def halved(epoch: int) -> float:
    return 0.5**epoch


def eased(epoch: int) -> float:
    return 0.9 if epoch % 2 else 1.0


EXAMPLES: dict[str, dict[str, Any]] = {
    "LambdaLR": {"lr_lambda": halved},
    "MultiplicativeLR": {"lr_lambda": eased},
    "StepLR": {"step_size": 3, "gamma": 0.5},
    "MultiStepLR": {"milestones": [2, 5, 5], "gamma": 0.5},
    "ConstantLR": {"factor": 0.25, "total_iters": 4},
    "LinearLR": {"start_factor": 0.2, "total_iters": 4},
    "ExponentialLR": {"gamma": 0.8},
    "PolynomialLR": {"total_iters": 8, "power": 2.0},
    "CosineAnnealingLR": {"T_max": 6, "eta_min": 0.05},
    "CosineAnnealingWarmRestarts": {"T_0": 3, "T_mult": 2, "eta_min": 0.05},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 3, "cycle_momentum": False},
    "OneCycleLR": {"max_lr": 0.5, "total_steps": 10, "cycle_momentum": False},
    "ReduceLROnPlateau": {"factor": 0.5, "patience": 1},
    "SequentialLR": {
        "schedulers": [("ConstantLR", {"factor": 0.2, "total_iters": 3}), ("ExponentialLR", {"gamma": 0.8})],
        "milestones": [3],
    },
    "ChainedScheduler": {
        "schedulers": [("LinearLR", {"start_factor": 0.2, "total_iters": 4}), ("ExponentialLR", {"gamma": 0.8})]
    },
}
"""The options of each example; the schedules inside another as pairs of a name and its options."""


def schedule_page(topic: Topic, numbers: bool, level: int) -> list[Block]:
    """A schedule: formula, conventions, and ten rates."""
    kind = topics()[topic]
    read = lesson(kind)
    place = f"manual.optim.lr_scheduler.{topic.name}"
    blocks: list[Block] = [Paragraph(read.summary), Code(f"{place}{signature_of(kind)}"), *read.blocks(level)]
    return [*blocks, *(_example(topic.name, level) if numbers else [])]


def _example(name: str, level: int) -> list[Block]:
    import torch

    import manual
    import manual.optim
    from compare.explaining.working import ulps

    mine = rates(name, manual.optim, manual.tensor(np.zeros(1), requires_grad=True))
    theirs = rates(name, torch.optim, torch.zeros(1, dtype=torch.float64, requires_grad=True))
    apart = ulps(np.array(mine), np.array(theirs))
    plateau = name == "ReduceLROnPlateau"
    rows = [
        [epoch, *([METRICS[epoch]] if plateau else []), f"{a:.12g}", f"{b:.12g}", f"{gap:.3g}"]
        for epoch, (a, b, gap) in enumerate(zip(mine, theirs, apart, strict=True))
    ]
    headers = ["epoch", *(["metric after it"] if plateau else []), "manual", "PyTorch", "apart, ulp"]
    worst = float(apart.max())
    told = "equal to the last bit" if not worst else f"at most {worst:.3g} ulp apart"
    return [
        Heading(level, "Worked example"),
        Paragraph(f"The rate in force in each of the first ten epochs, from a start of {RATE}:"),
        Code(f"lr_scheduler.{_written(name, EXAMPLES[name])}"),
        table(headers, rows, right=range(len(headers))),
        Paragraph(f"The ten rates of the two sides are {told}."),
    ]


def _written(name: str, options: dict[str, Any]) -> str:
    given = [f"{key}={_bare(value)}" for key, value in options.items()]
    return f"{name}({', '.join(['optimizer', *given])})"


def _bare(value: Any) -> str:
    if value is halved:
        return "lambda epoch: 0.5**epoch"
    if value is eased:
        return "lambda epoch: 0.9 if epoch % 2 else 1.0"
    if isinstance(value, list) and isinstance(value[0], tuple):
        return f"[{', '.join(_written(*pair) for pair in value)}]"
    return repr(value)


def rates(name: str, wing: Any, parameter: Any) -> list[float]:
    """The rates in force in the first ten epochs, from either wing's ``optim``."""
    optimizer = wing.SGD([parameter], lr=RATE)
    schedule = _made(name, EXAMPLES[name], wing, optimizer)
    found = []
    for epoch in range(EPOCHS):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SequentialLR's own call of step with an epoch is deprecated in torch
            schedule.step(*([METRICS[epoch]] if name == "ReduceLROnPlateau" else []))
    return found


def _made(name: str, options: dict[str, Any], wing: Any, optimizer: Any) -> Any:
    options = dict(options)
    if "schedulers" in options:
        options["schedulers"] = [_made(inner, given, wing, optimizer) for inner, given in options["schedulers"]]
        if name == "ChainedScheduler":
            return wing.lr_scheduler.ChainedScheduler(options["schedulers"])
    return getattr(wing.lr_scheduler, name)(optimizer, **options)
