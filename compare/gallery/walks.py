"""The walks of the gallery: each optimizer down each surface, honest and with a mistake planted, in lockstep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compare.experiments.pairs import Recipe
from compare.faults.planting import planted
from compare.gallery.descent import PROMISES, Path, sides, steps_of
from compare.gallery.mistakes import Mistake, mistake_in
from compare.gallery.recipes import recipe_of
from compare.gallery.surfaces import SURFACES, Surface
from compare.lockstep import lockstep
from compare.measured import Measured
from compare.verdict import Outcome, Verdict

__all__ = ["Descent", "Portrait", "portrait"]


@dataclass(frozen=True)
class Descent:
    """One optimizer on one surface.

    Attributes
    ----------
    verdict, path : of the honest walk
    spoiled, astray : verdict and path of the walk with the mistake in the manual side
    """

    surface: Surface
    recipe: Recipe
    verdict: Verdict
    path: Path
    spoiled: Verdict
    astray: Path

    @property
    def seen(self) -> bool:
        """Whether the mistake was seen to lead off the path."""
        return self.spoiled.outcome is Outcome.DIVERGED and self.astray.leaves is not None


@dataclass(frozen=True)
class Portrait:
    """One optimizer on every surface."""

    optimizer: str
    mistake: Mistake
    descents: tuple[Descent, ...]


def portrait(
    optimizer: str, *, tolerance: str = "measured", on_walk: Callable[[], Any] | None = None, **options: Any
) -> Portrait:
    """Walk one optimizer down every surface, twice.

    Parameters
    ----------
    optimizer : name of a class in ``manual.optim`` and ``torch.optim``
    tolerance : "measured" or "fixed"
    on_walk : called after each walk
    options : other options of ``lockstep``

    Notes
    -----
    At a kink only the reference's branch is right. Rprop sets a gradient that turned to zero, on the kink of its sign,
    where a move either way would otherwise pass for rounding.
    """
    mistake = mistake_in(optimizer)
    descents = []
    for place, surface in enumerate(SURFACES):
        recipe = recipe_of(optimizer, surface, place)
        (actual, expected), steps = sides(surface, recipe), steps_of(surface)
        found: list[Any] = []
        for make in (actual, planted(actual, mistake.plant, steps)):
            path = Path()
            judge = Measured(expected, steps, "float64", kinks="reference") if tolerance == "measured" else tolerance
            verdict = lockstep(make, expected, steps, tolerance=judge, promises=PROMISES, observer=path, **options)
            found += verdict, path
            if on_walk:
                on_walk()
        descents.append(Descent(surface, recipe, *found))
    return Portrait(optimizer, mistake, tuple(descents))
