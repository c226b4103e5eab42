"""Update rules as a user writes them in NumPy, one line wrong at a time; each mistake must get its name, no other its."""

import numpy as np
import pytest
import torch

import compare
import torch_ref.training

from . import trained

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # some mistakes divide by zero


# -- plain functions, as one writes them from a textbook -----------------------------------------------------------------


def sgd(wrong=""):
    def update(p, g, s, step, lr, momentum, dampening, weight_decay, nesterov):
        if wrong == "ascent":
            g = -g
        if wrong == "decay_of_the_gradient":
            g = g + weight_decay * g
        elif wrong == "decay_half":
            g = g + weight_decay / 2 * p
        elif wrong == "decay_odd":
            g = g + 0.377 * weight_decay * p
        elif wrong == "decay_subtracted":
            g = g - weight_decay * p
        elif wrong == "decay_of_ones":
            g = g + weight_decay
        elif wrong not in ("no_decay", "decoupled", "decoupled_after", "decoupled_plain"):
            g = g + weight_decay * p
        if wrong == "decoupled":
            p -= lr * weight_decay * p
        if wrong == "decoupled_plain":
            p -= weight_decay * p
        if not momentum:
            p -= lr * g
            return
        if "b" not in s:
            s["b"] = g.copy()
            if wrong == "first_damped":
                s["b"] = (1 - dampening) * g
            if wrong in ("average", "swapped"):
                s["b"] = ((1 - momentum) if wrong == "average" else momentum) * g
            if wrong == "rate_inside":
                s["b"] = lr * g
            if wrong == "minus_rate_inside":
                s["b"] = -lr * g
        else:
            b = s["b"]
            old = b.copy()
            b *= (1 - momentum) if wrong == "swapped" else momentum
            if wrong == "undamped":
                b += g
            elif wrong == "damped_by_tau":
                b += dampening * g
            elif wrong == "average":
                b += (1 - momentum) * g
            elif wrong == "swapped":
                b += momentum * g
            elif wrong == "rate_inside":
                b += lr * g
            elif wrong == "minus_rate_inside":
                b -= lr * g
            elif wrong == "other_momentum":
                b *= 0.9
                b += (1 - dampening) * g
            else:
                b += (1 - dampening) * g
            s["old"] = old
        b, old = s["b"], s.get("old", s["b"])
        if wrong == "rate_inside":
            p -= b
        elif wrong == "minus_rate_inside":
            p += b
        elif wrong == "buffer_unused":
            p -= lr * g
        elif wrong == "old_buffer":
            p -= lr * old
        elif wrong == "ahead_without_g":
            p -= lr * momentum * b
        elif wrong == "ahead_unscaled":
            p -= lr * (g + b)
        elif nesterov != (wrong in ("no_nesterov", "added_nesterov")):
            p -= lr * (g + momentum * b)
        else:
            p -= lr * b
        if wrong == "decoupled_after":
            p -= lr * weight_decay * p

    return update


