"""Whole training loops in NumPy behind the five members of a side, each with the mistakes people make."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

import torch_ref

from .cases import Topic

__all__ = ["CASES"]

PARTS = 3


# -- logistic regression by gradient descent, accumulating micro-batches, with weight decay on the weight --------------


class LogisticRegression:
    def __init__(self, *, wrong="", lr=0.4, decay=0.0, penalty=0.0):
        self.wrong, self.lr, self.decay, self.penalty = wrong, lr, decay, penalty
        self.parameters = {"weight": WEIGHT.copy(), "bias": BIAS.copy()}
        self.gradients = {"weight": np.zeros_like(WEIGHT), "bias": np.zeros_like(BIAS)}

    def zero_grad(self):
        if self.wrong == "first_left_out":
            self.gradients = {"weight": None, "bias": None}
        elif self.wrong != "not_zeroed":
            self.gradients = {"weight": np.zeros_like(WEIGHT), "bias": np.zeros_like(BIAS)}

    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        p = 1 / (1 + np.exp(-(x @ self.parameters["weight"].T + self.parameters["bias"])))
        loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
        delta = (p - y) / (1 if self.wrong == "rows_not_averaged" else len(x))
        if self.wrong == "mean_of_means":
            weight = 1 / PARTS
        elif self.wrong == "unweighted":
            weight = 1
        elif self.wrong == "divided_by_parts":
            weight = weight / PARTS
        for name, gradient in {"weight": delta.T @ x, "bias": delta.sum(axis=0)}.items():
            if self.gradients[name] is None:
                self.gradients[name] = np.zeros_like(gradient)
            elif self.wrong == "last_only" or (self.wrong == "bias_last_only" and name == "bias"):
                self.gradients[name] = weight * gradient
            else:
                self.gradients[name] = self.gradients[name] + weight * gradient
        if not self.penalty:
            return loss
        w = self.parameters["weight"]
        share = 1 if self.wrong == "penalty_per_micro_batch" else weight
        if self.wrong != "penalty_only_in_the_loss":
            self.gradients["weight"] += share * 2 * self.penalty * w
        return {"data": loss, "penalty": self.penalty * np.sum(w**2), "total": loss + self.penalty * np.sum(w**2)}

    def step(self):
        for name, parameter in self.parameters.items():
            gradient = self.gradients[name]
            if self.wrong == "decay_forgotten":
                decay = 0
            elif self.wrong == "decay_doubled":
                decay = 2 * self.decay
            else:
                decay = self.decay
            if name == "weight" or self.wrong == "decay_on_the_bias":
                gradient = gradient + decay * parameter
            if self.wrong == "bias_not_updated" and name == "bias":
                continue
            parameter -= self.lr * gradient


def logistic_reference(decay=0.0, penalty=None):
    module = torch.nn.Linear(5, 1, dtype=torch.float64)
    _load(module, {"weight": WEIGHT, "bias": BIAS})
    groups = [{"params": [module.weight], "weight_decay": decay}, {"params": [module.bias]}]
    return torch_ref.Side(module, torch.optim.SGD(groups, lr=0.4), F.binary_cross_entropy_with_logits, penalty=penalty)


def squared_weight(parameters):
    return 0.1 * (parameters["weight"] ** 2).sum()


# -- a two-layer network: momentum, clipping, a decaying rate ---------------------------------------------------------


class TwoLayers:
    def __init__(self, *, wrong="", lr=0.3, mu=0.9, max_norm=None, gamma=1.0):
        self.wrong, self.lr, self.mu, self.max_norm, self.gamma = wrong, lr, mu, max_norm, gamma
        self.parameters = {name: value.copy() for name, value in NETWORK.items()}
        self.velocity = {name: np.zeros_like(value) for name, value in NETWORK.items()}
        self.gradients = {name: np.zeros_like(value) for name, value in NETWORK.items()}

    def zero_grad(self):
        for gradient in self.gradients.values():
            gradient.fill(0)
        if self.wrong == "momentum_reset":
            for velocity in self.velocity.values():
                velocity.fill(0)

    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        w2 = self.parameters["2.weight"]
        h = np.tanh(x @ self.parameters["0.weight"].T + self.parameters["0.bias"])
        z = h @ w2.T + self.parameters["2.bias"]
        shifted = z - z.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = -log_p[np.arange(len(y)), y].mean()

        dz = np.exp(log_p)
        dz[np.arange(len(y)), y] -= 1
        dz /= len(y)
        gradients = {"2.weight": dz.T @ h, "2.bias": dz.sum(axis=0)}
        if self.wrong == "backward_through_updated_weights":
            w2 = w2 - self.lr * gradients["2.weight"]
        dh = dz @ w2
        dhidden = dh * h * (1 - h) if self.wrong == "sigmoid_for_tanh" else dh * (1 - h**2)
        gradients.update({"0.weight": dhidden.T @ x, "0.bias": dhidden.sum(axis=0)})
        if self.wrong == "clipped_per_micro_batch":
            gradients = self.clipped(gradients)
        for name, gradient in gradients.items():
            self.gradients[name] += weight * gradient
        if self.wrong == "schedule_per_micro_batch":
            self.lr *= self.gamma
        return loss

    def clipped(self, gradients):
        squares = {name: np.sum(gradient**2) for name, gradient in gradients.items()}
        if self.wrong == "clipped_per_tensor":
            norms = {name: np.sqrt(square) for name, square in squares.items()}
        elif self.wrong == "norm_without_root":
            norms = dict.fromkeys(squares, sum(squares.values()))
        else:
            norms = dict.fromkeys(squares, np.sqrt(sum(squares.values())))
        if self.wrong == "clipped_by_value":
            return {name: np.clip(gradient, -self.max_norm, self.max_norm) for name, gradient in gradients.items()}
        if self.wrong == "always_scaled":
            return {name: gradient * self.max_norm / (norms[name] + 1e-6) for name, gradient in gradients.items()}
        return {name: gradient * min(1, self.max_norm / (norms[name] + 1e-6)) for name, gradient in gradients.items()}

    def step(self):
        if self.max_norm and self.wrong not in ("not_clipped", "clipped_too_late", "clipped_per_micro_batch"):
            self.gradients = self.clipped(self.gradients)
        if self.wrong == "rate_lowered_first":
            self.lr *= self.gamma
        for name, parameter in self.parameters.items():
            velocity = self.velocity[name]
            velocity *= self.mu
            velocity += self.gradients[name]
            parameter -= self.lr * velocity
        if self.wrong == "clipped_too_late":
            self.gradients = self.clipped(self.gradients)
        if self.wrong not in ("rate_lowered_first", "rate_constant", "schedule_per_micro_batch"):
            self.lr *= self.gamma


def two_layers_reference(max_norm=None, gamma=None, mu=0.9):
    module = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3)).double()
    _load(module, NETWORK)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.3, momentum=mu)
    scheduler = None if gamma is None else torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)
    clip = None if max_norm is None else partial(torch.nn.utils.clip_grad_norm_, max_norm=max_norm)
    return torch_ref.Side(module, optimizer, F.cross_entropy, scheduler=scheduler, clip=clip)


# -- linear regression whose bias is stepped after its weight ---------------------------------------------------------


class LinearRegression:
    def __init__(self, *, wrong="", lr=0.1):
        self.wrong, self.lr = wrong, lr
        self.parameters = {"weight": WEIGHT.copy(), "bias": BIAS.copy()}
        self.zero_grad()

    def zero_grad(self):
        self.gradients = {"weight": np.zeros_like(WEIGHT), "bias": np.zeros_like(BIAS)}

    def accumulate(self, micro_batch, weight):
        self.x, self.y = micro_batch
        residual = self.residual()
        self.gradients["weight"] += weight * 2 * residual.T @ self.x / len(self.x)
        self.gradients["bias"] += weight * 2 * residual.mean(axis=0)
        return np.mean(residual**2)

    def residual(self):
        return self.x @ self.parameters["weight"].T + self.parameters["bias"] - self.y

    def step(self):
        self.parameters["weight"] -= self.lr * self.gradients["weight"]
        if self.wrong == "bias_after_the_weight":
            self.parameters["bias"] -= self.lr * 2 * self.residual().mean(axis=0)
        else:
            self.parameters["bias"] -= self.lr * self.gradients["bias"]


def linear_reference():
    module = torch.nn.Linear(5, 1, dtype=torch.float64)
    _load(module, {"weight": WEIGHT, "bias": BIAS})
    return torch_ref.Side(module, torch.optim.SGD(module.parameters(), lr=0.1), F.mse_loss)


# -- data: four batches of seven rows, cut into 3, 3 and 1 -------------------------------------------------------------

_random = np.random.default_rng(5007)
WEIGHT, BIAS = 0.5 * _random.normal(size=(1, 5)), _random.normal(size=1)
NETWORK = {
    "0.weight": 0.7 * _random.normal(size=(4, 5)),
    "0.bias": 0.3 * _random.normal(size=4),
    "2.weight": 0.7 * _random.normal(size=(3, 4)),
    "2.bias": 0.3 * _random.normal(size=3),
}
ROWS = [_random.normal(size=(7, 5)) + 0.3 for _ in range(4)]
BINARY = [(x, (_random.random((7, 1)) < 0.5).astype(np.float64)) for x in ROWS]
CLASSES = [(x, _random.integers(0, 3, size=7)) for x in ROWS]
NUMBERS = [(x, _random.normal(size=(7, 1))) for x in ROWS]


def _load(module, values):
    module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in values.items()})


def _topic(name, side, reference, batches, parts=PARTS):
    return Topic(name, "training", side, reference, {"batches": batches, "micro_batches": parts})


# -- cases ------------------------------------------------------------------------------------------------------------

CASES = [
    *_topic("accumulation", LogisticRegression, logistic_reference, BINARY).cases(
        [
            ("mean_of_means", "each micro-batch weighs a third, the last has one row and the others three", {"mean of means"}),
            ("unweighted", "the micro-batches' mean gradients are added up", {"sum of micro-batches"}),
            ("divided_by_parts", "the weighted gradients are divided by the number of micro-batches", {"normalised twice"}),
            ("last_only", "each micro-batch assigns the gradient", {"only the last micro-batch"}),
            ("bias_last_only", "each micro-batch assigns the bias's gradient", {"only the last micro-batch"}),
            ("first_left_out", "the first micro-batch only makes the zeros to which the others are added", {"micro-batch left out"}),
            ("rows_not_averaged", "each micro-batch adds its rows up before it is weighted", {"sum instead of mean"}),
            ("not_zeroed", "the gradient is not set to zero between steps", {"previous gradient added"}),
            ("bias_not_updated", "the bias does not move", {"parameter left out"}),
        ]
    ),
    *_topic("decay", partial(LogisticRegression, decay=0.2), partial(logistic_reference, 0.2), BINARY).cases(
        [
            ("decay_forgotten", "there is no decay", {"missing penalty"}),
            ("decay_on_the_bias", "the bias decays too", {"penalty on the bias"}),
            ("decay_doubled", "the decay is the derivative of decay * w^2, not of half of it", {"penalty scaled"}),
        ]
    ),
    *_topic("penalty", partial(LogisticRegression, penalty=0.1), partial(logistic_reference, penalty=squared_weight), BINARY).cases(
        [
            ("penalty_per_micro_batch", "the penalty's gradient enters whole with every micro-batch", {"penalty per micro-batch"}),
            ("penalty_only_in_the_loss", "the penalty has no gradient", {"missing penalty"}),
        ]
    ),
    *_topic("clip", partial(TwoLayers, max_norm=0.2), partial(two_layers_reference, 0.2), CLASSES).cases(
        [
            ("not_clipped", "the gradient is not clipped", {"not clipped"}),
            ("clipped_too_late", "the gradient is clipped after the update", {"not clipped"}),
            ("clipped_per_tensor", "each tensor is clipped by its own norm", {"clipped per tensor"}),
            ("norm_without_root", "the norm is the sum of the squares", {"squared norm"}),
            ("clipped_per_micro_batch", "each micro-batch is clipped, their sum is not", {"clipped per micro-batch"}),
            ("clipped_by_value", "each element is cut off at the largest norm", {"clipped by value"}),
        ]
    ),
    *_topic("loose_clip", partial(TwoLayers, max_norm=2.0), partial(two_layers_reference, 2.0), CLASSES).cases(
        [("always_scaled", "a gradient shorter than the largest norm is stretched to it", {"always scaled"})]
    ),
    *_topic("schedule", partial(TwoLayers, gamma=0.7), partial(two_layers_reference, None, 0.7), CLASSES).cases(
        [
            ("rate_lowered_first", "the rate is lowered before the update", {"schedule off by one"}),
            ("schedule_per_micro_batch", "the rate is lowered after every micro-batch", {"schedule per micro-batch"}),
            ("rate_constant", "the rate is never lowered", {"schedule not advanced"}),
        ]
    ),
    *_topic("network", TwoLayers, two_layers_reference, CLASSES).cases(
        [
            ("momentum_reset", "zero_grad empties the momentum buffers too", {"momentum left out"}),
            ("sigmoid_for_tanh", "the hidden derivative is that of a sigmoid", {"wrong derivative"}),
        ]
    ),
    *_topic("descent", partial(TwoLayers, mu=0.0), partial(two_layers_reference, mu=0.0), CLASSES, 1).cases(
        [("backward_through_updated_weights", "the hidden delta goes through the output weight after its update", {"already updated weights"})]
    ),
    *_topic("simultaneous", LinearRegression, linear_reference, NUMBERS, 1).cases(
        [("bias_after_the_weight", "the bias's gradient is taken after the weight has moved", {"updated in turn", "already updated weights"})]
    ),
]  # fmt: skip
