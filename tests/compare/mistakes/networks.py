"""Small networks with the backward pass written out in NumPy, each with the mistakes people make."""

import numpy as np
import torch
import torch.nn.functional as F

from .cases import Topic

__all__ = ["CASES"]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# -- tanh hidden layer, sigmoid output, binary cross-entropy ----------------------------------------------------------


def tanh_bce(x, y, w1, b1, w2, b2, wrong=""):
    rows = len(x)
    z1 = x @ w1.T + b1
    h = np.tanh(z1)
    p = sigmoid(h @ w2.T + b2)
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))

    dz2 = (p - y) / rows
    dw2 = dz2.T @ (z1 if wrong == "output_weight_uses_z" else h)
    db2 = dz2.sum(axis=0)
    dh = dz2 * w2
    if wrong == "tanh_of_z":
        dz1 = dh * (1 - z1**2)
    elif wrong == "tanh_forgotten":
        dz1 = dh
    elif wrong == "tanh_not_squared":
        dz1 = dh * (1 - h)
    elif wrong == "sigmoid_for_tanh":
        dz1 = dh * h * (1 - h)
    elif wrong == "tanh_of_h":
        dz1 = dh * (1 - np.tanh(h) ** 2)
    else:
        dz1 = dh * (1 - h**2)
    dw1 = dz1.T @ x
    db1 = (dh if wrong == "hidden_bias_before_tanh" else dz1).sum(axis=0)
    if wrong == "hidden_divided_again":
        dw1, db1 = dw1 / rows, db1 / rows
    return loss, {"w1": dw1, "b1": db1, "w2": dw2, "b2": db2}


def tanh_bce_torch(x, y, w1, b1, w2, b2):
    return F.binary_cross_entropy(torch.sigmoid(F.linear(torch.tanh(F.linear(x, w1, b1)), w2, b2)), y)


# -- ReLU hidden layer, mean squared error ----------------------------------------------------------------------------


def relu_mse(x, y, w1, b1, w2, b2, wrong=""):
    z1 = x @ w1 + b1
    h = np.maximum(z1, 0)
    prediction = h @ w2 + b2
    loss = np.mean((prediction - y) ** 2)

    delta = 2 * (prediction - y) / y.size
    dw2 = h.T @ delta
    db2 = delta.sum(axis=0)
    dh = delta @ w2.T
    if wrong == "relu_of_the_gradient":
        dz1 = dh * (dh > 0)
    elif wrong == "relu_forgotten":
        dz1 = dh
    elif wrong == "leaky_backward":
        dz1 = np.where(z1 > 0, dh, 0.01 * dh)
    elif wrong == "mask_for_gradient":
        dz1 = (z1 > 0) * 1.0
    elif wrong == "mask_without_bias":
        dz1 = dh * (x @ w1 > 0)
    else:
        dz1 = dh * (z1 > 0)
    dw1 = x.T @ dz1
    db1 = dz1.mean(axis=0) if wrong == "hidden_bias_mean" else dz1.sum(axis=0)
    return loss, {"w1": dw1, "b1": db1, "w2": dw2, "b2": db2}


def relu_mse_torch(x, y, w1, b1, w2, b2):
    return F.mse_loss(torch.relu(x @ w1 + b1) @ w2 + b2, y)


# -- two sigmoid layers, mean squared error: the network of the first tutorials ---------------------------------------


def sigmoid_derivative(value):
    return sigmoid(value) * (1 - sigmoid(value))


def sigmoid_mse(x, y, w1, b1, w2, b2, wrong=""):
    z1 = x @ w1 + b1
    a1 = sigmoid(z1)
    z2 = a1 @ w2 + b2
    a2 = sigmoid(z2)
    loss = np.mean((a2 - y) ** 2)

    delta2 = 2 * (a2 - y) / y.size
    if wrong == "derivative_of_the_activation":
        delta2 = delta2 * sigmoid_derivative(a2)
    elif wrong != "output_sigmoid_forgotten":
        delta2 = delta2 * sigmoid_derivative(z2)
    hidden = delta2 @ w2.T
    delta1 = hidden * sigmoid_derivative(a1 if wrong == "hidden_derivative_of_the_activation" else z1)
    return loss, {"w1": x.T @ delta1, "b1": delta1.sum(axis=0), "w2": a1.T @ delta2, "b2": delta2.sum(axis=0)}


def sigmoid_mse_torch(x, y, w1, b1, w2, b2):
    return F.mse_loss(torch.sigmoid(torch.sigmoid(x @ w1 + b1) @ w2 + b2), y)


# -- three layers, the hidden one square, with a skip connection around it ---------------------------------------------


def residual_network(x, y, w1, w2, w3, wrong=""):
    h1 = np.tanh(x @ w1)
    f = np.tanh(h1 @ w2)
    h2 = h1 + f
    prediction = h2 @ w3
    loss = np.mean((prediction - y) ** 2)

    delta = 2 * (prediction - y) / y.size
    dw3 = (f if wrong == "output_weight_uses_branch" else h2).T @ delta
    dh2 = delta @ w3.T
    dz2 = dh2 * (1 - f**2)
    dw2 = dz2.T @ h1 if wrong == "square_gradient_transposed" else h1.T @ dz2
    dh1 = dz2 @ (w2 if wrong == "square_weight_not_transposed" else w2.T)
    if wrong != "skip_forgotten":
        dh1 = dh1 + dh2
    if wrong == "skip_twice":
        dh1 = dh1 + dh2
    return loss, {"w1": x.T @ (dh1 * (1 - h1**2)), "w2": dw2, "w3": dw3}


