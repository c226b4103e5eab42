"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from manual import ops
from manual.tensor import Tensor, as_array

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Flatten and join all parameters, in order; differentiable.

    Shapes: parameters of any shape; the vector is as long as they have elements.

    Raises
    ------
    ValueError
        If there is no parameter.

    Examples
    --------
    >>> parts = [nn.Parameter(tensor([[1.0, 2.0]])), nn.Parameter(tensor([3.0]))]
    >>> nn.utils.parameters_to_vector(parts).backward(tensor([5.0, 7.0, 9.0]))
    >>> parts[0].grad, parts[1].grad
    (array([[5., 7.]], dtype=float32), array([9.], dtype=float32))
    """
    result: Tensor = ops.cat([ops.reshape(parameter, (-1,)) for parameter in parameters])
    return result


def vector_to_parameters(vec: Any, parameters: Iterable[Tensor]) -> None:
    """Copy slices of a vector into the parameters, in order, in place.

    Shapes: parameters of any shape; the vector has at least as many elements as they.

    Raises
    ------
    ValueError
        If the vector is too short.

    Examples
    --------
    >>> parts = [nn.Parameter(tensor([[1.0, 2.0]])), nn.Parameter(tensor([3.0]))]
    >>> nn.utils.vector_to_parameters(tensor([5.0, 7.0, 9.0]), parts)
    >>> parts[0].data, parts[1].data
    (array([[5., 7.]], dtype=float32), array([9.], dtype=float32))
    """
    values = as_array(vec)
    start = 0
    for parameter in parameters:
        stop = start + parameter.numel()
        parameter.data[...] = np.reshape(values[start:stop], parameter.shape)
        start = stop
