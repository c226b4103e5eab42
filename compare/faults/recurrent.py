"""Mistakes in recurrent layers and cells.

Each cell is written out here once, a line for each value, so that a fault replaces a line; a layer is a cell at every
step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compare.faults import sequence_scenes as scenes
from compare.faults.collecting import Faults
from compare.faults.planting import Plant, Planting
from manual import rules
from manual.rules.core import Array, Gradients, Needs

__all__ = ["FAULTS", "cell", "gru", "layer", "lstm", "plain"]

FAULTS = Faults()

Names = dict[str, Any]
Lines = dict[str, Callable[[Names], Any]]
"""What stands in the place of a line, from all values before it."""
Step = Callable[..., tuple[tuple[Array, ...], Callable[..., list[Array]]]]
"""``step(x, *states, *weights)`` returns the next states, and what maps their gradients to those of the arguments."""


class _Written:
    """The lines of a cell; ``names[name]`` is the value of a line."""

    def __init__(self, lines: Lines, **given: Any):
        self.lines, self.names = lines, given

    def __call__(self, name: str, value: Any) -> Any:
        self.names[name] = self.lines[name](self.names) if name in self.lines else value
        return self.names[name]


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _maps(line: _Written, to_a: Array, to_b: Array) -> list[Array]:
    """The gradients of ``x``, ``h`` and the four weights of ``a = W_ih x + b_ih`` and ``b = W_hh h + b_hh``."""
    n = line.names
    return [
        line("dx", to_a @ n["w_ih"]),
        line("dh", to_b @ n["w_hh"]),
        line("dw_ih", to_a.T @ n["x"]),
        line("dw_hh", to_b.T @ n["h"]),
        line("db_ih", to_a.sum(0)),
        line("db_hh", to_b.sum(0)),
    ]


def plain(**lines: Any) -> Step:
    """A plain cell: ``h' = tanh(a + b)``."""

    def step(x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> Any:
        line = _Written(lines, x=x, h=h, w_ih=w_ih, w_hh=w_hh)
        y = line("y", np.tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh))

        def back(g: Array) -> list[Array]:
            line("g", g)
            slope = line("slope", 1 - y * y)
            return _maps(line, g * slope, g * slope)

        return (y,), back

    return step


