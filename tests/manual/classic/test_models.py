"""Every course model against its PyTorch twin, and against complex-step differences of its own cost."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import torch_ref.classic
from manual import classic

N, K, H = 5, 3, 4
LABELS = {"binary": 2, "classes": K}

# name: (class, positional arguments, keyword arguments, kind of target)
CASES = {
    "linear, course": ("LinearRegression", (N,), {}, "real"),
    "linear, torch": ("LinearRegression", (N,), {"convention": "torch"}, "real"),
    "ridge, course": ("LinearRegression", (N,), {"lambda_": 2.5, "rows": 40}, "real"),
    "ridge, torch": ("LinearRegression", (N,), {"lambda_": 2.5, "rows": 40, "convention": "torch"}, "real"),
    "logistic": ("LogisticRegression", (N,), {}, "binary"),
    "logistic, l2": ("LogisticRegression", (N,), {"lambda_": 3.0, "rows": 50}, "binary"),
    "logistic, soft targets": ("LogisticRegression", (N,), {}, "soft"),
    "one-vs-all": ("OneVsAll", (N, K), {}, "classes"),
    "one-vs-all, l2": ("OneVsAll", (N, K), {"lambda_": 0.7, "rows": 20}, "classes"),
    "softmax": ("SoftmaxRegression", (N, K), {}, "classes"),
    "softmax, l2": ("SoftmaxRegression", (N, K), {"lambda_": 0.7, "rows": 20}, "classes"),
    "svm": ("LinearSVM", (N,), {"rows": 30, "C": 0.3}, "binary"),
    "svm, mean": ("LinearSVM", (N,), {"rows": 30, "C": 0.3, "convention": "mean"}, "binary"),
    "svm, squared": ("LinearSVM", (N,), {"rows": 30, "C": 2.0, "loss": "squared_hinge"}, "binary"),
    "svm, squared, mean": (
        "LinearSVM",
        (N,),
        {"rows": 30, "C": 2.0, "loss": "squared_hinge", "convention": "mean"},
        "binary",
    ),
    "network": ("SigmoidNetwork", (N, H, 1), {}, "binary"),
    "network, classes": ("SigmoidNetwork", (N, H, K), {"lambda_": 1.5, "rows": 30}, "classes"),
    "network, targets": ("SigmoidNetwork", (N, H, 2), {}, "rows of two"),
    "network, squares": ("SigmoidNetwork", (N, H, 2), {"cost": "half_squares"}, "rows of two"),
    "network, squares, l2, frozen": (
        "SigmoidNetwork",
        (N, H, 2),
        {"cost": "half_squares", "lambda_": 1.5, "rows": 30, "freeze_biases": True},
        "rows of two",
    ),
}
DTYPES = {np.float64: (torch.float64, 1e-12), np.float32: (torch.float32, 1e-5)}

cases = pytest.mark.parametrize("case", CASES)
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def make(case, rows, dtype=np.float64, seed=0, weighted=False):
    """Build model, twin with the same random parameters, x, y and row weights."""
    name, args, options, target = CASES[case]
    generator = np.random.default_rng([seed, rows, len(case)])
    model = getattr(classic, name)(*args, dtype=dtype, **options)
    values = {key: generator.normal(size=value.shape).astype(dtype) for key, value in model.parameters.items()}
    model.load_parameters(values)
    twin = getattr(torch_ref.classic, name)(*args, dtype=DTYPES[dtype][0], **options)
    twin.load_state_dict({key: torch.tensor(value) for key, value in values.items()})
    x = generator.normal(size=(rows, N)).astype(dtype)
    if target in LABELS:
        y = generator.integers(0, LABELS[target], rows)
    elif target == "soft":
        y = generator.uniform(size=rows)
    elif target == "rows of two":
        y = generator.uniform(size=(rows, 2))
    else:
        y = 3 * generator.normal(size=rows)
    weights = generator.uniform(0.1, 3, rows).astype(dtype) if weighted else None
    return model, twin, x, y, weights


def observe(twin, x, y, weights):
    """Run the twin, and let autograd answer everything that an evaluation holds."""
    inputs, outputs = {}, {}

    def keep(path):
        def hook(module, args, output):
            inputs[path], outputs[path] = args[0], output

        return hook

    handles = [module.register_forward_hook(keep(path)) for path, module in twin.named_modules()]
    result = twin(torch.tensor(x))
    for handle in handles:
        handle.remove()
    target = torch.tensor(y)
    data = twin.loss(result, target, None if weights is None else torch.tensor(weights))
    penalty = twin.penalty(twin.named_parameters())
    total = data + penalty
    named = [(name, parameter) for name, parameter in twin.named_parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(total, [parameter for _, parameter in named], retain_graph=True)
    tensors = {(path, "output"): tensor for path, tensor in outputs.items()}
    tensors |= {(path, "input"): tensor for path, tensor in inputs.items() if tensor.requires_grad}
    activation_gradients = dict(
        zip(tensors, torch.autograd.grad(data, list(tensors.values()), retain_graph=True), strict=True)
    )
    return (
        {"data": data, "penalty": penalty, "total": total},
        dict(zip([name for name, _ in named], gradients, strict=True)),
        outputs,
        activation_gradients,
    )


def agree(actual, expected, dtype, what):
    expected = expected.detach().numpy()
    assert isinstance(actual, (np.ndarray, np.generic)), what
    assert actual.dtype == dtype, what
    assert actual.shape == expected.shape, what
    scale = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=DTYPES[dtype][1] * max(scale, 1e-3), err_msg=str(what))


@cases
@dtypes
@pytest.mark.parametrize("rows", [1, 2, 33])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_everything_against_autograd(case, dtype, rows, weighted):
    model, twin, x, y, weights = make(case, rows, dtype, weighted=weighted)
    loss, gradients, activations, activation_gradients = observe(twin, x, y, weights)
    evaluation = model.evaluate(x, y, weights)
    assert set(evaluation.loss) == {"data", "denominator", "penalty", "total"}
    for name, value in loss.items():
        agree(evaluation.loss[name], value, dtype, name)
    assert evaluation.loss["denominator"] == (rows if weights is None else weights.sum())
    assert evaluation.gradients.keys() == gradients.keys()
    for name, value in gradients.items():
        agree(evaluation.gradients[name], value, dtype, name)
    assert list(evaluation.activations) == list(activations), "modules in order of execution"
    for name, value in activations.items():
        agree(evaluation.activations[name], value, dtype, name)
    known = evaluation.activation_gradients
    assert [path for path, end in known if end == "output"] == list(reversed(activations)), "in backward order"
    for name, value in model.gradients(x, y, weights).items():
        agree(value, gradients[name], dtype, name)
    # the root's and the first module's inputs are the data, which need no gradient
    assert known.keys() == activation_gradients.keys()
    for name, value in activation_gradients.items():
        agree(known[name], value, dtype, name)


@cases
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_gradients_against_complex_steps(case, weighted):
    model, _, x, y, weights = make(case, 17, seed=1, weighted=weighted)
    evaluation = model.evaluate(x, y, weights)
    for name, gradient in evaluation.gradients.items():
        for index in np.ndindex(gradient.shape):
            moved = {key: value.astype(complex) for key, value in model.parameters.items()}
            moved[name][index] += 1e-30j
            slope = model.cost(x, y, weights, moved).imag / 1e-30
            assert abs(slope - gradient[index]) <= 1e-12 * max(1, np.abs(gradient).max()), (name, index)
    assert model.cost(x, y, weights) == evaluation.loss["total"]


@cases
def test_micro_batches_add_up_to_the_batch(case):
    """Also the penalty: each micro-batch has all of it, and the weights add up to one."""
    model, _, x, y, _ = make(case, 11)
    whole = model.evaluate(x, y)
    parts = [(slice(0, 4), 4 / 11), (slice(4, 10), 6 / 11), (slice(10, 11), 1 / 11)]
    evaluations = [(model.evaluate(x[rows], y[rows]), weight) for rows, weight in parts]
    for name, gradient in whole.gradients.items():
        summed = sum(weight * part.gradients[name] for part, weight in evaluations)
        np.testing.assert_allclose(summed, gradient, rtol=1e-12, atol=1e-13)
    total = sum(weight * part.loss["total"] for part, weight in evaluations)
    np.testing.assert_allclose(total, whole.loss["total"], rtol=1e-13)


@cases
def test_nothing_given_is_written_to(case):
    model, _, x, y, weights = make(case, 9, weighted=True)
    copies = [x.copy(), y.copy(), weights.copy()] + [value.copy() for value in model.parameters.values()]
    for array in (x, y, weights):
        array.setflags(write=False)
    first = model.evaluate(x, y, weights)
    second = model.evaluate(x, y, weights)
    for before, after in zip(copies, [x, y, weights, *model.parameters.values()], strict=True):
        np.testing.assert_array_equal(before, after)
    for name, gradient in first.gradients.items():
        np.testing.assert_array_equal(gradient, second.gradients[name])
        assert gradient is not second.gradients[name]


@cases
def test_predict_and_accuracy_are_the_twins(case):
    model, twin, x, y, _ = make(case, 40)
    answers = model.predict(x)
    np.testing.assert_allclose(answers, twin.predict(torch.tensor(x)).numpy(), rtol=1e-12)
    if CASES[case][3] in LABELS or CASES[case][3] == "real":
        assert model.accuracy(x, y) == pytest.approx(twin.accuracy(torch.tensor(x), torch.tensor(y)), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
@cases
def test_other_dtypes_stay_what_they_are(case, dtype):
    model, _, x, y, _ = make(case, 6)
    other = getattr(classic, CASES[case][0])(*CASES[case][1], dtype=dtype, **CASES[case][2])
    other.load_parameters(model.parameters)
    evaluation = other.evaluate(x, y)
    arrays = [*evaluation.gradients.values(), *evaluation.activations.values(), *evaluation.loss.values()]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}
    reference = model.evaluate(x, y)
    tolerance = 0.02 if dtype == np.float16 else 1e-13
    for name, gradient in reference.gradients.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(evaluation.gradients[name].astype(float), gradient, atol=tolerance * scale, rtol=0)


@pytest.mark.parametrize("case", ["logistic", "one-vs-all", "network", "network, squares", "network, classes"])
@dtypes
def test_saturated_units(case, dtype):
    """Logits of +-800: no overflow (warnings are errors), a finite loss, autograd's gradients."""
    model, twin, x, y, _ = make(case, 8, dtype)
    x = np.sign(x)
    for name in model.parameters:
        if name.startswith("hidden"):
            model.parameters[name] *= 400
        elif name.endswith("weight"):
            model.parameters[name][...] = 160 * np.sign(model.parameters[name])
    twin.load_state_dict({name: torch.tensor(value) for name, value in model.parameters.items()})
    loss, gradients, activations, _ = observe(twin, x, y, None)
    assert max(float(value.detach().abs().max()) for value in activations.values()) > 300
    evaluation = model.evaluate(x, y)
    assert np.isfinite(evaluation.loss["total"])
    agree(evaluation.loss["total"], loss["total"], dtype, "total")
    for name, value in gradients.items():
        agree(evaluation.gradients[name], value, dtype, name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_logits_of_800_by_hand(dtype):
    """Two rows right, two rows wrong: the loss is 800 for each wrong one, and the slopes are exactly 0 and +-1."""
    model = classic.LogisticRegression(1, dtype=dtype)
    model.parameters["linear.weight"][...] = 800
    x = np.array([[1], [-1], [1], [-1]], dtype)
    evaluation = model.evaluate(x, np.array([1, 0, 0, 1]))
    assert evaluation.loss["data"] == 400
    np.testing.assert_array_equal(evaluation.activation_gradients["linear", "output"][:, 0], [0, 0, 0.25, -0.25])
    np.testing.assert_array_equal(evaluation.gradients["linear.weight"], [[0.5]])
    np.testing.assert_array_equal(evaluation.gradients["linear.bias"], [0])


def test_tiny_losses_keep_their_digits():
    model = classic.LogisticRegression(1)
    model.parameters["linear.weight"][...] = 40
    loss = model.evaluate(np.array([[1.0], [-1.0]]), np.array([1, 0])).loss["data"]
    assert loss == pytest.approx(np.exp(-40), rel=1e-14, abs=0)
    np.testing.assert_allclose(
        classic.sigmoid(np.array([-700.0, -40.0, 0.0, 40.0])), [np.exp(-700), np.exp(-40), 0.5, 1], rtol=1e-14
    )


def test_saturated_softmax():
    model = classic.SoftmaxRegression(1, 3)
    model.parameters["linear.weight"][...] = [[800], [0], [-800]]
    evaluation = model.evaluate(np.array([[1.0], [1.0]]), np.array([0, 2]))
    assert evaluation.loss["data"] == 800
    np.testing.assert_array_equal(evaluation.gradients["linear.weight"], [[0.5], [0], [-0.5]])
    np.testing.assert_array_equal(model.predict_probability(np.array([[1.0]])), [[1, 0, 0]])


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_the_kink_of_the_hinge(loss):
    """Exactly on the margin the slope is 0, as for torch.relu; torch.clamp would say otherwise."""
    x, y = np.array([[1.0], [-1.0], [0.5]]), np.array([1, 0, 1])
    model = classic.LinearSVM(1, rows=3, loss=loss, convention="mean")
    model.parameters["linear.weight"][...] = 1
    delta = model.evaluate(x, y).activation_gradients["linear", "output"][:, 0]
    np.testing.assert_allclose(delta, [0, 0, -1 / 3])
    z = torch.tensor(x[:, 0], requires_grad=True)
    signs = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    torch.clamp(1 - signs * z, min=0).mean().backward()
    np.testing.assert_allclose(z.grad, [-1 / 3, 1 / 3, -1 / 3])


def test_one_vs_all_is_independent_logistic_regressions():
    model, _, x, y, _ = make("one-vs-all, l2", 25)
    whole = model.evaluate(x, y)
    total = 0.0
    for head in range(K):
        alone = classic.LogisticRegression(N, lambda_=0.7, rows=20)
        alone.parameters["linear.weight"][...] = model.parameters["linear.weight"][head]
        alone.parameters["linear.bias"][...] = model.parameters["linear.bias"][head]
        evaluation = alone.evaluate(x, y == head)
        total += evaluation.loss["total"]
        np.testing.assert_allclose(evaluation.gradients["linear.weight"][0], whole.gradients["linear.weight"][head])
        np.testing.assert_allclose(evaluation.gradients["linear.bias"][0], whole.gradients["linear.bias"][head])
        np.testing.assert_allclose(alone.predict_probability(x), model.predict_probability(x)[:, head])
    assert total == pytest.approx(whole.loss["total"])


def test_softmax_of_two_classes_is_logistic_regression():
    """Its logit is the difference of the two."""
    _, _, x, _, _ = make("softmax", 12)
    y = np.random.default_rng(5).integers(0, 2, 12)
    softmax, logistic = classic.SoftmaxRegression(N, 2), classic.LogisticRegression(N)
    weight = np.random.default_rng(6).normal(size=(2, N))
    softmax.parameters["linear.weight"][...] = weight
    logistic.parameters["linear.weight"][...] = weight[1] - weight[0]
    np.testing.assert_allclose(softmax.predict_probability(x)[:, 1], logistic.predict_probability(x))
    np.testing.assert_allclose(
        softmax.evaluate(x, y).gradients["linear.weight"][1], logistic.evaluate(x, y).gradients["linear.weight"][0]
    )


def test_through_changes_the_hidden_layer_only():
    model, _, x, y, _ = make("network, squares", 6)
    right, same = model.evaluate(x, y), model.evaluate(x, y, through=model.parameters["output.weight"])
    wrong = model.evaluate(x, y, through=2 * model.parameters["output.weight"])
    for name in model.parameters:
        np.testing.assert_array_equal(right.gradients[name], same.gradients[name])
        factor = 2 if name.startswith("hidden") else 1
        np.testing.assert_allclose(wrong.gradients[name], factor * right.gradients[name])


def test_column_targets_are_taken_as_vectors():
    """(m, 1) beside (m,) must not become (m, m)."""
    for case in ("linear, course", "logistic", "svm", "network"):
        model, _, x, y, _ = make(case, 7)
        assert model.evaluate(x, y[:, None]).loss["total"] == model.evaluate(x, y).loss["total"]


REFUSED = {
    "too few columns": ("logistic", {"x": np.zeros((4, 3))}, r"x has shape \(4, 3\), expected \(m, 5\)"),
    "a vector": ("logistic", {"x": np.zeros(5)}, r"x has shape \(5,\), expected \(m, 5\)"),
    "no rows": ("linear, course", {"x": np.zeros((0, 5)), "y": []}, r"x has shape \(0, 5\).*at least one row"),
    "targets": ("svm", {"y": np.zeros(3)}, r"y has shape \(3,\), expected \(4,\), one target for each row"),
    "labels": ("softmax", {"y": np.zeros(3, int)}, r"y has shape \(3,\), expected \(4,\), one label for each row"),
    "label too large": ("softmax", {"y": np.array([0, 1, 2, 3])}, "y has the label 3; there are 3 classes, 0 to 2"),
    "label negative": ("one-vs-all", {"y": np.array([0, 1, 2, -1])}, "y has the label -1; there are 3 classes"),
    "label not whole": ("one-vs-all", {"y": np.array([0, 1, 2, 0.5])}, "not whole numbers, such as 0.5"),
    "network targets": ("network, squares", {"y": np.zeros((4, 3))}, r"y has shape \(4, 3\), expected \(4, 2\)"),
    "weights": ("logistic", {"weights": np.ones(3)}, r"weights have shape \(3,\), expected \(4,\)"),
    "weights of zero": ("logistic", {"weights": np.zeros(4)}, "weights add up to 0.0; .* needs a positive sum"),
}


@pytest.mark.parametrize(("case", "changed", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(case, changed, message):
    model, _, x, y, _ = make(case, 4)
    with pytest.raises(ValueError, match=message):
        model.evaluate(**{"x": x, "y": y} | changed)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: classic.LogisticRegression(2, lambda_=1.0), "needs the number of rows of the whole training set"),
        (lambda: classic.LogisticRegression(2, lambda_=-1.0, rows=3), "lambda_ is -1.0; it must be zero or positive"),
        (lambda: classic.LogisticRegression(2, lambda_=float("nan"), rows=3), "lambda_ is nan"),
        (lambda: classic.LogisticRegression(2, dtype=int), "dtype is int64; a model needs a floating one"),
        (
            lambda: classic.LinearRegression(2, convention="half"),
            "convention is 'half'; it is one of 'course'",
        ),
        (lambda: classic.LinearSVM(2, rows=3, C=0.0), "C is 0.0; it must be positive"),
        (lambda: classic.LinearSVM(2, rows=0), "rows is 0"),
        (lambda: classic.LinearSVM(2, rows=3, loss="log"), "loss is 'log'; it is one of 'hinge', 'squared_hinge'"),
        (lambda: classic.SigmoidNetwork(2, 2, 1, cost="squares"), "cost is 'squares'; it is one of 'cross_entropy'"),
        (lambda: classic.gate("XNOR"), "gate is 'XNOR'; it is one of 'AND', 'OR', 'NOR'"),
    ],
)
def test_constructors_refuse(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_load_parameters():
    model = classic.LogisticRegression(2)
    kept = model.parameters["linear.weight"]
    model.load_parameters({"linear.weight": [[1, 2]], "linear.bias": [3]})
    assert model.parameters["linear.weight"] is kept
    assert kept.tolist() == [[1, 2]]
    with pytest.raises(KeyError, match=r"parameters are \['linear.bias', 'linear.weight'\], but got \['linear.bias'\]"):
        model.load_parameters({"linear.bias": [3]})
    with pytest.raises(ValueError, match=r"linear.weight: expected shape \(1, 2\), got \(2,\)"):
        model.load_parameters({"linear.weight": [1, 2], "linear.bias": [3]})


@pytest.mark.parametrize("case", ["logistic", "svm", "network"])
def test_a_tie_is_answered_with_class_1(case):
    """Both wings say so, at the very point."""
    model, twin, x, _, _ = make(case, 3)
    for name in model.parameters:
        model.parameters[name][...] = 0
    twin.load_state_dict({name: torch.tensor(value) for name, value in model.parameters.items()})
    assert model.predict(x).tolist() == twin.predict(torch.tensor(x)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("case", ["softmax", "one-vs-all"])
def test_a_tie_of_classes_is_answered_with_the_first(case):
    model, _, x, _, _ = make(case, 3)
    for name in model.parameters:
        model.parameters[name][...] = 0
    assert model.predict(x).tolist() == [0, 0, 0]


def test_labels_may_be_a_column_or_whole_floats():
    for case in ("softmax", "one-vs-all"):
        model, _, x, y, _ = make(case, 7)
        expected = model.evaluate(x, y).loss["total"]
        assert model.evaluate(x, y[:, None]).loss["total"] == expected
        assert model.evaluate(x, y.astype(float)).loss["total"] == expected


def test_defaults_and_a_training_set_of_one_row():
    x, y = np.array([[2.0]]), np.array([0])
    svm = classic.LinearSVM(1, rows=1)
    svm.parameters["linear.weight"][...] = 3
    assert svm.evaluate(x, y).loss["total"] == 7 + 4.5, "C = 1, hinge, the course's convention"
    ridge = classic.LinearRegression(1, lambda_=2.0, rows=1)
    ridge.parameters["linear.weight"][...] = 3
    assert ridge.evaluate(x, y).loss["total"] == 18 + 9, "the course's convention"
