"""The ops as functions: names, arguments and defaults are those of the ``torch`` namespace.

Each is a rule of ``manual.rules``, lifted from arrays to tensors. They take tensors, arrays and numbers, and return
tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
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
    "argsort",
    "bmm",
    "broadcast_to",
    "cat",
    "cdist",
    "celu",
    "chunk",
    "clamp",
    "clone",
    "concat",
    "cos",
    "cosine_similarity",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "diag",
    "diag_embed",
    "diagonal",
    "diff",
    "div",
    "dot",
    "einsum",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "flatten",
    "flip",
    "gather",
    "index_add",
    "index_put",
    "index_select",
    "kron",
    "kthvalue",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_softmax",
    "logcumsumexp",
    "logsumexp",
    "masked_fill",
    "masked_scatter",
    "masked_select",
    "matmul",
    "max",
    "maximum",
    "mean",
    "median",
    "min",
    "minimum",
    "mm",
    "movedim",
    "mul",
    "neg",
    "norm",
    "outer",
    "pairwise_distance",
    "pdist",
    "permute",
    "pow",
    "prelu",
    "prod",
    "reciprocal",
    "relu",
    "repeat_interleave",
    "reshape",
    "roll",
    "rsqrt",
    "scatter",
    "scatter_add",
    "scatter_reduce",
    "selu",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "sort",
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
    "tensordot",
    "threshold",
    "tile",
    "topk",
    "trace",
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
argsort = lift(rules.argsort)
bmm = lift(rules.bmm)
cdist = lift(rules.cdist)
celu = lift(rules.celu)
chunk = lift(rules.chunk)
clamp = lift(rules.clamp)
clone = lift(rules.clone)
cos = lift(rules.cos)
cosine_similarity = lift(rules.cosine_similarity)
cumprod = lift(rules.cumprod)
cumsum = lift(rules.cumsum)
diag = lift(rules.diag)
diag_embed = lift(rules.diag_embed)
diagonal = lift(rules.diagonal)
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
kron = lift(rules.kron)
log = lift(rules.log)
log1p = lift(rules.log1p)
log2 = lift(rules.log2)
log10 = lift(rules.log10)
logcumsumexp = lift(rules.logcumsumexp)
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
pairwise_distance = lift(rules.pairwise_distance)
pdist = lift(rules.pdist)
permute = lift(rules.permute)
pow = lift(rules.pow)
prelu = lift(rules.prelu)
reciprocal = lift(rules.reciprocal)
relu = lift(rules.relu)
repeat_interleave = lift(rules.repeat_interleave)
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
tensordot = lift(rules.tensordot)
threshold = lift(rules.threshold)
trace = lift(rules.trace)
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
    """``input`` where ``condition`` holds, ``other`` elsewhere; see :func:`manual.rules.where`.

    Shapes: all three alike, or such that they broadcast; the value of their common shape.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> y = manual.where(x > 1.5, x * x, 0.0)
    >>> y
    Tensor([0., 4.], requires_grad=True)
    >>> y.backward(tensor([5.0, 7.0]))
    >>> x.grad
    array([ 0., 28.], dtype=float32)
    """
    return apply(rules.where, input, other, condition=_tensor(condition).data)


def masked_fill(input: Any, mask: Any, value: Any) -> Tensor:
    """``value`` where ``mask`` holds, ``input`` elsewhere; see :func:`manual.rules.masked_fill`.

    Shapes: ``input`` of any shape, ``mask`` one that broadcasts to it, ``value ()``.

    Raises
    ------
    RuntimeError
        If ``value`` is no scalar.
    ValueError
        If the mask does not broadcast.

    Examples
    --------
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> y = manual.masked_fill(x, tensor([True, False]), 9.0)
    >>> y
    Tensor([9., 2.], requires_grad=True)
    >>> y.backward(tensor([5.0, 7.0]))
    >>> x.grad
    array([0., 7.], dtype=float32)
    """
    return apply(rules.masked_fill, input, value, mask=_array(mask))


def cat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Join tensors along an axis that they have; see :func:`manual.rules.cat`.

    Shapes: tensors alike but for axis ``dim``, whose lengths add up.

    Raises
    ------
    ValueError
        If there is none.
    IndexError
        If there is no axis ``dim``.
    RuntimeError
        If the other axes do not match.

    Examples
    --------
    >>> x, y = tensor([1.0, 2.0], requires_grad=True), tensor([3.0], requires_grad=True)
    >>> manual.cat([x, y]).backward(tensor([5.0, 7.0, 9.0]))
    >>> x.grad, y.grad
    (array([5., 7.], dtype=float32), array([9.], dtype=float32))
    """
    if not tensors:
        raise ValueError("expected a non-empty list of Tensors")
    return apply(rules.cat, *tensors, dim=dim)


