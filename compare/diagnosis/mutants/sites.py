"""Where a reference calls PyTorch: a mode that lists the calls of a run in order, and puts other ops in their place.

A call of an op on floating-point tensors is a *site*. Fused ops (layer norm, cross entropy, an LSTM) are opened up:
they are computed by their formula (:mod:`compare.diagnosis.mutants.formulas`), whose own ops are sites inside the outer
one. So a site's path is a tuple: ``(3,)`` is the fourth call, ``(3, 1)`` the second one inside its formula.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

import torch_ref.recording
import torch_ref.training
from compare.diagnosis.mutants.formulas import formula_of

__all__ = ["Call", "Replacement", "Site", "Sites", "Watch", "name_of", "slots_of", "with_tensors"]

SiteKey = tuple[int, ...]
Slot = tuple[Any, ...]
"""Where a tensor stands among the arguments: ``("args", 0)``, ``("args", 0, 2)`` in a list, ``("kwargs", "bias")``."""

_NAMES = {
    "__rsub__": "rsub",
    "__rdiv__": "rdiv",
    "__rtruediv__": "rdiv",
    "__rpow__": "rpow",
    "__getitem__": "getitem",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "subtract": "sub",
    "negative": "neg",
    "absolute": "abs",
    "mm": "matmul",
    "bmm": "matmul",
    "mv": "matmul",
    "dot": "matmul",
    "inner": "matmul",
    "concat": "cat",
    "concatenate": "cat",
    "linalg_norm": "norm",
    "linalg_vector_norm": "norm",
    "special_expit": "sigmoid",
    "expit": "sigmoid",
    "log_sigmoid": "logsigmoid",
    "special_softmax": "softmax",
    "special_log_softmax": "log_softmax",
    "t": "transpose",
    "T": "transpose",
    "mT": "transpose",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "view": "reshape",
    "flatten": "reshape",
    "unflatten": "reshape",
}
_BLIND = frozenset(
    name
    for line in (
        "detach cpu numpy clone contiguous view_as expand_as item tolist to float double half bfloat16 type type_as",
        "requires_grad_ register_hook retain_grad data grad size dim numel stride from_numpy as_tensor tensor zeros",
        "ones empty full zeros_like ones_like empty_like full_like new_zeros new_ones new_full new_empty new_tensor",
        "arange linspace eye rand randn randint normal bernoulli gt lt ge le eq ne isnan isinf isfinite to_dense real",
    )
    for name in line.split()
)
"""Calls that compute nothing that could be got wrong, or that no gradient and no value depends on."""

_COPIES = frozenset({"view_as", "clone", "contiguous"})
_MASKS = frozenset({"triu", "tril"})
_SKIPPED = (str(Path(torch.__file__).parent), __file__)
"""Frames between a line of the reference and the mode."""
_FORMULAS = tuple(
    str(Path(__file__).with_name(name)) for name in ("formulas.py", "laying.py", "objectives.py", "recurrent.py")
)
_DRIVERS = (
    str(Path(__file__).parents[1]),
    str(Path(__file__).parents[2] / "calls"),
    torch_ref.training.__file__,
    torch_ref.recording.__file__,
)
"""Frames that called the reference: what lies beyond them is none of its lines."""


def name_of(func: Callable[..., Any]) -> str:
    """The plain name of a torch function, method, operator or property: ``mul``, ``rsub``, ``getitem``."""
    name = getattr(func, "__name__", "")
    if name == "__get__":
        name = getattr(getattr(func, "__self__", None), "__name__", name)
    return _NAMES.get(name, name)


def slots_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Slot]:
    """Where floating-point tensors stand among the arguments of a call, also one level inside lists and tuples."""
    found: list[Slot] = []
    for kind, items in (("args", enumerate(args)), ("kwargs", kwargs.items())):
        for key, value in items:
            if _floating(value):
                found.append((kind, key))
            elif isinstance(value, (list, tuple)):
                found += [(kind, key, place) for place, item in enumerate(value) if _floating(item)]
    return found


def at(slot: Slot, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """The tensor in a slot."""
    value = args[slot[1]] if slot[0] == "args" else kwargs[slot[1]]
    found: Tensor = value[slot[2]] if len(slot) == 3 else value
    return found


def with_tensors(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], tensors: Mapping[Slot, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call with other values in some slots."""
    new_args, new_kwargs = list(args), dict(kwargs)
    for slot, tensor in tensors.items():
        holder: Any = new_args if slot[0] == "args" else new_kwargs
        if len(slot) == 2:
            holder[slot[1]] = tensor
        else:
            inner = list(holder[slot[1]])
            inner[slot[2]] = tensor
            holder[slot[1]] = tuple(inner) if isinstance(holder[slot[1]], tuple) else inner
    return tuple(new_args), new_kwargs