def adam(wrong="", decoupled=False):
    def update(p, g, s, step, lr, betas, eps, weight_decay, amsgrad):
        beta1, beta2 = reversed(betas) if wrong == "betas_swapped" else betas
        apart = decoupled and wrong != "l2"
        if apart and wrong not in ("no_decay", "decay_after", "decay_without_rate", "decay_of_the_gradient"):
            p *= 1 - lr * weight_decay
        elif wrong == "decay_without_rate":
            p *= 1 - weight_decay
        elif wrong == "decay_of_the_gradient":
            p -= lr * weight_decay * g
        elif not apart and wrong not in ("no_decay", "decoupled"):
            g = g + weight_decay * p
        if wrong == "decoupled":
            p -= lr * weight_decay * p
        m, v = s.setdefault("m", np.zeros_like(p)), s.setdefault("v", np.zeros_like(p))
        if wrong == "v_from_one" and step == 1:
            v += 1
        old_m, old_v = m.copy(), v.copy()
        m *= beta1
        m += g if wrong == "m_sum" else (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * (np.abs(g) if wrong == "magnitudes" else g * g)
        if wrong == "v_sum":
            v += beta2 * g * g
        if wrong == "no_first_moment":
            m[...] = g
        if step > 1:  # before it there is no old moment
            m, v = old_m if wrong == "old_m" else m, old_v if wrong == "old_v" else v
        t = step + {"t_from_zero": -1, "t_from_two": 1, "t_half": -step / 2}.get(wrong, 0)
        c1, c2 = 1 - np.float64(beta1) ** t, 1 - np.float64(beta2) ** t
        if wrong == "no_exponent":
            c1, c2 = 1 - beta1, 1 - beta2
        if wrong == "uncorrected":
            c1 = c2 = 1.0
        if wrong == "v_uncorrected":
            c2 = 1.0
        if wrong == "multiplied":
            c1, c2 = 1 / c1, 1 / c2
        if amsgrad and wrong != "no_maximum":
            u = s.setdefault("u", np.zeros_like(p))
            if wrong == "maximum_of_corrected":
                np.maximum(u, v / c2, out=u)
                v = u * c2
            else:
                np.maximum(u, v, out=u)
                v = u
        mh, vh = m / c1, v / c2
        if wrong == "eps_inside":
            scale = np.sqrt(vh + eps)
        elif wrong == "eps_before":
            scale = (np.sqrt(v) + eps) / np.sqrt(c2)
        elif wrong == "no_eps":
            scale = np.sqrt(vh)
        elif wrong == "eps_of_keras":
            scale = np.sqrt(vh) + 1e-7
        elif wrong == "odd_eps":
            scale = np.sqrt(vh) + 3.7 * eps
        elif wrong == "no_root":
            scale = vh + eps
        else:
            scale = np.sqrt(vh) + eps
        rate = {"half_rate": lr / 2, "no_rate": 1.0, "rate_twice": lr * lr, "initial_rate": 0.02}.get(wrong, lr)
        p += (rate if wrong == "ascent" else -rate) * mh / scale
        if wrong == "decay_after":
            p *= 1 - lr * weight_decay
        if wrong == "twice":
            p -= rate * mh / scale

    return update


def adagrad(wrong=""):
    def update(p, g, s, step, lr, lr_decay, eps, initial_accumulator_value):
        start = {"from_zero": 0.0, "from_one": 1.0}.get(wrong, initial_accumulator_value)
        total = s.setdefault("total", np.full_like(p, start))
        before = total.copy()
        total += np.abs(g) if wrong == "magnitudes" else g * g
        if wrong == "old_sum":
            total = before
        if wrong == "keeps_nothing":
            total[...] = g * g
        late = 0 if wrong == "decay_from_the_first" else 1
        rate = lr if wrong == "no_lr_decay" else lr / (1 + (step - late) * lr_decay)
        if wrong == "eps_inside":
            p -= rate * g / np.sqrt(total + eps)
        elif wrong == "no_root":
            p -= rate * g / (total + eps)
        else:
            p -= rate * g / (np.sqrt(total) + eps)

    return update


def rmsprop(wrong=""):
    def update(p, g, s, step, lr, alpha, eps, momentum, centered):
        v = s.setdefault("v", np.ones_like(p) if wrong == "from_one" else np.zeros_like(p))
        a, b = s.setdefault("a", np.zeros_like(p)), s.setdefault("b", np.zeros_like(p))
        v *= (1 - alpha) if wrong == "swapped" else alpha
        v += (alpha if wrong == "swapped" else 1.0 if wrong == "sum" else 1 - alpha) * (
            np.abs(g) if wrong == "magnitudes" else g**2
        )
        a *= alpha
        a += (1 - alpha) * g
        var = v
        if centered != (wrong in ("not_centred", "centred")):
            var = v - (a if wrong == "mean_not_squared" else a**2)
        scale = np.sqrt(var + eps) if wrong == "eps_inside" else var + eps if wrong == "no_root" else np.sqrt(var) + eps
        if not momentum:
            p -= lr * g / scale
            return
        b *= momentum
        b += (lr if wrong == "rate_inside" else 1 - momentum if wrong == "average" else 1) * g / scale
        p -= g * lr / scale if wrong == "buffer_unused" else b if wrong == "rate_inside" else lr * b

    return update


SGD = {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.2}
NESTEROV = {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.2, "nesterov": True}
PLAIN = {"lr": 0.1, "momentum": 0.8}
ADAM = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-2, "weight_decay": 0.3}
FINE = {"lr": 0.02, "eps": 1e-8}
AMSGRAD = {**ADAM, "amsgrad": True}
ADAGRAD = {"lr": 0.1, "lr_decay": 0.2, "eps": 1e-2, "initial_accumulator_value": 0.1}
RMSPROP = {"lr": 0.02, "alpha": 0.9, "eps": 1e-2}
PUSHED = {**RMSPROP, "momentum": 0.7}
CENTRED = {**RMSPROP, "centered": True}

