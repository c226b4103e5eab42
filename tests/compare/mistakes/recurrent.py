"""An LSTM cell run over a short sequence, and its backward pass through time, with the mistakes people make (float32)."""

import numpy as np
import torch
import torch.nn.functional as F

from .cases import Topic

__all__ = ["CASES"]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm(x, w_ih, w_hh, b, h0, c0, y, wrong=""):
    steps = len(x)
    h, c = h0, c0
    outputs, saved = [], []
    for t in range(steps):
        z = x[t] @ w_ih.T + h @ w_hh.T + b
        if wrong == "gates_iofg":
            zi, zo, zf, zg = np.split(z, 4, axis=1)
        else:
            zi, zf, zg, zo = np.split(z, 4, axis=1)
        i, o = sigmoid(zi), sigmoid(zo)
        f = sigmoid(zf + 1) if wrong == "forget_bias_one" else sigmoid(zf)
        g = sigmoid(zg) if wrong == "candidate_sigmoid" else np.tanh(zg)
        c_before, h_before = c, h
        c = f * c_before + i * g
        h = o * c if wrong == "output_tanh_forgotten" else o * np.tanh(c)
        outputs.append(h)
        saved.append((i, f, g, o, c, c_before, h_before))
    outputs = np.stack(outputs)
    loss = np.mean((outputs - y) ** 2)

    dy = 2 * (outputs - y) / y.size
    dx, dw_ih, dw_hh, db = np.zeros_like(x), np.zeros_like(w_ih), np.zeros_like(w_hh), np.zeros_like(b)
    dh_next, dc_next = np.zeros_like(h0), np.zeros_like(c0)
    for t in reversed(range(steps)):
        i, f, g, o, c, c_before, h_before = saved[t]
        dh = dy[t] if wrong == "hidden_not_carried" else dy[t] + dh_next
        tanh_c = c if wrong == "output_tanh_forgotten" else np.tanh(c)
        if wrong == "output_tanh_forgotten":
            dc = dh * o
        elif wrong == "tanh_of_cell":
            dc = dh * o * (1 - c**2)
        elif wrong == "tanh_left_out_backward":
            dc = dh * o
        else:
            dc = dh * o * (1 - tanh_c**2)
        if wrong != "cell_not_carried":
            dc = dc + dc_next
        do = dh * (c if wrong == "output_gate_without_tanh" else tanh_c)
        df = dc * (c if wrong == "forget_uses_new_cell" else c_before)
        di, dg = dc * g, dc * i
        dzi, dzf, dzo = di * i * (1 - i), df * f * (1 - f), do * o * (1 - o)
        if wrong in ("candidate_as_sigmoid", "candidate_sigmoid"):
            dzg = dg * g * (1 - g)
        else:
            dzg = dg * (1 - g**2)
        if wrong == "input_gate_derivative_forgotten":
            dzi = di
        if wrong in ("gates_iofg", "backward_gates_iofg"):
            dz = np.concatenate([dzi, dzo, dzf, dzg], axis=1)
        else:
            dz = np.concatenate([dzi, dzf, dzg, dzo], axis=1)
        if wrong == "weight_overwritten_in_time":
            dw_ih = dz.T @ x[t]
        else:
            dw_ih += dz.T @ x[t]
        dw_hh += dz.T @ (outputs[t] if wrong == "recurrent_uses_new_hidden" else h_before)
        db += dz.mean(axis=0) if wrong == "bias_mean" else dz.sum(axis=0)
        dx[t] = dz @ w_ih
        dh_next = dz @ w_hh
        dc_next = dc if wrong == "carried_without_forget" else dc * f
    return loss, {"x": dx, "w_ih": dw_ih, "w_hh": dw_hh, "b": db, "h0": dh_next, "c0": dc_next}


def lstm_torch(x, w_ih, w_hh, b, h0, c0, y):
    state, outputs = (h0, c0), []
    for row in x:
        state = torch.lstm_cell(row, state, w_ih, w_hh, b, torch.zeros_like(b))
        outputs.append(state[0])
    return F.mse_loss(torch.stack(outputs), y)


# -- data: three steps, two sequences, five inputs, four units ---------------------------------------------------------

_random = np.random.default_rng(5006)


def _normal(*shape):
    return (0.8 * _random.normal(size=shape)).astype(np.float32)


SEQUENCE = {
    "x": _normal(3, 2, 5),
    "w_ih": _normal(16, 5),
    "w_hh": _normal(16, 4),
    "b": _normal(16),
    "h0": _normal(2, 4),
    "c0": _normal(2, 4),
    "y": _normal(3, 2, 4),
}

# -- cases ------------------------------------------------------------------------------------------------------------

CASES = Topic("lstm", "gradients", lstm, lstm_torch, SEQUENCE).cases(
    [
        ("gates_iofg", "the gates are taken in the order i, o, f, g", {"permuted"}),
        ("backward_gates_iofg", "the gates' gradients are put together in the order i, o, f, g", {"permuted"}),
        ("candidate_sigmoid", "the candidate goes through a sigmoid", {"wrong function"}),
        ("candidate_as_sigmoid", "the candidate's derivative is that of a sigmoid", {"wrong derivative"}),
        ("forget_bias_one", "one is added to the forget gate, as TensorFlow does", {"wrong function"}),
        ("output_tanh_forgotten", "the cell is not put through tanh", {"left out"}),
        ("tanh_left_out_backward", "the derivative of the cell's tanh is left out", {"derivative left out"}),
        ("tanh_of_cell", "1 - c^2 in place of 1 - tanh(c)^2", {"derivative of the wrong variable"}),
        ("output_gate_without_tanh", "the output gate's gradient multiplies by c, not tanh(c)", {"wrong operand"}),
        ("forget_uses_new_cell", "the forget gate's gradient multiplies by the new cell", {"wrong operand"}),
        ("input_gate_derivative_forgotten", "the input gate's derivative of the sigmoid is left out", {"derivative left out"}),
        ("cell_not_carried", "the cell's gradient from the step after is left out", {"missing term", "overwritten instead of added", "detached"}),
        ("hidden_not_carried", "the hidden state's gradient from the step after is left out", {"missing term", "overwritten instead of added", "detached"}),
        ("carried_without_forget", "the cell's gradient goes to the step before without the forget gate", {"derivative left out"}),
        ("recurrent_uses_new_hidden", "the recurrent weight's gradient uses the step's own hidden state", {"wrong operand"}),
        ("weight_overwritten_in_time", "each step assigns the input weight's gradient", {"overwritten instead of added"}),
        ("bias_mean", "the bias gradient is averaged over the sequences", {"mean instead of sum", "divided twice"}),
    ]
)  # fmt: skip
