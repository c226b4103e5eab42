"""Layers in plain NumPy, each line of which can be got wrong; PyTorch beside them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

Cases = list[tuple[str, str]]

RNG = np.random.default_rng(20260716)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def softmax(z: Any, axis: int = -1) -> Any:
    raised = np.exp(z - z.max(axis, keepdims=True))
    return raised / raised.sum(axis, keepdims=True)


# -- layer norm --------------------------------------------------------------------------------------------------------

EPS = 1e-2


def layer_norm(x: Any, t: Any, gamma: Any, beta: Any, wrong: str = "") -> Any:
    """A weighted sum of the normalised rows, so that every gradient is informative."""
    axis = 0 if wrong == "axis 0" else 1
    n = x.shape[axis]
    mu = x.mean(axis, keepdims=True)
    c = x if wrong == "not centred" else x - mu
    var = (c**2).sum(axis, keepdims=True) / (n - 1 if wrong == "unbiased" else n)
    eps = 1e-5 if wrong == "other eps" else EPS
    s = np.sqrt(var) + eps if wrong == "std + eps" else np.sqrt(var + eps)
    if wrong == "var":
        s = var + eps
    h = c / s
    y = h * gamma + beta
    if wrong == "no gamma forward":
        y = h + beta
    if wrong == "beta twice":
        y = h * gamma + 2 * beta
    loss = (y * t).sum()
    g = t
    dbeta = g.sum(0)
    dgamma = (g * h).sum(0)
    if wrong == "gamma from x":
        dgamma = (g * x).sum(0)
    if wrong == "gamma from centred":
        dgamma = (g * c).sum(0)
    if wrong == "gamma mean":
        dgamma = (g * h).mean(0)
    if wrong == "beta first":
        dbeta = g[0]
    dh = g * gamma
    if wrong in ("no gamma forward", "no gamma backward"):
        dh = g
    if wrong == "no gamma forward":
        dgamma = np.zeros_like(gamma)
    if wrong == "beta twice":
        dbeta = 2 * dbeta
    ds = -(dh * c).sum(axis, keepdims=True) / s**2
    if wrong == "std once":
        ds = -(dh * c).sum(axis, keepdims=True) / s
    dvar = ds / (2 * s)
    if wrong == "std + eps":
        dvar = ds / (2 * np.sqrt(var))
    if wrong == "var":
        dvar = ds
    if wrong == "no half":
        dvar = ds / s
    dc = dh / s + dvar * 2 * c / (n - 1 if wrong == "unbiased" else n)
    if wrong == "no variance term":
        dc = dh / s
    if wrong == "not divided":
        dc = dh + dvar * 2 * c / n
    if wrong == "variance sign":
        dc = dh / s - dvar * 2 * c / n
    if wrong == "variance sum":
        dc = dh / s + dvar * 2 * c
    dx = dc - dc.mean(axis, keepdims=True)
    if wrong in ("no mean term", "not centred"):
        dx = dc
    if wrong == "mean axis 0":
        dx = dc - dc.mean(0, keepdims=True)
    if wrong == "mean sum":
        dx = dc - dc.sum(axis, keepdims=True)
    if wrong == "statistics constant":
        dx = dh / s
    if wrong == "unbiased backward":
        dx = dh / s + dvar * 2 * c / (n - 1)
        dx = dx - dx.mean(axis, keepdims=True)
    return loss, {"x": dx, "gamma": dgamma, "beta": dbeta}


def layer_norm_torch(x: Any, t: Any, gamma: Any, beta: Any) -> Any:
    return (F.layer_norm(x, (x.shape[1],), gamma, beta, EPS) * t).sum()


def layer_norm_written_out(x: Any, t: Any, gamma: Any, beta: Any) -> Any:
    centred = x - x.mean(1, keepdim=True)
    normal = centred / torch.sqrt(x.var(1, unbiased=False, keepdim=True) + EPS)
    return ((normal * gamma + beta) * t).sum()


NORM = {
    "x": RNG.normal(size=(5, 7)) + 0.5,
    "t": RNG.normal(size=(5, 7)),
    "gamma": RNG.normal(size=7) + 1,
    "beta": RNG.normal(size=7),
}
NORM_CASES: Cases = [
    ("axis 0", "wrong axis"),
    ("not centred", "left out"),
    ("unbiased", "biased or unbiased variance"),
    ("other eps", "other eps"),
    ("std + eps", "eps outside the root"),
    ("var", "left out"),
    ("no gamma forward", "left out"),
    ("beta twice", "doubled term"),
    ("gamma from x", "wrong operand"),
    ("gamma from centred", "wrong operand"),
    ("gamma mean", "mean instead of sum"),
    ("beta first", "broadcasting not summed"),
    ("no gamma backward", "derivative left out"),
    ("std once", "wrong derivative"),
    ("no half", "doubled term"),
    ("no variance term", "missing term"),
    ("not divided", "derivative left out"),
    ("variance sign", "sign"),
    ("variance sum", "sum instead of mean"),
    ("no mean term", "missing term"),
    ("mean axis 0", "wrong axis"),
    ("mean sum", "sum instead of mean"),
    ("statistics constant", "missing term"),
    ("unbiased backward", "biased or unbiased variance"),
]


# -- batch norm ----------------------------------------------------------------------------------------------------------


def batch_norm(x: Any, t: Any, gamma: Any, beta: Any, wrong: str = "") -> Any:
    n = len(x)
    mu, var = x.mean(0), x.var(0, ddof=1 if wrong == "unbiased" else 0)
    s = np.sqrt(var + EPS)
    h = (x - mu) / s
    loss = ((h * gamma + beta) * t).sum()
    dh = t * gamma
    dx = (dh - dh.mean(0) - h * (dh * h).sum(0) / (n - 1 if wrong == "unbiased" else n)) / s
    if wrong == "no mean term":
        dx = (dh - h * (dh * h).mean(0)) / s
    if wrong == "no variance term":
        dx = (dh - dh.mean(0)) / s
    if wrong == "frozen statistics":
        dx = dh / s
    if wrong == "no 1/s":
        dx = dh - dh.mean(0) - h * (dh * h).mean(0)
    return loss, {"x": dx, "gamma": (t * h).sum(0), "beta": t.sum(0)}


def batch_norm_torch(x: Any, t: Any, gamma: Any, beta: Any) -> Any:
    return (F.batch_norm(x, None, None, gamma, beta, True, 0.1, EPS) * t).sum()


BATCH_CASES: Cases = [
    ("unbiased", "biased or unbiased variance"),
    ("no mean term", "missing term"),
    ("no variance term", "missing term"),
    ("frozen statistics", "missing term"),
]


# -- attention -----------------------------------------------------------------------------------------------------------


def attention(q: Any, k: Any, v: Any, t: Any, wrong: str = "") -> Any:
    """Causal attention of one head; queries, keys and values are square so that turning them round goes unnoticed."""
    length, d = q.shape
    scale = {"no scale": 1.0, "by d": 1 / d}.get(wrong, 1 / math.sqrt(d))
    scores = q @ k.T * scale
    hidden = np.triu(np.ones((length, length), bool), 0 if wrong == "strict" else 1)
    if wrong == "strict":
        hidden[0, 0] = False
    low = {"small mask": -10.0, "no mask": None}.get(wrong, -np.inf)
    masked = scores if low is None else np.where(hidden, low, scores)
    p = softmax(masked, 0) if wrong == "axis 0" else softmax(masked)
    o = p @ v
    loss = (o * t).sum()
    dp = t @ v.T
    dv = p.T @ t
    if wrong == "p for p.T":
        dv = p @ t
    if wrong == "scores for p":
        dv = scores.T @ t
    axis = 0 if wrong in ("axis 0", "jacobian axis 0") else -1
    ds = p * (dp - (dp * p).sum(axis, keepdims=True))
    if wrong == "diagonal":
        ds = dp * p * (1 - p)
    if wrong == "no sum":
        ds = dp * p
    if wrong == "softmax left out":
        ds = dp * ~hidden
    if low is not None:
        ds = np.where(hidden, 0, ds)
    dz = ds * scale
    if wrong == "no scale backward":
        dz = ds
    if wrong == "scale twice backward":
        dz = ds * scale * scale
    dq, dk = dz @ k, dz.T @ q
    if wrong == "keys turned":
        dk = dz @ q
    if wrong == "queries through q":
        dq = dz @ q
    return loss, {"q": dq, "k": dk, "v": dv}


def attention_torch(q: Any, k: Any, v: Any, t: Any) -> Any:
    return (F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0] * t).sum()


def attention_written_out(q: Any, k: Any, v: Any, t: Any) -> Any:
    scores = q @ k.T / math.sqrt(q.shape[1])
    hidden = torch.triu(torch.ones(len(q), len(q)), 1) == 1
    return (torch.softmax(scores.masked_fill(hidden, -math.inf), -1) @ v * t).sum()


ATTENTION = {name: RNG.normal(size=(6, 5)) + 0.3 for name in "qkvt"}
ATTENTION_CASES: Cases = [
    ("no scale", "scale left out"),
    ("by d", "scale left out"),
    ("small mask", "mask with a small value"),
    ("no mask", "mask ignored"),
    ("axis 0", "wrong axis"),
    ("jacobian axis 0", "wrong axis"),
    ("p for p.T", "transposed"),
    ("scores for p", "wrong operand"),
    ("diagonal", "missing term"),
    ("no sum", "missing term"),
    ("softmax left out", "derivative left out"),
    ("no scale backward", "scale left out"),
    ("scale twice backward", "scale left out"),
    ("keys turned", "transposed"),
    ("queries through q", "wrong operand"),
]


# -- convolution -----------------------------------------------------------------------------------------------------------


def convolution(x: Any, w: Any, b: Any, t: Any, wrong: str = "") -> Any:
    """Two-dimensional, padded by one, square kernels, as many channels in as out."""
    n, _, height, width = x.shape
    o, _, kh, kw = w.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    kernel = {"flipped": w[:, :, ::-1, ::-1], "kernel turned": w.swapaxes(2, 3), "channels": w.swapaxes(0, 1)}.get(
        wrong, w
    )
    y = np.zeros((n, o, height, width))
    dpadded, dkernel = np.zeros_like(padded), np.zeros_like(w)
    back = {"unflipped backward": w[:, :, ::-1, ::-1], "channels backward": w.swapaxes(0, 1)}.get(wrong, kernel)
    for i in range(kh):
        for j in range(kw):
            window = padded[:, :, i : i + height, j : j + width]
            y += np.einsum("nchw,oc->nohw", window, kernel[:, :, i, j])
            dkernel[:, :, i, j] = np.einsum("nohw,nchw->oc", t, window)
            dpadded[:, :, i : i + height, j : j + width] += np.einsum("nohw,oc->nchw", t, back[:, :, i, j])
    if wrong != "no bias":
        y += b[:, None, None]
    loss = (y * t).sum()
    dw = {
        "flipped": dkernel[:, :, ::-1, ::-1],
        "kernel turned": dkernel.swapaxes(2, 3),
        "channels": dkernel.swapaxes(0, 1),
    }.get(wrong, dkernel)
    if wrong == "kernel gradient flipped":
        dw = dkernel[:, :, ::-1, ::-1]
    if wrong == "kernel gradient first row":
        dw = dkernel / n
    db = t.sum((0, 2, 3))
    if wrong == "bias over batch":
        db = t.mean(0).sum((1, 2))
    if wrong == "bias first":
        db = t[0].sum((1, 2))
    if wrong == "bias places":
        db = t.sum(0).mean((1, 2))
    if wrong == "no bias":
        db = np.zeros_like(b)
    return loss, {"x": dpadded[:, :, 1:-1, 1:-1], "w": dw, "b": db}


def convolution_torch(x: Any, w: Any, b: Any, t: Any) -> Any:
    return (F.conv2d(x, w, b, padding=1) * t).sum()


CONVOLUTION = {
    "x": RNG.normal(size=(4, 2, 5, 6)),
    "w": RNG.normal(size=(2, 2, 3, 3)),
    "b": RNG.normal(size=2),
    "t": RNG.normal(size=(4, 2, 5, 6)),
}
CONVOLUTION_CASES: Cases = [
    ("flipped", "reversed"),
    ("kernel turned", "transposed"),
    ("channels", "transposed"),
    ("no bias", "missing term"),
    ("unflipped backward", "reversed"),
    ("channels backward", "transposed"),
    ("kernel gradient flipped", "reversed"),
    ("bias over batch", "mean instead of sum"),
    ("bias first", "broadcasting not summed"),
    ("bias places", "mean instead of sum"),
]


# -- embedding -------------------------------------------------------------------------------------------------------------


def embedding(table: Any, ids: Any, w: Any, wrong: str = "") -> Any:
    """Vectors of a sentence, averaged, through a weight; row 0 is padding."""
    found = table[ids]
    h = found.mean(1)
    y = h @ w
    loss = (y**2).sum()
    dy = 2 * y
    dh = dy @ w.T
    dfound = np.broadcast_to(dh[:, None], found.shape) / found.shape[1]
    if wrong == "not averaged":
        dfound = dfound * found.shape[1]
    dtable = np.zeros_like(table)
    if wrong == "overwritten":
        dtable[ids] = dfound
    elif wrong == "+=":
        dtable[ids] += dfound
    else:
        np.add.at(dtable, ids, dfound)
    if wrong == "by count":
        counts = np.bincount(ids.ravel(), minlength=len(table))
        dtable = dtable / np.maximum(counts, 1)[:, None]
    if wrong != "padding":
        dtable[0] = 0
    return loss, {"table": dtable, "w": h.T @ dy}


def embedding_torch(table: Any, ids: Any, w: Any) -> Any:
    return ((F.embedding(ids, table, padding_idx=0).mean(1) @ w) ** 2).sum()


EMBEDDING = {
    "table": RNG.normal(size=(6, 4)),
    "ids": np.array([[1, 2, 2], [3, 0, 1], [4, 2, 5], [1, 0, 0]]),
    "w": RNG.normal(size=(4, 3)),
}
EMBEDDING_CASES: Cases = [
    ("overwritten", "overwritten instead of added"),
    ("+=", "overwritten instead of added"),
    ("by count", "mean instead of sum"),
    ("padding", "padding index ignored"),
    ("not averaged", "sum instead of mean"),
]


# -- LSTM cell -------------------------------------------------------------------------------------------------------------


def lstm(x: Any, h: Any, c: Any, wi: Any, wh: Any, b: Any, t: Any, wrong: str = "") -> Any:
    """One step; gates in the order i, f, g, o, the loss looks at both new states."""
    d = h.shape[1]
    z = x @ wi.T + h @ wh.T + b
    order = {"order ifog": (0, 1, 3, 2), "order fi": (1, 0, 2, 3)}.get(wrong, (0, 1, 2, 3))
    parts = [z[:, k * d : (k + 1) * d] for k in order]
    i, f, o = sigmoid(parts[0]), sigmoid(parts[1]), sigmoid(parts[3])
    g = sigmoid(parts[2]) if wrong == "g sigmoid" else np.tanh(parts[2])
    new_c = f * c + i * g
    if wrong == "no forget":
        new_c = c + i * g
    u = new_c if wrong == "no tanh" else np.tanh(new_c)
    new_h = o * u
    loss = (new_h * t).sum() + 0.5 * (new_c**2).sum()
    dh, dc = t, new_c.copy()
    do = dh * u
    du = dh * o
    dc = dc + (du if wrong == "no tanh" else du * (1 - u**2))
    if wrong == "c without h":
        dc = new_c.copy()
    if wrong == "c without c":
        dc = du * (1 - u**2)
    if wrong == "tanh slope left out":
        dc = new_c + du
    df, di, dg, dold = dc * c, dc * g, dc * i, dc * f
    if wrong == "no forget":
        df, dold = np.zeros_like(f), dc
    if wrong == "forget new c":
        df = dc * new_c
    if wrong == "old c through i":
        dold = dc * i
    parts_gradients = [di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)]
    if wrong == "g sigmoid":
        parts_gradients[2] = dg * g * (1 - g)
    if wrong == "g slope of sigmoid":
        parts_gradients[2] = dg * g * (1 - g)
    if wrong == "o slope left out":
        parts_gradients[3] = do
    if wrong == "gate gradients ifog":
        parts_gradients = [parts_gradients[k] for k in (0, 1, 3, 2)]
    dz = np.zeros_like(z)
    for place, gradient in zip(order, parts_gradients, strict=True):
        dz[:, place * d : (place + 1) * d] = gradient
    dwh = dz.T @ h
    if wrong == "recurrent from new h":
        dwh = dz.T @ new_h
    return loss, {"x": dz @ wi, "h": dz @ wh, "c": dold, "wi": dz.T @ x, "wh": dwh, "b": dz.sum(0)}


def lstm_torch(x: Any, h: Any, c: Any, wi: Any, wh: Any, b: Any, t: Any) -> Any:
    i, f, g, o = (x @ wi.T + h @ wh.T + b).chunk(4, 1)
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    new_h = torch.sigmoid(o) * torch.tanh(new_c)
    return (new_h * t).sum() + 0.5 * (new_c**2).sum()


def lstm_cell_torch(x: Any, h: Any, c: Any, wi: Any, wh: Any, b: Any, t: Any) -> Any:
    new_h, new_c = torch.lstm_cell(x, (h, c), wi, wh, b, torch.zeros_like(b))
    return (new_h * t).sum() + 0.5 * (new_c**2).sum()


LSTM = {
    "x": RNG.normal(size=(5, 3)),
    "h": RNG.normal(size=(5, 4)),
    "c": RNG.normal(size=(5, 4)),
    "wi": RNG.normal(size=(16, 3)),
    "wh": RNG.normal(size=(16, 4)),
    "b": RNG.normal(size=16),
    "t": RNG.normal(size=(5, 4)),
}
LSTM_CASES: Cases = [
    ("order ifog", "permuted"),
    ("order fi", "permuted"),
    ("g sigmoid", "wrong function"),
    ("no forget", "left out"),
    ("no tanh", "left out"),
    ("c without h", "missing term"),
    ("c without c", "missing term"),
    ("tanh slope left out", "derivative left out"),
    ("forget new c", "wrong operand"),
    ("old c through i", "wrong operand"),
    ("g slope of sigmoid", "wrong derivative"),
    ("o slope left out", "derivative left out"),
    ("gate gradients ifog", "permuted"),
    ("recurrent from new h", "wrong operand"),
]


# -- a recurrent network through time ----------------------------------------------------------------------------------------


def through_time(x: Any, w: Any, u: Any, t: Any, wrong: str = "") -> Any:
    """A tanh network over the first axis; its last state is compared with a target."""
    states = [np.zeros((x.shape[1], u.shape[0]))]
    for row in x:
        states.append(np.tanh(row @ w + states[-1] @ u))
    loss = ((states[-1] - t) ** 2).mean()
    dh = 2 * (states[-1] - t) / t.size
    dw, du = np.zeros_like(w), np.zeros_like(u)
    for time in reversed(range(len(x))):
        h = states[time + 1]
        dz = dh * (1 - h**2)
        if wrong == "slope left out":
            dz = dh
        if wrong == "slope of sigmoid":
            dz = dh * h * (1 - h)
        dw += x[time].T @ dz
        if wrong == "only the first":
            dw = x[time].T @ dz
        if wrong == "only the first":
            du = states[time].T @ dz
        elif wrong == "states of now":
            du += h.T @ dz
        else:
            du += states[time].T @ dz
        dh = dz @ u.T
        if wrong == "u turned":
            dh = dz @ u
        if wrong == "truncated":
            break
    return loss, {"w": dw, "u": du}


def through_time_torch(x: Any, w: Any, u: Any, t: Any) -> Any:
    h = torch.zeros(x.shape[1], u.shape[0], dtype=x.dtype)
    for row in x:
        h = torch.tanh(row @ w + h @ u)
    return ((h - t) ** 2).mean()


TIME = {
    "x": RNG.normal(size=(4, 5, 3)),
    "w": RNG.normal(size=(3, 4)),
    "u": RNG.normal(size=(4, 4)) / 2,
    "t": RNG.normal(size=(5, 4)),
}
TIME_CASES: Cases = [
    ("slope left out", "derivative left out"),
    ("slope of sigmoid", "wrong derivative"),
    ("states of now", "wrong operand"),
    ("u turned", "transposed"),
    ("only the first", "overwritten instead of added"),
    ("truncated", "detached"),
]

TOPICS = [
    ("layer norm", layer_norm, layer_norm_torch, NORM, NORM_CASES),
    ("layer norm written out", layer_norm, layer_norm_written_out, NORM, NORM_CASES),
    ("batch norm", batch_norm, batch_norm_torch, NORM, BATCH_CASES),
    ("attention", attention, attention_torch, ATTENTION, ATTENTION_CASES),
    ("attention written out", attention, attention_written_out, ATTENTION, ATTENTION_CASES),
    ("convolution", convolution, convolution_torch, CONVOLUTION, CONVOLUTION_CASES),
    ("embedding", embedding, embedding_torch, EMBEDDING, EMBEDDING_CASES),
    ("LSTM", lstm, lstm_torch, LSTM, LSTM_CASES),
    ("LSTM cell", lstm, lstm_cell_torch, LSTM, LSTM_CASES),
    ("through time", through_time, through_time_torch, TIME, TIME_CASES),
]
"""Each a name, the function with its mistakes, the reference, the inputs, and the mistakes with their causes."""
