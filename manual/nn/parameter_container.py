"""Containers of parameters. What is no tensor and no array is kept as it is, and is no parameter, as in torch."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn, Self

import numpy as np

from manual.nn.module import Module, Parameter
from manual.tensor import Tensor

__all__ = ["ParameterDict", "ParameterList"]


class _Values(Module):
    """Parameters and other values, each an attribute under a name of its own."""

    def _put(self, name: str, value: Any) -> None:
        if isinstance(value, (Tensor, np.ndarray)) and not isinstance(value, Parameter):
            value = Parameter(value)
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
        else:
            setattr(self, name, value)

    def _shown(self, names: Iterable[str]) -> str:
        lines = []
        for name in names:
            value = getattr(self, name)
            if isinstance(value, Parameter):
                size = "x".join(map(str, value.shape))
                lines.append(f"  ({name}): Parameter containing: [{value.dtype} of size {size}]")
            else:
                lines.append(f"  ({name}): Object of type: {type(value).__name__}")
        return "\n".join(lines)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"{type(self).__name__} should not be called.")


class ParameterList(_Values):
    """A list of parameters, under the names "0", "1", ...; arrays and tensors become parameters.

    Shapes: each parameter of a shape of its own.

    Raises
    ------
    TypeError
        If ``values`` is no iterable.
    RuntimeError
        When it is called.

    Examples
    --------
    >>> scales = nn.ParameterList([tensor([1.0, 2.0])])
    >>> scales.append(tensor([3.0])) is scales, len(scales)
    (True, 2)
    >>> (scales[0] * scales[1]).backward(tensor([5.0, 7.0]))
    >>> scales[1].grad
    array([19.], dtype=float32)
    """

    def __init__(self, values: Iterable[Any] | None = None):
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter(self[number] for number in range(len(self)))

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(self[number] for number in range(*index.indices(len(self))))
        return getattr(self, self._name(index))

    def __setitem__(self, index: int, value: Any) -> None:
        self._put(self._name(index), value)

    def __dir__(self) -> Iterable[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def _name(self, index: int) -> str:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {position} is out of range")
        return str(position % len(self))

    def append(self, value: Any) -> Self:
        """Add one at the end, and return the list."""
        self._size += 1
        self[-1] = value
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Append several values.

        Raises
        ------
        TypeError
            If they cannot be iterated over, or are the rows of one tensor.
        """
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(f"ParameterList.extend should be called with an iterable, but got {type(values).__name__}")
        for value in list(values):
            self.append(value)
        return self

    __iadd__ = extend

    def extra_repr(self) -> str:
        return self._shown(map(str, range(len(self))))


class ParameterDict(_Values):
    """Parameters by name; arrays and tensors become parameters.

    It keeps the order in which names were given, except that those of a plain ``dict`` enter in the order of the
    alphabet, as in torch.

    Shapes: each parameter of a shape of its own.

    Raises
    ------
    TypeError
        If ``parameters`` is no mapping and no iterable of pairs.
    ValueError
        If one is no pair.
    RuntimeError
        When it is called.

    Examples
    --------
    >>> parts = nn.ParameterDict({"scale": tensor([2.0]), "shift": tensor([1.0])})
    >>> (parts["scale"] * 3 + parts["shift"]).backward(tensor([5.0]))
    >>> {name: part.grad for name, part in parts.items()}
    {'scale': array([15.], dtype=float32), 'shift': array([5.], dtype=float32)}
    """

    def __init__(self, parameters: Any = None):
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def _attribute(self, key: Any) -> str:
        if not isinstance(key, str):
            raise TypeError(
                f"Index given to ParameterDict cannot be used as a key as it is not a string (type is "
                f"'{type(key).__name__}')."
            )
        return key

    def __getitem__(self, key: str) -> Any:
        return getattr(self, self._attribute(key))

    def __setitem__(self, key: str, value: Any) -> None:
        self._put(self._attribute(key), value)
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, self._attribute(key))

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __or__(self, other: Mapping[str, Any]) -> ParameterDict:
        joined = self.copy()
        joined.update(other)
        return joined

    def __ror__(self, other: dict[str, Any]) -> dict[str, Any]:
        return {**other, **dict(self.items())}

    def __ior__(self, other: Mapping[str, Any]) -> Self:
        self.update(other)
        return self

    def keys(self) -> Iterable[str]:
        """The names, in order."""
        return self._keys.keys()

    def values(self) -> Iterable[Any]:
        """The parameters, in order."""
        return (self[key] for key in self._keys)

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and parameters, in order."""
        return ((key, self[key]) for key in self._keys)

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of that name, or else the default."""
        return self[key] if key in self._keys else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of a key, which is put there if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Take a value out and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the key and the value that were put in last out, and return them.

        Raises
        ------
        KeyError
            If there are none.
        """
        if not self._keys:
            raise KeyError("popitem(): dictionary is empty")
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def clear(self) -> None:
        """Take every parameter out."""
        for key in list(self._keys):
            del self[key]

    def copy(self) -> ParameterDict:
        """Another dictionary with the same parameters."""
        return ParameterDict(OrderedDict(self.items()))

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Another dictionary, with one value for all keys."""
        return ParameterDict((key, default) for key in keys)

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Put in what a mapping or pairs of keys and values hold.

        Raises
        ------
        TypeError, ValueError
            If it is neither.
        """
        ordered = isinstance(parameters, (OrderedDict, ParameterDict))
        for key, value in pairs(parameters, type(self).__name__, alphabetical=not ordered):
            self[key] = value

    def extra_repr(self) -> str:
        return self._shown(self._keys)


def pairs(source: Any, container: str, *, alphabetical: bool = False) -> list[tuple[Any, Any]]:
    """The keys and values of a mapping or of an iterable of pairs; a mapping's in the order of its keys on demand.

    Raises
    ------
    TypeError, ValueError
        If it is neither, with torch's messages for this container.
    """
    if not isinstance(source, Iterable):
        raise TypeError(
            f"{container}.update should be called with an iterable of key/value pairs, but got {type(source).__name__}"
        )
    if hasattr(source, "items"):
        found = list(source.items())
        return sorted(found, key=lambda pair: pair[0]) if alphabetical else found
    found = []
    for number, pair in enumerate(source):
        if not isinstance(pair, Iterable):
            raise TypeError(
                f"{container} update sequence element #{number} should be Iterable; is{type(pair).__name__}"
            )
        pair = tuple(pair)
        if len(pair) != 2:
            raise ValueError(f"{container} update sequence element #{number} has length {len(pair)}; 2 is required")
        found.append(pair)
    return found
