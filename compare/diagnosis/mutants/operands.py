"""Mistakes in the pullbacks of products and quotients: another factor, the other way round, at another time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import bound, is_square, scalar_of
from compare.diagnosis.mutants.around import AFFINE, Around
from compare.diagnosis.mutants.derivatives import DIFFERENTIATED, FORMULA_OF
from compare.diagnosis.mutants.mutation import Mutation, holding, with_pullback
from compare.diagnosis.mutants.sites import Call, Site, Slot

__all__ = ["bilinear"]

_FACTORS: dict[str, tuple[str, str]] = {
    "mul": ("input", "other"),
    "matmul": ("input", "other"),
    "linear": ("input", "weight"),
    "conv1d": ("input", "weight"),
    "conv2d": ("input", "weight"),
    "conv3d": ("input", "weight"),
    **{f"conv_transpose{n}d": ("input", "weight") for n in (1, 2, 3)},
    "bilinear": ("input1", "input2"),
}
"""Ops that are linear in each of two tensors."""


def bilinear(site: Site, around: Around) -> Iterator[Mutation]:
    """What a pullback of a product may have multiplied by."""
    if site.name in ("div", "rdiv"):
        yield from _quotient(site, around)
        return
    for slot in _spread_slots(site):
        yield from _with_gradient(site, around, slot)
    slots = _slots(site)
    if slots is None:
        return
    for slot, other in (slots, slots[::-1]):
        if site.tensor(slot).requires_grad:
            yield from _with_other(site, around, slot, other)
            yield from _with_gradient(site, around, slot)
            yield from _turned(site, around, slot, other)


def _slots(site: Site) -> tuple[Slot, Slot] | None:
    names = _FACTORS.get(site.name)
    if names is None or len(site.slots) < 2:
        return None
    given = bound(site.name, site.args, site.kwargs)
    found = [next((s for s in site.slots if site.tensor(s) is given.get(name)), None) for name in names]
    if given.get(names[0]) is given.get(names[1]):  # x * x
        found = [site.slots[0], site.slots[1]]
    if found[0] is None or found[1] is None:
        return None
    return found[0], found[1]


def _spread_slots(site: Site) -> list[Slot]:
    """A bias: what is added to every row."""
    if site.name not in ("add", "sub", "linear", "conv1d", "conv2d") or not isinstance(site.output, Tensor):
        return []
    found = [slot for slot in site.slots if site.tensor(slot).requires_grad and site.tensor(slot).ndim]
    if site.name in ("add", "sub"):
        return [slot for slot in found if site.tensor(slot).shape != site.output.shape]
    bias = bound(site.name, site.args, site.kwargs).get("bias")
    return [slot for slot in found if site.tensor(slot) is bias]


def _gradient_with(
    site: Site, slot: Slot, other: Slot, value: Tensor, inputs: Mapping[Slot, Tensor], g: Tensor
) -> Tensor:
    """The gradient of one factor with another value in the place of the other factor."""
    with torch.enable_grad():
        x = inputs[slot].detach().requires_grad_(True)
        output = Call(site.func, site.args, site.kwargs).having({**inputs, slot: x, other: value})
        (found,) = torch.autograd.grad(output, x, g)
    return found


def _with_other(site: Site, around: Around, slot: Slot, other: Slot) -> Iterator[Mutation]:
    factor = site.tensor(other)
    mine, theirs = around.source(site, slot), around.source(site, other)
    formula = FORMULA_OF.get(site.name, "")

    def using(value: Tensor) -> Any:
        return with_pullback(lambda g, i, y, d: {slot: _gradient_with(site, slot, other, value, i, g)})

    for cause, words, given in around.other_weights(factor):
        yield Mutation(
            f"{cause} {slot} {words}",
            cause,
            f"the gradient of {mine} goes through {theirs} {words}",
            with_pullback(
                holding(lambda g, i, y, d, given: {slot: _gradient_with(site, slot, other, given(), i, g)}, given)
            ),
            1,
            f"{formula}; backward uses the weights of the forward pass",
        )
    if site.tensor(slot).shape == factor.shape and site.tensor(slot) is not factor:
        yield Mutation(
            f"own {slot}",
            "wrong operand",
            f"the gradient of {mine} is multiplied by {mine} itself in place of {theirs}",
            using(site.tensor(slot).detach()),
            3,
            formula,
        )
    for key, what, value in _related(site, around, factor):
        yield Mutation(
            f"{key} {slot}",
            "wrong operand",
            f"the gradient of {mine} in {site.name} is multiplied by {what} in place of {theirs}",
            using(value),
            3,
            formula,
        )
    for what, tensor in around.values_like(site, factor):
        if tensor is not site.tensor(slot):
            value = tensor.detach()
            yield Mutation(
                f"{slot} {around.beside(site, tensor)}",
                "wrong operand",
                f"the gradient of {mine} in {site.name} is multiplied by {what} in place of {theirs}",
                using(value),
                4,
                formula,
            )
    turned = around.sites.maker(factor)
    if turned is not None and turned.name == "transpose":
        base = turned.slots[0]
        for what, tensor in around.values_like(turned, turned.tensor(base)):
            value = tensor.detach()
            yield Mutation(
                f"{slot} turned {around.beside(site, tensor)}",
                "wrong operand",
                f"the gradient of {mine} in {site.name} goes through {what} in place of {around.source(turned, base)}",
                using(turned.call.having({base: value})),
                4,
                formula,
            )
    if site.name == "mul":
        mask = around.is_mask(factor)
        yield Mutation(
            f"one {slot}",
            "mask ignored" if mask else "derivative left out",
            f"the gradient of {mine} is not multiplied by {'the mask' if mask else theirs}",
            using(torch.ones_like(factor)),
            3,
            formula,
        )
        yield Mutation(
            f"divided {slot}",
            "wrong derivative",
            f"the gradient of {mine} is divided by {theirs}, not multiplied",
            using(1 / factor.detach()),
            5,
            formula,
        )
        yield Mutation(
            f"twice {slot}",
            "wrong derivative",
            f"the gradient of {mine} is multiplied by {theirs} twice",
            using(factor.detach() ** 2),
            5,
            formula,
        )


def _related(site: Site, around: Around, factor: Tensor) -> Iterator[tuple[str, str, Tensor]]:
    """What lies beside a factor: its argument before an activation, itself after one, the layer's own result."""
    maker = around.sites.maker(factor)
    found: list[tuple[str, str, Any]] = []
    if maker is not None and maker.name in DIFFERENTIATED and maker.tensors:
        found.append(("before", f"what went into {maker.name}", maker.tensors[0]))
    for user in around.uses(factor):
        if user.name in DIFFERENTIATED:
            found.append(("after", f"what came out of {user.name}", user.output))
    after = around.activation_of(site, DIFFERENTIATED)
    if after is not None:
        found.append(("own result", "the result of this very layer", after.output))
    value = site.output
    for step in range(2):  # the sum that this product is a term of
        following = next((user for user in around.uses(value) if user.name in AFFINE), None)
        if following is None:
            break
        value = following.output
        found.append((f"own sum {step}", "the result that this is a part of", value))
    if isinstance(site.output, Tensor):
        found.append(("own output", "its own result", site.output))
        bias = bound(site.name, site.args, site.kwargs).get("bias")
        if site.name == "linear" and bias is not None:
            found.append(("own product", "its own result without the bias", site.output - bias))
    if site.outer is not None and isinstance(site.outer.output, (tuple, list)):
        made = enumerate(site.outer.output)
        found += [(f"outer result {place}", f"what {site.outer.name} returns", value) for place, value in made]
    for key, what, value in found:
        if isinstance(value, Tensor) and value.shape == factor.shape and value is not factor:
            yield key, what, value.detach()


