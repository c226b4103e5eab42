"""compare.optimizer on updates written as functions, right, wrong and misshapen."""

import numpy as np
import pytest
import torch
from torch.optim import SGD, Adam, AdamW, RMSprop

import compare
import manual.optim
from compare.batches import InputError


def sgd(parameter, gradient, slots, step):
    parameter -= 0.1 * gradient


def momentum(parameter, gradient, slots, step, *, lr=0.1):
    held = slots["momentum_buffer"] = 0.9 * slots.get("momentum_buffer", 0) + gradient
    parameter -= lr * held


def momentum_with_the_rate_inside(parameter, gradient, slots, step, *, lr=0.1):
    held = slots["v"] = 0.9 * slots.get("v", 0) + lr * gradient
    parameter -= held


def adam(parameter, gradient, slots, step, *, lr, betas, eps, power=None):
    m = slots.setdefault("exp_avg", np.zeros_like(parameter))
    v = slots.setdefault("exp_avg_sq", np.zeros_like(parameter))
    m *= betas[0]
    m += (1 - betas[0]) * gradient
    v *= betas[1]
    v += (1 - betas[1]) * gradient**2
    t = power or step
    parameter -= lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def rmsprop(parameter, gradient, slots, step, **options):
    v = slots["square_avg"] = options["alpha"] * slots.get("square_avg", 0) + (1 - options["alpha"]) * gradient**2
    parameter[...] -= options["lr"] * gradient / (np.sqrt(v) + 1e-8)


RIGHT = {
    "sgd": (sgd, SGD, {"lr": 0.1}),
    "sgd of a slice": (lambda p, g, s, t: p.__setitem__(slice(None), p - 0.1 * g), SGD, {"lr": 0.1}),
    "momentum": (momentum, SGD, {"lr": 0.1, "momentum": 0.9}),
    "adam with its options": (adam, Adam, {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-3}),
    "rmsprop with all options": (rmsprop, RMSprop, {"lr": 0.01, "alpha": 0.9}),
    "a class of manual.optim": (manual.optim.AdamW, AdamW, {"lr": 0.01, "weight_decay": 0.5}),
    "a class of torch.optim": (Adam, Adam, {"lr": 0.01}),
    "a rate in a tensor": (lambda p, g, s, t, lr: p.__isub__(float(lr) * g), SGD, {"lr": torch.tensor(0.1)}),
    "slots of any kind": (lambda p, g, s, t: (s.update(note="x", none=None, all=[1, 2]), sgd(p, g, s, t))[1], SGD, {"lr": 0.1}),
}  # fmt: skip


@pytest.mark.parametrize(("update", "reference", "options"), RIGHT.values(), ids=RIGHT)
def test_right_updates_are_equivalent(update, reference, options):
    report = compare.optimizer(update, reference, options=options)
    assert report.outcome == "equivalent", report
    assert report.verdict.steps == 10
    assert report.coverage.phases["update"].informative_names == {"matrix", "vector", "single", "cube"}


@pytest.mark.parametrize("dtype", ["float32", np.float64])
@pytest.mark.parametrize("shapes", [{"w": ()}, {"w": (3, 2)}], ids=["0-d", "a matrix"])
def test_dtype_and_shapes_can_be_chosen(dtype, shapes):
    report = compare.optimizer(adam, Adam, options={"lr": 0.01}, dtype=dtype, shapes=shapes, steps=12)
    assert (report.outcome, report.verdict.dtype, report.verdict.steps) == ("equivalent", np.dtype(dtype).name, 12)


def test_the_rate_changes_half_way_where_it_can():
    rates = []

    def spy(parameter, gradient, slots, step, lr):
        rates.append((step, lr))
        sgd(parameter, gradient * lr / 0.1, slots, step)

    report = compare.optimizer(spy, SGD, options={"lr": 0.1}, steps=4)
    assert report.outcome == "equivalent"
    assert set(rates) == {(1, 0.1), (2, 0.1), (3, 0.03), (4, 0.03)}
    assert not report.coverage.blind_spots
    report = compare.optimizer(spy, SGD, options={"lr": 0.1}, steps=4, rate_factor=1)
    assert any(spot.startswith("constant learning rate") for spot in report.coverage.blind_spots)


