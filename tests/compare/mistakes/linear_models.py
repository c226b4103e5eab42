"""Linear, ridge, logistic and softmax regression as a user writes them in NumPy, each with the mistakes people make."""

import numpy as np
import torch.nn.functional as F

from .cases import Topic

__all__ = ["CASES"]

RIDGE = 0.3


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# -- linear regression, one output ------------------------------------------------------------------------------------


def linear_regression(x, y, w, b, wrong=""):
    rows = len(y)
    prediction = x @ w + b
    residual = y - prediction if wrong == "sign" else prediction - y
    loss = np.mean(residual**2)
    if wrong == "no_mean":
        grad_w = 2 * x.T @ residual
    elif wrong == "two_lost":
        grad_w = x.T @ residual / rows
    elif wrong == "target_forgotten":
        grad_w = 2 * x.T @ prediction / rows
    else:
        grad_w = 2 * x.T @ residual / rows
    grad_b = 2 / rows * residual if wrong == "bias_not_summed" else 2 / rows * residual.sum(keepdims=True)
    if wrong == "bias_no_mean":
        grad_b = 2 * residual.sum(keepdims=True)
    return loss, {"w": grad_w, "b": grad_b}


def linear_regression_torch(x, y, w, b):
    return ((x @ w + b - y) ** 2).mean()


# -- linear regression, several outputs -------------------------------------------------------------------------------


def multi_output(x, y, w, b, wrong=""):
    prediction = x @ w.T + b
    residual = prediction - y
    loss = np.mean(residual**2) / 2 if wrong == "half_in_the_loss" else np.mean(residual**2)
    delta = 2 * residual / (len(y) if wrong == "rows_for_elements" else y.size)
    grad_w = x.T @ delta if wrong == "weight_layout" else delta.T @ x
    grad_b = delta.sum() if wrong == "bias_summed_over_all" else delta.sum(axis=0)
    return loss, {"w": grad_w, "b": grad_b}


def multi_output_torch(x, y, w, b):
    return F.mse_loss(F.linear(x, w, b), y)


# -- ridge regression -------------------------------------------------------------------------------------------------


def ridge(x, y, w, b, wrong=""):
    rows = len(y)
    residual = x @ w + b - y
    loss = np.mean(residual**2) + RIDGE * np.sum(w**2)
    if wrong == "bias_in_loss_and_gradient":
        loss = loss + RIDGE * np.sum(b**2)
    grad_w = 2 / rows * (x.T @ residual)
    grad_b = 2 / rows * residual.sum(keepdims=True)
    if wrong == "penalty_forgotten":
        pass
    elif wrong == "penalty_half":
        grad_w += RIDGE * w
    elif wrong == "penalty_by_rows":
        grad_w += 2 * RIDGE * w / rows
    elif wrong == "penalty_subtracted":
        grad_w -= 2 * RIDGE * w
    elif wrong == "penalty_l1":
        grad_w += RIDGE * np.sign(w)
    elif wrong == "penalty_squared":
        grad_w += 2 * RIDGE * w**2
    else:
        grad_w += 2 * RIDGE * w
    if wrong in ("bias_gradient", "bias_in_loss_and_gradient"):
        grad_b += 2 * RIDGE * b
    return loss, {"w": grad_w, "b": grad_b}


def ridge_torch(x, y, w, b):
    return F.mse_loss(x @ w + b, y) + RIDGE * (w**2).sum()


# -- logistic regression ----------------------------------------------------------------------------------------------


