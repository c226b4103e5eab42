"""One side's names and layouts in terms of the other's: what a user says with ``names=``.

A map is an exact dict (``{"W1": "hidden.weight"}``, from the actual side's name to the expected one's), a dict of
patterns with one ``*`` (``{"layers_*_kernel": "layers.*.weight"}``), or a function from the actual name to the expected
one. A value may be a pair ``(name, axes)``: the order of axes that turns the actual array into the expected one, as
``numpy.transpose`` takes it. A name of which nothing is said keeps its name, and one that then has no counterpart is
reported with the nearest candidates; it is never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from itertools import permutations
from typing import Any, TypeVar

import numpy as np

from compare.batches import InputError

__all__ = ["NameMap", "Names", "name_map", "nearest", "order_of_axes", "suggestion"]

T = TypeVar("T")
Axes = tuple[int, ...] | None
Names = Mapping[str, Any] | Callable[[str], Any] | None
"""What a user says with ``names=``."""

_CANDIDATES = 3
_ALIKE = 0.6  # the least similarity of names, from 0 to 1, that is worth a mention
_LAYOUTS = ((1, 0), (2, 1, 0), (3, 2, 0, 1), (4, 3, 0, 1, 2))  # kernels of Keras and JAX as PyTorch has them
_SAME_WORD = {"kernel": "weight", "w": "weight", "gamma": "weight", "scale": "weight", "b": "bias", "beta": "bias"}


def name_map(
    names: Names,
    actual: Mapping[str, Any] | Iterable[str],
    expected: Mapping[str, Any] | Iterable[str],
    *,
    later: Iterable[str] = (),
) -> NameMap:
    """Match the names of two sides.

    Parameters
    ----------
    names : dict, callable or None
        Exact names, patterns with one ``*``, or a function from the actual name to the expected one, or to ``None``
        where it says nothing; each value a name or ``(name, axes)``.
    actual, expected : dict of name to array or shape, or names alone
        What the two sides have. With shapes, the nearest candidates are better, and axes are checked.
    later : names
        More names of the expected side (module paths, slots), whose counterparts are not known yet.

    Returns
    -------
    NameMap

    Raises
    ------
    InputError
        If the map is ambiguous, clashes, or names what there is not.

    Examples
    --------
    >>> found = name_map({"W*": ("layer*.weight", (1, 0))}, {"W1": (4, 3), "b1": (3,)}, {"layer1.weight": (3, 4)})
    >>> found.renames
    {'W1': 'layer1.weight'}
    >>> found.to_expected("W1", np.ones((4, 3))).shape
    (3, 4)
    >>> found.only_actual
    ['b1']
    """
    return NameMap(names, _shapes(actual), _shapes(expected), later)


class NameMap:
    """The names of two sides, matched; made by :func:`name_map`.

    Attributes
    ----------
    renames : dict of actual name to expected name
        What is matched, names that are the same included.
    axes : dict of actual name to order of axes
        Of those whose layout differs.
    only_actual, only_expected : lists of names
        What has no counterpart.
    given : bool
        Whether anything was said.

    Examples
    --------
    >>> found = name_map({"W": "weight"}, ["W"], ["weight"])
    >>> found.expected_name("W"), found.actual_name("weight")
    ('weight', 'W')
    """

    def __init__(
        self,
        names: Names,
        actual: Mapping[str, Axes],
        expected: Mapping[str, Axes],
        later: Iterable[str] = (),
    ):
        self._function, self._exact, self._patterns = _rules(names)
        self.given = names is not None
        self._shapes = {"actual": dict(actual), "expected": dict(expected)}
        self._back: dict[str, str] = {}
        self._met: set[str] = set()  # entries of the map that have named something
        self.renames: dict[str, str] = {}
        self.axes: dict[str, tuple[int, ...]] = {}
        self.only_actual: list[str] = []
        self._check_exact(set(expected).union(later), later)
        for name, shape in actual.items():
            target, axes = self._meet(name)
            if axes is not None:
                _check_axes(name, axes, shape)
                self.axes[name] = axes
            if target not in expected:
                self.only_actual.append(name)
                continue
            self._claim(name, target)
            self.renames[name] = target
        for pattern in self._patterns:
            if not later and not any(_filling(pattern, name) for name in actual):
                raise InputError(f"names has the pattern {pattern!r}, which fits no name; there are {_some(actual)}")
        taken = set(self.renames.values())
        self.only_expected = [name for name in expected if name not in taken]

    # -- one name --------------------------------------------------------------------------------------------------

    def expected_name(self, actual: str) -> str:
        """What the expected side calls it; its own name where nothing else is said, matched or not."""
        if actual in self.renames:
            return self.renames[actual]
        return self._resolve(actual)[0]

    def met(self, actual: str) -> str:
        """The same of a name that the actual side shows: its entry of the map is of use (:meth:`unused`)."""
        return self._meet(actual)[0]

    def actual_name(self, expected: str) -> str:
        """What the actual side calls it; its own name where nothing else is known."""
        if expected in self._back:
            return self._back[expected]
        for name, (target, _) in self._exact.items():
            if target == expected:
                return name
        for pattern, (target, _) in self._patterns.items():
            filling = _filling(target, expected) if "*" in target else None
            if filling:
                name = pattern.replace("*", filling)
                if self._resolve(name)[0] == expected:
                    return name
        return expected

    def to_expected(self, actual: str, array: Any) -> Any:
        """An array in the expected side's layout, a view where that is possible; what has other axes stays as it is."""
        axes = self.order_of(actual)
        return array if axes is None or np.ndim(array) != len(axes) else np.transpose(array, axes)

    def to_actual(self, actual: str, array: Any) -> Any:
        """An array of the expected side in the layout in which the actual side has it under this (actual) name."""
        axes = self.order_of(actual)
        return array if axes is None or np.ndim(array) != len(axes) else np.transpose(array, np.argsort(axes))

    def order_of(self, actual: str) -> Axes:
        """The order of axes that the map gives a name of the actual side; ``None`` where it gives none."""
        return self.axes.get(actual) or self._resolve(actual)[1]

    def renamed(self, values: Mapping[str, T]) -> dict[str, T]:
        """The same values under the expected side's names.

        Raises
        ------
        InputError
            If two of them would have one name.
        """
        found: dict[str, T] = {}
        for name, value in values.items():
            target, _ = self._meet(name)
            if target in found:
                other = next(one for one in values if one != name and self.expected_name(one) == target)
                raise _clash(other, name, target)
            self._back.setdefault(target, name)
            found[target] = value
        return found

    # -- what has no counterpart -----------------------------------------------------------------------------------

    def hint(self, side: str, name: str) -> str:
        """The nearest candidates for a name that one side alone has; empty if none is near.

        ``side`` is ``"actual"`` or ``"expected"``. Candidates are names of the other side that have no counterpart
        either; of the same shape first.
        """
        mine, theirs = self._shapes[side], self._shapes["expected" if side == "actual" else "actual"]
        left = self.only_expected if side == "actual" else self.only_actual
        shape = mine.get(name)
        return suggestion(name, shape, {other: theirs.get(other) for other in left}, mine=side == "actual")

    def another_layout(self, actual: str) -> str:
        """What to write if a matched name has its axes in another order, as far as the shapes tell; else nothing."""
        target = self.renames.get(actual, "")
        mine, theirs = self._shapes["actual"].get(actual), self._shapes["expected"].get(target)
        axes = None if actual in self.axes else order_of_axes(mine, theirs)
        if axes is None:
            return ""
        return f"if that is another order of axes, say names={{{actual!r}: ({target!r}, {axes})}}"

    def unused(self) -> list[str]:
        """Which entries of the map name nothing that the actual side has shown, in sentences."""
        entries = {**self._exact, **self._patterns}
        return [
            f"names maps {key!r} to {target!r}, but the actual side shows no {key!r}"
            for key, (target, _) in entries.items()
            if key not in self._met
        ]

    # -- the rules -------------------------------------------------------------------------------------------------

    def _meet(self, name: str) -> tuple[str, Axes]:
        """What a name that the actual side has stands for."""
        if name in self._exact:
            self._met.add(name)
        else:
            self._met.update(pattern for pattern in self._patterns if _filling(pattern, name))
        return self._resolve(name)

    def _resolve(self, name: str) -> tuple[str, Axes]:
        if self._function is not None:
            value = self._function(name)
            return (name, None) if value is None else _target(f"names({name!r})", value)
        if name in self._exact:
            return self._exact[name]
        found = {
            pattern: (target.replace("*", filling), axes)
            for pattern, (target, axes) in self._patterns.items()
            if (filling := _filling(pattern, name))
        }
        if len(set(found.values())) > 1:
            (one, (first, _)), (other, (second, _)) = list(found.items())[:2]
            raise InputError(
                f"names is ambiguous: {one!r} makes {first!r} of {name!r}, and {other!r} makes {second!r} of it; give "
                "that name an entry of its own"
            )
        return next(iter(found.values()), (name, None))

    def _claim(self, name: str, target: str) -> None:
        other = self._back.setdefault(target, name)
        if other != name:
            raise _clash(other, name, target)

    def _check_exact(self, known: set[str], later: Iterable[str]) -> None:
        """Refuse entries of an exact map that name what neither side has."""
        mine, seen_later = self._shapes["actual"], set(later)
        for name, (target, _) in self._exact.items():
            if target not in known:
                tip = nearest(target, None, dict.fromkeys(known)) or sorted(known)
                raise InputError(
                    f"names maps {name!r} to {target!r}, which the expected side does not have; nearest: {_some(tip)}"
                )
            if name not in mine and target not in seen_later:  # what shows later cannot be missed yet
                tip = nearest(name, None, mine) or list(mine)
                raise InputError(
                    f"names maps {name!r} to {target!r}, but the actual side has no {name!r}; nearest: {_some(tip)}"
                )


