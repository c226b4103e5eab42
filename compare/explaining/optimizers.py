"""The pages of optimizers: the printed algorithm, and three steps of it on both sides with every slot."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.explaining.blocks import Block, Code, Heading, Paragraph, table
from compare.explaining.docstrings import lesson
from compare.explaining.finding import Topic, topics
from compare.explaining.rules import signature_of
from compare.explaining.showing import given_block, told_apart

if TYPE_CHECKING:
    from compare.explaining.working import Column

__all__ = ["EXAMPLES", "optimizer_page", "steps_taken"]

EXAMPLES: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    "Adam": {"lr": 0.1},
    "AdamW": {"lr": 0.1, "weight_decay": 0.1},
    "Adamax": {"lr": 0.1},
    "NAdam": {"lr": 0.1},
    "RAdam": {"lr": 0.1, "betas": (0.9, 0.99)},
    "SparseAdam": {"lr": 0.1},
    "Adagrad": {"lr": 0.1, "lr_decay": 0.1},
    "Adadelta": {"lr": 1.0, "eps": 0.01},
    "Adafactor": {"lr": 0.1},
    "RMSprop": {"lr": 0.1, "momentum": 0.5, "centered": True},
    "Rprop": {"lr": 0.1},
    "ASGD": {"lr": 0.1, "t0": 1, "lambd": 0.1},
    "Muon": {"lr": 0.1},
    "LBFGS": {"lr": 0.5, "max_iter": 2},
}
"""The options of each example: rates large enough that three steps show."""

STEPS = 3
START = np.array([0.5, -1.25])
MATRIX = np.array([[0.5, -1.25], [2.0, 0.75]])
SLOPES = np.array([[0.8, -0.3], [-0.4, -0.9], [1.1, 0.6]])
"""The gradient of each of the steps; both signs, and one element that turns."""
HOLLOW = np.array([2.0, 0.5])
"""The curvature of the bowl that LBFGS walks down: it asks for the loss itself."""


def optimizer_page(topic: Topic, numbers: bool, level: int) -> list[Block]:
    """An optimizer: algorithm, conventions, and three steps."""
    kind = topics()[topic]
    read = lesson(kind)
    blocks: list[Block] = [Paragraph(read.summary), Code(f"manual.optim.{topic.name}{signature_of(kind)}")]
    blocks += [Heading(level, "Algorithm"), *read.blocks(level)]
    return [*blocks, *(_example(topic.name, level) if numbers else [])]


def _example(name: str, level: int) -> list[Block]:
    found = steps_taken(name)
    options = ", ".join(f"{key}={value!r}" for key, value in EXAMPLES[name].items())
    start = MATRIX if name == "Muon" else START
    given: dict[str, Any] = {"θ": start}
    blocks: list[Block] = [Heading(level, "Worked example"), Paragraph(_about(name))]
    if name == "LBFGS":
        given["h"] = HOLLOW
    blocks.append(Code(f"optim.{name}([θ], {options})\n{given_block(given)}"))
    rows = []
    for step in range(1, STEPS + 1):
        if name != "LBFGS":
            rows += [
                [step, f"gradient{_place(p)}", *[f"{v:.12g}"] * 2, "", ""]
                for p, v in np.ndenumerate(_slope(name, step))
            ]
        for column in found:
            if column.label.startswith(f"{step} "):
                rows += _rows(step, column)
    headers = ["step", "tensor", "manual", "PyTorch", "apart, ulp", "in floors"]
    return [*blocks, table(headers, rows, right=(0, 2, 3, 4, 5)), Paragraph(told_apart(found))]


def _rows(step: int, column: Column) -> list[list[Any]]:
    from compare.explaining.working import ulps

    name = column.label.partition(" ")[2]
    apart, multiples = ulps(column.manual, column.autograd), column.multiples
    return [
        [step, f"{name}{_place(place)}", *[f"{value:.12g}" for value in (column.manual[place], column.autograd[place])],
         f"{apart[place]:.3g}", "" if column.floor is None else f"{multiples[place]:.2g}"]
        for place in list(np.ndindex(column.manual.shape))[:4]
    ]  # fmt: skip


def _place(place: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, place))}]" if place else ""


def _about(name: str) -> str:
    if name == "LBFGS":
        return "Three steps down the bowl h·θ²/2, whose gradient is h θ. Each step may ask for the loss several times."
    if name == "SparseAdam":
        return (
            "Three steps of a table of three rows. Each gradient lists two rows (0 and 2), and only those move; with "
            "Adam the middle row would go on moving by its momentum."
        )
    if name == "Muon":
        return "Three steps of a matrix, for which alone it is made, with the gradients that the table gives."
    return "Three steps of two elements, with the gradients that the table gives."


def _slope(name: str, step: int) -> np.ndarray:
    slope = SLOPES[step - 1]
    return np.outer(slope, [1.0, -0.5]) if name == "Muon" else slope


def steps_taken(name: str) -> list[Column]:
    """The parameter and every slot after each step, on both sides."""
    from compare.explaining.working import columns

    return columns(_manual(name), lambda *modes: _torch(name, *modes))


LISTED = np.array([0, 2])
"""The rows that a sparse gradient lists."""


def _manual(name: str) -> dict[str, np.ndarray]:
    import manual
    import manual.optim
    from manual.sparse_rows import SparseRows

    start = MATRIX if name == "Muon" else np.array([0.5, 0.0, -1.25]) if name == "SparseAdam" else START
    parameter: Any = manual.tensor(start.copy(), requires_grad=True)
    optimizer = getattr(manual.optim, name)([parameter], **EXAMPLES[name])
    hollow = manual.tensor(HOLLOW)
    found: dict[str, np.ndarray] = {}

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (parameter * parameter * hollow).sum() / 2
        loss.backward()
        return loss

    for step in range(1, STEPS + 1):
        if name == "LBFGS":
            optimizer.step(closure)
        else:
            slope: Any = _slope(name, step).copy()
            parameter.grad = SparseRows(LISTED, slope, start.shape) if name == "SparseAdam" else slope
            optimizer.step()
        found |= _shown(step, parameter.data, optimizer.state[parameter])
    return found


def _torch(name: str, *modes: Any) -> dict[str, np.ndarray]:
    import torch

    start = MATRIX if name == "Muon" else np.array([0.5, 0.0, -1.25]) if name == "SparseAdam" else START
    parameter = torch.tensor(start, requires_grad=True)
    optimizer = getattr(torch.optim, name)([parameter], **EXAMPLES[name])
    hollow = torch.tensor(HOLLOW)
    found: dict[str, np.ndarray] = {}

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (parameter * parameter * hollow).sum() / 2
        loss.backward()
        return loss

    for step in range(1, STEPS + 1):
        with ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for mode in modes:
                stack.enter_context(mode)
            if name == "LBFGS":
                optimizer.step(closure)
            else:
                slope = torch.tensor(_slope(name, step))
                if name == "SparseAdam":
                    slope = torch.sparse_coo_tensor(torch.tensor(LISTED)[None], slope, parameter.shape)
                parameter.grad = slope
                optimizer.step()
        found |= _shown(step, parameter.detach().numpy(), optimizer.state[parameter])
    return found


def _shown(step: int, parameter: Any, state: Any) -> dict[str, np.ndarray]:
    """The parameter and the slots, as arrays; lists of tensors item by item."""
    found = {f"{step} θ": np.array(parameter)}
    for slot, value in state.items():
        if slot in ("al", "ro", "prev_loss"):
            continue  # scratch of LBFGS, which the page leaves out
        items = value if isinstance(value, (list, tuple)) else [value]
        for place, item in enumerate(items):
            if item is not None:
                label = f"{step} {slot}" + (f".{place}" if isinstance(value, (list, tuple)) else "")
                found[label] = np.array(getattr(item, "data", item) if not hasattr(item, "numpy") else item.numpy())
    return found
