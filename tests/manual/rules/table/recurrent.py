"""Recurrent cells and layers, against the ops of the same name, and against torch's layers where these have none.

A layer of this wing is one direction; torch's reversed direction is had from a bidirectional layer whose two directions
share their weights.
"""

import warnings
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import Draw, between, case, exactly, normal

FORWARD = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}


def given_layer(
    *tensors: Any,
    op: Any = None,
    cells: int = 1,
    nonlinearity: str = "tanh",
    batch_sizes: Any = None,
    reverse: bool = False,
) -> tuple[Tensor, ...]:
    """torch's layer, from the inputs of this wing's rule."""
    input, states, weights = tensors[0], tensors[1 : 1 + cells], [t for t in tensors[1 + cells :] if t is not None]
    directions = 1 + reverse
    first = [torch.stack([state] * directions) for state in states]
    hx: Any = first if cells > 1 else first[0]
    settings = (weights * directions, len(weights) > 3, 1, 0.0, False, reverse)
    op = op or FORWARD[nonlinearity]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that oneDNN has no projections
        found = op(input, hx, *settings, False) if batch_sizes is None else op(input, batch_sizes, hx, *settings)
    values, *last = found
    width = last[0].shape[-1]
    return (values[..., -width:], *(state[-1] for state in last))


def given_cell(input: Tensor, hx: Tensor, cx: Tensor, *weights: Any) -> Any:
    return torch.lstm_cell(input, (hx, cx), *weights)


def weights(gates: int, entering: int, hidden: int, bias: bool = True, projected: int = 0) -> list[Any]:
    """The shapes of one layer's parameters; small ones, so that no gate is full."""
    rows = gates * hidden
    drawn: list[Any] = [between(-0.7, 0.7, rows, entering), between(-0.7, 0.7, rows, projected or hidden)]
    drawn += [between(-0.7, 0.7, rows), between(-0.7, 0.7, rows)] if bias else [None, None] if projected else []
    return drawn + ([between(-0.7, 0.7, projected, hidden)] if projected else [])


FEWER = np.array([4, 3, 3, 1])
"""Sequences of 4, 3, 3 and 1 steps."""

# -- cells -----------------------------------------------------------------------------------------------------------

for rule, gates in {"rnn_tanh_cell": 1, "rnn_relu_cell": 1, "gru_cell": 3}.items():
    case(rule, normal(3, 5), normal(3, 4), *weights(gates, 5, 4))
    case(rule, normal(3, 5), normal(3, 4), *weights(gates, 5, 4, bias=False))
    case(rule, normal(1, 1), normal(1, 1), *weights(gates, 1, 1))
case("lstm_cell", normal(3, 5), normal(3, 4), normal(3, 4), *weights(4, 5, 4), torch=given_cell)
case("lstm_cell", normal(3, 5), normal(3, 4), normal(3, 4), *weights(4, 5, 4, bias=False), torch=given_cell)
case("lstm_cell", normal(1, 1), normal(1, 1), normal(1, 1), *weights(4, 1, 1), torch=given_cell)
case(
    "rnn_relu_cell",
    exactly([1, 2]),
    exactly([1]),
    exactly([1, -1]),
    exactly([1]),
    smooth=False,
    note="a sum of exactly 0",
)
far = Draw("far", lambda generator: generator.choice([-900.0, 900.0], (3, 4)))
case("gru_cell", far, normal(3, 2), *weights(3, 4, 2), smooth=False, note="full gates")
case("lstm_cell", far, normal(3, 2), normal(3, 2), *weights(4, 4, 2), torch=given_cell, smooth=False, note="full gates")

# -- layers ----------------------------------------------------------------------------------------------------------

for rule, gates, op, cells in (
    ("rnn_layer", 1, None, 1),
    ("gru_layer", 3, torch.gru, 1),
    ("lstm_layer", 4, torch.lstm, 2),
):
    reference = partial(given_layer, op=op, cells=cells)
    first = [normal(2, 3)] * cells
    for reverse in (False, True):
        case(rule, normal(5, 2, 4), *first, *weights(gates, 4, 3), torch=reference, reverse=reverse)
        case(
            rule,
            normal(11, 4),
            *[normal(4, 3)] * cells,
            *weights(gates, 4, 3),
            torch=reference,
            batch_sizes=FEWER,
            reverse=reverse,
            note="packed",
        )
    case(rule, normal(5, 2, 4), *first, *weights(gates, 4, 3, bias=False), torch=reference)
    case(rule, normal(1, 2, 4), *first, *weights(gates, 4, 3), torch=reference)
    case(
        rule,
        normal(5, 4),
        *[normal(1, 3)] * cells,
        *weights(gates, 4, 3),
        torch=reference,
        batch_sizes=np.ones(5, int),
        note="of one sequence",
    )
    case(rule, normal(30, 20, 15), *[normal(20, 16)] * cells, *weights(gates, 15, 16), torch=reference, note="larger")
    case(rule, normal(200, 3, 4), *[normal(3, 5)] * cells, *weights(gates, 4, 5), torch=reference, note="long")
for reverse in (False, True):
    case(
        "rnn_layer",
        normal(5, 2, 4),
        normal(2, 3),
        *weights(1, 4, 3),
        torch=given_layer,
        nonlinearity="relu",
        reverse=reverse,
    )
for reverse in (False, True):
    for bias in (False, True):
        case(
            "lstm_layer",
            normal(5, 3, 4),
            normal(3, 2),
            normal(3, 5),
            *weights(4, 4, 5, bias=bias, projected=2),
            torch=partial(given_layer, op=torch.lstm, cells=2),
            reverse=reverse,
        )
case(
    "lstm_layer",
    normal(11, 4),
    normal(4, 2),
    normal(4, 5),
    *weights(4, 4, 5, projected=2),
    torch=partial(given_layer, op=torch.lstm, cells=2),
    batch_sizes=FEWER,
    reverse=True,
    note="packed and projected",
)

# -- padding ---------------------------------------------------------------------------------------------------------

HELD = np.arange(5)[:, np.newaxis] < np.array([5, 3, 1])


def given_padded(x: Tensor, mask: Tensor, padding_value: float = 0.0) -> Tensor:
    padded = torch.full((*mask.shape, *x.shape[1:]), padding_value, dtype=x.dtype)
    return padded.index_put((mask,), x)


case("pad_rows", normal(9, 4), mask=HELD, torch=given_padded)
case("pad_rows", normal(9), mask=HELD, torch=given_padded, padding_value=-7.0)
case("pad_rows", normal(9, 2, 3), mask=HELD.T.copy(), torch=given_padded)
