"""What a sample says, in the words of the manual wing."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

import manual
from compare.conformance.database import constructed_from
from torch_ref.recording import to_array

__all__ = ["MissingError", "manual_module", "translated"]

_DTYPES = {torch.float32: np.float32, torch.float64: np.float64, torch.float16: np.float16, torch.int64: np.int64}


class MissingError(Exception):
    """The manual wing has no such module."""


def manual_module(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Construct the manual wing's module of that name from the arguments that torch's was constructed from."""
    kind = getattr(manual.nn, name, None)
    if kind is None:
        raise MissingError(f"manual.nn has no {name}")
    return kind(*(translated(value) for value in arguments), **{key: translated(v) for key, v in options.items()})


def translated(value: Any) -> Any:
    """An argument for the manual wing: tensors become arrays, torch's dtypes, functions and modules their twins."""
    if isinstance(value, torch.Tensor):
        return to_array(value).copy()
    if isinstance(value, torch.dtype):
        return _DTYPES[value]
    if isinstance(value, torch.nn.Module):
        return manual_module(*constructed_from(value))
    if type(value) in (tuple, list):
        return type(value)(translated(item) for item in value)
    if type(value) is dict:
        return {key: translated(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: translated(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return getattr(manual.nn, type(value).__name__)(**fields)
    if callable(value) and not isinstance(value, type):
        name = getattr(value, "__name__", "")
        twin = getattr(manual.nn.functional, name, None) or getattr(manual, name, None)
        if twin is None:
            raise MissingError(f"manual.nn.functional has no {name}")
        return twin
    return value