def _with_gradient(site: Site, around: Around, slot: Slot) -> Iterator[Mutation]:
    """Another gradient of the same shape in the place of the one that arrives."""
    mine = around.source(site, slot)
    formula = FORMULA_OF.get(site.name, "")
    if site.gradient is None:
        return

    def of(value: Callable[[Tensor], Tensor]) -> Any:
        def pullback(g: Tensor, i: Any, y: Tensor, d: Any) -> dict[Slot, Tensor]:
            with torch.enable_grad():
                x = i[slot].detach().requires_grad_(True)
                output = Call(site.func, site.args, site.kwargs).having({**i, slot: x})
                (found,) = torch.autograd.grad(output, x, value(g))
            return {slot: found}

        return with_pullback(pullback)

    if not around.is_uniform(site.gradient):
        yield Mutation(
            f"no incoming {slot}",
            "incoming gradient left out",
            f"the gradient of {mine} in {site.name} is not multiplied by what arrives",
            of(torch.ones_like),
            3,
            formula,
        )
    beyond = around.activation_of(site, DIFFERENTIATED)
    if beyond is not None and beyond.gradient is not None and beyond.gradient.shape == site.gradient.shape:
        yield Mutation(
            f"beyond {slot}",
            "derivative left out",
            f"the gradient of {mine} leaves out the derivative of {beyond.name}, which it passed on its way",
            of(holding(lambda g, value: value, beyond.gradient)),
            3,
            formula,
        )
    for what, source in around.gradients_like(site):
        value = source.gradient
        yield Mutation(
            f"{slot} gradient {around.beside(site, source.output)}",
            *_meaning(site, around, source, mine, what),
            of(holding(lambda g, value: value, value)),
            4,
            formula,
        )


def _meaning(site: Site, around: Around, source: Site, mine: str, what: str) -> tuple[str, str]:
    """What it means to have used another gradient: that behind an activation leaves its derivative out."""
    beyond = around.activation_of(site, DIFFERENTIATED)
    if beyond is source:
        says = f"the gradient of {mine} is computed from {what}: the derivative of {beyond.name} is left out"
        return "derivative left out", says
    if (
        source.name in ("mul", "div")
        and scalar_of(source.args) is not None
        and any(source is user for user in around.consumers(site))
    ):
        says = f"the gradient of {mine} in {site.name} leaves out the scale {scalar_of(source.args):.6g} that follows"
        return "scale left out", says
    return "wrong operand", f"the gradient of {mine} in {site.name} is computed from {what}"


