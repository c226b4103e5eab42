"""Softmax over very many classes of unequal frequency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from manual import rules
from manual.nn.container import ModuleList, Sequential
from manual.nn.linear import Linear
from manual.nn.module import Module
from manual.rules import losses
from manual.rules.core import Array
from manual.tensor import Tensor, apply, as_array

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class _ASMoutput(NamedTuple):
    """The log-probability of each row's target, and minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-softmax over very many classes, the rare ones in clusters behind smaller maps.

    The classes are numbered by falling frequency. The *head* is a softmax over the ``cutoffs[0]`` most frequent ones
    and one entry per cluster; cluster ``i`` holds the classes from ``cutoffs[i]`` to ``cutoffs[i + 1]``, and its *tail*
    is a softmax among them, behind a projection to ``in_features // div_value ** (i + 1)`` features. A class of cluster
    ``i`` has ``log p = head_log_softmax[entry of i] + tail_log_softmax_i[class]``, so a row of a batch pays for the
    head and for its own cluster only.

    Shapes: input ``(N, in_features)`` or ``(in_features,)``, target ``(N,)`` or ``()``; the result is a named tuple of
    ``output`` in the target's shape and the scalar ``loss``.

    Derivation: both terms are negative cross entropies, so a row's logits get *predicted less true*, in the head and,
    where its class is in one, in that tail; the tails of other clusters get nothing from it.

    Source: Grave et al., Efficient softmax approximation for GPUs (2016), section 4.

    Convention: the loss is the mean over rows, and there is neither a weight nor an ignored class. Only the head can
    have a bias.

    Shapes: input ``(N, in_features)`` or ``(in_features,)``, target ``(N,)`` or ``()``; ``output`` as the target,
    ``loss`` ``()``.

    Raises
    ------
    ValueError
        If ``cutoffs`` are not unique increasing whole numbers between 1 and ``n_classes - 1``.
    RuntimeError
        When it is called, if the shapes do not fit, or a target is no class.

    Examples
    --------
    >>> layer = nn.AdaptiveLogSoftmaxWithLoss(2, 4, cutoffs=[1, 2], div_value=1.0)
    >>> for parameter in layer.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> layer.log_prob(tensor([[1.0, 2.0]])).exp()
    Tensor([[0.3333, 0.3333, 0.1667, 0.1667]], requires_grad=True)
    >>> layer(tensor([[1.0, 2.0]]), tensor([3])).loss
    Tensor(1.7918, requires_grad=True)
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            cutoffs != sorted(set(cutoffs))
            or not 1 <= cutoffs[0] <= cutoffs[-1] < n_classes
            or any(int(cutoff) != cutoff for cutoff in cutoffs)
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, "
                "where each value is between 1 and n_classes-1"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        made = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **made)
        self.tail = ModuleList()
        for cluster in range(self.n_clusters):
            width = int(in_features // div_value ** (cluster + 1))
            classes = self.cutoffs[cluster + 1] - self.cutoffs[cluster]
            self.tail.append(
                Sequential(Linear(in_features, width, bias=False, **made), Linear(width, classes, bias=False, **made))
            )

    def reset_parameters(self) -> None:
        """Draw the head and the tails anew, as at the start."""
        self.head.reset_parameters()
        for projection, classes in self.tail:
            projection.reset_parameters()
            classes.reset_parameters()

    def forward(self, input_: Tensor, target_: Any) -> _ASMoutput:
        target = as_array(target_)
        self._check(input_, target)
        single = target.ndim == 0
        rows = apply(rules.reshape, input_, shape=(1, -1)) if single else input_
        target = target.reshape(-1)
        cluster = np.searchsorted(self.cutoffs, target, side="right")  # 0 for the shortlist
        entry = np.where(cluster == 0, target, self.shortlist_size + cluster - 1)
        terms = apply(losses.cross_entropy, self.head(rows), entry, reduction="none")
        members = [np.flatnonzero(cluster == number) for number in range(self.n_clusters + 1)]
        parts = [np.zeros(members[0].size, terms.dtype)]
        for number, member in enumerate(members[1:]):
            if member.size:
                logits = self.tail[number](apply(rules.getitem, rows, index=member))
                inside = target[member] - self.cutoffs[number]
                parts.append(apply(losses.cross_entropy, logits, inside, reduction="none"))
        if len(parts) > 1:
            back = np.argsort(np.concatenate(members))
            terms = apply(rules.add, terms, apply(rules.getitem, apply(rules.cat, *parts), index=back))
        output = apply(rules.neg, apply(rules.reshape, terms, shape=()) if single else terms)
        return _ASMoutput(output, apply(rules.div, apply(rules.sum, terms), terms.numel() or math.nan))

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes: ``(N, in_features)`` to ``(N, n_classes)``."""
        return self._all_classes(input, self.head(input))

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row. The tails are asked only where no frequent class wins the head."""
        head = self.head(input)
        best = np.argmax(head.data, axis=1)
        open_rows = np.flatnonzero(best >= self.shortlist_size)
        if open_rows.size:
            rows = (apply(rules.getitem, part, index=open_rows) for part in (input, head))
            best[open_rows] = np.argmax(self._all_classes(*rows).data, axis=1)
        return Tensor(best)

    def denominator(self, input: Any, target: Any) -> float:
        """The number of rows."""
        return float(np.size(as_array(target)))

    def _all_classes(self, input: Tensor, head: Tensor) -> Tensor:
        log_head = apply(rules.log_softmax, head, dim=1)
        parts = [apply(rules.getitem, log_head, index=(slice(None), slice(self.shortlist_size)))]
        for cluster, tail in enumerate(self.tail, start=self.shortlist_size):
            entry = apply(rules.getitem, log_head, index=(slice(None), slice(cluster, cluster + 1)))
            parts.append(apply(rules.add, apply(rules.log_softmax, tail(input), dim=1), entry))
        result: Tensor = apply(rules.cat, *parts, dim=1)
        return result

    def _check(self, input: Tensor, target: Array) -> None:
        if target.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if target.ndim:
            if input.shape[0] != target.shape[0]:
                raise RuntimeError("Input and target should have the same size in the batch dimension.")
            if input.ndim != 2:
                raise RuntimeError(
                    f"1D target tensor expects 2D input tensors, but found inputs with size {tuple(input.shape)}"
                )
        elif input.ndim != 1:
            raise RuntimeError(
                f"0D target tensor expects 1D input tensors, but found inputs with size {tuple(input.shape)}"
            )
        if target.dtype.kind not in "iu":
            raise RuntimeError(f"expected target dtype to be an integer dtype, but got {target.dtype}")
        if target.size and not 0 <= target.min() <= target.max() < self.n_classes:
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], "
                f"but values in range [{target.min()}, {target.max()}] were found. "
            )
