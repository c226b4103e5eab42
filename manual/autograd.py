"""``manual.autograd.backward``, as ``torch.autograd.backward``."""

from manual.engine import enable_grad, no_grad
from manual.tensor import backward

__all__ = ["backward", "enable_grad", "no_grad"]
