"""Every method of every container: the same line runs on both wings, and must give the same, or the same refusal."""

import operator
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch

import manual
from manual import nn

T = torch.nn


def value(w, shape=(2, 3), fill=1.0):
    """A tensor that is no parameter."""
    return manual.tensor(np.full(shape, fill, np.float32)) if w is nn else torch.full(shape, fill)


def parameter(w, shape=(2, 3), fill=1.0):
    return w.Parameter(value(w, shape, fill))


def seq(w):
    return w.Sequential(w.ReLU(), w.Tanh(), w.GELU())


def named(w):
    return w.Sequential(OrderedDict(first=w.Linear(2, 3), act=w.Tanh(), last=w.Linear(3, 1)))


def lst(w):
    return w.ModuleList([w.ReLU(), w.Tanh(), w.GELU()])


def dct(w):
    return w.ModuleDict({"b": w.Linear(2, 3), "a": w.Tanh()})


def pl(w):
    return w.ParameterList([parameter(w, fill=1.0), parameter(w, fill=2.0), parameter(w, fill=3.0)])


def pd(w):
    return w.ParameterDict({"b": parameter(w), "a": parameter(w, (4,))})


def done(container, step):
    step(container)
    return container


SEQUENTIAL = {
    "times": lambda w: seq(w) * 2, "times from the left": lambda w: 2 * seq(w), "times 0": lambda w: seq(w) * 0, "times a float": lambda w: seq(w) * 2.0,
    "times -1": lambda w: seq(w) * -1, "times in place": lambda w: operator.imul(seq(w), 3), "times 1 in place": lambda w: operator.imul(seq(w), 1),
    "times 0 in place": lambda w: operator.imul(seq(w), 0), "times text in place": lambda w: operator.imul(seq(w), "a"), "named, times": lambda w: named(w) * 2,
    "plus a list": lambda w: operator.add(seq(w), [w.ReLU()]), "plus a ModuleList": lambda w: seq(w) + lst(w), "plus": lambda w: named(w) + named(w),
    "plus in place": lambda w: operator.iadd(named(w), seq(w)), "plus a list in place": lambda w: operator.iadd(seq(w), [w.ReLU()]),
    "append to named ones": lambda w: named(w).append(w.ReLU()), "append no module": lambda w: seq(w).append(3), "extend": lambda w: seq(w).extend(seq(w)),
    "extend, no module": lambda w: seq(w).extend([3]), "insert -1": lambda w: seq(w).insert(-1, w.Mish()), "insert -3": lambda w: seq(w).insert(-3, w.Mish()),
    "insert -4": lambda w: seq(w).insert(-4, w.Mish()), "insert 4": lambda w: seq(w).insert(4, w.Mish()), "insert no module": lambda w: seq(w).insert(0, 3),
    "insert behind named ones": lambda w: named(w).insert(3, w.Mish()), "set no module": lambda w: seq(w).__setitem__(0, 3),
    "set out of range": lambda w: seq(w).__setitem__(5, w.ReLU()), "set none": lambda w: done(seq(w), lambda c: c.__setitem__(1, None)),
    "get by text": lambda w: seq(w)["0"], "get by float": lambda w: seq(w)[1.0], "delete out of range": lambda w: seq(w).__delitem__(7),
    "delete": lambda w: done(seq(w), lambda c: c.__delitem__(1)), "delete a named one": lambda w: done(named(w), lambda c: c.__delitem__(1)),
    "delete named ones": lambda w: done(named(w), lambda c: c.__delitem__(slice(1, None))), "pop -1": lambda w: done(seq(w), lambda c: c.pop(-1)),
    "pop out of range": lambda w: seq(w).pop(3), "pop a slice": lambda w: seq(w).pop(slice(0, 2)), "of a dict": lambda w: w.Sequential({"a": w.ReLU()}),
    "of none": lambda w: w.Sequential(None), "of named no modules": lambda w: w.Sequential(OrderedDict(a=3)), "names": lambda w: [k for k in dir(seq(w)) if k.isdigit()],
    "a name with a dot": lambda w: w.Sequential(OrderedDict({"a.b": w.ReLU()})), "an empty name": lambda w: w.Sequential(OrderedDict({"": w.ReLU()})),
    "a name that is taken": lambda w: w.Sequential(OrderedDict({"forward": w.ReLU()})), "empty, not called": lambda w: w.Sequential()(),
}  # fmt: skip
LIST = {
    "get by text": lambda w: lst(w)["a"], "get out of range": lambda w: lst(w)[3], "set out of range": lambda w: lst(w).__setitem__(3, w.ReLU()),
    "set no module": lambda w: lst(w).__setitem__(0, 3), "set none": lambda w: done(lst(w), lambda c: c.__setitem__(0, None)),
    "delete a slice": lambda w: done(lst(w), lambda c: c.__delitem__(slice(0, 2))), "delete out of range": lambda w: lst(w).__delitem__(5),
    "pop a slice": lambda w: lst(w).pop(slice(0, 2)), "pop out of range": lambda w: lst(w).pop(9), "insert returns": lambda w: lst(w).insert(0, w.Mish()),
    "plus in place": lambda w: operator.iadd(lst(w), [w.Mish()]), "plus no list in place": lambda w: operator.iadd(lst(w), 3),
    "extend by no list": lambda w: lst(w).extend(3), "plus a list": lambda w: operator.add(lst(w), [w.ReLU()]), "plus a Sequential": lambda w: lst(w) + seq(w),
    "of text": lambda w: w.ModuleList("ab"), "of a number": lambda w: w.ModuleList(3), "names": lambda w: [k for k in dir(lst(w)) if k.isdigit()],
    "append none": lambda w: lst(w).append(None), "is not called": lambda w: lst(w)(3), "iterate": lambda w: [str(m) for m in lst(w)],
}  # fmt: skip
DICT = {
    "update by pairs": lambda w: done(dct(w), lambda c: c.update([["z", w.ReLU()]])), "update by a number": lambda w: dct(w).update(3),
    "update by a triple": lambda w: dct(w).update([("a",)]), "update by numbers": lambda w: dct(w).update([3]),
    "update by its kind": lambda w: done(dct(w), lambda c: c.update(w.ModuleDict({"b": w.Tanh(), "c": w.ReLU()}))),
    "update keeps the order": lambda w: done(dct(w), lambda c: c.update({"z": w.ReLU(), "c": w.ReLU()})), "of a number": lambda w: w.ModuleDict(3),
    "a number for a name": lambda w: dct(w).__setitem__(3, w.ReLU()), "no module": lambda w: dct(w).__setitem__("q", 3),
    "none": lambda w: done(dct(w), lambda c: c.__setitem__("q", None)), "get unknown": lambda w: dct(w)["q"], "delete unknown": lambda w: dct(w).__delitem__("q"),
    "pop unknown": lambda w: dct(w).pop("q"), "a name that is taken": lambda w: dct(w).__setitem__("keys", w.ReLU()),
    "a name with a dot": lambda w: dct(w).__setitem__("a.b", w.ReLU()), "an empty name": lambda w: dct(w).__setitem__("", w.ReLU()),
    "keys": lambda w: list(dct(w).keys()), "values": lambda w: [str(m) for m in dct(w).values()], "items": lambda w: [k for k, _ in dct(w).items()],
    "is not called": lambda w: dct(w)(3), "reversed": lambda w: list(reversed(dct(w))),
}  # fmt: skip
PARAMETER_LIST = {
    "of parameters": pl, "of none": lambda w: w.ParameterList(), "slice": lambda w: pl(w)[1:], "slice backwards": lambda w: pl(w)[::-1],
    "get -1": lambda w: pl(w)[-1].tolist(), "get out of range": lambda w: pl(w)[3], "get far below": lambda w: pl(w)[-4], "get by text": lambda w: pl(w)["a"],
    "append a tensor": lambda w: pl(w).append(value(w)), "append anything": lambda w: pl(w).append("hey"), "anything stays": lambda w: list(w.ParameterList([1, "a", [2]])),
    "plus in place": lambda w: operator.iadd(pl(w), [parameter(w)]), "extend": lambda w: pl(w).extend(pl(w)), "extend by a tensor": lambda w: pl(w).extend(parameter(w)),
    "extend by a number": lambda w: pl(w).extend(3), "extend by a generator": lambda w: pl(w).extend(p for p in [parameter(w)]),
    "set": lambda w: done(pl(w), lambda c: c.__setitem__(-1, parameter(w, (5,)))), "set a tensor": lambda w: done(pl(w), lambda c: c.__setitem__(0, value(w, (2,)))),
    "set out of range": lambda w: pl(w).__setitem__(3, parameter(w)), "is not called": lambda w: pl(w)(3), "names": lambda w: [k for k in dir(pl(w)) if k.isdigit()],
    "length": lambda w: len(pl(w).append(3)), "delete": lambda w: operator.delitem(pl(w), 0), "of a number": lambda w: w.ParameterList(3),
    "one, scalar": lambda w: w.ParameterList([parameter(w, ())]), "contains": lambda w: (3 in w.ParameterList([3, 4]), 5 in w.ParameterList([3, 4])),
}  # fmt: skip
PARAMETER_DICT = {
    "of a dict, sorted": pd, "of an ordered one": lambda w: w.ParameterDict(OrderedDict(z=parameter(w), a=parameter(w))), "of none": lambda w: w.ParameterDict(),
    "of pairs": lambda w: w.ParameterDict([("z", parameter(w)), ("a", value(w))]), "keys": lambda w: list(pd(w).keys()), "length": lambda w: len(pd(w)),
    "get unknown": lambda w: pd(w).get("q"), "get unknown, default": lambda w: pd(w).get("q", 3), "get": lambda w: pd(w).get("a").tolist(),
    "unknown": lambda w: pd(w)["q"], "as an attribute": lambda w: pd(w).a.tolist(), "set a tensor": lambda w: done(pd(w), lambda c: c.__setitem__("z", value(w))),
    "set anything": lambda w: done(pd(w), lambda c: c.__setitem__("z", "hey")), "delete": lambda w: done(pd(w), lambda c: c.__delitem__("b")),
    "delete unknown": lambda w: pd(w).__delitem__("q"), "pop": lambda w: done(pd(w), lambda c: c.pop("b")), "pop unknown": lambda w: pd(w).pop("q"),
    "pop, default": lambda w: pd(w).pop("q", 3), "popitem": lambda w: pd(w).popitem()[0], "popitem leaves": lambda w: done(pd(w), lambda c: c.popitem()),
    "popitem of none": lambda w: w.ParameterDict().popitem(), "clear": lambda w: done(pd(w), lambda c: c.clear()), "copy": lambda w: pd(w).copy(),
    "a copy shares": lambda w: (lambda c: c.copy()["b"] is c["b"])(pd(w)), "setdefault": lambda w: done(pd(w), lambda c: c.setdefault("n", parameter(w))),
    "setdefault, known": lambda w: done(pd(w), lambda c: c.setdefault("a", parameter(w))), "setdefault, none": lambda w: done(pd(w), lambda c: c.setdefault("n")),
    "fromkeys": lambda w: pd(w).fromkeys(["x", "y"], parameter(w)), "fromkeys, none": lambda w: pd(w).fromkeys(["x", "y"]),
    "or": lambda w: pd(w) | w.ParameterDict({"b": parameter(w, (1,)), "c": parameter(w)}), "or a dict": lambda w: pd(w) | {"c": parameter(w)},
    "or from the left": lambda w: [(k, tuple(v.shape)) for k, v in ({"b": parameter(w, (7,)), "c": parameter(w)} | pd(w)).items()],
    "or in place": lambda w: operator.ior(pd(w), {"c": parameter(w)}), "update by a dict": lambda w: done(pd(w), lambda c: c.update({"z": parameter(w), "c": parameter(w)})),
    "update by an ordered one": lambda w: done(pd(w), lambda c: c.update(OrderedDict(z=parameter(w), c=parameter(w)))),
    "update by its kind": lambda w: done(pd(w), lambda c: c.update(w.ParameterDict([("z", parameter(w)), ("c", parameter(w))]))),
    "update by pairs": lambda w: done(pd(w), lambda c: c.update([("z", parameter(w)), ("c", parameter(w))])),
    "update by a triple": lambda w: pd(w).update([("a",)]), "update by numbers": lambda w: pd(w).update([3]), "update by name": lambda w: pd(w).update(a=3),
    "reversed": lambda w: list(reversed(pd(w))), "contains": lambda w: ("a" in pd(w), "q" in pd(w), 3 in pd(w)), "iterate": lambda w: list(pd(w)),
    "items": lambda w: [k for k, _ in pd(w).items()], "values": lambda w: [tuple(v.shape) for v in pd(w).values()], "is not called": lambda w: pd(w)(3),
    "a name that is taken": lambda w: pd(w).__setitem__("keys", parameter(w)), "a name with a dot": lambda w: pd(w).__setitem__("a.b", parameter(w)),
    "an empty name": lambda w: pd(w).__setitem__("", parameter(w)),
    "in other containers": lambda w: w.ModuleDict({"a": w.ModuleList([w.ParameterList([parameter(w)])]), "p": pd(w)}),
}  # fmt: skip
CASES = {
    f"{kind}: {name}": case
    for kind, table in {
        "Sequential": SEQUENTIAL, "ModuleList": LIST, "ModuleDict": DICT, "ParameterList": PARAMETER_LIST, "ParameterDict": PARAMETER_DICT,
    }.items()
    for name, case in table.items()
}  # fmt: skip