def _turned(site: Site, around: Around, slot: Slot, other: Slot) -> Iterator[Mutation]:
    """The gradient of a matrix, or the other factor, the other way round; a kernel not flipped."""
    mine, theirs = around.source(site, slot), around.source(site, other)
    formula = FORMULA_OF.get(site.name, "")
    x, factor = site.tensor(slot), site.tensor(other)
    if site.name.startswith("conv"):
        axes = tuple(range(2, factor.ndim))
        if site.slots.index(slot) == 0:
            yield Mutation(
                "kernel not flipped",
                "reversed",
                "the gradient of the input is computed with the kernel the wrong way round, flipped or not",
                with_pullback(lambda g, i, y, d: {slot: _gradient_with(site, slot, other, i[other].flip(axes), i, g)}),
                3,
                formula,
            )
            if factor.shape[0] == factor.shape[1]:
                yield Mutation(
                    "channels in backward",
                    "transposed",
                    "the gradient of the input goes through the kernel with its channels exchanged",
                    with_pullback(
                        lambda g, i, y, d: {slot: _gradient_with(site, slot, other, i[other].transpose(0, 1), i, g)}
                    ),
                    3,
                    formula,
                )
        else:
            yield Mutation(
                "kernel gradient flipped",
                "reversed",
                f"the gradient of {mine} is flipped",
                with_pullback(lambda g, i, y, d: {slot: d[slot].flip(tuple(range(2, x.ndim)))}),
                3,
                formula,
            )
        return
    if site.name == "mul":
        return
    if is_square(factor):
        yield Mutation(
            f"factor turned {slot}",
            "transposed",
            f"the gradient of {mine} goes through {theirs} the other way round",
            with_pullback(lambda g, i, y, d: {slot: _gradient_with(site, slot, other, i[other].mT, i, g)}),
            3,
            formula,
        )
    if is_square(x):
        yield Mutation(
            f"gradient turned {slot}",
            "transposed",
            f"the gradient of {mine} is the other way round",
            with_pullback(lambda g, i, y, d: {slot: d[slot].mT}),
            3,
            formula,
        )
    if is_square(site.gradient):

        def turned(g: Tensor, i: Any, y: Tensor, d: Any) -> dict[Slot, Tensor]:
            with torch.enable_grad():
                leaf = i[slot].detach().requires_grad_(True)
                output = Call(site.func, site.args, site.kwargs).having({**i, slot: leaf})
                (found,) = torch.autograd.grad(output, leaf, g.mT.contiguous())
            return {slot: found}

        yield Mutation(
            f"incoming turned {slot}",
            "transposed",
            f"the gradient of {mine} is computed from the incoming gradient the other way round",
            with_pullback(turned),
            3,
            formula,
        )


def _quotient(site: Site, around: Around) -> Iterator[Mutation]:
    """``a / b``: what the gradient of the denominator, and of the numerator, may have lost."""
    if site.name == "rdiv" or len(site.slots) != 2:
        return
    top, bottom = site.slots
    formula = FORMULA_OF["div"]
    wrong: tuple[tuple[Slot, str, str, str, Callable[[Tensor, Tensor, Tensor], Tensor]], ...] = (
        (bottom, "b once", "wrong derivative", "-g a / b: the square is left out", lambda g, a, b: -g * a / b),
        (bottom, "b never", "wrong derivative", "-g a: the division by b^2 is left out", lambda g, a, b: -g * a),
        (bottom, "no a", "wrong derivative", "-g / b^2: the numerator is left out", lambda g, a, b: -g / (b * b)),
        (bottom, "b thrice", "wrong derivative", "-g a / b^3", lambda g, a, b: -g * a / (b * b * b)),
        (bottom, "neither", "wrong derivative", "-g: both are left out", lambda g, a, b: -g * torch.ones_like(a / b)),
        (top, "a not divided", "derivative left out", "g: the division by b is left out", lambda g, a, b: g),
        (top, "a times b", "wrong derivative", "g b: multiplied, not divided", lambda g, a, b: g * b),
        (top, "a by b^2", "wrong derivative", "g / b^2", lambda g, a, b: g / (b * b)),
    )
    for slot, key, cause, words, gradient in wrong:
        if site.tensor(slot).requires_grad:
            part = "denominator" if slot is bottom else "numerator"
            if key == "a not divided" and around.are_counts(site.tensor(bottom)):
                cause = "sum instead of mean"
            yield Mutation(
                key,
                cause,
                f"in a / b the gradient of the {part} is {words}",
                with_pullback(
                    holding(
                        lambda g, i, y, d, slot, gradient: {
                            slot: gradient(g, i[top], i[bottom]).sum_to_size(i[slot].shape)
                        },
                        slot,
                        gradient,
                    )
                ),
                3,
                formula,
            )
