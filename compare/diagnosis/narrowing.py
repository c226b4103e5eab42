"""The reference once more, with some of its ops in a narrower dtype."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

from compare.checkpoint import Checkpoint
from compare.diagnosis.evidence import Evidence
from compare.diagnosis.ops import VIEWS

__all__ = ["PRODUCTS", "Ops", "eps_of", "replay_narrow", "rounded"]

PRODUCTS = frozenset({"mm", "bmm", "addmm"})


class Ops(NamedTuple):
    """Which ops are touched (by place, by name, by pass; all unless said), and how.

    Attributes
    ----------
    part : str
        Their ``"operands"`` are rounded, or their ``"result"`` is, or they are ``"run"`` in the narrow dtype. Of a
        product it is also ``"product"``: what NumPy makes of it in the narrow dtype, a bias being added in the wide
        one. With ``"noise"`` the result gets noise of the narrow dtype's size.
    seed : of the noise
    """

    places: range | None = None
    called: str = ""
    backward: bool | None = None
    part: str = "run"
    seed: int = 0


def rounded(array: np.ndarray, name: str) -> np.ndarray:
    """An array's values as a narrower dtype holds them, in the array's own dtype."""
    import torch

    tensor = torch.from_numpy(np.array(array, order="C"))
    return np.asarray(tensor.to(getattr(torch, name)).to(tensor.dtype).numpy())


def eps_of(name: str) -> float:
    """The unit in the last place of 1."""
    return {"bfloat16": 2.0**-7, "float16": 2.0**-10, "float32": 2.0**-23}[name]


def replay_narrow(evidence: Evidence, name: str, ops: Ops) -> dict[Checkpoint, np.ndarray]:
    """What a fresh reference shows of the diverging micro-batch; empty where there is no such arithmetic."""
    with np.errstate(all="ignore"):
        try:
            return evidence.replay(lambda side: _narrowing(name, ops))
        except (RuntimeError, TypeError, ValueError):  # an op that has no such kernel
            return {}


def _narrowing(name: str, ops: Ops) -> AbstractContextManager[Any]:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    narrow = getattr(torch, name)
    task = getattr(torch._C, "_current_graph_task_id", lambda: -1)
    generator = torch.Generator().manual_seed(ops.seed)

    def cast(value: Any, dtype: Any) -> Any:
        return _mapped(lambda tensor: tensor.to(dtype), value)

    def rounding(value: Any) -> Any:
        return _mapped(lambda tensor: tensor.to(narrow).to(tensor.dtype), value)

    def noisy(value: Any) -> Any:
        def one(tensor: Any) -> Any:
            noise = torch.empty_like(tensor).uniform_(-0.5, 0.5, generator=generator)
            return tensor * (1 + torch.finfo(narrow).eps * noise)

        return _mapped(one, value)

    def multiplied(args: Any) -> Any:
        *bias, left, right = args
        if name == "bfloat16":
            product = torch.matmul(cast(left, narrow), cast(right, narrow))
        else:
            product = torch.from_numpy(np.matmul(*(value.detach().numpy().astype(name) for value in (left, right))))
        wide = product.to(left.dtype)
        return bias[0] + wide if bias else wide

    class Narrowing(TorchDispatchMode):
        place = -1

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            self.place += 1
            called = func._schema.name.partition("::")[2]
            if not self.touches(func, called):
                return func(*args, **kwargs)
            if ops.part == "operands":
                return func(*rounding(args), **kwargs)
            if ops.part == "noise":
                return noisy(func(*args, **kwargs))
            if ops.part == "product" and called in PRODUCTS and not kwargs:
                return multiplied(args)
            wide = next((value.dtype for value in args if _floating(value)), None)
            if ops.part == "run" and wide is not None and "dtype" not in kwargs:
                try:
                    return cast(func(*cast(args, narrow), **kwargs), wide)
                except (RuntimeError, TypeError):
                    pass
            return rounding(func(*args, **kwargs))

        def touches(self, func: Any, called: str) -> bool:
            if func._schema.is_mutable or func.is_view or called in VIEWS:
                return False
            if ops.called and ops.called != called:
                return False
            if ops.backward is not None and ops.backward != (task() >= 0):
                return False
            return ops.places is None or self.place in ops.places

    return Narrowing()


def _floating(value: Any) -> bool:
    return hasattr(value, "numel") and bool(value.is_floating_point())


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """The function's value for every floating tensor in nested tuples and lists."""
    if _floating(value):
        return function(value)
    return type(value)([_mapped(function, item) for item in value]) if isinstance(value, (tuple, list)) else value
