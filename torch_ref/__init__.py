"""The PyTorch wing: the same models and the same training step, differentiated by autograd."""

from torch_ref.training import Side

__all__ = ["Side"]