def logistic(x, y, w, b, wrong=""):
    rows = len(y)
    z = x @ w if wrong == "bias_forgotten" else x @ w + b
    p = sigmoid(z).astype(np.float32) if wrong == "float32_inside" else sigmoid(z)
    if wrong == "log10":
        loss = -np.mean(y * np.log10(p) + (1 - y) * np.log10(1 - p))
    elif wrong == "log_with_eps":
        loss = -np.mean(y * np.log(p + 1e-7) + (1 - y) * np.log(1 - p + 1e-7))
    elif wrong == "negative_class_forgotten":
        loss = -np.mean(y * np.log(p))
    else:
        loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    if wrong == "sign":
        delta = (y - p) / rows
    elif wrong == "sigmoid_again":
        delta = (p - y) * p * (1 - p) / rows
    elif wrong == "sigmoid_forgotten":
        delta = ((1 - y) / (1 - p) - y / p) / rows
    elif wrong == "hard_prediction":
        delta = ((p > 0.5) - y) / rows
    elif wrong == "no_mean":
        delta = p - y
    else:
        delta = (p - y) / rows
    return loss, {"w": (x.T @ delta).astype(w.dtype), "b": delta.sum(keepdims=True).astype(b.dtype)}


def logistic_torch(x, y, w, b):
    return F.binary_cross_entropy_with_logits(x @ w + b, y)


# -- softmax regression -----------------------------------------------------------------------------------------------


