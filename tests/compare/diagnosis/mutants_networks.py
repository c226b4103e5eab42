"""Linear models, losses and a two-layer network in plain NumPy, each line of which can be got wrong; PyTorch beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

Cases = list[tuple[str, str]]

RNG = np.random.default_rng(20260715)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def softmax(z: Any, axis: int | None = -1) -> Any:
    raised = np.exp(z - z.max(axis, keepdims=True))
    return raised / raised.sum(axis, keepdims=True)


# -- ridge regression ----------------------------------------------------------------------------------------------------


def ridge(x: Any, t: Any, w: Any, b: Any, wrong: str = "") -> Any:
    n, decay = len(x), 0.3
    r = x @ w + b - t
    if wrong == "residual turned":
        loss = ((x @ w - b - t) ** 2).mean() + decay * (w**2).sum()
    elif wrong == "absolute":
        loss = np.abs(r).mean() + decay * (w**2).sum()
    else:
        loss = (r**2).mean() + decay * (w**2).sum()
    dr = 2 * r / n
    dw = x.T @ dr + 2 * decay * w
    db = dr.sum()
    if wrong == "sum":
        dw = x.T @ (2 * r) + 2 * decay * w
        db = (2 * r).sum()
    if wrong == "no penalty":
        dw = x.T @ dr
    if wrong == "half penalty":
        dw = x.T @ dr + decay * w
    if wrong == "penalty on bias":
        db = db + 2 * decay * b
    if wrong == "penalty sign":
        dw = x.T @ dr - 2 * decay * w
    if wrong == "half":
        dw, db = x.T @ (r / n) + 2 * decay * w, (r / n).sum()
    if wrong == "bias mean":
        db = dr.mean()
    if wrong == "bias first":
        db = dr[0]
    if wrong == "n - 1":
        dw, db = x.T @ (2 * r / (n - 1)) + 2 * decay * w, (2 * r / (n - 1)).sum()
    if wrong == "loss sum":
        loss = (r**2).sum() + decay * (w**2).sum()
    if wrong == "loss no penalty":
        loss = (r**2).mean()
    return loss, {"w": dw, "b": np.asarray(db)}


def ridge_torch(x: Any, t: Any, w: Any, b: Any) -> Any:
    return ((x @ w + b - t) ** 2).mean() + 0.3 * (w**2).sum()


RIDGE = {"x": RNG.normal(size=(9, 4)), "t": RNG.normal(size=9), "w": RNG.normal(size=4), "b": RNG.normal(size=())}
RIDGE_CASES: Cases = [
    ("sum", "sum instead of mean"),
    ("no penalty", "missing penalty"),
    ("half penalty", "penalty scaled"),
    ("penalty on bias", "penalty on the bias"),
    ("penalty sign", "penalty scaled | sign"),
    ("half", "constant factor"),
    ("bias mean", "mean instead of sum"),
    ("bias first", "broadcasting not summed"),
    ("n - 1", "wrong denominator"),
    ("residual turned", "sign"),
    ("absolute", "wrong function"),
    ("loss sum", "sum instead of mean"),
    ("loss no penalty", "missing penalty"),
]


# -- logistic regression --------------------------------------------------------------------------------------------------


def logistic(x: Any, t: Any, w: Any, b: Any, wrong: str = "") -> Any:
    n = len(x)
    z = x @ w + b
    p = sigmoid(z)
    if wrong == "sigmoid twice":
        q = sigmoid(p)
        loss = -(t * np.log(q) + (1 - t) * np.log(1 - q)).mean()
        dz = (q - t) / n * p * (1 - p)
    elif wrong == "one term":
        loss = -(t * np.log(p)).mean()
        dz = -t * (1 - p) / n
    elif wrong == "base 2":
        loss = -(t * np.log2(p) + (1 - t) * np.log2(1 - p)).mean()
        dz = (p - t) / n / np.log(2)
    else:
        loss = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
        dz = (p - t) / n
    if wrong == "t - p":
        dz = (t - p) / n
    if wrong == "p(1-p)":
        dz = (p - t) * p * (1 - p) / n
    if wrong == "not divided":
        dz = p - t
    if wrong == "divided twice":
        dz = (p - t) / n / n
    if wrong == "only ones":
        dz = -t * (1 - p) / n
    if wrong == "logits":
        dz = (z - t) / n
    dw = x.T @ dz
    if wrong == "features of p":
        dw = x.T @ (p / n)
    return loss, {"w": dw, "b": np.asarray(dz.sum())}


def logistic_torch(x: Any, t: Any, w: Any, b: Any) -> Any:
    return F.binary_cross_entropy_with_logits(x @ w + b, t)


def logistic_written_out(x: Any, t: Any, w: Any, b: Any) -> Any:
    p = torch.sigmoid(x @ w + b)
    return -(t * torch.log(p) + (1 - t) * torch.log(1 - p)).mean()


LOGISTIC = {
    "x": RNG.normal(size=(11, 3)),
    "t": (RNG.random(11) < 0.5).astype(float),
    "w": RNG.normal(size=3),
    "b": RNG.normal(size=()),
}
LOGISTIC_CASES: Cases = [
    ("sigmoid twice", "applied twice"),
    ("one term", "missing term"),
    ("t - p", "sign"),
    ("p(1-p)", "wrong derivative"),
    ("not divided", "sum instead of mean"),
    ("divided twice", "divided twice"),
    ("only ones", "missing term"),
]


# -- softmax regression -----------------------------------------------------------------------------------------------------


def classes(x: Any, t: Any, w: Any, b: Any, wrong: str = "") -> Any:
    n = len(x)
    z = x @ w.T + b
    p = softmax(z)
    y = np.eye(w.shape[0])[t]
    rows = np.arange(n)
    loss = -np.log(p[rows, t]).mean()
    dz = (p - y) / n
    if wrong == "softmax first":
        q = softmax(p)
        loss = -np.log(q[rows, t]).mean()
        dq = (q - y) / n
        dz = p * (dq - (dq * p).sum(1, keepdims=True))
    if wrong == "axis 0":
        q = softmax(z, 0)
        loss = -np.log(q[rows, t]).mean()
        dq = (y == 1) * -1 / n
        dz = dq - q * dq.sum(0, keepdims=True)
    if wrong == "no log":
        loss = -p[rows, t].mean()
        dp = -y / n
        dz = p * (dp - (dp * p).sum(1, keepdims=True))
    if wrong == "no target":
        dz = p / n
    if wrong == "over classes":
        dz = (p - y) / w.shape[0]
    if wrong == "diagonal":
        dp = -y / p / n
        dz = dp * p * (1 - p)
    if wrong == "p(1-p)":
        dz = (p - y) * p * (1 - p) / n
    if wrong == "backward axis 0":
        dz = (softmax(z, 0) - y) / n
    if wrong == "sign":
        dz = (y - p) / n
    db = dz.sum(0)
    if wrong == "bias unsummed":
        db = dz
    if wrong == "bias last":
        db = dz[-1]
    return loss, {"w": dz.T @ x, "b": db}


def classes_torch(x: Any, t: Any, w: Any, b: Any) -> Any:
    return F.cross_entropy(F.linear(x, w, b), t)


CLASSES = {
    "x": RNG.normal(size=(8, 5)),
    "t": RNG.integers(0, 3, 8),
    "w": RNG.normal(size=(3, 5)),
    "b": RNG.normal(size=3),
}
CLASSES_CASES: Cases = [
    ("softmax first", "applied twice"),
    ("axis 0", "wrong axis"),
    ("no log", "left out"),
    ("no target", "missing term"),
    ("over classes", "wrong denominator"),
    ("p(1-p)", "wrong derivative"),
    ("backward axis 0", "wrong axis"),
    ("sign", "sign"),
    ("bias last", "broadcasting not summed"),
    ("bias unsummed", "broadcasting not summed"),
]


# -- weighted, masked and smoothed cross entropy --------------------------------------------------------------------------


def tokens(z: Any, t: Any, weight: Any, wrong: str = "") -> Any:
    """Class weights, an ignored class 0 and label smoothing of 0.1 at once."""
    n, k = z.shape
    smoothing = 0.0 if wrong == "no smoothing" else 0.1
    counted = (t != 0).astype(float) if wrong != "counts padding" else np.ones(n)
    w = np.ones(k) if wrong == "no weights" else weight
    share = counted * w[t]
    total = {"by rows": n, "by counted": counted.sum()}.get(wrong, share.sum())
    logp = np.log(softmax(z))
    spread = k - 1 if wrong == "over the others" else k
    y = np.eye(k)[t]
    if wrong == "over the others":
        target = (1 - smoothing) * y + smoothing / spread * (1 - y)
    else:
        target = (1 - smoothing) * y + smoothing / k
    seen = counted if wrong != "smooths padding" else np.ones(n)
    mass = (
        ((1 - smoothing) * y * counted[:, None] + smoothing / k * seen[:, None]) * w
        if wrong in ("smooths padding",)
        else target * w * counted[:, None]
    )
    loss = -(mass * logp).sum() / total
    dz = (np.exp(logp) * mass.sum(1, keepdims=True) - mass) / total
    if wrong == "backward without weights":
        plain = target * counted[:, None]
        dz = (np.exp(logp) * plain.sum(1, keepdims=True) - plain) / counted.sum()
    return loss, {"z": dz}


def tokens_torch(z: Any, t: Any, weight: Any) -> Any:
    return F.cross_entropy(z, t, weight.detach(), ignore_index=0, label_smoothing=0.1)


TOKENS = {
    "z": RNG.normal(size=(10, 4)),
    "t": np.array([1, 0, 2, 3, 3, 0, 1, 2, 2, 1]),
    "weight": np.array([0.4, 1.5, 0.7, 2.2]),
}
TOKENS_CASES: Cases = [
    ("no smoothing", "left out"),
    ("counts padding", "mask ignored"),
    ("no weights", "class weights"),
    ("by counted", "class weights"),
    ("by rows", "class weights"),
    ("smooths padding", "mask ignored"),
    ("backward without weights", "class weights"),
]


# -- two layers ------------------------------------------------------------------------------------------------------------


def network(x: Any, t: Any, w1: Any, b1: Any, w2: Any, b2: Any, wrong: str = "") -> Any:
    """tanh, then sigmoid, then half the mean of squares; all layers are square but for the rows."""
    z = x @ w1 + b1
    h = np.tanh(z)
    if wrong == "relu":
        h = np.maximum(z, 0)
    if wrong == "no activation":
        h = z
    if wrong == "activation twice":
        h = np.tanh(np.tanh(z))
    if wrong == "bias left out":
        h = np.tanh(x @ w1)
    if wrong == "weight turned":
        h = np.tanh(x @ w1.T + b1)
    o = h @ w2 + b2
    p = sigmoid(o)
    loss = 0.5 * ((p - t) ** 2).mean()
    do = (p - t) / p.size * p * (1 - p)
    if wrong == "sigmoid of p":
        do = (p - t) / p.size * sigmoid(p) * (1 - sigmoid(p))
    if wrong == "o(1-o)":
        do = (p - t) / p.size * o * (1 - o)
    if wrong == "no p":
        do = (p - t) / p.size * (1 - p)
    if wrong == "slope left out":
        do = (p - t) / p.size
    if wrong == "slope twice":
        do = (p - t) / p.size * (p * (1 - p)) ** 2
    if wrong == "incoming left out":
        do = p * (1 - p)
    dw2 = h.T @ do
    if wrong == "pre-activation":
        dw2 = z.T @ do
    if wrong == "outer turned":
        dw2 = do.T @ h
    dh = do @ w2.T
    if wrong == "hidden turned":
        dh = do @ w2
    if wrong == "hidden w1":
        dh = do @ w1.T
    dz = dh * (1 - h**2)
    if wrong == "1-h":
        dz = dh * (1 - h)
    if wrong == "1-z^2":
        dz = dh * (1 - z**2)
    if wrong == "h(1-h)":
        dz = dh * h * (1 - h)
    if wrong == "relu":
        dz = dh * (z > 0)
    if wrong == "relu's slope":
        dz = dh * (z > 0)
    if wrong == "no activation":
        dz = dh
    if wrong == "hidden slope left out":
        dz = dh
    if wrong == "activation twice":
        u = np.tanh(z)
        dz = dh * (1 - h**2) * (1 - u**2)
    if wrong == "hidden sign":
        dz = -dz
    if wrong == "detached":
        dz = np.zeros_like(dz)
    dw1 = x.T @ dz
    if wrong == "weight turned":
        dw1 = dz.T @ x
    if wrong == "dh for dw1":
        dw1 = x.T @ dh
    if wrong == "inputs of layer 2":
        dw1 = h.T @ dz
    db1 = dz.sum(0)
    if wrong == "bias left out":
        db1 = np.zeros_like(b1)
    if wrong == "bias over features":
        db1 = dz.sum(1)[: len(b1)]
    if wrong == "dh for db1":
        db1 = dh.sum(0)
    if wrong == "bias mean":
        db1 = dz.mean(0)
    return loss, {"w1": dw1, "b1": db1, "w2": dw2, "b2": do.sum(0)}


def network_torch(x: Any, t: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
    hidden = torch.tanh(x @ w1 + b1)
    output = torch.sigmoid(hidden @ w2 + b2)
    return 0.5 * ((output - t) ** 2).mean()


NETWORK = {
    "x": RNG.normal(size=(6, 4)),
    "t": RNG.random((6, 4)),
    "w1": RNG.normal(size=(4, 4)),
    "b1": RNG.normal(size=4),
    "w2": RNG.normal(size=(4, 4)),
    "b2": RNG.normal(size=4),
}
NETWORK_CASES: Cases = [
    ("relu", "wrong function"),
    ("no activation", "left out"),
    ("activation twice", "applied twice"),
    ("bias left out", "missing term"),
    ("weight turned", "transposed"),
    ("sigmoid of p", "derivative of the wrong variable"),
    ("o(1-o)", "derivative of the wrong variable"),
    ("no p", "wrong derivative"),
    ("slope left out", "derivative left out"),
    ("slope twice", "wrong derivative"),
    ("incoming left out", "incoming gradient left out"),
    ("pre-activation", "wrong operand"),
    ("outer turned", "transposed"),
    ("hidden turned", "transposed"),
    ("hidden w1", "wrong operand"),
    ("1-h", "wrong derivative"),
    ("1-z^2", "derivative of the wrong variable"),
    ("h(1-h)", "wrong derivative"),
    ("relu's slope", "wrong derivative"),
    ("hidden slope left out", "derivative left out"),
    ("hidden sign", "sign"),
    ("detached", "detached"),
    ("dh for dw1", "derivative left out"),
    ("dh for db1", "derivative left out"),
    ("bias mean", "mean instead of sum"),
]

TOPICS = [
    ("ridge", ridge, ridge_torch, RIDGE, RIDGE_CASES),
    ("logistic", logistic, logistic_torch, LOGISTIC, LOGISTIC_CASES),
    ("logistic written out", logistic, logistic_written_out, LOGISTIC, [*LOGISTIC_CASES, ("base 2", "wrong function")]),
    ("softmax", classes, classes_torch, CLASSES, CLASSES_CASES),
    ("cross entropy", tokens, tokens_torch, TOKENS, TOKENS_CASES),
    ("network", network, network_torch, NETWORK, NETWORK_CASES),
]
"""Each a name, the function with its mistakes, the reference, the inputs, and the mistakes with their causes."""