def test_without_the_rate_the_coverage_says_so():
    report = compare.optimizer(sgd, SGD, options={"lr": 0.1})
    assert "sgd has no keyword lr, so the learning rate was not changed on the way" in report.coverage.notes
    assert any(spot.startswith("constant learning rate") for spot in report.coverage.blind_spots)


def test_slots_are_compared_where_the_names_match():
    report = compare.optimizer(adam, Adam, options={"lr": 0.01})
    assert "single (exp_avg_sq)" in report.coverage.phases["slots"].names
    assert "slots: single (step)" in report.coverage.only_expected
    report = compare.optimizer(momentum_with_the_rate_inside, SGD, options={"lr": 0.1, "momentum": 0.9}, rate_factor=1)
    assert report.outcome == "equivalent"
    assert "slots: single (v)" in report.coverage.only_actual


def test_gradients_have_both_signs_several_magnitudes_and_zeros():
    seen = []
    compare.optimizer(lambda p, g, s, t: (seen.append(g.copy()), sgd(p, g, s, t))[1], SGD, options={"lr": 0.1})
    drawn = np.concatenate([gradient.ravel() for gradient in seen])
    assert 0.05 < np.mean(drawn == 0) < 0.2
    assert drawn.min() < 0 < drawn.max()
    assert np.log10(np.abs(drawn[drawn != 0])).std() > 0.7


def late_adam(parameter, gradient, slots, step):
    """Reads the first moment before the gradient enters: the first step is zero, and no breach of the contract."""
    m, v = slots.get("m", 0 * parameter), 0.999 * slots.get("v", 0) + 0.001 * gradient**2
    slots.update(m=0.9 * m + 0.1 * gradient, v=v)
    parameter -= 0.01 * m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)


WRONG = {
    "a step behind": (late_adam, Adam, {"lr": 0.01}, (1, "update", "matrix")),
    # what: step, phase, name, culprit
    "the rate": (lambda p, g, s, t: p.__isub__(0.11 * g), SGD, {"lr": 0.1}, (1, "update", "matrix")),
    "a correction without exponent": (lambda p, g, s, t, lr, betas, eps: adam(p, g, s, t, lr=lr, betas=betas, eps=eps, power=1), Adam, {"lr": 0.01}, (2, "update", "matrix")),
    "the rate in the buffer": (momentum_with_the_rate_inside, SGD, {"lr": 0.1, "momentum": 0.9}, (6, "update", "matrix")),
    "vectors left out": (lambda p, g, s, t: sgd(p, g, s, t) if p.ndim > 1 else None, SGD, {"lr": 0.1}, (1, "update", "vector")),
    "a slot": (lambda p, g, s, t: momentum(p, g, s, t) or s.update(momentum_buffer=2 * s["momentum_buffer"]), SGD, {"lr": 0.1, "momentum": 0.9}, (1, "slots", "matrix")),
    "decay": (manual.optim.Adam, AdamW, {"lr": 0.01, "weight_decay": 0.5}, (1, "slots", "matrix")),
}  # fmt: skip


