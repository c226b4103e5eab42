"""The linear support vector machine, by (sub)gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from manual.classic.model import LinearModel, choose
from manual.rules.core import Array

__all__ = ["LinearSVM"]


class LinearSVM(LinearModel):
    """Two classes with a margin: a row costs nothing once it is on the right side by at least 1.

    With labels y of 0 and 1, signs ``s = 2y - 1``, and the slack ``t_i = max(0, 1 - s_i z_i)`` where ``z = w x + b``:

        "course":  J = C sum_i t_i   + 1/2 |w|^2                      (and scikit-learn's ``LinearSVC``)
        "mean":    J = 1/m sum_i t_i + 1/(2 C m) |w|^2

    The first is ``C m`` times the second, so both have their minimum at the same place, and the second shows that
    ``lambda = 1/C`` in the penalty ``lambda/(2m)`` of the other models. ``loss="squared_hinge"`` has ``t_i^2`` for
    ``t_i``.

    Derivation
        ``dt/dz = -s`` where ``s z < 1``, and 0 where ``s z > 1``: only rows inside the margin, the *support vectors*,
        pull. With ``D = C dt/dz`` of shape (m, 1):

            dJ/dw = -C sum_{i: s_i z_i < 1} s_i x_i + w        dJ/db = -C sum_{i: s_i z_i < 1} s_i

        For the squared hinge each of those rows pulls with ``2 t_i`` instead of 1, and there is no kink.

    Parameters
    ----------
    features : int
        n.
    C : float
        What a violated margin costs: small C, wide margin and many support vectors; large C, few errors.
    rows : int
        m, the rows of the *whole* training set. A micro-batch's own data loss is ``C m`` times its mean slack, so that
        micro-batches, whose weights add up to one, make up ``C sum_i t_i``; and the penalty enters once.
    loss : "hinge" or "squared_hinge"
    convention : "course" or "mean"
    dtype : dtype

    Notes
    -----
    Convention: exactly on the margin, ``s z = 1``, the hinge has every slope between -s and 0. Here it is 0, as
    autograd has it for ``torch.relu(1 - s z)``; written ``torch.clamp(1 - s z, min=0)`` PyTorch answers -s. The
    intercept is not penalised; liblinear, and so ``LinearSVC``, does penalise it. On the boundary, z = 0, the answer is
    class 1.

    Raises
    ------
    ValueError
        If an option is unknown or ``C`` not positive, or, when it is used, a shape or a label does not fit.

    Examples
    --------
    >>> model = classic.LinearSVM(1, rows=2)
    >>> evaluation = model.evaluate(np.array([[1.0], [3.0]]), np.array([0, 1]))
    >>> evaluation.loss["total"]
    np.float64(2.0)
    >>> evaluation.gradients
    {'linear.weight': array([[-2.]]), 'linear.bias': array([0.])}
    """

    def __init__(
        self,
        features: int,
        *,
        rows: int,
        C: float = 1.0,
        loss: str = "hinge",
        convention: str = "course",
        dtype: DTypeLike = np.float64,
    ):
        if not 0 < C < float("inf"):
            raise ValueError(f"C is {C}; it must be positive")
        if rows < 1:
            raise ValueError(f"rows is {rows}; it is the number of rows of the whole training set")
        self.loss = choose("loss", loss, ("hinge", "squared_hinge"))
        self.convention = choose("convention", convention, ("course", "mean"))
        self._factor = C * rows if convention == "course" else 1.0
        super().__init__(features, 1, decay=self._factor / (C * rows), dtype=dtype)

    def _losses_and_slopes(self, z: Array, y: Array) -> tuple[Array, Array]:
        signs = 2.0 * y
        signs -= 1.0
        slack = np.maximum(1.0 - signs * z, 0.0)
        if self.loss == "hinge":
            losses = self._factor * slack
            slopes = np.multiply(signs, -self._factor, out=signs)
            slopes = slopes * (slack.real > 0)
        else:
            losses = self._factor * (slack * slack)
            slopes = (-2.0 * self._factor) * (signs * slack)
        return losses[:, 0], slopes

    def predict(self, x: Array) -> Array:
        """Class 1 where ``z >= 0``, shape (m,)."""
        return (self.forward(x)[:, 0] >= 0).astype(np.int64)
