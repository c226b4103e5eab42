"""Recurrent layers: several of them one above the other, in one direction or in both.

The recursion of one layer in one direction, with its derivation, is a rule of :mod:`manual.rules.recurrent`; here rules
are stacked, and inputs are checked.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from manual import random, rules
from manual.nn import init
from manual.nn.module import Module, Parameter
from manual.nn.utils.rnn import PackedSequence, as_tensor
from manual.tensor import DEFAULT_DTYPE, Tensor, apply

__all__ = ["GRU", "LSTM", "RNN", "RNNBase"]

_GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "GRU": 3, "LSTM": 4}


class RNNBase(Module):
    """What :class:`RNN`, :class:`GRU` and :class:`LSTM` have in common: parameters, stacking and directions.

    Layer ``k`` has ``weight_ih_lk``, ``weight_hh_lk``, ``bias_ih_lk`` and ``bias_hh_lk``, its gates one below the
    other, with projections ``weight_hr_lk``, and in the other direction the same with ``_reverse`` behind the name.
    All start uniform in ``+-1/sqrt(hidden_size)``.

    Shapes: those of :class:`RNN`, :class:`GRU` or :class:`LSTM`.

    Parameters
    ----------
    mode : ``"RNN_TANH"``, ``"RNN_RELU"``, ``"GRU"`` or ``"LSTM"``
    input_size, hidden_size : features of an element, and of a state
    num_layers : how many layers lie one above the other
    bias : whether there are biases
    batch_first : whether inputs and outputs are ``(batch, steps, features)`` instead of ``(steps, batch, features)``
    dropout : the probability of dropping an output, of every layer but the last, in training
    bidirectional : whether each layer also reads from the last step to the first; its outputs are joined
    proj_size : LSTM only: the features of a state after projection, 0 for none

    Raises
    ------
    ValueError, TypeError
        For an unknown mode, and sizes, probabilities or projections out of range.

    Examples
    --------
    >>> layer = manual.nn.RNNBase("GRU", 3, 4, num_layers=2)
    >>> {name: tuple(parameter.shape) for name, parameter in layer.named_parameters() if "weight" in name}
    {'weight_ih_l0': (12, 3), 'weight_hh_l0': (12, 4), 'weight_ih_l1': (12, 4), 'weight_hh_l1': (12, 4)}
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check_settings(dropout)
        rows = _GATES[mode] * hidden_size
        width = proj_size or hidden_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            entering = input_size if layer == 0 else width * self._directions
            for ending in ("", "_reverse")[: self._directions]:
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, entering), "weight_hh": (rows, width)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = {f"{kind}_l{layer}{ending}": shape for kind, shape in shapes.items()}
                for name, shape in names.items():
                    self.register_parameter(name, Parameter(np.empty(shape, dtype or DEFAULT_DTYPE)))
                self._all_weights.append(list(names))
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _check_settings(self, dropout: Any) -> None:
        if not 0 <= self.dropout <= 1 or isinstance(dropout, bool):
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if self.dropout > 0 and self.num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={self.dropout} and num_layers=1",
                stacklevel=4,
            )
        for name in ("input_size", "hidden_size"):
            value = getattr(self, name)
            if not isinstance(value, int):
                raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
        for name in ("input_size", "hidden_size", "num_layers"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if self.proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if self.proj_size >= self.hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if self.mode not in _GATES:
            raise ValueError(f"Unrecognized RNN mode: {self.mode}")

    def reset_parameters(self) -> None:
        """Draw every parameter anew, uniform in ``+-1/sqrt(hidden_size)``."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do: arrays need not lie in one block, as cuDNN wants them."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def _run(self, rule: Any, input: Any, hx: Any, **options: Any) -> tuple[Any, list[Tensor]]:
        """Run all layers on a tensor or a packed sequence.

        Parameters
        ----------
        rule : what one layer does in one direction
        hx : the kinds of initial states (one, or two in an LSTM), each ``(layers, batch, width)``, or ``None``

        Returns
        -------
        The output, and the last states of each kind.
        """
        packed = input if isinstance(input, PackedSequence) else None
        x = as_tensor(input if packed is None else packed.data)
        self._check_axes(x, hx, packed)
        single = packed is None and x.ndim == 2
        if packed is not None:
            options["batch_sizes"] = sizes = packed.batch_sizes.tolist()
            batch = sizes[0]
            if packed.sorted_indices is not None and hx is not None:
                hx = [state.index_select(1, packed.sorted_indices) for state in hx]
        elif single:
            batch = 1
            options["batch_sizes"] = (1,) * len(x)
        else:
            x = x.transpose(0, 1) if self.batch_first else x
            batch = x.shape[1]
        self._check_sizes(x, hx, batch, single)
        first: list[Any]
        if hx is None:
            zeros = [np.zeros((batch, width), x.dtype) for width in self._widths]
            first = [zeros] * len(self._all_weights)
        else:
            first = list(zip(*(state.split(1) if single else state.unbind() for state in hx), strict=True))
        last: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            outputs = []
            for place in range(layer * self._directions, (layer + 1) * self._directions):
                reverse = place % self._directions == 1
                value, *after = apply(rule, x, *first[place], *self._weights(place), reverse=reverse, **options)
                outputs.append(value)
                last.append(tuple(after))
            x = outputs[0] if len(outputs) == 1 else apply(rules.cat, *outputs, dim=-1)
            if self.training and self.dropout and layer < self.num_layers - 1:
                x = _dropped(x, self.dropout, single)
        states = [apply(rules.cat if single else rules.stack, *kind, dim=0) for kind in zip(*last, strict=True)]
        if packed is not None:
            if packed.unsorted_indices is not None:
                states = [state.index_select(1, packed.unsorted_indices) for state in states]
            return packed._replace(data=x), states
        return x.transpose(0, 1) if self.batch_first and not single else x, states

    def _weights(self, place: int) -> list[Any]:
        """The parameters of one layer and direction in the order of the rule, ``None`` where there is none."""
        weights: list[Any] = [self._parameters[name] for name in self._all_weights[place]]
        if not self.bias:
            weights[2:2] = [None, None]
        return weights

    @property
    def _widths(self) -> tuple[int, ...]:
        """How wide each kind of state is."""
        width = self.proj_size or self.hidden_size
        return (width, self.hidden_size) if self.mode == "LSTM" else (width,)

    def _check_axes(self, x: Tensor, hx: Any, packed: Any) -> None:
        """Refuse inputs and states of another number of axes than they may have."""
        if packed is not None:
            if x.ndim != 2:
                raise RuntimeError(f"input must have 2 dimensions, got {x.ndim}")
            return
        kind = type(self).__name__
        if x.ndim not in (2, 3):
            got = f"{x.ndim}D tensor" if kind == "RNN" else f"{x.ndim}D"
            raise ValueError(f"{kind}: Expected input to be 2D or 3D, got {got} instead")
        if hx is not None and any(state.ndim != x.ndim for state in hx):
            which = "batched 3-D" if x.ndim == 3 else "unbatched 2-D"
            if len(hx) == 1:
                names, got = "hx", f"{hx[0].ndim}-D tensor"
            else:
                names, got = "hx and cx", f"({hx[0].ndim}-D, {hx[1].ndim}-D) tensors"
            raise RuntimeError(f"For {which} input, {names} should also be {x.ndim}-D but got {got}")

    def _check_sizes(self, x: Tensor, hx: Any, batch: int, single: bool) -> None:
        """Refuse dtypes and sizes that do not fit the parameters."""
        dtype = self._parameters[self._all_weights[0][0]].dtype
        if x.dtype != dtype:
            raise ValueError(
                f"RNN input dtype ({x.dtype}) does not match weight dtype ({dtype}). "
                f"Convert input: input.to({dtype}), or convert model: model.to({x.dtype})"
            )
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {x.shape[-1]}"
            )
        for place, state in enumerate(hx or ()):
            expected = (len(self._all_weights), batch, self._widths[place])
            got = (len(state), 1, *state.shape[1:]) if single else state.shape
            if got != expected:
                kind = f"hidden[{place}]" if self.mode == "LSTM" else "hidden"
                raise RuntimeError(f"Expected {kind} size {expected}, got {list(got)}")

    def extra_repr(self) -> str:
        shown = [str(self.input_size), str(self.hidden_size)]
        for name, default in (
            ("proj_size", 0),
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0),
            ("bidirectional", False),
        ):
            value = getattr(self, name)
            if value != default:
                shown.append(f"{name}={value}")
        return ", ".join(shown)


class RNN(RNNBase):
    """Plain recurrent layers: ``h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``, or the relu of it.

    Shapes: input ``(steps, batch, input_size)`` (``batch_first`` swaps the first two), or ``(steps, input_size)``, or
    a :class:`~manual.nn.utils.rnn.PackedSequence`; ``hx (num_layers * directions, batch, hidden_size)``, zeros where
    ``None``. Returns the states of the last layer at all steps, ``(steps, batch, directions * hidden_size)``, and the
    last states of all layers, shaped as ``hx``. See :func:`manual.rules.rnn_layer` and, for the arguments,
    :class:`RNNBase`.

    Raises
    ------
    ValueError
        If an option is out of range; when it is called, if the input has other axes.
    RuntimeError
        When it is called, if a size does not fit.

    Examples
    --------
    >>> layer = nn.RNN(1, 1, nonlinearity="relu", bias=False)
    >>> _ = layer.load_state_dict({"weight_ih_l0": tensor([[1.0]]), "weight_hh_l0": tensor([[2.0]])})
    >>> output, last = layer(tensor([[1.0], [1.0], [1.0]]))
    >>> output
    Tensor([[1.],
            [3.],
            [7.]], requires_grad=True)
    >>> last.backward(tensor([[5.0]]))
    >>> layer.weight_ih_l0.grad
    array([[35.]], dtype=float32)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **options: Any,
    ):
        _refuse_projections(options)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        mode = "RNN_TANH" if nonlinearity == "tanh" else "RNN_RELU"
        super().__init__(
            mode,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
            **options,
        )
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Tensor]:
        nonlinearity = "tanh" if self.mode == "RNN_TANH" else "relu"
        given = None if hx is None else [as_tensor(hx)]
        output, (state,) = self._run(rules.rnn_layer, input, given, nonlinearity=nonlinearity)
        return output, state


