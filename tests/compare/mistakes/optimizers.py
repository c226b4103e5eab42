"""Adam, AdamW, RMSprop, momentum and Adagrad as a user writes them for one parameter, with the mistakes people make."""

import numpy as np
import torch

from .cases import Topic

__all__ = ["CASES"]


def _slot(slots, name, parameter, value=0.0):
    return slots.setdefault(name, np.full_like(parameter, value))


# -- Adam -------------------------------------------------------------------------------------------------------------


def adam(parameter, gradient, slots, step, *, wrong="", lr=0.02, betas=(0.9, 0.97), eps=1e-8, weight_decay=0.0):
    beta1, beta2 = betas[::-1] if wrong == "betas_swapped" else betas
    m, v = _slot(slots, "m", parameter), _slot(slots, "v", parameter)
    if weight_decay:
        if wrong == "decoupled":
            parameter *= 1 - lr * weight_decay
        elif wrong != "decay_forgotten":
            gradient = gradient + weight_decay * parameter
    old = m.copy()
    m *= beta1
    m += gradient if wrong == "sum_of_gradients" else (1 - beta1) * gradient
    v *= beta2
    v += (1 - beta2) * (np.abs(gradient) if wrong == "square_forgotten" else gradient**2)
    t = step + 1 if wrong == "step_from_two" else step
    correction1, correction2 = 1 - beta1**t, 1 - beta2**t
    if wrong == "no_exponent":
        correction1, correction2 = 1 - beta1, 1 - beta2
    elif wrong == "no_correction":
        correction1 = correction2 = 1
    elif wrong == "second_not_corrected":
        correction2 = 1
    elif wrong == "correction_multiplied":
        correction1, correction2 = 1 / correction1, 1 / correction2
    mean = (old if wrong == "old_mean" else m) / correction1
    square = v / correction2
    if wrong == "eps_inside":
        parameter -= lr * mean / np.sqrt(square + eps)
    elif wrong == "eps_before_correction":
        parameter -= lr * mean * np.sqrt(correction2) / (np.sqrt(v) + eps)
    elif wrong == "root_forgotten":
        parameter -= lr * mean / (square + eps)
    elif wrong == "gradient_for_mean":
        parameter -= lr * gradient / (np.sqrt(square) + eps)
    elif wrong == "plus":
        parameter += lr * mean / (np.sqrt(square) + eps)
    else:
        parameter -= lr * mean / (np.sqrt(square) + eps)


def adam_decayed(parameter, gradient, slots, step, *, wrong=""):
    adam(parameter, gradient, slots, step, wrong=wrong, weight_decay=0.1)


def amsgrad(parameter, gradient, slots, step, *, wrong="", lr=0.02, beta1=0.9, beta2=0.97, eps=1e-8):
    m = slots["exp_avg"] = beta1 * _slot(slots, "exp_avg", parameter) + (1 - beta1) * gradient
    v = slots["exp_avg_sq"] = beta2 * _slot(slots, "exp_avg_sq", parameter) + (1 - beta2) * gradient**2
    largest = _slot(slots, "max_exp_avg_sq", parameter)
    corrected = v / (1 - beta2**step)
    if wrong == "maximum_of_corrected":
        largest[...] = np.maximum(largest, corrected)
        square = largest
    elif wrong == "maximum_forgotten":
        square = corrected
    else:
        largest[...] = np.maximum(largest, v)
        square = largest / (1 - beta2**step)
    parameter -= lr * (m / (1 - beta1**step)) / (np.sqrt(square) + eps)


# -- AdamW ------------------------------------------------------------------------------------------------------------


def adamw(parameter, gradient, slots, step, *, wrong="", lr=0.02, beta1=0.9, beta2=0.97, eps=1e-8, weight_decay=0.1):
    if wrong == "l2":
        gradient = gradient + weight_decay * parameter
    elif wrong == "decay_without_rate":
        parameter -= weight_decay * parameter
    elif wrong == "gradient_decayed":
        parameter -= lr * weight_decay * gradient
    elif wrong not in ("decay_last", "no_decay"):
        parameter -= lr * weight_decay * parameter
    m = slots["m"] = beta1 * slots.get("m", 0) + (1 - beta1) * gradient
    v = slots["v"] = beta2 * slots.get("v", 0) + (1 - beta2) * gradient**2
    corrected_m, corrected_v = m / (1 - beta1**step), v / (1 - beta2**step)
    parameter -= lr * corrected_m / (np.sqrt(corrected_v) + eps)
    if wrong == "decay_last":
        parameter -= lr * weight_decay * parameter


# -- RMSprop ----------------------------------------------------------------------------------------------------------