RIGHT = {
    "sgd": (sgd, torch.optim.SGD, SGD),
    "nesterov": (sgd, torch.optim.SGD, NESTEROV),
    "adam": (adam, torch.optim.Adam, ADAM),
    "amsgrad": (adam, torch.optim.Adam, AMSGRAD),
    "adamw": (lambda wrong="": adam(wrong, decoupled=True), torch.optim.AdamW, ADAM),
    "adagrad": (adagrad, torch.optim.Adagrad, ADAGRAD),
    "rmsprop": (rmsprop, torch.optim.RMSprop, RMSPROP),
    "rmsprop_pushed": (rmsprop, torch.optim.RMSprop, PUSHED),
    "rmsprop_centred": (rmsprop, torch.optim.RMSprop, CENTRED),
}

MISTAKES = [
    ("sgd", "ascent", "sign", "gradient has the wrong sign"),
    ("sgd", "no_decay", "missing penalty", "weight decay is left out"),
    ("sgd", "decoupled", "decoupled decay instead of L2", "does not pass through the moments"),
    ("sgd", "decay_of_the_gradient", "wrong variable decayed", "of the gradient"),
    ("sgd", "decay_of_ones", "wrong variable decayed", "of a constant"),
    ("sgd", "decay_half", "penalty scaled", "0.5 = 1/2 times"),
    ("sgd", "decay_subtracted", "penalty scaled", "is subtracted"),
    ("sgd", "first_damped", "dampening on the first step", "b ← (1 − τ) g"),
    ("sgd", "undamped", "dampening", "left out"),
    ("sgd", "damped_by_tau", "dampening", "by τ, not by 1 − τ"),
    ("sgd", "buffer_unused", "momentum left out", "by the gradient alone"),
    ("sgd", "old_buffer", "moment of the old step", "before this step's gradient"),
    ("sgd", "added_nesterov", "nesterov", "look-ahead is added"),
    ("nesterov", "no_nesterov", "nesterov", "look-ahead is left out"),
    ("nesterov", "ahead_without_g", "nesterov", "leaves the gradient out"),
    ("nesterov", "ahead_unscaled", "nesterov", "not multiplied by the momentum"),
    ("nesterov", "average", "moment without its average", "the buffer averages"),
    ("nesterov", "swapped", "moment without its average", "b ← (1 − μ) b + μ g"),
    ("nesterov", "decoupled_plain", "decoupled decay instead of L2", "not multiplied by the rate"),
    ("adam", "betas_swapped", "moments swapped", "β₁ and β₂"),
    ("adam", "m_sum", "moment without its average", "m ← β₁ m + g"),
    ("adam", "v_sum", "moment without its average", "v ← β₂ v + g²"),
    ("adam", "magnitudes", "square left out", "|g|"),
    ("adam", "no_first_moment", "momentum left out", "m ← g"),
    ("adam", "old_m", "moment of the old step", "the first moment"),
    ("adam", "old_v", "moment of the old step", "the second moment"),
    ("adam", "v_from_one", "slot starts elsewhere", "second moment starts at 1"),
    ("adam", "t_from_two", "step count off by one", "t + 1"),
    ("adam", "no_exponent", "bias correction without exponent", "both moments"),
    ("adam", "uncorrected", "bias correction missing", "both moments"),
    ("adam", "v_uncorrected", "bias correction missing", "the second moment"),
    ("adam", "multiplied", "bias correction multiplied", "both moments"),
    ("adam", "eps_inside", "eps inside the root", "under the root"),
    ("adam", "eps_before", "eps before the bias correction", "before the correction"),
    ("adam", "no_eps", "other eps", "left out"),
    ("adam", "odd_eps", "other eps", "0.037 in place of 0.01"),
    ("adam", "no_root", "root left out", "without the root"),
    ("adam", "ascent", "sign", "added, not subtracted"),
    ("adam", "half_rate", "other learning rate", "0.5 = 1/2 times as long"),
    ("adam", "no_rate", "other learning rate", "left out"),
    ("adam", "rate_twice", "other learning rate", "multiplied in twice"),
    ("adam", "initial_rate", "schedule not advanced", "stays what it was at the start"),
    ("adam", "twice", "updated twice", "twice in a step"),
    ("adam", "no_decay", "missing penalty", "left out"),
    ("adam", "decoupled", "decoupled decay instead of L2", "does not pass through"),
    ("amsgrad", "no_maximum", "maximum left out", "where AMSGrad's maximum belongs"),
    ("amsgrad", "maximum_of_corrected", "maximum of the corrected moment", "of the corrected second moment"),
    ("adamw", "l2", "L2 instead of decoupled decay", "passes through the moments"),
    ("adamw", "decay_after", "decay order", "after the step"),
    ("adamw", "decay_without_rate", "decay without the learning rate", "without the learning rate"),
    ("adamw", "decay_of_the_gradient", "wrong variable decayed", "of the gradient"),
    ("adamw", "no_decay", "missing penalty", "left out"),
    ("adagrad", "from_zero", "slot starts elsewhere", "starts at 0"),
    ("adagrad", "from_one", "slot starts elsewhere", "starts at 1"),
    ("adagrad", "magnitudes", "square left out", "|g|"),
    ("adagrad", "old_sum", "moment of the old step", "before this step's gradient"),
    ("adagrad", "keeps_nothing", "moment without its average", "s ← g²"),
    ("adagrad", "decay_from_the_first", "step count off by one", "from the first step on"),
    ("adagrad", "no_lr_decay", "schedule not advanced", "lr_decay is left out"),
    ("adagrad", "eps_inside", "eps inside the root", "under the root"),
    ("adagrad", "no_root", "root left out", "without the root"),
    ("rmsprop", "swapped", "moment without its average", "the wrong way round"),
    ("rmsprop", "sum", "moment without its average", "adds g² in full"),
    ("rmsprop", "magnitudes", "square left out", "|g|"),
    ("rmsprop", "from_one", "slot starts elsewhere", "starts at 1"),
    ("rmsprop", "eps_inside", "eps inside the root", "under the root"),
    ("rmsprop", "no_root", "root left out", "without the root"),
    ("rmsprop", "centred", "centring", "which this RMSprop does not"),
    ("rmsprop_centred", "not_centred", "centring", "not subtracted"),
    ("rmsprop_pushed", "rate_inside", "learning rate inside the momentum buffer", "the buffer holds steps"),
    ("rmsprop_pushed", "average", "dampening", "the buffer averages"),
    ("rmsprop_pushed", "buffer_unused", "momentum left out", "no effect"),
]


