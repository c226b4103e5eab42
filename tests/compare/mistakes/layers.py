"""Layer norm, batch standardisation and embeddings as a user writes them in NumPy, each with the mistakes people make."""

import numpy as np
import torch.nn.functional as F

from .cases import Topic

__all__ = ["CASES"]

EPS = 1e-5
PADDING = 0
IGNORED = -100


# -- layer norm -------------------------------------------------------------------------------------------------------


def layer_norm(x, gamma, beta, y, wrong=""):
    axis = 0 if wrong == "over_the_rows" else -1
    features = x.shape[axis]
    mean = x.mean(axis=axis, keepdims=True)
    var = x.var(axis=axis, keepdims=True, ddof=1 if wrong == "unbiased" else 0)
    if wrong == "eps_outside":
        std = np.sqrt(var) + EPS
    elif wrong == "eps_1e-6":
        std = np.sqrt(var + 1e-6)
    else:
        std = np.sqrt(var + EPS)
    xhat = (x - mean) / std
    out = gamma * xhat + beta
    loss = np.mean((out - y) ** 2)

    dout = 2 * (out - y) / y.size
    dgamma = (dout * (x if wrong == "gamma_uses_x" else xhat)).sum(axis=0)
    if wrong == "gamma_over_features":
        dgamma = (dout * xhat).sum(axis=-1)
    dxhat = dout if wrong == "gamma_forgotten" else dout * gamma
    if wrong == "means_over_rows":
        features = len(x)
    through_mean = dxhat.sum(axis=axis, keepdims=True) / features
    through_var = xhat * (dxhat * xhat).sum(axis=axis, keepdims=True) / features
    if wrong == "statistics_constant":
        dx = dxhat / std
    elif wrong == "variance_constant":
        dx = (dxhat - through_mean) / std
    elif wrong == "mean_constant":
        dx = (dxhat - through_var) / std
    elif wrong == "variance_for_std":
        dx = (dxhat - through_mean - through_var) / std**2
    else:
        dx = (dxhat - through_mean - through_var) / std
    return loss, {"x": dx, "gamma": dgamma, "beta": dout.sum(axis=0)}


def layer_norm_torch(x, gamma, beta, y):
    return F.mse_loss(F.layer_norm(x, gamma.shape, gamma, beta, eps=EPS), y)


# -- layer norm of a batch of sequences -------------------------------------------------------------------------------


def layer_norm_sequences(x, gamma, beta, y, wrong=""):
    std = np.sqrt(x.var(axis=2, keepdims=True) + EPS)
    xhat = (x - x.mean(axis=2, keepdims=True)) / std
    out = gamma * xhat + beta
    loss = np.mean((out - y) ** 2)
    dout = 2 * (out - y) / y.size
    dxhat = dout * gamma
    dx = (dxhat - dxhat.mean(2, keepdims=True) - xhat * (dxhat * xhat).mean(2, keepdims=True)) / std
    axes = 0 if wrong == "gamma_over_batch_only" else (0, 1)
    dbeta = dout.mean(axis=(0, 1)) if wrong == "beta_mean" else dout.sum(axis=(0, 1))
    return loss, {"x": dx, "gamma": (dout * xhat).sum(axis=axes), "beta": dbeta}


# -- standardisation over the batch -----------------------------------------------------------------------------------


def batch_norm(x, gamma, beta, y, wrong=""):
    rows = len(x)
    centred = x - x.mean(axis=0)
    var = (centred**2).sum(axis=0) / (rows - 1 if wrong == "unbiased" else rows)
    if wrong == "eps_outside":
        inverse = 1 / (np.sqrt(var) + EPS)
    elif wrong == "eps_left_out":
        inverse = 1 / np.sqrt(var)
    else:
        inverse = 1 / np.sqrt(var + EPS)
    xhat = centred * inverse
    out = gamma * xhat + beta
    loss = np.mean((out - y) ** 2)

    dout = 2 * (out - y) / y.size
    dgamma = (dout * xhat).sum(axis=0)
    dxhat = dout * gamma
    dvar = -0.5 * (dxhat * centred).sum(axis=0) * inverse**3
    if wrong == "variance_term_without_half":
        dvar = 2 * dvar
    if wrong == "variance_constant":
        dcentred = dxhat * inverse
    else:
        dcentred = dxhat * inverse + 2 / rows * centred * dvar
    dx = dcentred if wrong == "mean_constant" else dcentred - dcentred.mean(axis=0)
    return loss, {"x": dx, "gamma": dgamma, "beta": dout.sum(axis=0)}