def _clash(one: str, other: str, target: str) -> InputError:
    if target in (one, other):
        mapped = other if target == one else one
        return InputError(
            f"names maps {mapped!r} to {target!r}, but the actual side has a {target!r} of its own; say what that one "
            "is called on the expected side"
        )
    return InputError(f"names maps both {one!r} and {other!r} to {target!r}; each needs a name of its own")


# -- reading the map ---------------------------------------------------------------------------------------------------


def _rules(names: Any) -> tuple[Callable[[str], Any] | None, dict[str, tuple[str, Axes]], dict[str, tuple[str, Axes]]]:
    """The function, the exact entries and the patterns of a map."""
    if names is None:
        return None, {}, {}
    if not isinstance(names, Mapping):
        if callable(names):
            return names, {}, {}
        raise InputError(
            f"names is {type(names).__name__} {names!r}; it must be a dict of actual name to expected name, or a "
            "function of the actual name"
        )
    exact: dict[str, tuple[str, Axes]] = {}
    patterns: dict[str, tuple[str, Axes]] = {}
    for key, value in names.items():
        if not isinstance(key, str) or not key:
            raise InputError(f"names has the key {key!r}; a key is a name of the actual side, or a pattern with one *")
        target, axes = _target(f"names[{key!r}]", value)
        stars = key.count("*"), target.count("*")
        if stars not in ((0, 0), (1, 1)):
            raise InputError(f"names[{key!r}] is {target!r}; a pattern has one * on either side, a name none")
        (patterns if stars[0] else exact)[key] = target, axes
    return None, exact, patterns