@pytest.mark.parametrize(("update", "reference", "options", "place"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_seen_in_its_place(update, reference, options, place):
    report = compare.optimizer(update, reference, options=options)
    first = report.first_divergence
    assert report.outcome == "diverged"
    assert (first.checkpoint.step, first.checkpoint.phase, first.checkpoint.name, first.culprit) == (
        *place,
        "optimizer",
    )


def spoiling(parameter, gradient, slots, step):
    gradient *= 0.1
    parameter -= gradient


def rebinding(parameter, gradient, slots, step):
    parameter = parameter - 0.1 * gradient


MUST = " never changes a parameter; it must change the array in place (parameter -= ..., parameter[...] = ...): "
MISUSE = {
    "rebinding": (rebinding, "rebinding" + MUST + "an assignment to the name makes another array"),
    "returning": (lambda p, g, s, t: p - 0.1 * g, "<lambda>" + MUST + "it returns a value instead"),
    "a changed gradient": (spoiling, "spoiling changes the gradient in place; work on a copy"),
}


@pytest.mark.parametrize(("update", "reason"), MISUSE.values(), ids=MISUSE)
def test_a_broken_contract_is_said_in_one_line(update, reason):
    report = compare.optimizer(update, SGD, options={"lr": 0.1})
    assert (report.outcome, report.reason) == ("error", reason)


RAISING = {
    "the function": (lambda p, g, s, t: 1 / 0, SGD, "the actual side raised in step (step 1): ZeroDivisionError"),
    "its signature": (lambda p, g: None, SGD, "the actual side raised in step (step 1): TypeError"),
    "the reference": (sgd, torch.optim.SparseAdam, "the expected side raised in step (step 1): RuntimeError: SparseAdam does not support dense gradients"),
}  # fmt: skip


@pytest.mark.parametrize(("update", "reference", "reason"), RAISING.values(), ids=RAISING)
def test_what_is_raised_is_an_outcome(update, reference, reason):
    report = compare.optimizer(update, reference)
    assert report.outcome == "error"
    assert report.reason.startswith(reason)


def test_a_rate_of_zero_proves_nothing():
    report = compare.optimizer(lambda p, g, s, t: None, SGD, options={"lr": 0.0})
    assert report.outcome == "abstained"


REFUSED = {
    "an instance": ((sgd, SGD([torch.zeros(1)], 0.1)), {}, "the reference is a SGD; it must be a class of torch.optim"),
    "a name": ((sgd, "SGD"), {}, "the reference is a str; it must be a class of torch.optim"),
    "LBFGS": ((sgd, torch.optim.LBFGS), {}, "LBFGS evaluates the model itself, and an update of a gradient cannot be compared with it"),
    "no function": ((None, SGD), {}, "update is None; it must be a function or a class of manual.optim"),
    "any class": ((dict, SGD), {}, "update is the class dict; it must be a function or a class of manual.optim"),
    "options in a list": ((sgd, SGD), {"options": [0.1]}, "options is a list of 1; it must be a dict such as {'lr': 0.01}"),
    "an unknown option": ((sgd, SGD), {"options": {"rate": 1}}, "torch.optim.SGD cannot be made with {'rate': 1}: SGD.__init__() got an unexpected keyword argument 'rate'"),
    "a negative rate": ((sgd, SGD), {"options": {"lr": -1}}, "torch.optim.SGD cannot be made with {'lr': -1}: Invalid learning rate: -1"),
    "no steps": ((sgd, SGD), {"steps": 0}, "steps is 0; it must be a whole number of at least 1"),
    "half a step": ((sgd, SGD), {"steps": 2.5}, "steps is 2.5; it must be a whole number of at least 1"),
    "a narrow dtype": ((sgd, SGD), {"dtype": "float16"}, "dtype is 'float16'; it must be float64 or float32"),
    "no dtype": ((sgd, SGD), {"dtype": None}, "dtype is None; it must be float64 or float32"),
    "no shapes": ((sgd, SGD), {"shapes": {}}, "shapes is a dict; it must be a dict of name to shape"),
    "a shape of letters": ((sgd, SGD), {"shapes": {"a": "b"}}, "shapes['a'] is 'b'; it must be a tuple of whole numbers"),
    "a path": ((sgd, SGD), {"shapes": {"a.b": (2,)}}, "shapes names 'a.b'; a name is a word without dots"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_arguments_that_cannot_be_used_are_refused(arguments, options, message):
    with pytest.raises(InputError) as caught:
        compare.optimizer(*arguments, **options)
    assert str(caught.value) == message


def rprop(goes_on):
    """The steps of Rprop; ``goes_on`` where the sign of a gradient has turned, in place of resting."""

    def update(parameter, gradient, slots, step, *, lr, etas, step_sizes):
        size, last = slots.get("step_size", lr), slots.get("prev", np.zeros_like(gradient))
        size = np.clip(size * np.choose(np.sign(gradient * last).astype(int) + 1, [etas[0], 1, etas[1]]), *step_sizes)
        kept = np.where(gradient * last < 0, 0, gradient)
        parameter -= np.sign(gradient if goes_on else kept) * size
        slots.update(step_size=size, prev=kept)

    return update


@pytest.mark.parametrize(("goes_on", "outcome"), [(False, "equivalent"), (True, "diverged")])
def test_where_an_update_rests_no_kink_excuses_a_move(goes_on, outcome):
    options = {"lr": 0.02, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50)}
    report = compare.optimizer(rprop(goes_on), torch.optim.Rprop, options=options)
    assert report.outcome == outcome, report.reason
