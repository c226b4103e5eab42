"""Containers, and the modules that only reshape."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from manual import rules
from manual.nn.module import Module, Parameter
from manual.tensor import Tensor, apply

__all__ = ["Flatten", "ModuleDict", "ModuleList", "ParameterList", "Sequential", "Unflatten"]


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

    def __setitem__(self, index: int, module: Module) -> None:
        self._modules[self._name(index)] = _module(module)

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

    def append(self, module: Module) -> Self:
        self.add_module(str(len(self)), _module(module))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        for module in list(modules):
            self.append(module)
        return self

    __iadd__ = extend

    def __add__(self, other: Iterable[Module]) -> Self:
        return type(self)().extend(self).extend(other)

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before position ``index``; those behind it move on by one."""
        children = list(self)
        children.insert(index, _module(module))
        self._renumber(children)
        return self

    def pop(self, key: int) -> Any:
        """Take a module out and return it."""
        module = self[key]
        del self[key]
        return module


class Sequential(_Numbered):
    """Passes its input through its children, one after the other.

    Takes modules, or one ``OrderedDict`` that names them. Indices and slices give modules and shorter ``Sequential`` s.
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

    def _renumber(self, modules: Iterable[Module]) -> None:
        modules = list(modules)
        if all(name.isdecimal() for name in self._modules):
            super()._renumber(modules)
        elif len(modules) > len(self):
            raise ValueError("a module cannot be inserted among named ones")

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input


class ModuleList(_Numbered):
    """A list of modules; it is never called itself."""

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        self.extend(modules or ())

    def _sliced(self, children: dict[str, Module]) -> ModuleList:
        return type(self)(children.values())

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
    """Modules by name; it is never called itself."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None):
        super().__init__()
        self.update(modules or {})

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self._modules[key] = _module(module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> Any:
        return self._modules.keys()

    def values(self) -> Any:
        return self._modules.values()

    def items(self) -> Any:
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        for name, module in dict(modules).items():
            self[name] = module

    def pop(self, key: str) -> Any:
        """Take a module out and return it."""
        return self._modules.pop(key)

    def clear(self) -> None:
        self._modules.clear()


class ParameterList(Module):
    """A list of parameters, under the names "0", "1", ...; arrays and tensors become parameters."""

    def __init__(self, values: Iterable[Any] | None = None):
        super().__init__()
        self.extend(values or ())

    def __len__(self) -> int:
        return len(self._parameters)

    def __getitem__(self, index: int | slice) -> Any:
        found = list(self)[index]
        return type(self)(found) if isinstance(found, list) else found

    def __setitem__(self, index: int, value: Any) -> None:
        name = list(self._parameters)[index]
        self._parameters[name] = value if isinstance(value, Parameter) else Parameter(value)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._parameters.values())

    def append(self, value: Any) -> Self:
        self.register_parameter(str(len(self)), value if isinstance(value, Parameter) else Parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        for value in list(values):
            self.append(value)
        return self


def _module(value: Any) -> Module:
    if not isinstance(value, Module):
        raise TypeError(f"{type(value).__name__} is not a Module subclass")
    return value


class Flatten(Module):
    """``(N, *) -> (N, prod(*))``: joins the axes from ``start_dim`` to ``end_dim``."""

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
    """Splits one axis into several: the inverse of :class:`Flatten`."""

    def __init__(self, dim: int, unflattened_size: tuple[int, ...] | list[int]):
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        dim = self.dim % input.ndim
        shape = (*input.shape[:dim], *self.unflattened_size, *input.shape[dim + 1 :])
        result: Tensor = apply(rules.reshape, input, shape=shape)
        return result

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
