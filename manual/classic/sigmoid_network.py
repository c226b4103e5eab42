"""The two-layer sigmoid network of the course, forward and backward by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from manual.classic.functions import binary_cross_entropy, sigmoid
from manual.classic.model import Evaluation, Model, choose, class_labels, decay_of
from manual.rules.core import Array

__all__ = ["SigmoidNetwork"]


class SigmoidNetwork(Model):
    """One hidden layer of sigmoid units, and sigmoid units on top.

    Shapes: ``X (m, n)``, ``hidden.weight W1 (h, n)``, ``hidden.bias b1 (h,)``, ``output.weight W2 (k, h)``,
    ``output.bias b2 (k,)``, targets ``Y (m, k)``. ``*`` is elementwise.

    Forward
        ``Z1 = X W1^T + b1``, ``A1 = sigmoid(Z1)`` of shape (m, h); ``Z2 = A1 W2^T + b2``, ``A2 = sigmoid(Z2)`` of (m,
        k).

    Cost, over all outputs, mean over the rows, biases never penalised
        "cross_entropy":  J = -1/m sum_ik [Y log A2 + (1 - Y) log(1 - A2)] + lambda/(2m) (|W1|^2 + |W2|^2)
        "half_squares":   J = 1/m sum_i 1/2 sum_k (A2 - Y)^2               + lambda/(2m) (|W1|^2 + |W2|^2)

    Backward
        Call ``D = dJ/d(.)`` for each intermediate, from the top, with ``sigmoid' = A (1 - A)``:

            cross_entropy:  D_Z2 = (A2 - Y)/m                                  (see ``binary_cross_entropy``)
            half_squares:   D_A2 = (A2 - Y)/m,   D_Z2 = D_A2 * A2 * (1 - A2)
            dJ/dW2 = D_Z2^T A1,   dJ/db2 = column sums of D_Z2                 (a linear map, as in ``LinearModel``)
            D_A1 = D_Z2 W2            every hidden unit acts through all outputs: their shares add up
            D_Z1 = D_A1 * A1 * (1 - A1)
            dJ/dW1 = D_Z1^T X,    dJ/db1 = column sums of D_Z1

        and ``lambda/m W`` comes on top for W1 and W2 (Rumelhart, Hinton and Williams 1986, "Learning representations by
        back-propagating errors").

    Module paths
        ``hidden``, ``hidden_sigmoid``, ``output``, and for half_squares ``output_sigmoid``. For cross_entropy the
        model's output is the logits Z2: the sigmoid is part of the cost, which stays finite for every logit.

    Parameters
    ----------
    features, hidden, outputs : int
        n, h and k.
    cost : "cross_entropy" or "half_squares"
    lambda_, rows : float, int
        As in ``LogisticRegression``.
    freeze_biases : bool
        Biases take part but have no gradient (as with ``requires_grad_(False)``) and so are never updated.
    seed : int
        Of the initial weights, uniform in ``+-sqrt(6 / (fan in + fan out))`` (Glorot and Bengio 2010, equation 16):
        equal weights would give equal gradients, and the hidden units would stay copies of each other. Biases start at
        0.
    dtype : dtype

    Raises
    ------
    ValueError
        If the cost is unknown, ``lambda_`` negative or without ``rows``, or, when it is used, a shape does not fit.

    Examples
    --------
    >>> network = classic.SigmoidNetwork(1, 2, 1)
    >>> network.load_parameters({name: np.zeros_like(array) for name, array in network.parameters.items()})
    >>> evaluation = network.evaluate(np.array([[1.0], [3.0]]), np.array([[1.0], [0.0]]))
    >>> evaluation.loss["total"].round(4), evaluation.gradients["output.bias"]
    (np.float64(0.6931), array([0.]))
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        outputs: int,
        *,
        cost: str = "cross_entropy",
        lambda_: float = 0.0,
        rows: int | None = None,
        freeze_biases: bool = False,
        seed: int = 0,
        dtype: DTypeLike = np.float64,
    ):
        self.kind = choose("cost", cost, ("cross_entropy", "half_squares"))
        generator = np.random.default_rng(seed)
        parameters = {}
        for name, shape in {"hidden": (hidden, features), "output": (outputs, hidden)}.items():
            bound = math.sqrt(6 / sum(shape))
            parameters[f"{name}.weight"] = generator.uniform(-bound, bound, shape)
            parameters[f"{name}.bias"] = np.zeros(shape[0])
        super().__init__(parameters, decay=decay_of(lambda_, rows), dtype=dtype)
        if freeze_biases:
            self.frozen = frozenset({"hidden.bias", "output.bias"})

    def forward(self, x: Array, parameters: Mapping[str, Array] | None = None) -> tuple[Array, Array, Array]:
        """Compute ``Z1``, ``A1`` and ``Z2``."""
        parameters = self.parameters if parameters is None else parameters
        weight = parameters["hidden.weight"]
        z1 = self._rows(x, weight.shape[1]).dot(weight.T)
        z1 += parameters["hidden.bias"]
        a1 = sigmoid(z1)
        z2 = a1.dot(parameters["output.weight"].T)
        z2 += parameters["output.bias"]
        return z1, a1, z2

    def _targets(self, y: Array, rows: int) -> Array:
        """Bring the targets to (m, k): they are that already, or a vector (m,) for one output, or labels of classes."""
        outputs = len(self.parameters["output.bias"])
        y = np.asarray(y)
        if y.ndim == 1 and outputs > 1:
            targets = np.zeros((rows, outputs), self.dtype)
            targets[np.arange(rows), class_labels(y, rows, outputs)] = 1.0
            return targets
        if y.shape not in ((rows, outputs), (rows,)):
            raise ValueError(f"y has shape {y.shape}, expected ({rows}, {outputs}), or ({rows},)")
        return np.asarray(y, self.dtype).reshape(rows, outputs)

    def _losses(self, z2: Array, y: Array) -> tuple[Array, Array, Array | None]:
        """Compute the loss of each row, its slope by the model's output, and ``A2`` where that is the output."""
        if self.kind == "cross_entropy":
            losses, slopes = binary_cross_entropy(z2, y)
            return losses.sum(1), slopes, None
        a2 = sigmoid(z2)
        error = a2 - y
        return 0.5 * (error * error).sum(1), error, a2

    def cost(
        self, x: Array, y: Array, weights: Array | None = None, parameters: Mapping[str, Array] | None = None
    ) -> Any:
        parameters = self.parameters if parameters is None else parameters
        _, _, z2 = self.forward(x, parameters)
        shares, _, _ = self._shares(len(z2), weights)
        losses, _, _ = self._losses(z2, self._targets(y, len(z2)))
        return shares.dot(losses) + self._penalise(parameters)

    def evaluate(self, x: Array, y: Array, weights: Array | None = None, *, through: Array | None = None) -> Evaluation:
        """Compute loss, activations and gradients of one (micro-)batch; see ``Model.evaluate``.

        ``through`` (k, h) takes the place of W2 in ``D_A1 = D_Z2 W2``, and nowhere else. Any value but the present W2
        is a mistake; ``update_output_first`` makes it, to show where it leads.
        """
        z1, a1, z2 = self.forward(x)
        rows = len(z2)
        shares, factor, denominator = self._shares(rows, weights)
        losses, delta, a2 = self._losses(z2, self._targets(y, rows))
        delta *= factor
        data = shares.dot(losses)
        activations = {"hidden": z1, "hidden_sigmoid": a1, "output": z2}
        backward: dict[tuple[str, str], Array] = {("", "output"): delta}
        if a2 is None:
            activations[""] = z2
        else:
            activations["output_sigmoid"] = activations[""] = a2
            backward["output_sigmoid", "output"] = delta
            delta = delta * sigmoid_slope(a2)
            backward["output_sigmoid", "input"] = delta
        backward["output", "output"] = delta
        delta_a1 = delta.dot(self.parameters["output.weight"] if through is None else through)
        delta_1 = delta_a1 * sigmoid_slope(a1)
        backward["output", "input"] = backward["hidden_sigmoid", "output"] = delta_a1
        backward["hidden_sigmoid", "input"] = backward["hidden", "output"] = delta_1
        gradients = {
            "hidden.weight": delta_1.T.dot(np.asarray(x, self.dtype)),
            "hidden.bias": delta_1.sum(0),
            "output.weight": delta.T.dot(a1),
            "output.bias": delta.sum(0),
        }
        penalty = self._penalise(self.parameters, gradients)
        for name in self.frozen:
            del gradients[name]
        loss = {"data": data, "denominator": denominator, "penalty": penalty, "total": data + penalty}
        return Evaluation(loss, gradients, activations, backward)

    def predict_probability(self, x: Array) -> Array:
        """``A2``, shape (m, k)."""
        return sigmoid(self.forward(x)[2])

    def predict(self, x: Array) -> Array:
        """Class 1 where the only output is at least 1/2, else the class of the greatest output, shape (m,)."""
        z2 = self.forward(x)[2]
        return (z2[:, 0] >= 0).astype(np.int64) if z2.shape[1] == 1 else z2.argmax(1)


def sigmoid_slope(a: Array) -> Array:
    """``sigmoid'(z) = a (1 - a)``, from the value ``a = sigmoid(z)``."""
    slope = 1.0 - a
    slope *= a
    return slope
