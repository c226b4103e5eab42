"""What the course models share: the result of one evaluation, the penalty, and the chain rule through a linear map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from manual.rules.core import Array

__all__ = ["Evaluation", "LinearModel", "Model"]


@lru_cache(maxsize=64)
def equal_shares(rows: int, dtype: np.dtype[Any]) -> tuple[Array, float, Any]:
    """The shares of an unweighted mean. Kept, because products with them replace sums, at half the time."""
    shares = np.full(rows, 1.0 / rows, dtype)
    shares.setflags(write=False)
    return shares, 1.0 / rows, dtype.type(rows)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that one forward and backward pass over one (micro-)batch knows.

    Shapes: each gradient has its parameter's; activations and their gradients ``(m, ...)``. Raises nothing of its own.

    Attributes
    ----------
    loss : dict
        ``data``, the mean data loss of these rows in the model's convention; ``denominator``, what it was divided by
        (the rows, or the sum of their weights); ``penalty``; ``total``, their sum. Scalars of the model's dtype.
    gradients : dict of name to array
        The gradient of ``total`` with respect to each parameter; a frozen parameter has no entry.
    activations : dict of module path to array
        What each module of the PyTorch twin puts out, in order of execution; ``""`` is the model itself.
    activation_gradients : dict of (module path, "output" or "input") to array
        The gradient of ``data`` with respect to each module's output and, past the data, input, in order of backward
        execution. (The penalty does not pass through activations.)

    Examples
    --------
    >>> evaluation = classic.LinearRegression(1).evaluate(np.array([[1.0], [3.0]]), np.array([2.0, 4.0]))
    >>> type(evaluation) is classic.Evaluation, evaluation.gradients["linear.bias"]
    (True, array([-3.]))
    """

    loss: dict[str, Any]
    gradients: dict[str, Array]
    activations: dict[str, Array]
    activation_gradients: dict[tuple[str, str], Array]


class Model(ABC):
    """A model whose gradients were derived on paper.

    Shapes: parameters of any shape; ``x (m, n)``, ``y`` with ``m`` rows, ``weights (m,)``.

    Parameters
    ----------
    parameters : dict of name to array
        Named and shaped as in the PyTorch twin. They are read at every evaluation, so they may be changed in place.
    decay : float
        The penalty is ``decay / 2`` times the sum of all squared weights; biases (intercepts) are left out. Its
        gradient is ``decay * weight``: what torch.optim calls ``weight_decay``.
    dtype : dtype
        The dtype of every array that the model makes.

    Raises
    ------
    ValueError
        When it is used, if a shape does not fit.

    Examples
    --------
    >>> isinstance(classic.LogisticRegression(2), classic.Model)
    True
    """

    def __init__(self, parameters: dict[str, Array], *, decay: float, dtype: DTypeLike):
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        if self.dtype.kind != "f":
            raise ValueError(f"dtype is {self.dtype}; a model needs a floating one, such as float64")
        self.parameters = {name: np.array(value, dtype=self.dtype) for name, value in parameters.items()}
        self.decay = decay
        self.frozen: frozenset[str] = frozenset()

    @abstractmethod
    def evaluate(self, x: Array, y: Array, weights: Array | None = None) -> Evaluation:
        """Compute loss, activations and gradients of one (micro-)batch.

        Parameters
        ----------
        x : array (m, n)
        y : array (m,) or as the model says
        weights : array (m,), optional
            One weight per row; the data loss is then the weighted mean, and ``denominator`` the sum of the weights.
        """

    def gradients(self, x: Array, y: Array, weights: Array | None = None) -> dict[str, Array]:
        """Compute ``evaluate(x, y, weights).gradients`` alone, for a training step that looks at nothing else."""
        return self.evaluate(x, y, weights).gradients

    @abstractmethod
    def cost(
        self, x: Array, y: Array, weights: Array | None = None, parameters: Mapping[str, Array] | None = None
    ) -> Any:
        """Compute ``loss["total"]`` as a function of the parameters, without any gradient.

        The same code as in ``evaluate``, but complex parameters pass through it: the imaginary part of
        ``cost(theta + 1e-30j * d) / 1e-30`` is the directional derivative along ``d`` to machine precision
        (Squire and Trapp 1998, "Using complex variables to estimate derivatives of real functions").
        """

    @abstractmethod
    def predict(self, x: Array) -> Array:
        """Answer for each row: a number for a regression, a class for a classifier."""

    def accuracy(self, x: Array, y: Array) -> float:
        """The share of rows that are answered rightly."""
        answers = self.predict(x)
        return float((answers == np.asarray(y).reshape(answers.shape)).mean())

    def load_parameters(self, values: Mapping[str, Array]) -> None:
        """Copy values into the parameters, in place.

        Raises
        ------
        KeyError
            If a parameter is missing or unknown.
        ValueError
            If a shape differs.
        """
        if values.keys() != self.parameters.keys():
            raise KeyError(f"parameters are {sorted(self.parameters)}, but got {sorted(values)}")
        for name, parameter in self.parameters.items():
            value = np.asarray(values[name])
            if value.shape != parameter.shape:
                raise ValueError(f"{name}: expected shape {parameter.shape}, got {value.shape}")
            parameter[...] = value

    def _rows(self, x: Array, features: int) -> Array:
        x = np.asarray(x, self.dtype)
        if x.ndim != 2 or x.shape[1] != features or not x.shape[0]:
            raise ValueError(f"x has shape {x.shape}, expected (m, {features}) with at least one row")
        return x

    def _shares(self, rows: int, weights: Array | None) -> tuple[Array, Any, Any]:
        """Each row's share of the mean, as a vector (m,) and as a factor for (m, k) arrays, and the denominator."""
        if weights is None:
            return equal_shares(rows, self.dtype)
        weights = np.asarray(weights, self.dtype)
        if weights.shape != (rows,):
            raise ValueError(f"weights have shape {weights.shape}, expected ({rows},), one for each row of x")
        denominator = weights.sum()
        if not denominator > 0:
            raise ValueError(f"the weights add up to {denominator}; a weighted mean needs a positive sum")
        shares = weights / denominator
        return shares, shares[:, None], denominator

    def _penalise(self, parameters: Mapping[str, Array], gradients: dict[str, Array] | None = None) -> Any:
        """Compute ``decay/2 |W|^2`` without the biases, and add its gradient ``decay W`` to gradients, if given."""
        value = self.dtype.type(0)
        if self.decay:
            for name, parameter in parameters.items():
                if name.endswith("weight"):
                    pull = self.decay * parameter
                    value = value + 0.5 * pull.reshape(-1).dot(parameter.reshape(-1))
                    if gradients is not None:
                        gradients[name] += pull
        return value


