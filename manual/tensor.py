"""Tensor: an array, its gradient, and the link to the op that made it.

Names, arguments and semantics are torch's; the array is NumPy's. ``apply`` is the only place where a rule meets the
graph: it unwraps tensors, promotes dtypes as torch does, calls the rule, and leaves a node behind.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from manual import rules
from manual.engine import Node, grad_mode, sweep
from manual.methods import TensorMethods
from manual.rules.core import Array

__all__ = ["Tensor", "apply", "as_array", "lift", "result_dtype", "tensor"]

DEFAULT_DTYPE = np.dtype(np.float32)


class Tensor(TensorMethods):
    """An array that remembers how it was made.

    Shapes: any; ``grad`` has that of ``data``.

    Parameters
    ----------
    data : array_like
        Kept as it is where it is an ndarray: a tensor views its array.
    requires_grad : bool
        Whether gradients are collected here. Floating dtypes only.

    Attributes
    ----------
    data : ndarray
    grad : ndarray, SparseRows or None
        The sum of what backward passes have deposited since it was last ``None``.

    Raises
    ------
    RuntimeError
        If an integer or boolean tensor is asked to require a gradient.

    Examples
    --------
    >>> x = manual.Tensor(np.array([1.0, 2.0]), requires_grad=True)
    >>> y = (x * x).sum()
    >>> y
    Tensor(5., requires_grad=True)
    >>> y.backward(3.0)
    >>> x.grad
    array([ 6., 12.])
    """

    __slots__ = ("__weakref__", "_hooks", "_index", "_node", "data", "grad", "requires_grad")
    __array_ufunc__ = None  # so that ndarray + Tensor asks Tensor

    data: Array
    grad: Array | None
    requires_grad: bool

    def __init__(self, data: Any, requires_grad: bool = False):
        array = data if type(data) is np.ndarray else np.asarray(data)
        if requires_grad and array.dtype.kind != "f":
            raise RuntimeError(f"only Tensors of floating point dtype can require gradients, not {array.dtype}")
        self.data = array
        self.grad = None
        self.requires_grad = requires_grad
        self._node: Node | None = None
        self._index = 0
        self._hooks: list[Callable[[Array], Array | None]] | None = None

    # -- the array -------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape, a tuple."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's dtype."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def is_leaf(self) -> bool:
        """Whether no op made this tensor."""
        return self._node is None

    def dim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one axis."""
        return self.data.shape if dim is None else self.data.shape[dim]

    def numel(self) -> int:
        """The number of elements."""
        return self.data.size

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self.data.item()

    def tolist(self) -> Any:
        """The elements as nested lists, a scalar as a number."""
        return self.data.tolist()

    def numpy(self) -> Array:
        """The array itself, not a copy.

        Raises
        ------
        RuntimeError
            If the tensor requires a gradient, as in torch: call ``detach`` first.
        """
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        return self.data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def detach(self) -> Tensor:
        """The same array, without history."""
        return Tensor(self.data)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Switch the collecting of gradients on a leaf."""
        if self._node is not None and not requires_grad:
            raise RuntimeError("you can only change requires_grad flags of leaf variables.")
        if requires_grad and self.data.dtype.kind != "f":
            raise RuntimeError(f"only Tensors of floating point dtype can require gradients, not {self.dtype}")
        self.requires_grad = requires_grad
        return self

    def __len__(self) -> int:
        if not self.data.ndim:
            raise TypeError("len() of a 0-d tensor")
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __repr__(self) -> str:
        suffix = ", requires_grad=True" if self.requires_grad else ""
        return f"{type(self).__name__}({np.array2string(self.data, separator=', ', prefix='Tensor(')}{suffix})"

    __hash__ = object.__hash__

    # -- the graph -------------------------------------------------------------------------------------------------

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Deposit the gradient of this tensor in every leaf behind it.

        Parameters
        ----------
        gradient : array_like, optional
            The incoming gradient, of this tensor's shape; may be left out where the tensor is a scalar.
        retain_graph : bool
            Keep the graph for another backward pass.

        Raises
        ------
        RuntimeError
            If nothing requires a gradient, or a gradient is needed and missing, or its shape does not fit.
        """
        backward([self], [gradient], retain_graph=retain_graph)

    def register_hook(self, hook: Callable[[Array], Array | None]) -> Callable[[], None]:
        """Call ``hook(gradient)`` once this tensor's gradient is complete, before it is used or added to ``.grad``.

        What the hook returns, if not ``None``, takes the gradient's place. Returns a function that removes the hook.
        """
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self._node is None:
            hooks = self._hooks = [] if self._hooks is None else self._hooks
        else:
            if self._node.hooks is None:
                self._node.hooks = {}
            hooks = self._node.hooks.setdefault(self._index, [])
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    def retain_grad(self) -> None:
        """Keep this intermediate's gradient in ``.grad`` too (a leaf's is kept in any case)."""
        if self._node is not None:

            def keep(gradient: Array) -> None:
                self.grad = gradient.copy() if self.grad is None else self.grad + gradient

            self.register_hook(keep)

    # -- operators -------------------------------------------------------------------------------------------------

    def _apply(self, rule: Any, *others: Any, **options: Any) -> Any:
        return apply(rule, self, *others, **{name: _plain(value) for name, value in options.items()})

    def __add__(self, other: Any) -> Tensor:
        return apply(rules.add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return apply(rules.add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return apply(rules.sub, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return apply(rules.sub, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return apply(rules.mul, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return apply(rules.mul, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return apply(rules.div, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return apply(rules.div, other, self)

    def __pow__(self, other: Any) -> Tensor:
        return apply(rules.pow, self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return apply(rules.pow, other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return apply(rules.matmul, self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return apply(rules.matmul, other, self)

    def __neg__(self) -> Tensor:
        return apply(rules.neg, self)

    def __abs__(self) -> Tensor:
        return apply(rules.abs, self)

    def __getitem__(self, index: Any) -> Tensor:
        return apply(rules.getitem, self, index=_plain(index))

    def __lt__(self, other: Any) -> Tensor:
        return Tensor(self.data < _plain(other))

    def __le__(self, other: Any) -> Tensor:
        return Tensor(self.data <= _plain(other))

    def __gt__(self, other: Any) -> Tensor:
        return Tensor(self.data > _plain(other))

    def __ge__(self, other: Any) -> Tensor:
        return Tensor(self.data >= _plain(other))

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return Tensor(self.data == _plain(other))

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return Tensor(self.data != _plain(other))


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Make a tensor by copying ``data``, as ``torch.tensor``.

    Python floats become float32 (torch's default dtype), arrays keep their dtype.

    Shapes: any; the tensor has that of ``data``.

    Raises
    ------
    RuntimeError
        If it shall require a gradient and its dtype is not floating.
    ValueError
        If the rows of ``data`` have different lengths.

    Examples
    --------
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).backward(tensor([3.0, 5.0]))
    >>> x.grad
    array([ 6., 20.], dtype=float32)
    >>> tensor(np.array([1.0])).data.dtype, tensor([1]).data.dtype
    (dtype('float64'), dtype('int64'))
    """
    array = np.array(data.data if isinstance(data, Tensor) else data, dtype=dtype)
    if dtype is None and array.dtype == np.float64 and not isinstance(data, (np.ndarray, np.generic, Tensor)):
        array = array.astype(DEFAULT_DTYPE)
    return Tensor(array, requires_grad=requires_grad)


def backward(
    tensors: list[Tensor] | tuple[Tensor, ...],
    grad_tensors: list[Any] | tuple[Any, ...] | None = None,
    retain_graph: bool = False,
) -> None:
    """Deposit the sum of several tensors' gradients in every leaf, as ``torch.autograd.backward``.

    Shapes: each incoming gradient has that of its tensor; a scalar may go without, which counts as 1.

    Raises
    ------
    RuntimeError
        If a tensor does not require a gradient, or a gradient is missing or has another shape.
    ValueError
        If there are not as many gradients as tensors.

    Examples
    --------
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> manual.autograd.backward([x * 10, (x * x).sum()], [tensor([1.0, 3.0]), None])
    >>> x.grad
    array([12., 34.], dtype=float32)
    """
    seeds = []
    for root, seed in zip(tensors, grad_tensors or [None] * len(tensors), strict=True):
        if not root.requires_grad:
            raise RuntimeError("this tensor does not require a gradient, and neither did anything that made it")
        if seed is None:
            if root.data.size != 1:
                raise RuntimeError(
                    f"grad can be implicitly created only for scalar outputs, not for shape {root.shape}: "
                    "pass backward(gradient=...)"
                )
            seeds.append(np.ones_like(root.data))
        else:
            array = np.array(as_array(seed), dtype=root.data.dtype)
            if array.shape != root.data.shape:
                raise RuntimeError(f"the gradient has shape {array.shape}, the tensor has shape {root.shape}")
            seeds.append(array)
    sweep(list(tensors), seeds, retain_graph=retain_graph)


# -- where a rule meets the graph ------------------------------------------------------------------------------------


def as_array(value: Any) -> Any:
    """The array of a tensor; anything else as NumPy sees it."""
    return value.data if isinstance(value, Tensor) else np.asarray(value)


def _plain(value: Any) -> Any:
    """Replace tensors by their arrays, also inside an index."""
    if isinstance(value, Tensor):
        return value.data
    if type(value) is tuple:
        return tuple(_plain(item) for item in value)
    return value


def result_dtype(*values: Any) -> np.dtype[Any]:
    """The dtype of an elementwise op on these values, by torch's promotion rules.

    Values fall into three ranks: arrays with at least one dimension, 0-d arrays, Python numbers. A lower rank decides
    only if its *category* (bool, integer, floating) is higher: float32 times an int64 array stays float32, float32
    times a 0-d float64 array stays float32. NumPy alone would give float64 for both.
    """
    ranks: list[list[np.dtype[Any]]] = [[], [], []]
    for value in values:
        if isinstance(value, (bool, np.bool_)):
            ranks[2].append(np.dtype(bool))
        elif isinstance(value, int):
            ranks[2].append(np.dtype(np.int64))
        elif isinstance(value, float):
            ranks[2].append(DEFAULT_DTYPE)
        else:
            ranks[0 if value.ndim else 1].append(value.dtype)
    chosen: np.dtype[Any] | None = None
    for dtypes in ranks:
        if not dtypes:
            continue
        best = dtypes[0]
        for other in dtypes[1:]:
            best = _promote(best, other)
        if chosen is None or (
            "biuf".index(best.kind) > "biuf".index(chosen.kind) and (best.kind == "f" or chosen.kind == "b")
        ):
            chosen = best
    assert chosen is not None
    return chosen


def _promote(first: np.dtype[Any], second: np.dtype[Any]) -> np.dtype[Any]:
    if first.kind == "f" and second.kind != "f":
        return first
    if second.kind == "f" and first.kind != "f":
        return second
    return np.promote_types(first, second)


def apply(rule: Any, *inputs: Any, **options: Any) -> Any:
    """Apply a rule to tensors, arrays and numbers; record a node if a gradient may be asked for.

    Raises
    ------
    RuntimeError
        If a rule that does not promote (a contraction) gets floating inputs of different dtypes.
    """
    arrays: list[Any] = []
    needs: list[bool] = []
    dtype = None
    same = True
    for value in inputs:
        need = False
        if isinstance(value, Tensor):
            need = value.requires_grad
            value = value.data
            kind: Any = value.dtype
        elif isinstance(value, np.ndarray):
            kind = value.dtype
        elif isinstance(value, np.generic):
            value, kind = value.item(), None
        elif value is None or isinstance(value, (int, float)):
            kind = None
        else:
            value = np.asarray(value)
            kind = value.dtype
        if kind is not dtype and kind is not None:
            same = same and (dtype is None or kind == dtype)
            dtype = dtype or kind
        arrays.append(value)
        needs.append(need)
    if not same or dtype is None or dtype.kind != "f":
        inputs, arrays = _promoted(rule, inputs, arrays)
    value, pullback = rule(*arrays, **options)
    if True not in needs or not grad_mode.enabled:
        return tuple([Tensor(part) for part in value]) if type(value) is tuple else Tensor(value)
    parents = tuple([item if need else None for item, need in zip(inputs, needs)])  # noqa: B905 (speed)
    if type(value) is not tuple:
        result = Tensor(value)
        if result.data.dtype.kind == "f":
            result._node = Node(parents, tuple(needs), pullback)
            result.requires_grad = True
        return result
    outputs = tuple([Tensor(part) for part in value])
    node = Node(parents, tuple(needs), pullback, [(part.data.shape, part.data.dtype) for part in outputs])
    for index, part in enumerate(outputs):
        if part.data.dtype.kind == "f":
            part._node = node
            part._index = index
            part.requires_grad = True
    return outputs


def _promoted(rule: Any, inputs: tuple[Any, ...], arrays: list[Any]) -> tuple[tuple[Any, ...], list[Any]]:
    """Bring the inputs of an elementwise rule to one dtype, through a differentiable cast."""
    promotes = getattr(rule, "promotes", None)
    if promotes is None:  # the rule sorts its inputs out itself
        return inputs, arrays
    present = [array for array in arrays if array is not None]
    if not promotes:
        kinds = {array.dtype for array in present if hasattr(array, "dtype")}
        if len(kinds) > 1:
            raise RuntimeError(
                f"{rule.__name__}: expected all inputs to have the same dtype, but got "
                + " and ".join(str(kind) for kind in sorted(kinds, key=str))
            )
        return inputs, arrays
    target = result_dtype(*present)
    if promotes == "floating" and target.kind != "f":
        target = DEFAULT_DTYPE
    cast: list[Any] = []
    for value, array in zip(inputs, arrays, strict=True):
        if getattr(array, "dtype", target) == target or array is None:
            cast.append(value)
        elif isinstance(value, Tensor):
            cast.append(apply(rules.to, value, dtype=target))
        else:
            cast.append(np.asarray(array).astype(target))
    plain = [item.data if isinstance(item, Tensor) else item for item in cast]
    if not any(isinstance(item, np.ndarray) for item in plain):
        plain = [None if item is None else np.asarray(item, dtype=target) for item in plain]
    return tuple(cast), plain


def lift(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a rule on arrays into an op on tensors: positional inputs first, then the options in order or by name."""
    parameters = inspect.signature(rule).parameters.values()
    inputs = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    options = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    count = len(inputs)

    @wraps(rule)
    def op(*args: Any, **named: Any) -> Any:
        if len(args) > count:
            if len(args) > count + len(options):
                raise TypeError(f"{rule.__name__}() takes at most {count + len(options)} arguments, got {len(args)}")
            for name, value in zip(options, args[count:], strict=False):
                if name in named:
                    raise TypeError(f"{rule.__name__}() got multiple values for argument '{name}'")
                named[name] = value
            args = args[:count]
        elif len(args) < count and named:
            for torch_name, name in zip(("input", "other"), inputs, strict=False):
                if torch_name in named and torch_name not in inputs:
                    named[name] = named.pop(torch_name)
            rest = [named.pop(name, None) for name in inputs[len(args) :]]
            while rest and rest[-1] is None:
                rest.pop()
            args += tuple(rest)
        return apply(rule, *args, **{name: _plain(value) for name, value in named.items()})

    return op
