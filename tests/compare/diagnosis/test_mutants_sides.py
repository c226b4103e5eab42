"""Mutations against whole sides: modules, several micro-batches, cumulative gradients only, walks by module, layers."""

import numpy as np
import pytest
import torch

import compare
from compare.experiment import Setting
from compare.experiments.mazur import backprop_by_hand
from compare.lockstep import lockstep

from .written import Written, batches, twin, walked


def named(verdict):
    return verdict.causes[0].cause if verdict.causes else None


# -- one line of a two-layer network is wrong ----------------------------------------------------------------------------

LINES = [
    # the line, what stands there, the cause, the phase at which it shows first
    ("gz", lambda value, n: n["ga"], "derivative left out", "backward"),
    ("gz", lambda value, n: n["ga"] * (1 - n["a"]), "wrong derivative", "backward"),
    ("gz", lambda value, n: n["ga"] * (1 - n["z"] ** 2), "derivative of the wrong variable", "backward"),
    ("dw", lambda value, n: n["ga"].T @ n["x"], "derivative left out", "deposit"),
    ("dv", lambda value, n: n["g"].T @ n["z"], "wrong operand", "deposit"),
    ("db", lambda value, n: n["gz"].mean(0), "mean instead of sum", "deposit"),
    ("dc", lambda value, n: n["g"][-1], "broadcasting not summed", "deposit"),
    ("a", lambda value, n: 1 / (1 + np.exp(-n["z"])), "wrong function", "forward"),
    ("z", lambda value, n: n["x"] @ n["hidden.weight"].T, "missing term", "forward"),
]
IDS = [f"{line}: {cause}" for line, _, cause, _ in LINES]


@pytest.mark.parametrize(("line", "spoil", "cause", "phase"), LINES, ids=IDS)
def test_a_side_that_shows_everything(line, spoil, cause, phase):
    verdict = walked({line: spoil}, sizes=(5, 3, 2))
    assert verdict.first_divergence.checkpoint.phase == phase
    assert named(verdict) == cause, verdict.causes


@pytest.mark.parametrize(("line", "spoil", "cause", "phase"), LINES, ids=IDS)
def test_a_side_that_shows_cumulative_gradients_only(line, spoil, cause, phase):
    verdict = walked({line: spoil}, shown=(), sizes=(5, 3, 2))
    assert verdict.first_divergence.checkpoint.phase == ("loss" if phase == "forward" else "accumulated")
    assert named(verdict) == cause, verdict.causes


def test_what_shows_in_one_micro_batch_only_is_no_formula():
    calls = []

    def third_time(value, names):
        calls.append(value)
        return names["ga"] if len(calls) % 3 == 0 else value

    verdict = walked({"gz": third_time}, sizes=(4, 4, 2), shown=())
    assert named(verdict) != "derivative left out" or verdict.first_divergence.checkpoint.micro_batch == 3


# -- weights at another time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_mazur_as_printed(dtype):
    """Issue 3: the hidden deltas of the printed example go through output weights that have already been moved."""
    scenario = backprop_by_hand(Setting(dtype)).contrasts[0].scenario
    verdict = lockstep(scenario.actual, scenario.expected, scenario.steps, sync=scenario.sync)
    assert verdict.first_divergence.culprit == "output"
    assert named(verdict) == "already updated weights"


def test_weights_that_move_during_the_backward_pass():
    def through(value, n):
        return n["g"] @ (n["output.weight"] - 0.1 * n["g"].T @ n["a"])

    verdict = walked({"ga": through}, sizes=(6, 4))
    assert named(verdict) == "already updated weights"


class Stale(Written):
    """A side whose second layer runs on the weights of one step earlier."""

    def __init__(self):
        super().__init__({"out": lambda value, n: n["a"] @ self.previous.T + n["output.bias"]})
        self.previous = self.parameters["output.weight"]

    def step(self):
        self.previous = self.parameters["output.weight"]
        super().step()


def test_weights_of_the_step_before():
    verdict = lockstep(Stale, twin, batches())
    assert (verdict.first_divergence.checkpoint.step, named(verdict)) == (2, "stale weights"), verdict.causes


# -- the walk by module ------------------------------------------------------------------------------------------------


def test_every_culprit_of_a_walk_by_module_has_its_own_cause():
    import manual.models
    import manual.training
    import torch_ref.models
    import torch_ref.training
    from compare.batches import cut
    from manual.rules import tanh as right_tanh
    from manual.tensor import apply

    def wrong_tanh(x):
        value, _ = right_tanh(x)
        return value, lambda incoming, needs: (incoming * (1 - value),)

    class Tanh(manual.nn.Module):
        def forward(self, input):
            return apply(wrong_tanh, input)

    class Halved(manual.nn.MSELoss):
        def forward(self, input, target):
            return super().forward(input, target) * (input.data.size / len(input.data))

    def expected():
        torch.manual_seed(0)
        module = torch_ref.models.MLP((3, 5, 2), torch.nn.Tanh).double()
        return torch_ref.training.Side(module, torch.optim.SGD(module.parameters(), 0.1), torch.nn.MSELoss())

    def actual():
        module = manual.models.MLP((3, 5, 2), Tanh).to(np.float64)
        module.load_state_dict({k: v.numpy() for k, v in expected().module.state_dict().items()})
        return manual.training.Side(module, manual.optim.SGD(module.parameters(), 0.1), Halved())

    generator = np.random.default_rng(0)
    steps = [cut(generator.normal(size=(7, 3)), generator.normal(size=(7, 2)), [4, 3])]
    verdict = lockstep(actual, expected, steps, sync="module")
    found = {d.culprit: d.causes[0].cause for d in verdict.divergences if d.causes}
    assert found == {"layers.1": "wrong derivative", "loss": "wrong denominator"}


# -- a layer by itself -------------------------------------------------------------------------------------------------


def normed(wrong=""):
    def layer(inputs, parameters):
        (x,) = inputs
        s = np.sqrt(x.var(-1, keepdims=True, ddof=wrong == "unbiased") + 1e-5)
        h = (x - x.mean(-1, keepdims=True)) / s

        def backward(g):
            dh = g if wrong == "no gamma" else g * parameters["weight"]
            mean = 0 if wrong == "no mean" else dh.mean(-1, keepdims=True)
            dx = (dh - mean - h * (dh * h).mean(-1, keepdims=True)) / (s**2 if wrong == "variance" else s)
            axis = -1 if wrong == "axis" else 0
            return dx, {"weight": (g * h).sum(0), "bias": g.sum(axis)}

        return h * parameters["weight"] + parameters["bias"], backward

    return layer


LAYERS = [
    ("unbiased", "biased or unbiased variance"),
    ("no gamma", "derivative left out"),
    ("no mean", "missing term"),
    ("variance", "root left out"),
    ("axis", "wrong axis"),
]


@pytest.mark.parametrize(("wrong", "cause"), LAYERS, ids=[cause for _, cause in LAYERS])
def test_a_layer_by_itself(wrong, cause):
    module = torch.nn.LayerNorm(5).double()
    torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    x = np.random.default_rng(2).normal(size=(5, 5))
    assert compare.module(normed(), module, x).outcome == "equivalent"
    report = compare.module(normed(wrong), module, x)
    assert report.causes[0].cause == cause, report.causes
