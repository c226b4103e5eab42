"""Losses of pairs, triplets, several labels and likelihoods, and distances, as modules against torch.nn."""

import inspect
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

import manual
from compare.cli import cli
from manual import nn
from manual.nn import functional

from ..oracle import check, check_central, random

a, b, c = (random(5, 3, seed=seed) for seed in (1, 2, 3))
signs = np.array([1.0, -1.0, -1.0, 1.0, -1.0])
shares = random(5, 3, low=0.0, high=1.0, seed=8)
variances = random(5, 3, low=0.3, high=2.0, seed=9)
several = np.array([[2, 0, -1], [1, -1, -1], [-1, -1, -1], [0, 1, 2], [1, 1, -1]])
weights = random(3, low=0.3, high=2.0, seed=11).astype(np.float32)

MODULES = [  # name, options, inputs, constants, what the mean divides by
    ("MarginRankingLoss", {"margin": 0.7}, [a, b], [signs[:, None]], 15),
    ("HingeEmbeddingLoss", {"margin": 0.4}, [a], [np.where(b > 0, 1.0, -1.0)], 15),
    ("CosineEmbeddingLoss", {"margin": -0.6}, [a, b], [signs], 5),
    ("MultiLabelMarginLoss", {}, [a], [several], 5),
    ("MultiLabelSoftMarginLoss", {"weight": weights}, [a], [shares], 5),
    ("MultiLabelSoftMarginLoss", {}, [random(2, 3, 4)], [random(2, 3, 4, low=0, high=1)], 6),
    ("GaussianNLLLoss", {"full": True, "eps": 0.5}, [a, b, variances], [], 15),
    ("PoissonNLLLoss", {"full": True}, [a], [shares * 9], 15),
    ("PoissonNLLLoss", {"log_input": False, "eps": 0.2}, [variances], [shares * 9], 15),
    ("TripletMarginLoss", {"margin": 2.0, "p": 3.0, "eps": 0.1, "swap": True}, [a, b, c], [], 5),
    ("TripletMarginWithDistanceLoss", {"margin": 2.0, "swap": True}, [a, b, c], [], 5),
]
NAMES = sorted({name for name, *_ in MODULES})
DISTANCES = [
    ("CosineSimilarity", {}, [a, b]),
    ("CosineSimilarity", {"dim": 0, "eps": 2.0}, [a, b]),
    ("CosineSimilarity", {"dim": -1}, [random(2, 4, 3), random(4, 3)]),
    ("PairwiseDistance", {}, [a, b]),
    ("PairwiseDistance", {"p": 1.0, "eps": 0.1, "keepdim": True}, [a, b]),
    ("PairwiseDistance", {"p": math.inf}, [random(2, 4, 3), random(3)]),
]


def both(name, options):
    other = {key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}
    return getattr(nn, name)(**options), getattr(torch.nn, name)(**other)


def typed(modules, dtype):
    return modules[0].to(dtype), modules[1].to(getattr(torch, dtype))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("name", "options", "inputs", "constants", "divisor"), MODULES, ids=str)
def test_losses_as_modules(name, options, inputs, constants, divisor, reduction, dtype):
    mine, other = typed(both(name, {**options, "reduction": reduction}), dtype)
    check(mine, other, inputs, dtype, constants, factor=4)
    check(mine.eval(), other.eval(), inputs, dtype, constants, factor=4)