def report_on(rule, wrong, **changed):
    make, kind, options = RIGHT[rule]
    return compare.optimizer(make(wrong), kind, options={**options, **changed}, steps=6)


@pytest.mark.parametrize("rule", RIGHT)
def test_right(rule):
    assert report_on(rule, "").outcome == "equivalent"


@pytest.mark.parametrize(("rule", "wrong", "cause", "says"), MISTAKES, ids=[f"{r}-{w}" for r, w, *_ in MISTAKES])
def test_named(rule, wrong, cause, says):
    report = report_on(rule, wrong)
    assert report.outcome == "diverged"
    first = report.causes[0]
    assert first.cause == cause
    assert says in first.explanation
    assert first.residual < 1e-6
    assert first.look_at


@pytest.mark.parametrize(
    ("wrong", "update"),
    [("rate_inside", "momentum_buffer"), ("minus_rate_inside", "momentum_buffer")],
)
def test_rate_inside_the_buffer_shows_when_the_rate_moves(wrong, update):
    options = {**PLAIN, "dampening": 0.0}
    report = compare.optimizer(sgd(wrong), torch.optim.SGD, options=options, steps=6)
    assert report.first_divergence.checkpoint.step == 4
    assert report.causes[0].cause == "learning rate inside the momentum buffer"
    constant = compare.optimizer(sgd(wrong), torch.optim.SGD, options=options, steps=6, rate_factor=1)
    assert constant.outcome == "equivalent"