def gru(**lines: Any) -> Step:
    """A gated recurrent unit: ``h' = (1 - z) n + z h`` with ``n = tanh(a_n + r b_n)``."""

    def step(x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> Any:
        line = _Written(lines, x=x, h=h, w_ih=w_ih, w_hh=w_hh, b_ih=b_ih, b_hh=b_hh)
        (a_r, a_z, a_n), (b_r, b_z, b_n) = (np.split(s, 3, 1) for s in (x @ w_ih.T + b_ih, h @ w_hh.T + b_hh))
        line("a_n", a_n)
        r = line("r", _sigmoid(a_r + b_r))
        z = line("z", _sigmoid(a_z + b_z))
        n = line("n", np.tanh(a_n + r * b_n))
        y = line("y", (1 - z) * n + z * h)

        def back(g: Array) -> list[Array]:
            line("g", g)
            dn = line("dn", (1 - z) * g * (1 - n * n))
            dz = line("dz", (h - n) * g)
            dr = line("dr", b_n * dn)
            to_r, to_z = dr * r * (1 - r), dz * z * (1 - z)
            found = _maps(line, np.hstack([to_r, to_z, dn]), np.hstack([to_r, to_z, r * dn]))
            found[1] = found[1] + z * g
            return found

        return (y,), back

    return step


def lstm(**lines: Any) -> Step:
    """Long short-term memory: ``c' = f c + i g`` and ``h' = o tanh(c')``."""

    def step(x: Array, h: Array, c: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> Any:
        line = _Written(lines, x=x, h=h, c=c, w_ih=w_ih, w_hh=w_hh, b_ih=b_ih, b_hh=b_hh)
        sums = line("sums", np.split(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, 1))
        i, f, g, o = (sums[place] for place in line("order", (0, 1, 2, 3)))
        i, f, g, o = line("i", _sigmoid(i)), line("f", _sigmoid(f)), line("g", np.tanh(g)), line("o", _sigmoid(o))
        new = line("new", f * c + i * g)
        squashed = line("squashed", np.tanh(new))
        y = line("y", o * squashed)

        def back(to_y: Array, to_c: Array) -> list[Array]:
            line("to_y", to_y)
            line("to_c", to_c)
            dc = line("dc", to_c + to_y * o * (1 - squashed * squashed))
            di, df, dg = line("di", g * dc), line("df", c * dc), line("dg", i * dc)
            do = line("do", squashed * to_y)
            to_gates = np.hstack([di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)])
            to_x, to_h, *to_weights = _maps(line, to_gates, to_gates)
            return [to_x, to_h, line("to_old", f * dc), *to_weights]

        return (y, new), back

    return step


def cell(of: Callable[..., Any], step: Step) -> Plant:
    """The rule of a cell ``of`` the manual wing by a step that is written here."""

    def rule(right: Any, *inputs: Any) -> Any:
        states, back = step(*inputs)

        def cell_pullback(incoming: Any, needs: Needs) -> Gradients:
            found = back(*incoming) if len(states) > 1 else back(incoming)
            return tuple(gradient if need else None for gradient, need in zip(found, needs, strict=True))

        return states if len(states) > 1 else states[0], cell_pullback

    return lambda plant: plant.rule(of, rule)


def layer(of: Callable[..., Any], step: Step, carried: Sequence[bool] = (True, True)) -> Plant:
    """The rule of a layer likewise; a state that is not ``carried`` hands no gradient to the step before."""

    def rule(right: Any, input: Array, *others: Any, reverse: bool = False, **options: Any) -> Any:
        states, weights = others[:-4], others[-4:]
        values = np.empty((*input.shape[:2], states[0].shape[1]), input.dtype)
        backs = []
        for time in range(len(input))[:: -1 if reverse else 1]:
            states, back = step(input[time], *states, *weights)
            values[time] = states[0]
            backs.append((time, back))

        def layer_pullback(incoming: Any, needs: Needs) -> Gradients:
            to_states = [np.array(g) for g in incoming[1:]]
            to_input = np.zeros_like(input)
            to_weights = [np.zeros_like(weight) for weight in weights]
            for time, back in reversed(backs):
                if incoming[0] is not None:
                    to_states[0] = to_states[0] + incoming[0][time]
                to_input[time], *rest = back(*to_states)
                to_states = [g if kept else 0 * g for g, kept in zip(rest[:-4], carried, strict=False)]
                to_weights = [total + share for total, share in zip(to_weights, rest[-4:], strict=True)]
            found = (to_input, *to_states, *to_weights)
            return tuple(gradient if need else None for gradient, need in zip(found, needs, strict=True))

        return (values, *states), layer_pullback

    return lambda plant: plant.rule(of, rule)


# -- plain -------------------------------------------------------------------------------------------------------------

FAULTS.add(
    "rnn-slope-of-the-state",
    "the derivative of tanh, which applies tanh itself, is given the state: 1 - tanh(h)^2",
    cause="derivative of the wrong variable",
    phase="backward",
    step=1,
    scene=scenes.read("RNN"),
)(layer(rules.rnn_layer, plain(slope=lambda n: 1 - np.tanh(n["y"]) ** 2)))

FAULTS.add(
    "rnn-truncated-to-one-step",
    "the state of the step before is taken for an input: no gradient goes back through time",
    cause="detached",
    also=("missing term",),
    phase="backward",
    step=1,
    scene=scenes.read("RNN"),
)(layer(rules.rnn_layer, plain(), carried=(False,)))

FAULTS.add(
    "rnn-cell-weight-gradient-with-the-new-state",
    "the gradient of the hidden weights takes the state that the step has made, not the one that it started from",
    cause="wrong operand",
    phase="deposit",
    step=1,
    scene=scenes.by_cell("RNNCell"),
)(cell(rules.rnn_tanh_cell, plain(dw_hh=lambda n: (n["g"] * n["slope"]).T @ n["y"])))

# -- long short-term memory --------------------------------------------------------------------------------------------

FAULTS.add(
    "lstm-gates-in-another-order",
    "the weights are cut into gates in the order of another library: input, forget, output, candidate",
    cause="permuted",
    phase="forward",
    step=1,
    scene=scenes.read("LSTM"),
    source="CrispStrobe/CrispASR#106",
)(layer(rules.lstm_layer, lstm(order=lambda n: (0, 1, 3, 2))))

FAULTS.add(
    "lstm-cell-gradient-dropped-through-time",
    "the gradient goes back through time by the hidden state alone, the cell's is dropped",
    cause="detached",
    also=("missing term",),
    phase="backward",
    step=1,
    scene=scenes.read("LSTM"),
)(layer(rules.lstm_layer, lstm(), carried=(True, False)))

FAULTS.add(
    "lstm-forget-gradient-with-the-new-cell",
    "the gradient of the forget gate is multiplied by the cell that the step has made, not by the one it forgets",
    cause="wrong operand",
    phase="backward",
    step=1,
    scene=scenes.read("LSTM"),
)(layer(rules.lstm_layer, lstm(df=lambda n: n["new"] * n["dc"])))

FAULTS.add(
    "lstm-cell-hands-on-its-cell-bare",
    "the hidden state is the output gate times the cell, without the tanh of the cell",
    cause="left out",
    phase="forward",
    step=1,
    scene=scenes.by_cell("LSTMCell"),
)(cell(rules.lstm_cell, lstm(squashed=lambda n: n["new"])))

FAULTS.add(
    "lstm-cell-gradient-of-the-output-forgotten",
    "what reaches the new cell through the output gate is left out: only what comes from the next step counts",
    cause="missing term",
    also=("detached",),
    phase="backward",
    step=1,
    scene=scenes.by_cell("LSTMCell"),
)(cell(rules.lstm_cell, lstm(dc=lambda n: n["to_c"])))


# -- gated recurrent units ---------------------------------------------------------------------------------------------

FAULTS.add(
    "gru-reset-before-the-product",
    "the reset gate multiplies the state before the product with the hidden weights, not what comes out of it",
    cause="other order",
    phase="forward",
    step=1,
    scene=scenes.read("GRU"),
    source="tracel-ai/burn#2701",
)(
    layer(
        rules.gru_layer,
        gru(
            n=lambda n: np.tanh(n["a_n"] + (n["r"] * n["h"]) @ np.split(n["w_hh"], 3)[2].T + np.split(n["b_hh"], 3)[2])
        ),
    )
)

FAULTS.add(
    "gru-update-gate-the-other-way",
    "the update gate is the share of the new state, not of the old one",
    cause="permuted",
    phase="forward",
    step=1,
    scene=scenes.read("GRU"),
)(layer(rules.gru_layer, gru(y=lambda n: n["z"] * n["n"] + (1 - n["z"]) * n["h"])))

FAULTS.add(
    "gru-cell-update-gradient-without-the-state",
    "the gradient of the update gate is -n times what arrives: the old state, which the gate keeps, is left out",
    cause="missing term",
    also=("detached",),
    phase="backward",
    step=1,
    scene=scenes.by_cell("GRUCell"),
)(cell(rules.gru_cell, gru(dz=lambda n: -n["n"] * n["g"])))

# -- both directions ---------------------------------------------------------------------------------------------------


@FAULTS.add(
    "backward-direction-not-turned-back",
    "the outputs of the backward direction are joined in the order in which they were made, the last step first",
    cause="reversed",
    phase="forward",
    step=1,
    scene=scenes.bidirectional("LSTM"),
)
def not_turned_back(plant: Planting) -> None:
    def rule(right: Any, *inputs: Any, reverse: bool = False, **options: Any) -> Any:
        (values, *last), pullback = right(*inputs, reverse=reverse, **options)
        if not reverse:
            return (values, *last), pullback

        def lstm_layer_pullback(incoming: Any, needs: Needs) -> Gradients:
            return pullback((incoming[0][::-1], *incoming[1:]), needs)

        return (values[::-1].copy(), *last), lstm_layer_pullback

    plant.rule(rules.lstm_layer, rule)


@FAULTS.add(
    "backward-direction-with-the-forward-weights",
    "both directions read the sequence with the hidden weights of the forward direction",
    cause="wrong operand",
    phase="forward",
    step=1,
    scene=scenes.bidirectional("GRU"),
)
def one_set_of_weights(plant: Planting) -> None:
    held: list[Array] = []

    def rule(right: Any, input: Array, hx: Array, w_ih: Array, w_hh: Array, *biases: Any, **options: Any) -> Any:
        if not options.get("reverse"):
            held[:] = [w_hh]
        return right(input, hx, w_ih, held[0], *biases, **options)

    plant.rule(rules.gru_layer, rule)
