"""What a mutation is: other arithmetic in the place of a call, forward, backward, or both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from compare.diagnosis.mutants.sites import Call, Replacement, Site, SiteKey, Slot, slots_of, with_tensors

__all__ = [
    "Mutation",
    "Pullback",
    "backward_only",
    "behind_another_shape",
    "forward_only",
    "holding",
    "incoming",
    "instead",
    "through",
    "with_pullback",
]

Transform = Callable[[Tensor], Tensor]
Pullback = Callable[[Tensor, Mapping[Slot, Tensor], Tensor, Mapping[Slot, Tensor]], Mapping[Slot, Tensor]]
"""``pullback(g, inputs, output, gradients)`` returns the gradients that differ from the true ones."""


@dataclass(frozen=True)
class Mutation:
    """One mistake at one site.

    Attributes
    ----------
    key : str
        The same for the same mistake at another site.
    cause : str
        A name of the catalogue.
    says : str
        What is done there, as the middle of a sentence; the place is added to it.
    replace : Replacement
    rank : int
        See :class:`compare.diagnosis.evidence.Hypothesis`.
    formula : str
        The right formula, in one line.
    also : dict of site path to Replacement
        What the mistake changes at other sites.
    behind : dict of site path to Replacement
        How the backward pass alone makes the mistake, where that is more than the gradient of another value.
    """

    key: str
    cause: str
    says: str
    replace: Replacement
    rank: int = 3
    formula: str = ""
    also: Mapping[SiteKey, Replacement] | None = None
    behind: Mapping[SiteKey, Replacement] | None = None

    def replacements(self, site: Site) -> dict[SiteKey, Replacement]:
        return {site.path: self.replace, **(self.also or {})}


def holding(function: Callable[..., Any], *values: Any) -> Callable[..., Any]:
    """A function with its last arguments held fixed, as they are now."""
    return lambda *first: function(*first, *values)


class _Through(torch.autograd.Function):
    """An alias that changes the gradient on its way back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, transform: Transform) -> Tensor:
        ctx.transform = transform
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *incoming: Any) -> Any:
        return ctx.transform(incoming[0]), None


class _Instead(torch.autograd.Function):
    """One tensor's value with another tensor's gradient."""

    @staticmethod
    def forward(ctx: Any, gradient_of: Tensor, value: Tensor) -> Tensor:
        if gradient_of.shape != value.shape:
            raise RuntimeError("another shape")
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *incoming: Any) -> Any:
        return incoming[0], None


class _Own(torch.autograd.Function):
    """A call with a pullback of its own."""

    @staticmethod
    def forward(ctx: Any, call: Call, slots: list[Slot], pullback: Pullback, *tensors: Tensor) -> Tensor:
        with torch.enable_grad():
            inputs = {
                slot: tensor.detach().requires_grad_(tensor.requires_grad)
                for slot, tensor in zip(slots, tensors, strict=True)
            }
            output = call.having(inputs)
        ctx.inputs, ctx.output, ctx.pullback = inputs, output, pullback
        value: Tensor = output.detach()
        return value

    @staticmethod
    def backward(ctx: Any, *incoming: Any) -> Any:
        (g,) = incoming
        inputs, output = ctx.inputs, ctx.output
        wanted = {slot: tensor for slot, tensor in inputs.items() if tensor.requires_grad}
        found = torch.autograd.grad(output, list(wanted.values()), g, allow_unused=True)
        gradients = {
            slot: torch.zeros_like(tensor) if gradient is None else gradient
            for (slot, tensor), gradient in zip(wanted.items(), found, strict=True)
        }
        plain = {slot: tensor.detach() for slot, tensor in inputs.items()}
        changed = {**gradients, **ctx.pullback(g, plain, output.detach(), gradients)}
        for slot, tensor in wanted.items():
            if changed[slot].shape != tensor.shape:
                raise RuntimeError("another shape")
        return None, None, None, *(changed[slot] if slot in wanted else None for slot in inputs)


def instead(tensor: Tensor, value: Tensor) -> Tensor:
    """Another value, whose gradient goes to the tensor."""
    found: Tensor = _Instead.apply(tensor, value)
    return found


def through(slots: Iterable[Slot], transform: Transform) -> Replacement:
    """Change the gradients that some inputs receive."""

    def replace(call: Call) -> Any:
        return call.having({slot: _Through.apply(call.at(slot), transform) for slot in slots})

    return replace


def incoming(transform: Transform) -> Replacement:
    """Change the gradient that arrives at the output."""

    def replace(call: Call) -> Any:
        return _Through.apply(call.plain(), transform)

    return replace


def with_pullback(pullback: Pullback) -> Replacement:
    """Change the gradients of some inputs, knowing all that a pullback may know; of several results, by the first."""

    def replace(call: Call) -> Any:
        slots = slots_of(call.args, call.kwargs)
        tensors = [call.at(slot) for slot in slots]
        plain = call.plain()
        if not isinstance(plain, (tuple, list)):
            return _Own.apply(call, slots, pullback, *tensors)
        alone = Call(lambda *args, **kwargs: call.func(*args, **kwargs)[0], call.args, call.kwargs)
        return type(plain)((_Own.apply(alone, slots, pullback, *tensors), *plain[1:]))

    return replace


def backward_only(replacement: Replacement) -> Replacement:
    """The value of the plain call with the gradient of a mutated one."""

    def replace(call: Call) -> Any:
        mutated, plain = replacement(call), call.plain()
        if isinstance(plain, (tuple, list)):
            return type(plain)(_Instead.apply(m, p) for m, p in zip(mutated, plain, strict=True))
        return _Instead.apply(mutated, plain)

    return replace


def behind_another_shape(site: Site, consumers: list[Site], mutated: Replacement) -> dict[SiteKey, Replacement]:
    """The gradient of a mutated result of another shape, which fits where the result is spread again."""
    kept: dict[str, Any] = {}

    def at_site(call: Call) -> Any:
        kept["plain"] = call.plain()
        return mutated(call)

    def at_consumer(consumer: Site) -> Replacement:
        slots = [slot for slot in consumer.slots if consumer.tensor(slot) is site.output]

        def replace(call: Call) -> Any:
            return _Instead.apply(call.plain(), call.having(dict.fromkeys(slots, kept["plain"])))

        return replace

    return {site.path: at_site, **{consumer.path: at_consumer(consumer) for consumer in consumers}}


def forward_only(replacement: Replacement) -> Replacement:
    """The value of a mutated call with the gradient of the plain one."""

    def replace(call: Call) -> Any:
        mutated, plain = replacement(call), call.plain()
        if isinstance(plain, (tuple, list)):
            return type(plain)(_Instead.apply(p, m) for m, p in zip(mutated, plain, strict=True))
        return _Instead.apply(plain, mutated)

    return replace


def changed_call(call: Call, tensors: Mapping[Slot, Any]) -> Call:
    """The same call with other tensors in some slots."""
    args, kwargs = with_tensors(call.args, call.kwargs, tensors)
    return Call(call.func, args, kwargs)
