"""Steps of the less usual optimizers as people write them, with buffers of their own names, one line wrong each."""

import numpy as np
import torch

from ..cases import Topic

__all__ = ["CASES"]


def adadelta(p, g, state, t, *, lr, rho, eps, wrong=""):
    squares, steps = state.get("Eg2", 0.0), state.get("Edx2", 0.0)
    squares = rho * squares + (1 - rho) * g * g
    if wrong == "eps_outside":
        move = (np.sqrt(steps) + eps) / (np.sqrt(squares) + eps) * g
    elif wrong == "no_numerator":
        move = g / np.sqrt(squares + eps)
    else:
        move = np.sqrt(steps + eps) / np.sqrt(squares + eps) * g
    remembered = lr * move if wrong == "remembers_the_rate" else move
    state["Eg2"], state["Edx2"] = squares, rho * steps + (1 - rho) * remembered**2
    p -= lr * move


def adamax(p, g, state, t, *, lr, betas, eps, wrong=""):
    b1, b2 = betas
    state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * g
    norm = state.get("norm", np.zeros_like(p))
    if wrong == "adds_eps_below":
        norm = np.maximum(b2 * norm, np.abs(g))
    elif wrong == "takes_the_mean":
        norm = b2 * norm + (1 - b2) * (np.abs(g) + eps)
    else:
        norm = np.maximum(b2 * norm, np.abs(g) + eps)
    state["norm"] = norm
    first = state["m"] if wrong == "uncorrected" else state["m"] / (1 - b1**t)
    p -= lr * first / (norm + eps if wrong == "adds_eps_below" else norm)


def nadam(p, g, state, t, *, lr, betas, eps, momentum_decay, wrong=""):
    b1, b2 = betas

    def mu(step):
        return b1 if wrong == "constant_momentum" else b1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))

    state["product"] = (1.0 if wrong == "product_not_kept" else state.get("product", 1.0)) * mu(t)
    m = state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * g
    v = state["v"] = b2 * state.get("v", 0.0) + (1 - b2) * g**2
    ahead = mu(t) if wrong == "not_ahead" else mu(t + 1)
    look = ahead * m / (1 - state["product"] * ahead) + (1 - mu(t)) * g / (1 - state["product"])
    p -= lr * look / (np.sqrt(v / (1 - b2**t)) + eps)


def radam(p, g, state, t, *, lr, betas, eps, wrong=""):
    b1, b2 = betas
    m = state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * g
    v = state["v"] = b2 * state.get("v", 0.0) + (1 - b2) * g**2
    longest = 2 / (1 - b2) - 1
    length = longest - 2 * t * b2**t / (1 - b2**t)
    first = m / (1 - b1**t)
    if length <= (4 if wrong == "tractable_at_four" else 5):
        p -= lr * first
        return
    r = np.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
    if wrong == "unrectified":
        r = 1
    if wrong == "eps_after":
        p -= lr * r * first / (np.sqrt(v / (1 - b2**t)) + eps)
    else:
        p -= lr * r * first * np.sqrt(1 - b2**t) / (np.sqrt(v) + eps)


def rprop(p, g, state, t, *, lr, etas, step_sizes, wrong=""):
    width = state.setdefault("width", np.full_like(p, lr))
    last = state.get("last", np.zeros_like(p))
    turn = g * last
    up, down = (etas[0], etas[1]) if wrong == "etas_exchanged" else (etas[1], etas[0])
    width[turn > 0] *= up
    width[turn < 0] *= down
    if wrong != "unbounded":
        np.clip(width, *step_sizes, out=width)
    used = g if wrong == "goes_on" else np.where(turn < 0, 0.0, g)
    p -= np.sign(used) * width
    state["last"] = g.copy() if wrong == "keeps_the_gradient" else np.where(turn < 0, 0.0, g)


def asgd(p, g, state, t, *, lr, lambd, alpha, t0, wrong=""):
    eta = state.get("rate", float(np.float32(lr)))
    if wrong == "decays_last":
        p -= eta * g
        p *= 1 - lambd * eta
    else:
        p *= 1 - (0 if wrong == "no_decay" else lambd) * eta
        p -= eta * g
    state["rate"] = float(np.float32(lr if wrong == "rate_stays" else lr / (1 + lambd * lr * t) ** alpha))


