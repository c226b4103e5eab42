"""Losses of pairs, triplets, several labels and likelihoods as modules. The formulas are in :mod:`manual.rules.losses`.

``denominator`` takes what the loss takes and says what its mean divides by, as in :mod:`manual.nn.loss`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from manual.nn import functional
from manual.nn.distance import PairwiseDistance
from manual.nn.loss import _Loss, _WeightedLoss
from manual.rules import losses
from manual.tensor import Tensor, apply, as_array

__all__ = [
    "CosineEmbeddingLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "PoissonNLLLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]


def _shape(*inputs: Any) -> tuple[int, ...]:
    return np.broadcast_shapes(*[np.shape(as_array(item)) for item in inputs])


class MarginRankingLoss(_Loss):
    """``max(0, margin - y (x1 - x2))``: which of two scores is to be the larger.

    Shapes: ``input1``, ``input2`` and ``target`` of one shape ``(N,)`` or ``()``; the loss ``()``, with reduction
    ``"none"`` that shape.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the three have not the same number of axes, or do not broadcast.

    Examples
    --------
    >>> first = tensor([1.0, 4.0], requires_grad=True)
    >>> loss = nn.MarginRankingLoss(margin=1.0)(first, tensor([2.0, 1.0]), tensor([1.0, 1.0]))
    >>> loss
    Tensor(1., requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> first.grad
    array([-1., -0.], dtype=float32)
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean"):
        super().__init__(reduction, margin=margin)

    def forward(self, input1: Tensor, input2: Any, target: Any) -> Tensor:  # type: ignore[override]
        return functional.margin_ranking_loss(input1, input2, target, self.margin, self.reduction)

    def denominator(self, input1: Any, input2: Any, target: Any) -> float:  # type: ignore[override]
        """The number of elements, of all three broadcast."""
        return float(math.prod(_shape(input1, input2, target)))


class HingeEmbeddingLoss(_Loss):
    """A distance where the target is 1, ``max(0, margin - distance)`` where it is -1.

    Shapes: ``input`` and ``target`` of one shape ``(*)``; the loss ``()``, with reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> input = tensor([0.5, 0.5], requires_grad=True)
    >>> loss = nn.HingeEmbeddingLoss(margin=2.0)(input, tensor([1.0, -1.0]))
    >>> loss
    Tensor(1., requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([ 1., -1.], dtype=float32)
    """

    _rule = staticmethod(losses.hinge_embedding_loss)

    def __init__(self, margin: float = 1.0, reduction: str = "mean"):
        super().__init__(reduction, margin=margin)


class CosineEmbeddingLoss(_Loss):
    """``1 - cos`` of two vectors where the target is 1, ``max(0, cos - margin)`` where it is -1.

    Shapes: ``input1`` and ``input2`` ``(N, D)`` with ``target (N,)``, or ``(D,)`` with ``()``; the loss ``()``, with
    reduction ``"none"`` the target's shape.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> first = tensor([[3.0, 4.0], [3.0, 4.0]], requires_grad=True)
    >>> second = tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> target = tensor([1.0, -1.0])
    >>> loss = nn.CosineEmbeddingLoss(margin=0.5)(first, second, target)
    >>> loss
    Tensor(0.35, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> first.grad
    array([[-0.128,  0.096],
           [-0.096,  0.072]], dtype=float32)
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean"):
        super().__init__(reduction, margin=margin)

    def forward(self, input1: Tensor, input2: Any, target: Any) -> Tensor:  # type: ignore[override]
        return functional.cosine_embedding_loss(input1, input2, target, self.margin, self.reduction)

    def denominator(self, input1: Any, input2: Any, target: Any) -> float:  # type: ignore[override]
        """The number of pairs."""
        rows = np.broadcast_shapes(_shape(input1, input2)[:-1], _shape(target))
        return float(math.prod(rows))


class MultiLabelMarginLoss(_Loss):
    """``1/C sum max(0, 1 - x_t + x_j)`` over the classes t that a row has and the classes j that it has not.

    Shapes: ``input`` and ``target`` ``(N, C)`` or ``(C,)``; a row of the target lists its classes and ends with the
    first -1. The loss ``()``, with reduction ``"none"`` ``(N,)`` or ``()``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not fit, or a target is no integer or no class.

    Examples
    --------
    >>> input = tensor([[0.0, 0.5, 2.0]], requires_grad=True)
    >>> loss = nn.MultiLabelMarginLoss()(input, tensor([[0, -1, 1]]))
    >>> loss
    Tensor(1.5, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([[-1.3333,  0.6667,  0.6667]], dtype=float32)
    """

    _rule = staticmethod(losses.multilabel_margin_loss)

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction)

    def denominator(self, input: Any, target: Any) -> float:
        """The number of rows."""
        return float(math.prod(_shape(input)[:-1]))


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """The mean over the classes of the binary cross entropy of each.

    Shapes: ``input`` and ``target`` ``(N, C)``, ``weight (C,)``; the loss ``()``, with reduction ``"none"`` ``(N,)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    IndexError
        If the input is a scalar.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> input = tensor([[0.0, 2.0]], requires_grad=True)
    >>> loss = nn.MultiLabelSoftMarginLoss()(input, tensor([[1.0, 0.0]]))
    >>> loss
    Tensor(1.41, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([[-0.5   ,  0.8808]], dtype=float32)
    """

    _rule = staticmethod(losses.multilabel_soft_margin_loss)

    def __init__(self, weight: Any = None, reduction: str = "mean"):
        super().__init__(reduction, {"weight": weight})

    def denominator(self, input: Any, target: Any) -> float:
        """The number of rows (of all axes but that of the classes)."""
        return float(math.prod(_shape(input, target)[:-1]))


class GaussianNLLLoss(_Loss):
    """``(log v + (x - t)^2 / v) / 2`` for a predicted mean x and variance v, which is at least ``eps``.

    Shapes: ``input`` and ``target`` ``(N, *)``, ``var`` the same, or with a last axis of length 1 or without one; the
    loss ``()``, with reduction ``"none"`` the input's.

    Raises
    ------
    ValueError
        If ``var`` has another shape or a negative element, or ``reduction`` is unknown.

    Examples
    --------
    >>> input = tensor([1.0, 3.0], requires_grad=True)
    >>> loss = nn.GaussianNLLLoss()(input, tensor([0.0, 1.0]), tensor([1.0, 4.0]))
    >>> loss
    Tensor(0.8466, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([1. , 0.5], dtype=float32)
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean"):
        super().__init__(reduction, full=full, eps=eps)

    def forward(self, input: Tensor, target: Any, var: Any) -> Tensor:  # type: ignore[override]
        return functional.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)

    def denominator(self, input: Any, target: Any, var: Any = None) -> float:
        """The number of elements, of input and target broadcast; a variance adds none."""
        return super().denominator(input, target)


class PoissonNLLLoss(_Loss):
    """``exp(x) - t x`` for the logarithm x of a rate, ``x - t log(x + eps)`` for a rate x.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, or two that broadcast; the loss ``()``, with reduction
    ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> input = tensor([0.0, 1.0], requires_grad=True)
    >>> loss = nn.PoissonNLLLoss()(input, tensor([2.0, 1.0]))
    >>> loss
    Tensor(1.3591, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([-1.    ,  1.7183], dtype=float32)
    """

    _rule = staticmethod(losses.poisson_nll_loss)

    def __init__(self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"):
        super().__init__(reduction, log_input=log_input, full=full, eps=eps)

    def forward(self, log_input: Tensor, target: Any) -> Tensor:
        return super().forward(log_input, target)


class TripletMarginLoss(_Loss):
    """``max(0, margin + d(a, p) - d(a, n))`` for an anchor, its positive and its negative.

    Shapes: ``anchor``, ``positive`` and ``negative`` ``(N, D)`` or ``(D,)``; the loss ``()``, with reduction ``"none"``
    ``(N,)`` or ``()``.

    Raises
    ------
    ValueError
        If the margin is not positive.
    RuntimeError
        If the shapes do not fit.

    Examples
    --------
    >>> anchor = tensor([[0.0, 0.0]], requires_grad=True)
    >>> loss = nn.TripletMarginLoss(margin=2.0, eps=0.0)(anchor, tensor([[3.0, 4.0]]), tensor([[0.0, 6.0]]))
    >>> loss
    Tensor(1., requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> anchor.grad
    array([[-1.2,  0.4]], dtype=float32)
    """

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean"
    ):
        _positive(type(self).__name__, margin)
        super().__init__(reduction, margin=margin, p=p, eps=eps, swap=swap)

    def forward(self, anchor: Tensor, positive: Any, negative: Any) -> Tensor:  # type: ignore[override]
        options = {name: getattr(self, name) for name in self._options}
        result: Tensor = apply(losses.triplet_margin_loss, anchor, positive, negative, **options)
        return result

    def denominator(self, anchor: Any, positive: Any, negative: Any) -> float:  # type: ignore[override]
        """The number of triplets."""
        return float(math.prod(_shape(anchor, positive, negative)[:-1]))


class TripletMarginWithDistanceLoss(_Loss):
    """:class:`TripletMarginLoss` with a distance of one's own.

    Shapes: ``anchor``, ``positive`` and ``negative`` as the function takes them; the loss ``()``, with reduction
    ``"none"`` the shape of a distance.

    Raises
    ------
    ValueError
        If the margin is not positive.

    Examples
    --------
    >>> anchor = tensor([[0.0, 0.0]], requires_grad=True)
    >>> criterion = nn.TripletMarginWithDistanceLoss(distance_function=lambda x, y: (x - y).square().sum(1))
    >>> loss = criterion(anchor, tensor([[3.0, 4.0]]), tensor([[0.0, 5.0]]))
    >>> loss
    Tensor(1., requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> anchor.grad
    array([[-12.,   4.]], dtype=float32)
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Any, Any], Any] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ):
        _positive(type(self).__name__, margin)
        super().__init__(reduction)
        self.distance_function = PairwiseDistance() if distance_function is None else distance_function
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Any, negative: Any) -> Tensor:  # type: ignore[override]
        return functional.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )

    def denominator(self, anchor: Any, positive: Any, negative: Any) -> float:  # type: ignore[override]
        """The number of distances that the function makes of these inputs."""
        distances = [
            self.distance_function(Tensor(as_array(anchor)), Tensor(as_array(other))) for other in (positive, negative)
        ]
        return float(math.prod(_shape(*distances)))


def _positive(name: str, margin: float) -> None:
    if margin <= 0:
        raise ValueError(f"{name}: expected margin to be greater than 0, got {margin} instead")
