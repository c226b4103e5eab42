"""A stand-in for layer normalisation until that family is there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual.nn import init
from manual.nn.module import Module, Parameter
from manual.rules.core import Array, Gradients, Needs, Pullback, unbroadcast
from manual.tensor import DEFAULT_DTYPE, Tensor, apply

__all__ = ["LayerNorm"]


def layer_norm(
    input: Any, weight: Any = None, bias: Any = None, *, normalized_shape: tuple[int, ...], eps: float = 1e-5
) -> tuple[Array, Pullback]:
    """Shift and scale each sample to mean 0 and variance 1, then by a weight and a bias.

    Forward: ``h = (x - mean) / sqrt(var + eps)`` with the biased variance, ``y = w h + b``. Backward: with ``d = w g``,
    ``dL/dx = (d - mean(d) - h mean(d h)) / sqrt(var + eps)``.
    """
    axes = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    count = math.prod(normalized_shape)
    normed = input - input.sum(axis=axes, keepdims=True) / count
    inverse = 1 / np.sqrt((normed * normed).sum(axis=axes, keepdims=True) / count + eps)
    normed *= inverse
    value = normed.copy() if weight is None else normed * weight
    if bias is not None:
        value += bias

    def layer_norm_pullback(incoming: Array, needs: Needs) -> Gradients:
        to_input = None
        if needs[0]:
            scaled = incoming if weight is None else incoming * weight
            to_input = scaled - scaled.sum(axis=axes, keepdims=True) / count
            to_input -= normed * ((scaled * normed).sum(axis=axes, keepdims=True) / count)
            to_input *= inverse
        to_weight = unbroadcast(incoming * normed, normalized_shape) if True in needs[1:2] else None
        to_bias = unbroadcast(incoming, normalized_shape) if True in needs[2:3] else None
        return (to_input, to_weight, to_bias)[: len(needs)]

    return value, layer_norm_pullback


class LayerNorm(Module):
    """Layer normalisation over the last axes."""

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        for name, wanted in (("weight", True), ("bias", bias)):
            made = np.empty(self.normalized_shape, dtype or DEFAULT_DTYPE)
            self.register_parameter(name, Parameter(made) if elementwise_affine and wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = apply(
            layer_norm, input, self.weight, self.bias, normalized_shape=self.normalized_shape, eps=self.eps
        )
        return result

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )
