"""Activations as modules. The formulas and their derivations are in :mod:`manual.rules`.

``inplace`` is accepted, as in torch, and has no effect on the numbers: no rule writes to its input.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from manual import rules
from manual.nn.functional import activation as functional
from manual.nn.module import Module, Parameter
from manual.tensor import DEFAULT_DTYPE, Tensor, apply

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


class _Activation(Module):
    """Applies one rule with the options that the constructor was given."""

    _rule: Any

    def __init__(self, **options: Any):
        super().__init__()
        self._options = tuple(name for name in options if name != "inplace")
        for name, value in options.items():
            setattr(self, name, value)

    def forward(self, input: Tensor) -> Tensor:
        state = self.__dict__
        result: Tensor = apply(self._rule, input, **{name: state[name] for name in state["_options"]})
        return result

    def extra_repr(self) -> str:
        state = self.__dict__
        shown = [f"{name}={state[name]!r}" for name in self._options]
        if state.get("inplace"):
            shown.append("inplace=True")
        return ", ".join(shown)


class ReLU(_Activation):
    """``max(0, x)``.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0], requires_grad=True)
    >>> y = nn.ReLU()(x)
    >>> y
    Tensor([0., 2.], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([0., 5.], dtype=float32)
    """

    _rule = staticmethod(rules.relu)

    def __init__(self, inplace: bool = False):
        super().__init__(inplace=inplace)


class ReLU6(_Activation):
    """``min(max(0, x), 6)``.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0, 9.0], requires_grad=True)
    >>> y = nn.ReLU6()(x)
    >>> y
    Tensor([0., 2., 6.], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0, 7.0]))
    >>> x.grad
    array([0., 5., 0.], dtype=float32)
    """

    _rule = staticmethod(rules.relu6)

    def __init__(self, inplace: bool = False):
        super().__init__(inplace=inplace)


class LeakyReLU(_Activation):
    """``x`` where positive, ``negative_slope x`` elsewhere.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0], requires_grad=True)
    >>> y = nn.LeakyReLU(negative_slope=0.1)(x)
    >>> y
    Tensor([-0.1,  2. ], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([0.3, 5. ], dtype=float32)
    """

    _rule = staticmethod(rules.leaky_relu)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        super().__init__(negative_slope=negative_slope, inplace=inplace)


class RReLU(Module):
    """``x`` where positive, ``r x`` elsewhere, with ``r`` drawn between ``lower`` and ``upper`` in training.

    In evaluation ``r`` is halfway between the two. See :func:`manual.rules.rrelu`.

    Shapes: input and output alike, of any shape ``(*)``.

    Raises
    ------
    RuntimeError
        When it is called in training, if the bounds are the wrong way round.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0], requires_grad=True)
    >>> y = nn.RReLU(lower=0.25, upper=0.75).eval()(x)
    >>> y
    Tensor([-0.5,  2. ], requires_grad=True)
    >>> y.backward(tensor([4.0, 5.0]))
    >>> x.grad
    array([2., 5.], dtype=float32)
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False):
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return functional.rrelu(input, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + (", inplace=True" if self.inplace else "")


class ELU(_Activation):
    """``x`` where positive, ``alpha (exp(x) - 1)`` elsewhere.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0], requires_grad=True)
    >>> y = nn.ELU(alpha=2.0)(x)
    >>> y
    Tensor([-1.2642,  2.    ], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([2.2073, 5.    ], dtype=float32)
    """

    _rule = staticmethod(rules.elu)

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__(alpha=alpha, inplace=inplace)


class SELU(_Activation):
    """A scaled ELU whose constants keep mean and variance.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0], requires_grad=True)
    >>> y = nn.SELU()(x)
    >>> y
    Tensor([-1.1113,  2.1014], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([1.9403, 5.2535], dtype=float32)
    """

    _rule = staticmethod(rules.selu)

    def __init__(self, inplace: bool = False):
        super().__init__(inplace=inplace)


class CELU(_Activation):
    """``max(0, x) + min(0, alpha (exp(x / alpha) - 1))``.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0], requires_grad=True)
    >>> y = nn.CELU(alpha=2.0)(x)
    >>> y
    Tensor([-0.7869,  2.    ], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([1.8196, 5.    ], dtype=float32)
    """

    _rule = staticmethod(rules.celu)

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__(alpha=alpha, inplace=inplace)


class GELU(_Activation):
    """``x Phi(x)``; with ``approximate="tanh"`` its tanh approximation.

    Shapes: input and output alike, of any shape ``(*)``.

    Raises
    ------
    RuntimeError
        When it is called, if ``approximate`` is neither ``"none"`` nor ``"tanh"``.

    Examples
    --------
    >>> x = tensor([-1.0, 2.0], requires_grad=True)
    >>> y = nn.GELU(approximate="tanh")(x)
    >>> y
    Tensor([-0.1588,  1.9546], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([-0.2489,  5.4305], dtype=float32)
    """

    _rule = staticmethod(rules.gelu)

    def __init__(self, approximate: str = "none"):
        super().__init__(approximate=approximate)


class Sigmoid(_Activation):
    """``1 / (1 + exp(-x))``.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([0.0, 2.0], requires_grad=True)
    >>> y = nn.Sigmoid()(x)
    >>> y
    Tensor([0.5   , 0.8808], requires_grad=True)
    >>> y.backward(tensor([4.0, -1.0]))
    >>> x.grad
    array([ 1.   , -0.105], dtype=float32)
    """

    _rule = staticmethod(rules.sigmoid)


class LogSigmoid(_Activation):
    """``log(1 / (1 + exp(-x)))``.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([0.0, 2.0], requires_grad=True)
    >>> y = nn.LogSigmoid()(x)
    >>> y
    Tensor([-0.6931, -0.1269], requires_grad=True)
    >>> y.backward(tensor([4.0, -1.0]))
    >>> x.grad
    array([ 2.    , -0.1192], dtype=float32)
    """

    _rule = staticmethod(rules.logsigmoid)


class Tanh(_Activation):
    """The hyperbolic tangent.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([0.0, 2.0], requires_grad=True)
    >>> y = nn.Tanh()(x)
    >>> y
    Tensor([0.   , 0.964], requires_grad=True)
    >>> y.backward(tensor([4.0, -1.0]))
    >>> x.grad
    array([ 4.    , -0.0707], dtype=float32)
    """

    _rule = staticmethod(rules.tanh)


class Hardtanh(_Activation):
    """``x`` between the bounds, the nearer bound outside; ``min_value`` and ``max_value`` are old names of theirs.

    Shapes: input and output alike, of any shape ``(*)``.

    Raises
    ------
    AssertionError
        If ``max_val`` is not greater than ``min_val``.

    Examples
    --------
    >>> x = tensor([-3.0, 0.5, 2.5], requires_grad=True)
    >>> y = nn.Hardtanh(min_val=-1.0, max_val=2.0)(x)
    >>> y
    Tensor([-1. ,  0.5,  2. ], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0, 7.0]))
    >>> x.grad
    array([0., 5., 0.], dtype=float32)
    """

    _rule = staticmethod(rules.hardtanh)

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ):
        for old, value in (("min", min_value), ("max", max_value)):
            if value is not None:
                warnings.warn(
                    f"keyword argument `{old}_value` is deprecated and renamed to `{old}_val`",
                    FutureWarning,
                    stacklevel=2,
                )
        min_val = min_val if min_value is None else min_value
        max_val = max_val if max_value is None else max_value
        if max_val <= min_val:
            raise AssertionError(f"max_val ({max_val}) must be greater than min_val ({min_val})")
        super().__init__(min_val=min_val, max_val=max_val, inplace=inplace)


