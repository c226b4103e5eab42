"""Models built from ``torch.nn``, each with a twin in the manual wing."""

from torch_ref.models.mlp import MLP

__all__ = ["MLP"]
