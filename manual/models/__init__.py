"""Models built from ``manual.nn``, each with a twin in ``torch_ref.models``."""

from manual.models.mlp import MLP

__all__ = ["MLP"]