concat = cat


def stack(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Join tensors along a new axis; see :func:`manual.rules.stack`.

    Shapes: tensors alike; the value has an axis more, as long as there are tensors.

    Raises
    ------
    IndexError
        If there is no such place for an axis.
    RuntimeError
        If there is no tensor, or the shapes differ.

    Examples
    --------
    >>> x, y = tensor([1.0, 2.0], requires_grad=True), tensor([3.0, 4.0], requires_grad=True)
    >>> manual.stack([x, y]).backward(tensor([[5.0, 6.0], [7.0, 8.0]]))
    >>> x.grad, y.grad
    (array([5., 6.], dtype=float32), array([7., 8.], dtype=float32))
    """
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    return apply(rules.stack, *tensors, dim=dim)


def broadcast_to(input: Any, size: Any) -> Tensor:
    """Repeat axes of length 1 without copying; see :func:`manual.rules.expand`.

    Shapes: ``input`` of any shape that broadcasts to ``size``; the value ``size``.

    Raises
    ------
    RuntimeError
        If it does not.

    Examples
    --------
    >>> x = tensor([[1.0], [2.0]], requires_grad=True)
    >>> manual.broadcast_to(x, (2, 3)).backward(tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]))
    >>> x.grad
    array([[ 6.],
           [60.]], dtype=float32)
    """
    return _tensor(input).expand(size)


def tile(input: Any, dims: Any) -> Tensor:
    """Lay copies side by side; axes without a number in ``dims`` are not repeated. See :func:`manual.rules.repeat`.

    Shapes: ``input`` of any shape; each length of the value is that of the input times its number.

    Raises
    ------
    ValueError
        If a number is negative.

    Examples
    --------
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> y = manual.tile(x, (2,))
    >>> y
    Tensor([1., 2., 1., 2.], requires_grad=True)
    >>> y.backward(tensor([1.0, 2.0, 10.0, 20.0]))
    >>> x.grad
    array([11., 22.], dtype=float32)
    """
    times = (dims,) if isinstance(dims, int) else tuple(dims)
    return apply(rules.repeat, input, repeats=(1,) * (_tensor(input).ndim - len(times)) + times)


def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Add up elements; see :func:`manual.rules.sum`.

    Shapes: ``input`` of any shape; the value lacks the axes ``dim``, or has them with length 1, and is ``()`` without
    ``dim``.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice.

    Examples
    --------
    >>> x = tensor([[1.0, 2.0], [3.0, 6.0]], requires_grad=True)
    >>> y = manual.sum(x, dim=1)
    >>> y
    Tensor([3., 9.], requires_grad=True)
    >>> y.backward(tensor([4.0, 10.0]))
    >>> x.grad
    array([[ 4.,  4.],
           [10., 10.]], dtype=float32)
    """
    return _tensor(input).sum(dim, keepdim, dtype=dtype)


def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Average elements; see :func:`manual.rules.mean`.

    Shapes: ``input`` of any shape; the value lacks the axes ``dim``, or has them with length 1, and is ``()`` without
    ``dim``.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice.

    Examples
    --------
    >>> x = tensor([[1.0, 2.0], [3.0, 6.0]], requires_grad=True)
    >>> y = manual.mean(x, dim=1)
    >>> y
    Tensor([1.5, 4.5], requires_grad=True)
    >>> y.backward(tensor([4.0, 10.0]))
    >>> x.grad
    array([[2., 2.],
           [5., 5.]], dtype=float32)
    """
    return _tensor(input).mean(dim, keepdim, dtype=dtype)


def prod(input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Multiply elements; see :func:`manual.rules.prod`.

    Shapes: ``input`` of any shape; the value lacks the axes ``dim``, or has them with length 1, and is ``()`` without
    ``dim``.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> x = tensor([[1.0, 2.0], [3.0, 6.0]], requires_grad=True)
    >>> y = manual.prod(x, dim=1)
    >>> y
    Tensor([ 2., 18.], requires_grad=True)
    >>> y.backward(tensor([4.0, 10.0]))
    >>> x.grad
    array([[ 8.,  4.],
           [60., 30.]], dtype=float32)
    """
    return _tensor(input).prod(dim, keepdim, dtype=dtype)


