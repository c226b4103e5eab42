"""compare.gradients on functions as a new user writes them, right, wrong and misshapen."""

import numpy as np
import pytest
import torch

import compare
from compare.batches import InputError
from compare.tolerance import Fixed

generator = np.random.default_rng(3)
X, W = generator.standard_normal((5, 3)), generator.standard_normal(3)
INPUTS = {"x": X, "w": W}
CONSTANT = torch.ones(3)


def square(x, w):
    return ((x @ w) ** 2).mean()


def by_hand(x, w, loss=1.0, at_x=1.0, at_w=1.0):
    z = x @ w
    slope = np.asarray(2 / len(z), x.dtype) * z
    return np.mean(z**2) * loss, {"x": np.outer(slope, w) * at_x, "w": (x.T @ slope) * at_w}


def returning(loss="loss", **gradients):
    """The right function with some of its results replaced."""

    def changed(x, w):
        right, slopes = by_hand(x, w)
        made = {n: g(slopes[n]) if callable(g) else g for n, g in {**slopes, **gradients}.items()}
        return (right if loss == "loss" else loss), {n: g for n, g in made.items() if g is not ...}

    return changed


# -- agreement ---------------------------------------------------------------------------------------------------------

HONEST = {
    "as they are": INPUTS,
    "float32": {name: value.astype(np.float32) for name, value in INPUTS.items()},
    "float16": {name: value.astype(np.float16) for name, value in INPUTS.items()},
    "foreign byte order": {name: value.astype(value.dtype.newbyteorder()) for name, value in INPUTS.items()},
    "negative strides": {"x": X[::-1, ::-1], "w": W[::-1]},
    "a transposed view": {"x": X.T.copy().T, "w": W},
}


@pytest.mark.parametrize("inputs", HONEST.values(), ids=HONEST)
@pytest.mark.parametrize("tolerance", [None, "measured", "fixed"])
def test_right_gradients_are_equivalent(inputs, tolerance):
    report = compare.gradients(by_hand, square, inputs, tolerance=tolerance)
    assert report.outcome == "equivalent", report
    assert set(report.coverage.phases) == {"init", "loss", "accumulated"}
    assert report.coverage.phases["accumulated"].informative_names == {"x", "w"}
    assert report.first_divergence is None
    assert report.causes == []
    report.assert_equivalent()


def test_both_functions_get_copies_in_native_order():
    seen = {}

    def spy(x, w):
        seen["manual"] = x
        return by_hand(x, w)

    def torch_spy(x, w):
        seen["torch"] = (x.dtype, x.requires_grad, w.requires_grad)
        return square(x, w)

    foreign = X.astype(">f4")[::-1]
    compare.gradients(spy, torch_spy, {"x": foreign, "w": W.astype("f4")}, wrt=["w"])
    assert seen["manual"].dtype == np.dtype("f4")
    assert seen["manual"].flags.c_contiguous
    assert not np.shares_memory(seen["manual"], foreign)
    assert seen["torch"] == (torch.float32, False, True)


