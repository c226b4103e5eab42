"""Mistakes in the local derivatives of ops that work element by element: the value is right, the pullback is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import scalar_of
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.mutation import Mutation, Pullback, holding, with_pullback
from compare.diagnosis.mutants.sites import Site, Slot

__all__ = ["DIFFERENTIATED", "FORMULA_OF", "local"]

Derivative = Callable[[Tensor, Tensor, Tensor], Tensor]
"""What stands for the local derivative, from ``x``, ``y`` and the true derivative."""

FORMULA_OF = {
    "sigmoid": "d sigmoid: g * y * (1 - y), y = sigmoid(x)",
    "tanh": "d tanh: g * (1 - y^2), y = tanh(x)",
    "relu": "d relu: g where x > 0, else 0",
    "leaky_relu": "d leaky_relu: g where x > 0, else slope * g",
    "elu": "d elu: g where x > 0, else g * alpha * exp(x)",
    "gelu": "d gelu: g * (Phi(x) + x * phi(x))",
    "silu": "d silu: g * (s + x * s * (1 - s)), s = sigmoid(x)",
    "softplus": "d softplus: g * sigmoid(x)",
    "logsigmoid": "d logsigmoid: g * (1 - sigmoid(x))",
    "exp": "d exp: g * exp(x)",
    "log": "d log: g / x",
    "sqrt": "d sqrt: g / (2 y), y = sqrt(x)",
    "rsqrt": "d rsqrt: -g y^3 / 2, y = 1 / sqrt(x)",
    "reciprocal": "d (1/x): -g / x^2",
    "square": "d x^2: g * 2x",
    "pow": "d x^n: g * n x^(n-1)",
    "abs": "d |x|: g * sign(x)",
    "softmax": "d softmax: y * (g - sum(g * y)) along the axis of the softmax",
    "log_softmax": "d log_softmax: g - softmax(x) * sum(g) along its axis",
    "mul": "d (a b): da = g * b, db = g * a",
    "div": "d (a / b): da = g / b, db = -g * a / b^2",
    "matmul": "d (A B): dA = g B^T, dB = A^T g",
    "linear": "d (x W^T + b): dx = g W, dW = g^T x, db = the sum of g over the rows",
    "mean": "d mean: g / n for each of the n terms",
    "sum": "d sum: g for each of the terms",
    "layer_norm": "d layer_norm: (gamma g - mean(gamma g) - n mean(gamma g n)) / sigma, n = (x - mu) / sigma",
    "batch_norm": "d batch_norm: gamma (g - mean(g) - n mean(g n)) / sigma over the batch, n = (x - mu) / sigma",
    "rms_norm": "d rms_norm: (gamma g - n mean(gamma g n)) / rms, n = x / rms",
    "cross_entropy": "d cross entropy: (softmax(x) - onehot(t)) / n",
    "binary_cross_entropy_with_logits": "d BCE of logits: (sigmoid(x) - t) / n",
    "binary_cross_entropy": "d BCE: (p - t) / (p (1 - p)) / n",
    "mse_loss": "d MSE: 2 (x - t) / n",
    "l1_loss": "d L1: sign(x - t) / n",
    "embedding": "d embedding: g added up over every place where a row was looked up",
    "getitem": "d x[i]: g added up into the places that were read",
    "gather": "d gather: g added up into the places that were read",
    "conv1d": "d conv: dx = g convolved with the kernel, dW = x correlated with g, db = g summed over batch and places",
    "conv2d": "d conv: dx = g convolved with the kernel, dW = x correlated with g, db = g summed over batch and places",
    "lstm_cell": "LSTM: c' = f c + i g, h' = o tanh(c'); dc gets o (1 - tanh(c')^2) dh as well as dc'",
    "dropout": "d dropout: g * mask / (1 - p)",
    "scaled_dot_product_attention": "attention: dS = P (dP - sum(dP P)) / sqrt(d), dQ = dS K, dK = dS^T Q, dV = P^T g",
}
"""The right formula by op, in one line."""

_WRONG_VARIABLE, _WRONG = "derivative of the wrong variable", "wrong derivative"
_OF: dict[str, tuple[tuple[str, str, str, Derivative], ...]] = {
    "sigmoid": (
        ("x(1-x)", _WRONG_VARIABLE, "x (1 - x), with the argument in place of the output", lambda x, y, d: x * (1 - x)),
        ("y", _WRONG, "y; the factor 1 - y is left out", lambda x, y, d: y),
        ("1-y", _WRONG, "1 - y; the factor y is left out", lambda x, y, d: 1 - y),
        ("1-y^2", _WRONG, "1 - y^2, which belongs to tanh", lambda x, y, d: 1 - y * y),
        ("y(1+y)", _WRONG, "y (1 + y)", lambda x, y, d: y * (1 + y)),
        ("y^2(1-y)", _WRONG, "y^2 (1 - y)", lambda x, y, d: y * y * (1 - y)),
        ("y(1-y^2)", _WRONG, "y (1 - y^2)", lambda x, y, d: y * (1 - y * y)),
        ("(1-y)^2", _WRONG, "(1 - y)^2", lambda x, y, d: (1 - y) ** 2),
        ("s'(x)(1-x)", _WRONG_VARIABLE, "y (1 - x)", lambda x, y, d: y * (1 - x)),
        ("mask", _WRONG, "1 where x > 0, which belongs to relu", lambda x, y, d: (x > 0).to(x.dtype)),
    ),
    "tanh": (
        ("1-x^2", _WRONG_VARIABLE, "1 - x^2, with the argument in place of the output", lambda x, y, d: 1 - x * x),
        ("1-y", _WRONG, "1 - y; the square is left out", lambda x, y, d: 1 - y),
        ("y(1-y)", _WRONG, "y (1 - y), which belongs to sigmoid", lambda x, y, d: y * (1 - y)),
        ("1+y^2", _WRONG, "1 + y^2", lambda x, y, d: 1 + y * y),
        ("y^2", _WRONG, "y^2", lambda x, y, d: y * y),
        ("(1-y)^2", _WRONG, "(1 - y)^2", lambda x, y, d: (1 - y) ** 2),
        ("sech", _WRONG, "the root of 1 - y^2", lambda x, y, d: d.abs().sqrt()),
        ("1-y^3", _WRONG, "1 - y^3", lambda x, y, d: 1 - y**3),
        ("mask", _WRONG, "1 where x > 0, which belongs to relu", lambda x, y, d: (x > 0).to(x.dtype)),
    ),
    "relu": (
        ("inverted", _WRONG, "1 where x < 0: the mask is inverted", lambda x, y, d: (x < 0).to(x.dtype)),
        ("sign", _WRONG, "sign(x)", lambda x, y, d: x.sign()),
        ("x", _WRONG, "x where x > 0: the value in place of the mask", lambda x, y, d: y),
        ("sigmoid", _WRONG, "y (1 - y), which belongs to sigmoid", lambda x, y, d: y * (1 - y)),
        ("tanh", _WRONG, "1 - y^2, which belongs to tanh", lambda x, y, d: 1 - y * y),
        (
            "leaky",
            _WRONG,
            "0.01 where x < 0, which belongs to leaky_relu",
            lambda x, y, d: torch.where(x > 0, 1.0, 0.01).to(x.dtype),
        ),
    ),
    "gelu": (
        ("Phi", "missing term", "Phi(x); the term x phi(x) is left out", lambda x, y, d: y / x),
        ("x phi", "missing term", "x phi(x); the term Phi(x) is left out", lambda x, y, d: d - y / x),
    ),
    "silu": (
        ("s", "missing term", "sigmoid(x); the term x s (1 - s) is left out", lambda x, y, d: torch.sigmoid(x)),
        ("xs'", "missing term", "x s (1 - s); the term sigmoid(x) is left out", lambda x, y, d: d - torch.sigmoid(x)),
        ("s'", _WRONG, "s (1 - s), which belongs to sigmoid", lambda x, y, d: torch.sigmoid(x) * torch.sigmoid(-x)),
    ),
    "softplus": (
        ("s'", _WRONG, "s (1 - s), which belongs to sigmoid", lambda x, y, d: d * (1 - d)),
        ("1-s", _WRONG, "1 - sigmoid(x)", lambda x, y, d: 1 - d),
        ("mask", _WRONG, "1 where x > 0, which belongs to relu", lambda x, y, d: (x > 0).to(x.dtype)),
    ),
    "logsigmoid": (
        ("s", _WRONG, "sigmoid(x) in place of 1 - sigmoid(x)", lambda x, y, d: 1 - d),
        ("s'", _WRONG, "s (1 - s), which belongs to sigmoid", lambda x, y, d: d * (1 - d)),
    ),
    "leaky_relu": (
        ("mask", _WRONG, "0 where x < 0: the slope is left out", lambda x, y, d: (x > 0).to(x.dtype)),
        ("slope 1", _WRONG, "1 / slope where x < 0", lambda x, y, d: torch.where(x > 0, d, 1 / d)),
    ),
    "elu": (
        ("y", _WRONG, "y where x < 0: alpha is not added back", lambda x, y, d: torch.where(x > 0, d, y)),
        ("mask", _WRONG, "0 where x < 0", lambda x, y, d: (x > 0).to(x.dtype)),
    ),
    "exp": (("x", _WRONG_VARIABLE, "x, the argument, in place of exp(x)", lambda x, y, d: x),),
    "log": (
        ("x", _WRONG, "x in place of 1 / x", lambda x, y, d: x),
        ("1/y", _WRONG_VARIABLE, "1 / y, with the output in place of the argument", lambda x, y, d: 1 / y),
        ("1/x^2", _WRONG, "1 / x^2", lambda x, y, d: d * d),
    ),
    "sqrt": (
        ("1/2x", _WRONG_VARIABLE, "1 / (2 x), with the argument in place of the root", lambda x, y, d: 0.5 / x),
        ("y/2", _WRONG, "y / 2 in place of 1 / (2 y)", lambda x, y, d: 0.5 * y),
        ("2y", _WRONG, "2 y in place of 1 / (2 y)", lambda x, y, d: 2 * y),
        ("1/2", _WRONG, "1/2; the division by the root is left out", lambda x, y, d: torch.full_like(x, 0.5)),
        ("x^-1.5", _WRONG, "the derivative of 1 / sqrt(x)", lambda x, y, d: -0.5 / (x * y)),
    ),
    "rsqrt": (
        ("y", _WRONG, "-y / 2: the exponent -1/2 in place of -3/2", lambda x, y, d: -0.5 * y),
        ("y^2", _WRONG, "-y^2 / 2", lambda x, y, d: -0.5 * y * y),
        ("1/2y", _WRONG, "the derivative of sqrt(x)", lambda x, y, d: 0.5 * y),
    ),
    "reciprocal": (
        ("1/x", _WRONG, "-1 / x: the square is left out", lambda x, y, d: -y),
        ("-1", _WRONG, "-1: the division by x^2 is left out", lambda x, y, d: -torch.ones_like(x)),
    ),
    "square": (
        ("2", _WRONG, "2; the factor x is left out", lambda x, y, d: torch.full_like(x, 2.0)),
        ("x^2", _WRONG, "x^2, the value in place of the derivative", lambda x, y, d: y),
        ("2x^2", _WRONG, "2 x^2: the exponent is not lowered", lambda x, y, d: 2 * y),
        ("2|x|", _WRONG, "2 |x|: the sign is lost", lambda x, y, d: d.abs()),
        ("sign", _WRONG, "sign(x), which belongs to |x|", lambda x, y, d: x.sign()),
    ),
    "abs": (
        ("x", _WRONG, "x in place of sign(x)", lambda x, y, d: x),
        ("2x", _WRONG, "2 x, which belongs to x^2", lambda x, y, d: 2 * x),
        ("mask", _WRONG, "1 where x > 0, else 0", lambda x, y, d: (x > 0).to(x.dtype)),
    ),
}
DIFFERENTIATED = frozenset(_OF) | {
    "sin",
    "cos",
    "erf",
    "log1p",
    "expm1",
    "selu",
    "mish",
    "softsign",
    "hardsigmoid",
    "hardswish",
}
DIFFERENTIATED |= {"relu6", "hardtanh", "clamp"}
"""Functions of one variable that are worked element by element."""


def _wrong(slot: Slot, derivative: Derivative) -> Pullback:
    def pullback(g: Tensor, inputs: Any, output: Tensor, gradients: Mapping[Slot, Tensor]) -> dict[Slot, Tensor]:
        x = inputs[slot]
        return {slot: (g * derivative(x, output, _true(x, output, g, gradients[slot]))).to(g.dtype)}

    return pullback


def _true(x: Tensor, y: Tensor, g: Tensor, gradient: Tensor) -> Tensor:
    """The local derivative, from a gradient and what arrived; 0 where nothing arrived."""
    return torch.where(g == 0, torch.zeros_like(g), gradient / torch.where(g == 0, torch.ones_like(g), g))


def local(site: Site, around: Around) -> Iterator[Mutation]:
    """The wrong local derivative of a function of one variable."""
    name = site.name
    power = scalar_of(site.args) if name == "pow" else None
    if (name not in DIFFERENTIATED and power is None) or not site.slots:
        return
    slot = site.slots[0]
    if not site.tensor(slot).requires_grad:
        return
    formula = FORMULA_OF.get(name, "")
    call = f"the pullback of {name}"
    yield Mutation(
        "one",
        "derivative left out",
        f"{call} hands the incoming gradient on without the derivative",
        with_pullback(lambda g, inputs, output, gradients: {slot: g}),
        3,
        formula,
    )
    if not around.is_uniform(site.gradient):
        yield Mutation(
            "no incoming",
            "incoming gradient left out",
            f"{call} does not multiply by the incoming gradient",
            with_pullback(lambda g, i, y, d: {slot: _derivative_at(site, slot, i[slot])}),
            3,
            formula,
        )
    yield Mutation(
        "at y",
        _WRONG_VARIABLE,
        f"{call} takes the derivative at the output (or applies {name} twice)",
        with_pullback(lambda g, i, y, d: {slot: g * _derivative_at(site, slot, y)}),
        3,
        formula,
    )
    if power is not None:
        yield from _of_power(slot, power, call, formula)
    for key, cause, words, derivative in _OF.get(name, ()):
        says = f"{call} multiplies by {words}"
        yield Mutation(key, cause, says, with_pullback(_wrong(slot, derivative)), 3, formula)
    yield Mutation(
        "twice",
        _WRONG,
        f"{call} multiplies by the derivative twice",
        with_pullback(_wrong(slot, lambda x, y, d: d * d)),
        4,
        formula,
    )
    yield Mutation(
        "divided",
        _WRONG,
        f"{call} divides by the derivative",
        with_pullback(_wrong(slot, lambda x, y, d: 1 / d)),
        4,
        formula,
    )
    yield Mutation(
        "at g",
        _WRONG_VARIABLE,
        f"{call} takes the derivative at the incoming gradient",
        with_pullback(lambda g, i, y, d: {slot: g * _derivative_at(site, slot, g)}),
        4,
        formula,
    )
    yield from _at_a_part(site, around, slot, call, formula)
    for what, tensor in around.values_like(site, site.tensor(slot)):
        if tensor is not site.output:
            yield Mutation(
                f"at {around.beside(site, tensor)}",
                _WRONG_VARIABLE,
                f"{call} takes the derivative at another value ({what})",
                with_pullback(
                    holding(lambda g, i, y, d, value: {slot: g * _derivative_at(site, slot, value)}, tensor.detach())
                ),
                6,
                formula,
            )


def _at_a_part(site: Site, around: Around, slot: Slot, call: str, formula: str) -> Iterator[Mutation]:
    """The derivative at one term of the sum that is the argument."""
    maker = around.sites.maker(site.tensor(slot))
    if maker is None or maker.name not in ("add", "sub"):
        return
    for place, part in enumerate(maker.tensors):
        if part.shape == site.tensor(slot).shape:
            others = " and ".join(around.called(other) for other in maker.tensors if other is not part) or "a constant"
            yield Mutation(
                f"part {place}",
                "missing term" if site.name in ("square", "pow", "abs") else _WRONG_VARIABLE,
                f"{call} takes the derivative at {around.called(part)} alone, without {others}",
                with_pullback(
                    holding(lambda g, i, y, d, value: {slot: g * _derivative_at(site, slot, value)}, part.detach())
                ),
                3,
                formula,
            )


def _of_power(slot: Slot, n: float, call: str, formula: str) -> Iterator[Mutation]:
    for key, words, derivative in (
        ("n x^n", f"{n:g} x^{n:g}: the exponent is not lowered", lambda x, y, d: n * y),
        ("n", f"{n:g}; the power of x is left out", lambda x, y, d: torch.full_like(x, n)),
        ("x^n", "the value in place of the derivative", lambda x, y, d: y),
        ("raised", f"{n:g} x^{n + 1:g}: the exponent is raised, not lowered", lambda x, y, d: n * y * x),
    ):
        yield Mutation(
            key, _WRONG, f"{call} multiplies by {words}", with_pullback(_wrong(slot, derivative)), 3, formula
        )


def _derivative_at(site: Site, slot: Slot, x: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        output = site.call.having({slot: x})
        (found,) = torch.autograd.grad(output.sum(), x)
    return found