@pytest.mark.parametrize(("name", "options", "inputs", "constants", "divisor"), MODULES, ids=str)
def test_a_loss_knows_what_its_mean_divides_by(name, options, inputs, constants, divisor):
    mean, total = (getattr(nn, name)(**options, reduction=reduction).to("float64") for reduction in ("mean", "sum"))
    arguments = [manual.tensor(x) for x in inputs] + constants
    assert mean.denominator(*arguments) == divisor
    assert mean.denominator(*[np.asarray(getattr(x, "data", x)) for x in arguments]) == divisor
    assert mean(*arguments).item() == pytest.approx(total(*arguments).item() / divisor, rel=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options", "inputs"), DISTANCES, ids=str)
def test_distances_as_modules(name, options, inputs, dtype):
    mine, other = typed(both(name, options), dtype)
    gradients, seeds = check(mine, other, inputs, dtype, factor=4)
    if dtype == "float64" and "eps" not in options:
        check_central(mine, inputs, gradients, seeds)


@pytest.mark.parametrize(("name", "options"), [(name, options) for name, options, *_ in MODULES + DISTANCES], ids=str)
def test_state_and_attributes_are_torchs(name, options):
    mine, other = both(name, options)
    assert list(mine.state_dict()) == list(other.state_dict())
    for key, value in mine.state_dict().items():
        np.testing.assert_array_equal(value, other.state_dict()[key].numpy())
    assert repr(mine) == repr(other)
    for attribute, value in vars(other).items():
        if not attribute.startswith("_") and attribute != "training":
            assert getattr(mine, attribute) == value, attribute


@pytest.mark.parametrize("name", [*NAMES, "CosineSimilarity", "PairwiseDistance"])
def test_constructors_and_calls_take_torchs_arguments(name):
    for method in ("__init__", "forward"):
        mine = inspect.signature(getattr(getattr(nn, name), method)).parameters.values()
        other = inspect.signature(getattr(getattr(torch.nn, name), method)).parameters.values()
        wanted = [p for p in other if p.name not in ("size_average", "reduce")]
        assert [(p.name, p.default, p.kind) for p in mine] == [(p.name, p.default, p.kind) for p in wanted]


@pytest.mark.parametrize("name", ["cosine_similarity", "pairwise_distance", "pdist"])
def test_distances_as_functions(name):
    inputs = [a, b] if name in ("cosine_similarity", "pairwise_distance") else [a]
    check(getattr(functional, name), getattr(F, name), inputs)


def test_weights_of_labels_are_a_buffer():
    loss = nn.MultiLabelSoftMarginLoss(weights.copy())
    assert [key for key, _ in loss.named_buffers()] == ["weight"]
    doubled = nn.MultiLabelSoftMarginLoss(weights.copy())
    doubled.load_state_dict({"weight": 2 * weights})
    x, y = manual.tensor(a.astype(np.float32)), shares.astype(np.float32)
    assert doubled(x, y).item() == pytest.approx(2 * loss(x, y).item(), rel=1e-6)


def squared(wing):
    return lambda first, second: ((first - second) * (first - second)).sum(-1)


def summed(wing):
    return lambda first, second: wing.exp(first * second).sum()


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("distance", "divisor"), [(squared, 5), (summed, 1)])
def test_a_distance_of_ones_own(distance, divisor, reduction, swap):
    options = {"margin": 0.3, "swap": swap, "reduction": reduction}
    mine = nn.TripletMarginWithDistanceLoss(distance_function=distance(manual), **options)
    other = torch.nn.TripletMarginWithDistanceLoss(distance_function=distance(torch), **options)
    gradients, seeds = check(mine, other, [a, b, c], factor=4)
    check_central(mine, [a, b, c], gradients, seeds)
    assert mine.denominator(a, b, c) == divisor


def test_a_module_may_be_the_distance_and_its_parameters_learn():
    """A learned distance: the embedding that the distance function applies is a submodule of the loss."""

    def build(wing):
        class Learned(wing.nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = wing.nn.Linear(3, 2, bias=False)
                self.distance = wing.nn.PairwiseDistance()

            def forward(self, first, second):
                return self.distance(self.embed(first), self.embed(second))

        return wing.nn.TripletMarginWithDistanceLoss(distance_function=Learned(), margin=5.0)

    mine, other = build(manual).to("float64"), build(torch).double()
    assert list(mine.state_dict()) == list(other.state_dict()) == ["distance_function.embed.weight"]
    mine.load_state_dict({key: value.numpy() for key, value in other.state_dict().items()})
    check(mine, other, [a, b, c], factor=4)
    (found,), (wanted,) = ([p.grad for p in module.parameters()] for module in (mine, other))
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-12)


def test_a_cosine_of_scalars_is_a_sign():
    for x, y in ((2.0, 3.0), (-2.0, 0.5), (0.0, 1.0)):
        mine = [manual.tensor(np.array(v), requires_grad=True) for v in (x, y)]
        found = functional.cosine_similarity(*mine, dim=0)
        expected = F.cosine_similarity(torch.tensor(x), torch.tensor(y), dim=0)
        assert found.shape == ()
        assert found.item() == pytest.approx(expected.item(), abs=1e-15)
    found.backward()
    assert mine[0].grad == pytest.approx(1e8)  # the unit vector over eps: the slope does not see the clamp
    assert mine[1].grad == 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda wing: wing.nn.TripletMarginLoss(margin=0), "TripletMarginLoss: expected margin to be greater than 0, got 0 instead"),
        (lambda wing: wing.nn.TripletMarginWithDistanceLoss(margin=-1.5), "TripletMarginWithDistanceLoss: expected margin to be greater than 0, got -1.5 instead"),
    ],
)  # fmt: skip
def test_margins_that_are_not_positive_are_refused_in_torchs_words(build, message):
    for wing in (torch, manual):
        with pytest.raises(ValueError, match="expected margin") as refused:
            build(wing)
        assert str(refused.value) == message


def test_every_loss_is_listed():
    listed = CliRunner().invoke(cli, ["list", "losses"]).output
    for name in (*NAMES, "MSELoss", "HingeLoss"):
        assert f"\n{name} " in listed
    layers = CliRunner().invoke(cli, ["list", "layers"]).output
    assert "\nCosineSimilarity " in layers
    assert "Loss" not in layers
