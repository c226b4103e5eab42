"""The NumPy wing: gradients derived by hand, and a training step that reads like the textbook.

Names and arguments are PyTorch's: a training script moves between the wings by changing its imports.

The examples of this package take these lines for granted; without the last one NumPy shows more digits.

>>> import numpy as np
>>> import manual
>>> from manual import classic, models, nn, optim, rules, tensor, training
>>> from manual.nn import functional as F
>>> from manual.rules import losses
>>> _ = np.set_printoptions(precision=4, suppress=True)
"""

from manual import amp, autograd, nn, ops, optim
from manual.engine import enable_grad, is_grad_enabled, no_grad
from manual.ops import *
from manual.random import manual_seed
from manual.sparse_rows import SparseRows
from manual.tensor import Tensor, tensor

__all__ = [
    "SparseRows",
    "Tensor",
    "amp",
    "autograd",
    "enable_grad",
    "is_grad_enabled",
    "manual_seed",
    "nn",
    "no_grad",
    "optim",
    "tensor",
    *ops.__all__,
]
