"""Containers, and the modules that only reshape."""

from __future__ import annotations

import math
import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from manual import rules
from manual.nn.module import Module
from manual.nn.parameter_container import pairs
from manual.rules.core import reduce_axes
from manual.tensor import Tensor, apply

__all__ = ["Flatten", "ModuleDict", "ModuleList", "Sequential", "Unflatten"]


class _Numbered(Module):
    """Children in order, under the names "0", "1", ... unless named otherwise."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __contains__(self, module: object) -> bool:
        return any(child is module for child in self._modules.values())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._sliced(dict(list(self._modules.items())[index]))
        return self._modules[self._name(index)]

    def __setitem__(self, index: int, module: Module | None) -> None:
        name = self._name(index)
        if not (module is None or isinstance(module, Module)):
            raise TypeError(
                f"cannot assign {type(module).__name__!r} as child module {name!r} (Module or None expected)"
            )
        self._modules[name] = module

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)[index] if isinstance(index, slice) else [self._name(index)]
        for name in names:
            del self._modules[name]
        self._renumber(list(self._modules.values()))

    def _sliced(self, children: dict[str, Module]) -> Any:
        raise NotImplementedError

    def _name(self, index: int) -> str:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {position} is out of range")
        return list(self._modules)[position]

    def _renumber(self, modules: Iterable[Module]) -> None:
        self.__dict__["_modules"] = {str(number): module for number, module in enumerate(modules)}

    def __dir__(self) -> Iterable[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def append(self, module: Module | None) -> Self:
        self.add_module(str(len(self)), _module(module))
        return self

    def extend(self, modules: Iterable[Module | None]) -> Self:
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"{type(self).__name__}.extend should be called with an iterable, but got {type(modules).__name__}"
            )
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, key: int) -> Any:
        """Take a module out and return it."""
        module = self[key]
        del self[key]
        return module


class Sequential(_Numbered):
    """Passes its input through its children, one after the other.

    Takes modules, or one ``OrderedDict`` that names them. Indices and slices give modules and shorter ``Sequential`` s;
    ``2 * model`` goes through the same children twice.

    Shapes: each child takes what the one before it returns.

    Raises
    ------
    TypeError
        If something is no module.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.ReLU())
    >>> model(tensor([[[1.0, -2.0], [-3.0, 4.0]]]))
    Tensor([[1., 0., 0., 4.]])
    >>> model[1:]
    Sequential(
      (1): ReLU()
    )
    """

    def __init__(self, *args: Any):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, _module(module))
        else:
            self.extend(args)

    def _sliced(self, children: dict[str, Module]) -> Sequential:
        return type(self)(OrderedDict(children))

    def __add__(self, other: Sequential) -> Self:
        return type(self)().extend(self).extend(_sequential(other))

    def __iadd__(self, other: Sequential) -> Self:
        return self.extend(_sequential(other))

    def __mul__(self, other: int) -> Self:
        return type(self)().extend(list(self) * self._times(other))

    __rmul__ = __mul__

    def __imul__(self, other: int) -> Self:
        return self.extend(list(self) * (self._times(other) - 1))

    def _times(self, factor: int) -> int:
        if not isinstance(factor, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(factor)}")
        if factor <= 0:
            raise ValueError(f"Non-positive multiplication factor {factor} for {type(self)}")
        return factor

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before position ``index``; those behind it move on by one.

        Raises
        ------
        AssertionError
            If it is no module, as in torch.
        IndexError
            If there is no such position.
        ValueError
            If one behind it has a name of its own.
        """
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        count = len(self)
        if not -count <= index <= count:
            raise IndexError(f"Index out of range: {index}")
        names, children = list(self._modules), list(self)
        at = index if index >= 0 else index + count
        if names[at:] != [str(number) for number in range(at, count)]:
            raise ValueError("a module cannot be inserted among named ones")
        for name in names[at:]:
            del self._modules[name]
        for child in [module, *children[at:]]:
            self.append(child)
        return self

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input


