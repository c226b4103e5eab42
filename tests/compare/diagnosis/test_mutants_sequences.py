"""Options, orders and operands of layers of sequences and of losses of pairs, spellings and likelihoods, got wrong.

Each mistake is written in torch's own ops, otherwise than the reference; beside it stands a near miss that must not get
its name.
"""

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import compare
from compare.diagnosis.catalogue import UNKNOWN
from compare.diagnosis.mutants.formulas import formula_of
from compare.diagnosis.mutants.sites import Sites, Watch, name_of

GENERATOR = np.random.default_rng(20260719)


def normal(*shape):
    return GENERATOR.standard_normal(shape)


def by_autograd(function, change=lambda name, gradient, given: gradient):
    """A function of torch's ops as a user's own, whose gradients go through ``change(name, gradient, given)``."""

    def own(**given):
        tensors = {name: torch.tensor(value) for name, value in given.items()}
        wanted = {name: tensor.requires_grad_() for name, tensor in tensors.items() if tensor.is_floating_point()}
        loss = function(**tensors)
        found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
        gradients = {
            name: np.zeros(tensor.shape) if gradient is None else gradient.numpy()
            for (name, tensor), gradient in zip(wanted.items(), found, strict=True)
        }
        return float(loss.detach()), {name: change(name, value, given) for name, value in gradients.items()}

    return own


def weighted(value):
    """A scalar in which every element of a value counts differently."""
    return (value * torch.linspace(0.3, 1.7, value.numel(), dtype=value.dtype).reshape(value.shape)).sum()


# -- orders, shares, operands ------------------------------------------------------------------------------------------

CELL = {"x": normal(5, 3), "h": normal(5, 4), "w": normal(12, 3), "u": normal(12, 4), "b": normal(12), "c": normal(12)}
WIDE = {"x": normal(5, 4) + 0.5, "w": normal(4, 4)}
TWO = {"x": normal(5, 4), "y": normal(5, 4), "w": normal(3, 4), "v": normal(3, 4)}
HEADS = {"x": normal(2, 3, 4, 5)}
ATTENDED = {"q": normal(3, 5, 4), "k": normal(3, 6, 4), "v": normal(3, 6, 4)}


def gru(candidate=lambda a, b, r, h, u, c: a + r * b, mix=lambda z, n, h: (1 - z) * n + z * h):
    def cell(x, h, w, u, b, c):
        (ar, az, an), (br, bz, bn) = F.linear(x, w, b).split(4, 1), F.linear(h, u, c).split(4, 1)
        r, z = torch.sigmoid(ar + br), torch.sigmoid(az + bz)
        return weighted(mix(z, torch.tanh(candidate(an, bn, r, h, u[8:], c[8:])), h))

    return cell


def reference_gru(x, h, w, u, b, c):
    return weighted(torch.gru_cell(x, h, w, u, b, c))


def norm_last(x, w):
    return weighted(F.layer_norm(x + torch.tanh(x @ w), (4,), eps=1e-2))


def norm_first(x, w):
    return weighted(x + torch.tanh(F.layer_norm(x, (4,), eps=1e-2) @ w))


def from_normed(share):
    def function(x, w):
        n = F.layer_norm(x, (4,), eps=1e-2)
        return weighted(share * n + (1 - share) * x + torch.tanh(n @ w))

    return function


def two_maps(x, y, w, v):
    return weighted(torch.tanh(F.linear(x, w)) * F.linear(y, v))


def heads(order=lambda x: x.permute(2, 0, 1, 3)):
    return lambda x: weighted(torch.tanh(order(x)).reshape(8, 15))


def attend(q, k, v):
    return weighted(F.scaled_dot_product_attention(q, k, v))


def times(**factors):
    return lambda name, gradient, given: gradient * factors.get(name, 1)


# -- losses ------------------------------------------------------------------------------------------------------------

