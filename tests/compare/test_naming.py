"""Name maps: exact, by pattern, by function, with another order of axes; and what they refuse."""

import numpy as np
import pytest

from compare.batches import InputError
from compare.naming import name_map, nearest, order_of_axes

MINE = {"W1": (4, 3), "b1": (3,), "W2": (3, 2), "b2": (2,)}
THEIRS = {"hidden.weight": (3, 4), "hidden.bias": (3,), "out.weight": (2, 3), "out.bias": (2,)}
PAIRS = {"W1": "hidden.weight", "b1": "hidden.bias", "W2": "out.weight", "b2": "out.bias"}
FLAX = {"layers_0_kernel": (4, 3), "layers_0_bias": (3,), "layers_11_kernel": (3, 2), "layers_11_bias": (2,)}
TORCH = {"layers.0.weight": (3, 4), "layers.0.bias": (3,), "layers.11.weight": (2, 3), "layers.11.bias": (2,)}


def by_function(name):
    _, number, kind = name.split("_")
    return (f"layers.{number}.weight", (1, 0)) if kind == "kernel" else f"layers.{number}.{kind}"


MAPS = {
    "exact": (PAIRS, MINE, THEIRS, PAIRS, ()),
    "exact, with axes": ({**PAIRS, "W1": ("hidden.weight", (1, 0))}, MINE, THEIRS, PAIRS, ("W1",)),
    "patterns": (
        {"layers_*_kernel": ("layers.*.weight", [1, 0]), "layers_*_bias": "layers.*.bias"},
        FLAX, TORCH, dict(zip(FLAX, TORCH, strict=True)), ("layers_0_kernel", "layers_11_kernel"),
    ),
    "a function": (by_function, FLAX, TORCH, dict(zip(FLAX, TORCH, strict=True)), ("layers_0_kernel", "layers_11_kernel")),
    "an exact entry before a pattern": ({"a*": "x*", "a1": "y"}, ["a1", "a2"], ["y", "x2"], {"a1": "y", "a2": "x2"}, ()),
    "two patterns of one mind": ({"a*": "x*", "a1*": "x1*"}, ["a12"], ["x12"], {"a12": "x12"}, ()),
    "names exchanged": ({"a": "b", "b": "a"}, ["a", "b"], ["a", "b"], {"a": "b", "b": "a"}, ()),
    "nothing said": (None, ["a", "b"], ["b", "a"], {"a": "a", "b": "b"}, ()),
    "a function that says nothing": ({"q": "b"}.get, ["a", "q"], ["a", "b"], {"a": "a", "q": "b"}, ()),
}  # fmt: skip


@pytest.mark.parametrize(("names", "actual", "expected", "renames", "turned"), MAPS.values(), ids=MAPS)
def test_names_are_matched(names, actual, expected, renames, turned):
    found = name_map(names, actual, expected)
    assert found.renames == renames
    assert found.only_actual == found.only_expected == []
    assert tuple(found.axes) == turned
    for mine, theirs in renames.items():
        assert (found.expected_name(mine), found.actual_name(theirs)) == (theirs, mine)


def test_arrays_are_turned_there_and_back():
    found = name_map({"k": ("w", (3, 2, 0, 1))}, {"k": (5, 6, 3, 8)}, {"w": (8, 3, 5, 6)})
    kernel = np.random.default_rng(0).standard_normal((5, 6, 3, 8))
    turned = found.to_expected("k", kernel)
    assert turned.shape == (8, 3, 5, 6)
    assert turned[7, 2, 4, 5] == kernel[4, 5, 2, 7]
    assert np.array_equal(found.to_actual("k", turned), kernel)
    assert found.to_expected("k", 3.0) == 3.0  # a step count has no axes


def test_names_that_show_later_are_mapped_when_they_do():
    found = name_map({"dense_*": "layers.*", "m": "exp_avg"}, ["w"], ["w"], later=["layers.0", "exp_avg"])
    assert found.expected_name("dense_3") == "layers.3"
    assert found.actual_name("layers.3") == "dense_3"
    assert found.renamed({"m": 1, "v": 2}) == {"exp_avg": 1, "v": 2}
    with pytest.raises(InputError, match="names maps 'm' to 'exp_avg', but the actual side has a 'exp_avg' of its own"):
        found.renamed({"m": 1, "exp_avg": 2})


# -- what has no counterpart -------------------------------------------------------------------------------------------

HINTS = {
    "another name": ({"weights": (3, 4)}, {"weight": (3, 4)}, "actual", "weights", "nearest: 'weight'; if they are the same, names={'weights': 'weight'}"),
    "seen from the other side": ({"weights": (3, 4)}, {"weight": (3, 4)}, "expected", "weight", "nearest: 'weights'; if they are the same, names={'weights': 'weight'}"),
    "another layout": (
        {"dense.kernel": (4, 3)}, {"hidden.weight": (3, 4)}, "actual", "dense.kernel",
        "nearest: 'hidden.weight'; shape (3, 4) is (4, 3) with the axes in another order, names={'dense.kernel': ('hidden.weight', (1, 0))}",
    ),
    "the same shape first": (
        {"W2": (2, 3)}, {"W1": (9,), "out": (2, 3), "in": (3, 2)}, "actual", "W2",
        "nearest: 'out', 'in', 'W1'; if they are the same, names={'W2': 'out'}",
    ),
    "nothing near": ({"W2": (2, 3)}, {"bias": (7,)}, "actual", "W2", ""),
}  # fmt: skip


