"""What is written wrong in Adafactor and Muon."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from compare.diagnosis.updates.rules.core import Array
from compare.diagnosis.updates.rules.matrices import mean_square, orthogonal, rms
from compare.diagnosis.updates.variants.shared import Variant, averages, with_option

__all__ = ["adafactor", "muon"]

FACTORS = "r ← mean of g² along rows, c along columns, v = r c / mean(r), each averaged with the weight t^−0.8"
SCALE = "u = g / √max(v, ε₁²); θ ← θ − min(γ, 1/√t) max(ε₂, RMS(θ)) u / max(1, RMS(u) / d)"
MUON = "b ← μ b + (1 − μ) g; O = orthogonal((1 − μ) g + μ b); θ ← θ − γ √max(1, rows / columns) O"
NEWTON = "X ← a X + (b A + c A²) X, A = X Xᵀ, from X = G / |G|, transposed where it is tall"

# -- Adafactor -------------------------------------------------------------------------------------------------------


def adafactor(o: Mapping[str, Any]) -> Iterator[Variant]:
    """Adafactor."""
    Product = Callable[[Array, Array, float], Array]
    products: list[tuple[str, str, Product]] = [
        (
            "missing term",
            "the product of rows and columns is not divided by the mean of the rows",
            lambda r, c, eps: r @ c,
        ),
        (
            "wrong operand",
            "the product of rows and columns is divided by the root of their means",
            lambda r, c, eps: r @ c / np.sqrt(np.mean(r, -2, keepdims=True) * np.mean(c, -1, keepdims=True)),
        ),
        (
            "sum instead of mean",
            "the product of rows and columns is divided by the sum of the rows, not by their mean",
            lambda r, c, eps: r @ c / np.sum(r, -2, keepdims=True),
        ),
        ("missing term", "the columns are left out", lambda r, c, eps: r * np.ones(np.shape(c))),
        ("missing term", "the rows are left out", lambda r, c, eps: c * np.ones(np.shape(r))),
        (
            "wrong operand",
            "the product is divided by its own mean over all",
            lambda r, c, eps: r @ c / np.maximum(np.mean(r @ c), eps),
        ),
        (
            "wrong function",
            "rows and columns are added up, not multiplied",
            lambda r, c, eps: (r + c) / 2,
        ),
    ]
    for cause, says, product in products:
        yield Variant(cause, says, FACTORS, 2, {"product": product})
    says = "the squares of a row are added up, not averaged"
    added = {"square": lambda g, axis: np.sum(np.square(g), axis=axis, keepdims=True)}
    yield Variant("sum instead of mean", says, FACTORS, 2, added)
    says = "rows and columns have changed places"
    crossed = {
        "square": lambda g, axis: mean_square(g, -1 if axis == -2 else -2),
        "product": lambda r, c, eps: c @ r / np.maximum(np.mean(r, axis=-1, keepdims=True), eps),
    }
    yield Variant("transposed", says, FACTORS, 2, crossed)
    says = "the second moment of a matrix is kept whole, not factored"
    yield Variant("wrong function", says, FACTORS, 2, {"factored": False})
    says = "the rows' and columns' magnitudes are averaged, not their squares"
    plain = {"square": lambda g, axis: np.mean(np.abs(g), axis=axis, keepdims=True)}
    yield Variant("square left out", says, FACTORS, 3, plain)
    Share = Callable[[int, float], float]
    shares: list[tuple[str, str, Share]] = [
        ("moment without its average", "the old moment weighs t^−0.8, the new square the rest", lambda t, p: 1 - t**p),
        ("step count off by one", "the weight of a new square is that of step t + 1", lambda t, p: (t + 1.0) ** p),
        (
            "step count off by one",
            "the weight of a new square is that of step t − 1",
            lambda t, p: max(t - 1.0, 1.0) ** p,
        ),
        ("other option", "the weight of a new square is 1 / t", lambda t, p: 1.0 / t),
        ("other option", "beta2_decay is not heeded: the weight of a new square is 0.001", lambda t, p: 1e-3),
        ("other option", "beta2_decay is not heeded: the weight of a new square is 0.01", lambda t, p: 1e-2),
        ("moment without its average", "nothing is kept: a new square weighs 1", lambda t, p: 1.0),
        ("sign", "beta2_decay has the other sign", lambda t, p: float(t) ** -p),
    ]
    for cause, says, share in shares:
        yield Variant(cause, says, FACTORS, 2, {"share": share})
    says = "the second moment is used as before this step's gradient entered"
    yield Variant("moment of the old step", says, FACTORS, 3, {"old": True})
    yield from _steps(o)


def _steps(o: Mapping[str, Any]) -> Iterator[Variant]:
    Root = Callable[[Array, float], Array]
    roots: list[tuple[str, str, Root]] = [
        (
            "eps in another place",
            "ε₁² is added under the root, where it is a lower bound",
            lambda v, eps: np.sqrt(v + eps**2),
        ),
        ("eps in another place", "ε₁ is added to the root", lambda v, eps: np.sqrt(v) + eps),
        ("eps in another place", "ε₁ is added under the root", lambda v, eps: np.sqrt(v + eps)),
        ("square left out", "the lower bound of v is ε₁, not its square", lambda v, eps: np.sqrt(np.maximum(v, eps))),
        ("other eps", "v has no lower bound", lambda v, eps: np.sqrt(v)),
        ("root left out", "the gradient is divided by v, without the root", lambda v, eps: np.maximum(v, eps * eps)),
    ]
    for cause, says, root in roots:
        yield Variant(cause, says, SCALE, 2, {"root": root})
    Clip = Callable[[Array, float], float]
    clips: list[tuple[str, str, Clip]] = [
        ("other threshold", "the step is not clipped", lambda u, d: 1.0),
        ("always scaled", "the step is brought to d even where it is shorter", lambda u, d: rms(u) / d),
        (
            "sum instead of mean",
            "the step is clipped by its norm, not by its root mean square",
            lambda u, d: max(1.0, float(np.linalg.norm(u)) / d),
        ),
        ("other threshold", "the threshold d is not heeded: it is 1", lambda u, d: max(1.0, rms(u))),
        ("wrong operand", "the threshold d multiplies where it divides", lambda u, d: max(1.0, rms(u) * d)),
        (
            "wrong function",
            "the step is clipped by its largest element",
            lambda u, d: max(1.0, float(np.abs(u).max()) / d),
        ),
        (
            "root left out",
            "the step is clipped by its mean square, without the root",
            lambda u, d: max(1.0, rms(u) ** 2 / d),
        ),
    ]
    for cause, says, clip in clips:
        yield Variant(cause, says, SCALE, 2, {"clip": clip})
    Scale = Callable[[Array, float], float]
    scales: list[tuple[str, str, Scale]] = [
        ("scale left out", "the rate is not multiplied by the parameter's RMS", lambda theta, eps: 1.0),
        (
            "sum instead of mean",
            "the rate is multiplied by the parameter's norm, not by its root mean square",
            lambda theta, eps: max(eps, float(np.linalg.norm(theta))),
        ),
        (
            "eps in another place",
            "ε₂ is added to the parameter's root mean square, where it is a lower bound",
            lambda theta, eps: eps + rms(theta),
        ),
        ("other threshold", "the parameter's root mean square has no lower bound", lambda theta, eps: rms(theta)),
        (
            "root left out",
            "the rate is multiplied by the parameter's mean square",
            lambda theta, eps: max(eps, rms(theta) ** 2),
        ),
        (
            "wrong function",
            "the smaller of ε₂ and the root mean square is taken",
            lambda theta, eps: min(eps, rms(theta)),
        ),
    ]
    for cause, says, scale in scales:
        yield Variant(cause, says, SCALE, 2, {"scale": scale})
    Relative = Callable[[float, int], float]
    relatives: list[tuple[str, Relative]] = [
        ("the rate is not held below 1/√t", lambda lr, t: lr),
        ("the rate is 1/√t, whatever γ is", lambda lr, t: 1 / float(np.sqrt(t))),
        ("the rate falls as γ/√t", lambda lr, t: lr / float(np.sqrt(t))),
        ("the larger of γ and 1/√t is taken", lambda lr, t: max(lr, 1 / float(np.sqrt(t)))),
        ("the rate is held below 1/t, without the root", lambda lr, t: min(lr, 1 / t)),
    ]
    for says, relative in relatives:
        yield Variant("other threshold", says, SCALE, 3, {"relative": relative})


# -- Muon ------------------------------------------------------------------------------------------------------------


def muon(o: Mapping[str, Any]) -> Iterator[Variant]:
    """Muon."""
    nesterov = bool(o["nesterov"])
    if nesterov:
        plain = {"ahead": lambda b, g, mu, n: b}
        yield Variant("nesterov", "Nesterov's look-ahead is left out", MUON, 2, plain)
        says = "the look-ahead is g + μ b, where torch takes (1 − μ) g + μ b"
        yield Variant("nesterov", says, MUON, 2, {"ahead": lambda b, g, mu, n: g + mu * b})
        says = "g and b have changed places in the look-ahead: μ g + (1 − μ) b"
        yield Variant("nesterov", says, MUON, 2, {"ahead": lambda b, g, mu, n: mu * g + (1 - mu) * b})
    else:
        looks = {"ahead": lambda b, g, mu, n: (1 - mu) * g + mu * b}
        yield Variant("nesterov", "Nesterov's look-ahead is added", MUON, 2, looks)
    says = "the gradient itself is made orthogonal; the momentum has no effect"
    yield Variant("momentum left out", says, MUON, 2, {"ahead": lambda b, g, mu, n: g})
    yield from averages(MUON, "moment", {"s": "b", "g": "g", "b": "μ"}, "the momentum")
    says = "the gradient is made orthogonal first, and then averaged"
    yield Variant("other order", says, MUON, 2, {"first": "orthogonalisation"})
    says = "the step is not made orthogonal"
    yield Variant("left out", says, NEWTON, 2, {"orthogonalise": lambda g, *settings: g})
    says = "the step is divided by its norm, but not made orthogonal"
    yield Variant("left out", says, NEWTON, 3, {"orthogonalise": lambda g, *settings: g / np.linalg.norm(g)})
    says = "the step is made orthogonal exactly, by a singular value decomposition"
    yield Variant("approximation", says, NEWTON, 2, {"orthogonalise": _exact})
    says = "the step is made orthogonal without dividing by its norm first"
    yield Variant("scale left out", says, NEWTON, 3, {"orthogonalise": partial(orthogonal, norm=lambda x, eps: 1.0)})
    by_largest = partial(orthogonal, norm=lambda x, eps: float(np.linalg.norm(x, 2)))
    says = "the step is divided by its largest singular value, not by its norm"
    yield Variant("wrong function", says, NEWTON, 3, {"orthogonalise": by_largest})
    for count in range(1, 11):
        if count != o["ns_steps"]:
            says = f"Newton and Schulz's iteration takes {count} steps, not {o['ns_steps']}"
            yield Variant("other option", says, NEWTON, 3, options=with_option("ns_steps", count))
    others = {
        "3/2, −1/2, 0": (1.5, -0.5, 0.0),
        "15/8, −5/4, 3/8": (1.875, -1.25, 0.375),
        "2, −3/2, 1/2": (2.0, -1.5, 0.5),
        "3.4445, −4.7750, 2.0315": (3.4445, -4.7750, 2.0315),
        "b and c in each other's place": (o["ns_coefficients"][0], *reversed(o["ns_coefficients"][1:])),
        "a and c in each other's place": tuple(reversed(o["ns_coefficients"])),
        "c left out": (*o["ns_coefficients"][:2], 0.0),
    }
    for text, numbers in others.items():
        if tuple(numbers) != tuple(o["ns_coefficients"]):
            says = f"the polynomial has other coefficients: {text}"
            yield Variant("other option", says, NEWTON, 2, options=with_option("ns_coefficients", numbers))
    Stretch = Callable[[tuple[int, ...], Any], float]
    stretches: list[tuple[str, str, Stretch]] = [
        ("scale left out", "the rate is not multiplied by a factor of the shape", lambda shape, kind: 1.0),
        (
            "transposed",
            "rows and columns have changed places in the factor of the rate",
            lambda shape, kind: float(np.sqrt(max(1.0, shape[1] / shape[0]))),
        ),
        ("root left out", "the factor of the rate lacks its root", lambda shape, kind: max(1.0, shape[0] / shape[1])),
        (
            "other option",
            "the factor of the rate is 0.2 √max(rows, columns), AdamW's",
            lambda shape, kind: 0.2 * float(np.sqrt(max(shape))),
        ),
        (
            "other option",
            "the factor of the rate is √max(1, rows / columns)",
            lambda shape, kind: float(np.sqrt(max(1.0, shape[0] / shape[1]))),
        ),
        (
            "other threshold",
            "the factor of the rate is √(rows / columns), also below 1",
            lambda shape, kind: float(np.sqrt(shape[0] / shape[1])),
        ),
    ]
    for cause, says, stretch in stretches:
        yield Variant(cause, says, MUON, 2, {"stretch": stretch})


def _exact(g: Array, *settings: Any) -> Array:
    left, _, right = np.linalg.svd(g, full_matrices=False)
    return left @ right
