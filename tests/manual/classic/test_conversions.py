"""The constants between the course, PyTorch and scikit-learn: each in both directions, and on the thing itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import torch_ref.classic
from manual import classic

ROUND_TRIPS = {
    "half": (classic.mse_from_course_cost, classic.course_cost_from_mse, ()),
    "rate": (classic.torch_rate_from_course_rate, classic.course_rate_from_torch_rate, ()),
    "sum and mean": (classic.sum_from_mean, classic.mean_from_sum, (37,)),
    "C": (classic.C_from_lambda, classic.lambda_from_C, ()),
    "C of the SVM": (classic.svm_C_from_lambda, classic.svm_lambda_from_C, ()),
    "forms of the SVM": (classic.svm_sum_form_from_mean, classic.svm_mean_from_sum_form, (0.3, 37)),
    "weight decay": (classic.weight_decay_from_lambda, classic.lambda_from_weight_decay, (37,)),
}


@pytest.mark.parametrize(("there", "back", "options"), ROUND_TRIPS.values(), ids=ROUND_TRIPS)
@pytest.mark.parametrize("value", [0.013, 1.0, 250.0])
def test_there_and_back(there, back, options, value):
    assert back(there(value, *options), *options) == pytest.approx(value, rel=1e-15)
    assert there(back(value, *options), *options) == pytest.approx(value, rel=1e-15)
    if value != 1 or options:
        assert there(value, *options) != pytest.approx(value), "a conversion that changes nothing tests nothing"


def data(classes=2):
    generator = np.random.default_rng(3)
    return generator.normal(size=(37, 4)), generator.integers(0, classes, 37)


def placed(model, seed=4):
    generator = np.random.default_rng(seed)
    model.load_parameters({name: generator.normal(size=value.shape) for name, value in model.parameters.items()})
    return model


def test_the_half():
    x, y = data()
    options = {"lambda_": 2.0, "rows": 37}
    course = placed(classic.LinearRegression(4, **options)).evaluate(x, y)
    torchs = placed(classic.LinearRegression(4, convention="torch", **options)).evaluate(x, y)
    for term in ("data", "penalty", "total"):
        assert classic.mse_from_course_cost(course.loss[term]) == pytest.approx(torchs.loss[term], rel=1e-14)
        assert classic.course_cost_from_mse(torchs.loss[term]) == pytest.approx(course.loss[term], rel=1e-14)
    for name, gradient in course.gradients.items():
        np.testing.assert_allclose(classic.mse_from_course_cost(gradient), torchs.gradients[name], rtol=1e-14)
    model = placed(classic.LinearRegression(4))
    output = torch.tensor(model.forward(x)[:, 0])
    expected = torch.nn.functional.mse_loss(output, torch.tensor(y, dtype=torch.float64)).item()
    assert classic.mse_from_course_cost(model.evaluate(x, y).loss["data"]) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_the_rates_make_the_same_steps(rate):
    x, y = data()
    course, torchs = placed(classic.LinearRegression(4)), placed(classic.LinearRegression(4, convention="torch"))
    back = placed(classic.LinearRegression(4))
    for _ in range(3):
        classic.update_simultaneously(course, x, y, rate)
        classic.update_simultaneously(torchs, x, y, classic.torch_rate_from_course_rate(rate))
    for _ in range(3):
        torch_rate = classic.torch_rate_from_course_rate(rate)
        classic.update_simultaneously(back, x, y, classic.course_rate_from_torch_rate(torch_rate))
    for name, value in course.parameters.items():
        np.testing.assert_allclose(torchs.parameters[name], value, rtol=1e-13)
        np.testing.assert_array_equal(back.parameters[name], value)


def test_sum_against_mean():
    x, y = data()
    model = placed(classic.LogisticRegression(4))
    logits, target = torch.tensor(model.forward(x)[:, 0]), torch.tensor(y, dtype=torch.float64)
    summed = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum").item()
    mean = model.evaluate(x, y).loss["data"]
    assert classic.sum_from_mean(mean, 37) == pytest.approx(summed, rel=1e-14)
    assert classic.mean_from_sum(summed, 37) == pytest.approx(mean, rel=1e-14)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_the_two_forms_of_the_svm(loss):
    x, y = data()
    C = 0.3
    course = placed(classic.LinearSVM(4, rows=37, C=C, loss=loss)).evaluate(x, y)
    mean = placed(classic.LinearSVM(4, rows=37, C=C, loss=loss, convention="mean")).evaluate(x, y)
    for term in ("data", "penalty", "total"):
        assert classic.svm_sum_form_from_mean(mean.loss[term], C, 37) == pytest.approx(course.loss[term], rel=1e-14)
        assert classic.svm_mean_from_sum_form(course.loss[term], C, 37) == pytest.approx(mean.loss[term], rel=1e-14)
    for name, gradient in mean.gradients.items():
        np.testing.assert_allclose(
            classic.svm_sum_form_from_mean(gradient, C, 37), course.gradients[name], rtol=1e-13, atol=1e-14
        )
    weight = placed(classic.LinearSVM(4, rows=37)).parameters["linear.weight"]
    lambda_ = classic.svm_lambda_from_C(C)
    assert mean.loss["penalty"] == pytest.approx(lambda_ / (2 * 37) * (weight**2).sum(), rel=1e-14)
    assert course.loss["penalty"] == pytest.approx((weight**2).sum() / 2, rel=1e-14)


@pytest.mark.parametrize("lambda_", [0.5, 4.0])
def test_weight_decay_is_lambda_over_m(lambda_):
    """SGD with weight decay on the weights alone makes the steps of the penalised cost."""
    x, y = data()
    model = placed(classic.LogisticRegression(4, lambda_=lambda_, rows=37))
    twin = torch_ref.classic.LogisticRegression(4, dtype=torch.float64)
    twin.load_state_dict({name: torch.tensor(value) for name, value in model.parameters.items()})
    decay = classic.weight_decay_from_lambda(lambda_, 37)
    assert classic.lambda_from_weight_decay(decay, 37) == pytest.approx(lambda_, rel=1e-15)
    groups = [
        {"params": [twin.linear.weight], "weight_decay": decay},
        {"params": [twin.linear.bias], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.3)
    for _ in range(4):
        optimizer.zero_grad()
        twin.loss(twin(torch.tensor(x)), torch.tensor(y)).backward()
        optimizer.step()
        classic.update_simultaneously(model, x, y, 0.3)
    for name, value in twin.state_dict().items():
        np.testing.assert_allclose(model.parameters[name], value.numpy(), rtol=1e-13)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classic.C_from_lambda(0), "lambda_ is 0; the conversion needs a positive, finite number"),
        (lambda: classic.lambda_from_C(-1.0), "C is -1.0; the conversion"),
        (lambda: classic.svm_C_from_lambda(float("inf")), "lambda_ is inf"),
        (lambda: classic.mean_from_sum(1.0, 0), "rows is 0"),
        (lambda: classic.weight_decay_from_lambda(1.0, 0), "rows is 0"),
    ],
)
def test_what_has_no_counterpart(call, message):
    with pytest.raises(ValueError, match=message):
        call()
