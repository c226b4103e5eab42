"""Gradients that are not added up as they should be."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import compare

from .written import SHAPES, SHOWN, asked, evidence, only

generator = np.random.default_rng(3)
ROWS = 7


# -- a network ---------------------------------------------------------------------------------------------------------


def loop(first_only=False, names=("dw", "db", "dv", "dc")):
    """A loop over the rows that assigns its share, or takes the first alone."""
    at = 0 if first_only else -1
    shares = {
        "dw": lambda v, s: np.outer(s["gz"][at], s["x"][at]),
        "db": lambda v, s: s["gz"][at],
        "dv": lambda v, s: np.outer(s["g"][at], s["a"][at]),
        "dc": lambda v, s: s["g"][at],
    }
    return {name: shares[name] for name in names}


NETWORK = {
    # mistake: spoiled lines, cause, explanation
    "mean over the rows": (
        {"db": lambda v, s: s["gz"].mean(0)},
        "mean instead of sum",
        "hidden.bias is the mean over axis 0, not the sum",
    ),
    "the last row's bias": (
        loop(names=["db"]),
        "broadcasting not summed",
        "hidden.bias holds only the last entry along axis 0 of what is summed",
    ),
    "the first row's bias": (
        loop(True, names=["dc"]),
        "broadcasting not summed",
        "output.bias holds only the first entry along axis 0 of what is summed",
    ),
    "one weight assigned in a loop": (
        loop(names=["dv"]),
        "overwritten instead of added",
        "output.weight holds only the last of the 6 terms that add up",
    ),
    "no gradient behind the output": (
        {"ga": lambda v, s: 0 * v},
        "detached",
        "no gradient arrives at output (input), act (output), act (input), hidden (output): "
        "zero (or None) where the reference has up to 0.679",
    ),
    "one gradient is None": (
        {"gradients": lambda v, s: {**v, "hidden.bias": None}},
        "detached",
        "no gradient arrives at hidden.bias: zero (or None) where the reference has up to 0.374",
    ),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("decay", [0.0, 0.02], ids=["plain", "penalty"])
@pytest.mark.parametrize("mistake", NETWORK)
def test_a_gradient_of_a_network(mistake, decay, dtype):
    lines, cause, text = NETWORK[mistake]
    best = asked(evidence(lines, dtype=dtype, decay=decay, shown=SHOWN), "reductions")
    assert (best.cause, best.explanation) == (cause, text)


@pytest.mark.parametrize("decay", [0.0, 0.02], ids=["plain", "penalty"])
def test_a_loop_that_assigns_hits_every_gradient(decay):
    best = asked(evidence(loop(), decay=decay), "reductions")
    assert best.cause == "overwritten instead of added"
    assert "holds only the last" in best.explanation
    assert all(name in best.explanation for name in SHAPES)


def test_the_rows_of_the_whole_gradient_and_nothing_of_its_neighbours():
    lines = {**loop(names=["db"]), "dc": lambda v, s: 1.5 * v}
    assert asked(evidence(lines), "reductions").cause in ("broadcasting not summed", "unknown")
    assert asked(evidence({"dw": lambda v, s: np.outer(s["gz"][-1], s["x"][0])}), "reductions").cause == "unknown"


# -- functions ---------------------------------------------------------------------------------------------------------


def affine(x, w, b, y, wrong=""):
    r = x @ w.T + b - y
    g = 2 * r / r.size
    db = {
        "": lambda: g.sum(0),
        "unsummed": lambda: g,
        "kept": lambda: g.sum(0, keepdims=True),
        "other axis": lambda: g.sum(1)[: len(b)],
    }[wrong]()
    return np.mean(r**2), {"w": g.T @ x, "b": db}


def affine_torch(x, w, b, y):
    return F.mse_loss(x @ w.T + b, y)


def convolved(x, k, y, wrong=""):
    gradients = []
    for image, target in zip(x, y, strict=True):
        g = 2 * (_correlate(image, k) - target) / y.size
        gradients.append(_correlate(image, g))
    dk = {"": lambda: sum(gradients), "last": lambda: gradients[-1], "first": lambda: gradients[0]}[wrong]()
    return np.mean((np.stack([_correlate(image, k) for image in x]) - y) ** 2), {"k": dk}


def _correlate(image, kernel):
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape)
    return np.einsum("ijkl,kl->ij", windows, kernel)


def pooled(x, kernels, b, y, wrong=""):
    """A convolution with a bias for each of its channels, of which only the bias is looked at."""
    g = (
        2
        * (np.stack([[_correlate(image, kernel) for kernel in kernels] for image in x]) + b[:, None, None] - y)
        / y.size
    )
    last = {"": g, "last": g[..., -1:], "first": g[..., :1, :], "corner": g[..., -1:, -1:]}[wrong]
    return np.mean((g * y.size / 2) ** 2), {"b": last.sum((0, 2, 3))}


def pooled_torch(x, kernels, b, y):
    return F.mse_loss(F.conv2d(x[:, None], kernels[:, None], b), y)


def convolved_torch(x, k, y):
    return F.mse_loss(F.conv2d(x[:, None], k[None, None])[:, 0], y)


def embedded(table, index, y, wrong=""):
    r = table[index] - y
    g = 2 * r / r.size
    d = np.zeros_like(table)
    if wrong == "assigned":
        d[index] = g
    elif wrong == "indexed +=":
        d[index] += g
    elif wrong == "first":
        for place, row in zip(index[::-1], g[::-1], strict=True):
            d[place] = row
    else:
        np.add.at(d, index, g)
    return np.mean(r**2), {"table": d}


def embedded_torch(table, index, y):
    return F.mse_loss(F.embedding(index, table), y)


def indexed_torch(table, index, y):
    return F.mse_loss(table[index], y)


def twice(w, x, y, wrong=""):
    inner = x @ w
    r = inner @ w - y
    g = 2 * r / r.size
    late, early = inner.T @ g, x.T @ (g @ w.T)
    return np.mean(r**2), {
        "w": {"": late + early, "late": late, "early": early, "both": late * early, "twice": late + 2 * early}[wrong]
    }


def twice_torch(w, x, y):
    return F.mse_loss(x @ w @ w, y)


def normal(*shape):
    return generator.standard_normal(shape)


LINE = {"x": normal(ROWS, 3), "w": normal(4, 3), "b": normal(4), "y": normal(ROWS, 4)}
SQUARE = {"x": normal(4, 3), "w": normal(4, 3), "b": normal(4), "y": normal(4, 4)}
IMAGES = {"x": normal(3, 6, 5), "k": normal(3, 2), "y": normal(3, 4, 4)}
CHANNELS = {"x": normal(3, 6, 5), "kernels": normal(2, 3, 2), "b": normal(2), "y": normal(3, 2, 4, 4)}
WORDS = {"table": normal(6, 3), "index": np.array([1, 4, 1, 0, 4, 1]), "y": normal(6, 3)}
TIED = {"w": normal(4, 4), "x": normal(5, 4), "y": normal(5, 4)}

FUNCTIONS = {
    # mistake: function, its twin, inputs, parameters, the wrong line, cause, explanation
    "not summed at all": (affine, affine_torch, LINE, "unsummed", "broadcasting not summed", "b has shape (7, 4); summed over axis 0 it is the reference's of shape (4,)"),
    "an axis is kept": (affine, affine_torch, LINE, "kept", "unknown", ""),  # another shape: no matter of sums
    "the other axis": (affine, affine_torch, SQUARE, "other axis", "wrong axis", "b is summed over axis 1, not over axis 0"),
    "the last image": (convolved, convolved_torch, IMAGES, "last", "overwritten instead of added", "k holds only the last of the 3 rows"),
    "the first image": (convolved, convolved_torch, IMAGES, "first", "overwritten instead of added", "k holds only the first of the 3 rows"),
    "the last position": (pooled, pooled_torch, CHANNELS, "last", "broadcasting not summed", "b holds only the last position along axis 3 of what is summed"),
    "the first position": (pooled, pooled_torch, CHANNELS, "first", "broadcasting not summed", "b holds only the first position along axis 2 of what is summed"),
    "one corner": (pooled, pooled_torch, CHANNELS, "corner", "unknown", ""),
    "rows assigned": (embedded, embedded_torch, WORDS, "assigned", "overwritten instead of added", "table holds only the last of the rows that share an index"),
    "rows +=": (embedded, embedded_torch, WORDS, "indexed +=", "overwritten instead of added", "table holds only the last of the rows that share an index"),
    "rows of an index": (embedded, indexed_torch, WORDS, "assigned", "overwritten instead of added", "table holds only the last of the rows that share an index"),
    "the first of equal rows": (embedded, embedded_torch, WORDS, "first", "unknown", ""),
    "the late use of a shared weight": (twice, twice_torch, TIED, "late", "overwritten instead of added", "w holds only one of the 2 contributions that meet in it"),
    "the early use of a shared weight": (twice, twice_torch, TIED, "early", "overwritten instead of added", "w holds only one of the 2 contributions that meet in it"),
    "a contribution twice": (twice, twice_torch, TIED, "twice", "doubled term", "w holds one of the 2 contributions that meet in it twice"),
    "their product": (twice, twice_torch, TIED, "both", "unknown", ""),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("mistake", FUNCTIONS)
def test_a_gradient_of_a_function(mistake, dtype):
    function, reference, inputs, wrong, cause, text = FUNCTIONS[mistake]
    given = {name: value if value.dtype.kind == "i" else value.astype(dtype) for name, value in inputs.items()}
    wrt = [name for name in inputs if name in ("w", "b", "k", "table")]
    assert compare.gradients(function, reference, given, wrt=wrt).outcome == "equivalent"
    with only("reductions"):
        report = compare.gradients(lambda **values: function(**values, wrong=wrong), reference, given, wrt=wrt)
    best = report.causes[0]
    assert best.cause == cause
    assert best.explanation == text or cause == "unknown"


def test_the_gradient_of_an_embedding_keeps_its_padding():
    padded = {"table": WORDS["table"], "index": np.array([1, 4, 1, 2, 2, 1]), "y": WORDS["y"]}

    def reference(table, index, y):
        return F.mse_loss(F.embedding(index, table, padding_idx=2), y)

    def wrong(table, index, y):
        loss, gradients = embedded(table, index, y, "assigned")
        gradients["table"][2] = 0
        return loss, gradients

    def counted(table, index, y):
        return embedded(table, index, y)

    with only("reductions"):
        assigned, padding = (compare.gradients(f, reference, padded, wrt=["table"]).causes[0] for f in (wrong, counted))
    assert assigned.cause == "overwritten instead of added"
    assert (padding.cause, padding.explanation) == (
        "padding index ignored",
        "table has a gradient for the padding index 2 too",
    )


def test_a_mean_in_place_of_the_sum_and_the_other_way_round():
    x, w = normal(5, 3), normal(3)

    def averaged(x, w):
        return float((x * w).sum()), {"w": x.mean(0)}

    def summed(x, w):
        return float((x * w).mean(0).sum()), {"w": x.sum(0)}

    for function, reference, cause in (
        (averaged, lambda x, w: (x * w).sum(), "mean instead of sum"),
        (summed, lambda x, w: (x * w).mean(0).sum(), "sum instead of mean"),
    ):
        best = compare.gradients(function, reference, {"x": x, "w": w}, wrt=["w"]).causes[0]
        assert best.cause == cause


def test_zero_where_the_reference_is_zero_is_no_detachment():
    def dead(x, w):
        return float(np.maximum(x @ w - 100, 0).sum()), {"w": np.zeros_like(w)}

    report = compare.gradients(
        dead, lambda x, w: torch.relu(x @ w - 100).sum(), {"x": normal(5, 3), "w": normal(3)}, wrt=["w"]
    )
    assert not report.causes
