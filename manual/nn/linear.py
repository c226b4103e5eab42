"""Linear maps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual import rules
from manual.nn import init
from manual.nn.module import Module, Parameter
from manual.tensor import DEFAULT_DTYPE, Tensor, apply

__all__ = ["Identity", "Linear"]


class Identity(Module):
    """Returns its input; takes any arguments and ignores them."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """``y = x W^T + b``.

    Shapes: input ``(*, in_features)``, ``weight (out_features, in_features)``, ``bias (out_features,)``, output
    ``(*, out_features)``. Both start uniform in ``+-1/sqrt(in_features)``.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(np.empty((out_features, in_features), dtype or DEFAULT_DTYPE))
        if bias:
            self.bias = Parameter(np.empty(out_features, dtype or DEFAULT_DTYPE))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        parameters = self._parameters
        result: Tensor = apply(rules.linear, input, parameters["weight"], parameters["bias"])
        return result

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
