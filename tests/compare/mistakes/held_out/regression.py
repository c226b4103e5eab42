"""Regressions and small networks in the row convention ``x @ w``, with one-hot or signed targets, one line wrong each."""

import numpy as np
import torch
import torch.nn.functional as F

from ..cases import Topic

__all__ = ["CASES"]

LAMBDA = 1.7
POSITIVE = 2.5
SLOPE = 0.1
SMOOTHING = 0.2


# -- half the squared error, averaged over the rows -------------------------------------------------------------------


def least_squares(features, targets, coef, intercept, wrong=""):
    n = features.shape[0]
    error = features @ coef + intercept - targets
    cost = 0.5 / n * (error * error).sum()
    if wrong == "intercept_left_out_in_the_gradient":
        error = features @ coef - targets
    n = features.shape[1] if wrong == "columns_for_rows" else n
    d_coef = features.T.dot(error) / n
    d_intercept = error.sum(0, keepdims=wrong == "axis_kept") / n
    return cost, {"coef": d_coef, "intercept": d_intercept}


def least_squares_torch(features, targets, coef, intercept):
    return 0.5 * ((features @ coef + intercept - targets) ** 2).sum(1).mean()


# -- ridge with the intercept as the first entry of theta, which is not penalised -------------------------------------


def ridge_theta(design, y, theta, wrong=""):
    m = y.size
    h = design.dot(theta)
    j = (np.sum((h - y) ** 2) + LAMBDA * np.sum(theta[1:] ** 2)) / (2 * m)
    shrunk = theta.copy()
    if wrong != "intercept_shrunk":
        shrunk[0] = 0
    penalty = LAMBDA * shrunk if wrong == "penalty_not_averaged" else LAMBDA * shrunk / m
    fit = design.T.dot(h - y) / m
    return j, {"theta": fit - penalty if wrong == "penalty_subtracted" else fit + penalty}


def ridge_theta_torch(design, y, theta):
    return (((design @ theta - y) ** 2).sum() + LAMBDA * (theta[1:] ** 2).sum()) / (2 * len(y))


# -- logistic regression with labels -1 and 1 -------------------------------------------------------------------------


def signed_logistic(x, label, w, b, wrong=""):
    margin = label * (x.dot(w) + b[0])
    loss = np.log1p(np.exp(-margin)).mean()
    slope = -1 / (1 + np.exp(-margin)) if wrong == "probability_of_the_right_label" else -1 / (1 + np.exp(margin))
    d_score = slope / len(x) if wrong == "label_left_out" else slope * label / len(x)
    return loss, {"w": d_score @ x, "b": np.array([d_score.sum()])}


def signed_logistic_torch(x, label, w, b):
    return F.softplus(-label * (x @ w + b)).mean()


# -- logistic regression whose positive class weighs more -------------------------------------------------------------


def weighted_logistic(x, t, w, b, wrong=""):
    p = 1 / (1 + np.exp(-(x @ w + b)))
    loss = np.mean(-POSITIVE * t * np.log(p) - (1 - t) * np.log1p(-p))
    if wrong == "positive_weight_left_out":
        dz = (p - t) / t.size
    else:
        dz = (p * (1 - t) - POSITIVE * t * (1 - p)) / t.size
    if wrong == "sigmoid_derivative_again":
        dz = dz * p * (1 - p)
    return loss, {"w": x.T @ dz, "b": dz.sum(axis=0)}


def weighted_logistic_torch(x, t, w, b):
    weight = torch.full((1,), POSITIVE, dtype=x.dtype)
    return F.binary_cross_entropy_with_logits(x @ w + b, t, pos_weight=weight)


# -- softmax regression: one column a sample, smoothed labels ---------------------------------------------------------


def softmax_columns(x, onehot, w, wrong=""):
    k, n = onehot.shape
    smooth = (1 - SMOOTHING) * onehot + SMOOTHING / k
    scores = w @ x
    exps = np.exp(scores - scores.max())
    log_p = np.log(exps / exps.sum(axis=0))
    loss = -(smooth * log_p).sum() / n
    p = exps / exps.sum(axis=1, keepdims=True) if wrong == "normalised_over_samples" else np.exp(log_p)
    goal = onehot if wrong == "smoothing_only_in_the_loss" else smooth
    return loss, {"w": (p - goal) @ x.T / n}


