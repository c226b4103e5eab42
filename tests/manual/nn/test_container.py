"""Containers against torch's: the same script builds both, the same children, names and refusals come out."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch

import manual
from manual import nn

from ..oracle import random


def named(wing):
    return wing.Sequential(OrderedDict(first=wing.Linear(2, 3), act=wing.Tanh(), last=wing.Linear(3, 1)))


def numbered(wing):
    return wing.Sequential(wing.ReLU(), wing.Tanh(), wing.GELU())


def listed(wing):
    return wing.ModuleList([wing.ReLU(), wing.Tanh(), wing.GELU()])


def altered(container, *steps):
    for step in steps:
        step(container)
    return container


def set_item(index, name):
    return lambda c: c.__setitem__(index, getattr(nn if isinstance(c, nn.Module) else torch.nn, name)())


def add(method, name, *index):
    def step(container):
        module = getattr(nn if isinstance(container, nn.Module) else torch.nn, name)()
        getattr(container, method)(*index, [module] if method == "extend" else module)

    return step


CASES = {
    "named": named,
    "a slice keeps names": lambda w: named(w)[1:],
    "a slice with a step": lambda w: named(w)[::-2],
    "an index": lambda w: named(w)[1],
    "the last": lambda w: numbered(w)[-1],
    "sum": lambda w: numbered(w) + named(w),
    "append": lambda w: altered(numbered(w), add("append", "Mish")),
    "extend": lambda w: altered(numbered(w), add("extend", "Mish")),
    "insert": lambda w: altered(numbered(w), add("insert", "Mish", 1)),
    "insert at the end": lambda w: altered(numbered(w), add("insert", "Mish", 3)),
    "set": lambda w: altered(numbered(w), set_item(1, "Mish"), set_item(-1, "SiLU")),
    "set a named one": lambda w: altered(named(w), set_item(1, "Mish")),
    "delete": lambda w: altered(numbered(w), lambda c: c.__delitem__(0)),
    "delete a slice": lambda w: altered(numbered(w), lambda c: c.__delitem__(slice(0, 2))),
    "pop": lambda w: numbered(w).pop(1),
    "what pop leaves": lambda w: altered(numbered(w), lambda c: c.pop(0)),
    "list": listed,
    "list: equal neighbours": lambda w: w.ModuleList([w.Linear(2, 3), w.Linear(2, 3), numbered(w), w.Tanh()]),
    "list: empty": lambda w: w.ModuleList(),
    "list: slice": lambda w: listed(w)[1:],
    "list: append": lambda w: altered(listed(w), add("append", "Mish")),
    "list: extend": lambda w: altered(listed(w), add("extend", "Mish")),
    "list: insert": lambda w: altered(listed(w), add("insert", "Mish", 0)),
    "list: set": lambda w: altered(listed(w), set_item(0, "Mish")),
    "list: delete": lambda w: altered(listed(w), lambda c: c.__delitem__(1)),
    "list: pop": lambda w: altered(listed(w), lambda c: c.pop(-1)),
    "list: sum": lambda w: listed(w) + listed(w),
    "dict": lambda w: w.ModuleDict({"b": w.Linear(2, 3), "a": w.Tanh()}),
    "dict of pairs": lambda w: w.ModuleDict([("b", w.ReLU()), ("a", w.Tanh())]),
    "dict: set": lambda w: altered(w.ModuleDict({"b": w.ReLU()}), lambda c: c.__setitem__("z", w.Tanh())),
    "dict: update": lambda w: altered(
        w.ModuleDict({"b": w.ReLU()}), lambda c: c.update({"b": w.Tanh(), "c": w.GELU()})
    ),
    "dict: delete": lambda w: altered(w.ModuleDict({"b": w.ReLU(), "a": w.Tanh()}), lambda c: c.__delitem__("b")),
    "dict: pop": lambda w: altered(w.ModuleDict({"b": w.ReLU(), "a": w.Tanh()}), lambda c: c.pop("a")),
    "dict: clear": lambda w: altered(w.ModuleDict({"b": w.ReLU()}), lambda c: c.clear()),
}


@pytest.mark.parametrize("name", CASES)
def test_containers_hold_what_torchs_hold(name):
    mine, theirs = CASES[name](nn), CASES[name](torch.nn)
    assert repr(mine) == repr(theirs)
    assert [n for n, _ in mine.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert [(n, p.shape) for n, p in mine.named_parameters()] == [
        (n, tuple(p.shape)) for n, p in theirs.named_parameters()
    ]
    if hasattr(theirs, "__len__"):
        assert len(mine) == len(theirs)
        assert [str(child) for child in mine] == [str(child) for child in theirs]


REFUSED = {
    "an index out of range": lambda w: numbered(w)[3],
    "a negative one": lambda w: numbered(w)[-4],
    "no module": lambda w: w.Sequential(3),
    "no module to append": lambda w: w.ModuleList().append(3),
    "no module to set": lambda w: w.ModuleDict({"a": None, "b": 3}),
    "a list is not called": lambda w: listed(w)(1),
    "an unknown key": lambda w: w.ModuleDict()["a"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_containers_refuse_what_torchs_refuse(name):
    with pytest.raises((IndexError, TypeError, KeyError, NotImplementedError)) as theirs:
        REFUSED[name](torch.nn)
    with pytest.raises(type(theirs.value)):
        REFUSED[name](nn)


def test_a_module_cannot_be_inserted_among_named_ones():
    with pytest.raises(ValueError, match="inserted among named ones"):
        named(nn).insert(1, nn.ReLU())


def test_a_slice_shares_its_modules():
    model = named(nn)
    part = model[:2]
    assert part[0] is model[0]
    assert model[0] in model
    assert nn.Linear(2, 3) not in model
    assert "a" in nn.ModuleDict({"a": nn.ReLU()})


def parameters(wing):
    make = (
        (lambda v: nn.Parameter(np.full((2, 3), v)))
        if wing is nn
        else lambda v: torch.nn.Parameter(torch.full((2, 3), v))
    )
    values = wing.ParameterList([make(1.0), make(2.0)])
    values.append(make(3.0)).extend([make(4.0), make(5.0)])
    values[1] = make(9.0)
    return values


def test_parameter_lists():
    mine, theirs = parameters(nn), parameters(torch.nn)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert [p.data[0, 0] for p in mine] == [p.data[0, 0].item() for p in theirs]
    assert len(mine[1:3]) == len(theirs[1:3]) == 2
    assert isinstance(nn.ParameterList([np.ones(2)])[0], nn.Parameter)
    assert all(p.requires_grad for p in mine)


def test_a_copy_has_parameters_of_its_own():
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5), nn.PReLU()).double()
    twin = copy.deepcopy(model)
    twin[0].weight.data[...] = 0
    assert model[0].weight.data.all()
    x = manual.tensor(random(4, 3))
    model.eval()(x)
    assert twin.training


def test_unflatten_undoes_flatten():
    x = manual.tensor(random(2, 3, 4))
    flat = nn.Flatten()(x)
    np.testing.assert_array_equal(nn.Unflatten(1, (3, 4))(flat).data, x.data)
    np.testing.assert_array_equal(nn.Unflatten(-1, [3, -1])(flat).data, x.data)
    y = torch.tensor(x.data)
    for start, end in [(0, -1), (1, 2), (0, 1), (-2, -1)]:
        np.testing.assert_array_equal(nn.Flatten(start, end)(x).data, torch.nn.Flatten(start, end)(y).numpy())
