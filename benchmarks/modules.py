"""One forward and backward pass of a layer or a loss at a realistic size: the manual wing against PyTorch eager."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import manual
from benchmarks.timing import in_turn, quartiles, ratio

__all__ = ["CASES", "Case", "module_rows"]

Step = Callable[[], Any]
Draw = Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Case:
    """A module, by the name that both wings have, and what it is called with.

    ``inputs`` are floating and need gradients, ``others`` (indices, classes) follow them and do not.
    """

    name: str
    module: str
    arguments: tuple[Any, ...] = ()
    inputs: tuple[tuple[int, ...], ...] = ()
    others: tuple[Draw, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)


def _integers(high: int, *shape: int) -> Draw:
    return lambda generator: generator.integers(0, high, shape)


CASES = (
    Case("linear 512 to 512, 256 rows", "Linear", (512, 512), ((256, 512),)),
    Case("conv 3x3, 64 to 64 channels, 8 of 32x32", "Conv2d", (64, 64, 3), ((8, 64, 32, 32),), options={"padding": 1}),
    Case(
        "transposed conv 4x4 stride 2, 64 to 32 channels, 8 of 16x16",
        "ConvTranspose2d",
        (64, 32, 4),
        ((8, 64, 16, 16),),
        options={"stride": 2, "padding": 1},
    ),
    Case("max pool 2x2, 8 of 64x32x32", "MaxPool2d", (2,), ((8, 64, 32, 32),)),
    Case("average pool 2x2, 8 of 64x32x32", "AvgPool2d", (2,), ((8, 64, 32, 32),)),
    Case("batch norm, 8 of 64x32x32", "BatchNorm2d", (64,), ((8, 64, 32, 32),)),
    Case("group norm, 8 groups, 8 of 64x32x32", "GroupNorm", (8, 64), ((8, 64, 32, 32),)),
    Case("layer norm 512, 32x128 places", "LayerNorm", (512,), ((32, 128, 512),)),
    Case("LSTM 128 to 128, 64 steps of 32", "LSTM", (128, 128), ((64, 32, 128),)),
    Case("GRU 128 to 128, 64 steps of 32", "GRU", (128, 128), ((64, 32, 128),)),
    Case(
        "attention, 8 heads of 64, 8 of 128 places",
        "MultiheadAttention",
        (512, 8),
        ((8, 128, 512),) * 3,
        options={"batch_first": True},
        call={"need_weights": False},
    ),
    Case(
        "transformer encoder layer, 8 heads of 64, 8 of 128 places",
        "TransformerEncoderLayer",
        (512, 8),
        ((8, 128, 512),),
        options={"batch_first": True, "dropout": 0.0},
    ),
    Case("embedding 30k of 256, 32x128 places", "Embedding", (30_000, 256), (), (_integers(30_000, 32, 128),)),
    Case(
        "bilinear upsampling by 2, 8 of 64x32x32",
        "Upsample",
        (),
        ((8, 64, 32, 32),),
        options={"scale_factor": 2, "mode": "bilinear"},
    ),
    Case("GELU, 32x128x512", "GELU", (), ((32, 128, 512),)),
    Case("softmax, 8x8x128x128", "Softmax", (-1,), ((8, 8, 128, 128),)),
    Case("cross entropy, 10k classes, 256 rows", "CrossEntropyLoss", (), ((256, 10_000),), (_integers(10_000, 256),)),
    Case("MSE, 256x1000", "MSELoss", (), ((256, 1000), (256, 1000))),
)


def _first(output: Any) -> Any:
    """What the backward pass starts from: the only output, or the first of several."""
    return output[0] if isinstance(output, tuple) else output


def _steps(case: Case) -> tuple[Step, Step]:
    """The same pass on both wings, with the same parameters, inputs and incoming gradient.

    Raises
    ------
    NotImplementedError
        If the manual wing has no such module yet.
    """
    kind = getattr(manual.nn, case.module, None)
    if kind is None:
        raise NotImplementedError(case.module)
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    theirs = getattr(torch.nn, case.module)(*case.arguments, **case.options)
    mine = kind(*case.arguments, **case.options)
    mine.load_state_dict({name: value.numpy().copy() for name, value in theirs.state_dict().items()})
    arrays = [generator.standard_normal(shape).astype(np.float32) for shape in case.inputs]
    others = [draw(generator) for draw in case.others]
    a = [*(manual.tensor(array, requires_grad=True) for array in arrays), *others]
    b = [*(torch.tensor(array, requires_grad=True) for array in arrays), *map(torch.from_numpy, others)]
    shape = tuple(_first(theirs(*b, **case.call)).shape)
    seed = np.asarray(generator.standard_normal(shape), np.float32)
    torch_seed = torch.from_numpy(seed)

    def manual_step() -> None:
        mine.zero_grad()
        for one in a[: len(arrays)]:
            one.grad = None
        _first(mine(*a, **case.call)).backward(seed)

    def torch_step() -> None:
        theirs.zero_grad()
        for one in b[: len(arrays)]:
            one.grad = None
        _first(theirs(*b, **case.call)).backward(torch_seed)

    return manual_step, torch_step


def module_rows(rounds: int) -> tuple[list[list[Any]], list[str]]:
    """Rows of case, microseconds of either side and ratio manual / torch with quartiles; and what is not there yet."""
    rows, missing = [], []
    for case in CASES:
        try:
            mine, theirs = _steps(case)
        except NotImplementedError:
            missing.append(case.module)
            continue
        times = in_turn({"a": mine, "b": theirs}, rounds=rounds, least=0.05)
        found = ratio(times, "a", "b")
        each = [quartiles(times[name]).median * 1e6 for name in ("a", "b")]
        rows.append([case.name, *each, found.median, found.lower, found.upper])
    return rows, missing