class Softplus(_Activation):
    """``log(1 + exp(beta x)) / beta``, and ``x`` where ``beta x`` exceeds the threshold.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([0.0, 3.0], requires_grad=True)
    >>> y = nn.Softplus(beta=2.0)(x)
    >>> y
    Tensor([0.3466, 3.0012], requires_grad=True)
    >>> y.backward(tensor([4.0, 5.0]))
    >>> x.grad
    array([2.    , 4.9876], dtype=float32)
    """

    _rule = staticmethod(rules.softplus)

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__(beta=beta, threshold=threshold)


class Softsign(_Activation):
    """``x / (1 + |x|)``.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-1.0, 3.0], requires_grad=True)
    >>> y = nn.Softsign()(x)
    >>> y
    Tensor([-0.5 ,  0.75], requires_grad=True)
    >>> y.backward(tensor([4.0, 8.0]))
    >>> x.grad
    array([1. , 0.5], dtype=float32)
    """

    _rule = staticmethod(rules.softsign)


class SiLU(_Activation):
    """``x sigmoid(x)``.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([0.0, 2.0], requires_grad=True)
    >>> y = nn.SiLU()(x)
    >>> y
    Tensor([0.    , 1.7616], requires_grad=True)
    >>> y.backward(tensor([4.0, 1.0]))
    >>> x.grad
    array([2.    , 1.0908], dtype=float32)
    """

    _rule = staticmethod(rules.silu)

    def __init__(self, inplace: bool = False):
        super().__init__(inplace=inplace)