PAIR = {"x": normal(6, 3), "y": normal(6, 3), "t": np.array([1, -1, -1, 1, -1, -1])}
TRIPLET = {"x": normal(6, 3), "y": normal(6, 3), "z": normal(6, 3)}
COUNTS = {"x": 0.5 + np.abs(normal(4, 3)), "t": GENERATOR.integers(0, 6, (4, 3)).astype(float)}
GAUSS = {"x": normal(4, 3), "t": normal(4, 3), "v": 0.5 + np.abs(normal(4, 3))}
CLASSES = {"x": normal(5, 4), "t": np.array([0, 3, 1, 1, 2])}
PLACED = {"x": normal(3, 4, 5), "t": GENERATOR.integers(0, 4, (3, 5))}
SPELT = {
    "x": normal(8, 3, 6),
    "t": np.array([[1, 2, 3], [4, 1, 2], [2, 2, 1]]),
    "i": np.array([8, 6, 7]),
    "s": np.array([3, 2, 1]),
}


def spelling(change=lambda i, s: (i, s), reduce=None, **options):
    def loss(x, t, i, s):
        terms = F.ctc_loss(x.log_softmax(2), t, *change(i, s), reduction="none" if reduce else "mean", **options)
        return reduce(terms, i, s) if reduce else terms

    return loss


def cosine(margin):
    return lambda x, y, t: F.cosine_embedding_loss(x, y, t, margin=margin)


def triplet(**options):
    return lambda x, y, z: F.triplet_margin_loss(x, y, z, **options)


def poisson(**options):
    return lambda x, t: F.poisson_nll_loss(x, t, **options)


def gaussian(change):
    return lambda x, t, v: F.gaussian_nll_loss(x, t, change(v))


def margins(**options):
    return lambda x, t: F.multi_margin_loss(x, t, **options)


def placed(x, t):
    return F.cross_entropy(x, t)


def flattened(turn):
    return lambda x, t: F.cross_entropy(turn(x).reshape(-1, 4), t.reshape(-1))


# -- tables ------------------------------------------------------------------------------------------------------------

BAGS = {"w": normal(6, 3), "e": np.array([[0, 1, 2, 2], [3, 0, 0, 1], [4, 4, 1, 3]])}


def bags(mode="mean", padding=0, reduce=None):
    def function(w, e):
        pooled = F.embedding_bag(e, w, mode=mode, padding_idx=padding)
        return weighted(reduce(w, e) if reduce else pooled)

    return function


def kept(w, e):
    return w[e] * (e != 0).unsqueeze(2)


def to_all_maxima(share):
    """The gradient of bags' maxima with all of it (times ``share``) for every entry that equals its bag's."""

    def change(name, gradient, given):
        found = np.where((given["e"] != 0)[:, :, None], given["w"][given["e"]], -np.inf)
        largest = found == found.max(1, keepdims=True)
        made = np.zeros_like(gradient)
        np.add.at(made, given["e"], share * largest * np.linspace(0.3, 1.7, 9).reshape(3, 1, 3))
        return made

    return change


def by_frequency(w, e):
    return weighted(torch.tanh(F.embedding(e, w, scale_grad_by_freq=True)))


def counted(gradient, given, power, more=0):
    return gradient * (np.bincount(given["e"].reshape(-1), minlength=len(gradient)) + more)[:, None] ** float(power)


