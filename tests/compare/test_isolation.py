"""The walk by module: independent faults in one network are all found in one run, each blamed once, each with its cause."""

import numpy as np
import pytest
import torch

import manual
import manual.models
import manual.nn
import manual.training
import torch_ref
import torch_ref.models
from compare.batches import cut
from compare.lockstep import lockstep
from manual import rules
from manual.tensor import apply

generator = np.random.default_rng(7)
X, Y = generator.standard_normal((17, 6)), generator.integers(0, 5, 17)
STEPS = [cut(X, Y, [9, 5, 3])] * 4
SIZES = (6, 11, 8, 5)
ADAM = {"lr": 0.02, "eps": 1e-2, "betas": (0.8, 0.9)}


class WrongTanh(manual.nn.Module):
    """Its slope is 1 - y, not 1 - y^2."""

    def forward(self, input):
        def rule(x):
            y = np.tanh(x)
            return y, lambda incoming, needs: (incoming * (1 - y),)

        return apply(rule, input)


class SummedCrossEntropy(manual.nn.CrossEntropyLoss):
    """The sum over the rows where the mean belongs."""

    def forward(self, input, target):
        return super().forward(input, target) * float(len(target))


class EpsInside(manual.optim.Adam):
    """eps under the root."""

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                slots = self.state.setdefault(
                    parameter,
                    {
                        "step": np.zeros((), np.float32),
                        "exp_avg": np.zeros_like(parameter.data),
                        "exp_avg_sq": np.zeros_like(parameter.data),
                    },
                )
                slots["step"] = slots["step"] + np.float32(1)
                t, (b1, b2), g = float(slots["step"]), group["betas"], parameter.grad
                slots["exp_avg"] = b1 * slots["exp_avg"] + (1 - b1) * g
                slots["exp_avg_sq"] = b2 * slots["exp_avg_sq"] + (1 - b2) * g * g
                m, v = slots["exp_avg"] / (1 - b1**t), slots["exp_avg_sq"] / (1 - b2**t)
                parameter.data -= group["lr"] * m / np.sqrt(v + group["eps"])


def expected():
    torch.manual_seed(0)
    module = torch_ref.models.MLP(SIZES, torch.nn.Tanh).double()
    return torch_ref.Side(module, torch.optim.Adam(module.parameters(), **ADAM), torch.nn.CrossEntropyLoss())


def actual(tanh=manual.nn.Tanh, loss=manual.nn.CrossEntropyLoss, adam=manual.optim.Adam):
    module = manual.models.MLP(SIZES, manual.nn.Tanh).to(np.float64)
    module.load_state_dict({k: v.numpy() for k, v in expected().module.state_dict().items()})
    if tanh is not manual.nn.Tanh:
        module.layers[3] = tanh()
    return manual.training.Side(module, adam(module.parameters(), **ADAM), loss())


WRONG = {"tanh": WrongTanh, "loss": SummedCrossEntropy, "adam": EpsInside}
BLAMED = {
    "tanh": ("backward", "layers.3", "wrong derivative"),
    "loss": ("loss", "loss", "sum instead of mean"),
    "adam": ("update", "optimizer", "eps inside the root"),
}


def walked(*faults, sync="module"):
    wrong = {name: WRONG[name] for name in faults}
    return lockstep(lambda: actual(**wrong), expected, STEPS, sync=sync)


def blamed(verdict):
    return [(found.checkpoint.phase, found.culprit, found.causes[0].cause) for found in verdict.faults]


def test_right_sides_agree():
    assert walked().outcome == "equivalent"


@pytest.mark.parametrize("fault", WRONG)
def test_one_fault_is_blamed_alone(fault):
    assert blamed(walked(fault)) == [BLAMED[fault]]


def test_three_independent_faults_in_one_run_each_once_each_with_its_cause():
    found = walked(*WRONG)
    assert found.outcome == "diverged"
    assert sorted(blamed(found)) == sorted(BLAMED.values())
    assert {other.culprit for other in found.divergences} == {"layers.3", "loss", "optimizer"}


def test_on_its_own_path_the_same_reports_the_first():
    found = walked(*WRONG, sync="free")
    assert found.first_divergence.culprit == "loss"
    assert found.causes[0].cause == "sum instead of mean"
    assert len(found.faults) == 1


def test_the_numbers_of_the_rules_are_those_of_the_wing():
    """The wrong modules above are right but for what is said of them."""
    x = manual.tensor(X)
    assert np.array_equal(WrongTanh()(x).data, apply(rules.tanh, x).data)
