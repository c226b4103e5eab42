"""Layers as people write them on their own, in loops and on rows, one line wrong each."""

import numpy as np
import torch
import torch.nn.functional as F

from ..cases import Topic

__all__ = ["CASES"]

EPS = 1e-3
PADDING = 2


# -- layer normalisation of tokens ------------------------------------------------------------------------------------


def layer_norm(tokens, gain, shift, probe, wrong=""):
    centred = tokens - tokens.mean(-1, keepdims=True)
    var = tokens.var(-1, ddof=1 if wrong == "unbiased" else 0, keepdims=True)
    std = np.sqrt(var) + EPS if wrong == "eps_beside_the_root" else np.sqrt(var + EPS)
    hat = centred / std
    loss = np.sum(probe * (gain * hat + shift))
    up = probe if wrong == "gain_left_out" else probe * gain
    along = np.mean(up * hat, -1, keepdims=True)
    average = 0.0 if wrong == "mean_not_differentiated" else np.mean(up, -1, keepdims=True)
    d_shift = probe.sum(0) if wrong == "shift_summed_over_the_batch_alone" else probe.sum((0, 1))
    return loss, {"tokens": (up - average - hat * along) / std, "gain": (probe * hat).sum((0, 1)), "shift": d_shift}


def layer_norm_torch(tokens, gain, shift, probe):
    return (probe * F.layer_norm(tokens, gain.shape, gain, shift, EPS)).sum()


# -- a bag of embeddings ----------------------------------------------------------------------------------------------


def bag(table, ids, goal, wrong=""):
    length = ids.shape[1]
    pooled = table[ids].sum(axis=1) / length
    loss = np.mean((pooled - goal) ** 2)
    each = 2 * (pooled - goal) / goal.size
    if wrong != "length_left_out":
        each = each / length
    d_table = np.zeros_like(table)
    if wrong == "repeated_ids_lost":
        for column in range(length):
            d_table[ids[:, column]] = each
    else:
        for row, g in zip(ids, each, strict=True):
            for i in row:
                d_table[i] += g
    if wrong != "padding_row_kept":
        d_table[PADDING] = 0
    return loss, {"table": d_table}


def bag_torch(table, ids, goal):
    return F.mse_loss(F.embedding(ids, table, padding_idx=PADDING).mean(dim=1), goal)


# -- causal self-attention, one sequence after another ----------------------------------------------------------------


