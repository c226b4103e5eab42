"""Initial values, by the formulas of ``torch.nn.init``; the draws come from :mod:`manual.random`.

Every function fills a tensor in place and returns it. ``generator`` is a ``numpy.random.Generator``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from manual import random
from manual.rules.core import Array
from manual.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_GAINS = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
_LINEAR = (
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a nonlinearity wants the weights before it larger, to keep the variance.

    1 for linear layers and the sigmoid, 5/3 for tanh, ``sqrt(2)`` for relu, ``sqrt(2 / (1 + slope^2))`` for leaky_relu.

    Takes no arrays.

    Raises
    ------
    ValueError
        For an unknown nonlinearity.

    Examples
    --------
    >>> round(nn.init.calculate_gain("leaky_relu", 1.0), 4), round(nn.init.calculate_gain("relu"), 4)
    (1.0, 1.4142)
    """
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return _GAINS[nonlinearity]


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs feed one output, and how many outputs one input feeds; both times the kernel's size."""
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def _generator(generator: np.random.Generator | None) -> np.random.Generator:
    return random.default_generator() if generator is None else generator


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform between ``a`` and ``b``.

    Shapes: a tensor of any shape, which is filled in place and returned.

    Raises
    ------
    ValueError
        If ``b`` is less than ``a``.

    Examples
    --------
    >>> weight = nn.init.uniform_(nn.Parameter(tensor(np.zeros(1000))), 2.0, 3.0)
    >>> bool(2 <= weight.min()), bool(weight.max() <= 3)
    (True, True)
    """
    tensor.data[...] = _generator(generator).uniform(a, b, tensor.shape)
    return tensor


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with the given mean and standard deviation.

    Shapes: a tensor of any shape, which is filled in place and returned.

    Raises
    ------
    ValueError
        If ``std`` is negative.

    Examples
    --------
    >>> weight = nn.init.normal_(nn.Parameter(tensor(np.zeros(10000))), mean=5.0, std=0.1)
    >>> round(weight.mean().item(), 1), round(weight.std().item(), 1)
    (5.0, 0.1)
    """
    tensor.data[...] = _generator(generator).normal(mean, std, tensor.shape)
    return tensor


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
) -> Tensor:
    """Normal, drawn again where it falls outside ``[a, b]``.

    Where little of the normal lies between the bounds, the draws come from a uniform instead, each kept with the
    probability of its density over the greatest density between the bounds (Robert 1995).

    Shapes: a tensor of any shape, which is filled in place and returned.

    Raises
    ------
    ValueError
        If ``a`` exceeds ``b``.

    Examples
    --------
    >>> weight = nn.init.trunc_normal_(nn.Parameter(tensor(np.zeros(1000))), a=-1.0, b=0.5)
    >>> bool(weight.min() >= -1), bool(weight.max() <= 0.5)
    (True, True)
    """
    if a > b:
        raise ValueError(f"the lower bound a={a} of trunc_normal_ exceeds the upper bound b={b}")
    source = _generator(generator)
    low, high = (a - mean) / std, (b - mean) / std
    within = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    nearest = min(max(0.0, low), high)
    reach = math.sqrt(nearest**2 + 100)  # beyond it the density has fallen by exp(-50)
    low, high = max(low, -reach), min(high, reach)

    def draw(count: int) -> Array:
        if within > 0.1:
            values = source.standard_normal(count)
            return values[(low <= values) & (values <= high)]
        values = source.uniform(low, high, count)
        return values[source.random(count) <= np.exp((nearest**2 - values * values) / 2)]

    drawn = np.empty(0)
    while drawn.size < tensor.numel():
        drawn = np.concatenate([drawn, draw(tensor.numel() - drawn.size)])
    tensor.data[...] = np.clip(mean + std * drawn, a, b).reshape(tensor.shape)
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value.

    Shapes: a tensor of any shape, which is filled in place and returned. Raises nothing of its own.

    Examples
    --------
    >>> nn.init.constant_(nn.Parameter(tensor([1.0, 2.0])), 5.0).data
    array([5., 5.], dtype=float32)
    """
    tensor.data[...] = val
    return tensor


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones.

    Shapes: a tensor of any shape, which is filled in place and returned. Raises nothing of its own.

    Examples
    --------
    >>> nn.init.ones_(nn.Parameter(tensor([3.0, 2.0]))).data
    array([1., 1.], dtype=float32)
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros.

    Shapes: a tensor of any shape, which is filled in place and returned. Raises nothing of its own.

    Examples
    --------
    >>> nn.init.zeros_(nn.Parameter(tensor([1.0, 2.0]))).data
    array([0., 0.], dtype=float32)
    """
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix, cut or filled up with zeros.

    Shapes: a matrix ``(n, m)``, which is filled in place and returned.

    Raises
    ------
    ValueError
        If the tensor has not two axes.

    Examples
    --------
    >>> nn.init.eye_(nn.Parameter(tensor(np.zeros((2, 3))))).data
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    tensor.data[...] = np.eye(tensor.shape[0], tensor.shape[1])
    return tensor


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform in ``+-gain sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010, equation 16).

    Shapes: a tensor ``(out, in, *)``, which is filled in place and returned.

    Raises
    ------
    ValueError
        If the tensor has fewer than two axes.

    Examples
    --------
    >>> weight = nn.init.xavier_uniform_(nn.Parameter(tensor(np.zeros((100, 50)))))
    >>> bool(weight.abs().max() <= 0.2), round(weight.abs().max().item(), 2)
    (True, 0.2)
    """
    bound = gain * math.sqrt(6.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with standard deviation ``gain sqrt(2 / (fan_in + fan_out))``.

    Shapes: a tensor ``(out, in, *)``, which is filled in place and returned.

    Raises
    ------
    ValueError
        If the tensor has fewer than two axes.

    Examples
    --------
    >>> weight = nn.init.xavier_normal_(nn.Parameter(tensor(np.zeros((100, 100)))))
    >>> round(weight.std().item(), 2)
    0.1
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fans = dict(zip(("fan_in", "fan_out"), _calculate_fan_in_and_fan_out(tensor), strict=True))
    if mode not in fans:
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return calculate_gain(nonlinearity, a) / math.sqrt(fans[mode])


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Tensor:
    """Uniform in ``+-gain sqrt(3 / fan)`` (He et al. 2015, section 2.2).

    Shapes: a tensor ``(out, in, *)``, which is filled in place and returned.

    Raises
    ------
    ValueError
        If the tensor has fewer than two axes, or ``mode`` or ``nonlinearity`` is unknown.

    Examples
    --------
    >>> weight = nn.init.kaiming_uniform_(nn.Parameter(tensor(np.zeros((100, 24)))), nonlinearity="relu")
    >>> bool(weight.abs().max() <= 0.5), round(weight.abs().max().item(), 2)
    (True, 0.5)
    """
    if not tensor.numel():
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Tensor:
    """Normal with standard deviation ``gain / sqrt(fan)``.

    Shapes: a tensor ``(out, in, *)``, which is filled in place and returned.

    Raises
    ------
    ValueError
        If the tensor has fewer than two axes, or ``mode`` or ``nonlinearity`` is unknown.

    Examples
    --------
    >>> weight = nn.init.kaiming_normal_(nn.Parameter(tensor(np.zeros((100, 200)))), nonlinearity="relu")
    >>> round(weight.std().item(), 2)
    0.1
    """
    if not tensor.numel():
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Rows (or columns, whichever are fewer) of length ``gain``, each at right angles to the others.

    From the QR factorisation of a normal matrix, signs fixed so that the draw is uniform (Mezzadri 2007).

    Shapes: a tensor ``(out, in, *)``, which is filled in place and returned.

    Raises
    ------
    ValueError
        If the tensor has fewer than two axes.

    Examples
    --------
    >>> weight = nn.init.orthogonal_(nn.Parameter(tensor(np.zeros((2, 3)))), gain=2.0)
    >>> np.abs(np.round((weight @ weight.t()).detach().numpy(), 6))
    array([[4., 0.],
           [0., 4.]])
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if not tensor.numel():
        return tensor
    rows = tensor.shape[0]
    flat = _generator(generator).normal(size=(rows, tensor.numel() // rows))
    q, r = np.linalg.qr(flat.T if rows < flat.shape[1] else flat)
    q *= np.sign(np.diag(r))
    tensor.data[...] = gain * (q.T if rows < flat.shape[1] else q).reshape(tensor.shape)
    return tensor
