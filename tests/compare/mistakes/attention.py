"""Attention with one head, causal or not, as a user writes it in NumPy (float32), with the mistakes people make."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from .cases import Topic

__all__ = ["CASES"]


def softmax(scores, axis=-1):
    shifted = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return shifted / shifted.sum(axis=axis, keepdims=True)


# -- self-attention on one sequence -----------------------------------------------------------------------------------


def attention(x, wq, wk, wv, y, wrong=""):
    q, k, v = x @ wq, x @ wk, x @ wv
    size = q.shape[1]
    scale = 1 / math.sqrt(size)
    if wrong == "scale_forgotten":
        scale = 1.0
    elif wrong == "scale_without_root":
        scale = 1 / size
    elif wrong == "scale_of_the_input":
        scale = 1 / math.sqrt(x.shape[1])
    elif wrong == "scale_is_float64":
        scale = 1 / np.sqrt(size)
    scores = q @ k.T * scale
    p = softmax(scores, axis=0 if wrong == "softmax_over_queries" else -1)
    out = p @ v
    loss = np.mean((out - y) ** 2)

    dout = 2 * (out - y) / y.size
    dv = (p if wrong == "probabilities_not_transposed" else p.T) @ dout
    dp = dout @ v.T
    if wrong == "softmax_term_forgotten":
        ds = p * dp
    elif wrong == "softmax_term_over_queries":
        ds = p * (dp - (dp * p).sum(axis=0, keepdims=True))
    elif wrong == "softmax_as_sigmoid":
        ds = dp * p * (1 - p)
    elif wrong == "softmax_forgotten":
        ds = dp
    else:
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    if wrong != "scale_forgotten_backward":
        ds = ds * scale
    dq = ds @ k
    dk = (ds if wrong == "scores_not_transposed" else ds.T) @ q
    dx = dq @ wq.T
    if wrong == "input_overwritten":
        dx = dk @ wk.T
        dx = dv @ wv.T
    elif wrong == "input_without_values":
        dx = dx + dk @ wk.T
    else:
        dx = dx + dk @ wk.T + dv @ wv.T
    return loss, {"x": dx, "wq": x.T @ dq, "wk": x.T @ (dq if wrong == "key_uses_query" else dk), "wv": x.T @ dv}


def attention_torch(x, wq, wk, wv, y):
    q, k, v = x @ wq, x @ wk, x @ wv
    return F.mse_loss(torch.softmax(q @ k.T / math.sqrt(q.shape[-1]), dim=-1) @ v, y)


# -- causal attention on a batch --------------------------------------------------------------------------------------


def causal_attention(q, k, v, y, wrong=""):
    scale = 1 / math.sqrt(q.shape[-1])
    length = q.shape[1]
    future = np.triu(np.ones((length, length), dtype=bool), k=2 if wrong == "one_token_ahead" else 1)
    scores = q @ k.swapaxes(1, 2) * scale
    if wrong == "multiplied_by_mask":
        scores = scores * ~future
    elif wrong == "minus_ten":
        scores = np.where(future, scores - 10, scores)
    elif wrong == "missing_minus":
        scores = np.where(future, np.float32(1e-9), scores)
    elif wrong == "past_masked":
        scores = np.where(future.T, -np.inf, scores)
    elif wrong not in ("no_mask", "masked_after_softmax"):
        scores = np.where(future, -np.inf, scores)
    p = softmax(scores)
    if wrong == "masked_after_softmax":
        p = p * ~future
    out = p @ v
    loss = np.mean((out - y) ** 2)

    dout = 2 * (out - y) / y.size
    dv = p.swapaxes(1, 2) @ dout
    dp = dout @ v.swapaxes(1, 2)
    if wrong == "mask_on_gradient":
        ds = np.where(future, 0, dp) * (1 - p) * p
    else:
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    ds = ds * scale
    return loss, {"q": ds @ k, "k": ds.swapaxes(1, 2) @ q, "v": dv}


def causal_attention_torch(q, k, v, y):
    return F.mse_loss(F.scaled_dot_product_attention(q, k, v, is_causal=True), y)


# -- data -------------------------------------------------------------------------------------------------------------

_random = np.random.default_rng(5004)


def _normal(*shape):
    return _random.normal(size=shape).astype(np.float32)


SINGLE = {"x": _normal(6, 5), "wq": _normal(5, 3), "wk": _normal(5, 3), "wv": _normal(5, 4), "y": _normal(6, 4)}
BATCH = {"q": _normal(2, 6, 3), "k": _normal(2, 6, 3), "v": _normal(2, 6, 4), "y": _normal(2, 6, 4)}

# -- cases ------------------------------------------------------------------------------------------------------------

CASES = [
    *Topic("attention", "gradients", attention, attention_torch, SINGLE).cases(
        [
            ("scale_forgotten", "the scores are not divided by sqrt(d)", {"scale left out"}),
            ("scale_without_root", "the scores are divided by d", {"scale left out", "root left out"}),
            ("scale_of_the_input", "the scores are divided by the root of the input's size, not the head's", {"scale left out"}),
            ("scale_is_float64", "np.sqrt of an int is a float64 and promotes all that follows", {"another dtype"}),
            ("scale_forgotten_backward", "the gradient of the scores is not divided by sqrt(d)", {"scale left out", "constant factor"}),
            ("softmax_over_queries", "the softmax runs over the queries", {"wrong axis"}),
            ("softmax_term_forgotten", "the softmax's pullback lacks the sum over the row", {"missing term"}),
            ("softmax_term_over_queries", "the sum in the softmax's pullback runs over the queries", {"wrong axis"}),
            ("softmax_as_sigmoid", "p (1 - p) stands for the softmax's derivative", {"wrong derivative", "missing term"}),
            ("softmax_forgotten", "the softmax's derivative is left out", {"derivative left out"}),
            ("probabilities_not_transposed", "the values' gradient uses the probabilities untransposed", {"transposed"}),
            ("scores_not_transposed", "the keys' gradient uses the scores' gradient untransposed", {"transposed"}),
            ("key_uses_query", "the key weight's gradient multiplies by the queries' gradient", {"wrong operand"}),
            ("input_overwritten", "each of query, key and value assigns the input's gradient", {"overwritten instead of added", "missing term"}),
            ("input_without_values", "the input's gradient lacks the path through the values", {"missing term", "detached"}),
        ]
    ),
    *Topic("causal", "gradients", causal_attention, causal_attention_torch, BATCH).cases(
        [
            ("no_mask", "there is no mask", {"mask ignored"}),
            ("multiplied_by_mask", "masked scores are multiplied by zero", {"mask with a small value", "mask ignored"}),
            ("minus_ten", "masked scores are lowered by ten", {"mask with a small value"}),
            ("missing_minus", "masked scores are set to 1e-9 in place of -1e9", {"mask with a small value", "mask ignored"}),
            ("masked_after_softmax", "the probabilities are masked, and do not add up to one", {"mask ignored"}),
            ("one_token_ahead", "the mask lets each token see the next", {"mask ignored"}),
            ("past_masked", "the mask is transposed: the past is hidden", {"transposed"}),
            ("mask_on_gradient", "p (1 - p) stands for the softmax's derivative", {"wrong derivative", "missing term"}),
        ]
    ),
]  # fmt: skip