def outcome(wing, case):
    """What a line gives, in words that both wings share."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = case(wing)
        except Exception as error:
            return type(error).__name__, plain(str(error))
    if isinstance(result, (nn.Module, T.Module)):
        state = [(key, tuple(item.shape)) for key, item in result.state_dict().items()]
        return plain(repr(result)), state, [name for name, _ in result.named_modules()]
    return result


def plain(text):
    for module in (
        "torch.nn.modules.module.",
        "torch.nn.modules.container.",
        "manual.nn.module.",
        "manual.nn.container.",
        "torch.nn.",
    ):
        text = text.replace(module, "")
    return text.replace("torch.FloatTensor", "float32").replace("torch.float", "float")


@pytest.mark.parametrize("name", CASES)
def test_a_line_gives_what_it_gives_in_torch(name):
    assert outcome(nn, CASES[name]) == outcome(T, CASES[name])


def test_times_shares_the_children():
    model = named(nn) * 2
    assert len(model) == 6
    assert model[0] is model[3]


# Where torch fails by accident, this wing does what was meant.

MEANT = {
    "insert before the last": (
        lambda w: done(lst(w), lambda c: c.insert(-1, w.Mish())),
        ["ReLU", "Tanh", "Mish", "GELU"],
    ),
    "insert far behind": (lambda w: done(lst(w), lambda c: c.insert(10, w.Mish())), ["ReLU", "Tanh", "GELU", "Mish"]),
    "extend by itself": (lambda w: (lambda c: c.extend(c))(lst(w)), ["ReLU", "Tanh", "GELU"] * 2),
}


@pytest.mark.parametrize("name", MEANT)
def test_lists_behave_as_lists_where_torchs_do_not(name):
    case, children = MEANT[name]
    mine = case(nn)
    assert [type(child).__name__ for child in mine] == children
    assert [key for key, _ in mine._modules.items()] == [str(number) for number in range(len(children))]
    assert outcome(T, case) != outcome(nn, case)


def test_what_cannot_be_held_is_refused():
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        lst(nn).insert(0, 3)
    with pytest.raises(TypeError, match="cannot be used as a key as it is not a string"):
        pd(nn)[3] = parameter(nn)
    with pytest.raises(
        TypeError, match=r"ParameterDict.update should be called with an iterable of key/value pairs, but got int"
    ):
        pd(nn).update(3)
    with pytest.raises(TypeError, match="cannot assign int as parameter '0'"):
        pl(nn)[0] = 3


# -- modules that reshape ----------------------------------------------------------------------------------------------

SHAPED = {
    "flatten": lambda w, x: w.Flatten()(x), "flatten a range": lambda w, x: w.Flatten(1, 2)(x), "flatten from behind": lambda w, x: w.Flatten(-2)(x),
    "flatten, no such axis": lambda w, x: w.Flatten(7)(x), "flatten, axes the wrong way round": lambda w, x: w.Flatten(2, 1)(x),
    "unflatten": lambda w, x: w.Unflatten(1, (2, 3))(x), "unflatten a list": lambda w, x: w.Unflatten(1, [3, 2])(x), "unflatten, one inferred": lambda w, x: w.Unflatten(-3, (2, -1))(x),
    "unflatten to one": lambda w, x: w.Unflatten(3, (5,))(x), "unflatten, sizes": lambda w, x: w.Unflatten(1, (2, 2))(x),
    "unflatten, sizes that do not divide": lambda w, x: w.Unflatten(1, (4, -1))(x), "unflatten a number": lambda w, x: w.Unflatten(1, 3),
    "unflatten floats": lambda w, x: w.Unflatten(1, (2.0, 1)), "unflatten, no such axis": lambda w, x: w.Unflatten(4, (2, 1))(x),
    "unflatten to nothing": lambda w, x: w.Unflatten(1, ())(x), "identity": lambda w, x: w.Identity(1, two=2)(x),
    "repr": lambda w, x: (repr(w.Unflatten(1, [2, -1])), repr(w.Flatten(0, 1)), repr(w.Identity(3))),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPED)
def test_modules_that_reshape(name):
    array = np.arange(60, dtype=np.float32).reshape(2, 6, 1, 5)

    def result(wing, x):
        try:
            found = SHAPED[name](wing, x)
        except Exception as error:
            return type(error).__name__, str(error).splitlines()[0]
        return (tuple(found.shape), found.tolist()) if hasattr(found, "shape") else found

    assert result(nn, manual.tensor(array)) == result(T, torch.tensor(array))
