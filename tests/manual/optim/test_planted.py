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


class EpsAfterTheMaximum(optim.Adamax):
    """eps added to u in the divisor, as keras does."""

    def update(self, parameter, gradient, slots, group):
        (beta1, beta2), t = group["betas"], slots["step"].item()
        m, u = slots["exp_avg"], slots["exp_inf"]
        m += (1 - beta1) * (gradient - m)
        np.maximum(beta2 * u, np.abs(gradient), out=u)
        parameter -= group["lr"] / (1 - beta1**t) * m / (u + group["eps"])


class RateInTheDeltas(optim.Adadelta):
    """The accumulated deltas hold the rate."""

    def update(self, parameter, gradient, slots, group):
        before = parameter.copy()
        accumulated = slots["acc_delta"].copy()
        super().update(parameter, gradient, slots, group)
        rho = group["rho"]
        slots["acc_delta"][...] = rho * accumulated + (1 - rho) * (parameter - before) ** 2


class NoLookAhead(optim.NAdam):
    """The next step's momentum left out: Adam with a scheduled momentum."""

    def update(self, parameter, gradient, slots, group):
        super().update(parameter, gradient, slots, {**group, "momentum_decay": 0.0})


class AdaptiveTooEarly(optim.RAdam):
    """The paper's threshold of 4: with beta2 = 0.999 it is passed one step before 5 is."""

    def update(self, parameter, gradient, slots, group):
        (beta1, beta2), t = group["betas"], slots["step"].item()
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / (1 - beta2**t)
        if not 4 < length <= 5:
            return super().update(parameter, gradient, slots, group)
        m, v = slots["exp_avg"], slots["exp_avg_sq"]
        m += (1 - beta1) * (gradient - m)
        v += (1 - beta2) * (gradient**2 - v)
        r = np.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
        parameter -= group["lr"] / (1 - beta1**t) * r * np.sqrt(1 - beta2**t) * m / (np.sqrt(v) + group["eps"])
        return None


class StepsWhereTheSignTurns(optim.Rprop):
    """Rprop-: the shorter step is made at once."""

    def update(self, parameter, gradient, slots, group):
        super().update(parameter, gradient, slots, group)
        turned = slots["prev"] == 0
        parameter -= np.where(turned, np.sign(gradient) * slots["step_size"], 0)
        slots["prev"][...] = gradient


class AveragesFromTheStart(optim.ASGD):
    def conclude(self, slots, group):
        super().conclude(slots, {**group, "t0": 0})


class NewRateAtOnce(optim.ASGD):
    """eta computed before the update."""

    def advance(self, slots, group):
        super().advance(slots, group)
        super().conclude(slots, group)


class EpsInTheSquares(optim.Adafactor):
    """The paper's place for the first epsilon."""

    def update(self, parameter, gradient, slots, group):
        eps = group["eps"][0]
        super().update(parameter, np.sqrt(gradient**2 + eps), slots, group)


class NormOfTheDecayed(optim.Adafactor):
    """The parameter's size taken after its decay."""

    def update(self, parameter, gradient, slots, group):
        parameter *= 1 - group["lr"] * group["weight_decay"]
        super().update(parameter, gradient, slots, {**group, "weight_decay": 0})


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
    (EpsAfterTheMaximum, "Adamax", {"lr": 0.1}, r"step 1, parameter 0, exp_inf: gap"),
    (RateInTheDeltas, "Adadelta", {"lr": 0.5}, r"step 1, parameter 0, acc_delta: gap"),
    (NoLookAhead, "NAdam", {"lr": 0.1}, r"step 1, parameter 0: gap"),
    (AdaptiveTooEarly, "RAdam", {"lr": 0.1}, r"step 5, parameter 0: gap"),
    (StepsWhereTheSignTurns, "Rprop", {"lr": 0.1}, r"step 2, parameter 0: gap"),
    (AveragesFromTheStart, "ASGD", {"lr": 0.1, "t0": 4}, r"step 2, parameter 0, mu: gap"),
    (NewRateAtOnce, "ASGD", {"lr": 0.1, "lambd": 0.3}, r"step 1, parameter 0: gap"),
    (EpsInTheSquares, "Adafactor", {"lr": 0.1, "eps": (1e-3, 1e-3)}, r"step 1, parameter 0: gap"),
    (NormOfTheDecayed, "Adafactor", {"lr": 0.1, "weight_decay": 0.5}, r"step 1, parameter 0: gap"),
    (OneUlpOfThreshold, "SGD", {"lr": 0.1}, r"step 1, parameter 0: gap"),
]


@pytest.mark.parametrize(("fault", "name", "options", "message"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_planted_faults_are_noticed(fault, name, options, message):
    with pytest.raises(AssertionError, match=message):
        Pair.of(name, options, actual_class=fault).run()


def test_a_skipped_parameter_that_gets_a_zero_gradient_is_noticed():
    pair = Pair.of("Adam", {"lr": 0.1})
    pair.run(2)
    pair.step(without=(0,))
    pair.actual[0].grad = np.zeros_like(pair.actual[0].data)
    pair.ours.step()
    pair.theirs.step()
    with pytest.raises(AssertionError, match="step 4, parameter 0"):
        pair.assert_agree(4)
