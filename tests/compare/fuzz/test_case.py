"""A case as data and as one line."""

import json

import pytest

from compare.batches import InputError
from compare.fuzz.case import Call, Case, call_of, text_of_call
from compare.fuzz.generate import case

from .planted import HONEST, TANH


@pytest.mark.parametrize("text", ["", "seed=3", HONEST, TANH, "bias=False,parts=2", "hidden=3,activations=PReLU:width"])
def test_a_line_that_was_read_is_written_again(text):
    assert Case.parse(text).text == text


def test_every_drawn_case_survives_its_line_and_json():
    for number in range(300):
        drawn = case(11, number)
        assert Case.parse(drawn.text) == drawn
        assert Case.from_dict(json.loads(json.dumps(drawn.as_dict()))) == drawn


def test_the_command_quotes_the_line():
    assert Case(seed=4, parts=(2, 1)).command == "gradlock fuzz --replay 'seed=4,parts=2/1'"


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("Tanh", Call("Tanh", (), {})),
        ("Softplus:2.0:1", Call("Softplus", (2.0, 1), {})),
        ("SGD:lr=1e-05:nesterov=True", Call("SGD", (), {"lr": 1e-5, "nesterov": True})),
        ("Adam:betas=0.9/0.99", Call("Adam", (), {"betas": (0.9, 0.99)})),
        ("MultiStepLR:milestones=2/", Call("MultiStepLR", (), {"milestones": (2,)})),
        ("GELU:tanh", Call("GELU", ("tanh",), {})),
    ],
)
def test_calls_are_read_and_written(text, call):
    assert call_of(text) == call
    assert text_of_call(call.name, *call.positional, **call.options) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sead=3", "'sead=3' is no field=value of a case; fields are seed, model, dtype"),
        ("seed", "'seed' is no field=value of a case"),
        ("seed=3,seed=4", "seed is given twice"),
        ("seed=x", "seed is 'x'; it must be a whole number"),
        ("steps=1.5", "steps is '1.5'; it must be a whole number"),
        ("bias=1", "bias is '1'; it must be True or False"),
        ("gain=big", "gain is 'big'; it must be a number"),
        ("parts=3/x", "parts is '3/x'; it must be whole numbers parted by slashes"),
        ("hidden=3", "this is no case: 1 hidden layers need as many activations, not 0"),
        ("parts=3/0", "this is no case: inputs, outputs, steps, parts and hidden must be at least 1"),
        ("parts=", "this is no case: inputs, outputs, steps, parts and hidden must be at least 1"),
        ("seed=-1", "this is no case: seed and time must be at least 0"),
        ("dropout=1", "this is no case: dropout is 1.0; it must be at least 0 and less than 1"),
        ("sync=all", "this is no case: sync is 'all'; it is one of 'free', 'step', 'module'"),
        ("frozen=first", "this is no case: the first layer can be frozen only where another follows"),
        ("model=LinearSVM,time=2", "this is no case: only an MLP has hidden or time"),
    ],
)
def test_what_is_no_case_is_refused_in_one_line(text, message):
    with pytest.raises(InputError) as refused:
        Case.parse(text)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)
