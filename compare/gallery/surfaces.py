"""The three surfaces of the gallery: what each shows, where it is entered, and where it is lowest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import manual.models

__all__ = ["SURFACES", "Surface"]


@dataclass(frozen=True)
class Surface:
    """A function of two numbers, with a class of its name in ``manual.models`` and ``torch_ref.models``.

    Attributes
    ----------
    name : str
    shows : what it is known for, in a few words
    coefficients : the two numbers that make it
    start : where every path begins
    minima : its lowest points
    window : ``(left, right, bottom, top)``, the part that is drawn
    steps : how many steps a path has
    """

    name: str
    shows: str
    coefficients: tuple[float, float]
    start: tuple[float, float]
    minima: tuple[tuple[float, float], ...]
    window: tuple[float, float, float, float]
    steps: int

    def make(self, models: Any) -> Any:
        """The surface as a module of one wing's ``models``."""
        return getattr(models, self.name)(self.start)

    def heights(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """How high the manual wing's surface is over each point of two arrays."""
        rule, coefficients = self.make(manual.models)._rule, np.array(self.coefficients)
        points = np.stack([x, y], -1).reshape(-1, 1, 2)
        return np.array([rule(point, coefficients)[0] for point in points]).reshape(np.shape(x))

    def distance(self, point: Any) -> float:
        """How far a point is from the nearest minimum."""
        return min(float(np.hypot(*(np.ravel(point) - lowest))) for lowest in self.minima)


SURFACES = (
    Surface(
        "Quadratic",
        "an ill-conditioned bowl, 25 times as steep along y as along x",
        (1.0, 25.0),
        (-4.0, 1.0),
        ((0.0, 0.0),),
        (-4.6, 1.6, -1.5, 1.5),
        60,
    ),
    Surface(
        "Rosenbrock",
        "a curved valley: easy to enter, hard to follow",
        (1.0, 10.0),
        (-1.2, 1.0),
        ((1.0, 1.0),),
        (-1.8, 1.6, -0.7, 2.3),
        120,
    ),
    Surface(
        "Saddle",
        "a pass between two hollows, entered almost on the ridge",
        (1.0, 1.0),
        (-1.8, 0.05),
        ((0.0, 1.0), (0.0, -1.0)),
        (-2.1, 1.3, -1.5, 1.5),
        60,
    ),
)