class Mish(_Activation):
    """``x tanh(softplus(x))``.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([0.0, 2.0], requires_grad=True)
    >>> y = nn.Mish()(x)
    >>> y
    Tensor([0.   , 1.944], requires_grad=True)
    >>> y.backward(tensor([5.0, 1.0]))
    >>> x.grad
    array([3.    , 1.0693], dtype=float32)
    """

    _rule = staticmethod(rules.mish)

    def __init__(self, inplace: bool = False):
        super().__init__(inplace=inplace)


class Tanhshrink(_Activation):
    """``x - tanh(x)``.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([0.0, 2.0], requires_grad=True)
    >>> y = nn.Tanhshrink()(x)
    >>> y
    Tensor([0.   , 1.036], requires_grad=True)
    >>> y.backward(tensor([4.0, 5.0]))
    >>> x.grad
    array([0.    , 4.6467], dtype=float32)
    """

    _rule = staticmethod(rules.tanhshrink)


class Hardshrink(_Activation):
    """``x`` outside ``+-lambd``, 0 inside.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-3.0, 0.5, 2.0], requires_grad=True)
    >>> y = nn.Hardshrink(lambd=1.0)(x)
    >>> y
    Tensor([-3.,  0.,  2.], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0, 7.0]))
    >>> x.grad
    array([3., 0., 7.], dtype=float32)
    """

    _rule = staticmethod(rules.hardshrink)

    def __init__(self, lambd: float = 0.5):
        super().__init__(lambd=lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(_Activation):
    """``x`` moved towards 0 by ``lambd``, 0 inside ``+-lambd``.

    Shapes: input and output alike, of any shape ``(*)``.

    Raises
    ------
    RuntimeError
        When it is called, if ``lambd`` is negative.

    Examples
    --------
    >>> x = tensor([-3.0, 0.5, 2.0], requires_grad=True)
    >>> y = nn.Softshrink(lambd=1.0)(x)
    >>> y
    Tensor([-2.,  0.,  1.], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0, 7.0]))
    >>> x.grad
    array([3., 0., 7.], dtype=float32)
    """

    _rule = staticmethod(rules.softshrink)

    def __init__(self, lambd: float = 0.5):
        super().__init__(lambd=lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Threshold(_Activation):
    """``x`` above the threshold, ``value`` elsewhere.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([0.5, 2.0], requires_grad=True)
    >>> y = nn.Threshold(threshold=1.0, value=-9.0)(x)
    >>> y
    Tensor([-9.,  2.], requires_grad=True)
    >>> y.backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([0., 5.], dtype=float32)
    """

    _rule = staticmethod(rules.threshold)

    def __init__(self, threshold: float, value: float, inplace: bool = False):
        super().__init__(threshold=threshold, value=value, inplace=inplace)


class Hardsigmoid(_Activation):
    """``min(max(0, x / 6 + 1/2), 1)``.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-4.0, 0.0, 1.5], requires_grad=True)
    >>> y = nn.Hardsigmoid()(x)
    >>> y
    Tensor([0.  , 0.5 , 0.75], requires_grad=True)
    >>> y.backward(tensor([6.0, 12.0, 18.0]))
    >>> x.grad
    array([0., 2., 3.], dtype=float32)
    """

    _rule = staticmethod(rules.hardsigmoid)

    def __init__(self, inplace: bool = False):
        super().__init__(inplace=inplace)


class Hardswish(_Activation):
    """``x`` times its hard sigmoid.

    Shapes: input and output alike, of any shape ``(*)``. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([-4.0, 0.0, 3.0], requires_grad=True)
    >>> y = nn.Hardswish()(x)
    >>> y
    Tensor([-0.,  0.,  3.], requires_grad=True)
    >>> y.backward(tensor([6.0, 12.0, 2.0]))
    >>> x.grad
    array([0., 6., 2.], dtype=float32)
    """

    _rule = staticmethod(rules.hardswish)

    def __init__(self, inplace: bool = False):
        super().__init__(inplace=inplace)


class GLU(_Activation):
    """The first half along ``dim`` times the sigmoid of the second.

    Shapes: input of any shape with an even length ``2 M`` along ``dim``, output the same with ``M`` there.

    Raises
    ------
    RuntimeError
        When it is called, if that length is odd, or the input is a scalar.
    IndexError
        When it is called, if the input has no axis ``dim``.

    Examples
    --------
    >>> x = tensor([4.0, 0.0], requires_grad=True)
    >>> y = nn.GLU(dim=0)(x)
    >>> y
    Tensor([2.], requires_grad=True)
    >>> y.backward(tensor([2.0]))
    >>> x.grad
    array([1., 2.], dtype=float32)
    """

    _rule = staticmethod(rules.glu)

    def __init__(self, dim: int = -1):
        super().__init__(dim=dim)


class Softmax(_Activation):
    """``exp(x) / sum(exp(x))`` along ``dim``.

    Shapes: input and output alike, of any shape; ``dim`` is the axis of the classes.

    Raises
    ------
    ValueError
        If ``dim`` is not given.
    IndexError
        When it is called, if the input has no axis ``dim``.

    Examples
    --------
    >>> x = tensor([0.0, 0.0], requires_grad=True)
    >>> y = nn.Softmax(dim=0)(x)
    >>> y
    Tensor([0.5, 0.5], requires_grad=True)
    >>> y.backward(tensor([4.0, 0.0]))
    >>> x.grad
    array([ 1., -1.], dtype=float32)
    """

    _rule = staticmethod(rules.softmax)

    def __init__(self, dim: int | None = None):
        if dim is None:
            raise ValueError(
                "Softmax: name the axis, dim=...; torch guesses one, which has been the wrong one too often"
            )
        super().__init__(dim=dim)


class Softmax2d(Module):
    """Softmax over the channels of every pixel of ``(N, C, H, W)`` or ``(C, H, W)``. See :func:`manual.rules.softmax`.

    Shapes: output as the input.

    Raises
    ------
    ValueError
        If the input has another number of axes.

    Examples
    --------
    >>> x = tensor([[[0.0, 1.0]], [[0.0, 1.0]]])
    >>> nn.Softmax2d()(x)[:, 0]
    Tensor([[0.5, 0.5],
            [0.5, 0.5]])
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        result: Tensor = apply(rules.softmax, input, dim=-3)
        return result


class LogSoftmax(_Activation):
    """The logarithm of the softmax along ``dim``.

    Shapes: input and output alike, of any shape; ``dim`` is the axis of the classes.

    Raises
    ------
    ValueError
        If ``dim`` is not given.
    IndexError
        When it is called, if the input has no axis ``dim``.

    Examples
    --------
    >>> x = tensor([0.0, 0.0], requires_grad=True)
    >>> y = nn.LogSoftmax(dim=0)(x)
    >>> y
    Tensor([-0.6931, -0.6931], requires_grad=True)
    >>> y.backward(tensor([4.0, 0.0]))
    >>> x.grad
    array([ 2., -2.], dtype=float32)
    """

    _rule = staticmethod(rules.log_softmax)

    def __init__(self, dim: int | None = None):
        if dim is None:
            raise ValueError(
                "LogSoftmax: name the axis, dim=...; torch guesses one, which has been the wrong one too often"
            )
        super().__init__(dim=dim)


class Softmin(_Activation):
    """The softmax of ``-x`` along ``dim``.

    Shapes: input and output alike, of any shape; ``dim`` is the axis of the classes.

    Raises
    ------
    ValueError
        If ``dim`` is not given.
    IndexError
        When it is called, if the input has no axis ``dim``.

    Examples
    --------
    >>> x = tensor([0.0, 0.0], requires_grad=True)
    >>> y = nn.Softmin(dim=0)(x)
    >>> y
    Tensor([0.5, 0.5], requires_grad=True)
    >>> y.backward(tensor([4.0, 0.0]))
    >>> x.grad
    array([-1.,  1.], dtype=float32)
    """

    _rule = staticmethod(rules.softmin)

    def __init__(self, dim: int | None = None):
        if dim is None:
            raise ValueError(
                "Softmin: name the axis, dim=...; torch guesses one, which has been the wrong one too often"
            )
        super().__init__(dim=dim)


class PReLU(Module):
    """``x`` where positive, ``weight x`` elsewhere, with a learned weight: one, or one per channel (axis 1).

    Shapes: input and output alike, ``(N, C, *)`` with ``weight (C,)``, or of any shape with ``weight (1,)``.

    Raises
    ------
    RuntimeError
        When it is called, if there are several weights and axis 1 has another length.

    Examples
    --------
    >>> x = tensor([[-1.0, 2.0], [-3.0, -4.0]], requires_grad=True)
    >>> layer = nn.PReLU(num_parameters=2, init=0.5)
    >>> layer(x).backward(tensor([[3.0, 5.0], [1.0, 2.0]]))
    >>> x.grad
    array([[1.5, 5. ],
           [0.5, 1. ]], dtype=float32)
    >>> layer.weight.grad
    array([-6., -8.], dtype=float32)
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None):
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(np.empty(num_parameters, dtype or DEFAULT_DTYPE))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every weight to ``init``."""
        self.weight.data.fill(self.init)

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = apply(rules.prelu, input, self.weight)
        return result

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
