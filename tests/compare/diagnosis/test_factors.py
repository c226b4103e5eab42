"""Factors: on the loss and all that follows, on every gradient, on one tensor, on rows; with names and without."""

import numpy as np
import pytest
import torch

import torch_ref.training
from compare.diagnosis.context import numbers_of, reduction_of

from .written import SHOWN, Written, asked, batches, evidence, looked_into, twin, walked

PLANTED = {
    # mistake: the spoiled lines, the cause, the end of its explanation
    "sum in the loss": (
        {"data": lambda v, s: v * s["out"].size, "g": lambda v, s: v * s["out"].size},
        "sum instead of mean",
        "the loss and all gradients are 24 times the reference's: it is not divided by the elements of the output",
    ),
    "sum in the reported loss": (
        {"data": lambda v, s: v * s["out"].size},
        "sum instead of mean",
        "the loss is, and its gradients are not, 24 times the reference's: it is not divided by the elements of the output",
    ),
    "sum in the gradient": (
        {"g": lambda v, s: v * s["out"].size},
        "sum instead of mean",
        "every gradient is 24 times the reference's: it is not divided by the elements of the output",
    ),
    "rows for elements": (
        {"g": lambda v, s: v * 4},
        "wrong denominator",
        "every gradient is 4 times the reference's: it is divided by the rows, not by the elements of the output",
    ),
    "n - 1 for n": (
        {"g": lambda v, s: v * s["out"].size / (s["out"].size - 1)},
        "wrong denominator",
        "it is divided by the elements of the output - 1, not by the elements of the output",
    ),
    "the whole batch's rows": (
        {"g": lambda v, s: v * len(s["x"]) / 10},
        "wrong denominator",
        "it is divided by the whole batch's denominator, not by the elements of the output",
    ),
    "divided twice": (
        {"g": lambda v, s: v / s["out"].size},
        "divided twice",
        "every gradient is 0.0416667 times the reference's: it is divided by the elements of the output once more",
    ),
    "divided by the rows again": (
        {"g": lambda v, s: v / len(s["x"])},
        "divided twice",
        "it is divided by the rows once more",
    ),
    "target minus prediction": ({"g": lambda v, s: -v}, "sign", "every gradient is -1 times the reference's"),
    "one gradient's sign": (
        {"dw": lambda v, s: -v},
        "sign",
        "the gradient of hidden.weight is -1 times the reference's",
    ),
    "the 2 of the square": ({"g": lambda v, s: v / 2}, "constant factor", "0.5 times the reference's, which is 1/2"),
    "an activation scaled": (
        {"z": lambda v, s: 3 * v},
        "constant factor",
        "hidden is, in every micro-batch, 3 times the reference's",
    ),
    "no number of this run": (
        {"g": lambda v, s: 1.2345 * v},
        "constant factor",
        "every gradient is 1.2345 times the reference's, which is no number of this run that is known",
    ),
    "behind one module": (
        {"gz": lambda v, s: 1.2345 * v},
        "constant factor",
        "act (input) and every other gradient that differs are 1.2345 times the reference's, which is no number",
    ),
    "behind one module, by the rows": (
        {"gz": lambda v, s: v / len(s["x"])},
        "divided twice",
        "act (input) and every other gradient that differs are 0.166667 times the reference's: it is divided by the rows once more",
    ),
    "one row dropped": (
        {"dw": lambda v, s: np.where(np.arange(5)[:, None] == 2, 0, v)},
        "detached",
        "hidden.weight is right but for the slices 2 along axis 0, which are 0 times the reference's: nothing arrives there",
    ),
    "one row doubled": (
        {"dw": lambda v, s: np.where(np.arange(5)[:, None] == 2, 2 * v, v)},
        "constant factor",
        "hidden.weight is right but for the slices 2 along axis 0, which are 2 times the reference's: 2",
    ),
    "rows times the bias": (
        {"gz": lambda v, s: v * s["hidden.bias"]},
        "constant factor",
        "act (input) is the reference's times hidden.bias, slice by slice along axis 1",
    ),
    "rows over the bias": (
        {"gz": lambda v, s: v / s["hidden.bias"]},
        "derivative left out",
        "act (input) is the reference's times 1/hidden.bias, slice by slice along axis 1",
    ),
}
NARROW = {"rows over the bias", "rows times the bias"}


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("mistake", PLANTED)
def test_a_factor_has_its_name_and_says_where_it_acts(mistake, dtype):
    lines, cause, text = PLANTED[mistake]
    cast = {name: lambda v, s, spoil=spoil: np.asarray(spoil(v, s), v.dtype) for name, spoil in lines.items()}
    best = asked(evidence(cast, dtype=dtype), "factors")
    assert (best.cause, best.explanation[-len(text) :] if text[-1] != "r" else best.explanation[: len(text)]) == (
        cause,
        text,
    )
    assert best.residual < 1e-3


