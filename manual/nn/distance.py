"""Distances and similarities as modules. The formulas and their derivations are in :mod:`manual.rules.distance`."""

from __future__ import annotations

from manual import rules
from manual.nn.module import Module
from manual.tensor import Tensor, apply

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along axis ``dim``; lengths below ``eps`` count as ``eps``.

    Shapes: ``x1`` and ``x2`` ``(*, D, *)`` with ``D`` at axis ``dim``, output ``(*, *)``.

    Raises
    ------
    RuntimeError
        When it is called, if the shapes do not broadcast.
    IndexError
        When it is called, if there is no axis ``dim``.

    Examples
    --------
    >>> x = tensor([[3.0, 4.0]], requires_grad=True)
    >>> y = nn.CosineSimilarity()(x, tensor([[2.0, 0.0]]))
    >>> y
    Tensor([0.6], requires_grad=True)
    >>> y.backward(tensor([25.0]))
    >>> x.grad
    array([[ 3.2, -2.4]], dtype=float32)
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8):
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        result: Tensor = apply(rules.cosine_similarity, x1, x2, dim=self.dim, eps=self.eps)
        return result


class PairwiseDistance(Module):
    """The p-norm of ``x1 - x2 + eps`` along the last axis.

    Shapes: ``x1`` and ``x2`` ``(N, D)`` or ``(D,)``, output ``(N,)`` or ``()``, with ``keepdim`` ``(N, 1)`` or
    ``(1,)``.

    Raises
    ------
    RuntimeError
        When it is called, if the shapes do not broadcast.

    Examples
    --------
    >>> x = tensor([[3.0, 0.0]], requires_grad=True)
    >>> y = nn.PairwiseDistance()(x, tensor([[0.0, 4.0]]))
    >>> y
    Tensor([5.], requires_grad=True)
    >>> y.backward(tensor([10.0]))
    >>> x.grad
    array([[ 6., -8.]], dtype=float32)
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        options = {"p": self.norm, "eps": self.eps, "keepdim": self.keepdim}
        result: Tensor = apply(rules.pairwise_distance, x1, x2, **options)
        return result
