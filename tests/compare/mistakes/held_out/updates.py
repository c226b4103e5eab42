"""Optimizer steps as people write them, with buffers of their own names, one line wrong each."""

import numpy as np
import torch

from ..cases import Topic

__all__ = ["CASES"]


def adam(p, g, state, t, *, lr, betas, eps, weight_decay, wrong=""):
    if not state:
        state.update(first=np.zeros_like(p), second=np.zeros_like(p))
    if wrong == "decay_on_the_parameter":
        p *= 1 - lr * weight_decay
    else:
        g = g + weight_decay * p
    before = state["first"].copy()
    state["first"] += (1 - betas[0]) * (g - state["first"])
    state["second"] += (1 - betas[1]) * (g * g - state["second"])
    if wrong == "counts_from_two":
        t = t + 1
    numerator = before if wrong == "first_moment_of_before" else state["first"]
    if wrong != "first_uncorrected":
        numerator = numerator / (1 - betas[0] ** t)
    corrected = state["second"] / (1 - betas[1] ** t)
    root = np.sqrt(corrected + eps) if wrong == "eps_under_the_root" else np.sqrt(corrected) + eps
    p[...] = p - lr * numerator / root


def rmsprop(p, g, state, t, *, lr, alpha, eps, wrong=""):
    if t == 1:
        state["ms"] = np.zeros_like(p)
    whole = wrong == "square_added_whole"
    state["ms"] = alpha * state["ms"] + (1 if whole else 1 - alpha) * np.square(g)
    if wrong == "eps_under_the_root":
        p -= lr * g / np.sqrt(state["ms"] + eps)
    else:
        p -= lr * g / (np.sqrt(state["ms"]) + eps)


def heavy_ball(p, g, state, t, *, lr, momentum, wrong=""):
    speed = state.get("speed", np.zeros_like(p))
    if wrong == "rate_in_the_buffer":
        speed = momentum * speed - lr * g
        p += speed
    else:
        speed = momentum * speed + (1 - momentum if wrong == "averaged" else 1) * g
        p += -lr * speed
    state["speed"] = speed


def look_ahead(p, g, state, t, *, lr, momentum, wrong=""):
    old = state.get("speed", np.zeros_like(p))
    new = state["speed"] = g + momentum * old
    p -= lr * (g + momentum * (old if wrong == "from_the_old_buffer" else new))


def adamw(p, g, state, t, *, lr, betas, eps, weight_decay, wrong=""):
    m = state["m"] = betas[0] * state.get("m", 0.0) + (1 - betas[0]) * g
    v = state["v"] = betas[1] * state.get("v", 0.0) + (1 - betas[1]) * g**2
    move = lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    if wrong == "decays_what_has_moved":
        p -= move
        p *= 1 - lr * weight_decay
    else:
        p *= 1 - (1 if wrong == "decay_without_rate" else lr) * weight_decay
        p -= move


def _topic(name, update, optimizer, **options):
    return Topic(name, "optimizer", update, optimizer, {"options": options, "steps": 7, "seed": 11})


CASES = [
    *_topic("adam_l2", adam, torch.optim.Adam, lr=0.03, betas=(0.8, 0.95), eps=1e-5, weight_decay=0.04).cases(
        [
            ("decay_on_the_parameter", "Adam's L2 decay acts on the parameter", {"decoupled decay instead of L2"}),
            ("counts_from_two", "the bias corrections count the first step as the second", {"step count off by one"}),
            ("first_moment_of_before", "the update takes the first moment of the step before", {"moment of the old step"}),
            ("first_uncorrected", "the first moment is not corrected", {"bias correction missing"}),
            ("eps_under_the_root", "eps is added under the root", {"eps inside the root"}),
        ]
    ),
    *_topic("rms", rmsprop, torch.optim.RMSprop, lr=0.02, alpha=0.9, eps=1e-5).cases(
        [
            ("square_added_whole", "the mean square adds g * g without 1 - alpha", {"moment without its average"}),
            ("eps_under_the_root", "eps is added under the root", {"eps inside the root"}),
        ]
    ),
    *_topic("heavy_ball", heavy_ball, torch.optim.SGD, lr=0.06, momentum=0.8).cases(
        [
            ("rate_in_the_buffer", "the buffer holds steps, so a change of the rate comes late",
             {"learning rate inside the momentum buffer"}),
            ("averaged", "the buffer adds (1 - momentum) g, where PyTorch adds g",
             {"dampening", "moment without its average"}),
        ]
    ),
    *_topic("look_ahead", look_ahead, torch.optim.SGD, lr=0.06, momentum=0.8, nesterov=True).cases(
        [("from_the_old_buffer", "the look-ahead takes the old buffer", {"nesterov", "moment of the old step"})]
    ),
    *_topic("adamw_own", adamw, torch.optim.AdamW, lr=0.03, betas=(0.8, 0.95), eps=1e-7, weight_decay=0.2).cases(
        [
            ("decays_what_has_moved", "the decay is applied after the update", {"decay order"}),
            ("decay_without_rate", "the decay is not multiplied by the rate", {"decay without the learning rate"}),
        ]
    ),
]  # fmt: skip
