"""What the twins of the course models share: the weighted mean and the penalty."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["Model"]


class Model(nn.Module):
    """A module with a data loss and a penalty; the loss to differentiate is their sum.

    ``decay`` is the factor of half the squared weights, hence ``weight_decay`` of ``torch.optim.SGD`` on the weights.
    Parameters whose name does not end in ``weight`` are not penalised.

    Shapes: ``x (m, n)``, targets with ``m`` rows; the loss terms ``(m,)``. Raises what torch raises where a shape does
    not fit.

    Examples
    --------
    >>> isinstance(torch_ref.classic.LogisticRegression(2), torch_ref.classic.Model)
    True
    """

    def __init__(self, decay: float):
        super().__init__()
        self.decay = decay

    def loss(self, output: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean data loss of these rows, each counted ``weights`` times."""
        losses = self.losses(output, target)
        return losses.mean() if weights is None else (weights * losses).sum() / weights.sum()

    def losses(self, output: Tensor, target: Tensor) -> Tensor:
        """The data loss of each row."""
        raise NotImplementedError

    def penalty(self, named_parameters: Iterable[tuple[str, nn.Parameter]] | None = None) -> Tensor:
        """``decay / 2`` times the sum of all squared weights."""
        pairs = self.named_parameters() if named_parameters is None else named_parameters
        squares = [parameter.square().sum() for name, parameter in pairs if name.endswith("weight")]
        return 0.5 * self.decay * torch.stack(squares).sum()

    def predict(self, x: Tensor) -> Tensor:
        """The answer for each row; class 1 where a single logit is at least 0, else the class of the greatest."""
        with torch.no_grad():
            output = self(x)
        return (output[:, 0] >= 0).long() if output.shape[1] == 1 else output.argmax(1)

    def accuracy(self, x: Tensor, target: Tensor) -> float:
        """The share of rows that are answered rightly."""
        answers = self.predict(x)
        return (answers == target.reshape(answers.shape)).double().mean().item()


def decay_of(lambda_: float, rows: int | None) -> float:
    """``lambda / m``, with the ``m`` of the whole training set."""
    if not lambda_:
        return 0.0
    if rows is None:
        raise ValueError("lambda_ / (2 m) needs the number of rows of the whole training set: rows=m")
    return lambda_ / rows
