"""The built-in catalogue.

An experiment is a function of a :class:`compare.experiment.Setting` that returns a :class:`compare.experiment.Study`.
To add one: write the function in a module of this folder, say what it shows in ``compare/names.py``, enter it below.
"""

from compare.experiment import Experiment
from compare.experiments.descent import gradient_accumulation, simultaneous_update
from compare.experiments.logic import logic_gates
from compare.experiments.logistic import logistic_regression, logistic_regression_l2
from compare.experiments.margin import linear_svm
from compare.experiments.mazur import backprop_by_hand
from compare.experiments.multiclass import one_vs_all, softmax_regression
from compare.experiments.networks import mlp_digits, mlp_digits_adamw, mlp_dropout
from compare.experiments.numeric import numeric_gradient
from compare.experiments.regression import linear_regression, ridge_regression
from compare.names import NAMES

__all__ = ["CATALOGUE"]

_BUILDERS = (
    linear_regression,
    ridge_regression,
    logistic_regression,
    logistic_regression_l2,
    one_vs_all,
    softmax_regression,
    linear_svm,
    simultaneous_update,
    gradient_accumulation,
    logic_gates,
    numeric_gradient,
    backprop_by_hand,
    mlp_digits,
    mlp_digits_adamw,
    mlp_dropout,
)

CATALOGUE = {
    name: Experiment(name, NAMES[name], build)
    for name, build in ((build.__name__.replace("_", "-"), build) for build in _BUILDERS)
}
"""Every experiment by name, in the order in which they are run."""
