"""Planted faults: the comparison that the other tests rely on notices each, at the first step where it can show."""

import numpy as np
import pytest

from manual import optim

from .pair import Pair


class UncorrectedMomentDecay(optim.Adam):
    """Bias correction without the exponent t: right at the first step."""

    def update(self, parameter, gradient, slots, group):
        step = slots["step"]
        super().update(parameter, gradient, {**slots, "step": np.ones((), step.dtype)}, group)


class MaximumOfCorrected(optim.Adam):
    """AMSGrad's maximum taken of the corrected v."""

    def update(self, parameter, gradient, slots, group):
        (beta1, beta2), t = group["betas"], slots["step"].item()
        m, v, u = slots["exp_avg"], slots["exp_avg_sq"], slots["max_exp_avg_sq"]
        m += (1 - beta1) * (gradient - m)
        v += (1 - beta2) * (gradient**2 - v)
        np.maximum(u, v / (1 - beta2**t), out=u)
        parameter -= group["lr"] * m / (1 - beta1**t) / (np.sqrt(u) + group["eps"])


class EpsInsideTheRoot(optim.RMSprop):
    def update(self, parameter, gradient, slots, group):
        v = slots["square_avg"]
        v += (1 - group["alpha"]) * (gradient**2 - v)
        parameter -= group["lr"] * gradient / np.sqrt(v + group["eps"])


class DampedFirstStep(optim.SGD):
    def update(self, parameter, gradient, slots, group):
        slots.setdefault("momentum_buffer", np.zeros_like(parameter))
        super().update(parameter, gradient, slots, group)


class RateInTheBuffer(optim.SGD):
    """Equal to torch's until the rate changes at step 6."""

    velocity: dict

    def update_alone(self, tensor, group):
        velocity = self.velocity.setdefault(tensor, np.zeros_like(tensor.data))
        velocity *= group["momentum"]
        velocity += group["lr"] * tensor.grad
        tensor.data -= velocity
        self.state[tensor]["momentum_buffer"] = np.asarray(velocity / group["lr"])

    def step(self, closure=None):
        self.velocity = getattr(self, "velocity", {})
        self._bundling = False
        super().step()


class CoupledDecay(optim.AdamW):
    def update(self, parameter, gradient, slots, group):
        decayed = gradient + group["weight_decay"] * parameter
        super().update(parameter, decayed, slots, {**group, "weight_decay": 0})


class LateDecay(optim.Adagrad):
    """The rate decays with t, not t − 1."""

    def update(self, parameter, gradient, slots, group):
        super().update(parameter, gradient, {**slots, "step": slots["step"] + 1}, group)


class OneUlpOfThreshold(optim.SGD):
    """A relative error of 1e-11, just above the tolerance."""

    def update(self, parameter, gradient, slots, group):
        super().update(parameter, gradient, slots, group)
        parameter *= 1 + 1e-11


FAULTS = [
    (UncorrectedMomentDecay, "Adam", {"lr": 0.1}, r"step 2, parameter 0: gap"),
    (MaximumOfCorrected, "Adam", {"lr": 0.1, "amsgrad": True}, r"step 1, parameter 0, max_exp_avg_sq: gap"),
    (EpsInsideTheRoot, "RMSprop", {"lr": 0.1}, r"step 1, parameter 0: gap"),
    (DampedFirstStep, "SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}, r"step 1, parameter 0: gap"),
    (RateInTheBuffer, "SGD", {"lr": 0.1, "momentum": 0.9}, r"step 6, parameter 0: gap"),
    (CoupledDecay, "AdamW", {"lr": 0.1}, r"step 1, parameter 0: gap"),
    (LateDecay, "Adagrad", {"lr": 0.1, "lr_decay": 0.1}, r"step 1, parameter 0: gap"),
    (OneUlpOfThreshold, "SGD", {"lr": 0.1}, r"step 1, parameter 0: gap"),
]


@pytest.mark.parametrize(("fault", "name", "options", "message"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_planted_faults_are_noticed(fault, name, options, message):
    with pytest.raises(AssertionError, match=message):
        Pair().optimizers(name, options, actual_class=fault).run()


def test_a_skipped_parameter_that_gets_a_zero_gradient_is_noticed():
    pair = Pair().optimizers("Adam", {"lr": 0.1})
    pair.run(2)
    pair.step(without=(0,))
    pair.actual[0].grad = np.zeros_like(pair.actual[0].data)
    pair.ours.step()
    pair.theirs.step()
    with pytest.raises(AssertionError, match="step 4, parameter 0"):
        pair.assert_agree(4)
