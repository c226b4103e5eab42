"""Logistic regression, plain and regularised."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from manual.classic.functions import binary_cross_entropy, sigmoid
from manual.classic.model import LinearModel, decay_of
from manual.rules.core import Array

__all__ = ["LogisticRegression"]


class LogisticRegression(LinearModel):
    """Two classes, told apart by ``h(x) = sigmoid(w x + b)``.

    The cost, with labels ``y`` of 0 and 1 and ``z = w x + b``:

        J = -1/m sum_i [y log h + (1 - y) log(1 - h)] + lambda/(2m) |w|^2
          =  1/m sum_i [softplus(z_i) - y_i z_i]      + lambda/(2m) |w|^2

    (the second line because ``log h = z - softplus(z)`` and ``log(1 - h) = -softplus(z)``; it is finite for every z).

    Derivation
        ``softplus'(z) = sigmoid(z)``, so one row's loss has the slope ``sigmoid(z) - y = h - y``. Through the linear
        map (see ``LinearModel``), with ``D = (h - y)/m`` of shape (m, 1):

            dJ/dw = 1/m X^T (h - y) + lambda/m w        dJ/db = 1/m sum_i (h_i - y_i)

        which has the form of linear regression's; only ``h`` is another.

    Parameters
    ----------
    features : int
        n.
    lambda_ : float
        Strength of the penalty, which leaves the intercept out. ``lambda = 1/C`` of scikit-learn.
    rows : int, optional
        The m of the penalty: rows of the *whole* training set, so that the micro-batches of a batch, whose weights add
        up to one, contain the penalty once. Needed where ``lambda_`` is positive.
    dtype : dtype

    Notes
    -----
    Convention: the course's mean 1/m is the mean of ``torch.nn.BCEWithLogitsLoss``; no constant stands between them.
    A tie ``h = 1/2`` (z = 0) is answered with class 1.

    Raises
    ------
    ValueError
        If ``lambda_`` is negative or without ``rows``, or, when it is used, a shape does not fit.

    Examples
    --------
    >>> model = classic.LogisticRegression(1)
    >>> evaluation = model.evaluate(np.array([[1.0], [3.0]]), np.array([0, 1]))
    >>> evaluation.loss["total"].round(4)
    np.float64(0.6931)
    >>> evaluation.gradients
    {'linear.weight': array([[-0.5]]), 'linear.bias': array([0.])}
    """

    def __init__(self, features: int, *, lambda_: float = 0.0, rows: int | None = None, dtype: DTypeLike = np.float64):
        super().__init__(features, 1, decay=decay_of(lambda_, rows), dtype=dtype)

    def _losses_and_slopes(self, z: Array, y: Array) -> tuple[Array, Array]:
        losses, slopes = binary_cross_entropy(z, y)
        return losses[:, 0], slopes

    def _slopes(self, z: Array, y: Array) -> Array:
        slopes = sigmoid(z)
        slopes -= y
        return slopes

    def predict_probability(self, x: Array) -> Array:
        """``h(x)``, the probability of class 1, shape (m,)."""
        return sigmoid(self.forward(x))[:, 0]

    def predict(self, x: Array) -> Array:
        """Class 1 where ``z >= 0``, shape (m,)."""
        return (self.forward(x)[:, 0] >= 0).astype(np.int64)
