"""One-vs-all: several classes by independent logistic regressions."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from manual.classic.functions import binary_cross_entropy, sigmoid
from manual.classic.model import LinearModel, class_labels, decay_of
from manual.rules.core import Array

__all__ = ["OneVsAll"]


class OneVsAll(LinearModel):
    """One logistic regression per class, each asking "this class or any other?"; the surest one answers.

    The cost is the sum of the K costs, where head k has the labels ``Y[i, k] = 1`` if row i is of class k, else 0:

        J = sum_k { 1/m sum_i [softplus(z_ik) - Y_ik z_ik] + lambda/(2m) |W_k|^2 }

    Derivation
        No term contains two heads, so the gradient by ``W_k`` is that of logistic regression on the labels
        ``Y[:, k]``, and minimising the sum minimises each. All heads at once, with ``H = sigmoid(X W^T + b)`` and
        ``D = (H - Y)/m`` of shape (m, K):

            dJ/dW = 1/m (H - Y)^T X + lambda/m W        dJ/db = 1/m column sums of (H - Y)

    The heads' probabilities need not add up to one; that is what ``SoftmaxRegression`` adds.

    Parameters
    ----------
    features, classes : int
        n and K. Labels are integers from 0 to K - 1.
    lambda_, rows, dtype
        As in ``LogisticRegression``.

    Raises
    ------
    ValueError
        If ``lambda_`` is negative or without ``rows``, or, when it is used, a shape or a label does not fit.

    Examples
    --------
    >>> model = classic.OneVsAll(1, 3)
    >>> evaluation = model.evaluate(np.array([[1.0], [3.0]]), np.array([0, 2]))
    >>> evaluation.loss["total"].round(4), round(3 * np.log(2.0), 4)
    (np.float64(2.0794), np.float64(2.0794))
    >>> evaluation.gradients["linear.bias"]
    array([0. , 0.5, 0. ])
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        lambda_: float = 0.0,
        rows: int | None = None,
        dtype: DTypeLike = np.float64,
    ):
        super().__init__(features, classes, decay=decay_of(lambda_, rows), dtype=dtype)
        self.classes = classes

    def _targets(self, y: Array, rows: int) -> Array:
        targets = np.zeros((rows, self.classes), self.dtype)
        targets[np.arange(rows), class_labels(y, rows, self.classes)] = 1.0
        return targets

    def _losses_and_slopes(self, z: Array, y: Array) -> tuple[Array, Array]:
        losses, slopes = binary_cross_entropy(z, y)
        return losses.sum(1), slopes

    def predict_probability(self, x: Array) -> Array:
        """Each head's own probability, shape (m, K)."""
        return sigmoid(self.forward(x))

    def predict(self, x: Array) -> Array:
        """The class of the greatest logit (the sigmoid is increasing, so of the greatest probability), shape (m,)."""
        return self.forward(x).argmax(1)