def softmax_columns_torch(x, onehot, w):
    return F.cross_entropy((w @ x).T, onehot.T, label_smoothing=SMOOTHING)


# -- a network with a leaky ReLU and the mean squared error -----------------------------------------------------------


def leaky_network(x, y, w1, b1, w2, b2, wrong=""):
    z = x @ w1 + b1
    a = np.where(z > 0, z, SLOPE * z)
    out = a @ w2 + b2
    loss = ((out - y) ** 2).mean()
    d_out = 2 * (out - y) / y.size
    d_a = d_out @ w2.T
    kept = d_a > 0 if wrong == "sign_of_the_gradient" else z > 0
    d_z = d_a * np.where(kept, 1.0, 0.01 if wrong == "other_slope" else SLOPE)
    grads = {"w1": x.T @ d_z, "b1": d_z.sum(0), "w2": a.T @ d_out, "b2": d_out.sum(0)}
    if wrong == "before_the_activation":
        grads["w2"] = z.T @ d_out
    if wrong == "bias_skips_the_activation":
        grads["b1"] = d_a.sum(0)
    return loss, grads


def leaky_network_torch(x, y, w1, b1, w2, b2):
    return F.mse_loss(F.leaky_relu(x @ w1 + b1, SLOPE) @ w2 + b2, y)


# -- a classifier with one hidden layer of tanh, sample by sample -----------------------------------------------------


def classifier(x, onehot, w1, b1, w2, b2, wrong=""):
    n = len(x)
    loss = 0.0
    total = {"w1": np.zeros_like(w1), "b1": np.zeros_like(b1), "w2": np.zeros_like(w2), "b2": np.zeros_like(b2)}
    for sample, goal in zip(x, onehot, strict=True):
        hidden = np.tanh(sample @ w1 + b1)
        e = np.exp(hidden @ w2 + b2)
        p = e / e.sum()
        loss -= np.log(p[goal == 1][0]) / n
        top = (p - goal) / (onehot.size if wrong == "divided_by_classes_too" else n)
        back = top @ w2 if wrong == "weight_not_transposed" else w2 @ top
        back *= 1 - np.tanh(hidden) ** 2 if wrong == "tanh_of_tanh" else 1 - hidden**2
        if wrong == "last_sample_only":
            total["w2"] = np.outer(hidden, top)
        else:
            total["w2"] += np.outer(hidden, top)
        total["b2"] += top
        total["w1"] += np.outer(sample, back)
        total["b1"] += back
    return loss, total


def classifier_torch(x, onehot, w1, b1, w2, b2):
    return F.cross_entropy(torch.tanh(x @ w1 + b1) @ w2 + b2, onehot)


# -- data -------------------------------------------------------------------------------------------------------------

_rng = np.random.default_rng(90210)


def _normal(*shape):
    return _rng.standard_normal(shape)


def _onehot(rows, classes):
    return np.eye(classes)[_rng.permutation(np.arange(rows) % classes)]


SQUARES = {"features": _normal(11, 4), "targets": _normal(11, 2), "coef": _normal(4, 2), "intercept": _normal(2)}
DESIGN = {"design": np.hstack([np.ones((13, 1)), _normal(13, 5)]), "y": _normal(13), "theta": _normal(6)}
SIGNED = {"x": _normal(10, 3), "label": np.sign(_normal(10)), "w": _normal(3), "b": _normal(1)}
BINARY = {"x": _normal(12, 4), "t": (_normal(12, 1) > 0).astype(float), "w": _normal(4, 1), "b": _normal(1)}
COLUMNS = {"x": _normal(5, 14), "onehot": _onehot(14, 3).T.copy(), "w": _normal(3, 5)}
DENSE = {"x": _normal(9, 5), "y": _normal(9, 2)} | {
    "w1": 0.6 * _normal(5, 7), "b1": 0.2 * _normal(7), "w2": 0.6 * _normal(7, 2), "b2": 0.2 * _normal(2)
}  # fmt: skip
LABELLED = {"x": _normal(7, 6), "onehot": _onehot(7, 4)} | {
    "w1": 0.5 * _normal(6, 4), "b1": 0.2 * _normal(4), "w2": 0.8 * _normal(4, 4), "b2": 0.2 * _normal(4)
}  # fmt: skip


