"""Random numbers that a module of PyTorch draws in a forward pass, recorded so that the other wing can replay them."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils._python_dispatch import TorchDispatchMode

from compare.kinks import name_of
from torch_ref.recording import to_array

__all__ = ["Drawing"]

_IN_PLACE = frozenset({"bernoulli_", "uniform_", "normal_", "random_", "exponential_"})
_RESULT = frozenset({"bernoulli", "rand", "randn", "rand_like", "randn_like", "multinomial", "randperm"})


class Drawing(TorchDispatchMode):
    """Keeps what every random op draws, in order of execution."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[np.ndarray] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = name_of(func)
        if name in _IN_PLACE or name in _RESULT:
            self.made.append(to_array(out).copy())
        elif name in ("rrelu_with_noise", "rrelu_with_noise_") and len(args) > 4 and args[4]:
            # the noise is an argument that it fills, in training only; a default of False is not among the arguments
            self.made.append(to_array(args[1]).copy())
        return out
