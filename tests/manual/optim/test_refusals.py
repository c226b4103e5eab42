"""Bad options: the same exception and the same words as torch's; unknown options are named."""

import numpy as np
import pytest
import torch

from manual import optim
from manual.tensor import Tensor, tensor

from .cases import CASES, OVERRIDES

INVALID = [
    ("SGD", {"lr": -1}),
    ("SGD", {"momentum": -0.5}),
    ("SGD", {"weight_decay": -0.5}),
    ("SGD", {"nesterov": True}),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    ("Adam", {"lr": -1}),
    ("Adam", {"lr": float("nan")}),
    ("Adam", {"eps": -1.0}),
    ("Adam", {"betas": (1.0, 0.9)}),
    ("Adam", {"betas": (0.9, -0.1)}),
    ("Adam", {"betas": (0, 0.9)}),
    ("Adam", {"weight_decay": -1}),
    ("AdamW", {"lr": -1}),
    ("AdamW", {"betas": (1.0, 0.9)}),
    ("AdamW", {"betas": (0.9, 0)}),
    ("AdamW", {"eps": float("nan")}),
    ("AdamW", {"weight_decay": -1}),
    ("RMSprop", {"lr": -1}),
    ("RMSprop", {"alpha": -1}),
    ("RMSprop", {"momentum": -1}),
    ("RMSprop", {"eps": -1}),
    ("RMSprop", {"weight_decay": -1}),
    ("Adagrad", {"lr": -1}),
    ("Adagrad", {"lr_decay": -1}),
    ("Adagrad", {"weight_decay": -1}),
    ("Adagrad", {"initial_accumulator_value": -1}),
    ("Adagrad", {"eps": -1}),
    ("Adamax", {"lr": -1}),
    ("Adamax", {"betas": (-0.5, 0.9)}),
    ("Adamax", {"betas": (0.9, 1.5)}),
    ("Adamax", {"eps": -1}),
    ("Adamax", {"weight_decay": -1}),
    ("Adadelta", {"lr": -1}),
    ("Adadelta", {"rho": -0.5}),
    ("Adadelta", {"rho": 1.5}),
    ("Adadelta", {"eps": -1}),
    ("Adadelta", {"weight_decay": -1}),
    ("NAdam", {"lr": -1}),
    ("NAdam", {"betas": (1.0, 0.9)}),
    ("NAdam", {"betas": (0.9, 1)}),
    ("NAdam", {"eps": -1}),
    ("NAdam", {"weight_decay": -1}),
    ("NAdam", {"momentum_decay": -1}),
    ("RAdam", {"lr": -1}),
    ("RAdam", {"betas": (1.0, 0.9)}),
    ("RAdam", {"betas": (0.9, 1)}),
    ("RAdam", {"eps": -1}),
    ("RAdam", {"weight_decay": -1}),
    ("Rprop", {"lr": -1}),
    ("Rprop", {"etas": (0.0, 1.2)}),
    ("Rprop", {"etas": (0.5, 1.0)}),
    ("Rprop", {"etas": (1.2, 0.5)}),
    ("ASGD", {"lr": -1}),
    ("ASGD", {"weight_decay": -1}),
    ("Adafactor", {"lr": -1}),
    ("Adafactor", {"beta2_decay": 0.5}),
    ("Adafactor", {"eps": (-1, 1e-3)}),
    ("Adafactor", {"eps": (None, -1)}),
    ("Adafactor", {"d": 0.5}),
    ("Adafactor", {"weight_decay": -1}),
]


def refused(optimizer, parameter, options):
    with pytest.raises(Exception) as caught:  # noqa: PT011 (which one is compared)
        optimizer([parameter], **options)
    return type(caught.value), str(caught.value)


@pytest.mark.parametrize(("name", "options"), INVALID, ids=[f"{name}-{options}" for name, options in INVALID])
def test_refuses_what_torch_refuses_in_its_words(name, options):
    ours = refused(getattr(optim, name), tensor([1.0, 2.0], requires_grad=True), options)
    theirs = refused(getattr(torch.optim, name), torch.zeros(2), options)
    assert ours == theirs
    assert ours[0] is ValueError


def test_every_optimizer_has_its_refusals():
    assert {name for name, _ in INVALID} == set(OVERRIDES) == {name for name, _ in CASES}


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_rate_of_several_elements_is_refused(name):
    ours = [
        refused(getattr(optim, name), tensor([1.0], requires_grad=True), {"lr": rate})
        for rate in (np.ones(2), np.ones((0,)), tensor([1.0, 2.0]))
    ]
    theirs = refused(getattr(torch.optim, name), torch.zeros(2), {"lr": torch.ones(2)})
    assert ours == [theirs] * 3
    assert theirs == (ValueError, "Tensor lr must be 1-element")


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_negative_rate_in_an_array_is_refused(name):
    _, message = refused(getattr(optim, name), tensor([1.0], requires_grad=True), {"lr": np.array(-1.0)})
    assert message in ("Invalid learning rate: -1.0", "Learning rate should be >= 0 but is: -1.0")


@pytest.mark.parametrize("option", ["learning_rate", "foreach", "fused", "capturable", "differentiable"])
@pytest.mark.parametrize("name", OVERRIDES)
def test_unknown_options_are_named(name, option):
    """Among them are those that choose one of torch's kernels: there is one implementation here."""
    with pytest.raises(TypeError, match=rf"{name}.__init__\(\) got an unexpected keyword argument '{option}'"):
        getattr(optim, name)([Tensor(np.ones(2), requires_grad=True)], **{option: None})


def test_adamw_refuses_a_group_whose_decay_is_a_penalty():
    group = {"params": [tensor([1.0], requires_grad=True)], "decoupled_weight_decay": False}
    with pytest.raises(ValueError, match="use Adam for a group with decoupled_weight_decay=False"):
        optim.AdamW([group])