def attention(x, wq, wk, wv, goal, wrong=""):
    root = np.sqrt(x.shape[-1] if wrong == "root_of_the_model_width" else wq.shape[1])
    hidden = np.triu(np.ones((x.shape[1], x.shape[1]), bool), 1)
    grads = {"x": np.zeros_like(x), "wq": np.zeros_like(wq), "wk": np.zeros_like(wk), "wv": np.zeros_like(wv)}
    loss = 0.0
    for n, s in enumerate(x):
        q, k, v = s @ wq, s @ wk, s @ wv
        score = q @ k.T / root
        score = np.tril(score) if wrong == "masked_to_zero" else np.where(hidden, -np.inf, score)
        p = np.exp(score - score.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        miss = p @ v - goal[n]
        loss += (miss**2).sum() / goal.size
        d_out = 2 * miss / goal.size
        d_p = d_out @ v.T
        inner = 0 if wrong == "softmax_diagonal_only" else np.sum(d_p * p, axis=1, keepdims=True)
        d_score = p * (d_p - inner)
        if wrong != "root_left_out_going_back":
            d_score = d_score / root
        dq, dv = d_score @ k, p.T @ d_out
        dk = d_score @ q if wrong == "keys_not_transposed" else d_score.T @ q
        if wrong == "values_alone_reach_x":
            grads["x"][n] = dv @ wv.T
        else:
            grads["x"][n] = dq @ wq.T + dk @ wk.T + dv @ wv.T
        grads["wq"] += s.T @ dq
        grads["wk"] += s.T @ dk
        grads["wv"] += s.T @ dv
    return loss, grads


def attention_torch(x, wq, wk, wv, goal):
    return F.mse_loss(F.scaled_dot_product_attention(x @ wq, x @ wk, x @ wv, is_causal=True), goal)


# -- a convolution on images with the channels last -------------------------------------------------------------------


def conv(image, kernel, bias, goal, wrong=""):
    kh, kw = kernel.shape[:2]
    n, rows, columns, _ = goal.shape
    used = kernel[::-1, ::-1] if wrong == "kernel_flipped" else kernel
    out = np.empty_like(goal)
    for i in range(rows):
        for j in range(columns):
            patch = image[:, i : i + kh, j : j + kw].reshape(n, -1)
            out[:, i, j] = patch @ used.reshape(-1, len(bias)) + bias
    loss = np.mean((out - goal) ** 2)
    d_out = 2 * (out - goal) / goal.size
    d_image, d_used = np.zeros_like(image), np.zeros_like(kernel)
    for i in range(rows):
        for j in range(columns):
            g = d_out[:, i, j]
            d_used += np.tensordot(image[:, i : i + kh, j : j + kw], g, axes=(0, 0))
            back = (g @ used.reshape(-1, len(bias)).T).reshape(n, kh, kw, -1)
            if wrong == "patches_overwrite":
                d_image[:, i : i + kh, j : j + kw] = back
            else:
                d_image[:, i : i + kh, j : j + kw] += back
    d_kernel = d_used[::-1, ::-1].copy() if wrong == "kernel_flipped" else d_used
    d_bias = d_out.mean((0, 1, 2)) if wrong == "bias_averaged" else d_out.sum((0, 1, 2))
    return loss, {"image": d_image, "kernel": d_kernel, "bias": d_bias}


def conv_torch(image, kernel, bias, goal):
    out = F.conv2d(image.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), bias)
    return F.mse_loss(out.permute(0, 2, 3, 1), goal)


# -- an LSTM cell -----------------------------------------------------------------------------------------------------


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def cell(x, h, c, wx, wh, b, seed_h, seed_c, wrong=""):
    zi, zf, zg, zo = np.hsplit(x @ wx + h @ wh + b, 4)
    i, f, g, o = sigmoid(zi), sigmoid(zf), np.tanh(zg), sigmoid(zo)
    c_new = f * c + i * g
    t = np.tanh(c_new)
    loss = np.sum(seed_h * o * t) + np.sum(seed_c * c_new)
    dc = seed_c if wrong == "output_does_not_reach_the_state" else seed_c + seed_h * o * (1 - t * t)
    di = dc * g * i * (1 - i)
    df = dc * (c_new if wrong == "new_state_for_old" else c) * f * (1 - f)
    dg = dc * i * (g * (1 - g) if wrong == "candidate_as_sigmoid" else 1 - g * g)
    do = seed_h * t * o * (1 - o)
    dz = np.hstack([di, df, do, dg] if wrong == "gates_in_another_order" else [di, df, dg, do])
    grads = {"wx": x.T @ dz, "wh": h.T @ dz, "b": dz.sum(0)}
    return loss, {**grads, "x": dz @ wx.T, "h": dz @ wh.T, "c": dc * f}


def cell_torch(x, h, c, wx, wh, b, seed_h, seed_c):
    i, f, g, o = (x @ wx + h @ wh + b).chunk(4, dim=1)
    c_new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return (seed_h * torch.sigmoid(o) * torch.tanh(c_new)).sum() + (seed_c * c_new).sum()


# -- data -------------------------------------------------------------------------------------------------------------

_rng = np.random.default_rng(31337)


def _normal(*shape):
    return _rng.standard_normal(shape)