@pytest.mark.parametrize(("actual", "expected", "side", "name", "hint"), HINTS.values(), ids=HINTS)
def test_a_name_without_counterpart_has_its_nearest_candidates(actual, expected, side, name, hint):
    found = name_map(None, actual, expected)
    assert name in (found.only_actual if side == "actual" else found.only_expected)
    assert found.hint(side, name) == hint


def test_a_matched_name_with_its_axes_in_another_order_is_told():
    said = "if that is another order of axes, say names={'W1': ('hidden.weight', (1, 0))}"
    assert name_map({"W1": "hidden.weight"}, MINE, THEIRS).another_layout("W1") == said
    assert name_map({"W1": ("hidden.weight", (1, 0))}, MINE, THEIRS).another_layout("W1") == ""
    assert name_map({"W1": "hidden.weight"}, MINE, THEIRS).another_layout("b1") == ""


def test_entries_that_name_nothing_are_told():
    found = name_map({"m": "exp_avg", "layer*": "layers.*"}, [], [], later=["exp_avg", "layers.0"])
    said = [
        "names maps 'm' to 'exp_avg', but the actual side shows no 'm'",
        "names maps 'layer*' to 'layers.*', but the actual side shows no 'layer*'",
    ]
    assert found.unused() == said
    found.renamed({"m": 0})
    assert found.met("layer0") == "layers.0"
    assert found.unused() == []


@pytest.mark.parametrize(
    ("mine", "theirs", "axes"),
    [
        ((5, 5, 3, 8), (8, 3, 5, 5), (3, 2, 0, 1)),
        ((2, 3, 4), (4, 3, 2), (2, 1, 0)),
        ((2, 3, 4), (3, 4, 2), (1, 2, 0)),
        ((2, 3), (2, 3), None),
        ((2, 3), (2, 4), None),
        (None, (2, 3), None),
    ],
)
def test_orders_of_axes(mine, theirs, axes):
    assert order_of_axes(mine, theirs) == axes


def test_words_of_other_libraries_are_near_pytorchs():
    candidates = dict.fromkeys(["conv1.weight", "conv1.bias", "norm.weight"])
    assert nearest("conv1/kernel", None, candidates)[0] == "conv1.weight"
    assert nearest("norm_gamma", None, candidates)[0] == "norm.weight"


# -- what is refused ---------------------------------------------------------------------------------------------------

REFUSED = {
    "a list": (["W1"], MINE, "names is list ['W1']; it must be a dict of actual name to expected name, or a function of the actual name"),
    "a number as a key": ({1: "out.bias"}, MINE, "names has the key 1; a key is a name of the actual side, or a pattern with one *"),
    "a number as a value": ({"W1": 1}, MINE, "names['W1'] is 1; it must be a name of the expected side, or (name, order of axes)"),
    "axes that are none": ({"W1": ("hidden.weight", (0, 2))}, MINE, "names['W1'] has the axes (0, 2); they must be an order of axes such as (1, 0)"),
    "axes in words": ({"W1": ("hidden.weight", "T")}, MINE, "names['W1'] has the axes 'T'; they must be an order of axes such as (1, 0)"),
    "too many axes": ({"b1": ("hidden.bias", (1, 0))}, MINE, "names gives 'b1' the axes (1, 0), but its shape (3,) has 1 of them"),
    "two stars": ({"*_*": "out.*"}, MINE, "names['*_*'] is 'out.*'; a pattern has one * on either side, a name none"),
    "a star on one side": ({"W*": "out.weight"}, MINE, "names['W*'] is 'out.weight'; a pattern has one * on either side, a name none"),
    "a misspelt target": ({"W1": "hiden.weight"}, MINE, "names maps 'W1' to 'hiden.weight', which the expected side does not have; nearest: 'hidden.weight', 'out.weight', 'hidden.bias'"),
    "a misspelt name": ({"W9": "hidden.weight"}, MINE, "names maps 'W9' to 'hidden.weight', but the actual side has no 'W9'; nearest: 'W1', 'W2'"),
    "a pattern that fits nothing": ({"kernel_*": "*.weight"}, MINE, "names has the pattern 'kernel_*', which fits no name; there are 'W1', 'b1', 'W2' and 1 more"),
    "two names to one": ({"W1": "out.weight", "W2": "out.weight"}, MINE, "names maps both 'W1' and 'W2' to 'out.weight'; each needs a name of its own"),
    "a name that is taken": (
        {"W1": "out.bias"}, {"W1": (2,), "out.bias": (2,)},
        "names maps 'W1' to 'out.bias', but the actual side has a 'out.bias' of its own; say what that one is called on the expected side",
    ),
    "two patterns": (
        {"W*": "hidden.*", "*1": "*.weight"}, MINE,
        "names is ambiguous: 'W*' makes 'hidden.1' of 'W1', and '*1' makes 'W.weight' of it; give that name an entry of its own",
    ),
    "a function's number": (lambda name: 7, MINE, "names('W1') is 7; it must be a name of the expected side, or (name, order of axes)"),
}  # fmt: skip


@pytest.mark.parametrize(("names", "actual", "message"), REFUSED.values(), ids=REFUSED)
def test_a_map_that_cannot_be_right_is_refused_in_one_line(names, actual, message):
    with pytest.raises(InputError) as caught:
        name_map(names, actual, THEIRS)
    assert str(caught.value) == message