def _target(what: str, value: Any) -> tuple[str, Axes]:
    """A name, and an order of axes or ``None``."""
    name, axes = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, None)
    if not isinstance(name, str) or not name:
        raise InputError(f"{what} is {value!r}; it must be a name of the expected side, or (name, order of axes)")
    if axes is None:
        return name, None
    order = tuple(axes) if isinstance(axes, (tuple, list)) else ()
    if not all(type(axis) is int for axis in order) or sorted(order) != list(range(len(order))) or not order:
        raise InputError(f"{what} has the axes {axes!r}; they must be an order of axes such as (1, 0)")
    return name, order


def _check_axes(name: str, axes: tuple[int, ...], shape: Axes) -> None:
    if shape is not None and len(axes) != len(shape):
        raise InputError(f"names gives {name!r} the axes {axes}, but its shape {shape} has {len(shape)} of them")


def _filling(pattern: str, name: str) -> str | None:
    """What stands in a name for the ``*`` of a pattern; ``None`` where it does not fit, or nothing does."""
    before, _, after = pattern.partition("*")
    if len(name) > len(before) + len(after) and name.startswith(before) and name.endswith(after):
        return name[len(before) : len(name) - len(after)]
    return None


def _shapes(names: Mapping[str, Any] | Iterable[str]) -> dict[str, Axes]:
    if not isinstance(names, Mapping):
        return dict.fromkeys(names)
    return {name: _shape(value) for name, value in names.items()}


