"""A third party: scikit-learn's solvers reach the optimum that gradient descent on the course's costs reaches."""

from __future__ import annotations

import numpy as np
import pytest

from manual import classic

pytest.importorskip("sklearn", reason="scikit-learn is the third party of these tests (the extra 'test' has it)")

from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC, LinearSVC


def standardised(loader, columns=slice(None)):
    x, y = loader(return_X_y=True)
    x = x[:, columns]
    return np.ascontiguousarray((x - x.mean(0)) / x.std(0)), y


def parameters_of(estimator):
    return {
        "linear.weight": np.atleast_2d(estimator.coef_),
        "linear.bias": np.atleast_1d(np.asarray(estimator.intercept_, float)),
    }


def same_optimum(model, x, y, parameters, *, cost=1e-10, atol=1e-6):
    """Our descent ended at the other's parameters, and at its cost in our own reckoning."""
    assert model.cost(x, y) == pytest.approx(model.cost(x, y, parameters=parameters), rel=cost)
    for name, value in parameters.items():
        np.testing.assert_allclose(model.parameters[name], value, rtol=0, atol=atol * np.abs(value).max(), err_msg=name)


def descend(model, x, y, rate, tolerance=1e-9, limit=60_000):
    """Descend until every gradient is small beside what it is at zero."""
    start = max(np.abs(gradient).max() for gradient in model.gradients(x, y).values())
    for _ in range(limit):
        gradients = model.gradients(x, y)
        if max(np.abs(gradient).max() for gradient in gradients.values()) <= tolerance * start:
            return
        for name, gradient in gradients.items():
            model.parameters[name] -= rate * gradient
    raise AssertionError(f"no optimum after {limit} steps")


