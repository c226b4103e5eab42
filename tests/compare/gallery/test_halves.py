"""The two halves of gradient descent: what was seen at the checkpoints, against autograd on the batch in one piece."""

import itertools

import numpy as np
import pytest
import torch

from compare.gallery.halves import RATE, SIZES, Halves, halves
from compare.gallery.record import record_of
from compare.gallery.words import text


@pytest.fixture(scope="module")
def found() -> Halves:
    return halves()


def gradient(found, weight, bias, rows=slice(None)):
    """Of half the mean squared error, by autograd."""
    theta = torch.tensor([weight, bias], dtype=torch.float64, requires_grad=True)
    x, y = torch.from_numpy(found.x[rows, 0].copy()), torch.from_numpy(found.y[rows].copy())
    (((theta[0] * x + theta[1] - y) ** 2).mean() / 2).backward()
    return theta.grad.numpy()


def test_the_honest_walks_agree_and_each_mistake_parts_where_it_must(found):
    assert (found.cut.verdict.outcome, found.whole.verdict.outcome) == ("equivalent", "equivalent")
    places = [seen.verdict.first_divergence.checkpoint for seen in (found.means, found.in_turn)]
    assert [(at.step, at.phase, at.micro_batch, at.name) for at in places] == [
        (1, "deposit", 1, "linear.weight"),
        (1, "update", None, "linear.bias"),
    ]
    assert [seen.verdict.causes[0].cause for seen in (found.means, found.in_turn)] == [
        "mean of means",
        "updated in turn",
    ]


@pytest.mark.parametrize("side", [0, 1], ids=["manual", "torch"])
def test_deposits_are_shares_and_add_up_to_the_gradient_of_the_batch(found, side):
    start = found.cut.points("parameter", side)[0]
    edges = np.cumsum([0, *SIZES])
    for index, deposit in enumerate(found.cut.points("deposit", side, step=1)):
        share = gradient(found, *start, slice(edges[index], edges[index + 1])) * SIZES[index] / sum(SIZES)
        np.testing.assert_allclose(deposit, share, rtol=1e-12)
    sums = found.cut.points("accumulated", side, step=1)
    np.testing.assert_allclose(sums, np.cumsum(found.cut.points("deposit", side, step=1), 0), rtol=1e-13)
    np.testing.assert_allclose(sums[-1], gradient(found, *start), rtol=1e-12)
    np.testing.assert_allclose(sums[-1], found.whole.points("accumulated", side, step=1)[0], rtol=1e-12)


@pytest.mark.parametrize("side", [0, 1], ids=["manual", "torch"])
def test_both_parameters_leave_the_old_point_together(found, side):
    path = found.cut.points("parameter", side)
    for old, new in itertools.pairwise(path):
        np.testing.assert_allclose(new, old - RATE * gradient(found, *old), rtol=1e-12)


def test_one_after_the_other_takes_the_second_gradient_at_the_new_first_parameter(found):
    (weight, bias), new = found.in_turn.points("parameter", 0)[:2]
    moved = weight - RATE * gradient(found, weight, bias)[0]
    np.testing.assert_allclose(new, [moved, bias - RATE * gradient(found, moved, bias)[1]], rtol=1e-12)
    assert abs(new[1] - found.cut.points("parameter", 1)[1][1]) > 0.1


def test_the_mean_of_means_is_another_gradient(found):
    wrong, right = (seen.points("accumulated", 0, step=1)[-1] for seen in (found.means, found.cut))
    assert np.abs(wrong - right).max() > 0.1


def test_the_cost_is_lowest_at_least_squares(found):
    assert np.abs(gradient(found, *found.lowest)).max() < 1e-14
    grid = found.cost(found.lowest[0] + np.array([[-0.1, 0.0, 0.1]]), found.lowest[1] + np.zeros((1, 3)))
    assert grid.shape == (1, 3)
    assert grid.argmin() == 1


def test_the_words_say_both_sides_numbers(found):
    record = record_of([], found)
    assert record["exit_code"] == 0
    said = text({**record, "files": []})
    assert "| parts at" not in said
    assert "parts at step 1, micro-batch 1, deposit, linear.weight" in said
    for one in record["halves"]["micro_batches"]:
        np.testing.assert_allclose(one["deposit"]["manual"], one["deposit"]["torch"], rtol=1e-12)
        assert ", ".join(f"{number:.6f}" for number in one["accumulated"]["torch"]) in said
