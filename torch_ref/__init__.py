"""The PyTorch wing: the same models and the same training step, differentiated by autograd.

The examples of this package take these lines for granted.

>>> import numpy as np
>>> import torch
>>> import torch_ref
>>> import torch_ref.classic, torch_ref.copying, torch_ref.models, torch_ref.recording, torch_ref.scheduling
"""

from torch_ref.training import Side

__all__ = ["Side"]