def softmax_regression(x, y, w, b, wrong=""):
    rows = len(y)
    z = x @ w + b
    axis = 0 if wrong == "softmax_over_rows" else 1
    shifted = z - z.max(axis=axis, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(axis=axis, keepdims=True)
    loss = -np.log(p[np.arange(rows), y]).mean()
    target = np.eye(len(b))[y - 1 if wrong == "labels_from_one" else y]
    if wrong == "target_forgotten":
        delta = p / rows
    elif wrong == "mean_over_classes":
        delta = (p - target) / p.size
    elif wrong == "diagonal_jacobian":
        delta = -target / p * p * (1 - p) / rows
    else:
        delta = (p - target) / rows
    grad_b = delta.mean(axis=0) if wrong == "bias_mean" else delta.sum(axis=0)
    return loss, {"w": x.T @ delta, "b": grad_b}


def softmax_without_shift(x, y, w, b, wrong=""):
    rows = len(y)
    z = x @ w + b
    if wrong != "overflow":
        z = z - z.max(axis=1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    loss = np.mean(-np.log(p[np.arange(rows), y]))
    delta = p.copy()
    delta[np.arange(rows), y] -= 1
    delta /= rows
    return loss, {"w": x.T @ delta, "b": delta.sum(axis=0)}


def softmax_torch(x, y, w, b):
    return F.cross_entropy(x @ w + b, y)


# -- data -------------------------------------------------------------------------------------------------------------

_random = np.random.default_rng(5001)
X = _random.normal(size=(7, 5)) * np.array([1.0, 0.4, 2.0, 1.3, 0.8]) + 0.3
SINGLE = {"x": X, "y": _random.normal(size=7), "w": _random.normal(size=5), "b": _random.normal(size=1)}
SEVERAL = {"x": X, "y": _random.normal(size=(7, 3)), "w": _random.normal(size=(3, 5)), "b": _random.normal(size=3)}
BINARY = {**SINGLE, "y": np.array([1.0, 0, 0, 1, 1, 0, 1]), "w": 0.6 * _random.normal(size=5)}
CLASSES = {
    "x": X,
    "y": np.array([2, 0, 1, 1, 2, 1, 0]),
    "w": 0.7 * _random.normal(size=(5, 3)),
    "b": _random.normal(size=3),
}
# One row of large numbers, whose largest logit is beyond what exp can hold, and whose own class is the likeliest.
LARGE = {**CLASSES, "x": np.concatenate([X[:6], 2550 * np.abs(X[6:])])}
LARGE["y"] = np.concatenate([CLASSES["y"][:6], (LARGE["x"] @ CLASSES["w"] + CLASSES["b"])[6:].argmax(axis=1)])

# -- cases ------------------------------------------------------------------------------------------------------------

CASES = [
    *Topic("linear", "gradients", linear_regression, linear_regression_torch, SINGLE).cases(
        [
            ("sign", "the residual is taken as target minus prediction, the gradient keeps its plus", {"sign"}),
            ("no_mean", "the weights' gradient is not divided by the rows", {"sum instead of mean"}),
            ("two_lost", "the 2 of the square is lost in the weights' gradient", {"constant factor"}),
            ("target_forgotten", "the gradient is taken of the prediction, the target is never subtracted", {"missing term", "wrong operand"}),
            ("bias_not_summed", "the bias gradient is not summed over the rows", {"broadcasting not summed", "another shape"}),
            ("bias_no_mean", "only the bias gradient is not divided by the rows", {"sum instead of mean"}),
        ]
    ),
    *Topic("multi_output", "gradients", multi_output, multi_output_torch, SEVERAL).cases(
        [
            ("half_in_the_loss", "the loss is the course's half of the mean square", {"constant factor"}),
            ("rows_for_elements", "the gradient divides by the rows, the loss by all elements", {"wrong denominator"}),
            ("weight_layout", "the weight gradient is (inputs, outputs), the weight is (outputs, inputs)", {"transposed", "another shape"}),
            ("bias_summed_over_all", "the bias gradient is summed over the outputs too", {"wrong axis", "another shape"}),
        ]
    ),
    *Topic("ridge", "gradients", ridge, ridge_torch, SINGLE).cases(
        [
            ("penalty_forgotten", "the loss has the penalty, the gradient has not", {"missing penalty"}),
            ("penalty_half", "the 2 of the squared weight is lost in the penalty's gradient", {"penalty scaled"}),
            ("penalty_by_rows", "the penalty's gradient is divided by the rows with the data's", {"penalty scaled"}),
            ("penalty_subtracted", "the penalty's gradient is subtracted", {"penalty scaled", "sign"}),
            ("penalty_l1", "the penalty's gradient is that of the absolute value", {"wrong derivative"}),
            ("penalty_squared", "the penalty's gradient keeps the square", {"wrong derivative"}),
            ("bias_gradient", "the penalty's gradient is added to the bias too", {"penalty on the bias"}),
            ("bias_in_loss_and_gradient", "loss and gradient both penalise the bias", {"penalty on the bias"}),
        ]
    ),
    *Topic("logistic", "gradients", logistic, logistic_torch, BINARY).cases(
        [
            ("sign", "target minus probability", {"sign"}),
            ("no_mean", "the gradient is not divided by the rows", {"sum instead of mean"}),
            ("sigmoid_again", "p (1 - p) is multiplied on although it has cancelled", {"wrong derivative", "derivative of the wrong variable"}),
            ("sigmoid_forgotten", "the gradient with respect to p is taken for that with respect to z", {"derivative left out"}),
            ("hard_prediction", "the gradient uses the predicted class in place of the probability", {"wrong function", "wrong derivative"}),
            ("bias_forgotten", "the bias is not added", {"left out", "missing term"}),
            ("log10", "the loss uses the decimal logarithm", {"constant factor", "wrong function"}),
            ("log_with_eps", "1e-7 is added inside the logarithms", {"approximation", "other eps"}),
            ("negative_class_forgotten", "the loss has no (1 - y) log(1 - p)", {"missing term"}),
            ("float32_inside", "the probabilities are cast to float32", {"lower precision"}),
        ]
    ),
    *Topic("softmax", "gradients", softmax_regression, softmax_torch, CLASSES).cases(
        [
            ("softmax_over_rows", "the softmax runs over the rows", {"wrong axis"}),
            ("labels_from_one", "the labels are taken to count from one in the gradient", {"permuted", "wrong operand"}),
            ("target_forgotten", "the target is not subtracted from the probabilities", {"missing term"}),
            ("mean_over_classes", "the gradient is divided by rows times classes", {"wrong denominator"}),
            ("diagonal_jacobian", "only the diagonal of the softmax's Jacobian is used", {"missing term", "wrong derivative"}),
            ("bias_mean", "the bias gradient is averaged although delta is already divided", {"divided twice", "mean instead of sum"}),
        ]
    ),
    *Topic("softmax_large", "gradients", softmax_without_shift, softmax_torch, LARGE).cases(
        [("overflow", "the largest logit is not subtracted before exp", {"non-finite", "unstable formula"})]
    ),
]  # fmt: skip