@dataclass
class Call:
    """One call as it happens in a run: what a replacement is given."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def plain(self) -> Any:
        return self.func(*self.args, **self.kwargs)

    def having(self, tensors: Mapping[Slot, Any]) -> Any:
        """The result with other tensors in some slots."""
        args, kwargs = with_tensors(self.args, self.kwargs, tensors)
        return self.func(*args, **kwargs)

    def at(self, slot: Slot) -> Tensor:
        return at(slot, self.args, self.kwargs)


Replacement = Callable[[Call], Any]


@dataclass
class Site:
    """One call of the listed run.

    Attributes
    ----------
    path : tuple of int
    name : str
    func, args, kwargs, output : the call as it was
    slots : list of Slot
        The floating-point tensors among the arguments.
    owner : str or None
        The path of the module that was running, ``"loss"`` after the model, ``None`` where there is no model.
    line : str
        The line of the reference that made the call: ``network.py:12: h = torch.sigmoid(z)``; empty if unknown.
    step : str
        The line of the formula that made the call, for a site inside a fused op.
    place : str
        Where in the code the call stands, the same for every round of a loop.
    outer : Site or None
        The fused op that this one is part of.
    gradient : Tensor or None
        The gradient that arrived at the output, filled in by the backward pass.
    """

    path: SiteKey
    name: str
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    slots: list[Slot]
    owner: str | None
    line: str
    step: str
    place: str
    outer: Site | None = None
    gradient: Tensor | None = None

    def tensor(self, slot: Slot) -> Tensor:
        return at(slot, self.args, self.kwargs)

    @property
    def tensors(self) -> list[Tensor]:
        return [self.tensor(slot) for slot in self.slots]

    @property
    def call(self) -> Call:
        return Call(self.func, self.args, self.kwargs)


@dataclass
class Sites:
    """All sites of a run, and what connects them."""

    sites: list[Site] = field(default_factory=list)
    made_by: dict[int, Site] = field(default_factory=dict)
    """The innermost site that made a tensor, by the tensor's ``id``; the sites keep the tensors alive."""
    aliases: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Aliases and copies with what they stand for: a recorder hands every module an alias of its input."""

    def __iter__(self) -> Iterator[Site]:
        return iter(self.sites)

    def add(self, site: Site) -> None:
        self.sites.append(site)
        for output in site.output if isinstance(site.output, (tuple, list)) else (site.output,):
            if isinstance(output, Tensor):
                self.made_by.setdefault(id(output), site)

    def drop(self, start: int) -> None:
        """Forget the sites from a place on."""
        gone = {id(site) for site in self.sites[start:]}
        self.made_by = {key: site for key, site in self.made_by.items() if id(site) not in gone}
        del self.sites[start:]

    def itself(self, tensor: Any) -> Any:
        """What a tensor is an alias of, or the tensor."""
        while id(tensor) in self.aliases:
            tensor = self.aliases[id(tensor)][1]
        return tensor

    def maker(self, tensor: Any) -> Site | None:
        return self.made_by.get(id(self.itself(tensor)))


class Watch(TorchFunctionMode):
    """Lists the sites of a run, or puts replacements in.

    Parameters
    ----------
    listing : Sites, optional
        Filled in order; every fused op is opened up.
    replacements : dict of site path to Replacement, optional
    owner : callable, optional
        Says which module is running.
    dropout : callable, optional
        ``dropout(call, name)``, what the compared run made of the values of a dropout, or ``None`` if unknown.
    """

    def __init__(
        self,
        *,
        listing: Sites | None = None,
        replacements: Mapping[SiteKey, Replacement] | None = None,
        owner: Callable[[], str | None] = lambda: None,
        dropout: Callable[[Call, str], Callable[[Tensor], Tensor] | None] | None = None,
    ):
        super().__init__()
        self._listing = listing
        self._replacements = replacements or {}
        self._opened = {path[:depth] for path in self._replacements for depth in range(1, len(path))}
        self._owner = owner
        self._dropout = dropout
        self._prefix: SiteKey = ()
        self._counts = [0]
        self._outer: list[Site] = []
        self._over = False
        self.met: set[SiteKey] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = name_of(func)
        if name == "backward":
            self._over = True
        if self._over or name in _BLIND or name.endswith("_") or not torch.is_grad_enabled():
            result = func(*args, **kwargs)
            if name in _COPIES and self._listing is not None and isinstance(result, Tensor) and result is not args[0]:
                self._listing.aliases[id(result)] = (result, args[0])
            return result
        call = Call(func, args, kwargs)
        dropped = self._dropout(call, name) if "dropout" in name and self._dropout else None
        if dropped is not None:
            call = Call(partial(_by_its_input, dropped), args, kwargs)
        result = call.plain()
        slots = slots_of(args, kwargs)
        if not (_any_floating(result) and slots) and name not in _MASKS:
            return result
        path = (*self._prefix, self._counts[-1])
        self._counts[-1] += 1
        if self._listing is not None:
            return self._list(path, name, call, result, slots)
        if path in self._replacements:
            self.met.add(path)
            return self._replacements[path](call)
        if path in self._opened:
            opened = formula_of(name, call.args, call.kwargs)
            if opened is not None:
                with self._inside(path):
                    return opened()
        return result

    def _list(self, path: SiteKey, name: str, call: Call, result: Any, slots: list[Slot]) -> Any:
        assert self._listing is not None
        outer = self._outer[-1] if self._outer else None
        line, step, place = _lines()
        if outer:
            line = outer.line
        site = Site(
            path, name, call.func, call.args, call.kwargs, result, slots, self._owner(), line, step, place, outer
        )
        opened = formula_of(name, call.args, call.kwargs)
        if opened is not None:
            before = len(self._listing.sites)
            self._outer.append(site)
            try:
                with self._inside(path):
                    written_out = opened()
            except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError):
                written_out = None
            self._outer.pop()
            if written_out is not None and _same(written_out, result):
                site.output = result = written_out
            else:
                self._listing.drop(before)
        self._listing.add(site)
        if isinstance(result, Tensor) and result.requires_grad:
            result.register_hook(_keep(site))
        return result

    @contextmanager
    def _inside(self, path: SiteKey) -> Iterator[None]:
        prefix, self._prefix = self._prefix, path
        self._counts.append(0)
        try:
            with self:
                yield
        finally:
            self._counts.pop()
            self._prefix = prefix


def _by_its_input(function: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Tensor:
    return function(args[0] if args else kwargs["input"])


def _keep(site: Site) -> Callable[[Tensor], None]:
    def keep(gradient: Tensor) -> None:
        site.gradient = gradient.detach()

    return keep


def _floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _any_floating(value: Any) -> bool:
    return _floating(value) or (isinstance(value, (tuple, list)) and any(_any_floating(item) for item in value))


def _same(a: Any, b: Any) -> bool:
    """Whether a formula gives what the fused op gives, up to rounding."""
    if isinstance(b, (tuple, list)):
        return isinstance(a, (tuple, list)) and len(a) == len(b) and all(map(_same, a, b))
    if a is None and b is None:
        return True
    if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.shape != b.shape or a.dtype != b.dtype:
        return False
    scale = float(b.detach().abs().nan_to_num(0, 0, 0).max()) if b.numel() else 0.0
    bound = 2e3 * torch.finfo(b.dtype).eps * scale
    return bool(torch.allclose(a.detach(), b.detach(), rtol=0, atol=bound, equal_nan=True))


def _lines() -> tuple[str, str, str]:
    """The line of the reference that made the call, the line of a formula, and the innermost of the two as a place."""
    frame: Any = sys._getframe(2)
    step = place = ""
    while frame is not None:
        file, number = frame.f_code.co_filename, frame.f_lineno
        if not file.startswith(_SKIPPED):
            place = place or f"{file}:{number}:{frame.f_lasti}"
            if file in _FORMULAS:
                step = step or linecache.getline(file, number).strip().removeprefix("return ")
            elif file.startswith(_DRIVERS):
                return "", step, place
            else:
                text = linecache.getline(file, number).strip()
                return f"{Path(file).name}:{number}: {text}" if text else "", step, place
        frame = frame.f_back
    return "", step, place
