"""The one place that reaches PyTorch's private test databases: of modules, and of optimizers and schedulers.

Importing it takes seconds, changes warning filters and makes setters of ``torch.backends`` raise: use it in a process
of its own, as ``gradlock conformance`` is.
"""

from __future__ import annotations

import importlib
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from compare.batches import InputError
from compare.conformance.schedules import Schedule, Scheduler

__all__ = ["Configuration", "Sample", "configurations", "names", "optimizers", "samples", "schedules"]

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


@dataclass(frozen=True)
class Configuration:
    """One way to construct an optimizer.

    Attributes
    ----------
    optimizer : its name in ``torch.optim``
    number : counts the configurations of one optimizer, from 0
    note : how the database describes it
    options : of the constructor
    closure : whether a step needs one
    sparse : whether it takes nothing but row-sparse gradients
    groups : whether parameter groups may have options of their own
    implementations : what torch computes it by on the CPU beside the plain loop: ``"foreach"``, ``"fused"``
    """

    optimizer: str
    number: int
    note: str
    options: dict[str, Any]
    closure: bool = False
    sparse: bool = False
    groups: bool = True
    implementations: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.optimizer}[{self.number}]" + (f" ({self.note})" if self.note else "")


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


def optimizers() -> list[str]:
    """The optimizers of the database, in its order."""
    return [str(info.name) for info in _optimizer_database()]


def configurations(optimizer: str) -> list[Configuration]:
    """Every configuration of one optimizer on the CPU.

    Raises
    ------
    InputError
        If the database has another form than that of torch 2.13.
    """
    (info,) = [info for info in _optimizer_database() if info.name == optimizer]
    try:
        able = {"foreach": "foreach" in info.supported_impls, "fused": "cpu" in info.supports_fused_on}
        return [
            Configuration(
                optimizer,
                number,
                one.desc,
                dict(one.kwargs),
                closure=info.step_requires_closure,
                sparse=info.only_supports_sparse_grads,
                groups=info.supports_param_groups,
                implementations=tuple(name for name, there in able.items() if there),
            )
            for number, one in enumerate(info.optim_inputs_func(device="cpu"))
        ]
    except (AttributeError, TypeError) as error:
        raise _changed(error) from error


def schedules() -> list[Schedule]:
    """Every list of schedulers that the database lets loose on an optimizer.

    Raises
    ------
    InputError
        If the database has another form than that of torch 2.13.
    """
    try:
        return [
            Schedule(tuple(_noted(make) for make in makers), info.name, groups=info.supports_param_groups)
            for info in _optimizer_database()
            for makers in (*info.scheduler_inputs, info.metadata_for_sparse[1])
            if makers
        ]
    except (AttributeError, TypeError) as error:
        raise _changed(error) from error


def _noted(make: Any) -> Scheduler:
    """What a function of the database would construct: it is run with a class that only takes notes."""

    def noting(name: str) -> Any:
        return lambda optimizer, *args, **options: Scheduler(name, args, options)

    code = make.__code__
    found = types.FunctionType(code, {name: noting(name) for name in code.co_names})(None)
    if not isinstance(found, Scheduler):
        raise TypeError(f"a scheduler is made by {code.co_name}, which constructs none")
    return found


def _name(info: Any) -> str:
    return str(info.name).removeprefix("nn.")


def _database() -> list[Any]:
    return _read("common_modules", "module_db")


def _optimizer_database() -> list[Any]:
    return _read("common_optimizers", "optim_db")


def _read(module: str, name: str) -> list[Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(getattr(importlib.import_module(f"torch.testing._internal.{module}"), name))
    except (ImportError, AttributeError) as error:
        if "expecttest" in str(error):
            raise InputError(
                "PyTorch's test database needs the package expecttest: install gradlock[conformance]"
            ) from error
        raise _changed(error) from error


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
