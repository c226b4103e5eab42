"""Padding as a function."""

from __future__ import annotations

from typing import Any

from manual import rules
from manual.tensor import Tensor, apply

__all__ = ["pad"]


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """See :func:`manual.rules.pad`.

    Shapes: ``input`` of any shape; of the value the last axes are longer by their padding.

    Raises
    ------
    TypeError
        If a padding is no integer.
    RuntimeError
        If there is an odd number of them, or they do not fit the axes.
    NotImplementedError
        If the mode is unknown, or does not take that many axes.

    Examples
    --------
    >>> x = tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = F.pad(x, (1, 2), value=9.0)
    >>> y
    Tensor([9., 1., 2., 3., 9., 9.], requires_grad=True)
    >>> y.backward(tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    >>> x.grad
    array([2., 3., 4.], dtype=float32)
    """
    try:
        lengths = tuple(pad)
    except TypeError:
        raise TypeError(f"pad(): argument 'pad' (position 2) must be tuple of ints, not {type(pad).__name__}") from None
    for place, length in enumerate(lengths):
        if not hasattr(length, "__index__"):
            raise TypeError(
                "pad(): argument 'pad' (position 2) must be tuple of ints, but found element of type "
                f"{type(length).__name__} at pos {place}"
            )
    result: Tensor = apply(rules.pad, input, pad=lengths, mode=mode, value=value)
    return result