MISTAKES = {
    # name: (reference, inputs, what is wrong, the change of its gradients or None, the cause)
    "gate first": (reference_gru, CELL, gru(lambda a, b, r, h, u, c: a + (r * h) @ u.T + c), None, "other order"),
    "shares": (reference_gru, CELL, gru(mix=lambda z, n, h: h + z * (n - h)), None, "permuted"),
    "norm first": (norm_last, WIDE, norm_first, None, "other order"),
    "shortcut from the normed": (norm_first, WIDE, from_normed(1.0), None, "wrong operand"),
    "one weight twice": (two_maps, TWO, lambda x, y, w, v: two_maps(x, y, w, w + 0 * v), None, "wrong operand"),
    "heads reshaped": (
        heads(), HEADS, heads(lambda x: x.reshape(2, 4, 3, 5).permute(1, 0, 2, 3)), None, "permuted"
    ),
    "query gradient": (attend, ATTENDED, attend, times(q=2.0), "scale left out"),
    "last blank": (spelling(), SPELT, spelling(blank=5), None, "other option"),
    "input lengths": (spelling(), SPELT, spelling(lambda i, s: (torch.full_like(i, 8), s)), None, "mask ignored"),
    "target lengths": (spelling(), SPELT, spelling(lambda i, s: (i, torch.full_like(s, 3))), None, "mask ignored"),
    "by rows": (spelling(), SPELT, spelling(reduce=lambda x, i, s: x.mean()), None, "wrong denominator"),
    "by labels": (spelling(), SPELT, spelling(reduce=lambda x, i, s: x.sum() / s.sum()), None, "wrong denominator"),
    "spellings summed": (spelling(), SPELT, spelling(reduce=lambda x, i, s: x.sum()), None, "sum instead of mean"),
    "cosine margin": (cosine(0.3), PAIR, cosine(0.0), None, "other option"),
    "swap": (triplet(), TRIPLET, triplet(swap=True), None, "other option"),
    "Manhattan": (triplet(), TRIPLET, triplet(p=1.0), None, "other option"),
    "logarithm": (poisson(), COUNTS, poisson(log_input=False), None, "other option"),
    "Stirling": (poisson(), COUNTS, poisson(full=True), None, "other option"),
    "Poisson summed": (poisson(), COUNTS, poisson(reduction="sum"), None, "sum instead of mean"),
    "deviation": (gaussian(lambda v: v), GAUSS, gaussian(lambda v: v**2), None, "wrong function"),
    "log-variance": (gaussian(lambda v: v), GAUSS, gaussian(torch.exp), None, "wrong function"),
    "squared hinge": (margins(), CLASSES, margins(p=2), None, "other option"),
    "flattened": (placed, PLACED, flattened(lambda x: x), None, "permuted"),
    "padding pooled": (bags(), BAGS, bags(padding=None), None, "mask ignored"),
    "padded sizes": (bags(), BAGS, bags(reduce=lambda w, e: kept(w, e).mean(1)), None, "wrong denominator"),
    "bags summed": (bags(), BAGS, bags("sum"), None, "sum instead of mean"),
    "bags averaged": (bags("sum"), BAGS, bags("mean"), None, "mean instead of sum"),
    "maximum for mean": (bags(), BAGS, bags("max"), None, "wrong function"),
    "all maxima": (bags("max"), BAGS, bags("max"), to_all_maxima(1.0), "tie policy"),
    "not by frequency": (
        by_frequency, BAGS, by_frequency, lambda name, g, given: counted(g, given, 1), "sum instead of mean"
    ),
}  # fmt: skip

NEAR = {
    "gate first": gru(lambda a, b, r, h, u, c: a + (r * h) @ u.T),
    "shares": gru(mix=lambda z, n, h: h + 0.9 * z * (n - h)),
    "norm first": lambda x, w: weighted(x + torch.tanh(F.layer_norm(x, (4,), eps=0.5) @ w)),
    "shortcut from the normed": from_normed(0.7),
    "one weight twice": lambda x, y, w, v: two_maps(x, y, w, (w + v) / 2),
    "heads reshaped": heads(lambda x: x.permute(2, 0, 1, 3).roll(1, 1) * 1.01),
    "query gradient": times(q=1.9),
    "last blank": spelling(blank=4),
    "input lengths": spelling(lambda i, s: (i - 1, s)),
    "target lengths": spelling(lambda i, s: (i, torch.full_like(s, 2))),
    "by rows": spelling(reduce=lambda x, i, s: (x / s**2).mean()),
    "cosine margin": cosine(0.17),
    "swap": triplet(eps=0.3),
    "logarithm": lambda x, t: (x - t * (x + 0.07).log()).mean(),
    "deviation": gaussian(lambda v: v**2.1),
    "squared hinge": margins(margin=0.93),
    "flattened": flattened(lambda x: 0.9 * x),
    "padded sizes": bags(reduce=lambda w, e: kept(w, e).sum(1) / 4.5),
    "all maxima": to_all_maxima(1.1),
    "not by frequency": lambda name, g, given: counted(g, given, 1, more=1),
}


@cache
def report_on(name):
    reference, inputs, wrong, change, _ = MISTAKES[name]
    return compare.gradients(by_autograd(wrong, *([change] if change else [])), reference, inputs)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name):
    reference, inputs, _, _, cause = MISTAKES[name]
    assert compare.gradients(by_autograd(reference), reference, inputs).outcome == "equivalent"
    report = report_on(name)
    assert report.outcome == "diverged"
    assert report.causes[0].cause == cause, report.causes


