"""Arrangement: of a gradient that is any tensor we like, because the loss is its product with the parameter."""

import numpy as np
import pytest

import compare

from .written import asked, evidence, only

MATRIX, SQUARE, KERNEL, GATES = (4, 3), (5, 5), (3, 2, 4, 5), (12, 2)


def blocks(value, count, order, axis=0):
    parts = np.split(value, count, axis)
    return np.concatenate([parts[place] for place in order], axis)


def interleaved(value):
    return np.stack(np.split(value, 2), 1).reshape(value.shape)


ARRANGED = {
    # mistake: shape, what becomes of the gradient, cause, how its explanation goes on after the name
    "a matrix transposed": (MATRIX, lambda v: v.T, "transposed", "is the reference's transposed"),
    "a square transposed": (SQUARE, lambda v: v.T, "transposed", "is the reference's transposed"),
    "a stack transposed": ((2, 3, 3), lambda v: v.swapaxes(1, 2), "transposed", "is the reference's transposed: its axes in the order (0, 2, 1)"),
    "channels last": (KERNEL, lambda v: v.transpose(0, 2, 3, 1), "permuted", "has its axes in the order (0, 2, 3, 1)"),
    "a column for a row": ((1, 4), lambda v: v.T, "transposed", "is the reference's transposed"),
    "a reshape for a transposition": ((4, 6), lambda v: v.T.reshape(v.shape), "permuted", "is the reference's read with its axes in the order (1, 0), reshaped to (4, 6)"),
    "a kernel flipped": (KERNEL, lambda v: v[:, :, ::-1, ::-1], "reversed", "is the reference's with axes 2, 3 running backwards"),
    "a small kernel flipped": ((2, 3, 2, 2), lambda v: v[:, :, ::-1, ::-1], "reversed", "is the reference's with axes 2, 3 running backwards"),
    "time reversed": ((6, 3), lambda v: v[::-1], "reversed", "is the reference's with axis 0 running backwards"),
    "a vector reversed": ((6,), lambda v: v[::-1], "reversed", "is the reference's with axis 0 running backwards"),
    "two units exchanged": ((2, 4), lambda v: v[::-1], "permuted", "is the reference's with the two entries along axis 0 exchanged"),
    "a quarter turn": (SQUARE, np.rot90, "permuted", "has its axes in the order (1, 0) and axis 0 running backwards"),
    "gates swapped": (GATES, lambda v: blocks(v, 4, [0, 2, 1, 3]), "permuted", "has its 4 blocks of 3 along axis 0 in the order 0, 2, 1, 3"),
    "gates turned": (GATES, lambda v: blocks(v, 3, [1, 2, 0]), "permuted", "has its 3 blocks of 4 along axis 0 in the order 1, 2, 0"),
    "gates of a bias": ((12,), lambda v: blocks(v, 4, [0, 1, 3, 2]), "permuted", "has its 4 blocks of 3 along axis 0 in the order 0, 1, 3, 2"),
    "heads swapped": ((3, 8), lambda v: blocks(v, 2, [1, 0], 1), "permuted", "has its 2 blocks of 4 along axis 1 in the order 1, 0"),
    "pairs interleaved": ((8, 3), interleaved, "permuted", "has its pairs interleaved, where the reference has two halves (axis 0)"),
    "pairs in halves": ((8, 3), lambda v: np.concatenate([v[::2], v[1::2]]), "permuted", "has two halves, where the reference has its pairs interleaved (axis 0)"),
    "rows in another order": ((5, 3), lambda v: v[[3, 0, 4, 1, 2]], "permuted", "has its entries along axis 0 in the order 3, 0, 4, 1, 2"),
    "columns in another order": ((3, 5), lambda v: v[:, [3, 0, 4, 1, 2]], "permuted", "has its entries along axis 1 in the order 3, 0, 4, 1, 2"),
    "rolled": ((5, 3), lambda v: np.roll(v, 1, 0), "permuted", "stands one place later along axis 0, wrapped around"),
    "rolled back": ((5, 3), lambda v: np.roll(v, -1, 1), "permuted", "stands one place earlier along axis 1, wrapped around"),
    "shifted": ((6,), lambda v: np.concatenate([[0], v[:-1]]), "permuted", "stands one place later along axis 0, filled with zeros"),
    "shifted with its end": ((6, 2), lambda v: np.concatenate([v[1:], v[-1:]]), "permuted", "stands one place earlier along axis 0, its end repeated"),
    "scattered": ((4, 4), lambda v: v.ravel()[[5, 2, 9, 0, 7, 12, 1, 15, 3, 11, 4, 14, 6, 8, 10, 13]].reshape(4, 4), "permuted", "has all the reference's elements, in another order"),
    "made symmetric": (SQUARE, lambda v: (v + v.T) / 2, "wrong derivative", "is the symmetric part of the reference's, the mean of it and its transpose"),
    "added to its transpose": (SQUARE, lambda v: v + v.T, "wrong derivative", "is the sum of the reference's and its transpose"),
    "the upper triangle": (SQUARE, np.triu, "missing term", "has the upper triangle of the reference's and zeros below"),
    "strictly lower": ((2, 4, 4), lambda v: np.tril(v, -1), "missing term", "has the reference's below the diagonal and zeros elsewhere"),
}  # fmt: skip


