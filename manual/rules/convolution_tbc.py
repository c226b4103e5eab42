"""Convolution over time of sequences whose channels come last: time, batch, channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.rules.core import Array, Gradients, Needs, Pullback, contraction

__all__ = ["conv_tbc"]


@contraction
def conv_tbc(x: Any, weight: Any, bias: Any, *, pad: int = 0) -> tuple[Array, Pullback]:
    """Convolve sequences over time, one product of matrices for each tap of the kernel.

    Shapes: ``x`` ``(T, N, C)``, ``weight`` ``(K, C, O)``, ``bias`` ``(O,)``, the value ``(T + 2 pad - K + 1, N, O)``.

    Forward: ``y_t = b + Σ_k x_(t + k - pad) W_k``, where steps before the first and after the last are 0.

    Backward: ``x_s`` acts on ``y_(s - k + pad)`` through ``W_k``, so its gradient is ``Σ_k g_(s - k + pad) W_kᵀ``; that
    of ``W_k`` is ``Σ_t x_(t + k - pad)ᵀ g_t``, summed over the batch too, and that of the bias ``Σ_t,n g``.

    Convention: the kernel is not flipped (a cross-correlation), as in every convolution of torch.

    Raises
    ------
    RuntimeError
        If shapes do not fit each other, with torch's messages.

    Examples
    --------
    >>> steps, kernel = np.array([[[1.0]], [[3.0]], [[2.0]]]), np.array([[[2.0]], [[-1.0]]])
    >>> value, pullback = rules.conv_tbc(steps, kernel, np.array([0.5]))
    >>> value[:, 0]
    array([[-0.5],
           [ 4.5]])
    >>> pullback(np.array([[[5.0]], [[7.0]]]), (True, True, True))[0][:, 0]
    array([[10.],
           [ 9.],
           [-7.]])
    """
    steps = _check(x, weight, bias, pad)
    padded = np.pad(x, ((pad, pad), (0, 0), (0, 0)))
    taps = range(len(weight))
    value = np.empty((steps, x.shape[1], weight.shape[2]), x.dtype)
    value[...] = bias
    for k in taps:
        value += padded[k : k + steps] @ weight[k]

    def conv_tbc_pullback(incoming: Array, needs: Needs) -> Gradients:
        image = kernel = None
        if needs[0]:
            image = np.zeros_like(padded)
            for k in taps:
                image[k : k + steps] += incoming @ weight[k].T
            image = image[pad : len(image) - pad]
        if needs[1]:
            kernel = np.empty(weight.shape, weight.dtype)
            flat = incoming.reshape(-1, weight.shape[2])
            for k in taps:
                np.matmul(padded[k : k + steps].reshape(len(flat), weight.shape[1]).T, flat, out=kernel[k])
        return image, kernel, incoming.sum(axis=(0, 1)) if needs[2] else None

    return value, conv_tbc_pullback


def _check(x: Array, weight: Array, bias: Array, pad: int) -> int:
    """The number of steps of the value."""
    if x.ndim != 3:
        raise RuntimeError("Input must have 3 dims: time, batch, in_channel")
    if weight.ndim != 3:
        raise RuntimeError("Weight tensor must have 3 dims: kernel_width, in_channels, out_channels.")
    if bias.ndim != 1:
        raise RuntimeError("Bias must be 1-D")
    if x.shape[2] != weight.shape[1]:
        raise RuntimeError("Input dim 2 (input channels) is not == dim 1 in the weight tensor")
    if weight.shape[2] != len(bias):
        raise RuntimeError("Bias size must equal dim 2 in the weight tensor (output channels).")
    steps = int(len(x) + 2 * pad - len(weight) + 1)
    if pad < 0:
        raise RuntimeError(f"negative padding is not supported, but got pad={pad}")
    if steps < 0:
        shape = [steps, x.shape[1], weight.shape[2]]
        raise RuntimeError(f"Trying to create tensor with negative dimension {steps}: {shape}")
    return steps