# -- cases ------------------------------------------------------------------------------------------------------------

CASES = [
    *Topic("squares", "gradients", least_squares, least_squares_torch, SQUARES).cases(
        [
            ("columns_for_rows", "the gradients are divided by the columns of x", {"wrong denominator", "constant factor"}),
            ("axis_kept", "the intercept's gradient is of shape (1, 2), not (2,)", {"another shape"}),
            ("intercept_left_out_in_the_gradient", "the error in the gradient is taken without the intercept",
             {"missing term", "left out", "forward and backward disagree"}),
        ]
    ),
    *Topic("theta", "gradients", ridge_theta, ridge_theta_torch, DESIGN).cases(
        [
            ("intercept_shrunk", "the gradient penalises the intercept too", {"penalty on the bias"}),
            ("penalty_not_averaged", "the penalty's gradient is not divided by the rows",
             {"penalty scaled", "sum instead of mean"}),
            ("penalty_subtracted", "the penalty's gradient has the wrong sign", {"sign", "penalty scaled"}),
        ]
    ),
    *Topic("signed_logistic", "gradients", signed_logistic, signed_logistic_torch, SIGNED).cases(
        [
            ("probability_of_the_right_label", "the slope is -sigmoid(margin) in place of -sigmoid(-margin)",
             {"wrong derivative", "derivative of the wrong variable"}),
            ("label_left_out", "the derivative of the margin, the label, is left out",
             {"derivative left out", "wrong derivative"}),
        ]
    ),
    *Topic("weighted_logistic", "gradients", weighted_logistic, weighted_logistic_torch, BINARY).cases(
        [
            ("positive_weight_left_out", "the weight of the positive class is left out of the gradient", {"class weights"}),
            ("sigmoid_derivative_again", "p - t is multiplied by p (1 - p) once more",
             {"wrong derivative", "derivative of the wrong variable", "doubled term"}),
        ]
    ),
    *Topic("softmax_columns", "gradients", softmax_columns, softmax_columns_torch, COLUMNS).cases(
        [
            ("normalised_over_samples", "the gradient's softmax runs over the samples", {"wrong axis"}),
            ("smoothing_only_in_the_loss", "the gradient takes the labels unsmoothed",
             {"missing term", "left out", "forward and backward disagree"}),
        ]
    ),
    *Topic("leaky", "gradients", leaky_network, leaky_network_torch, DENSE).cases(
        [
            ("sign_of_the_gradient", "the ReLU's derivative asks for the sign of the gradient, not of z",
             {"derivative of the wrong variable", "wrong derivative"}),
            ("other_slope", "the backward slope is 0.01, the forward's 0.1",
             {"wrong derivative", "forward and backward disagree"}),
            ("before_the_activation", "w2's gradient takes z in place of the activation of z", {"wrong operand"}),
            ("bias_skips_the_activation", "b1's gradient lacks the derivative of the activation", {"derivative left out"}),
        ]
    ),
    *Topic("classifier", "gradients", classifier, classifier_torch, LABELLED).cases(
        [
            ("divided_by_classes_too", "divided by rows times classes in place of rows",
             {"wrong denominator", "divided twice", "constant factor", "mean instead of sum"}),
            ("weight_not_transposed", "the gradient goes back through w2 the wrong way round", {"transposed"}),
            ("tanh_of_tanh", "the derivative of tanh is taken at its output",
             {"derivative of the wrong variable", "wrong derivative"}),
            ("last_sample_only", "w2's gradient is assigned in the loop over samples, not added",
             {"overwritten instead of added"}),
        ]
    ),
]  # fmt: skip