class ModuleList(_Numbered):
    """A list of modules; it is never called itself.

    Takes no arrays.

    Raises
    ------
    TypeError
        If something is no module.
    NotImplementedError
        When it is called.

    Examples
    --------
    >>> layers = nn.ModuleList([nn.Linear(2, 3), nn.Tanh()])
    >>> layers.append(nn.Linear(3, 1))
    ModuleList(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): Tanh()
      (2): Linear(in_features=3, out_features=1, bias=True)
    )
    >>> [name for name, _ in layers.named_parameters()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _sliced(self, children: dict[str, Module]) -> ModuleList:
        return type(self)(children.values())

    def __add__(self, other: Iterable[Module]) -> Self:
        return type(self)().extend(self).extend(other)

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def insert(self, index: int, module: Module) -> None:
        """Put a module before position ``index``, as ``list.insert`` does; those behind it move on by one."""
        children = list(self)
        children.insert(index, _module(module))
        self._renumber(children)

    def __repr__(self) -> str:
        """Runs of equal children on one line, as in torch."""
        runs: list[tuple[str, list[int]]] = []
        for number, child in enumerate(self):
            shown = repr(child)
            if runs and runs[-1][0] == shown:
                runs[-1][1].append(number)
            else:
                runs.append((shown, [number]))
        if not runs:
            return "ModuleList()"
        lines = [
            f"({numbers[0]}): {shown}"
            if len(numbers) == 1
            else f"({numbers[0]}-{numbers[-1]}): {len(numbers)} x {shown}"
            for shown, numbers in runs
        ]
        return "ModuleList(\n  " + "\n  ".join(line.replace("\n", "\n  ") for line in lines) + "\n)"


class ModuleDict(Module):
    """Modules by name; it is never called itself.

    Takes no arrays.

    Raises
    ------
    TypeError
        If something is no module, or a name no string.
    NotImplementedError
        When it is called.

    Examples
    --------
    >>> heads = nn.ModuleDict({"score": nn.Linear(2, 1)})
    >>> heads["gate"] = nn.Sigmoid()
    >>> list(heads.keys()), heads["gate"](tensor(0.0))
    (['score', 'gate'], Tensor(0.5))
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module | None) -> None:
        self.add_module(key, _module(module))

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> Any:
        """The names, in order."""
        return self._modules.keys()

    def values(self) -> Any:
        """The modules, in order."""
        return self._modules.values()

    def items(self) -> Any:
        """Names and modules, in order."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Put in what a mapping or pairs of names and modules hold.

        Raises
        ------
        TypeError, ValueError
            If it is neither.
        """
        for name, module in pairs(modules, type(self).__name__):
            self[name] = module

    def pop(self, key: str) -> Any:
        """Take a module out and return it."""
        return self._modules.pop(key)

    def clear(self) -> None:
        """Take every module out."""
        self._modules.clear()


def _module(value: Any) -> Any:
    if not (value is None or isinstance(value, Module)):
        raise TypeError(f"{type(value).__name__} is not a Module subclass")
    return value


def _sequential(value: Any) -> Sequential:
    if not isinstance(value, Sequential):
        raise ValueError(f"add operator supports only objects of Sequential class, but {type(value)} is given.")
    return value


class Flatten(Module):
    """``(N, *) -> (N, prod(*))``: joins the axes from ``start_dim`` to ``end_dim``.

    Shapes: in general ``(*, a, ..., b, *)`` to ``(*, a ... b, *)``.

    Raises
    ------
    IndexError
        When it is called, if there is no such axis.
    RuntimeError
        When it is called, if ``start_dim`` comes behind ``end_dim``.

    Examples
    --------
    >>> nn.Flatten()(tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    Tensor([[1., 2., 3., 4.]])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = apply(rules.flatten, input, start_dim=self.start_dim, end_dim=self.end_dim)
        return result

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits one axis into several: the inverse of :class:`Flatten`. One of the sizes may be -1: what is left.

    Shapes: ``(*, n, *)`` to ``(*, *unflattened_size, *)``, whose product is ``n``.

    Raises
    ------
    TypeError
        If ``unflattened_size`` is no tuple or list of whole numbers.
    RuntimeError
        If the sizes do not fit the axis of an input.

    Examples
    --------
    >>> nn.Unflatten(1, (2, -1))(tensor([[1.0, 2.0, 3.0, 4.0]]))
    Tensor([[[1., 2.],
             [3., 4.]]])
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...] | list[int]):
        super().__init__()
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(
                f"unflattened_size must be a tuple of ints, but found type {type(unflattened_size).__name__}"
            )
        for place, size in enumerate(unflattened_size):
            if not isinstance(size, (int, np.integer)):
                raise TypeError(
                    "unflattened_size must be tuple of ints, but found element of type "
                    f"{type(size).__name__} at pos {place}"
                )
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        (dim,) = reduce_axes(self.dim, input.ndim)
        sizes = list(self.unflattened_size)
        if not sizes:
            raise RuntimeError("unflatten: sizes must be non-empty")
        if sizes.count(-1) > 1:
            raise RuntimeError("unflatten: only one dimension can be inferred")
        length = input.shape[dim]
        known = math.prod(size for size in sizes if size != -1)
        if known != length if -1 not in sizes else (not known or length % known):
            raise RuntimeError(
                f"unflatten: Provided sizes {sizes} don't multiply up to the size of dim {dim} ({length}) "
                "in the input tensor"
            )
        shape = (*input.shape[:dim], *(length // known if size == -1 else size for size in sizes))
        result: Tensor = apply(rules.reshape, input, shape=(*shape, *input.shape[dim + 1 :]))
        return result

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
