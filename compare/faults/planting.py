"""Planting: wrong code takes the place of right code in the manual wing, for one side and only while that side runs.

So the two sides of a walk, and several spoiled sides in one process, do not get into each other's way.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial, wraps
from types import MethodType
from typing import Any

from compare.batches import MicroBatch
from manual.tensor import lift

__all__ = ["Plant", "PlantedSide", "Planting", "planted"]

_MISSING = object()
Change = tuple[Any, str, Callable[[Any], Any]]


class Planting:
    """What is replaced in the manual wing while a spoiled side runs; a context manager.

    Parameters
    ----------
    steps : the steps that the side will walk, for mistakes that depend on the number of micro-batches

    Attributes
    ----------
    reached : bool
        Whether any of the wrong code has run.
    hidden : set of the members that the side does not show
    """

    def __init__(self, steps: Sequence[Sequence[MicroBatch]] = ()):
        self.steps = steps
        self.reached = False
        self.hidden: set[str] = set()
        self._changes: list[Change] = []
        self._before: list[tuple[Any, str, Any]] = []

    @property
    def micro_batches(self) -> int:
        """How many micro-batches a step has."""
        return len(self.steps[0]) if self.steps else 1

    def replace(self, owner: Any, name: str, wrong: Callable[..., Any]) -> None:
        """Let ``wrong(right, *args, **kwargs)`` run where a function of a class or module is called."""
        self._changes.append((owner, name, partial(self._spoiled, wrong)))

    def rule(self, rule: Callable[..., Any], wrong: Callable[..., Any]) -> None:
        """Let ``wrong(right, *arrays, **options)`` return value and pullback, wherever the wing holds this rule."""
        for owner, name, lifted in _places(inspect.unwrap(rule)):
            make = partial(self._spoiled, wrong)
            self._changes.append((owner, name, _lifted(make) if lifted else make))

    def hide(self, *members: str) -> None:
        """Let the side not show these, as a user's own side may not."""
        self.hidden.update(members)

    def _spoiled(self, wrong: Callable[..., Any], right: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(right)
        def spoiled(*args: Any, **kwargs: Any) -> Any:
            self.reached = True
            return wrong(right, *args, **kwargs)

        return spoiled

    def __enter__(self) -> Planting:
        for owner, name, make in self._changes:
            held = vars(owner).get(name, _MISSING)
            value = make(getattr(owner, name))
            setattr(owner, name, staticmethod(value) if isinstance(held, staticmethod) else value)
            self._before.append((owner, name, held))
        return self

    def __exit__(self, *exception: object) -> None:
        while self._before:
            owner, name, held = self._before.pop()
            if held is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, held)


Plant = Callable[[Planting], None]


def _lifted(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """An op that is a rule lifted to tensors is replaced by the wrong rule, lifted."""
    return lambda op: lift(make(op.__wrapped__))


@cache
def _places(rule: Callable[..., Any]) -> list[tuple[Any, str, bool]]:
    """Where the manual wing holds a rule: ``(owner, name, whether lifted to tensors)``."""
    op_code = lift(rule).__code__

    def holders() -> Iterator[tuple[Any, str, Any]]:
        for path, module in list(sys.modules.items()):
            if path.partition(".")[0] != "manual" and path != "compare.faults.models_manual":
                continue
            for name, value in list(vars(module).items()):
                yield module, name, value
                if inspect.isclass(value) and value.__module__ == path:
                    for attribute, held in vars(value).items():
                        if isinstance(held, staticmethod):
                            yield value, attribute, held.__func__

    return [
        (owner, name, value.__code__ is op_code)
        for owner, name, value in holders()
        if inspect.isfunction(value) and inspect.unwrap(value) is rule
    ]


class PlantedSide:
    """A side whose every method runs with a planting in force; all else is the side's own."""

    def __init__(self, side: Any, planting: Planting):
        vars(self).update(_side=side, planting=planting)

    def __getattr__(self, name: str) -> Any:
        held = vars(self)
        if "_side" not in held or name in held["planting"].hidden:
            raise AttributeError(f"the planted side shows no {name}")
        value = getattr(self._side, name)
        if not (inspect.ismethod(value) and value.__self__ is self._side):
            return value

        def spoiled(_: Any, *args: Any, **kwargs: Any) -> Any:
            with self.planting:  # the method itself may be replaced, so it is looked up again
                return getattr(self._side, name)(*args, **kwargs)

        return MethodType(spoiled, self)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._side, name, value)


def planted(
    make_side: Callable[[], Any], plant: Plant, steps: Sequence[Sequence[MicroBatch]] = ()
) -> Callable[[], PlantedSide]:
    """A factory of the same side with a mistake planted; each side made has a planting, and state, of its own."""

    def make() -> PlantedSide:
        planting = Planting(steps)
        plant(planting)
        with planting:
            side = make_side()
        return PlantedSide(side, planting)

    return make
