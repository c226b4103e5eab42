"""The ops as functions: names, arguments and defaults are those of the ``torch`` namespace.

Each is a rule of ``manual.rules``, lifted from arrays to tensors. They take tensors, arrays and numbers, and return
tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manual import rules
from manual.tensor import Tensor, apply, lift

__all__ = [
    "abs",
    "add",
    "addmm",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "bmm",
    "broadcast_to",
    "cat",
    "celu",
    "chunk",
    "clamp",
    "clone",
    "concat",
    "cos",
    "div",
    "dot",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "flatten",
    "flip",
    "gather",
    "index_select",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_softmax",
    "logsumexp",
    "masked_fill",
    "masked_select",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mm",
    "movedim",
    "mul",
    "neg",
    "norm",
    "outer",
    "permute",
    "pow",
    "prelu",
    "prod",
    "reciprocal",
    "relu",
    "reshape",
    "roll",
    "rsqrt",
    "selu",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "t",
    "take_along_dim",
    "tan",
    "tanh",
    "threshold",
    "tile",
    "transpose",
    "tril",
    "triu",
    "unbind",
    "unsqueeze",
    "var",
    "where",
]

abs = lift(rules.abs)
add = lift(rules.add)
addmm = lift(rules.addmm)
amax = lift(rules.amax)
amin = lift(rules.amin)
argmax = lift(rules.argmax)
argmin = lift(rules.argmin)
bmm = lift(rules.bmm)
celu = lift(rules.celu)
chunk = lift(rules.chunk)
clamp = lift(rules.clamp)
clone = lift(rules.clone)
cos = lift(rules.cos)
div = lift(rules.div)
dot = lift(rules.dot)
erf = lift(rules.erf)
exp = lift(rules.exp)
exp2 = lift(rules.exp2)
expm1 = lift(rules.expm1)
flatten = lift(rules.flatten)
flip = lift(rules.flip)
gather = lift(rules.gather)
index_select = lift(rules.index_select)
log = lift(rules.log)
log1p = lift(rules.log1p)
log2 = lift(rules.log2)
log10 = lift(rules.log10)
logsumexp = lift(rules.logsumexp)
masked_select = lift(rules.masked_select)
matmul = lift(rules.matmul)
maximum = lift(rules.maximum)
minimum = lift(rules.minimum)
mm = lift(rules.mm)
movedim = lift(rules.movedim)
mul = lift(rules.mul)
neg = lift(rules.neg)
norm = lift(rules.norm)
outer = lift(rules.outer)
permute = lift(rules.permute)
pow = lift(rules.pow)
prelu = lift(rules.prelu)
reciprocal = lift(rules.reciprocal)
relu = lift(rules.relu)
reshape = lift(rules.reshape)
roll = lift(rules.roll)
rsqrt = lift(rules.rsqrt)
selu = lift(rules.selu)
sigmoid = lift(rules.sigmoid)
sign = lift(rules.sign)
sin = lift(rules.sin)
split = lift(rules.split)
sqrt = lift(rules.sqrt)
square = lift(rules.square)
squeeze = lift(rules.squeeze)
sub = lift(rules.sub)
t = lift(rules.t)
take_along_dim = lift(rules.take_along_dim)
tan = lift(rules.tan)
tanh = lift(rules.tanh)
threshold = lift(rules.threshold)
transpose = lift(rules.transpose)
tril = lift(rules.tril)
triu = lift(rules.triu)
unbind = lift(rules.unbind)
unsqueeze = lift(rules.unsqueeze)


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(value)


def _array(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def where(condition: Any, input: Any, other: Any) -> Tensor:
    """``input`` where ``condition`` holds, ``other`` elsewhere; see :func:`manual.rules.where`."""
    return apply(rules.where, input, other, condition=_tensor(condition).data)


def masked_fill(input: Any, mask: Any, value: Any) -> Tensor:
    """``value`` where ``mask`` holds, ``input`` elsewhere; see :func:`manual.rules.masked_fill`."""
    return apply(rules.masked_fill, input, value, mask=_array(mask))


def cat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Join tensors along an axis that they have; see :func:`manual.rules.cat`."""
    if not tensors:
        raise ValueError("expected a non-empty list of Tensors")
    return apply(rules.cat, *tensors, dim=dim)


concat = cat


def stack(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Join tensors along a new axis; see :func:`manual.rules.stack`."""
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    return apply(rules.stack, *tensors, dim=dim)


def broadcast_to(input: Any, size: Any) -> Tensor:
    """Repeat axes of length 1 without copying; see :func:`manual.rules.expand`."""
    return _tensor(input).expand(size)


def tile(input: Any, dims: Any) -> Tensor:
    """Lay copies side by side; axes without a number in ``dims`` are not repeated. See :func:`manual.rules.repeat`."""
    times = (dims,) if isinstance(dims, int) else tuple(dims)
    return apply(rules.repeat, input, repeats=(1,) * (_tensor(input).ndim - len(times)) + times)


def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Add up elements; see :func:`manual.rules.sum`."""
    return _tensor(input).sum(dim, keepdim, dtype=dtype)


def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Average elements; see :func:`manual.rules.mean`."""
    return _tensor(input).mean(dim, keepdim, dtype=dtype)


def prod(input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Multiply elements; see :func:`manual.rules.prod`."""
    return _tensor(input).prod(dim, keepdim, dtype=dtype)


def var(input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """Take the variance; see :func:`manual.rules.var`."""
    return _tensor(input).var(dim, unbiased, keepdim, correction=correction)


def std(input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """Take the standard deviation; see :func:`manual.rules.std`."""
    return _tensor(input).std(dim, unbiased, keepdim, correction=correction)


def softmax(input: Any, dim: int, dtype: Any = None) -> Tensor:
    """Turn scores into probabilities along an axis; see :func:`manual.rules.softmax`."""
    return _tensor(input).softmax(dim, dtype)


def log_softmax(input: Any, dim: int, dtype: Any = None) -> Tensor:
    """Take the logarithm of softmax along an axis; see :func:`manual.rules.log_softmax`."""
    return _tensor(input).log_softmax(dim, dtype)


def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element, the largest along an axis and where they are, or the larger of two tensors."""
    if isinstance(dim, Tensor) or hasattr(dim, "ndim"):
        return maximum(input, dim)
    return _tensor(input).max(dim, keepdim)


def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element, the smallest along an axis and where they are, or the smaller of two tensors."""
    if isinstance(dim, Tensor) or hasattr(dim, "ndim"):
        return minimum(input, dim)
    return _tensor(input).min(dim, keepdim)
