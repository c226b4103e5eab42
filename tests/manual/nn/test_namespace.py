"""Everything public in torch.nn and torch.nn.functional is here, under its name and arguments, or absent with a reason.

torch 2.13 has 168 public classes in ``torch.nn``: the 163 names of ``torch.nn.modules.__all__``, and ``Buffer``,
``DataParallel``, ``Parameter``, ``UninitializedBuffer`` and ``UninitializedParameter``. (163 is also how many of the 168
are modules; the two sets differ by ``DataParallel`` and ``LinearCrossEntropyOptions``.) Its 133 public functions are the
callables of ``torch.nn.functional`` without an underscore in front that are no classes and no machinery of overrides.
"""

import inspect
import typing

import pytest
import torch

from manual import nn
from manual.nn import functional
from manual.nn.absent import ABSENT, ABSENT_FUNCTIONS

MACHINERY = ("torch._jit_internal", "torch.overrides", "torch._C", "typing", "collections.abc")

CLASSES = sorted(name for name, value in vars(torch.nn).items() if inspect.isclass(value) and not name.startswith("_"))
FUNCTIONS = sorted(
    name
    for name, value in vars(torch.nn.functional).items()
    if callable(value)
    and not inspect.isclass(value)
    and not name.startswith("_")
    and (getattr(value, "__module__", None) not in MACHINERY or "adaptive" in name or "_pool" in name)
)

UNNAMED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
DEPRECATED = {"size_average", "reduce"}
OVERLOADED = {
    name
    for name in CLASSES
    if inspect.isfunction(made := getattr(torch.nn, name).__init__) and typing.get_overloads(made)
}


def of_2_13():
    return torch.__version__.startswith("2.13")


@pytest.mark.skipif(not of_2_13(), reason="the numbers are those of torch 2.13")
def test_what_torch_has_is_what_this_test_believes():
    modules = {name for name in CLASSES if issubclass(getattr(torch.nn, name), torch.nn.Module)}
    listed = set(torch.nn.modules.__all__)
    assert (len(CLASSES), len(listed), len(modules), len(FUNCTIONS)) == (168, 163, 163, 133)
    assert modules ^ listed == {"DataParallel", "LinearCrossEntropyOptions"}
    assert set(CLASSES) - listed == {
        "Buffer",
        "DataParallel",
        "Parameter",
        "UninitializedBuffer",
        "UninitializedParameter",
    }


def declared(wing, name):
    """The parameters that the constructor of a class names, or those of its first overload."""
    kind = getattr(wing, name)
    parameters = list(inspect.signature(kind).parameters.values())
    if all(parameter.kind in UNNAMED for parameter in parameters):
        overloads = typing.get_overloads(kind.__init__)
        parameters = list(inspect.signature(overloads[0]).parameters.values())[1:] if overloads else parameters
    return [
        (parameter.name, shown(parameter.default), parameter.kind)
        for parameter in parameters
        if parameter.name not in DEPRECATED and not parameter.name.startswith("_")
    ]


def shown(default):
    """A default that can be compared between the wings: functions and dtypes by name."""
    return getattr(default, "__name__", default) if callable(default) else default


def unnamed(parameters):
    return all(kind in UNNAMED for *_, kind in parameters)


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_torch_is_here_with_its_arguments_or_absent_with_a_reason(name):
    if name in ABSENT:
        assert not hasattr(nn, name), f"{name} exists: take it from manual.nn.absent.ABSENT"
        return
    assert hasattr(nn, name), f"manual.nn has no {name}: write it, or say in manual/nn/absent.py why it is not here"
    mine, theirs = declared(nn, name), declared(torch.nn, name)
    if name in OVERLOADED:  # torch's takes any keyword and refuses those that do not fit itself
        mine = [one for one in mine if one[2] is not inspect.Parameter.VAR_KEYWORD]
    assert mine == theirs or unnamed(theirs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_of_torch_is_here_or_absent_with_a_reason(name):
    if name in ABSENT_FUNCTIONS:
        assert not hasattr(functional, name), f"{name} exists: take it from manual.nn.absent.ABSENT_FUNCTIONS"
        return
    assert callable(getattr(functional, name, None)), (
        f"manual.nn.functional has no {name}: write it, or say in manual/nn/absent.py why it is not here"
    )


@pytest.mark.parametrize(
    ("table", "names"), [(ABSENT, CLASSES), (ABSENT_FUNCTIONS, FUNCTIONS)], ids=["class", "function"]
)
def test_what_is_absent_is_torchs_and_has_a_reason(table, names):
    assert not of_2_13() or set(table) <= set(names)
    for name, reason in table.items():
        assert len(reason) > 40, name
        assert reason[0].islower(), name
        assert reason[-1] not in ".:", name


@pytest.mark.parametrize(("module", "table"), [(nn, ABSENT), (functional, ABSENT_FUNCTIONS)], ids=["class", "function"])
def test_asking_for_what_is_absent_says_why(module, table):
    for name, reason in table.items():
        with pytest.raises(AttributeError) as refusal:
            getattr(module, name)
        assert str(refusal.value) == f"module {module.__name__!r} has no {name!r}: {reason}"
    with pytest.raises(AttributeError, match=r"has no 'nonsense'$"):
        module.nonsense  # noqa: B018
