"""How a report was made: the call with its arguments as data, so that it can be made again, and with others."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from compare.batches import InputError

if TYPE_CHECKING:
    from compare.report.report import Report

__all__ = ["Call"]


@dataclass(frozen=True)
class Call:
    """A call of this package.

    Parameters
    ----------
    kind : str
        Its name: ``"gradients"``, ``"module"``, ``"optimizer"``, ``"training"`` ...
    arguments : dict of parameter name to value
        As the call took them in: arrays are copies of its own. ``inputs`` of a module is a tuple.
    once : str
        Why it cannot be made again; empty if it can.

    Examples
    --------
    >>> import numpy as np
    >>> square = lambda x: (np.sum(x * x), {"x": 2 * x})
    >>> call = Call(
    ...     "gradients",
    ...     {"manual_fn": square, "torch_fn": lambda x: (x * x).sum(), "inputs": {"x": np.arange(3.0)}},
    ... )
    >>> call.repeat().outcome == "equivalent", call.repeat(inputs={"x": np.zeros(3)}).outcome == "abstained"
    (True, True)
    """

    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    once: str = ""

    def repeat(self, **changes: Any) -> Report:
        """Make the call again, with some arguments replaced.

        Raises
        ------
        InputError
            If it cannot be made again, or has no such argument.
        """
        if self.once and not changes.keys() & {"side"}:
            raise InputError(f"compare.{self.kind} cannot be repeated: {self.once}")
        function = getattr(import_module("compare"), self.kind)
        parameters = inspect.signature(function).parameters
        for name in changes:
            if name not in parameters:
                raise InputError(f"compare.{self.kind} has no argument {name!r}; it has {', '.join(parameters)}")
        values = {**self.arguments, **changes}
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for name, parameter in parameters.items():
            if name not in values:
                continue
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                positional += values[name]
            elif parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                named[name] = values[name]
            else:
                positional.append(values[name])
        made: Report = function(*positional, **named)
        return made
