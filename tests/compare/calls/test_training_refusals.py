"""compare.training on sides that break the contract, and on arguments that cannot be used."""

import types
from functools import partial

import numpy as np
import pytest
from torch import nn

import compare
from compare.batches import InputError

from .regression import BATCHES, NET, Mine, WithAHandle, classification, reference

# -- sides that break the contract ---------------------------------------------------------------------------------------


def with_property(name, getter):
    made = type("Broken", (Mine,), {})
    setattr(made, name, property(getter, lambda self, value: None))
    return made


def grow(side):
    side.parameters["bias"] = side.parameters["bias"] - np.ones((3, 2))


MISUSE = {
    "a changed input": (lambda: Mine("a changed input"), "accumulate changes x of its micro-batch in place; work on a copy"),
    "rows as the loss": (
        lambda: type("Rows", (Mine,), {"loss": lambda self, loss, residual: residual}),
        "the loss term 'data' that accumulate returned is an array of shape (5, 2); it must be a number",
    ),
    "a word as the loss": (
        lambda: type("Word", (Mine,), {"loss": lambda self, loss, residual: "low"}),
        "the loss term 'data' that accumulate returned is a str, not an array",
    ),
    "activations under numbers": (
        lambda: with_property("activations", lambda self: {1: np.ones(2)}),
        "the side's activations has the key 1; it must be (module path, call, label), or the path alone",
    ),
    "buffers in a list": (lambda: with_property("buffers", lambda self: [1]), "the side's buffers is a list of 1; it must be a dict"),
    "slots in a list": (
        lambda: with_property("slots", lambda self: {"weight": [1, 2]}),
        "the side's slots['weight'] is a list of 2; it must be a dict of slot to array",
    ),
    "a rate in words": (lambda: with_property("learning_rate", lambda self: "fast"), "the side's learning_rate is a str, not an array"),
    "a parameter that grows": (
        lambda: type("Grown", (Mine,), {"step": grow}),
        "the side's parameter 'bias' has shape (3, 2) after step(), and (2,) before",
    ),
    "a parameter that is lost": (
        lambda: type("Lost", (Mine,), {"step": lambda self: self.parameters.pop("bias")}),
        "the side has no parameter 'bias' any more after step()",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "reason"), MISUSE.values(), ids=MISUSE)
def test_a_broken_contract_is_said_in_one_line(make, reason):
    report = compare.training(make(), reference(), BATCHES, 3)
    assert (report.outcome, report.reason) == ("error", reason)


def raising(*args):
    raise RuntimeError("out of order")


RAISING = {
    "accumulate": (lambda: type("Broken", (Mine,), {"accumulate": raising}), lambda: reference(), "the actual side raised in accumulate (step 1): RuntimeError: out of order (in raising, test_training_refusals.py line"),
    "step": (lambda: type("Broken", (Mine,), {"step": raising}), lambda: reference(), "the actual side raised in step (step 1): RuntimeError: out of order"),
    "the class": (lambda: type("Broken", (Mine,), {"__init__": raising}), lambda: reference(), "the actual side raised in its construction: RuntimeError: out of order"),
    "a property": (lambda: with_property("deposits", raising), lambda: reference(), "the side's deposits raised RuntimeError: out of order"),
    "the reference's factory": (lambda: Mine(), lambda: raising, "the expected side raised in its construction: RuntimeError: out of order"),
    "the reference's loss": (lambda: Mine(), lambda: reference(raising), "the expected side raised in accumulate (step 1): RuntimeError: out of order"),
}  # fmt: skip


@pytest.mark.parametrize(("side", "expected", "reason"), RAISING.values(), ids=RAISING)
def test_what_a_side_raises_is_an_outcome(side, expected, reason):
    report = compare.training(side(), expected(), BATCHES)
    assert report.outcome == "error"
    assert report.reason.startswith(reason)


@pytest.mark.parametrize("sync", ["step", "module"])
def test_a_walk_that_the_side_makes_impossible_is_refused_with_the_reason(sync):
    report = compare.training(Mine(), reference(), BATCHES, sync=sync)
    assert report.outcome == "abstained"
    assert report.reason.startswith(f"the walk by {sync} needs load_state")


def sharing():
    side = Mine()
    side.parameters = {name: value.detach().numpy() for name, value in NET.named_parameters()}
    return side


# -- arguments that cannot be used ---------------------------------------------------------------------------------------

