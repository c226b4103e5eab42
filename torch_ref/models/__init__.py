"""Models built from ``torch.nn``, each with a twin in the manual wing."""

from torch_ref.models.mlp import MLP
from torch_ref.models.surfaces import Quadratic, Rosenbrock, Saddle

__all__ = ["MLP", "Quadratic", "Rosenbrock", "Saddle"]
