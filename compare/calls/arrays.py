"""What goes into a user's function and what comes out: checked, converted, copied, named where it does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch

from compare.batches import InputError

__all__ = [
    "ContractError",
    "Watch",
    "admit",
    "as_array",
    "called",
    "describe",
    "hint",
    "listed",
    "map_tree",
    "narrowest",
    "tree_leaves",
    "widened",
]

Tree = Any
"""An array, a constant, or nested tuples and lists of them."""


class ContractError(InputError):
    """A user's function or side broke its contract; the message is one clear line."""


def called(function: Any) -> str:
    """The name by which a user knows a function, class or object."""
    name = getattr(function, "__name__", None)
    if name is None and hasattr(function, "func"):  # functools.partial
        return called(function.func)
    return str(name) if name else type(function).__name__


def describe(value: Any) -> str:
    """What a value is, in a few words: ``a tuple of 3``, ``an array of shape (2,)``."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def listed(names: Iterable[str]) -> str:
    """Names in quotes, with commas."""
    return ", ".join(repr(name) for name in names)


def hint(name: Any, known: Iterable[str]) -> str:
    """What a mistaken name may have meant."""
    known = list(known)
    near = get_close_matches(str(name), known, 1, 0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {listed(known)}" if known else "there are none"


# -- going in ----------------------------------------------------------------------------------------------------------


def admit(what: str, value: Any) -> np.ndarray:
    """A private copy of an input, in native byte order and C order.

    Raises
    ------
    InputError
        If it is no array of numbers that PyTorch can hold; ``what`` names it.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(f"{what} is a masked array, and PyTorch knows no masks; hand in .filled(...)")
    if not isinstance(value, (np.ndarray, np.generic)):
        tip = "hand in its .detach().numpy()" if isinstance(value, torch.Tensor) else "hand in a NumPy array"
        raise InputError(f"{what} is {describe(value)}, not a NumPy array; {tip}")
    dtype = value.dtype.newbyteorder("=")
    if dtype.kind not in "fiub":
        raise InputError(f"{what} has dtype {value.dtype}; only floating, integer and boolean arrays are compared")
    try:
        torch.from_numpy(np.empty(0, dtype))
    except TypeError:
        raise InputError(f"{what} has dtype {value.dtype}, which PyTorch cannot hold; convert it first") from None
    return np.array(value, dtype, order="C", subok=False)


def widened(array: np.ndarray) -> np.ndarray:
    """A floating array in float64; any other as it is."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def narrowest(arrays: Iterable[Any]) -> np.dtype[Any]:
    """The least precise floating dtype among arrays; float64 where none is floating."""
    kinds = [array.dtype for array in arrays if isinstance(array, np.ndarray) and array.dtype.kind == "f"]
    return min(kinds, key=lambda dtype: dtype.itemsize, default=np.dtype(np.float64))


class Watch:
    """Copies that a function may spoil, and whether it did.

    Parameters
    ----------
    told : dict used as an ordered set
        Where sentences about changed inputs are put.
    """

    def __init__(self, told: dict[str, None]):
        self._told = told
        self._watched: list[tuple[str, np.ndarray, bytes]] = []

    def __call__(self, what: str, array: np.ndarray) -> np.ndarray:
        """A copy of an array to hand out under this name."""
        copy = array.copy()
        self._watched.append((what, copy, copy.tobytes()))
        return copy

    def look(self, who: str) -> None:
        """Say which copies the function changed, once each."""
        for what, copy, before in self._watched:
            if copy.tobytes() != before:
                self._told[f"{who} changes {what} in place; work on a copy"] = None
        self._watched.clear()


# -- coming out --------------------------------------------------------------------------------------------------------


def as_array(what: str, value: Any, like: np.dtype[Any] | None = None, *, copy: bool = True) -> np.ndarray:
    """An array of what a user's code returned.

    Arrays of any library that speaks an array protocol (``__array__``, ``__array_interface__``, ``__dlpack__``), as
    JAX's, CuPy's and PyTorch's do, keep their dtype, and bfloat16 becomes float32; Python numbers, which have none, and
    nested lists of them get ``like``.

    Raises
    ------
    ContractError
        If it is no array of numbers; ``what`` names it.
    """
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, (np.ndarray, np.generic)):
        found = np.asarray(value)
    elif not isinstance(value, type) and any(hasattr(value, name) for name in _PROTOCOLS):
        found = _by_protocol(what, value)
    elif isinstance(value, (bool, int, float, complex)):
        found = np.asarray(value, like if not isinstance(value, complex) else None)
    elif isinstance(value, (list, tuple)):
        try:
            found = np.asarray(value)
        except ValueError:
            raise ContractError(f"{what} is {describe(value)} with rows of unequal length, not an array") from None
        if like is not None and found.dtype.kind in "fiu" and _plain(value):
            found = found.astype(like)
    else:
        raise ContractError(f"{what} is {describe(value)}, not an array")
    if found.dtype.kind not in "fiubc":
        raise ContractError(f"{what} has dtype {found.dtype}, which holds no numbers to compare")
    if found.dtype.kind == "c":
        raise ContractError(f"{what} has dtype {found.dtype}; complex numbers are not compared")
    return np.array(found) if copy else found


_PROTOCOLS = ("__array__", "__array_interface__", "__dlpack__")


def _by_protocol(what: str, value: Any) -> np.ndarray:
    """An array of another library's: as it shows itself, or else as it hands itself over, from a device if need be."""
    failures = []
    for read in (np.asarray, np.from_dlpack, _from_device):
        if read is np.asarray and not any(hasattr(value, name) for name in _PROTOCOLS[:2]):
            continue
        if read is not np.asarray and not hasattr(value, "__dlpack__"):
            continue
        try:
            found = read(value)
        except Exception as error:
            failures.append(f"{type(error).__name__}: {' '.join(str(error).split())}")
            continue
        return found.astype(np.float32) if found.dtype.name == "bfloat16" else found
    raise ContractError(
        f"{what} is {describe(value)}, which could not be read as an array ({failures[0]}); return it as a NumPy array"
    )


def _from_device(value: Any) -> np.ndarray:
    tensor = torch.from_dlpack(value).cpu()
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _plain(value: Any) -> bool:
    """Whether nested lists hold Python numbers only."""
    if isinstance(value, (list, tuple)):
        return all(_plain(item) for item in value)
    return type(value) in (bool, int, float)


# -- nested tuples and lists -------------------------------------------------------------------------------------------


def tree_leaves(tree: Tree, label: str) -> Iterator[tuple[str, Any]]:
    """Every leaf of nested tuples and lists, with a label such as ``input.1.0``."""
    if isinstance(tree, (tuple, list)):
        for index, item in enumerate(tree):
            yield from tree_leaves(item, f"{label}.{index}")
    elif isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from tree_leaves(item, f"{label}.{key}")
    else:
        yield label, tree


def map_tree(function: Callable[[str, Any], Any], tree: Tree, label: str) -> Tree:
    """The same nested tuples and lists, with ``function(label, leaf)`` in place of every leaf."""
    if isinstance(tree, (tuple, list)):
        return tuple(map_tree(function, item, f"{label}.{index}") for index, item in enumerate(tree))
    return function(label, tree)
