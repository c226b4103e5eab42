"""Models built from ``manual.nn``, each with a twin in ``torch_ref.models``."""

from manual.models.mlp import MLP
from manual.models.surfaces import Quadratic, Rosenbrock, Saddle

__all__ = ["MLP", "Quadratic", "Rosenbrock", "Saddle"]