def batch_norm_torch(x, gamma, beta, y):
    return F.mse_loss(F.batch_norm(x, None, None, gamma, beta, training=True, eps=EPS), y)


# -- a bag of words: embedding, mean over the words, linear head ------------------------------------------------------


def bag_of_words(ids, table, w, y, wrong=""):
    counted = np.ones(ids.shape) if wrong == "padding_in_the_mean" else (ids != PADDING) * 1.0
    length = counted.sum(axis=1, keepdims=True)
    words = table[ids]
    mean = (words * counted[:, :, None]).sum(axis=1) / length
    logits = mean @ w
    shifted = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).mean()

    dlogits = (p - np.eye(w.shape[1])[y]) / len(y)
    dmean = dlogits @ w.T
    dwords = dmean[:, None, :] * (counted / length)[:, :, None]
    if wrong == "length_forgotten":
        dwords = dmean[:, None, :] * counted[:, :, None]
    if wrong == "padding_receives":
        dwords = np.repeat((dmean / length)[:, None, :], ids.shape[1], axis=1)
    dtable = np.zeros_like(table)
    if wrong == "repeated_ids_lost":
        dtable[ids] += dwords
    else:
        np.add.at(dtable, ids, dwords)
    if wrong == "repeated_ids_averaged":
        dtable /= np.maximum(np.bincount(ids.ravel(), minlength=len(table)), 1)[:, None]
    return loss, {"table": dtable, "w": mean.T @ dlogits}


def bag_of_words_torch(ids, table, w, y):
    words = F.embedding(ids, table, padding_idx=PADDING)
    counted = (ids != PADDING).to(table.dtype)
    mean = (words * counted[:, :, None]).sum(1) / counted.sum(1, keepdim=True)
    return F.cross_entropy(mean @ w, y)


# -- a bigram language model, some of whose targets are ignored -------------------------------------------------------


def bigram(ids, targets, table, w, wrong=""):
    ids, targets = ids.ravel(), targets.ravel()
    counts = targets != IGNORED
    label = np.where(counts, targets, 0)
    h = table[ids]
    logits = h @ w
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    number = len(ids) if wrong == "mean_over_all_tokens" else counts.sum()
    loss = -(log_p[np.arange(len(ids)), label] * counts).sum() / number

    dlogits = np.exp(log_p)
    dlogits[np.arange(len(ids)), label] -= 1
    if wrong != "ignored_tokens_in_gradient":
        dlogits[~counts] = 0
    dlogits /= number
    dtable = np.zeros_like(table)
    np.add.at(dtable, ids, dlogits @ w.T)
    return loss, {"table": dtable, "w": h.T @ dlogits}


def bigram_torch(ids, targets, table, w):
    logits = F.embedding(ids, table) @ w
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=IGNORED)


# -- data -------------------------------------------------------------------------------------------------------------

_random = np.random.default_rng(5003)
NORM = {
    "x": 1.5 * _random.normal(size=(7, 5)) + 0.4,
    "gamma": 1 + 0.3 * _random.normal(size=5),
    "beta": _random.normal(size=5),
    "y": _random.normal(size=(7, 5)),
}
SEQUENCES = {**NORM, "x": _random.normal(size=(2, 7, 5)), "y": _random.normal(size=(2, 7, 5))}
WORDS = {
    "ids": np.array([[3, 7, 3, 0, 0, 0], [10, 2, 7, 7, 1, 0], [5, 3, 9, 2, 2, 2], [6, 0, 0, 0, 0, 0]]),
    "table": _random.normal(size=(11, 5)),
    "w": _random.normal(size=(5, 3)),
    "y": np.array([2, 0, 1, 2]),
}
TOKENS = {
    "ids": np.array([[3, 7, 1, 8, 3, 2], [5, 2, 6, 4, 0, 0]]),
    "targets": np.array([[7, 1, 8, 3, 2, IGNORED], [2, 6, 4, IGNORED, IGNORED, IGNORED]]),
    "table": _random.normal(size=(9, 4)),
    "w": _random.normal(size=(4, 9)),
}

