"""Convolutions as a user writes them in NumPy (float32), loops and all, with the mistakes people make."""

import numpy as np
import torch
import torch.nn.functional as F

from .cases import Topic

__all__ = ["CASES"]


# -- one dimension, window by window ----------------------------------------------------------------------------------


def conv1d(x, w, b, y, wrong=""):
    n, _, length = x.shape
    out_channels, _, k = w.shape
    kernel = w[:, :, ::-1] if wrong == "kernel_flipped" else w
    z = np.zeros((n, out_channels, length - k + 1), dtype=x.dtype)
    for i in range(z.shape[2]):
        z[:, :, i] = np.einsum("nck,ock->no", x[:, :, i : i + k], kernel) + b
    loss = np.mean((z - y) ** 2)

    dz = 2 * (z - y) / y.size
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i in range(z.shape[2]):
        arriving = dz[:, :, i]
        window = np.einsum("no,ock->nck", arriving, w[:, :, ::-1] if wrong == "kernel_flipped_backward" else w)
        if wrong == "windows_overwritten":
            dx[:, :, i : i + k] = window
        else:
            dx[:, :, i : i + k] += window
        share = np.einsum("no,nck->ock", arriving, x[:, :, i : i + k])
        if wrong == "weight_overwritten":
            dw = share
        else:
            dw += share
    if wrong == "weight_gradient_flipped":
        dw = dw[:, :, ::-1]
    if wrong == "kernel_flipped":
        dw = dw[:, :, ::-1]
    if wrong == "bias_mean":
        db = dz.mean(axis=(0, 2))
    elif wrong == "bias_over_batch_only":
        db = dz.sum(axis=0)
    elif wrong == "bias_last_position":
        db = dz[:, :, -1].sum(axis=0)
    else:
        db = dz.sum(axis=(0, 2))
    return loss, {"x": dx, "w": dw, "b": db}


def conv1d_torch(x, w, b, y):
    return F.mse_loss(F.conv1d(x, w, b), y)


# -- two dimensions, padded, by columns of patches ---------------------------------------------------------------------


def conv2d_relu(x, w, b, y, wrong=""):
    n, channels, height, width = x.shape
    out_channels, _, k, _ = w.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge" if wrong == "padded_with_the_edge" else "constant")
    rows, columns = height + 3 - k, width + 3 - k
    patches = np.empty((n, channels, k, k, rows, columns), dtype=x.dtype)
    for i in range(k):
        for j in range(k):
            patches[:, :, i, j] = padded[:, :, i : i + rows, j : j + columns]
    columns_matrix = patches.reshape(n, channels * k * k, rows * columns)
    if wrong == "kernel_axes_swapped":
        flat = w.transpose(0, 1, 3, 2).reshape(out_channels, -1)
    elif wrong == "channels_last_kernel":
        flat = w.transpose(0, 2, 3, 1).reshape(out_channels, -1)
    else:
        flat = w.reshape(out_channels, -1)
    z = (flat @ columns_matrix).reshape(n, out_channels, rows, columns) + b[:, None, None]
    h = np.maximum(z, 0)
    loss = np.mean((h - y) ** 2)

    dh = 2 * (h - y) / y.size
    dz = dh if wrong == "relu_forgotten" else dh * (z > 0)
    matrix = dz.reshape(n, out_channels, -1)
    dflat = np.einsum("nop,ncp->oc", matrix, columns_matrix)
    if wrong == "kernel_axes_swapped":
        dw = dflat.reshape(w.shape).transpose(0, 1, 3, 2)
    elif wrong == "channels_last_kernel":
        dw = dflat.reshape(out_channels, k, k, channels).transpose(0, 3, 1, 2)
    elif wrong == "weight_gradient_reshaped":
        dw = np.einsum("nop,ncp->co", matrix, columns_matrix).reshape(w.shape)
    else:
        dw = dflat.reshape(w.shape)
    if wrong == "weight_mean_over_batch":
        dw = dw / n
    dpatches = (flat.T @ matrix).reshape(patches.shape)
    dpadded = np.zeros_like(padded)
    for i in range(k):
        for j in range(k):
            if wrong == "patches_overwritten":
                dpadded[:, :, i : i + rows, j : j + columns] = dpatches[:, :, i, j]
            else:
                dpadded[:, :, i : i + rows, j : j + columns] += dpatches[:, :, i, j]
    dx = dpadded[:, :, :height, :width] if wrong == "padding_cut_on_one_side" else dpadded[:, :, 1:-1, 1:-1]
    return loss, {"x": dx, "w": dw, "b": dz.sum(axis=(0, 2, 3))}


def conv2d_relu_torch(x, w, b, y):
    return F.mse_loss(torch.relu(F.conv2d(x, w, b, padding=1)), y)


# -- data -------------------------------------------------------------------------------------------------------------

_random = np.random.default_rng(5005)


def _normal(*shape):
    return _random.normal(size=shape).astype(np.float32)


LINE = {"x": _normal(2, 3, 9), "w": _normal(4, 3, 4), "b": _normal(4), "y": _normal(2, 4, 6)}
PLANE = {"x": _normal(2, 4, 6, 5), "w": _normal(3, 4, 3, 3), "b": _normal(3), "y": _normal(2, 3, 6, 5)}

# -- cases ------------------------------------------------------------------------------------------------------------

CASES = [
    *Topic("conv1d", "gradients", conv1d, conv1d_torch, LINE).cases(
        [
            ("kernel_flipped", "the kernel is flipped, as in the mathematical convolution", {"reversed"}),
            ("kernel_flipped_backward", "the input's gradient uses the kernel flipped", {"reversed"}),
            ("weight_gradient_flipped", "the weight's gradient is flipped", {"reversed"}),
            ("windows_overwritten", "overlapping windows assign the input's gradient", {"overwritten instead of added"}),
            ("weight_overwritten", "each window assigns the weight's gradient", {"overwritten instead of added"}),
            ("bias_mean", "the bias gradient is averaged over batch and positions", {"mean instead of sum", "divided twice"}),
            ("bias_over_batch_only", "the bias gradient is not summed over the positions", {"broadcasting not summed", "another shape"}),
            ("bias_last_position", "the bias gradient is that of the last position only", {"overwritten instead of added", "broadcasting not summed"}),
        ]
    ),
    *Topic("conv2d", "gradients", conv2d_relu, conv2d_relu_torch, PLANE).cases(
        [
            ("kernel_axes_swapped", "height and width of the kernel are exchanged", {"transposed", "permuted"}),
            ("channels_last_kernel", "the kernel is flattened with its channels last, the patches with theirs first", {"permuted"}),
            ("weight_gradient_reshaped", "the weight's gradient is reshaped where it must be transposed", {"permuted", "transposed"}),
            ("weight_mean_over_batch", "the weight's gradient is divided by the batch again", {"divided twice", "mean instead of sum"}),
            ("patches_overwritten", "overlapping patches assign the input's gradient", {"overwritten instead of added"}),
            ("relu_forgotten", "the derivative of ReLU is left out", {"derivative left out"}),
            ("padded_with_the_edge", "the border is padded with its own values", {"wrong function"}),
            ("padding_cut_on_one_side", "the padding of the gradient is cut off on one side only", {"other windows"}),
        ]
    ),
]  # fmt: skip
