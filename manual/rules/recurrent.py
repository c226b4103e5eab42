"""Recurrent layers: the same small network applied at every step of a sequence, each time to its own last state.

A *cell* is one step; a *layer* is the recursion over all steps, and its pullback is backpropagation through time
(Werbos, "Backpropagation Through Time", 1990). A cell is a layer of one step: each derivation is written once.

What need not wait is done for all steps at once. On the way out, ``W_ih x_t`` knows nothing of the state: one matrix
product serves the whole sequence. On the way back, every slope of a gate follows from saved values: all are computed
before the loop. The loop holds the recursion alone, ``W_hh h`` on the way out and ``W_hhᵀ δa`` on the way back. The
gradient of a weight is a sum of outer products over steps, ``Σ_t δa_t x_tᵀ``, and that is one matrix product again.

Shapes, in every layer: ``input (steps, batch, in)``, or ``(rows, in)`` with ``batch_sizes`` (see
:mod:`manual.rules.steps`); initial states ``(batch, hidden)``; with ``k`` gates ``w_ih (k hidden, in)``,
``w_hh (k hidden, hidden)`` and biases ``(k hidden,)`` or ``None``. The values are the states of all steps, shaped as
the input is, and the last state of each sequence. In every cell: ``input (batch, in)``, states ``(batch, hidden)``.

Convention: with ``reverse`` a sequence is read from its last step to its first, the value of a step is what was known
when it was read, and the last state is that after the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, contraction
from manual.rules.masking import drop
from manual.rules.steps import Walk, check_cell, products, squash, sums_over_rows, tanh_slope

__all__ = ["gru_cell", "gru_layer", "lstm_cell", "lstm_layer", "rnn_layer", "rnn_relu_cell", "rnn_tanh_cell"]


# -- the plain network: one squashed sum -----------------------------------------------------------------------------


@contraction
def rnn_layer(
    input: Any,
    hx: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    *,
    nonlinearity: str = "tanh",
    batch_sizes: Sequence[int] | None = None,
    reverse: bool = False,
) -> tuple[tuple[Array, Array], Pullback]:
    """Run a plain recurrent layer over whole sequences.

    Shapes: see the top of this file, with one "gate".

    Forward: ``a_t = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh`` and ``h_t = φ(a_t)``, where ``φ`` is the tanh or the relu.

    Backward: ``h_t`` is seen from outside, as the value of step ``t``, and from ``a_{t+1}``. With ``g_t`` incoming,
    ``δh_t = g_t + W_hhᵀ δa_{t+1}`` and ``δa_t = φ'(a_t) δh_t``, from the last step to the first; the last ``δh`` starts
    with the gradient of the last state. The slope ``φ'`` is ``1 - h_t²``, or 1 where ``h_t > 0`` and else 0. Then
    ``dL/dW_ih = Σ_t δa_t x_tᵀ``, ``dL/dW_hh = Σ_t δa_t h_{t-1}ᵀ``, ``dL/db = Σ_t δa_t`` for both biases,
    ``dL/dx_t = W_ihᵀ δa_t`` and ``dL/dh_0 = W_hhᵀ δa_1``.

    Source: Elman, "Finding Structure in Time" (1990).

    Convention: slope 0 at the relu's kink, as in torch.

    Raises
    ------
    ValueError
        For another nonlinearity.

    Examples
    --------
    >>> steps, start, weights = np.ones((3, 1, 1)), np.zeros((1, 1)), (np.array([[1.0]]), np.array([[2.0]]))
    >>> (output, last), pullback = rules.rnn_layer(steps, start, *weights, nonlinearity="relu")
    >>> output.ravel()
    array([1., 3., 7.])
    >>> pullback((None, np.array([[5.0]])), (False, False, True, False, False, False))[2]
    array([[35.]])
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
    smooth = nonlinearity == "tanh"
    walk = Walk(input, batch_sizes, reverse)
    x = walk.rows(input)
    sums = products(x, w_ih, b_ih, b_hh)
    states = walk.states(hx, w_hh.shape[1])
    for here, after, before in walk.steps:
        reached = sums[here]
        reached += states[before] @ w_hh.T
        if smooth:
            np.tanh(reached, out=states[after])
        else:
            np.maximum(reached, 0, out=states[after])
    values = states[walk.batch :]

    def rnn_layer_pullback(incoming: Any, needs: Needs) -> Gradients:
        to_values = None if incoming[0] is None else walk.rows(incoming[0])
        to_state = incoming[1].copy()
        to_sums = tanh_slope(values) if smooth else np.empty_like(values)
        for here, _, before in reversed(walk.steps):
            to_h = to_state[: before.stop - before.start]
            if to_values is not None:
                to_h += to_values[here]
            if smooth:
                to_sums[here] *= to_h
            else:
                to_sums[here] = drop(to_h, values[here] <= 0)
            np.matmul(to_sums[here], w_hh, out=to_h)
        to_input = walk.shaped(to_sums @ w_ih) if needs[0] else None
        to_w_ih, to_b_ih = sums_over_rows(to_sums, x, needs[2::2])
        to_w_hh, to_b_hh = sums_over_rows(to_sums, walk.before(states), needs[3::2])
        gradients = (to_input, to_state if needs[1] else None, to_w_ih, to_w_hh, to_b_ih, to_b_hh)
        return gradients[: len(needs)]

    return (walk.shaped(values), walk.last(states)), rnn_layer_pullback