def var(input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """Take the variance; see :func:`manual.rules.var`.

    Shapes: ``input`` of any shape; the value lacks the axes ``dim``, or has them with length 1, and is ``()`` without
    ``dim``.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice.

    Examples
    --------
    >>> x = tensor([[1.0, 2.0], [3.0, 6.0]], requires_grad=True)
    >>> y = manual.var(x, dim=1)
    >>> y
    Tensor([0.5, 4.5], requires_grad=True)
    >>> y.backward(tensor([4.0, 10.0]))
    >>> x.grad
    array([[ -4.,   4.],
           [-30.,  30.]], dtype=float32)
    """
    return _tensor(input).var(dim, unbiased, keepdim, correction=correction)


def std(input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """Take the standard deviation; see :func:`manual.rules.std`.

    Shapes: ``input`` of any shape; the value lacks the axes ``dim``, or has them with length 1, and is ``()`` without
    ``dim``.

    Raises
    ------
    IndexError
        If there is no such axis.
    RuntimeError
        If one is named twice.

    Examples
    --------
    >>> x = tensor([[1.0, 2.0], [3.0, 6.0]], requires_grad=True)
    >>> y = manual.std(x, dim=1)
    >>> y
    Tensor([0.7071, 2.1213], requires_grad=True)
    >>> y.backward(tensor([4.0, 10.0]))
    >>> x.grad
    array([[-2.8284,  2.8284],
           [-7.0711,  7.0711]], dtype=float32)
    """
    return _tensor(input).std(dim, unbiased, keepdim, correction=correction)


def softmax(input: Any, dim: int, dtype: Any = None) -> Tensor:
    """Turn scores into probabilities along an axis; see :func:`manual.rules.softmax`.

    Shapes: ``input`` and the value alike, of any shape; ``dim`` is the axis of the classes.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> x = tensor([0.0, 0.0], requires_grad=True)
    >>> y = manual.softmax(x, dim=0)
    >>> y
    Tensor([0.5, 0.5], requires_grad=True)
    >>> y.backward(tensor([4.0, 0.0]))
    >>> x.grad
    array([ 1., -1.], dtype=float32)
    """
    return _tensor(input).softmax(dim, dtype)


def log_softmax(input: Any, dim: int, dtype: Any = None) -> Tensor:
    """Take the logarithm of softmax along an axis; see :func:`manual.rules.log_softmax`.

    Shapes: ``input`` and the value alike, of any shape; ``dim`` is the axis of the classes.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> x = tensor([0.0, 0.0], requires_grad=True)
    >>> y = manual.log_softmax(x, dim=0)
    >>> y
    Tensor([-0.6931, -0.6931], requires_grad=True)
    >>> y.backward(tensor([4.0, 0.0]))
    >>> x.grad
    array([ 2., -2.], dtype=float32)
    """
    return _tensor(input).log_softmax(dim, dtype)


def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element, the largest along an axis and where they are, or the larger of two tensors.

    Shapes: ``input`` of any shape; the value lacks the axes ``dim``, or has them with length 1, and is ``()`` without
    ``dim``. Two tensors broadcast.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> x = tensor([[1.0, 5.0], [7.0, 2.0]], requires_grad=True)
    >>> values, indices = manual.max(x, dim=1)
    >>> values, indices
    (Tensor([5., 7.], requires_grad=True), Tensor([1, 0]))
    >>> values.backward(tensor([4.0, 10.0]))
    >>> x.grad
    array([[ 0.,  4.],
           [10.,  0.]], dtype=float32)
    """
    if isinstance(dim, Tensor) or hasattr(dim, "ndim"):
        return maximum(input, dim)
    return _tensor(input).max(dim, keepdim)


def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element, the smallest along an axis and where they are, or the smaller of two tensors.

    Shapes: ``input`` of any shape; the value lacks the axes ``dim``, or has them with length 1, and is ``()`` without
    ``dim``. Two tensors broadcast.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.

    Examples
    --------
    >>> x = tensor([[1.0, 5.0], [7.0, 2.0]], requires_grad=True)
    >>> values, indices = manual.min(x, dim=1)
    >>> values, indices
    (Tensor([1., 2.], requires_grad=True), Tensor([0, 1]))
    >>> values.backward(tensor([4.0, 10.0]))
    >>> x.grad
    array([[ 4.,  0.],
           [ 0., 10.]], dtype=float32)
    """
    if isinstance(dim, Tensor) or hasattr(dim, "ndim"):
        return minimum(input, dim)
    return _tensor(input).min(dim, keepdim)


def _method(name: str) -> Any:
    """The op that is the method of that name: its first argument is the tensor."""
    method = getattr(Tensor, name)

    @wraps(method)
    def op(input: Any, *args: Any, **options: Any) -> Any:
        return method(_tensor(input), *args, **options)

    op.__doc__ = getattr(rules, name).__doc__
    return op


cummax = _method("cummax")
cummin = _method("cummin")
cumprod = _method("cumprod")
cumsum = _method("cumsum")
index_add = _method("index_add")
index_put = _method("index_put")
kthvalue = _method("kthvalue")
masked_scatter = _method("masked_scatter")
median = _method("median")
scatter = _method("scatter")
scatter_add = _method("scatter_add")
scatter_reduce = _method("scatter_reduce")
sort = _method("sort")
topk = _method("topk")


def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Subtract neighbours, ``n`` times over, after joining others to either end; see :func:`manual.rules.diff`.

    Shapes: ``input`` of any shape; the value is ``n`` shorter along ``dim``, what is joined counted.

    Raises
    ------
    IndexError
        If there is no axis ``dim``.
    RuntimeError
        If ``n`` is negative, or a shape does not fit.

    Examples
    --------
    >>> x = tensor([1.0, 4.0, 9.0], requires_grad=True)
    >>> y = manual.diff(x, prepend=tensor([0.0]))
    >>> y
    Tensor([1., 3., 5.], requires_grad=True)
    >>> y.backward(tensor([1.0, 10.0, 100.0]))
    >>> x.grad
    array([ -9., -90., 100.], dtype=float32)
    """
    parts = [part for part in (prepend, input, append) if part is not None]
    return apply(rules.diff, input if len(parts) == 1 else cat(parts, dim), n=n, dim=dim)


def einsum(*args: Any) -> Tensor:
    """Multiply tensors and sum over axes as an equation says; see :func:`manual.rules.einsum`.

    Called as ``einsum("ij,jk->ik", a, b)``, or with lists of axes as ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.

    Shapes: an operand has an axis for each of its letters; the value those behind the arrow.

    Raises
    ------
    ValueError
        If there is no operand, or a number for a letter is out of range.
    RuntimeError
        If the equation does not fit the operands.

    Examples
    --------
    >>> x = tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> y = manual.einsum("ij,j->i", x, tensor([1.0, 10.0]))
    >>> y
    Tensor([21., 43.], requires_grad=True)
    >>> y.backward(tensor([5.0, 7.0]))
    >>> x.grad
    array([[ 5., 50.],
           [ 7., 70.]], dtype=float32)
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its "
            "subscripts list"
        )
    if not isinstance(args[0], str):
        terms = ["".join(map(_letter, labels)) for labels in args[1::2]]
        equation, operands = ",".join(terms), args[: 2 * len(terms) : 2]
        if len(args) % 2:
            equation += "->" + "".join(map(_letter, args[-1]))
    else:
        equation, operands = args[0], args[1:]
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = tuple(operands[0])
    return apply(rules.einsum, *operands, equation=equation)


def _letter(label: Any) -> str:
    if label is Ellipsis:
        return "..."
    if not 0 <= label < 52:
        raise ValueError("einsum(): subscript in subscript list is not within the valid range [0, 52)")
    return chr(ord("A") + label) if label < 26 else chr(ord("a") + label - 26)
