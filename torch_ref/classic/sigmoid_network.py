"""The two-layer sigmoid network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_ref.classic.model import Model, decay_of

__all__ = ["SigmoidNetwork"]


class SigmoidNetwork(Model):
    """Linear, sigmoid, linear, sigmoid.

    With ``cost="cross_entropy"`` the model's output is the logits and the last sigmoid is part of the loss
    (``BCEWithLogitsLoss`` summed over the outputs); with ``"half_squares"`` the output is probabilities and the loss
    half the sum of squares over the outputs. Either is the mean over the rows, plus ``lambda/(2m)`` times the squared
    weights.

    Targets are (m, outputs), or a vector for one output, or class indices for several.

    Shapes: ``x (m, n)``, ``y (m, outputs)``; the loss terms ``(m,)``. Raises what torch raises where a shape does not
    fit.

    Examples
    --------
    >>> model = torch_ref.classic.SigmoidNetwork(1, 2, 1)
    >>> _ = [torch.nn.init.zeros_(parameter) for parameter in model.parameters()]
    >>> x, y = torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [0.0]])
    >>> loss = model.losses(model(x), y).mean()
    >>> round(loss.item(), 4)
    0.6931
    >>> loss.backward()
    >>> {name: parameter.grad.tolist() for name, parameter in model.named_parameters()}
    {'hidden.weight': [[0.0], [0.0]], 'hidden.bias': [0.0, 0.0], 'output.weight': [[0.0, 0.0]], 'output.bias': [0.0]}
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
        dtype: torch.dtype | None = None,
    ):
        super().__init__(decay_of(lambda_, rows))
        self.hidden = nn.Linear(features, hidden, dtype=dtype)
        self.hidden_sigmoid = nn.Sigmoid()
        self.output = nn.Linear(hidden, outputs, dtype=dtype)
        self.output_sigmoid = {"cross_entropy": None, "half_squares": nn.Sigmoid()}[cost]
        if freeze_biases:
            self.hidden.bias.requires_grad_(False)
            self.output.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.output(self.hidden_sigmoid(self.hidden(x)))
        return logits if self.output_sigmoid is None else self.output_sigmoid(logits)

    def losses(self, output: Tensor, target: Tensor) -> Tensor:
        if target.ndim == 1 and output.shape[1] > 1:
            target = F.one_hot(target.long(), output.shape[1])
        target = target.reshape(output.shape).to(output)
        if self.output_sigmoid is None:
            return F.binary_cross_entropy_with_logits(output, target, reduction="none").sum(1)
        return 0.5 * F.mse_loss(output, target, reduction="none").sum(1)

    def predict(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            output = self(x)
        if output.shape[1] > 1:
            return output.argmax(1)
        return (output[:, 0] >= (0.0 if self.output_sigmoid is None else 0.5)).long()
