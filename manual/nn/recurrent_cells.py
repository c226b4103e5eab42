"""Recurrent cells: one step, for loops that are written by hand.

Each is a rule of :mod:`manual.rules.recurrent`, where its formulas are derived.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual import rules
from manual.nn import init
from manual.nn.module import Module, Parameter
from manual.nn.utils.rnn import as_tensor
from manual.tensor import DEFAULT_DTYPE, Tensor, apply

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]


class RNNCellBase(Module):
    """What the cells have in common: ``weight_ih``, ``weight_hh``, ``bias_ih``, ``bias_hh``, of ``num_chunks`` gates.

    All start uniform in ``+-1/sqrt(hidden_size)``.

    Shapes: ``weight_ih (num_chunks hidden_size, input_size)``, ``weight_hh (num_chunks hidden_size, hidden_size)``,
    biases ``(num_chunks hidden_size,)``. Raises nothing of its own.

    Examples
    --------
    >>> cell = manual.nn.RNNCellBase(3, 4, bias=False, num_chunks=2)
    >>> {name: tuple(parameter.shape) for name, parameter in cell.named_parameters()}
    {'weight_ih': (8, 3), 'weight_hh': (8, 4)}
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows, dtype = num_chunks * hidden_size, dtype or DEFAULT_DTYPE
        self.weight_ih = Parameter(np.empty((rows, input_size), dtype))
        self.weight_hh = Parameter(np.empty((rows, hidden_size), dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(np.empty(rows, dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter anew, uniform in ``+-1/sqrt(hidden_size)``."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0.0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _step(self, rule: Any, input: Any, hx: Any) -> list[Tensor]:
        """The states after one step, ``hx`` being those before it, or ``None`` for zeros."""
        x, kind = as_tensor(input), type(self).__name__
        if x.ndim not in (1, 2):
            raise ValueError(f"{kind}: Expected input to be 1D or 2D, got {x.ndim}D instead")
        single = x.ndim == 1
        x = x.unsqueeze(0) if single else x
        states: list[Any]
        if hx is None:
            states = [np.zeros((len(x), self.hidden_size), x.dtype)] * (2 if rule is rules.lstm_cell else 1)
        else:
            states = [as_tensor(state) for state in hx]
            for place, state in enumerate(states):
                if state.ndim not in (1, 2):
                    name = f"hx[{place}]" if len(states) > 1 else "hidden"
                    raise ValueError(f"{kind}: Expected {name} to be 1D or 2D, got {state.ndim}D instead")
            states = [state.unsqueeze(0) for state in states] if single else states
        found = apply(rule, x, *states, *self._parameters.values())
        after = list(found) if type(found) is tuple else [found]
        return [state.squeeze(0) for state in after] if single else after

    def extra_repr(self) -> str:
        shown = f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else f", bias={self.bias}")
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        return shown + (f", nonlinearity={nonlinearity}" if nonlinearity != "tanh" else "")


class RNNCell(RNNCellBase):
    """One step of a plain recurrent network, ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or the relu of it.

    Shapes: input ``(batch, input_size)`` and ``hx (batch, hidden_size)``, both or neither with a batch; the value as
    ``hx``. See :func:`manual.rules.rnn_tanh_cell`.

    Raises
    ------
    ValueError
        When it is called, if the input or the state has other axes.
    RuntimeError
        When it is called, if ``nonlinearity`` is unknown or a size does not fit.

    Examples
    --------
    >>> cell = nn.RNNCell(1, 1, nonlinearity="relu", bias=False)
    >>> _ = cell.load_state_dict({"weight_ih": tensor([[1.0]]), "weight_hh": tensor([[2.0]])})
    >>> cell(tensor([[1.0]]), tensor([[3.0]])).backward(tensor([[5.0]]))
    >>> cell.weight_hh.grad
    array([[15.]], dtype=float32)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        rule = rules.rnn_tanh_cell if self.nonlinearity == "tanh" else rules.rnn_relu_cell
        (state,) = self._step(rule, input, None if hx is None else [hx])
        return state


class GRUCell(RNNCellBase):
    """One step of a gated recurrent unit; shapes as in :class:`RNNCell`. See :func:`manual.rules.gru_layer`.

    Raises
    ------
    ValueError
        When it is called, if the input or the state has other axes.
    RuntimeError
        When it is called, if a size does not fit.

    Examples
    --------
    >>> cell = nn.GRUCell(1, 1)
    >>> for parameter in cell.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> cell(tensor([[7.0]]), tensor([[8.0]]))
    Tensor([[4.]], requires_grad=True)
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Tensor:
        (state,) = self._step(rules.gru_cell, input, None if hx is None else [hx])
        return state


class LSTMCell(RNNCellBase):
    """One step of a long short-term memory, from ``hx = (h, c)`` to the next ``(h, c)``.

    Shapes: each as in :class:`RNNCell`. See :func:`manual.rules.lstm_layer`.

    Raises
    ------
    ValueError
        When it is called, if the input or a state has other axes.
    RuntimeError
        When it is called, if a size does not fit.

    Examples
    --------
    >>> cell = nn.LSTMCell(1, 1)
    >>> for parameter in cell.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> hidden, memory = cell(tensor([[7.0]]), (tensor([[0.0]]), tensor([[8.0]])))
    >>> memory
    Tensor([[4.]], requires_grad=True)
    >>> hidden
    Tensor([[0.4997]], requires_grad=True)
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Tensor, Tensor]:
        if hx is not None and not isinstance(hx, (tuple, list)):
            raise TypeError(
                f"lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not {type(hx).__name__}"
            )
        state, cell = self._step(rules.lstm_cell, input, hx)
        return state, cell
