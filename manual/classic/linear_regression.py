"""Linear regression and ridge regression, by gradient descent and by the normal equations."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from manual.classic.model import LinearModel, choose, decay_of
from manual.rules.core import Array

__all__ = ["LinearRegression", "normal_equations"]


class LinearRegression(LinearModel):
    """Least squares on ``h(x) = w x + b``; with a positive ``lambda_``, ridge regression.

    The cost, with residuals ``r = X w^T + b - y`` of shape (m, 1), in two conventions:

        "course":  J = 1/(2m) sum_i r_i^2 + lambda/(2m) |w|^2
        "torch":   J = 1/m    sum_i r_i^2 + lambda/m    |w|^2          (the mean of ``torch.nn.MSELoss``)

    The second is twice the first, penalty included, so both have their minimum at the same place.

    Derivation
        In the course's convention one row's loss ``r^2/2`` has the slope ``r``: the half is there to cancel the
        exponent. Through the linear map (see ``LinearModel``), with ``D = r/m`` of shape (m, 1):

            dJ/dw = 1/m X^T r + lambda/m w        dJ/db = 1/m sum_i r_i

        With a column of ones in front, ``A = [1 X]`` of shape (m, n+1) and ``theta = (b, w)``, both lines are the
        course's single one, ``dJ/dtheta = 1/m A^T (A theta - y)``. In torch's convention everything doubles.

    Parameters
    ----------
    features : int
        n.
    convention : "course" or "torch"
    lambda_ : float
        Strength of the penalty, which leaves the intercept out. It equals scikit-learn's ``Ridge(alpha)``.
    rows : int, optional
        The m of the penalty: rows of the *whole* training set, so that the micro-batches of a batch, whose weights add
        up to one, contain the penalty once. Needed where ``lambda_`` is positive.
    dtype : dtype

    Raises
    ------
    ValueError
        If the convention is unknown, ``lambda_`` negative or without ``rows``, or, when it is used, a shape does not
        fit.

    Examples
    --------
    >>> model = classic.LinearRegression(1)
    >>> evaluation = model.evaluate(np.array([[1.0], [3.0]]), np.array([2.0, 4.0]))
    >>> evaluation.loss["total"]
    np.float64(5.0)
    >>> evaluation.gradients
    {'linear.weight': array([[-7.]]), 'linear.bias': array([-3.])}
    """

    def __init__(
        self,
        features: int,
        *,
        convention: str = "course",
        lambda_: float = 0.0,
        rows: int | None = None,
        dtype: DTypeLike = np.float64,
    ):
        self.convention = choose("convention", convention, ("course", "torch"))
        self._factor = 1.0 if convention == "course" else 2.0
        super().__init__(features, 1, decay=decay_of(lambda_, rows, self._factor), dtype=dtype)

    def _losses_and_slopes(self, z: Array, y: Array) -> tuple[Array, Array]:
        r = z - y
        slopes = self._factor * r
        return 0.5 * (slopes * r)[:, 0], slopes

    def predict(self, x: Array) -> Array:
        """``w x + b``, shape (m,)."""
        return self.forward(x)[:, 0]

    def accuracy(self, x: Array, y: Array) -> float:
        """What a regression has in its place: ``R^2 = 1 - sum r^2 / sum (y - mean y)^2``; 1 is perfect, 0 the mean."""
        y = np.asarray(y, self.dtype).reshape(-1)
        residual, spread = self.predict(x) - y, y - y.mean()
        return float(1.0 - (residual @ residual) / (spread @ spread))


def normal_equations(x: Array, y: Array, lambda_: float = 0.0) -> dict[str, Array]:
    """Solve linear or ridge regression in one step, without penalising the intercept.

    Shapes: ``x (m, n)``, ``y (m,)``; weights and intercept as the parameters of :class:`LinearRegression`.

    Parameters
    ----------
    x : array (m, n)
    y : array (m,)
    lambda_ : float

    Returns
    -------
    ``{"linear.weight": (1, n), "linear.bias": (1,)}``, of the dtype of ``x``.

    Derivation
        Put the gradient of ``LinearRegression`` to zero. The bias's line, ``sum_i r_i = 0``, says that the
        residuals' mean vanishes: ``b = mean(y) - w mean(x)``. Put that into the other line: with centred columns
        ``Xc = X - mean(x)`` and ``yc = y - mean(y)``

            Xc^T (Xc w - yc) + lambda w = 0      so      (Xc^T Xc + lambda I) w = Xc^T yc .

        Centring is what "the intercept is not penalised" comes to; it is the course's ``(A^T A + lambda L) theta =
        A^T y``, ``L`` the identity with a zero for the intercept, with the intercept eliminated (and better
        conditioned: the means no longer enter the squares). The rows m do not appear: 1/m divides both terms.

    Raises
    ------
    ValueError
        If ``Xc^T Xc + lambda I`` is singular: with lambda = 0, when a column is constant, a combination of others, or
        when there are fewer rows than columns.

    Examples
    --------
    >>> classic.normal_equations(np.array([[1.0], [3.0]]), np.array([3.0, 7.0]))
    {'linear.weight': array([[2.]]), 'linear.bias': array([1.])}
    """
    x = np.asarray(x)
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    y = np.asarray(y, x.dtype).reshape(len(x))
    mean_x, mean_y = x.mean(0), y.mean()
    centred = x - mean_x
    system = centred.T @ centred
    system[np.diag_indices_from(system)] += lambda_
    rank = np.linalg.matrix_rank(system, hermitian=True)
    if rank < len(system):
        raise ValueError(
            f"the normal equations are singular: rank {rank} of {len(system)} columns; "
            "drop columns that are constant or repeat others, or take lambda_ > 0"
        )
    weight = np.linalg.solve(system, centred.T @ (y - mean_y))
    return {"linear.weight": weight[None], "linear.bias": np.atleast_1d(mean_y - mean_x @ weight)}