def rmsprop(parameter, gradient, slots, step, *, wrong="", lr=0.01, alpha=0.95, eps=1e-6):
    s = _slot(slots, "square_avg", parameter, 1.0 if wrong == "starts_at_one" else 0.0)
    old = s.copy()
    if wrong == "sum_of_squares":
        s[...] = alpha * s + gradient**2
    elif wrong == "alpha_exchanged":
        s[...] = (1 - alpha) * s + alpha * gradient**2
    elif wrong == "keras_alpha":
        s[...] = 0.9 * s + 0.1 * gradient**2
    else:
        s[...] = alpha * s + (1 - alpha) * gradient**2
    if wrong == "eps_inside":
        parameter -= lr * gradient / np.sqrt(s + eps)
    elif wrong == "root_forgotten":
        parameter -= lr * gradient / (s + eps)
    elif wrong == "old_average":
        parameter -= lr * gradient / (np.sqrt(old) + eps)
    else:
        parameter -= lr * gradient / (np.sqrt(s) + eps)


def rmsprop_centred(parameter, gradient, slots, step, *, wrong="", lr=0.01, alpha=0.95, eps=1e-6):
    s = slots["s"] = alpha * slots.get("s", 0) + (1 - alpha) * gradient**2
    mean = slots["mean"] = alpha * slots.get("mean", 0) + (1 - alpha) * gradient
    variance = s if wrong == "mean_not_subtracted" else s - mean**2
    parameter -= lr * gradient / (np.sqrt(variance) + eps)


# -- SGD with momentum ------------------------------------------------------------------------------------------------


def momentum(parameter, gradient, slots, step, *, wrong="", lr=0.05, mu=0.9, weight_decay=0.2):
    if wrong == "decoupled":
        parameter *= 1 - lr * weight_decay
    elif wrong != "decay_forgotten":
        gradient = gradient + weight_decay * parameter
    buffer = _slot(slots, "momentum_buffer", parameter)
    if wrong == "averaged":
        buffer[...] = mu * buffer + (1 - mu) * gradient
    elif wrong == "not_kept":
        buffer = mu * buffer + gradient
    elif wrong == "rate_inside":
        buffer[...] = mu * buffer + lr * gradient
        lr = 1
    else:
        buffer[...] = mu * buffer + gradient
    parameter -= lr * (gradient if wrong == "gradient_used" else buffer)


def momentum_dampened(parameter, gradient, slots, step, *, wrong="", lr=0.05, mu=0.9, dampening=0.3):
    if step == 1 and wrong != "first_step_too":
        slots["buffer"] = gradient.copy()
    elif wrong == "dampening_forgotten":
        slots["buffer"] = mu * slots["buffer"] + gradient
    else:
        slots["buffer"] = mu * slots.get("buffer", 0) + (1 - dampening) * gradient
    parameter -= lr * slots["buffer"]


def nesterov(parameter, gradient, slots, step, *, wrong="", lr=0.05, mu=0.9):
    old = slots.get("buffer", np.zeros_like(parameter))
    new = slots["buffer"] = mu * old + gradient
    if wrong == "plain":
        parameter -= lr * new
    elif wrong == "gradient_not_added":
        parameter -= lr * mu * new
    elif wrong == "looks_ahead_twice":
        parameter -= lr * (new + mu * new)
    else:
        parameter -= lr * (gradient + mu * new)


def velocity(parameter, gradient, slots, step, *, wrong=""):
    """The rate inside the buffer, which is the same path because this rate never moves."""
    v = slots["velocity"] = 0.9 * slots.get("velocity", 0) - 0.05 * gradient
    parameter += -v if wrong == "subtracted" else v


# -- Adagrad ----------------------------------------------------------------------------------------------------------


def adagrad(parameter, gradient, slots, step, *, wrong="", lr=0.1, lr_decay=0.05, start=0.5, eps=1e-6):
    total = _slot(slots, "sum", parameter, 0.0 if wrong == "starts_at_zero" else start)
    if wrong == "decaying_sum":
        total *= 0.9
        total += 0.1 * gradient**2
    else:
        total += gradient**2
    rate = lr / (1 + (step if wrong == "decay_from_one" else step - 1) * lr_decay)
    if wrong == "eps_inside":
        parameter -= rate * gradient / np.sqrt(total + eps)
    elif wrong == "root_forgotten":
        parameter -= rate * gradient / (total + eps)
    else:
        parameter -= rate * gradient / (np.sqrt(total) + eps)


# -- cases ------------------------------------------------------------------------------------------------------------


def _topic(name, function, reference, **options):
    return Topic(name, "optimizer", function, reference, {"options": options, "steps": 6})


ADAM = {"lr": 0.02, "betas": (0.9, 0.97)}