@pytest.mark.parametrize("lambda_", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("convention", ["course", "torch"])
def test_ridge(lambda_, convention):
    """``Ridge(alpha)`` minimises ``sum r^2 + alpha |w|^2``: alpha is the course's lambda in either convention."""
    x, y = standardised(load_diabetes)
    expected = parameters_of(Ridge(alpha=lambda_).fit(x, y))
    model = classic.LinearRegression(10, lambda_=lambda_, rows=442, convention=convention)
    descend(model, x, y, 0.1 if convention == "torch" else 0.2)
    same_optimum(model, x, y, expected)
    solved = classic.normal_equations(x, y, lambda_)
    for name, value in expected.items():
        np.testing.assert_allclose(solved[name], value, rtol=1e-9)


def test_linear_regression_and_its_score():
    x, y = standardised(load_diabetes)
    estimator = LinearRegression().fit(x, y)
    model = classic.LinearRegression(10)
    model.load_parameters(classic.normal_equations(x, y))
    same_optimum(model, x, y, parameters_of(estimator))
    assert model.accuracy(x, y) == pytest.approx(estimator.score(x, y), rel=1e-12)


@pytest.mark.parametrize("C", [0.01, 0.1])
def test_logistic_regression(C):
    x, y = standardised(load_breast_cancer)
    estimator = LogisticRegression(C=C, tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(x, y)
    model = classic.LogisticRegression(30, lambda_=classic.lambda_from_C(C), rows=569)
    descend(model, x, y, 0.5)
    same_optimum(model, x, y, parameters_of(estimator))
    np.testing.assert_allclose(model.predict_probability(x), estimator.predict_proba(x)[:, 1], atol=1e-6)
    assert model.accuracy(x, y) == estimator.score(x, y)


def test_one_vs_rest():
    x, y = standardised(load_iris)
    solver = LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
    heads = OneVsRestClassifier(solver).fit(x, y)
    model = classic.OneVsAll(4, 3, lambda_=classic.lambda_from_C(0.5), rows=150)
    descend(model, x, y, 1.0)
    expected = {
        "linear.weight": np.concatenate([head.coef_ for head in heads.estimators_]),
        "linear.bias": np.concatenate([head.intercept_ for head in heads.estimators_]),
    }
    same_optimum(model, x, y, expected)
    np.testing.assert_array_equal(model.predict(x), heads.predict(x))


def test_softmax_regression():
    """The biases, which nothing penalises, are determined only up to one number added to all."""
    x, y = standardised(load_iris)
    estimator = LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000, solver="lbfgs").fit(x, y)
    model = classic.SoftmaxRegression(4, 3, lambda_=classic.lambda_from_C(0.5), rows=150)
    descend(model, x, y, 1.0)
    model.parameters["linear.bias"] -= model.parameters["linear.bias"].mean()
    expected = parameters_of(estimator)
    expected["linear.bias"] = expected["linear.bias"] - expected["linear.bias"].mean()
    same_optimum(model, x, y, expected, atol=1e-4)
    np.testing.assert_array_equal(model.predict(x), estimator.predict(x))


@pytest.mark.parametrize("C", [0.001, 0.01])
def test_squared_hinge(C):
    """liblinear penalises the intercept, by ``(b / intercept_scaling)^2 / 2``: a large scaling makes that vanish."""
    x, y = standardised(load_breast_cancer)
    estimator = LinearSVC(C=C, loss="squared_hinge", dual=False, tol=1e-12, max_iter=100_000, intercept_scaling=1e3)
    estimator.fit(x, y)
    model = classic.LinearSVM(30, rows=569, C=C, loss="squared_hinge", convention="mean")
    descend(model, x, y, 0.05)
    same_optimum(model, x, y, parameters_of(estimator), atol=1e-5)
    assert model.accuracy(x, y) == estimator.score(x, y)


def test_liblinear_does_penalise_the_intercept():
    """With the default scaling of 1 its optimum is another one: the intercept has been pulled towards zero."""
    x, y = standardised(load_breast_cancer)
    estimator = LinearSVC(C=0.001, loss="squared_hinge", dual=False, tol=1e-12, max_iter=100_000).fit(x, y)
    model = classic.LinearSVM(30, rows=569, C=0.001, loss="squared_hinge", convention="mean")
    descend(model, x, y, 0.05)
    assert abs(estimator.intercept_[0]) < 0.9 * abs(model.parameters["linear.bias"][0])


@pytest.mark.parametrize("C", [0.01, 0.05])
def test_hinge(C):
    """Subgradients of 1 / (lambda t), averaged (Shamir and Zhang 2013), come as near as a method of that kind comes.

    ``SVC`` (libsvm) leaves the intercept out of the penalty; ``LinearSVC`` (liblinear) needs a large scaling for that.
    """
    x, y = standardised(load_breast_cancer)
    libsvm = parameters_of(SVC(kernel="linear", C=C, tol=1e-10).fit(x, y))
    liblinear = LinearSVC(C=C, loss="hinge", tol=1e-10, max_iter=1_000_000, intercept_scaling=30, random_state=0)
    liblinear.fit(x, y)
    model = classic.LinearSVM(30, rows=569, C=C, convention="mean")
    pull = classic.weight_decay_from_lambda(classic.svm_lambda_from_C(C), 569)
    mean = {name: np.zeros_like(value) for name, value in model.parameters.items()}
    for step in range(1, 20_001):
        for name, gradient in model.gradients(x, y).items():
            model.parameters[name] -= gradient / (pull * (step + 20))
            mean[name] += 2 / (step + 1) * (model.parameters[name] - mean[name])
    model.load_parameters(mean)
    lowest = model.cost(x, y, parameters=libsvm)
    assert lowest * (1 - 1e-9) <= model.cost(x, y) <= lowest * (1 + 1e-4)
    assert model.cost(x, y, parameters=parameters_of(liblinear)) == pytest.approx(lowest, rel=1e-5)
    for name, value in libsvm.items():
        np.testing.assert_allclose(model.parameters[name], value, rtol=0, atol=0.02, err_msg=name)
    assert model.accuracy(x, y) == pytest.approx(liblinear.score(x, y), abs=2 / 569)