def report(change, shape, dtype):
    generator = np.random.default_rng(11)
    inputs = {"w": generator.standard_normal(shape).astype(dtype), "c": generator.standard_normal(shape).astype(dtype)}
    return compare.gradients(
        lambda w, c: ((w * c).sum(), {"w": np.ascontiguousarray(change(c), dtype)}),
        lambda w, c: (w * c).sum(),
        inputs,
        wrt=["w"],
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("mistake", ARRANGED)
def test_an_arrangement_is_named_and_described(mistake, dtype):
    shape, change, cause, text = ARRANGED[mistake]
    best = report(change, shape, dtype).causes[0]
    assert (best.cause, best.explanation) == (cause, f"w {text}")
    assert best.residual < 1e-6


NEAR_MISSES = {
    "transposed, and one element wrong": (SQUARE, lambda v: v.T + 1e-3 * np.eye(5)[2]),
    "transposed and rounded": (SQUARE, lambda v: np.round(v.T, 3)),
    "rows in another order, one of them twice": ((5, 3), lambda v: v[[3, 0, 4, 1, 1]]),
    "rows in another order, one negated": ((5, 3), lambda v: v[[3, 0, 4, 1, 2]] * [[1], [1], [-1], [1], [1]]),
    "gates swapped, one scaled": (GATES, lambda v: blocks(v, 4, [0, 2, 1, 3]) * np.repeat([1, 1, 1.1, 1], 3)[:, None]),
    "rolled, and noise": ((5, 3), lambda v: np.roll(v, 1, 0) + 1e-3 * np.sin(7 * v)),
    "almost the same elements": ((4, 4), lambda v: np.sort(v, axis=None).reshape(4, 4) * 1.001),
    "symmetric part, and noise": (SQUARE, lambda v: (v + v.T) / 2 + 1e-3 * np.sin(7 * v)),
    "more than a triangle": (SQUARE, lambda v: np.triu(v) + 0.1 * np.tril(v, -1) ** 3),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("mistake", NEAR_MISSES)
def test_what_is_hardly_an_arrangement_gets_no_name(mistake, dtype):
    shape, change = NEAR_MISSES[mistake]
    assert report(change, shape, dtype).causes[0].cause == "unknown"


def test_the_penalty_stays_where_it_is():
    best = asked(evidence({"dv": lambda v, s: v[:, ::-1]}, decay=0.5, shown=("deposit",)), "transforms")
    assert (best.cause, best.explanation) == (
        "reversed",
        "output.weight is the reference's with axis 1 running backwards",
    )


def test_an_activation_can_be_permuted_too():
    best = asked(evidence({"z": lambda v, s: v[:, [1, 0, 2, 3, 4]]}), "transforms")
    assert (best.cause, best.explanation) == (
        "permuted",
        "hidden has its entries along axis 1 in the order 1, 0, 2, 3, 4",
    )


def test_two_gradients_under_each_others_names():
    def swapped(q, k, y):
        dq, dk = k * (q * k - y), q * (q * k - y)
        return (0.5 * (q * k - y) ** 2).sum(), {"q": dk, "k": dq}

    generator = np.random.default_rng(2)
    inputs = {name: generator.standard_normal((3, 4)) for name in "qky"}
    best = compare.gradients(swapped, lambda q, k, y: (0.5 * (q * k - y) ** 2).sum(), inputs, wrt=["q", "k"]).causes[0]
    assert (best.cause, best.explanation) == ("permuted", "q has what belongs to k, and the other way round")


def test_a_causal_mask_that_is_left_out_of_the_gradient():
    def unmasked(w, c):
        return (w * np.tril(c)).sum(), {"w": c}

    def reference(w, c):
        return (w * c.tril()).sum()

    generator = np.random.default_rng(2)
    inputs = {"w": generator.standard_normal((4, 4)), "c": generator.standard_normal((4, 4))}
    with only("transforms"):
        best = compare.gradients(unmasked, reference, inputs, wrt=["w"]).causes[0]
    text = "w is right but for the triangle above the diagonal, where the reference is zero"
    assert (best.cause, best.explanation) == ("mask ignored", text)
    leaky = {"w": lambda c: np.tril(c) + 0.1 * np.eye(4)[0]}  # one row of four, and not the triangle
    best = compare.gradients(
        lambda w, c: ((w * np.tril(c)).sum(), {"w": leaky["w"](c)}), reference, inputs, wrt=["w"]
    ).causes[0]
    assert best.cause == "unknown"
