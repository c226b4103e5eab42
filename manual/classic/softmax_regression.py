"""Softmax regression: several classes by one distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from manual.classic.model import LinearModel, class_labels, decay_of
from manual.rules.core import Array

__all__ = ["SoftmaxRegression"]


class SoftmaxRegression(LinearModel):
    """Several classes with probabilities that add up to one.

    With ``Z = X W^T + b`` of shape (m, K), ``P_ik = exp(z_ik) / sum_j exp(z_ij)``, and labels c of 0 to K - 1:

        J = -1/m sum_i log P[i, c_i] + lambda/(2m) |W|^2
          =  1/m sum_i [log sum_j exp(z_ij) - z_i,c_i] + lambda/(2m) |W|^2

    Derivation
        ``d/dz_k log sum_j exp(z_j) = exp(z_k) / sum_j exp(z_j) = p_k``, and ``d/dz_k z_c = 1`` if ``k = c``, else 0.
        So the slope is ``P - Y`` with the one-hot rows Y, and with ``D = (P - Y)/m`` of shape (m, K):

            dJ/dW = 1/m (P - Y)^T X + lambda/m W        dJ/db = 1/m column sums of (P - Y)

        Each row of D adds up to zero: softmax moves probability between classes and creates none.

    Stability
        ``log sum exp`` does not change if the row's maximum is taken off first and added again; then no exponent is
        positive and one of them is 0, so nothing overflows and the logarithm's argument is at least 1.

    Parameters
    ----------
    features, classes : int
        n and K. Labels are integers from 0 to K - 1.
    lambda_, rows, dtype
        As in ``LogisticRegression``; ``lambda = 1/C`` of scikit-learn's multinomial logistic regression.

    Notes
    -----
    Convention: the mean of ``torch.nn.CrossEntropyLoss``. Adding one vector to every row of W changes no probability,
    so without a penalty the minimum is not unique. A tie between classes is answered with the first of them.

    Raises
    ------
    ValueError
        If ``lambda_`` is negative or without ``rows``, or, when it is used, a shape or a label does not fit.

    Examples
    --------
    >>> model = classic.SoftmaxRegression(1, 2)
    >>> evaluation = model.evaluate(np.array([[1.0], [3.0]]), np.array([0, 1]))
    >>> evaluation.loss["total"].round(4)
    np.float64(0.6931)
    >>> evaluation.gradients
    {'linear.weight': array([[ 0.5],
           [-0.5]]), 'linear.bias': array([0., 0.])}
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
        return class_labels(y, rows, self.classes)

    def _losses_and_slopes(self, z: Array, y: Array) -> tuple[Array, Array]:
        each = np.arange(len(z)), y
        shifted = z - z.real.max(1, keepdims=True)
        losses = -shifted[each]
        p = np.exp(shifted, out=shifted)
        normaliser = p.sum(1, keepdims=True)
        losses += np.log(normaliser[:, 0])
        p /= normaliser
        p[each] -= 1.0
        return losses, p

    def predict_probability(self, x: Array) -> Array:
        """``P``, shape (m, K)."""
        z = self.forward(x)
        z -= z.max(1, keepdims=True)
        p = np.exp(z, out=z)
        p /= p.sum(1, keepdims=True)
        return p

    def predict(self, x: Array) -> Array:
        """The most probable class, shape (m,)."""
        return self.forward(x).argmax(1)
