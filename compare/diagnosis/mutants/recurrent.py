"""Recurrent ops written out, one step after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["RECURRENT"]

State = Any
Weights = Sequence[Tensor]


def _lstm_cell(x: Tensor, hx: State, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> State:
    h, c = hx
    gates = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
    i, f, g, o = gates.chunk(4, -1)
    i = torch.sigmoid(i)
    f = torch.sigmoid(f)
    g = torch.tanh(g)
    o = torch.sigmoid(o)
    c = f * c + i * g
    h = o * torch.tanh(c)
    return h, c


def _gru_cell(x: Tensor, h: State, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    xr, xz, xn = F.linear(x, w_ih, b_ih).chunk(3, -1)
    hr, hz, hn = F.linear(h, w_hh, b_hh).chunk(3, -1)
    r = torch.sigmoid(xr + hr)
    z = torch.sigmoid(xz + hz)
    n = torch.tanh(xn + r * hn)
    return (1 - z) * n + z * h


def _rnn_tanh_cell(x: Tensor, h: State, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    return torch.tanh(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))


def _rnn_relu_cell(x: Tensor, h: State, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    return torch.relu(F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh))


def _layers(cell: Callable[..., State], width: int) -> Callable[..., Any]:
    """A whole network of such cells; ``width`` is the number of tensors in its state."""

    def run(x: Tensor, hx: Any, weights: Any, *options: Any) -> Any:
        biases, layers, dropout, training, bidirectional, batch_first = options
        if (dropout and training) or not isinstance(weights, (list, tuple)):
            raise NotImplementedError
        start = hx if width == 2 else (hx,)
        each, directions = (4 if biases else 2), (2 if bidirectional else 1)
        if len(weights) != each * layers * directions:
            raise NotImplementedError  # projections
        axis = 1 if batch_first else 0
        last: list[list[Tensor]] = [[] for _ in range(width)]
        for layer in range(layers):
            outputs = []
            for place in range(layer * directions, (layer + 1) * directions):
                state: Any = tuple(value[place] for value in start) if width == 2 else start[0][place]
                turned = place % directions == 1
                read, steps = (x.flip(axis) if turned else x), []
                for value in read.unbind(axis):
                    state = cell(value, state, *weights[each * place : each * (place + 1)])
                    steps.append(state[0] if width == 2 else state)
                output = torch.stack(steps, axis)
                outputs.append(output.flip(axis) if turned else output)
                for kept, value in zip(last, state if width == 2 else (state,), strict=True):
                    kept.append(value)
            x = torch.cat(outputs, -1) if bidirectional else outputs[0]
        return x, *(torch.stack(kept) for kept in last)

    return run


RECURRENT: dict[str, Callable[..., Any]] = {
    "lstm_cell": _lstm_cell,
    "gru_cell": _gru_cell,
    "rnn_tanh_cell": _rnn_tanh_cell,
    "rnn_relu_cell": _rnn_relu_cell,
    "lstm": _layers(_lstm_cell, 2),
    "gru": _layers(_gru_cell, 1),
    "rnn_tanh": _layers(_rnn_tanh_cell, 1),
    "rnn_relu": _layers(_rnn_relu_cell, 1),
}
"""Cells and networks of cells by the names that PyTorch calls them by, with its positional arguments."""
