"""Linear maps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual import rules
from manual.nn import init
from manual.nn.lazy import LazyModuleMixin, UninitializedParameter
from manual.nn.module import Module, Parameter
from manual.tensor import DEFAULT_DTYPE, Tensor, apply

__all__ = ["Bilinear", "Identity", "LazyLinear", "Linear"]


class Identity(Module):
    """Returns its input; takes any arguments and ignores them.

    Shapes: output as the input, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([1.0, 2.0])
    >>> nn.Identity(54, unused=True)(x) is x
    True
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """``y = x W^T + b``.

    Shapes: input ``(*, in_features)``, ``weight (out_features, in_features)``, ``bias (out_features,)``, output
    ``(*, out_features)``. Both start uniform in ``+-1/sqrt(in_features)``.

    Raises
    ------
    RuntimeError
        When it is called, if the last axis is not ``in_features`` long, or the dtypes differ.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> _ = layer.load_state_dict({"weight": tensor([[2.0, -1.0]]), "bias": tensor([0.5])})
    >>> x = tensor([[1.0, 3.0], [0.0, 1.0]], requires_grad=True)
    >>> y = layer(x)
    >>> y
    Tensor([[-0.5],
            [-0.5]], requires_grad=True)
    >>> y.backward(tensor([[1.0], [10.0]]))
    >>> x.grad
    array([[  2.,  -1.],
           [ 20., -10.]], dtype=float32)
    >>> layer.weight.grad
    array([[ 1., 13.]], dtype=float32)
    >>> layer.bias.grad
    array([11.], dtype=float32)
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
        """Draw weight and bias anew, as at the start."""
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


class LazyLinear(LazyModuleMixin, Linear):
    """A :class:`Linear` that takes ``in_features`` from the last axis of its first input, and then is one.

    Shapes: those of :class:`Linear`.

    Raises
    ------
    AssertionError
        When it is called, if a ``state_dict`` has brought a weight for inputs of another length.

    Examples
    --------
    >>> layer = nn.LazyLinear(3)
    >>> _ = layer(tensor([[1.0, 2.0]]))
    >>> layer
    Linear(in_features=2, out_features=3, bias=True)
    """

    cls_to_become = Linear
    weight: Any
    bias: Any

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(0, 0, False)
        self.out_features = out_features
        self.weight = UninitializedParameter(dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, where they have a shape."""
        if self.in_features and not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, input: Any) -> None:
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            self.weight.materialize((self.out_features, self.in_features))
            if self.bias is not None:
                self.bias.materialize((self.out_features,))
            self.reset_parameters()
        if not self.in_features:  # a state_dict brought the shapes
            self.in_features = input.shape[-1]
            if self.in_features != self.weight.shape[-1]:
                raise AssertionError(
                    f"The in_features inferred from input: {self.in_features} is not equal to in_features from "
                    f"self.weight: {self.weight.shape[-1]}"
                )


class Bilinear(Module):
    """``y_o = x1^T W_o x2 + b_o``: every output weighs all products of a feature of one input and one of the other.

    Shapes: inputs ``(*, in1_features)`` and ``(*, in2_features)``, ``weight (out_features, in1_features,
    in2_features)``, ``bias (out_features,)``, output ``(*, out_features)``. Both start uniform in
    ``+-1/sqrt(in1_features)``.

    Raises
    ------
    ValueError
        If ``in1_features`` is not positive.
    RuntimeError
        When it is called, if a shape does not fit.

    Examples
    --------
    >>> layer = nn.Bilinear(2, 2, 1, bias=False)
    >>> _ = layer.load_state_dict({"weight": tensor([[[1.0, 0.0], [0.0, -1.0]]])})
    >>> x = tensor([[3.0, 2.0]], requires_grad=True)
    >>> y = layer(x, tensor([[4.0, 5.0]]))
    >>> y
    Tensor([[2.]], requires_grad=True)
    >>> y.backward(tensor([[10.0]]))
    >>> x.grad
    array([[ 40., -50.]], dtype=float32)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"in1_features must be > 0, but got (in1_features={in1_features})")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = Parameter(np.empty((out_features, in1_features, in2_features), dtype or DEFAULT_DTYPE))
        if bias:
            self.bias = Parameter(np.empty(out_features, dtype or DEFAULT_DTYPE))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, as at the start."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        parameters = self._parameters
        result: Tensor = apply(rules.bilinear, input1, input2, parameters["weight"], parameters["bias"])
        return result

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )
