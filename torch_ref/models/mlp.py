"""The multilayer perceptron."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from torch import Tensor, nn

__all__ = ["MLP"]


class MLP(nn.Module):
    """Linear layers with an activation between them.

    Raises what torch raises where a shape does not fit.

    Parameters
    ----------
    sizes : the widths from input to output, for example ``(64, 32, 10)``
    activation : makes the module after each layer but the last
    output : makes the module after the last layer; none by default, so that the model returns logits
    dropout : probability with which a hidden value is dropped after its activation

    Shapes: ``(rows, sizes[0])`` to ``(rows, sizes[-1])``.

    Examples
    --------
    >>> model = torch_ref.models.MLP([2, 3, 1])
    >>> [(name, tuple(parameter.shape)) for name, parameter in model.named_parameters()]
    [('layers.0.weight', (3, 2)), ('layers.0.bias', (3,)), ('layers.2.weight', (1, 3)), ('layers.2.bias', (1,))]
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable[[], nn.Module] = nn.ReLU,
        output: Callable[[], nn.Module] | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        last = len(sizes) - 2
        for index, (narrow, wide) in enumerate(itertools.pairwise(sizes)):
            layers.append(nn.Linear(narrow, wide))
            if index < last:
                layers.append(activation())
                if dropout:
                    layers.append(nn.Dropout(dropout))
            elif output is not None:
                layers.append(output())
        self.layers = nn.Sequential(*layers)

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.layers(input)
        return result