class LinearModel(Model):
    """A loss on top of one linear map: only the loss tells these models apart.

    The shapes: ``x (m, n)``, ``linear.weight W (k, n)``, ``linear.bias b (k,)``, outputs ``Z (m, k)``, where ``k`` is
    1 but for models of several classes.

    Forward
        ``Z = X W^T + b``; data loss ``L = sum_i s_i l(z_i, y_i)`` with the shares ``s_i = 1/m``, or
        ``w_i / sum(w)`` where rows are weighted.

    Backward
        Call ``D = dL/dZ (m, k)``: by the chain rule its row i is ``s_i l'(z_i, y_i)``. Then, writing every sum out,

            dL/dW[j, p] = sum_i D[i, j] dZ[i, j]/dW[j, p] = sum_i D[i, j] X[i, p]   so   dL/dW = D^T X
            dL/db[j]    = sum_i D[i, j] * 1                          so   dL/db = column sums of D = s^T l'

        and the penalty ``decay/2 |W|^2`` adds ``decay W`` to the first alone.

    Where a model's loss has the matching ("canonical") output function, ``l'(z, y)`` is *prediction minus target*: it
    is for squares with the identity, cross entropy with the sigmoid, and cross entropy with the softmax.

    Raises
    ------
    ValueError
        When it is used, if a shape does not fit.

    Examples
    --------
    >>> model = classic.SoftmaxRegression(2, 3)
    >>> isinstance(model, classic.LinearModel), {name: array.shape for name, array in model.parameters.items()}
    (True, {'linear.weight': (3, 2), 'linear.bias': (3,)})
    """

    def __init__(self, features: int, outputs: int, *, decay: float, dtype: DTypeLike):
        shapes = {"linear.weight": (outputs, features), "linear.bias": (outputs,)}
        super().__init__({name: np.zeros(shape) for name, shape in shapes.items()}, decay=decay, dtype=dtype)

    @abstractmethod
    def _losses_and_slopes(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Compute the loss of each row, ``l(z_i, y_i)``, shape (m,), and its derivative by z, a new array (m, k)."""

    def _slopes(self, z: Array, y: Array) -> Array:
        """Compute the derivatives alone."""
        return self._losses_and_slopes(z, y)[1]

    def _targets(self, y: Array, rows: int) -> Array:
        """Bring the targets to a column (m, 1) of the model's dtype."""
        column = np.asarray(y, self.dtype)
        if column.size != rows or column.ndim > 2:
            raise ValueError(f"y has shape {column.shape}, expected ({rows},), one target for each row of x")
        return column.reshape(rows, 1)

    def forward(self, x: Array, parameters: Mapping[str, Array] | None = None) -> Array:
        """``X W^T + b``, shape (m, k)."""
        parameters = self.parameters if parameters is None else parameters
        weight = parameters["linear.weight"]
        z = self._rows(x, weight.shape[1]).dot(weight.T)
        z += parameters["linear.bias"]
        return z

    def cost(
        self, x: Array, y: Array, weights: Array | None = None, parameters: Mapping[str, Array] | None = None
    ) -> Any:
        parameters = self.parameters if parameters is None else parameters
        z = self.forward(x, parameters)
        shares, _, _ = self._shares(len(z), weights)
        losses, _ = self._losses_and_slopes(z, self._targets(y, len(z)))
        return shares.dot(losses) + self._penalise(parameters)

    def gradients(self, x: Array, y: Array, weights: Array | None = None) -> dict[str, Array]:
        z = self.forward(x)
        rows = len(z)
        shares, factor, _ = self._shares(rows, weights)
        slopes = self._slopes(z, self._targets(y, rows))
        gradients = self._through_the_linear_map(np.asarray(x, self.dtype), slopes, shares, factor)
        self._penalise(self.parameters, gradients)
        return gradients

    def evaluate(self, x: Array, y: Array, weights: Array | None = None) -> Evaluation:
        z = self.forward(x)
        rows = len(z)
        losses, slopes = self._losses_and_slopes(z, self._targets(y, rows))
        shares, factor, denominator = self._shares(rows, weights)
        data = shares.dot(losses)
        gradients = self._through_the_linear_map(np.asarray(x, self.dtype), slopes, shares, factor)
        delta = slopes
        penalty = self._penalise(self.parameters, gradients)
        return Evaluation(
            {"data": data, "denominator": denominator, "penalty": penalty, "total": data + penalty},
            gradients,
            {"linear": z, "": z},
            {("", "output"): delta, ("linear", "output"): delta},
        )

    def _through_the_linear_map(self, x: Array, slopes: Array, shares: Array, factor: Any) -> dict[str, Array]:
        """Compute ``D^T X`` and the column sums of D; turns the slopes into ``D`` in place."""
        gradient_of_bias = shares.dot(slopes)
        slopes *= factor
        return {"linear.weight": slopes.T.dot(x), "linear.bias": gradient_of_bias}


def decay_of(lambda_: float, rows: int | None, factor: float = 1.0) -> float:
    """The factor of ``|W|^2 / 2``: ``lambda / m``, with the ``m`` of the whole training set.

    Raises
    ------
    ValueError
        If lambda is negative or not finite, or positive and ``rows`` is missing.
    """
    if not 0 <= lambda_ < float("inf"):
        raise ValueError(f"lambda_ is {lambda_}; it must be zero or positive")
    if not lambda_:
        return 0.0
    if rows is None or rows < 1:
        raise ValueError(f"lambda_ / (2 m) needs the number of rows of the whole training set: rows=m, got {rows}")
    return factor * lambda_ / rows


def choose(what: str, value: str, known: tuple[str, ...]) -> str:
    """Return a value that is one of the known words, or say which there are."""
    if value not in known:
        raise ValueError(f"{what} is {value!r}; it is one of {', '.join(map(repr, known))}")
    return value


def class_labels(y: Array, rows: int, classes: int) -> Array:
    """Check labels of several classes, and bring them to integers (m,).

    Raises
    ------
    ValueError
        If there is not one label for each row, or one is not an integer from 0 to ``classes - 1``.
    """
    labels = np.asarray(y)
    if labels.size != rows or labels.ndim > 2:
        raise ValueError(f"y has shape {labels.shape}, expected ({rows},), one label for each row of x")
    labels = labels.reshape(rows)
    if labels.dtype.kind == "f":
        whole = labels.astype(np.int64)
        if (whole != labels).any():
            raise ValueError(f"y has labels that are not whole numbers, such as {labels[whole != labels][0]}")
        labels = whole
    if labels.min() < 0 or labels.max() >= classes:
        worst = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(f"y has the label {worst}; there are {classes} classes, 0 to {classes - 1}")
    return labels