def _shape(value: Any) -> Axes:
    found = value if isinstance(value, (tuple, list)) else getattr(value, "shape", None)
    return None if found is None else tuple(int(size) for size in found)


# -- what is near ------------------------------------------------------------------------------------------------------


def suggestion(name: str, shape: Axes, candidates: Mapping[str, Axes], *, mine: bool = True) -> str:
    """The nearest candidates for a name without counterpart, and what to write; empty where none is near.

    ``mine`` says that the name is the actual side's, and the candidates the expected side's.

    Examples
    --------
    >>> suggestion("W", (4, 3), {"weight": (3, 4)})
    "nearest: 'weight'; shape (3, 4) is (4, 3) with the axes in another order, names={'W': ('weight', (1, 0))}"
    """
    found = nearest(name, shape, candidates)
    if not found:
        return ""
    best = found[0]
    theirs = candidates[best]
    ours, other = (name, best) if mine else (best, name)
    axes = order_of_axes(shape, theirs) if mine else order_of_axes(theirs, shape)
    said = f"nearest: {', '.join(repr(one) for one in found)}"
    if axes is None:
        return f"{said}; if they are the same, names={{{ours!r}: {other!r}}}"
    turned = f"shape {theirs} is {shape} with the axes in another order"
    return f"{said}; {turned}, names={{{ours!r}: ({other!r}, {axes})}}"


def nearest(name: str, shape: Axes, candidates: Mapping[str, Axes]) -> list[str]:
    """The candidates that a name may have meant, best first: at most three, of the same shape before others.

    Examples
    --------
    >>> nearest("W1", (3, 4), {"out.bias": (4,), "hidden.weight": (3, 4)})
    ['hidden.weight']
    >>> nearest("hiden.weight", None, {"out.bias": None, "hidden.weight": None})
    ['hidden.weight']
    """
    ranked = []
    for other, theirs in candidates.items():
        alike = _alike(name, other)
        same = shape is not None and theirs == shape
        turned = order_of_axes(shape, theirs) is not None
        misfit = shape is not None and theirs is not None and not same and not turned
        if same or turned or (alike >= _ALIKE and not misfit) or alike >= 0.8:
            ranked.append((2 if same else 1 if turned else 0, alike, other))
    ranked.sort(key=lambda entry: (-entry[0], -entry[1]))
    return [other for _, _, other in ranked[:_CANDIDATES]]


def order_of_axes(mine: Axes, theirs: Axes) -> tuple[int, ...] | None:
    """The order of axes that makes one shape another, if they differ in that alone; usual layouts first.

    Examples
    --------
    >>> order_of_axes((5, 5, 3, 8), (8, 3, 5, 5))
    (3, 2, 0, 1)
    """
    if mine is None or theirs is None or mine == theirs or sorted(mine) != sorted(theirs) or len(mine) > 6:
        return None
    usual = (axes for axes in _LAYOUTS if len(axes) == len(mine))
    orders: Iterator[tuple[int, ...]] = permutations(range(len(mine)))
    for axes in [*usual, *orders]:
        if tuple(mine[axis] for axis in axes) == theirs:
            return axes
    return None


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, _words(one), _words(other)).ratio()


def _words(name: str) -> str:
    """A name in small letters, its parts joined by dots, and every word by the one that PyTorch uses."""
    for mark in "_/:-":
        name = name.replace(mark, ".")
    parts = []
    for part in name.lower().split("."):
        word = part.rstrip("0123456789")
        parts.append(_SAME_WORD.get(word, word) + part[len(word) :])
    return ".".join(parts)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _CANDIDATES} more" if len(listed) > _CANDIDATES else ""
    return (", ".join(repr(name) for name in listed[:_CANDIDATES]) + more) or "none"
