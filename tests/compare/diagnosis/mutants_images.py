"""Layers for images and sequences in plain NumPy, each line of which can be got wrong; PyTorch beside them.

Where windows matter they are loops over places, as one writes them first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F

Cases = list[tuple[str, str]]

RNG = np.random.default_rng(20261126)


def random(*shape: int) -> Any:
    return RNG.normal(size=shape)


# -- convolution of a sequence in groups -------------------------------------------------------------------------------


def sequence(x: Any, w: Any, t: Any, wrong: str = "", groups: int = 2) -> Any:
    """Stride 2, padding 1 at both ends, dilation 1."""
    stride, dilation, ends = (1, 2, (1, 1)) if wrong == "exchanged" else (2, 1, (1, 1))
    if wrong == "padded behind":
        ends = (0, 2)
    padded = np.pad(x, ((0, 0), (0, 0), ends))
    taps = np.arange(w.shape[2]) * dilation
    places = np.arange(t.shape[2])[:, None] * stride + taps
    inputs, outputs = np.arange(x.shape[1]).reshape(groups, -1), np.arange(len(w)).reshape(groups, -1)
    if wrong == "inputs interleaved":
        inputs = np.arange(x.shape[1]).reshape(-1, groups).T
    if wrong == "outputs interleaved":
        outputs = np.arange(len(w)).reshape(-1, groups).T
    y, dw, dpadded = np.zeros_like(t), np.zeros_like(w), np.zeros_like(padded)
    for group in range(groups):
        seen = padded[:, inputs[group]][:, :, places]
        own = np.arange(len(w)).reshape(groups, -1)[group]
        y[:, outputs[group]] = np.einsum("ncik,ock->noi", seen, w[own])
        g = t[:, outputs[group]]
        dw[own] = np.einsum("ncik,noi->ock", seen, g)
        columns = np.einsum("noi,ock->ncik", g, w[own])
        for sample in range(len(x)):
            for channel, row in zip(inputs[group], columns[sample], strict=True):
                np.add.at(dpadded[sample, channel], places, row)
    return (y * t).sum(), {"x": dpadded[:, :, ends[0] : ends[0] + x.shape[2]], "w": dw}


def sequence_torch(x: Any, w: Any, t: Any) -> Any:
    return (F.conv1d(x, w, None, 2, 1, 1, 2) * t).sum()


SEQUENCE = {"x": random(3, 4, 7), "w": random(6, 2, 4), "t": random(3, 6, 3)}
SEQUENCE_CASES: Cases = [
    ("exchanged", "other windows"),
    ("padded behind", "other windows"),
    ("inputs interleaved", "wrong groups"),
    ("outputs interleaved", "wrong groups"),
]


# -- convolution of an image by columns --------------------------------------------------------------------------------


def columns(x: Any, w: Any, t: Any, wrong: str = "") -> Any:
    high, wide = w.shape[2:]
    y, dx, dw = np.zeros_like(t), np.zeros_like(x), np.zeros_like(w)
    for i in range(t.shape[2]):
        for j in range(t.shape[3]):
            here = (slice(None), slice(None), slice(i, i + high), slice(j, j + wide))
            y[:, :, i, j] = np.einsum("nckl,ockl->no", x[here], w)
            dw += np.einsum("nckl,no->ockl", x[here], t[:, :, i, j])
            column = np.einsum("no,ockl->nckl", t[:, :, i, j], w)
            dx[here] = column if wrong == "assigned" else dx[here] + column
    return (y * t).sum(), {"x": dx, "w": dw}


def columns_torch(x: Any, w: Any, t: Any) -> Any:
    return (F.conv2d(x, w) * t).sum()


COLUMNS = {"x": random(2, 2, 4, 5), "w": random(3, 2, 2, 3), "t": random(2, 3, 3, 3)}


# -- transposed convolution --------------------------------------------------------------------------------------------


def laid_down(x: Any, w: Any, t: Any, wrong: str = "") -> Any:
    """Every element lays the kernel down, two places on from the one before."""
    y, dx, dw = np.zeros_like(t), np.zeros_like(x), np.zeros_like(w)
    kernel = w[..., ::-1] if wrong == "flipped" else w
    for place in range(x.shape[2]):
        here = slice(2 * place, 2 * place + w.shape[2])
        laid = np.einsum("nc,cok->nok", x[:, :, place], kernel)
        y[:, :, here] = laid if wrong == "assigned" else y[:, :, here] + laid
        dx[:, :, place] = np.einsum("nok,cok->nc", t[:, :, here], kernel)
        share = np.einsum("nok,nc->cok", t[:, :, here], x[:, :, place])
        dw += share[..., ::-1] if wrong == "flipped" else share
    return (y * t).sum(), {"x": dx, "w": dw}


def laid_down_torch(x: Any, w: Any, t: Any) -> Any:
    return (F.conv_transpose1d(x, w, stride=2) * t).sum()


LAID_DOWN = {"x": random(3, 2, 4), "w": random(2, 3, 4), "t": random(3, 3, 10)}
LAID_DOWN_CASES: Cases = [("assigned", "overwritten instead of added"), ("flipped", "reversed")]


# -- maxima, means and powers of windows -------------------------------------------------------------------------------


def maxima(x: Any, t: Any, wrong: str = "") -> Any:
    """Windows of three, one apart, padded by one; equal values tie."""
    low = 0.0 if wrong == "zeros win" else -np.inf
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1)), constant_values=low)
    y, dpadded = np.zeros_like(t), np.zeros_like(padded)
    for sample, channel in np.ndindex(*x.shape[:2]):
        for place in range(t.shape[2]):
            window = padded[sample, channel, place : place + 3]
            gradient = dpadded[sample, channel, place : place + 3]
            y[sample, channel, place] = window.max()
            won = np.flatnonzero(window == window.max())
            g = t[sample, channel, place]
            if wrong == "all":
                gradient[won] += g
            elif wrong == "shared":
                gradient[won] += g / len(won)
            elif wrong == "last":
                gradient[won[-1]] += g
            elif wrong == "assigned":
                gradient[won[0]] = g
            else:
                gradient[won[0]] += g
    return (y * t).sum(), {"x": dpadded[:, :, 1:-1]}


def maxima_torch(x: Any, t: Any) -> Any:
    return (F.max_pool1d(x, 3, 1, 1) * t).sum()


MAXIMA = {"x": RNG.integers(-4, 2, (3, 2, 9)) - 0.5, "t": random(3, 2, 9)}
MAXIMA_CASES: Cases = [
    ("all", "tie policy"),
    ("shared", "tie policy"),
    ("last", "tie policy"),
    ("assigned", "overwritten instead of added"),
    ("zeros win", "mask ignored"),
]


def means(x: Any, t: Any, wrong: str = "") -> Any:
    """Windows of three, two apart, padded by one that does not count."""
    y, dx = np.zeros_like(t), np.zeros_like(x)
    for place in range(t.shape[2]):
        first, end = max(0, 2 * place - 1), min(x.shape[2], 2 * place + 2)
        count = 3 if wrong == "padding counted" else end - first
        y[:, :, place] = x[:, :, first:end].sum(2) / count
        dx[:, :, first:end] += (t[:, :, place] / count)[:, :, None]
    return (y * t).sum(), {"x": dx}


def means_torch(x: Any, t: Any) -> Any:
    return (F.avg_pool1d(x, 3, 2, 1, count_include_pad=False) * t).sum()


MEANS = {"x": random(3, 2, 9), "t": random(3, 2, 5)}
MEANS_CASES: Cases = [("padding counted", "wrong denominator")]


def adaptive(x: Any, t: Any, wrong: str = "") -> Any:
    """As many windows as are asked for."""
    m, k = x.shape[2], t.shape[2]
    y, dx = np.zeros_like(t), np.zeros_like(x)
    for i in range(k):
        first, end = i * m // k, -(-(i + 1) * m // k)
        if wrong == "rounded down":
            end = (i + 1) * m // k
        if wrong == "one size":
            first, end = i * (m // k), i * (m // k) + m - (k - 1) * (m // k)
        if wrong == "one window shifted" and i == 1:
            first, end = first + 1, end + 1
        y[:, :, i] = x[:, :, first:end].mean(2)
        dx[:, :, first:end] += (t[:, :, i] / (end - first))[:, :, None]
    return (y * t).sum(), {"x": dx}


def adaptive_torch(x: Any, t: Any) -> Any:
    return (F.adaptive_avg_pool1d(x, 3) * t).sum()


ADAPTIVE = {"x": random(3, 2, 8), "t": random(3, 2, 3)}
ADAPTIVE_CASES: Cases = [("rounded down", "other windows"), ("one size", "other windows")]


def powers(x: Any, t: Any, wrong: str = "") -> Any:
    """The root of the sum of the squares of two neighbours."""
    apart = x.reshape(*x.shape[:2], -1, 2)
    total = (apart**2).sum(3)
    if wrong == "averaged":
        total = total / 2
    y = total if wrong == "no root" else np.sqrt(total)
    slope = apart if wrong != "averaged" else apart / 2
    dx = (2 * slope if wrong == "no root" else slope / y[..., None]) * t[..., None]
    return (y * t).sum(), {"x": dx.reshape(x.shape)}


def powers_torch(x: Any, t: Any) -> Any:
    return (F.lp_pool1d(x, 2, 2) * t).sum()


POWERS = {"x": random(3, 2, 8), "t": random(3, 2, 4)}
POWERS_CASES: Cases = [("averaged", "mean instead of sum"), ("no root", "left out")]


# -- borders -----------------------------------------------------------------------------------------------------------


def mirrored(x: Any, t: Any, wrong: str = "") -> Any:
    """Mirrored by two places before and one behind, the ends not repeated."""
    size = x.shape[2]
    before, behind = (1, 2) if wrong == "ends exchanged" else (2, 1)
    mode = {"circular": "wrap", "repeated": "symmetric"}.get(wrong, "reflect")
    places = np.pad(np.arange(size), (before, behind), mode=mode)
    dx = np.zeros_like(x)
    for place, source in enumerate(places):
        if wrong == "middle" and not 2 <= place < 2 + size:
            continue
        if wrong == "assigned":
            dx[:, :, source] = t[:, :, place]
        elif wrong == "first":
            dx[:, :, source] = np.where(dx[:, :, source] == 0, t[:, :, place], dx[:, :, source])
        else:
            dx[:, :, source] += t[:, :, place]
    return (x[:, :, places] * t).sum(), {"x": dx}


def mirrored_torch(x: Any, t: Any) -> Any:
    return (F.pad(x, (2, 1), mode="reflect") * t).sum()


MIRRORED = {"x": random(3, 2, 5), "t": random(3, 2, 8)}
MIRRORED_CASES: Cases = [
    ("circular", "wrong function"),
    ("repeated", "wrong function"),
    ("ends exchanged", "permuted"),
    ("middle", "missing term"),
    ("assigned", "overwritten instead of added"),
    ("first", "overwritten instead of added"),
]


# -- groups of channels, and neighbours --------------------------------------------------------------------------------


def grouped(x: Any, gamma: Any, t: Any, wrong: str = "") -> Any:
    """Two groups of three channels, eps 0.01."""
    order = np.arange(6).reshape(3, 2).T.reshape(-1) if wrong == "interleaved" else np.arange(6)
    if wrong == "shuffled":
        order = np.array([0, 1, 5, 4, 2, 3])
    groups = 3 if wrong == "three groups" else 2
    sets = x[:, order].reshape(len(x), groups, -1)
    centred = sets - sets.mean(2, keepdims=True)
    inverse = 1 / np.sqrt((centred**2).mean(2, keepdims=True) + 1e-2)
    back = np.argsort(order)
    normal = (centred * inverse).reshape(x.shape)[:, back]
    h = (t * gamma[:, None])[:, order].reshape(sets.shape)
    hats = centred * inverse
    ds = inverse * (h - h.mean(2, keepdims=True) - hats * (h * hats).mean(2, keepdims=True))
    return (normal * gamma[:, None] * t).sum(), {"x": ds.reshape(x.shape)[:, back], "gamma": (normal * t).sum((0, 2))}


def grouped_torch(x: Any, gamma: Any, t: Any) -> Any:
    return (F.group_norm(x, 2, gamma, None, 1e-2) * t).sum()


GROUPED = {"x": random(3, 6, 4) + 0.3, "gamma": random(6) + 1, "t": random(3, 6, 4)}
GROUPED_CASES: Cases = [("interleaved", "wrong groups"), ("three groups", "wrong groups")]


def neighbours(x: Any, t: Any, wrong: str = "") -> Any:
    """Local response norm over three channels."""
    along = 2 if wrong == "along space" else 1
    alpha, beta, k, size = 0.6 * (3 if wrong == "sum" else 1), 0.75, 1.0, 3
    turned = np.moveaxis(x, along, 0)
    near = np.abs(np.subtract.outer(np.arange(len(turned)), np.arange(len(turned)))) <= 1
    level = k + alpha / size * np.tensordot(near.astype(float), turned**2, 1)
    y = turned * level**-beta
    g = np.moveaxis(t, along, 0)
    through = 2 * alpha * beta / size * turned * np.tensordot(near.astype(float), g * y / level, 1)
    dx = g * level**-beta - (0 if wrong == "centre" else through)
    return (y * g).sum(), {"x": np.moveaxis(dx, 0, along)}


def neighbours_torch(x: Any, t: Any) -> Any:
    return (F.local_response_norm(x, 3, 0.6, 0.75, 1.0) * t).sum()


NEIGHBOURS = {"x": random(3, 5, 4), "t": random(3, 5, 4)}
NEIGHBOURS_CASES: Cases = [
    ("along space", "wrong axis"),
    ("sum", "sum instead of mean"),
    ("centre", "missing term | overwritten instead of added"),
]


def root_mean_square(x: Any, gamma: Any, t: Any, wrong: str = "") -> Any:
    c = x - x.mean(1, keepdims=True) if wrong == "centred" else x
    inverse = 1 / np.sqrt((c**2).mean(1, keepdims=True) + 1e-2)
    n = c * inverse
    h = t * gamma
    dc = inverse * (h - n * (h * n).mean(1, keepdims=True))
    return (n * gamma * t).sum(), {
        "x": dc - dc.mean(1, keepdims=True) if wrong == "centred" else dc,
        "gamma": (n * t).sum(0),
    }


def root_mean_square_torch(x: Any, gamma: Any, t: Any) -> Any:
    return (F.rms_norm(x, (x.shape[1],), gamma, 1e-2) * t).sum()


SQUARES = {"x": random(5, 7) + 0.5, "gamma": random(7) + 1, "t": random(5, 7)}


# -- slopes and forms --------------------------------------------------------------------------------------------------


def slopes(x: Any, w: Any, t: Any, wrong: str = "") -> Any:
    negative = x <= 0
    y = np.where(negative, w[:, None] * x, x)
    dx = np.where(negative, 0.0 if wrong == "none" else w[:, None] * t, t)
    shares = x * t if wrong == "all" else np.where(negative, x * t, 0)
    if wrong == "positive":
        shares = np.where(negative, 0, x * t)
    return (y * t).sum(), {"x": dx, "w": shares.sum((0, 2))}


def slopes_torch(x: Any, w: Any, t: Any) -> Any:
    return (F.prelu(x, w) * t).sum()


SLOPES = {"x": random(4, 3, 5), "w": np.array([0.2, 0.5, -0.3]), "t": random(4, 3, 5)}
SLOPES_CASES: Cases = [
    ("all", "mask ignored"),
    ("positive", "wrong derivative"),
    ("none", "wrong derivative | missing term"),
]


def form(u: Any, v: Any, w: Any, t: Any, wrong: str = "") -> Any:
    a, b = (v, u) if wrong == "exchanged" else (u, v)
    y = np.einsum("ni,oij,nj->no", a, w, b)
    da = np.einsum("no,oij,nj->ni", t, w, a if wrong == "own input" else b)
    db = np.einsum("no,oij,ni->nj", t, w, a)
    du, dv = (db, da) if wrong == "exchanged" else (da, db)
    return (y * t).sum(), {"u": du, "v": dv, "w": np.einsum("no,ni,nj->oij", t, a, b)}


def form_torch(u: Any, v: Any, w: Any, t: Any) -> Any:
    return (F.bilinear(u, v, w) * t).sum()


FORM = {"u": random(5, 3), "v": random(5, 3), "w": random(4, 3, 3), "t": random(5, 4)}
FORM_CASES: Cases = [("exchanged", "transposed"), ("own input", "wrong operand")]

TOPICS = [
    ("convolution in groups", sequence, sequence_torch, SEQUENCE, SEQUENCE_CASES),
    ("convolution by columns", columns, columns_torch, COLUMNS, [("assigned", "overwritten instead of added")]),
    ("transposed convolution", laid_down, laid_down_torch, LAID_DOWN, LAID_DOWN_CASES),
    ("maximum pool", maxima, maxima_torch, MAXIMA, MAXIMA_CASES),
    ("average pool", means, means_torch, MEANS, MEANS_CASES),
    ("adaptive pool", adaptive, adaptive_torch, ADAPTIVE, ADAPTIVE_CASES),
    ("power pool", powers, powers_torch, POWERS, POWERS_CASES),
    ("reflection", mirrored, mirrored_torch, MIRRORED, MIRRORED_CASES),
    ("group norm", grouped, grouped_torch, GROUPED, GROUPED_CASES),
    ("local response norm", neighbours, neighbours_torch, NEIGHBOURS, NEIGHBOURS_CASES),
    ("RMS norm", root_mean_square, root_mean_square_torch, SQUARES, [("centred", "wrong function")]),
    ("slopes", slopes, slopes_torch, SLOPES, SLOPES_CASES),
    ("bilinear form", form, form_torch, FORM, FORM_CASES),
]
"""Each a name, the function with its mistakes, the reference, the inputs, and the mistakes with their causes."""