TOKENS = {"tokens": _normal(3, 4, 6), "gain": 1 + 0.3 * _normal(6), "shift": _normal(6), "probe": _normal(3, 4, 6)}
BAG = {"table": _normal(7, 4), "ids": _rng.integers(0, 7, size=(5, 6)), "goal": _normal(5, 4)}
SEQUENCES = {"x": _normal(2, 5, 6), "goal": _normal(2, 5, 4)} | {
    name: 0.5 * _normal(6, 4) for name in ("wq", "wk", "wv")
}
IMAGES = {"image": _normal(2, 5, 6, 2), "kernel": _normal(3, 2, 2, 3), "bias": _normal(3), "goal": _normal(2, 3, 5, 3)}
CELL = {"x": _normal(4, 3), "h": _normal(4, 5), "c": _normal(4, 5)} | {
    "wx": 0.6 * _normal(3, 20), "wh": 0.6 * _normal(5, 20), "b": 0.3 * _normal(20),
    "seed_h": _normal(4, 5), "seed_c": _normal(4, 5)
}  # fmt: skip


# -- cases ------------------------------------------------------------------------------------------------------------

CASES = [
    *Topic("layer_norm_tokens", "gradients", layer_norm, layer_norm_torch, TOKENS).cases(
        [
            ("unbiased", "the variance divides by n - 1", {"biased or unbiased variance"}),
            ("eps_beside_the_root", "eps is added to the standard deviation", {"eps outside the root"}),
            ("gain_left_out", "the gain is left out of the gradient of the tokens", {"derivative left out"}),
            ("mean_not_differentiated", "the mean is taken as a constant in the backward pass", {"missing term", "detached"}),
            ("shift_summed_over_the_batch_alone", "the shift's gradient is not summed over the positions",
             {"broadcasting not summed", "another shape"}),
        ]
    ),
    *Topic("bag", "gradients", bag, bag_torch, BAG).cases(
        [
            ("length_left_out", "the mean over the tokens is not differentiated",
             {"sum instead of mean", "constant factor", "derivative left out"}),
            ("repeated_ids_lost", "rows are assigned, so only the last of a repeated id is kept",
             {"overwritten instead of added"}),
            ("padding_row_kept", "the padding row gets a gradient", {"padding index ignored"}),
        ]
    ),
    *Topic("causal_attention", "gradients", attention, attention_torch, SEQUENCES).cases(
        [
            ("root_of_the_model_width", "the scores are divided by the root of the model's width", {"scale left out"}),
            ("masked_to_zero", "masked scores are zero in place of minus infinity",
             {"mask with a small value", "mask ignored"}),
            ("softmax_diagonal_only", "the softmax's derivative lacks the sum over the row", {"missing term"}),
            ("root_left_out_going_back", "the scores' gradient is not divided by the root",
             {"scale left out", "derivative left out", "constant factor"}),
            ("keys_not_transposed", "the keys' gradient takes the scores' gradient untransposed", {"transposed"}),
            ("values_alone_reach_x", "x gets a gradient through the values alone",
             {"missing term", "detached", "overwritten instead of added"}),
        ]
    ),
    *Topic("channels_last", "gradients", conv, conv_torch, IMAGES).cases(
        [
            ("kernel_flipped", "a true convolution: the kernel is flipped", {"reversed"}),
            ("patches_overwrite", "overlapping patches overwrite each other's gradient", {"overwritten instead of added"}),
            ("bias_averaged", "the bias's gradient is a mean over rows and positions",
             {"mean instead of sum", "divided twice", "constant factor"}),
        ]
    ),
    *Topic("cell", "gradients", cell, cell_torch, CELL).cases(
        [
            ("output_does_not_reach_the_state", "the state's gradient lacks the part through the output",
             {"missing term", "detached"}),
            ("new_state_for_old", "the forget gate's gradient takes the new state", {"wrong operand"}),
            ("candidate_as_sigmoid", "the candidate's tanh has the derivative of a sigmoid", {"wrong derivative"}),
            ("gates_in_another_order", "the gates' gradients are stacked in another order", {"permuted"}),
        ]
    ),
]  # fmt: skip