CASES = [
    *_topic("adam", adam, torch.optim.Adam, **ADAM).cases(
        [
            ("no_correction", "neither moment is corrected", {"bias correction missing"}),
            ("second_not_corrected", "the second moment is not corrected", {"bias correction missing"}),
            ("no_exponent", "the corrections are 1 - beta at every step", {"bias correction without exponent"}),
            ("correction_multiplied", "the moments are multiplied by the corrections", {"bias correction multiplied"}),
            ("step_from_two", "the step count of the corrections starts at two", {"step count off by one"}),
            ("eps_inside", "eps is added under the root", {"eps inside the root"}),
            ("eps_before_correction", "eps is added to the root before it is corrected", {"eps before the bias correction"}),
            ("root_forgotten", "the mean is divided by the second moment without its root", {"root left out"}),
            ("square_forgotten", "the second moment averages the absolute gradient", {"square left out"}),
            ("betas_swapped", "beta1 and beta2 have changed places", {"moments swapped"}),
            ("sum_of_gradients", "the first moment adds the whole gradient", {"moment without its average"}),
            ("old_mean", "the first moment is read before the gradient enters", {"moment of the old step"}),
            ("gradient_for_mean", "the gradient stands where the first moment belongs", {"momentum left out"}),
            ("plus", "the step is added", {"sign"}),
        ]
    ),
    *_topic("adam_decayed", adam_decayed, torch.optim.Adam, weight_decay=0.1, **ADAM).cases(
        [
            ("decay_forgotten", "the decay is not added to the gradient", {"missing penalty"}),
            ("decoupled", "the decay shrinks the parameter, as AdamW's does", {"decoupled decay instead of L2"}),
        ]
    ),
    *_topic("amsgrad", amsgrad, torch.optim.Adam, amsgrad=True, **ADAM).cases(
        [
            ("maximum_of_corrected", "the maximum is taken of the corrected second moment", {"maximum of the corrected moment"}),
            ("maximum_forgotten", "the maximum is left out", {"maximum left out"}),
        ]
    ),
    *_topic("adamw", adamw, torch.optim.AdamW, weight_decay=0.1, **ADAM).cases(
        [
            ("l2", "the decay is added to the gradient, as Adam's is", {"L2 instead of decoupled decay"}),
            ("decay_without_rate", "the decay is not multiplied by the learning rate", {"decay without the learning rate"}),
            ("decay_last", "the decay follows the update", {"decay order"}),
            ("no_decay", "there is no decay", {"missing penalty"}),
            ("gradient_decayed", "the gradient is subtracted where the parameter's decay belongs", {"wrong variable decayed"}),
        ]
    ),
    *_topic("rmsprop", rmsprop, torch.optim.RMSprop, lr=0.01, alpha=0.95, eps=1e-6).cases(
        [
            ("eps_inside", "eps is added under the root", {"eps inside the root"}),
            ("sum_of_squares", "the average adds the whole square", {"moment without its average"}),
            ("alpha_exchanged", "alpha weighs the new square, not the old average", {"moment without its average", "moments swapped"}),
            ("starts_at_one", "the average starts at one, as TensorFlow's does", {"slot starts elsewhere"}),
            ("root_forgotten", "the gradient is divided by the average without its root", {"root left out"}),
            ("old_average", "the average is read before the gradient enters", {"moment of the old step"}),
            ("keras_alpha", "alpha is another number than the option", set()),
        ]
    ),
    *_topic("rmsprop_centred", rmsprop_centred, torch.optim.RMSprop, lr=0.01, alpha=0.95, eps=1e-6, centered=True).cases(
        [("mean_not_subtracted", "the mean is not subtracted", {"centring"})]
    ),
    *_topic("momentum", momentum, torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.2).cases(
        [
            ("averaged", "the buffer adds (1 - mu) g", {"dampening", "moment without its average"}),
            ("not_kept", "the buffer is not stored", {"momentum left out"}),
            ("rate_inside", "the buffer holds steps, and the rate moves half-way", {"learning rate inside the momentum buffer"}),
            ("gradient_used", "the update uses the gradient, not the buffer", {"momentum left out"}),
            ("decoupled", "the decay shrinks the parameter and never enters the buffer", {"decoupled decay instead of L2"}),
            ("decay_forgotten", "there is no decay", {"missing penalty"}),
        ]
    ),
    *_topic("momentum_dampened", momentum_dampened, torch.optim.SGD, lr=0.05, momentum=0.9, dampening=0.3).cases(
        [
            ("first_step_too", "the first step is dampened too", {"dampening on the first step"}),
            ("dampening_forgotten", "dampening is left out", {"dampening"}),
        ]
    ),
    *_topic("nesterov", nesterov, torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True).cases(
        [
            ("plain", "there is no look-ahead", {"nesterov"}),
            ("gradient_not_added", "the look-ahead lacks the gradient", {"nesterov", "missing term"}),
            ("looks_ahead_twice", "the look-ahead adds the new buffer where the gradient belongs", {"nesterov"}),
        ]
    ),
    *_topic("velocity", velocity, torch.optim.SGD, lr=0.05, momentum=0.9).cases(
        [("subtracted", "a velocity that is to be added is subtracted", {"sign"})]
    ),
    *_topic("adagrad", adagrad, torch.optim.Adagrad, lr=0.1, lr_decay=0.05, initial_accumulator_value=0.5, eps=1e-6).cases(
        [
            ("eps_inside", "eps is added under the root", {"eps inside the root"}),
            ("starts_at_zero", "the sum starts at zero, not at the option", {"slot starts elsewhere"}),
            ("decay_from_one", "the rate's decay counts the first step as one", {"step count off by one", "schedule off by one"}),
            ("root_forgotten", "the gradient is divided by the sum without its root", {"root left out"}),
            ("decaying_sum", "the sum forgets, as RMSprop's average does", {"wrong function"}),
        ]
    ),
]  # fmt: skip