SMALL = {
    "a 0-d array": (lambda x: (x**2, {"x": 2 * x}), lambda x: x**2, {"x": np.array(3.0)}),
    "a NumPy number": (lambda x: (x**2, {"x": 2 * x}), lambda x: x**2, {"x": np.float32(3.0)}),
    "Python numbers back": (lambda x: (float(x) ** 2, {"x": 2 * float(x)}), lambda x: x**2, {"x": np.float32(3.0)}),
    "lists back": (lambda x: (float((x**2).sum()), {"x": (2 * x).tolist()}), lambda x: (x**2).sum(), {"x": np.float32(W)}),
    "tensors back": (
        lambda x: (torch.tensor((x**2).sum()), {"x": torch.tensor(2 * x)}), lambda x: (x**2).sum(), {"x": W},
    ),
    "a boolean mask": (
        lambda x, m: ((x[m] ** 2).sum(), {"x": 2 * x * m}), lambda x, m: (x[m] ** 2).sum(),
        {"x": W, "m": np.array([True, False, True])},
    ),
    "integer indices": (
        lambda x, i: ((x[i] ** 2).sum(), {"x": np.array([0, 4 * x[1], 2 * x[2]])}), lambda x, i: (x[i] ** 2).sum(),
        {"x": W, "i": np.array([1, 1, 2])},
    ),
    "settings as they are": (
        lambda x, n, mode: ((x**2).sum() * n, {"x": 2 * x * n}), lambda x, n, mode: (x**2).sum() * n,
        {"x": np.float32(X), "n": 0.5, "mode": None},
    ),
    "NaN in one place": (
        lambda x: ((x**2).sum(), {"x": 2 * x}), lambda x: (x**2).sum(), {"x": np.array([1.0, np.nan, 2.0, 3.0])},
    ),
    "one branch at a kink": (
        lambda x: (np.maximum(x, 0).sum(), {"x": (x >= 0) * 1.0}), lambda x: x.relu().sum(),
        {"x": np.array([0.0, 1.0, -1.0, 2.0, -3.0])},
    ),
    "float32 constants in the reference": (
        lambda x: (np.float32(((x @ np.float32([1, 1, 1])) ** 2).sum()), {"x": np.outer(2 * x.sum(1), np.float32([1, 1, 1]))}),
        lambda x: ((x @ CONSTANT) ** 2).sum(), {"x": np.float32(X)},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("manual", "reference", "inputs"), SMALL.values(), ids=SMALL)
def test_unusual_but_right(manual, reference, inputs):
    report = compare.gradients(manual, reference, inputs)
    assert report.outcome == "equivalent", report


def test_a_gradient_that_is_constant_by_nature_counts():
    report = compare.gradients(lambda x: (x.mean(), {"x": np.full_like(x, 1 / x.size)}), lambda x: x.mean(), {"x": X})
    assert report.outcome == "equivalent"
    assert any("'x' is one number, whatever the inputs" in note for note in report.coverage.notes)
    wrong = compare.gradients(lambda x: (x.mean(), {"x": np.ones_like(x)}), lambda x: x.mean(), {"x": X})
    assert wrong.outcome == "diverged"


def test_no_side_effect_on_a_module_that_the_reference_closes_over():
    layer = torch.nn.Linear(3, 1).double()
    weight = layer.weight.detach().numpy()

    def manual(x):
        z = x @ weight.T + layer.bias.item()
        return (z**2).sum(), {"x": 2 * z @ weight}

    assert compare.gradients(manual, lambda x: (layer(x) ** 2).sum(), {"x": X}).outcome == "equivalent"
    assert layer.weight.grad is None


# -- divergence --------------------------------------------------------------------------------------------------------

WRONG = {
    # what is returned: phase, name, kind of divergence, a word of the report
    "the loss": (returning(loss=3.0), "loss", "data", None, "first divergence"),
    "a factor": (returning(w=lambda g: 1.5 * g), "accumulated", "w", None, "5.0e-01 relative"),
    "one element": (
        returning(x=lambda g: g + 1e-9 * (np.arange(15).reshape(5, 3) == 7)),
        "accumulated",
        "x",
        None,
        "[2, 1]",
    ),
    "the shape": (returning(w=lambda g: g[:, None]), "accumulated", "w", "shape", "shape (3, 1), expected (3,)"),
    "the dtype": (returning(w=np.float32), "accumulated", "w", "dtype", "dtype float32, expected float64"),
    "a loss of rows": (
        lambda x, w: ((x @ w) ** 2, by_hand(x, w)[1]),
        "loss",
        "data",
        "shape",
        "shape (5,), expected ()",
    ),
    "not finite": (returning(w=lambda g: g / np.array([1.0, np.inf, np.nan])), "accumulated", "w", None, "nan"),
}


@pytest.mark.parametrize(("manual", "phase", "name", "kind", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_seen_in_its_place(manual, phase, name, kind, said):
    report = compare.gradients(manual, square, INPUTS)
    first = report.first_divergence
    assert report.outcome == "diverged"
    assert (first.checkpoint.phase, first.checkpoint.name, first.difference.kind) == (phase, name, kind)
    assert said in str(report)
    with pytest.raises(AssertionError) as caught:
        report.assert_equivalent()
    assert str(caught.value) == str(report)


def test_the_culprit_is_the_users_function():
    assert compare.gradients(returning(w=lambda g: -g), square, INPUTS).first_divergence.culprit == "changed"


def test_none_from_torch_against_zeros_is_agreement_with_a_note():
    def manual(x, w):
        return (x**2).sum(), {"x": 2 * x, "w": np.zeros_like(w)}

    report = compare.gradients(manual, lambda x, w: (x**2).sum(), INPUTS)
    assert report.outcome == "equivalent"
    assert "accumulated: w is None on one side and zero on the other" in report.coverage.notes
    report = compare.gradients(lambda x, w: (manual(x, w)[0], {"x": 2 * x, "w": w}), lambda x, w: (x**2).sum(), INPUTS)
    assert report.first_divergence.checkpoint.name == "w"


# -- what was not compared ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("absent", [..., None], ids=["left out", "None"])
def test_inputs_without_a_gradient_are_listed_by_name(absent):
    report = compare.gradients(returning(x=absent), square, INPUTS)
    assert report.outcome == "equivalent"
    assert "accumulated: x" in report.coverage.only_expected
    assert "not compared: changed returned no gradient for 'x'" in report.coverage.notes
    assert "not compared: changed returned no gradient for 'x'" in str(report)


SILENT = "the gradient of 'x' is empty, zero, one number, not finite or nothing but rounding here, so nothing is known about it"
ABSTAINED = {
    "no gradient at all": (lambda x, w: (square(x, w), {}), square, INPUTS, {}, "<lambda> returned no gradient, so none was compared"),
    "one that wrt promises": (returning(x=...), square, INPUTS, {"wrt": ["x", "w"]}, "changed returned no gradient for 'x', which wrt asks for"),
    "rounding only": (
        lambda x: (5.0, {"x": 0 * x}), lambda x: x.softmax(1).sum(), {"x": np.random.default_rng(0).standard_normal((5, 3))}, {},
        SILENT,
    ),
    "constant by accident": (
        lambda x: (x.sum(), {"x": np.ones_like(x)}), lambda x: x.relu().sum(), {"x": abs(X)}, {},
        SILENT,
    ),
    "an empty input": (
        lambda x: (x.sum(), {"x": np.ones_like(x)}), lambda x: x.sum(), {"x": np.zeros((0, 3))}, {},
        SILENT,
    ),
    "chance in the function": (
        lambda x: ((x**2).sum(), {"x": 2 * x + np.random.default_rng().standard_normal(x.shape)}), lambda x: (x**2).sum(), {"x": X}, {},
        "nondeterminism: two runs of the actual side differ from each other at step 1, micro-batch 1, accumulated, x",
    ),
    "chance in the reference": (
        lambda x: ((x**2).sum(), {"x": 2 * x}), lambda x: (torch.nn.functional.dropout(x) ** 2).sum(), {"x": X}, {},
        "nondeterminism: two runs of the expected side differ from each other at step 1, micro-batch 1, loss, data",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("manual", "reference", "inputs", "options", "reason"), ABSTAINED.values(), ids=ABSTAINED)
def test_nothing_passes_that_was_not_compared(manual, reference, inputs, options, reason):
    report = compare.gradients(manual, reference, inputs, **options)
    assert (report.outcome, report.reason) == ("abstained", reason)
    with pytest.raises(AssertionError, match="abstained"):
        report.assert_equivalent()


# -- functions that break the contract -----------------------------------------------------------------------------------


def spoiling(x, w):
    found = by_hand(x, w)
    x -= 1
    return found


MISUSE = {
    "None": (lambda x, w: None, square, "<lambda> must return (loss, {name: gradient}); it returned None"),
    "a loss alone": (lambda x, w: 1.0, square, "<lambda> must return (loss, {name: gradient}); it returned a float"),
    "a dict alone": (lambda x, w: {"w": w}, square, "<lambda> must return (loss, {name: gradient}); it returned a dict"),
    "gradients in a tuple": (lambda x, w: (1.0, (x, w)), square, "<lambda> must return (loss, {name: gradient}); the second is a tuple of 2"),
    "no loss": (returning(loss=None), square, "changed must return (loss, {name: gradient}); the loss is None"),
    "a word": (returning(loss="high"), square, "the loss that changed returned is a str, not an array"),
    "another name": (returning(W=W), square, "changed returned a gradient for 'W', which is no input; known: 'x', 'w'"),
    "ragged lists": (returning(w=[[1], [1, 2]]), square, "the gradient that changed returned for 'w' is a list of 2 with rows of unequal length, not an array"),
    "objects": (returning(w=np.array([None])), square, "the gradient that changed returned for 'w' has dtype object, which holds no numbers to compare"),
    "complex numbers": (returning(w=1j * W), square, "the gradient that changed returned for 'w' has dtype complex128; complex numbers are not compared"),
    "a changed input": (spoiling, square, "spoiling changes its input 'x' in place; work on a copy"),
    "rows from torch": (by_hand, lambda x, w: x @ w, "<lambda> must return a scalar tensor; it returned one of shape (5,): take its mean or sum"),
    "a number from torch": (by_hand, lambda x, w: 1.0, "<lambda> must return a scalar tensor; it returned a float"),
    "a detached loss": (
        by_hand, lambda x, w: square(x, w).detach(),
        "<lambda> must return a scalar tensor that depends on 'x', 'w'; no gradient reaches them: is it computed under no_grad, or through .detach(), .item() or NumPy?",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("manual", "reference", "reason"), MISUSE.values(), ids=MISUSE)
def test_a_broken_contract_is_said_in_one_line(manual, reference, reason):
    report = compare.gradients(manual, reference, INPUTS)
    assert (report.outcome, report.reason) == ("error", reason)


GRADIENTS_OF_NOTHING = {
    "an integer input": ({"n": np.arange(3)}, "which is an input of dtype int64 and has none"),
    "a setting": ({"n": 0.5}, "which is the setting 0.5 and has none"),
}


@pytest.mark.parametrize(("more", "said"), GRADIENTS_OF_NOTHING.values(), ids=GRADIENTS_OF_NOTHING)
def test_a_gradient_for_what_has_none_is_an_error(more, said):
    report = compare.gradients(lambda x, n: (1.0, {"x": x, "n": 1.0}), lambda x, n: x.sum(), {"x": X, **more})
    assert report.outcome == "error"
    assert report.reason == f"<lambda> returned a gradient for 'n', {said}"


def test_a_changed_input_is_told_beside_a_divergence():
    def both(x, w):
        loss, found = spoiling(x, w)
        return loss, {"w": 2 * found["w"]}

    report = compare.gradients(both, square, INPUTS)
    assert report.outcome == "diverged"
    assert "both changes its input 'x' in place; work on a copy" in report.coverage.notes


def raising(x, w):
    raise KeyError("no such thing")


@pytest.mark.parametrize(("manual", "reference", "side"), [(raising, square, "actual"), (by_hand, raising, "expected")])
def test_what_a_function_raises_is_an_outcome(manual, reference, side):
    report = compare.gradients(manual, reference, INPUTS)
    assert report.outcome == "error"
    assert report.reason.startswith(
        f"the {side} side raised in accumulate (step 1): KeyError: 'no such thing' (in raising, test_gradients.py line"
    )
    assert isinstance(report.verdict.error, KeyError)


def test_arguments_of_other_names_are_the_functions_error():
    report = compare.gradients(lambda a, b: (1.0, {}), square, INPUTS)
    assert report.outcome == "error"
    assert "unexpected keyword argument 'x'" in report.reason


# -- inputs that cannot be used ------------------------------------------------------------------------------------------

REFUSED = {
    "no dict": ([X, W], {}, "inputs is a list of 2; it must be a dict of name to NumPy array"),
    "empty": ({}, {}, "inputs is empty: there is nothing to differentiate with respect to"),
    "no names": ({1: X}, {}, "inputs has the key 1; keys are the names of the functions' arguments"),
    "a list": ({"x": X.tolist()}, {}, "inputs['x'] is a list of 5, not a NumPy array; hand in a NumPy array"),
    "a tensor": ({"x": torch.tensor(X)}, {}, "inputs['x'] is a Tensor, not a NumPy array; hand in its .detach().numpy()"),
    "a masked array": ({"x": np.ma.masked_array(X)}, {}, "inputs['x'] is a masked array, and PyTorch knows no masks; hand in .filled(...)"),
    "extended floats": ({"x": X.astype("g")}, {}, f"inputs['x'] has dtype {np.dtype('g')}, which PyTorch cannot hold; convert it first"),
    "complex": ({"x": X.astype(complex)}, {}, "inputs['x'] has dtype complex128; only floating, integer and boolean arrays are compared"),
    "objects": ({"x": X.astype(object)}, {}, "inputs['x'] has dtype object; only floating, integer and boolean arrays are compared"),
    "no floating input": ({"n": np.arange(3)}, {}, "no input is floating ('n'): there is nothing to differentiate with respect to"),
    "wrt of another name": (INPUTS, {"wrt": ["wx"]}, "wrt names 'wx', which is no input; did you mean 'x'?"),
    "wrt of integers": ({"x": X, "n": np.arange(3)}, {"wrt": "n"}, "wrt names 'n', which is an input of dtype int64 and has no gradient"),
    "wrt of nothing": (INPUTS, {"wrt": []}, "wrt is empty: no gradient would be compared; leave it out for every floating input"),
    "a loose tolerance": (INPUTS, {"tolerance": 1e-3}, "tolerance is 0.001; it must be 'measured', 'fixed' or an object with judge() (compare.tolerance)"),
}  # fmt: skip


@pytest.mark.parametrize(("inputs", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_input_that_cannot_be_used_is_refused_by_name(inputs, options, message):
    with pytest.raises(InputError) as caught:
        compare.gradients(by_hand, square, inputs, **options)
    assert str(caught.value) == message


def test_a_tolerance_of_ones_own_judges():
    report = compare.gradients(by_hand, square, INPUTS, tolerance=Fixed("float64"))
    assert (report.outcome, report.verdict.tolerance) == ("equivalent", "fixed")
    assert compare.gradients(by_hand, square, INPUTS).verdict.tolerance == "measured"


# -- what the design says of the call --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrt", [None, ["w"], "x"])
def test_tensors_have_the_inputs_dtypes_and_require_gradients_for_wrt(wrt):
    seen = {}

    def spy(x, w, n):
        seen.update({name: (t.dtype, t.requires_grad) for name, t in {"x": x, "w": w, "n": n}.items()})
        return square(x, w)

    inputs = {"x": np.float32(X), "w": np.float32(W), "n": np.arange(3, dtype=np.int16)}
    report = compare.gradients(lambda x, w, n: by_hand(x, w), spy, inputs, wrt=wrt)
    assert report.outcome == "equivalent", report
    asked = {"x", "w"} if wrt is None else set(wrt)
    # the last run is that in float64
    assert {name for name, (_, requires) in seen.items() if requires} == asked
    assert seen["n"] == (torch.int16, False)


def doubling(*names):
    """A function in PyTorch that doubles inputs in place."""

    def doubled(x, w, n):
        loss = square(x, w)
        with torch.no_grad():
            for name, tensor in {"x": x, "w": w, "n": n}.items():
                if name in names:
                    tensor.mul_(2)
        return loss

    return doubled


@pytest.mark.parametrize("name", ["n", "w"])
def test_a_reference_that_changes_its_inputs_is_told(name):
    given = {**INPUTS, "n": np.arange(1, 4)}
    before = {key: value.copy() for key, value in given.items()}
    report = compare.gradients(lambda x, w, n: by_hand(x, w), doubling(name), given)
    said = f"doubled changes its input '{name}' in place; work on a copy"
    assert said in report.coverage.notes
    assert report.outcome != "equivalent"
    assert all(np.array_equal(given[key], value) for key, value in before.items())


def test_a_report_has_what_the_design_names():
    report = compare.gradients(returning(w=lambda g: -g), square, INPUTS)
    assert report.outcome == "diverged"
    best = report.causes[0]
    assert (best.cause, bool(best.explanation), best.residual < 1e-9) == ("sign", True, True)
    assert report.first_divergence.checkpoint.name == "w"
    assert report.coverage.phases["accumulated"].names == {"x", "w"}
    assert "<table>" in report._repr_html_()