@pytest.mark.parametrize("name", NEAR)
def test_a_near_miss_is_not(name):
    reference, inputs, wrong, change, cause = MISTAKES[name]
    own = by_autograd(wrong, NEAR[name]) if change else by_autograd(NEAR[name])
    report = compare.gradients(own, reference, inputs)
    assert report.outcome == "diverged"
    assert report.causes[0].cause != cause, report.causes


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gate first", "a factor multiplies what goes into a linear map, not what comes out of it in gru_cell"),
        ("shares", "the two shares of a mixture, z and 1 - z, are exchanged"),
        ("last blank", "the blank is class 5, not 0"),
        ("cosine margin", "the margin is 0, not 0.3"),
        ("logarithm", "a logarithm for the input is left out (log_input=False)"),
        ("query gradient", "leaves out the scale 0.5 that follows"),
        ("one weight twice", "linear uses w in place of v"),
        ("padded sizes", "divided by all its entries, those of the padding index among them"),
    ],
)
def test_what_is_said(name, says):
    assert says in report_on(name).causes[0].explanation


def test_a_number_that_no_option_has_is_unknown():
    report = compare.gradients(by_autograd(cosine(0.17)), cosine(0.3), PAIR)
    assert report.causes[0].cause == UNKNOWN


# -- formulas ----------------------------------------------------------------------------------------------------------


def tensors(inputs):
    found = {name: torch.tensor(value) for name, value in inputs.items()}
    return [tensor.requires_grad_() if tensor.is_floating_point() else tensor for tensor in found.values()]


FORMULAS = [
    *((F.cosine_embedding_loss, PAIR, {"margin": margin, "reduction": "sum"}) for margin in (0.0, 0.2)),
    (F.triplet_margin_loss, TRIPLET, {"margin": 0.5}),
    (F.margin_ranking_loss, {**PAIR, "t": PAIR["t"][:, None]}, {"margin": 0.3, "reduction": "none"}),
    (F.hinge_embedding_loss, {"x": normal(4, 3), "t": np.sign(normal(4, 3))}, {"margin": 0.7}),
    *((F.multi_margin_loss, CLASSES, {"p": p, "margin": 0.8}) for p in (1, 2)),
    *((F.poisson_nll_loss, COUNTS, {"log_input": log}) for log in (True, False)),
    *((F.gaussian_nll_loss, GAUSS, {"full": full, "reduction": "sum"}) for full in (True, False)),
    *((F.embedding_bag, dict(reversed(BAGS.items())), {"mode": m, "padding_idx": 0}) for m in ("sum", "mean")),
    (
        F.embedding_bag,
        {"e": np.array([0, 1, 2, 2, 3]), "w": BAGS["w"], "o": np.array([0, 2, 2])},
        {"mode": "sum", "per_sample_weights": torch.linspace(0.5, 2, 5, dtype=torch.float64)},
    ),
    (F.embedding_bag, {"e": np.array([0, 1, 2, 2, 3]), "w": BAGS["w"], "o": np.array([0, 2, 2])}, {}),
]


@pytest.mark.parametrize(
    ("op", "inputs", "options"), FORMULAS, ids=[f"{name_of(op)} {i}" for i, (op, *_) in enumerate(FORMULAS)]
)
def test_a_formula_and_its_gradient_equal_the_op(op, inputs, options):
    found, wanted = tensors(inputs), tensors(inputs)
    formula = formula_of(name_of(op), tuple(found), options)
    assert formula is not None
    values = formula(), op(*wanted, **options)
    torch.testing.assert_close(*values)
    for value in values:
        weighted(value).backward()
    for a, b in zip(found, wanted, strict=True):
        if b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_both_directions_are_opened_up(kind):
    torch.manual_seed(0)
    layer, listing = kind(3, 4, 2, bidirectional=True, batch_first=True), Sites()
    x = torch.randn(2, 5, 3, requires_grad=True)
    with Watch(listing=listing):
        layer(x)
    (outer,) = [site for site in listing if site.outer is None]
    inner = [site.name for site in listing if site.outer is outer]
    assert inner.count("flip") == 4  # each backward direction is turned round, and its result back
    assert inner.count("cat") == 2
    torch.testing.assert_close(outer.output[0], layer(x)[0])