def test_eps_of_another_library():
    report = compare.optimizer(adam("eps_of_keras"), torch.optim.Adam, options=FINE, steps=4)
    assert report.causes[0].cause == "other eps"
    assert "1e-7" in report.causes[0].explanation


def test_a_count_from_zero_divides_by_zero():
    """As a library does it that does not stop there: from the first step on all is NaN."""

    class CountedFromZero(torch.optim.Optimizer):
        def __init__(self, params, lr=0.01, eps=1e-8):
            super().__init__(params, {"lr": lr, "eps": eps})

        @torch.no_grad()
        def step(self):
            for p in self.param_groups[0]["params"]:
                held = self.state[p]
                t = held.get("count", torch.zeros((), dtype=torch.float64))
                m = held["m"] = 0.9 * held.get("m", torch.zeros_like(p)) + 0.1 * p.grad
                v = held["v"] = 0.999 * held.get("v", torch.zeros_like(p)) + 0.001 * p.grad**2
                p -= 0.01 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
                held["count"] = t + 1

    report = compare.optimizer(CountedFromZero, torch.optim.Adam, options={"lr": 0.01}, steps=3, rate_factor=1)
    assert report.outcome == "diverged"
    assert report.causes[0].cause == "step count off by one"


def test_float32():
    make, kind, options = RIGHT["adam"]
    for wrong, cause in (("eps_inside", "eps inside the root"), ("uncorrected", "bias correction missing")):
        report = compare.optimizer(make(wrong), kind, options=options, steps=4, dtype="float32")
        assert report.causes[0].cause == cause


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("sgd", "other_momentum"),  # 0.72 for 0.8: a setting, and no formula
        ("adam", "t_half"),  # the exponent grows half as fast
    ],
)
def test_near_miss_is_unknown(rule, wrong):
    assert report_on(rule, wrong).causes[0].cause == "unknown"


def test_decay_of_an_odd_strength_says_which():
    report = report_on("sgd", "decay_odd", momentum=0.0, dampening=0.0)
    assert report.causes[0].cause == "penalty scaled"
    assert "0.377" in report.causes[0].explanation