@contraction
def rnn_tanh_cell(
    input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> tuple[Array, Pullback]:
    """Take one step of a plain recurrent network: a :func:`rnn_layer` of one step.

    Forward: ``a = W_ih x + b_ih + W_hh h + b_hh``, ``h' = tanh(a)``.

    Backward: ``δa = (1 - h'²) g``, then as two linear maps: ``dL/dx = W_ihᵀ δa``, ``dL/dh = W_hhᵀ δa``,
    ``dL/dW_ih = δa xᵀ``, ``dL/dW_hh = δa hᵀ``, and ``δa`` for both biases.

    Shapes: ``input (batch, input_size)``, ``hx`` and the value ``(batch, hidden_size)``, or all without the batch;
    weights and biases as in :func:`rnn_layer`.

    Raises
    ------
    RuntimeError
        If a size does not fit.

    Examples
    --------
    >>> weights = np.array([[1.0]]), np.array([[2.0]])
    >>> value, pullback = rules.rnn_tanh_cell(np.array([[1.0]]), np.array([[-0.5]]), *weights)
    >>> value
    array([[0.]])
    >>> pullback(np.array([[5.0]]), (True, True, False, False, False, False))[:2]
    (array([[5.]]), array([[10.]]))
    """
    check_cell(input, (hx,), w_ih, w_hh)
    (_, state), through_layer = rnn_layer(input, hx, w_ih, w_hh, b_ih, b_hh, batch_sizes=(len(input),))

    def rnn_tanh_cell_pullback(incoming: Array, needs: Needs) -> Gradients:
        return through_layer((None, incoming), needs)

    return state, rnn_tanh_cell_pullback


@contraction
def rnn_relu_cell(
    input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> tuple[Array, Pullback]:
    """Take one step of a plain recurrent network with rectified states: a :func:`rnn_layer` of one step.

    Forward: ``a = W_ih x + b_ih + W_hh h + b_hh``, ``h' = max(a, 0)``.

    Backward: ``δa = g`` where ``h' > 0`` and else 0, then as :func:`rnn_tanh_cell`.

    Shapes: as in :func:`rnn_tanh_cell`.

    Raises
    ------
    RuntimeError
        If a size does not fit.

    Examples
    --------
    >>> weights = np.array([[1.0]]), np.array([[2.0]])
    >>> value, pullback = rules.rnn_relu_cell(np.array([[1.0]]), np.array([[3.0]]), *weights)
    >>> value
    array([[7.]])
    >>> pullback(np.array([[5.0]]), (True, True, False, False, False, False))[:2]
    (array([[5.]]), array([[10.]]))
    """
    check_cell(input, (hx,), w_ih, w_hh)
    (_, state), through_layer = rnn_layer(
        input, hx, w_ih, w_hh, b_ih, b_hh, nonlinearity="relu", batch_sizes=(len(input),)
    )

    def rnn_relu_cell_pullback(incoming: Array, needs: Needs) -> Gradients:
        return through_layer((None, incoming), needs)

    return state, rnn_relu_cell_pullback


# -- gated recurrent units -------------------------------------------------------------------------------------------


@contraction
def gru_layer(
    input: Any,
    hx: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    *,
    batch_sizes: Sequence[int] | None = None,
    reverse: bool = False,
) -> tuple[tuple[Array, Array], Pullback]:
    """Run a layer of gated recurrent units over whole sequences.

    Shapes: see the top of this file, with three gates one below the other: reset ``r``, update ``z``, new ``n``.

    Forward: with ``a = W_ih x_t + b_ih`` and ``b = W_hh h_{t-1} + b_hh``, each of three parts,
    ``r = σ(a_r + b_r)``, ``z = σ(a_z + b_z)``, ``n = tanh(a_n + r b_n)``, ``h_t = (1 - z) n + z h_{t-1}``. The last is
    computed as ``n + z (h_{t-1} - n)``, as torch does.

    Backward: let ``δh`` be all that reaches ``h_t``. One factor after the other, with ``σ' = σ (1 - σ)``:
    ``δn = (1 - z) δh`` and ``δa_n = (1 - n²) δn``; ``δb_n = r δa_n`` and ``δr = b_n δa_n``;
    ``δa_r = δb_r = r (1 - r) δr``; ``δz = (h_{t-1} - n) δh`` and ``δa_z = δb_z = z (1 - z) δz``.
    Each is a known slope times ``δh``. ``h_{t-1}`` was used directly and in ``b``: ``δh_{t-1} = g_{t-1} + z δh +
    W_hhᵀ δb``. Input, weights and biases follow from ``δa`` and ``δb`` as in :func:`rnn_layer`.

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder" (2014), section 2.3.

    Convention: the reset gate is applied after the product with ``W_hh``, as cuDNN and torch do, to ``b_n`` and so to
    its bias too; in the paper it is applied to ``h_{t-1}`` before. And ``z`` is the share of the old state, as in the
    paper; many texts swap ``z`` and ``1 - z``.

    Raises
    ------
    RuntimeError
        If a size does not fit.

    Examples
    --------
    >>> weights = np.zeros((3, 1)), np.zeros((3, 1))
    >>> (output, last), pullback = rules.gru_layer(np.ones((3, 1, 1)), np.array([[8.0]]), *weights)
    >>> output.ravel()
    array([4., 2., 1.])
    >>> pullback((None, np.array([[16.0]])), (False, True, False, False, False, False))[1]
    array([[2.]])
    """
    walk = Walk(input, batch_sizes, reverse)
    x = walk.rows(input)
    width = w_hh.shape[1]
    gates = products(x, w_ih, b_ih)
    states = walk.states(hx, width)
    entering = np.empty((len(x), width), gates.dtype)  # b_n, which its gate multiplies
    two = 2 * width
    with np.errstate(over="ignore"):
        for here, after, before in walk.steps:
            gate, state = gates[here], states[before]
            hidden = state @ w_hh.T
            if b_hh is not None:
                hidden += b_hh
            entering[here] = hidden[:, two:]
            gate[:, :two] += hidden[:, :two]
            squash(gate[:, :two])
            new = gate[:, two:]
            new += gate[:, :width] * entering[here]
            np.tanh(new, out=new)
            moved = states[after]
            np.subtract(state, new, out=moved)
            moved *= gate[:, width:two]
            moved += new

    def gru_layer_pullback(incoming: Any, needs: Needs) -> Gradients:
        to_values = None if incoming[0] is None else walk.rows(incoming[0])
        to_state = incoming[1].copy()
        r, z, n = gates[:, :width], gates[:, width:two], gates[:, two:]
        to_new = tanh_slope(n)
        to_new *= 1 - z
        to_hidden = np.empty_like(gates)  # slopes of the three parts of b first, then their gradients
        by_gate = to_hidden.reshape(-1, 3, width)
        np.subtract(1, gates[:, :two], out=to_hidden[:, :two])
        to_hidden[:, :two] *= gates[:, :two]
        to_hidden[:, :width] *= entering * to_new
        to_hidden[:, width:two] *= walk.before(states) - n
        np.multiply(to_new, r, out=to_hidden[:, two:])
        for here, _, before in reversed(walk.steps):
            to_h = to_state[: before.stop - before.start]
            if to_values is not None:
                to_h += to_values[here]
            by_gate[here] *= to_h[:, np.newaxis]
            to_new[here] *= to_h
            to_h *= z[here]
            to_h += to_hidden[here] @ w_hh
        to_w_hh, to_b_hh = sums_over_rows(to_hidden, walk.before(states), needs[3::2])
        to_hidden[:, two:] = to_new  # a differs from b in the new gate only
        to_input = walk.shaped(to_hidden @ w_ih) if needs[0] else None
        to_w_ih, to_b_ih = sums_over_rows(to_hidden, x, needs[2::2])
        gradients = (to_input, to_state if needs[1] else None, to_w_ih, to_w_hh, to_b_ih, to_b_hh)
        return gradients[: len(needs)]

    return (walk.shaped(states[walk.batch :]), walk.last(states)), gru_layer_pullback


@contraction
def gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> tuple[Array, Pullback]:
    """Take one step of a gated recurrent unit: a :func:`gru_layer` of one step, where its formulas are derived.

    Shapes: as in :func:`rnn_tanh_cell`, with three gates.

    Raises
    ------
    RuntimeError
        If a size does not fit.

    Examples
    --------
    >>> value, pullback = rules.gru_cell(np.array([[1.0]]), np.array([[8.0]]), np.zeros((3, 1)), np.zeros((3, 1)))
    >>> value
    array([[4.]])
    >>> pullback(np.array([[16.0]]), (False, True, False, False, False, False))[1]
    array([[8.]])
    """
    check_cell(input, (hx,), w_ih, w_hh)
    (_, state), through_layer = gru_layer(input, hx, w_ih, w_hh, b_ih, b_hh, batch_sizes=(len(input),))

    def gru_cell_pullback(incoming: Array, needs: Needs) -> Gradients:
        return through_layer((None, incoming), needs)

    return state, gru_cell_pullback


# -- long short-term memory ------------------------------------------------------------------------------------------


@contraction
def lstm_layer(
    input: Any,
    hx: Any,
    cx: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    w_hr: Any = None,
    *,
    batch_sizes: Sequence[int] | None = None,
    reverse: bool = False,
) -> tuple[tuple[Array, Array, Array], Pullback]:
    """Run a layer of long short-term memory over whole sequences.

    Shapes: see the top of this file, with four gates one below the other: input ``i``, forget ``f``, candidate ``g``,
    output ``o``. With ``w_hr (projected, hidden)`` the states ``h`` are ``projected`` wide, and ``w_hh`` as well; the
    cells ``c`` stay ``hidden`` wide. The values are all ``h``, the last ``h`` and the last ``c``.

    Forward: ``a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh`` of four parts, ``i = σ(a_i)``, ``f = σ(a_f)``,
    ``g = tanh(a_g)``, ``o = σ(a_o)``, ``c_t = f c_{t-1} + i g``, ``m = o tanh(c_t)``, and ``h_t = m``, or ``W_hr m``.

    Backward: let ``δh`` be all that reaches ``h_t``, and ``δc`` what reaches ``c_t`` from step ``t + 1``.
    ``δm = δh``, or ``W_hrᵀ δh``. Since ``c_t`` acts through ``m`` too, ``δc`` grows by ``o (1 - tanh² c_t) δm``. Then
    ``δa_o = tanh(c_t) o (1 - o) δm``, ``δa_i = g i (1 - i) δc``, ``δa_f = c_{t-1} f (1 - f) δc``,
    ``δa_g = i (1 - g²) δc``: each is a known slope times ``δm`` or ``δc``. One step back, ``δc_{t-1} = f δc`` and
    ``δh_{t-1} = g_{t-1} + W_hhᵀ δa``. ``dL/dW_hr = Σ_t δh_t m_tᵀ``; the rest follows from ``δa`` as in
    :func:`rnn_layer`.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory" (1997); the forget gate: Gers, Schmidhuber and Cummins,
    "Learning to Forget" (2000); the projection: Sak, Senior and Beaufays, "Long Short-Term Memory Based Recurrent
    Neural Network Architectures for Large Vocabulary Speech Recognition" (2014), section 2.

    Convention: there are no peepholes, the gates do not see the cell; ``δc`` is not truncated, where the first paper
    cut it; both as in torch.

    Raises
    ------
    RuntimeError
        If a size does not fit.

    Examples
    --------
    >>> states, weights = (np.array([[0.0]]), np.array([[8.0]])), (np.zeros((4, 1)), np.zeros((4, 1)))
    >>> (output, hidden, cell), pullback = rules.lstm_layer(np.ones((3, 1, 1)), *states, *weights)
    >>> cell
    array([[1.]])
    >>> pullback((np.zeros((3, 1, 1)), np.zeros((1, 1)), np.array([[16.0]])), (False, False, True) + (False,) * 5)[2]
    array([[2.]])
    """
    walk = Walk(input, batch_sizes, reverse)
    x = walk.rows(input)
    width = len(w_hh) // 4
    gates = products(x, w_ih, b_ih, b_hh)
    states = walk.states(hx, w_hh.shape[1])
    cells = walk.states(cx, width)
    squashed = np.empty((len(x), width), gates.dtype)
    outputs = states[walk.batch :] if w_hr is None else np.empty_like(squashed)
    two, three = 2 * width, 3 * width
    with np.errstate(over="ignore"):
        for here, after, before in walk.steps:
            gate = gates[here]
            gate += states[before] @ w_hh.T
            candidate = np.tanh(gate[:, two:three])
            squash(gate)  # a whole row at once, and the candidate put back, is faster than both sides of it
            gate[:, two:three] = candidate
            cell = cells[after]
            np.multiply(gate[:, width:two], cells[before], out=cell)
            candidate *= gate[:, :width]
            cell += candidate
            np.tanh(cell, out=squashed[here])
            np.multiply(gate[:, three:], squashed[here], out=outputs[here])
            if w_hr is not None:
                np.matmul(outputs[here], w_hr.T, out=states[after])

    def lstm_layer_pullback(incoming: Any, needs: Needs) -> Gradients:
        to_values = None if incoming[0] is None else walk.rows(incoming[0])
        to_state, to_cell = incoming[1].copy(), incoming[2].copy()
        to_projected: Any = None if w_hr is None else np.empty((len(x), len(w_hr)), gates.dtype)
        i, f, g, o = (gates[:, start : start + width] for start in (0, width, two, three))
        to_gates = 1 - gates  # slopes of the four parts of a first, then their gradients
        to_gates *= gates
        by_gate = to_gates.reshape(-1, 4, width)
        by_gate[:, 0] *= g
        by_gate[:, 1] *= walk.before(cells)
        by_gate[:, 2] = tanh_slope(g)
        by_gate[:, 2] *= i
        by_gate[:, 3] *= squashed
        from_output = tanh_slope(squashed)
        from_output *= o
        for here, _, before in reversed(walk.steps):
            count = before.stop - before.start
            to_h, to_c = to_state[:count], to_cell[:count]
            if to_values is not None:
                to_h += to_values[here]
            if w_hr is None:
                to_m = to_h
            else:
                to_projected[here] = to_h
                to_m = to_h @ w_hr
            to_c += from_output[here] * to_m
            by_gate[here, :3] *= to_c[:, np.newaxis]
            by_gate[here, 3] *= to_m
            to_c *= f[here]
            np.matmul(to_gates[here], w_hh, out=to_h)
        to_input = walk.shaped(to_gates @ w_ih) if needs[0] else None
        to_w_ih, to_b_ih = sums_over_rows(to_gates, x, needs[3::2])
        to_w_hh, to_b_hh = sums_over_rows(to_gates, walk.before(states), needs[4::2])
        to_w_hr = to_projected.T @ outputs if len(needs) > 7 and needs[7] else None
        gradients = (
            to_input,
            to_state if needs[1] else None,
            to_cell if needs[2] else None,
            to_w_ih,
            to_w_hh,
            to_b_ih,
            to_b_hh,
            to_w_hr,
        )
        return gradients[: len(needs)]

    return (walk.shaped(states[walk.batch :]), walk.last(states), walk.last(cells)), lstm_layer_pullback


@contraction
def lstm_cell(
    input: Any, hx: Any, cx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> tuple[tuple[Array, Array], Pullback]:
    """Take one step of a long short-term memory: an :func:`lstm_layer` of one step, where its formulas are derived.

    The values are the new ``h`` and the new ``c``.

    Shapes: as in :func:`rnn_tanh_cell`, with four gates and two states.

    Raises
    ------
    RuntimeError
        If a size does not fit.

    Examples
    --------
    >>> states, weights = (np.array([[0.0]]), np.array([[8.0]])), (np.zeros((4, 1)), np.zeros((4, 1)))
    >>> (hidden, cell), pullback = rules.lstm_cell(np.ones((1, 1)), *states, *weights)
    >>> cell
    array([[4.]])
    >>> pullback((np.zeros((1, 1)), np.array([[16.0]])), (False, False, True) + (False,) * 4)[2]
    array([[8.]])
    """
    check_cell(input, (hx, cx), w_ih, w_hh)
    (_, *states), through_layer = lstm_layer(input, hx, cx, w_ih, w_hh, b_ih, b_hh, batch_sizes=(len(input),))

    def lstm_cell_pullback(incoming: Any, needs: Needs) -> Gradients:
        return through_layer((None, *incoming), needs)

    return (states[0], states[1]), lstm_cell_pullback
