"""The constants that stand between the course, PyTorch and scikit-learn, by name.

All of them follow from one fact: multiplying a whole cost by a positive number moves no minimum, but multiplies every
gradient; so a constant on the cost is made good by its inverse on the learning rate, and a penalty means something only
in proportion to the data term beside it.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "C_from_lambda",
    "course_cost_from_mse",
    "course_rate_from_torch_rate",
    "lambda_from_C",
    "lambda_from_weight_decay",
    "mean_from_sum",
    "mse_from_course_cost",
    "sum_from_mean",
    "svm_C_from_lambda",
    "svm_lambda_from_C",
    "svm_mean_from_sum_form",
    "svm_sum_form_from_mean",
    "torch_rate_from_course_rate",
    "weight_decay_from_lambda",
]


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} is {value}; the conversion needs a positive, finite number")


# -- the half ----------------------------------------------------------------------------------------------------------


def mse_from_course_cost(cost: Any) -> Any:
    """``1/m sum r^2`` (``torch.nn.MSELoss``) from the course's ``1/(2m) sum r^2``: twice. Gradients likewise.

    Shapes: a scalar or an array, element by element. Raises nothing.

    Examples
    --------
    >>> classic.mse_from_course_cost(1.5)
    3.0
    """
    return 2.0 * cost


def course_cost_from_mse(mse: Any) -> Any:
    """The course's ``1/(2m) sum r^2`` from ``1/m sum r^2``: half. Gradients likewise.

    Shapes: a scalar or an array, element by element. Raises nothing.

    Examples
    --------
    >>> classic.course_cost_from_mse(3.0)
    1.5
    """
    return 0.5 * mse


def torch_rate_from_course_rate(learning_rate: float) -> float:
    """The learning rate that makes the same steps on ``MSELoss``, whose gradient is twice the course's: half.

    Shapes: a scalar or an array, element by element. Raises nothing.

    Examples
    --------
    >>> classic.torch_rate_from_course_rate(0.5)
    0.25
    """
    return 0.5 * learning_rate


def course_rate_from_torch_rate(learning_rate: float) -> float:
    """The learning rate that makes the same steps on the course's cost, whose gradient is half as long: twice.

    Shapes: a scalar or an array, element by element. Raises nothing.

    Examples
    --------
    >>> classic.course_rate_from_torch_rate(0.25)
    0.5
    """
    return 2.0 * learning_rate


# -- 1/m against the sum -----------------------------------------------------------------------------------------------


def sum_from_mean(value: Any, rows: int) -> Any:
    """A cost or gradient with ``reduction="sum"`` from the mean over ``rows``.

    Shapes: a scalar or an array, element by element. Raises nothing.

    Examples
    --------
    >>> classic.sum_from_mean(1.5, rows=4)
    6.0
    """
    _positive(rows=rows)
    return value * float(rows)


def mean_from_sum(value: Any, rows: int) -> Any:
    """The mean over ``rows`` of a cost or gradient with ``reduction="sum"``.

    Shapes: a scalar or an array, element by element. Raises nothing.

    Examples
    --------
    >>> classic.mean_from_sum(6.0, rows=4)
    1.5
    """
    _positive(rows=rows)
    return value / float(rows)


# -- lambda against C --------------------------------------------------------------------------------------------------


def C_from_lambda(lambda_: float) -> float:  # noqa: N802 (C is scikit-learn's name)
    """scikit-learn's C from the course's lambda: ``C = 1 / lambda``.

    scikit-learn's ``LogisticRegression`` minimises ``C sum_i l_i + |w|^2 / 2``. The course minimises ``1/m sum_i l_i +
    lambda/(2m) |w|^2``; times ``m / lambda`` that is ``1/lambda sum_i l_i + |w|^2 / 2``. The rows cancel.

    Shapes: a scalar or an array, element by element. Raises ``ValueError`` for 0.

    Examples
    --------
    >>> classic.C_from_lambda(4.0)
    0.25
    """
    _positive(lambda_=lambda_)
    return 1.0 / lambda_


def lambda_from_C(C: float) -> float:  # noqa: N802 (C is scikit-learn's name)
    """The course's lambda from scikit-learn's C: ``lambda = 1 / C``.

    Shapes: a scalar or an array, element by element. Raises ``ValueError`` for 0.

    Examples
    --------
    >>> classic.lambda_from_C(0.25)
    4.0
    """
    _positive(C=C)
    return 1.0 / C


def svm_C_from_lambda(lambda_: float) -> float:  # noqa: N802 (C is the course's name)
    """The C of the course's SVM and of ``LinearSVC`` from lambda: ``C = 1 / lambda``.

    ``C sum_i t_i + |w|^2 / 2`` has its minimum where ``1/m sum_i t_i + lambda/(2m) |w|^2`` has it. The same ``1 /
    lambda`` as for logistic regression, and for the same reason; it says nothing of the size of the cost, which
    ``svm_sum_form_from_mean`` converts.

    Shapes: a scalar or an array, element by element. Raises ``ValueError`` for 0.

    Examples
    --------
    >>> classic.svm_C_from_lambda(4.0)
    0.25
    """
    return C_from_lambda(lambda_)


def svm_lambda_from_C(C: float) -> float:  # noqa: N802 (C is the course's name)
    """The lambda of ``1/m sum_i t_i + lambda/(2m) |w|^2`` from the C of ``C sum_i t_i + |w|^2 / 2``.

    Shapes: a scalar or an array, element by element. Raises ``ValueError`` for 0.

    Examples
    --------
    >>> classic.svm_lambda_from_C(0.25)
    4.0
    """
    return lambda_from_C(C)


def svm_sum_form_from_mean(value: Any, C: float, rows: int) -> Any:
    """Multiply ``1/m sum_i t_i + 1/(2 C m) |w|^2``, or its gradient, by ``C m``: ``C sum_i t_i + |w|^2 / 2``.

    Shapes: a scalar or an array, element by element. Raises nothing.

    Examples
    --------
    >>> classic.svm_sum_form_from_mean(1.5, C=2.0, rows=4)
    12.0
    """
    _positive(C=C, rows=rows)
    return value * (C * rows)


def svm_mean_from_sum_form(value: Any, C: float, rows: int) -> Any:
    """Divide ``C sum_i t_i + |w|^2 / 2``, or its gradient, by ``C m``: ``1/m sum_i t_i + 1/(2 C m) |w|^2``.

    Shapes: a scalar or an array, element by element. Raises nothing.

    Examples
    --------
    >>> classic.svm_mean_from_sum_form(12.0, C=2.0, rows=4)
    1.5
    """
    _positive(C=C, rows=rows)
    return value / (C * rows)


# -- lambda against weight decay ---------------------------------------------------------------------------------------


def weight_decay_from_lambda(lambda_: float, rows: int) -> float:
    """``torch.optim.SGD``'s ``weight_decay`` from the course's lambda: ``lambda / m``.

    The penalty ``lambda/(2m) |w|^2`` has the gradient ``lambda/m w``, and ``weight_decay`` adds ``weight_decay * w`` to
    the gradient. It does so for *every* parameter of its group: biases belong into a group of their own, with 0. (In
    the "torch" convention of ``LinearRegression`` the whole cost is doubled, and so is this.) It holds for SGD, with or
    without momentum; Adam rescales the sum of both gradients, and AdamW decays apart from the gradient.

    Shapes: a scalar or an array, element by element. Raises nothing.

    Examples
    --------
    >>> classic.weight_decay_from_lambda(2.0, rows=4)
    0.5
    """
    _positive(rows=rows)
    return lambda_ / rows


def lambda_from_weight_decay(weight_decay: float, rows: int) -> float:
    """The course's lambda from ``torch.optim.SGD``'s ``weight_decay``: ``m`` times.

    Shapes: a scalar or an array, element by element. Raises nothing.

    Examples
    --------
    >>> classic.lambda_from_weight_decay(0.5, rows=4)
    2.0
    """
    _positive(rows=rows)
    return weight_decay * rows
