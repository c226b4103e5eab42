"""How faults and controls are written down: a decorator on the function that plants them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import manual.training
from compare.faults.fault import Control, Fault, Scene
from compare.faults.planting import Plant, Planting
from manual.rules.core import Gradients, Needs

__all__ = ["Controls", "Faults", "every_side", "with_gradient", "with_pullback"]


class Faults(list[Fault]):
    """Faults in the order in which they are written."""

    def add(
        self,
        name: str,
        mistake: str,
        *,
        cause: str,
        phase: str,
        step: int,
        scene: Scene,
        source: str = "",
        also: tuple[str, ...] = (),
    ) -> Callable[[Plant], Plant]:
        """Decorate the function that plants this mistake."""

        def decorate(plant: Plant) -> Plant:
            self.append(Fault(name, mistake, cause, phase, step, scene, plant, source, also))
            return plant

        return decorate


class Controls(list[Control]):
    """Controls in the order in which they are written."""

    def add(self, name: str, rewrite: str, *scenes: Scene) -> Callable[[Plant], Plant]:
        """Decorate the function that plants this rewrite, into each of some scenes."""

        def decorate(plant: Plant) -> Plant:
            for scene in scenes:
                suffix = "-float32" if "float32" in scene.name else ""
                self.append(Control(name + suffix, rewrite, scene, plant))
            return plant

        return decorate


def with_pullback(change: Callable[..., Gradients]) -> Callable[..., Any]:
    """A rule whose value is right and whose gradients ``change(gradients, incoming, needs, *inputs)`` returns.

    ``gradients`` is what the right pullback returns.
    """

    def wrong(right: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
        value, pullback = right(*inputs, **options)

        def wrong_pullback(incoming: Any, needs: Needs) -> Gradients:
            return change(pullback(incoming, needs), incoming, needs, *inputs)

        return value, wrong_pullback

    return wrong


def every_side(plant: Planting, name: str, wrong: Callable[..., Any]) -> None:
    """Replace a method of both kinds of sides."""
    for kind in (manual.training.Side, manual.training.ClassicSide):
        plant.replace(kind, name, wrong)


def with_gradient(side: Any) -> list[Any]:
    """The parameters of a side that have a gradient."""
    return [parameter for parameter in side._named.values() if parameter.grad is not None]
