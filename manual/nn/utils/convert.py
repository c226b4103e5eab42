"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from manual import ops
from manual.tensor import Tensor, as_array

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Flatten and join all parameters, in order; differentiable."""
    result: Tensor = ops.cat([ops.reshape(parameter, (-1,)) for parameter in parameters])
    return result


def vector_to_parameters(vec: Any, parameters: Iterable[Tensor]) -> None:
    """Copy slices of a vector into the parameters, in order, in place."""
    values = as_array(vec)
    start = 0
    for parameter in parameters:
        stop = start + parameter.numel()
        parameter.data[...] = np.reshape(values[start:stop], parameter.shape)
        start = stop