def adafactor(p, g, state, t, *, lr, eps, d, beta2_decay, wrong=""):
    first, second = eps
    weight = t**beta2_decay
    size = max(second, np.sqrt(np.mean(p**2)))
    if g.ndim > 1:
        rows = np.mean(g**2, axis=-1, keepdims=True)
        columns = np.mean(g**2, axis=-2, keepdims=True)
        rows = state["rows"] = (1 - weight) * state.get("rows", 0.0) + weight * rows
        columns = state["columns"] = (1 - weight) * state.get("columns", 0.0) + weight * columns
        v = rows * columns
        if wrong != "not_normalised":
            v = v / np.maximum(rows.mean(axis=-2, keepdims=True), first)
    else:
        v = state["whole"] = (1 - weight) * state.get("whole", 0.0) + weight * g**2
    u = g / np.sqrt(np.maximum(v, first**2))
    if wrong != "unclipped":
        u = u / max(1.0, np.sqrt(np.mean(u**2)) / d)
    p -= min(lr, 1 / np.sqrt(t)) * (1 if wrong == "absolute" else size) * u


def _topic(name, update, optimizer, **options):
    return Topic(name, "optimizer", update, optimizer, {"options": options, "steps": 9, "seed": 11})


CASES = [
    *_topic("delta", adadelta, torch.optim.Adadelta, lr=0.6, rho=0.8, eps=1e-3).cases(
        [
            ("eps_outside", "eps is added to the roots", {"eps outside the root"}),
            ("no_numerator", "past steps do not scale the gradient", {"missing term", "scale left out"}),
            ("remembers_the_rate", "past steps are kept with their rate", {"learning rate inside the momentum buffer"}),
        ]
    ),
    *_topic("max", adamax, torch.optim.Adamax, lr=0.03, betas=(0.8, 0.9), eps=1e-3).cases(
        [
            ("adds_eps_below", "eps is added when the norm divides", {"eps in another place"}),
            ("takes_the_mean", "magnitudes are averaged", {"maximum left out"}),
            ("uncorrected", "the first moment is not corrected", {"bias correction missing"}),
        ]
    ),
    *_topic("nesterov_adam", nadam, torch.optim.NAdam, lr=0.03, betas=(0.8, 0.95), eps=1e-5, momentum_decay=0.2).cases(
        [
            ("constant_momentum", "the momentum does not warm up", {"other option"}),
            ("product_not_kept", "the product begins anew at every step", {"bias correction without exponent"}),
            ("not_ahead", "the momentum of the next step is this step's", {"nesterov"}),
        ]
    ),
    *_topic("rectified", radam, torch.optim.RAdam, lr=0.03, betas=(0.8, 0.97), eps=1e-3).cases(
        [
            ("tractable_at_four", "the adaptive step begins above four", {"other threshold"}),
            ("unrectified", "the rectification is left out", {"scale left out", "missing term"}),
            ("eps_after", "eps is added after the correction", {"eps in another place"}),
        ]
    ),
    *_topic("resilient", rprop, torch.optim.Rprop, lr=0.02, etas=(0.5, 1.2), step_sizes=(0.008, 0.03)).cases(
        [
            ("etas_exchanged", "widths grow where the sign turns", {"factors swapped"}),
            ("unbounded", "widths have no bounds", {"other threshold"}),
            ("goes_on", "the parameter moves where the sign turns", {"sign change"}),
            ("keeps_the_gradient", "the gradient is kept where the sign turns", {"sign change"}),
        ]
    ),
    *_topic("averaged", asgd, torch.optim.ASGD, lr=0.05, lambd=0.3, alpha=0.6, t0=1e6).cases(
        [
            ("decays_last", "the decay follows the step", {"decay order"}),
            ("no_decay", "the parameter does not decay", {"missing penalty"}),
            ("rate_stays", "the rate does not fall", {"schedule not advanced"}),
        ]
    ),
    *_topic("factored", adafactor, torch.optim.Adafactor, lr=0.5, eps=(1e-2, 1e-3), d=1.0, beta2_decay=-0.8).cases(
        [
            ("not_normalised", "rows times columns are not divided by the mean", {"missing term"}),
            ("unclipped", "long steps are not shortened", {"other threshold"}),
            ("absolute", "the step does not grow with the parameter", {"scale left out", "missing term"}),
        ]
    ),
]  # fmt: skip