@pytest.mark.parametrize(
    "mistake", ["sum in the loss", "sum in the gradient", "target minus prediction", "divided twice"]
)
@pytest.mark.parametrize("shown", [(), ("deposit",), SHOWN], ids=["gradients", "deposits", "all"])
@pytest.mark.parametrize("decay", [0.0, 0.02], ids=["plain", "penalty"])
def test_a_factor_on_the_loss_spares_the_penalty_and_needs_no_activations(mistake, shown, decay):
    lines, cause, _ = PLANTED[mistake]
    best = asked(evidence(lines, shown=shown, decay=decay), "factors")
    assert best.cause == cause
    assert best.explanation.endswith("the penalty's share is right") == bool(decay)


def test_every_micro_batch_is_held_against_its_own_number_of_rows():
    lines = {"g": lambda v, s: v * len(s["x"])}
    for sizes in [(6, 4), (4, 6), (7, 2, 1)]:
        best = asked(evidence(lines, sizes=sizes), "factors")
        assert best.cause == "sum instead of mean"
        assert "not divided by the rows" in best.explanation


def test_a_number_that_fits_the_first_micro_batch_alone_is_not_its_rows():
    six = {"g": lambda v, s: v * 6}  # the first has six rows, the second four
    best = asked(evidence(six), "factors")
    assert best.cause == "constant factor"
    assert "rows" not in best.explanation


def test_a_loss_that_adds_up_is_divided_by_mistake():
    best = asked(evidence({"g": lambda v, s: v / len(s["x"])}, mean=False), "factors")
    assert (best.cause, best.explanation) == (
        "mean instead of sum",
        "every gradient is 0.166667 times the reference's: it is divided by the rows",
    )


def test_a_wrong_step_in_a_walk_by_step():
    best = asked(evidence({"update": lambda v, s: -v}, sync="step"), "factors")
    assert (best.cause, best.explanation) == ("sign", "every tensor of update that differs is -1 times the reference's")


class Shown:
    """An honest reference as the side under test, of which one shown value is changed."""

    def __init__(self, side, member, key, change):
        self.side, self.member, self.key, self.change = side, member, key, change

    def __getattr__(self, name):
        found = getattr(self.side, name)
        if name == self.member and self.key in found:
            return {**found, self.key: self.change(found[self.key])}
        return found


def dropping():
    torch.manual_seed(3)
    module = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.25), torch.nn.Linear(8, 4)).double()
    return torch_ref.training.Side(module, torch.optim.SGD(module.parameters(), lr=0.125), torch.nn.MSELoss())


