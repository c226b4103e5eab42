"""What every built-in experiment shows, in the order in which they are run; importing this costs nothing."""

__all__ = ["NAMES"]

NAMES = {
    "linear-regression": "diabetes; gradient descent to the normal equations' solution",
    "ridge-regression": "diabetes; the same with a penalty that leaves the intercept out",
    "logistic-regression": "breast cancer; plain gradient descent with a falling rate",
    "logistic-regression-l2": "breast cancer; a path of lambda from none to very large, training and held-out loss",
    "one-vs-all": "iris and digits; K independent heads, the surest answers",
    "softmax-regression": "iris and digits; one softmax over all classes",
    "linear-svm": "breast cancer; what C does, lambda against C",
    "simultaneous-update": "all parameters at once agrees with an optimizer step; one after the other must part",
    "gradient-accumulation": "full batch, equal and unequal micro-batches: one gradient; the mean of means must part",
    "logic-gates": "AND, OR, NOR as single units; no line separates XNOR, a 2-2-1 network learns it",
    "numeric-gradient": "backprop beside central differences and the complex step: error and cost",
    "backprop-by-hand": "Matt Mazur's worked example, and the mistake in its last printed number",
    "mlp-digits": "a network on the digits: accumulation, clipping, schedule, several epochs",
    "mlp-digits-adamw": "the same with AdamW, at its defaults and under stress",
    "mlp-dropout": "dropout whose masks are recorded from the reference and replayed",
}