class GRU(RNNBase):
    """Layers of gated recurrent units, with gates in the order reset, update, new.

    Shapes: as in :class:`RNN`. See :func:`manual.rules.gru_layer` and, for the arguments, :class:`RNNBase`.

    Raises
    ------
    ValueError
        If an option is out of range; when it is called, if the input has other axes.
    RuntimeError
        When it is called, if a size does not fit.

    Examples
    --------
    >>> layer = nn.GRU(1, 1)
    >>> for parameter in layer.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> output, last = layer(tensor([[7.0], [7.0], [7.0]]), tensor([[8.0]]))
    >>> output
    Tensor([[4.],
            [2.],
            [1.]], requires_grad=True)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **options: Any,
    ):
        _refuse_projections(options)
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
            **options,
        )

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Tensor]:
        output, (state,) = self._run(rules.gru_layer, input, None if hx is None else [as_tensor(hx)])
        return output, state


class LSTM(RNNBase):
    """Layers of long short-term memory, with gates in the order input, forget, candidate, output.

    Shapes: as in :class:`RNN`, with two kinds of states, ``hx = (h, c)``. With ``proj_size``, outputs and ``h`` are
    that wide, and ``c`` stays ``hidden_size`` wide. See :func:`manual.rules.lstm_layer` and, for the arguments,
    :class:`RNNBase`.

    Raises
    ------
    ValueError
        If an option is out of range; when it is called, if the input has other axes.
    RuntimeError
        When it is called, if a size does not fit.

    Examples
    --------
    >>> layer = nn.LSTM(1, 1)
    >>> for parameter in layer.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> output, (hidden, cell) = layer(tensor([[7.0], [7.0]]), (tensor([[0.0]]), tensor([[8.0]])))
    >>> cell
    Tensor([[2.]], requires_grad=True)
    >>> output
    Tensor([[0.4997],
            [0.482 ]], requires_grad=True)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise RuntimeError("lstm expects two hidden states")
        output, states = self._run(rules.lstm_layer, input, None if hx is None else [as_tensor(state) for state in hx])
        return output, (states[0], states[1])


def _dropped(x: Tensor, p: float, single: bool) -> Tensor:
    """Dropout between layers; a lone sequence draws as a batch of one, as in torch."""
    if p == 1:
        mask = np.zeros(x.shape, bool)
    else:
        shape = (len(x), 1, x.shape[-1]) if single else x.shape
        mask = random.bernoulli(shape, 1 - p).reshape(x.shape)
    result: Tensor = apply(rules.dropout, x, mask, p=p)
    return result


def _refuse_projections(options: dict[str, Any]) -> None:
    if "proj_size" in options:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