# -- cases ------------------------------------------------------------------------------------------------------------

CASES = [
    *Topic("layer_norm", "gradients", layer_norm, layer_norm_torch, NORM).cases(
        [
            ("over_the_rows", "mean and variance run over the rows, as batch norm's do", {"wrong axis"}),
            ("unbiased", "the variance divides by n - 1", {"biased or unbiased variance"}),
            ("eps_outside", "eps is added to the standard deviation", {"eps outside the root"}),
            ("eps_1e-6", "eps is 1e-6", {"other eps"}),
            ("gamma_uses_x", "gamma's gradient multiplies by x before the normalisation", {"wrong operand"}),
            ("gamma_over_features", "gamma's gradient is summed over the features", {"wrong axis", "another shape"}),
            ("gamma_forgotten", "gamma is not multiplied on, on the way to x", {"derivative left out"}),
            ("means_over_rows", "the means of the backward pass divide by the number of rows", {"wrong denominator"}),
            ("statistics_constant", "mean and variance are taken for constants", {"missing term", "detached"}),
            ("variance_constant", "the variance is taken for a constant", {"missing term", "detached"}),
            ("mean_constant", "the mean is taken for a constant", {"missing term", "detached"}),
            ("variance_for_std", "x's gradient is divided by the variance", {"root left out"}),
        ]
    ),
    *Topic("layer_norm_sequences", "gradients", layer_norm_sequences, layer_norm_torch, SEQUENCES).cases(
        [
            ("gamma_over_batch_only", "gamma's gradient is not summed over the positions", {"broadcasting not summed", "another shape"}),
            ("beta_mean", "beta's gradient is averaged over batch and positions", {"mean instead of sum", "divided twice"}),
        ]
    ),
    *Topic("batch_norm", "gradients", batch_norm, batch_norm_torch, NORM).cases(
        [
            ("unbiased", "the variance divides by n - 1", {"biased or unbiased variance"}),
            ("eps_outside", "eps is added to the standard deviation", {"eps outside the root"}),
            ("eps_left_out", "there is no eps", {"other eps", "left out"}),
            ("variance_constant", "the gradient through the variance is left out", {"missing term", "detached"}),
            ("mean_constant", "the gradient through the mean is left out", {"missing term", "detached"}),
            ("variance_term_without_half", "the 1/2 of the root's derivative is lost", {"doubled term"}),
        ]
    ),
    *Topic("embedding", "gradients", bag_of_words, bag_of_words_torch, WORDS).cases(
        [
            ("repeated_ids_lost", "indexed += keeps one of several contributions to the same word", {"overwritten instead of added"}),
            ("repeated_ids_averaged", "the contributions to one word are averaged", {"mean instead of sum"}),
            ("padding_receives", "padded positions hand their gradient to the padding's row", {"padding index ignored", "mask ignored"}),
            ("padding_in_the_mean", "the mean counts padded positions", {"mask ignored", "wrong denominator"}),
            ("length_forgotten", "the 1 / length of the mean is left out of the gradient", {"sum instead of mean", "derivative left out"}),
        ]
    ),
    *Topic("bigram", "gradients", bigram, bigram_torch, TOKENS).cases(
        [
            ("mean_over_all_tokens", "the mean divides by all tokens, ignored ones too", {"wrong denominator"}),
            ("ignored_tokens_in_gradient", "ignored tokens have a gradient", {"mask ignored"}),
        ]
    ),
]  # fmt: skip