X, Y = BATCHES[0]
LIST = "batches must be a list of pairs [(x, y), ...], one for each step; put the pair into a list"
PROTOCOL = "a side has parameters, gradients, zero_grad(), accumulate(micro_batch, weight) and step()"
REFERENCE = "it must be torch_ref.Side(module, optimizer, loss), or a factory of one"
REFUSED = {
    "no batches": (lambda: (Mine(), reference(), []), "no batches: nothing would be compared"),
    "one pair": (lambda: (Mine(), reference(), (X, Y)), LIST),
    "None as batches": (lambda: (Mine(), reference(), None), "batches is None; it must be a list of pairs [(x, y), ...]"),
    "triples": (lambda: (Mine(), reference(), [(1, 2, 3)]), "batches[0] is a tuple of 3; it must be a pair (x, y)"),
    "lists": (lambda: (Mine(), reference(), [(X.tolist(), Y)]), "batches[0][0] is a list of 11, not a NumPy array; hand in a NumPy array"),
    "unequal rows": (lambda: (Mine(), reference(), [(X[:3], Y)]), "batch 1: x has 3 rows, y has 11; they must be equal"),
    "NaN": (lambda: (Mine(), reference(), [(X * np.nan, Y)]), "batch 1: x[0, 0] is nan; every number must be finite"),
    "too many micro-batches": (lambda: (Mine(), reference(), BATCHES, 99), "micro-batches: 99 asked for, but the batch has only 11 rows; ask for at most 11"),
    "half a micro-batch": (lambda: (Mine(), reference(), BATCHES, 2.5), "micro_batches is 2.5; it must be a whole number or a list of row counts"),
    "no side": (lambda: (None, reference(), BATCHES), f"the side (None) lacks parameters, gradients, zero_grad, accumulate, step; {PROTOCOL}"),
    "half a side": (
        lambda: (types.SimpleNamespace(parameters={}, step=raising), reference(), BATCHES),
        f"the side (a SimpleNamespace) lacks gradients, zero_grad, accumulate; {PROTOCOL}",
    ),
    "a module as the reference": (lambda: (Mine(), NET, BATCHES), f"the reference is a Linear; {REFERENCE}"),
    "a factory of modules": (lambda: (Mine(), lambda: NET, BATCHES), f"the factory of the reference makes a Linear; {REFERENCE}"),
    "a factory of one module": (
        lambda: (Mine(), reference, BATCHES),
        "the side cannot be compared: the reference's factory hands out the same 'weight' twice; make the module inside the factory",
    ),
    "a factory of one side": (
        lambda: (partial(lambda one: one, Mine()), reference(), BATCHES),
        "the side cannot be compared: its factory hands out the same 'weight' twice; make everything inside the factory, from copies",
    ),
    "arrays that are PyTorch's": (
        lambda: (sharing, reference(), BATCHES),
        "the side cannot be compared: its factory hands out the same 'weight' twice; make everything inside the factory, from copies",
    ),
    "a penalty from outside": (
        lambda: (Mine(), reference(penalty=lambda named: NET.weight.sum()), BATCHES),
        "the reference's penalty reaches values from outside, which a copy of the module would not share; hand in a factory of the reference in place of the object",
    ),
    "a sum of losses": (
        lambda: (Mine(), reference(nn.MSELoss(reduction="sum")), BATCHES, 2),
        "the reference's loss has reduction='sum', and sums of micro-batches are not weighed; use 'mean' or micro_batches=1",
    ),
    "nothing that counts": (
        lambda: (*classification(range(5)), [5, 6]),
        "batch 1, micro-batch 1: no target counts in the loss, and the mean of nothing is NaN; cut the batch otherwise",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_arguments_that_cannot_be_used_are_refused(arguments, message):
    with pytest.raises(InputError) as caught:
        compare.training(*arguments())
    assert str(caught.value) == message


@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
def test_a_seed_that_no_generator_takes_is_refused(seed):
    with pytest.raises(InputError) as caught:
        compare.training(Mine(), reference(), BATCHES, seed=seed)
    assert str(caught.value) == f"seed is {seed!r}; it must be a whole number of at least 0"


def test_another_walk_is_refused():
    with pytest.raises(InputError, match="sync is 'by hand'; it must be one of free, step, module"):
        compare.training(Mine(), reference(), BATCHES, sync="by hand")


def test_walking_by_module_a_side_that_cannot_be_copied_is_refused():
    with pytest.raises(
        InputError, match=r"cannot be copied \(TypeError: cannot copy a handle\), which the walk by module"
    ):
        compare.training(WithAHandle(), reference(), BATCHES, sync="module")