@pytest.mark.parametrize(
    ("member", "key", "factor", "text"),
    [
        ("activations", ("1", 0, "output"), 0.75, "1 is, in every micro-batch, 0.75 times the reference's: it is not divided by the probability of being kept, 0.75"),
        ("activation_gradients", ("1", 0, "input"), 4 / 3, "1 (input) is, in every micro-batch, 1.33333 times the reference's: it is divided once more by the probability of being kept, 0.75"),
    ],
    ids=["not divided", "divided twice"],
)  # fmt: skip
def test_what_dropout_keeps_is_divided_once(member, key, factor, text):
    found = looked_into(lambda: Shown(dropping(), member, key, lambda v: v * factor), dropping, batches())
    best = asked(found, "factors")
    assert (best.cause, best.explanation) == ("dropout scale", text)


def test_two_factors_are_two_mistakes_and_the_first_is_named_for_its_own_tensor():
    best = asked(evidence({"data": lambda v, s: v * s["out"].size, "g": lambda v, s: v * 1.5}), "factors")
    assert (best.cause, best.explanation[:39]) == ("sum instead of mean", "the data term is 24 times the reference")


NEAR_MISSES = {
    "a factor and an offset": {"g": lambda v, s: 2 * v + 1e-3},
    "a factor that depends on the value": {"g": lambda v, s: v * (1 + 0.1 * np.abs(v))},
    "a factor for every row": {"dw": lambda v, s: v * np.array([[1.1], [0.7], [1.3], [2.1], [0.9]])},
    "a step of another size": {"update": lambda v, s: 1.2345 * v},
    "one element": {"dw": lambda v, s: np.where(np.arange(15).reshape(5, 3) == 7, 1.5 * v, v)},
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("mistake", NEAR_MISSES)
def test_what_is_no_factor_gets_no_name(mistake, dtype):
    lines = NEAR_MISSES[mistake]
    cast = {name: lambda v, s, spoil=spoil: np.asarray(spoil(v, s), v.dtype) for name, spoil in lines.items()}
    assert asked(evidence(cast, dtype=dtype), "factors").cause == "unknown"


def test_initial_values_may_be_scaled():
    def scaled():
        side = Written()
        side.parameters["hidden.weight"] *= 2
        return side

    best = asked(looked_into(scaled, twin, batches()), "factors")
    assert (best.cause, best.explanation) == ("constant factor", "hidden.weight is 2 times the reference's")


def test_one_number_fits_any_factor():
    lines = {"data": lambda v, s: v * 1.2345}
    assert asked(evidence(lines, sizes=(10,)), "factors").cause == "unknown"
    assert asked(evidence(lines, sizes=(6, 4)), "factors").cause == "constant factor"  # twice the same


def test_the_whole_diagnosis_gives_these_names_too():
    for mistake in ("sum in the loss", "sum in the gradient", "target minus prediction", "divided twice"):
        lines, cause, _ = PLANTED[mistake]
        assert walked(lines).causes[0].cause == cause


def test_the_numbers_of_a_run():
    found = evidence({"g": lambda v, s: -v}, decay=0.02)
    numbers = numbers_of(found)
    assert list(numbers)[:2] == ["elements of the output", "rows"]
    assert (numbers["rows"], numbers["elements of the output"], numbers["elements per row"]) == (6, 24, 4)
    assert (numbers["rows of the batch"], numbers["micro-batches"], numbers["weight of the micro-batch"]) == (
        10,
        2,
        0.6,
    )
    assert (numbers["learning rate"], numbers["momentum"]) == (0.1, 0.9)
    assert numbers["strength of the penalty"] == pytest.approx(0.02)
    assert numbers_of(found, 2)["rows"] == 4


def test_what_the_loss_divides_by_is_read_from_the_reference():
    spoiled = {"g": lambda v, s: -v}
    mean, sum = reduction_of(evidence(spoiled)), reduction_of(evidence(spoiled, mean=False))
    assert (mean.kind, mean.divisors, mean.counts) == (
        "mean",
        {"elements of the output": 24},
        {"rows": 6, "elements per row": 4},
    )
    assert (sum.kind, sum.divisors, sum.counts["rows"]) == ("sum", {}, 6)