def test_two_mistakes_at_once_are_unknown():
    def update(p, g, s, step, lr, betas, eps):
        m, v = s.setdefault("m", np.zeros_like(p)), s.setdefault("v", np.zeros_like(p))
        m[...] = betas[0] * m + g  # a sum
        v[...] = betas[1] * v + (1 - betas[1]) * g * g
        p -= lr * m / (1 - betas[0] ** step) / np.sqrt(v / (1 - betas[1] ** step) + eps)  # eps inside

    report = compare.optimizer(update, torch.optim.Adam, options={"lr": 0.02, "eps": 1e-2}, steps=4)
    assert report.causes[0].cause == "unknown"


def adamax(wrong=""):
    def update(p, g, s, step, lr, betas, eps):
        m, u = s.setdefault("m", np.zeros_like(p)), s.setdefault("u", np.zeros_like(p))
        m[...] = betas[0] * m + (1 - betas[0]) * g
        u[...] = np.maximum(betas[1] * u, np.abs(g) + eps)
        rate = {"third": lr / 3, "initial": 0.01}.get(wrong, lr) * (-1 if wrong == "ascent" else 1)
        p -= rate / (1 - betas[0] ** step) * m / u

    return update


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [("third", "other learning rate"), ("ascent", "sign"), ("initial", "schedule not advanced")],
)
def test_around_a_rule_that_is_not_written_out(wrong, cause):
    assert compare.optimizer(adamax(), torch.optim.Adamax, options={"lr": 0.01}, steps=4).outcome == "equivalent"
    report = compare.optimizer(adamax(wrong), torch.optim.Adamax, options={"lr": 0.01}, steps=4)
    assert report.causes[0].cause == cause


# -- whole steps: several parameters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "cause", "says"),
    [
        ("bias left out", "parameter left out", "so it is for hidden.bias, not for all"),
        ("updated twice", "updated twice", "so it is for output.weight, not for all"),
    ],
)
def test_parameters(wrong, cause, says):
    report = trained.report_on(wrong)
    assert report.first_divergence.checkpoint.phase == "update"
    assert report.causes[0].cause == cause
    assert says in report.causes[0].explanation


@pytest.mark.parametrize("shown", [(), ("slots",)], ids=["slots_hidden", "slots_shown"])
def test_shared_slots(shown):
    """Two parameters of one shape, whose buffer is kept under a name that both have."""

    def make(wrong):
        class Side:
            def __init__(self):
                self.parameters = {"first": np.arange(4.0), "second": 1 - np.arange(4.0)}
                self.kept = {}
                self.zero_grad()

            def zero_grad(self):
                self.gradients = {}

            def accumulate(self, micro_batch, weight):
                x, y = micro_batch
                delta = 2 * (x @ self.parameters["first"] + x**2 @ self.parameters["second"] - y) / len(y)
                self.gradients = {"first": x.T @ delta, "second": (x**2).T @ delta}

            def step(self):
                for name, g in self.gradients.items():
                    key = "weight" if wrong else name
                    self.kept[key] = 0.5 * self.kept[key] + g if key in self.kept else g.copy()
                    self.parameters[name] = self.parameters[name] - 0.1 * self.kept[key]

        if shown:
            keys = {"first": "weight", "second": "weight"} if wrong else {"first": "first", "second": "second"}
            Side.slots = property(
                lambda self: {n: {"momentum_buffer": self.kept[k]} for n, k in keys.items() if k in self.kept}
            )
        return Side

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Parameter(torch.arange(4.0, dtype=torch.float64))
            self.second = torch.nn.Parameter(1 - torch.arange(4.0, dtype=torch.float64))

        def forward(self, x):
            return x @ self.first + x**2 @ self.second

    def reference():
        module = Twin()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.5)
        return torch_ref.training.Side(module, optimizer, torch.nn.MSELoss())

    generator = np.random.default_rng(1)
    data = [(generator.standard_normal((6, 4)), generator.standard_normal(6)) for _ in range(3)]
    assert compare.training(make(False), reference, data).outcome == "equivalent"
    report = compare.training(make(True), reference, data)
    assert report.causes[0].cause == "slots shared"
    assert "first and second share their slots" in report.causes[0].explanation


