"""The twins: torch.nn's own losses, the names that the manual wing answers to, and the conventions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from torch_ref import classic

N, K, M = 4, 3, 11


def data(target, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(M, N, generator=generator, dtype=torch.float64)
    if target == "real":
        return x, torch.randn(M, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, {"binary": 2, "classes": K}[target], (M,), generator=generator)


CASES = {
    "linear, course": (
        lambda: classic.LinearRegression(N, dtype=torch.float64),
        "real",
        lambda z, y: nn.MSELoss()(z[:, 0], y) / 2,
    ),
    "linear, torch": (
        lambda: classic.LinearRegression(N, convention="torch", dtype=torch.float64),
        "real",
        lambda z, y: nn.MSELoss()(z[:, 0], y),
    ),
    "logistic": (
        lambda: classic.LogisticRegression(N, dtype=torch.float64),
        "binary",
        lambda z, y: nn.BCELoss()(torch.sigmoid(z[:, 0]), y.double()),
    ),
    "one-vs-all": (
        lambda: classic.OneVsAll(N, K, dtype=torch.float64),
        "classes",
        lambda z, y: sum(nn.BCEWithLogitsLoss()(z[:, k], (y == k).double()) for k in range(K)),
    ),
    "softmax": (
        lambda: classic.SoftmaxRegression(N, K, dtype=torch.float64),
        "classes",
        lambda z, y: nn.NLLLoss()(torch.log_softmax(z, 1), y),
    ),
    "svm": (
        lambda: classic.LinearSVM(N, rows=M, C=0.5, dtype=torch.float64),
        "binary",
        lambda z, y: 0.5 * nn.HingeEmbeddingLoss(margin=1, reduction="sum")((2 * y - 1) * z[:, 0], -torch.ones(M)),
    ),
    "svm, mean, squared": (
        lambda: classic.LinearSVM(N, rows=M, C=0.5, convention="mean", loss="squared_hinge", dtype=torch.float64),
        "binary",
        lambda z, y: (
            nn.HingeEmbeddingLoss(margin=1, reduction="none")((2 * y - 1) * z[:, 0], -torch.ones(M)).square().mean()
        ),
    ),
    "network": (
        lambda: classic.SigmoidNetwork(N, 5, 1, dtype=torch.float64),
        "binary",
        lambda z, y: nn.BCELoss()(torch.sigmoid(z[:, 0]), y.double()),
    ),
    "network, classes": (
        lambda: classic.SigmoidNetwork(N, 5, K, dtype=torch.float64),
        "classes",
        lambda z, y: K * nn.BCELoss()(torch.sigmoid(z), nn.functional.one_hot(y, K).double()),
    ),
    "network, squares": (
        lambda: classic.SigmoidNetwork(N, 5, K, cost="half_squares", dtype=torch.float64),
        "classes",
        lambda a, y: K / 2 * nn.MSELoss()(a, nn.functional.one_hot(y, K).double()),
    ),
}

cases = pytest.mark.parametrize(("build", "target", "loss"), CASES.values(), ids=CASES)


@cases
def test_the_loss_is_torch_nns(build, target, loss):
    model = build()
    x, y = data(target)
    torch.testing.assert_close(model.loss(model(x), y), loss(model(x), y), rtol=1e-13, atol=0)


@cases
def test_weights_count_rows(build, target, loss):
    """A row of weight 2 is a row that is there twice."""
    model = build()
    x, y = data(target)
    counts = torch.tensor([1, 2, 3, 1, 1, 2, 1, 1, 1, 4, 1])
    weighted = model.loss(model(x), y, counts.double())
    repeated = model.loss(model(x.repeat_interleave(counts, 0)), y.repeat_interleave(counts))
    torch.testing.assert_close(weighted, repeated, rtol=1e-13, atol=0)


@cases
def test_accuracy(build, target, loss):
    model = build()
    x, y = data(target)
    answers = model.predict(x)
    assert answers.shape == (M,)
    if target == "real":
        ss = torch.nn.functional.mse_loss(answers, y) / y.var(correction=0)
        assert model.accuracy(x, y) == pytest.approx(1 - ss.item(), rel=1e-12)
    else:
        assert model.accuracy(x, answers) == 1
        assert model.accuracy(x, y) == pytest.approx(sum((answers == y).tolist()) / M)


PENALISED = {
    "course": (lambda: classic.LinearRegression(N, lambda_=3.0, rows=20), 3 / 40),
    "torch": (lambda: classic.LinearRegression(N, lambda_=3.0, rows=20, convention="torch"), 3 / 20),
    "logistic": (lambda: classic.LogisticRegression(N, lambda_=3.0, rows=20), 3 / 40),
    "one-vs-all": (lambda: classic.OneVsAll(N, K, lambda_=3.0, rows=20), 3 / 40),
    "softmax": (lambda: classic.SoftmaxRegression(N, K, lambda_=3.0, rows=20), 3 / 40),
    "network": (lambda: classic.SigmoidNetwork(N, 2, K, lambda_=3.0, rows=20), 3 / 40),
    "svm": (lambda: classic.LinearSVM(N, rows=20, C=0.5), 1 / 2),
    "svm, mean": (lambda: classic.LinearSVM(N, rows=20, C=0.5, convention="mean"), 1 / (2 * 0.5 * 20)),
    "none": (lambda: classic.LogisticRegression(N), 0.0),
}


@pytest.mark.parametrize(("build", "factor"), PENALISED.values(), ids=PENALISED)
def test_the_penalty_leaves_the_biases_out(build, factor):
    model = build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    squares = sum(module.weight.square().sum() for module in model.modules() if isinstance(module, nn.Linear))
    torch.testing.assert_close(model.penalty(), factor * squares)
    torch.testing.assert_close(model.penalty(model.named_parameters()), model.penalty())
    biases = [parameter for name, parameter in model.named_parameters() if name.endswith("bias")]
    assert torch.autograd.grad(model.penalty(), biases, allow_unused=True) == (None,) * len(biases)


def test_names():
    assert list(classic.LogisticRegression(N).state_dict()) == ["linear.weight", "linear.bias"]
    network = classic.SigmoidNetwork(N, 5, K, cost="half_squares")
    assert list(network.state_dict()) == ["hidden.weight", "hidden.bias", "output.weight", "output.bias"]
    paths = [path for path, _ in network.named_modules()]
    assert paths == ["", "hidden", "hidden_sigmoid", "output", "output_sigmoid"]
    assert "output_sigmoid" not in dict(classic.SigmoidNetwork(N, 5, K).named_modules())


def test_frozen_biases_get_no_gradient():
    model = classic.SigmoidNetwork(N, 5, K, freeze_biases=True, dtype=torch.float64)
    x, y = data("classes")
    model.loss(model(x), y).backward()
    assert {name: parameter.grad is None for name, parameter in model.named_parameters()} == {
        "hidden.weight": False,
        "hidden.bias": True,
        "output.weight": False,
        "output.bias": True,
    }


def test_the_kink_of_the_hinge():
    """Exactly on the margin autograd answers 0."""
    model = classic.LinearSVM(1, rows=3, convention="mean", dtype=torch.float64)
    z = torch.tensor([[1.0], [-1.0], [0.5]], dtype=torch.float64, requires_grad=True)
    model.loss(z, torch.tensor([1, 0, 1])).backward()
    torch.testing.assert_close(z.grad[:, 0], torch.tensor([0, 0, -1 / 3], dtype=torch.float64))


@pytest.mark.parametrize(
    "build",
    [lambda: classic.LogisticRegression(N, lambda_=1.0), lambda: classic.SigmoidNetwork(N, 2, 1, lambda_=1.0)],
)
def test_a_penalty_needs_the_rows(build):
    with pytest.raises(ValueError, match="needs the number of rows of the whole training set: rows=m"):
        build()