def residual_network_torch(x, y, w1, w2, w3):
    h1 = torch.tanh(x @ w1)
    return F.mse_loss((h1 + torch.tanh(h1 @ w2)) @ w3, y)


# -- an autoencoder whose decoder is its encoder, transposed ----------------------------------------------------------


def tied_autoencoder(x, w, b, c, wrong=""):
    code = np.tanh(x @ w + b)
    restored = code @ w.T + c
    loss = np.mean((restored - x) ** 2)
    delta = 2 * (restored - x) / x.size
    dz = (delta @ w) * (1 - code**2)
    dw = x.T @ dz
    if wrong == "decoder_only":
        dw = delta.T @ code
    elif wrong != "encoder_only":
        dw = dw + delta.T @ code
    return loss, {"w": dw, "b": dz.sum(axis=0), "c": delta.sum(axis=0), "x": dz @ w.T - delta}


def tied_autoencoder_torch(x, w, b, c):
    return F.mse_loss(torch.tanh(x @ w + b) @ w.T + c, x)


# -- data -------------------------------------------------------------------------------------------------------------

_random = np.random.default_rng(5002)
X = _random.normal(size=(7, 5)) + 0.2


def _normal(*shape, scale=0.7):
    return scale * _random.normal(size=shape)


TANH = {
    "x": X,
    "y": np.array([[1.0], [0], [1], [1], [0], [0], [1]]),
    "w1": _normal(4, 5),
    "b1": _normal(4),
    "w2": _normal(1, 4),
    "b2": _normal(1),
}
TWO_LAYERS = {"x": X, "y": _normal(7, 3), "w1": _normal(5, 4), "b1": _normal(4), "w2": _normal(4, 3), "b2": _normal(3)}
SQUARE = {"x": X, "y": _normal(7, 3), "w1": _normal(5, 4), "w2": _normal(4, 4), "w3": _normal(4, 3)}
TIED = {"x": X, "w": _normal(5, 3), "b": _normal(3), "c": _normal(5)}

# -- cases ------------------------------------------------------------------------------------------------------------

CASES = [
    *Topic("tanh_bce", "gradients", tanh_bce, tanh_bce_torch, TANH).cases(
        [
            ("tanh_of_z", "1 - z^2 in place of 1 - tanh(z)^2", {"derivative of the wrong variable"}),
            ("tanh_forgotten", "the derivative of tanh is left out", {"derivative left out"}),
            ("tanh_not_squared", "1 - tanh(z) in place of 1 - tanh(z)^2", {"wrong derivative"}),
            ("sigmoid_for_tanh", "h (1 - h), the derivative of the sigmoid, stands for that of tanh", {"wrong derivative"}),
            ("tanh_of_h", "the derivative of tanh is taken at h, which is already the tanh", {"derivative of the wrong variable", "applied twice"}),
            ("output_weight_uses_z", "the output weight's gradient uses the hidden layer before its tanh", {"wrong operand"}),
            ("hidden_bias_before_tanh", "the hidden bias's gradient sums what arrives before the derivative of tanh", {"derivative left out"}),
            ("hidden_divided_again", "the hidden layer's gradients are divided by the rows a second time", {"divided twice"}),
        ]
    ),
    *Topic("relu_mse", "gradients", relu_mse, relu_mse_torch, TWO_LAYERS).cases(
        [
            ("relu_of_the_gradient", "the mask asks whether the gradient is positive, not the input", {"derivative of the wrong variable", "forward and backward disagree"}),
            ("relu_forgotten", "the derivative of ReLU is left out", {"derivative left out"}),
            ("leaky_backward", "backward is that of a leaky ReLU, forward is not", {"wrong derivative", "forward and backward disagree"}),
            ("mask_for_gradient", "the hidden delta is the ReLU's mask, what arrives is not multiplied on", {"incoming gradient left out"}),
            ("mask_without_bias", "the mask is computed again without the bias", {"forward and backward disagree", "derivative of the wrong variable"}),
            ("hidden_bias_mean", "the hidden bias's gradient is averaged over the rows", {"mean instead of sum", "divided twice"}),
        ]
    ),
    *Topic("sigmoid_mse", "gradients", sigmoid_mse, sigmoid_mse_torch, TWO_LAYERS).cases(
        [
            ("output_sigmoid_forgotten", "the output's derivative of the sigmoid is left out", {"derivative left out"}),
            ("derivative_of_the_activation", "the output's derivative is called with the activation", {"derivative of the wrong variable", "applied twice"}),
            ("hidden_derivative_of_the_activation", "the hidden derivative is called with the activation", {"derivative of the wrong variable", "applied twice"}),
        ]
    ),
    *Topic("residual", "gradients", residual_network, residual_network_torch, SQUARE).cases(
        [
            ("skip_forgotten", "the gradient through the skip connection is left out", {"missing term", "overwritten instead of added", "detached"}),
            ("skip_twice", "the gradient through the skip connection is added twice", {"doubled term"}),
            ("square_weight_not_transposed", "the square weight is not transposed on the way back", {"transposed"}),
            ("square_gradient_transposed", "the square weight's gradient has its two factors exchanged", {"transposed"}),
            ("output_weight_uses_branch", "the output weight's gradient uses the branch without the skip", {"wrong operand", "missing term"}),
        ]
    ),
    *Topic("tied", "gradients", tied_autoencoder, tied_autoencoder_torch, TIED).cases(
        [
            ("decoder_only", "the decoder's share of the tied weight's gradient replaces the encoder's", {"overwritten instead of added", "missing term"}),
            ("encoder_only", "the decoder's share of the tied weight's gradient is left out", {"overwritten instead of added", "missing term"}),
        ]
    ),
]  # fmt: skip