def unused(wrong):
    """A parameter that the loss does not use, under Adam with weight decay."""

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.used = torch.nn.Parameter(torch.arange(1.0, 5.0, dtype=torch.float64))
            self.spare = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))

        def forward(self, x):
            return x @ self.used

    class Side:
        def __init__(self):
            self.parameters = {"used": np.arange(1.0, 5.0), "spare": np.ones(3)}
            self.moments = {name: (np.zeros_like(p), np.zeros_like(p)) for name, p in self.parameters.items()}
            self.number = 0
            self.zero_grad()

        def zero_grad(self):
            self.gradients = {"used": None, "spare": None}

        def accumulate(self, micro_batch, weight):
            x, y = micro_batch
            self.gradients["used"] = 2 * x.T @ (x @ self.parameters["used"] - y) / len(y)

        def step(self):
            self.number += 1
            for name, p in self.parameters.items():
                g = self.gradients[name]
                if g is None:
                    if not wrong:
                        continue
                    g = np.zeros_like(p)
                g = g + 0.3 * p
                m, v = self.moments[name]
                m[...] = 0.9 * m + 0.1 * g
                v[...] = 0.999 * v + 0.001 * g * g
                scale = np.sqrt(v / (1 - 0.999**self.number)) + 1e-8
                self.parameters[name] = p - 0.01 * m / (1 - 0.9**self.number) / scale

    def reference():
        module = Twin()
        optimizer = torch.optim.Adam(module.parameters(), lr=0.01, weight_decay=0.3)
        return torch_ref.training.Side(module, optimizer, torch.nn.MSELoss())

    generator = np.random.default_rng(1)
    data = [(generator.standard_normal((6, 4)), generator.standard_normal(6)) for _ in range(3)]
    return compare.training(Side, reference, data)


def test_none_taken_as_zero():
    assert unused(False).outcome == "equivalent"
    report = unused(True)
    assert report.first_divergence.checkpoint.name == "spare"
    assert report.causes[0].cause == "None taken as zero"


@pytest.mark.parametrize("first", ["w", "b"])
def test_updated_in_turn(first):
    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.arange(1.0, 5.0, dtype=torch.float64))
            self.b = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))

        def forward(self, x):
            return x @ self.w + self.b

    class Side:
        """Shows the gradients at the old parameters, and computes them anew when it is a parameter's turn."""

        def __init__(self):
            self.parameters = {"w": np.arange(1.0, 5.0), "b": np.ones(1)}
            self.zero_grad()

        def zero_grad(self):
            self.batch, self.gradients = [], {"w": 0, "b": 0}

        def accumulate(self, micro_batch, weight):
            self.batch.append((micro_batch, weight))
            for name in self.gradients:
                self.gradients[name] = self.gradients[name] + weight * self.gradient(name, *micro_batch)

        def gradient(self, name, x, y):
            delta = 2 * (x @ self.parameters["w"] + self.parameters["b"] - y) / len(y)
            return x.T @ delta if name == "w" else delta.sum(keepdims=True)

        def step(self):
            for name in ("w", "b") if first == "w" else ("b", "w"):
                g = sum(weight * self.gradient(name, *micro_batch) for micro_batch, weight in self.batch)
                self.parameters[name] = self.parameters[name] - 0.1 * g

    def reference():
        module = Twin()
        return torch_ref.training.Side(module, torch.optim.SGD(module.parameters(), lr=0.1), torch.nn.MSELoss())

    generator = np.random.default_rng(1)
    data = [(1 + generator.standard_normal((6, 4)), generator.standard_normal(6)) for _ in range(3)]
    report = compare.training(Side, reference, data, 2)
    assert report.first_divergence.checkpoint.name == ("b" if first == "w" else "w")
    assert report.causes[0].cause == "updated in turn"
    assert ("from the last to the first" in report.causes[0].explanation) == (first == "b")
