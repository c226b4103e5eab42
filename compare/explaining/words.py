"""The vocabulary of reports, and what each phase of a step is."""

from __future__ import annotations

__all__ = ["PHASE_TEXTS", "WORDS"]

PHASE_TEXTS = {
    "init": "Parameters and buffers before the first step. If they differ, nothing after them can agree.",
    "forward": "The outputs of every module, in the order in which they run, for each micro-batch.",
    "loss": "The data term with its numerator and denominator, each penalty, and the total, for each micro-batch.",
    "backward": "The gradient of the micro-batch's own mean loss with respect to every module's outputs and "
    "inputs. The "
    "micro-batch's weight does not enter here: it enters at `deposit`.",
    "deposit": "What the backward pass of one micro-batch hands to each parameter, before it is added to what "
    "is there: "
    "its gradient times the micro-batch's weight. In PyTorch a tensor hook on the leaf sees it.",
    "accumulated": "Each parameter's `.grad` after a micro-batch: the sum of the deposits so far.",
    "clip": "The total norm of all gradients, and the gradients after clipping.",
    "slots": "Every tensor of optimizer state (momentum, moments, step counts) after the update.",
    "update": "The change of each parameter. A wrong update hides behind a large weight; the change shows it.",
    "parameter": "The parameters after the step. A small wrong change of a large weight is easier to see at `update`.",
    "buffer": "The buffers after the step: running means and variances.",
    "schedule": "The learning rates in force after the schedule has moved.",
}

WORDS = {
    "pullback": "A function that maps the gradient of an op's output (the incoming gradient) to the gradients of its "
    "inputs. It is the op's backward pass; what its closure holds are the saved values.",
    "incoming gradient": "The derivative of the loss with respect to an op's output, as it arrives from the ops behind "
    "it. Examples here draw it at random: with ones everywhere, the input gradient of softmax and of every norm layer "
    "is zero, and any wrong formula passes.",
    "saved values": "What the forward pass keeps for the pullback.",
    "slot": "One tensor of optimizer state that belongs to one parameter, such as Adam's `exp_avg`.",
    "checkpoint": "One tensor at one moment of a run: step, micro-batch, phase, name.",
    "actual": "The side under test: your code, the manual wing, a recorded trace.",
    "expected": "The side it is held against: the reference, mostly PyTorch.",
    "divergence": "A checkpoint at which the two sides lie further apart than the noise floor allows.",
    "first divergence": "The earliest divergence in the order of execution whose own inputs still agree. What comes "
    "after it may only have inherited the error.",
    "culprit": "The piece of code to look at: the module, the loss, the penalty, the accumulation, the clip, the "
    "optimizer or the scheduler whose inputs agree and whose result does not.",
    "noise floor": "How far apart two honest computations of the same tensor may lie. It is measured: the reference is "
    "run again with every result moved by the last bit of its dtype, and the spread is the floor. Distances are given "
    "in multiples of it; up to five are allowed.",
    "ulp": "Unit in the last place: the distance from a floating-point number to the next one. 1 ulp of a float64 near "
    "1 is 2.2e-16.",
    "kink": "A place where a function has no derivative, or more than one: ReLU at zero, a tie in `max`, the end of a "
    "clip. Either branch is right there.",
    "control": "An honest rewrite: the same mathematics in other arithmetic. It must stay silent.",
    "contrast": "A planted mistake in an experiment that must part exactly where it must; it shows that the check is "
    "awake.",
    "claim": "A number that an experiment must reach, such as an accuracy or a printed value.",
    "equivalent": "The outcome of a run in which everything that was promised was compared, and agrees. Exit code 0.",
    "diverged": "The outcome of a run in which a checkpoint parts. Exit code 1.",
    "abstained": "The outcome of a run from which nothing can be concluded: nothing informative was compared, "
    "or a side "
    "does not agree with itself. Exit code 3.",
    "error": "The outcome of a run in which a side raised. Exit code 4.",
    "uninformative": "Said of a checkpoint that could not have shown a mistake: all zero, constant where it "
    "should vary, "
    "or the gradient through an op that is blind to what arrives.",
    "own": "Said of a divergence whose inputs agree: the error is made here.",
    "inherited": "Said of a divergence whose inputs differ already: the error was made earlier.",
    "micro-batch": "A part of a batch that is passed through the model on its own; the gradients of all parts "
    "are added.",
    "weight of a micro-batch": "Its share of the batch's loss denominator (rows, or tokens that count). The "
    "weights of a "
    "batch add up to one.",
}
