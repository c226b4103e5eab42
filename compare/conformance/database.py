"""The one place that reaches PyTorch's private test database of modules.

Importing it takes seconds, changes warning filters and makes setters of ``torch.backends`` raise: use it in a process
of its own, as ``gradlock conformance`` is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from compare.batches import InputError

__all__ = ["Sample", "names", "samples"]

_KEPT = "_gradlock_arguments"


@dataclass(frozen=True)
class Sample:
    """One way to construct and to call a module.

    Attributes
    ----------
    module : its name in ``torch.nn``
    number : counts the samples of one module, from 0
    note : how the database describes it, often empty
    arguments, options : of the constructor
    inputs, keywords : of the call; floating tensors that require a gradient are its inputs
    """

    module: str
    number: int
    note: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    inputs: tuple[Any, ...]
    keywords: dict[str, Any]

    @property
    def label(self) -> str:
        return f"{self.module}[{self.number}]" + (f" ({self.note})" if self.note else "")


def names() -> list[str]:
    """The modules of the database, in its order, without the prefix ``nn.``."""
    return [_name(info) for info in _database()]


def samples(module: str, dtype: torch.dtype, training: bool) -> Iterator[Sample]:
    """Every sample of one module, as the database makes them from its own seed.

    Raises
    ------
    InputError
        If the database has another form than that of torch 2.13.
    """
    (info,) = [info for info in _database() if _name(info) == module]
    torch.manual_seed(0)
    try:
        with _constructors_kept():
            made = list(info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training))
        for number, one in enumerate(made):
            yield Sample(
                module,
                number,
                one.desc or "",
                tuple(one.constructor_input.args),
                dict(one.constructor_input.kwargs),
                tuple(one.forward_input.args),
                dict(one.forward_input.kwargs),
            )
    except (AttributeError, TypeError) as error:
        raise _changed(error) from error


def constructed_from(module: torch.nn.Module) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """The class and the arguments of a module that a sample holds ready-made (the layer of a TransformerEncoder)."""
    arguments, options = getattr(module, _KEPT)
    return type(module).__name__, arguments, options


def _name(info: Any) -> str:
    return str(info.name).removeprefix("nn.")


def _database() -> list[Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torch.testing._internal.common_modules import module_db
    except ImportError as error:
        if "expecttest" in str(error):
            raise InputError(
                "PyTorch's test database needs the package expecttest: install gradlock[conformance]"
            ) from error
        raise _changed(error) from error
    return list(module_db)


def _changed(error: Exception) -> InputError:
    return InputError(
        f"torch {torch.__version__} has no test database of the form that gradlock knows, that of torch 2.13: {error}"
    )


@contextmanager
def _constructors_kept() -> Iterator[None]:
    """Let modules that samples are given ready-made remember what they were constructed from."""
    kind = torch.nn.TransformerEncoderLayer
    construct = kind.__init__

    def remembering(self: Any, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        setattr(self, _KEPT, (args, kwargs))

    kind.__init__ = remembering  # type: ignore[method-assign]
    try:
        yield
    finally:
        kind.__init__ = construct  # type: ignore[method-assign]
