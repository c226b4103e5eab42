"""Losses as modules. The formulas and their derivations are in :mod:`manual.rules.losses`.

Each loss says with ``denominator(input, target)`` what its mean divides by, whatever its reduction: a micro-batch's
share of a batch is its share of that number. ``size_average`` and ``reduce``, which torch has deprecated, are not
taken.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from manual.nn.module import Module
from manual.rules import losses
from manual.rules.core import Array
from manual.tensor import Tensor, apply, as_array

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "CrossEntropyLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "MultiMarginLoss",
    "NLLLoss",
    "NLLLoss2d",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "SquaredHingeLoss",
]


class _Loss(Module):
    """Applies one loss rule with the reduction and the options that are its attributes."""

    _rule: Any

    def __init__(self, reduction: str = "mean", **options: Any):
        super().__init__()
        self.reduction = reduction
        self._options = ("reduction", *options)
        for name, value in options.items():
            setattr(self, name, value)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        state = self.__dict__
        result: Tensor = apply(self._rule, input, target, **{name: state[name] for name in state["_options"]})
        return result

    def denominator(self, input: Any, target: Any) -> float:
        """The number of elements, of input and target broadcast against each other."""
        shapes = np.shape(as_array(input)), np.shape(as_array(target))
        return float(math.prod(shapes[0] if shapes[0] == shapes[1] else np.broadcast_shapes(*shapes)))


class _WeightedLoss(_Loss):
    """A loss whose weights are buffers."""

    def __init__(self, reduction: str, weights: dict[str, Any], **options: Any):
        super().__init__(reduction, **options)
        for name, value in weights.items():
            self.register_buffer(name, None if value is None else as_array(value))

    def forward(self, input: Tensor, target: Any) -> Tensor:
        state = self.__dict__
        options = {name: state[name] for name in state["_options"]}
        result: Tensor = apply(self._rule, input, target, **options, **state["_buffers"])
        return result


class L1Loss(_Loss):
    """Mean absolute error.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, or two that broadcast, with a warning; the loss ``()``, with
    reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> input = tensor([1.0, 3.0], requires_grad=True)
    >>> loss = nn.L1Loss()(input, tensor([2.0, 1.0]))
    >>> loss
    Tensor(1.5, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([-1.,  1.], dtype=float32)
    """

    _rule = staticmethod(losses.l1_loss)

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction)


class MSELoss(_Loss):
    """Mean squared error over all *elements*, without a factor 1/2.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, or two that broadcast, with a warning; the loss ``()``, with
    reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> input = tensor([1.0, 3.0], requires_grad=True)
    >>> loss = nn.MSELoss()(input, tensor([0.0, 1.0]))
    >>> loss
    Tensor(2.5, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([2., 4.], dtype=float32)
    """

    _rule = staticmethod(losses.mse_loss)

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction)


class SmoothL1Loss(_Loss):
    """Squares near zero, absolute errors beyond ``beta``; Huber's loss over ``beta``.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, or two that broadcast, with a warning; the loss ``()``, with
    reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast, or ``beta`` is negative.

    Examples
    --------
    >>> input = tensor([1.0, 5.0], requires_grad=True)
    >>> loss = nn.SmoothL1Loss(beta=2.0)(input, tensor([0.0, 1.0]))
    >>> loss
    Tensor(1.625, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([0.5, 1. ], dtype=float32)
    """

    _rule = staticmethod(losses.smooth_l1_loss)

    def __init__(self, reduction: str = "mean", beta: float = 1.0):
        super().__init__(reduction, beta=beta)


class HuberLoss(_Loss):
    """Half squares near zero, ``delta`` times absolute errors beyond.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, or two that broadcast, with a warning; the loss ``()``, with
    reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast, or ``delta`` is not positive.

    Examples
    --------
    >>> input = tensor([1.0, 5.0], requires_grad=True)
    >>> loss = nn.HuberLoss(delta=2.0)(input, tensor([0.0, 1.0]))
    >>> loss
    Tensor(3.25, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([1., 2.], dtype=float32)
    """

    _rule = staticmethod(losses.huber_loss)

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction, delta=delta)


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-y s))`` for targets of -1 and 1.

    Shapes: ``input`` and ``target`` of one shape ``(*)``; the loss ``()``, with reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If ``reduction`` is unknown.
    RuntimeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> input = tensor([0.0, 2.0], requires_grad=True)
    >>> loss = nn.SoftMarginLoss()(input, tensor([1.0, -1.0]))
    >>> loss
    Tensor(1.41, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([-0.5   ,  0.8808], dtype=float32)
    """

    _rule = staticmethod(losses.soft_margin_loss)

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction)


class HingeLoss(_Loss):
    """``max(0, 1 - y s)`` for targets of -1 and 1: the linear SVM's; torch has no such module.

    Shapes: ``input`` and ``target`` of one shape ``(*)``; the loss ``()``, with reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If the shapes differ, or ``reduction`` is unknown.

    Examples
    --------
    >>> input = tensor([0.5, 3.0, 1.0], requires_grad=True)
    >>> loss = nn.HingeLoss()(input, tensor([1.0, 1.0, -1.0]))
    >>> loss
    Tensor(0.8333, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([-0.6667, -0.    ,  0.6667], dtype=float32)
    """

    _rule = staticmethod(losses.hinge_loss)

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction)


class SquaredHingeLoss(_Loss):
    """``max(0, 1 - y s)^2`` for targets of -1 and 1; torch has no such module.

    Shapes: ``input`` and ``target`` of one shape ``(*)``; the loss ``()``, with reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If the shapes differ, or ``reduction`` is unknown.

    Examples
    --------
    >>> input = tensor([0.5, 3.0, 1.0], requires_grad=True)
    >>> loss = nn.SquaredHingeLoss()(input, tensor([1.0, 1.0, -1.0]))
    >>> loss
    Tensor(1.4167, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([-0.6667, -0.    ,  2.6667], dtype=float32)
    """

    _rule = staticmethod(losses.squared_hinge_loss)

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction)


class BCELoss(_WeightedLoss):
    """Binary cross entropy of probabilities; logarithms are cut off at -100.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, ``weight`` of one that broadcasts to it; the loss ``()``,
    with reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If the shapes differ, or ``reduction`` is unknown.
    RuntimeError
        If an element of the input or of the target is not in [0, 1], or ``weight`` does not broadcast.

    Examples
    --------
    >>> input = tensor([0.5, 0.25], requires_grad=True)
    >>> loss = nn.BCELoss()(input, tensor([1.0, 0.0]))
    >>> loss
    Tensor(0.4904, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([-2.    ,  1.3333], dtype=float32)
    """

    _rule = staticmethod(losses.binary_cross_entropy)

    def __init__(self, weight: Any = None, reduction: str = "mean"):
        super().__init__(reduction, {"weight": weight})


class BCEWithLogitsLoss(_WeightedLoss):
    """Binary cross entropy of logits, stable for every one of them.

    Shapes: ``input`` and ``target`` of one shape ``(*)``, ``weight`` and ``pos_weight`` of shapes that broadcast to it;
    the loss ``()``, with reduction ``"none"`` ``(*)``.

    Raises
    ------
    ValueError
        If the shapes differ, or ``reduction`` is unknown.
    RuntimeError
        If ``weight`` or ``pos_weight`` does not broadcast.

    Examples
    --------
    >>> input = tensor([0.0, 2.0], requires_grad=True)
    >>> loss = nn.BCEWithLogitsLoss(pos_weight=tensor(3.0))(input, tensor([1.0, 0.0]))
    >>> loss
    Tensor(2.1032, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([-1.5   ,  0.8808], dtype=float32)
    """

    _rule = staticmethod(losses.binary_cross_entropy_with_logits)

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None):
        super().__init__(reduction, {"weight": weight, "pos_weight": pos_weight})


class _ClassLoss(_WeightedLoss):
    def denominator(self, input: Any, target: Any) -> float:
        """The rows that are not ignored, or the sum of their target weights."""
        weight: Array | None = self._buffers["weight"]
        arrays = as_array(input), as_array(target)
        return losses.class_denominator(*arrays, weight=weight, ignore_index=self.ignore_index)


class NLLLoss(_ClassLoss):
    """Negative log likelihood of log-probabilities; the mean divides by the sum of the target weights.

    Shapes: ``input (C,)``, ``(N, C)`` or ``(N, C, d1, d2, ...)``, ``target`` the same without ``C``, ``weight (C,)``;
    the loss ``()``, with reduction ``"none"`` the target's.

    Raises
    ------
    IndexError
        If a target is no class and not ``ignore_index``.
    ValueError
        If the batches differ, the input is a scalar, or ``reduction`` is unknown.
    RuntimeError
        If the target is not integer or has a shape that does not fit, or ``weight`` has another size or dtype.

    Examples
    --------
    >>> input = tensor([[-1.0, -2.0], [-0.5, -4.0]], requires_grad=True)
    >>> loss = nn.NLLLoss(weight=tensor([1.0, 3.0]))(input, tensor([0, 1]))
    >>> loss
    Tensor(3.25, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([[-0.5,  0. ],
           [ 0. , -1.5]], dtype=float32)
    """

    _rule = staticmethod(losses.nll_loss)

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"):
        super().__init__(reduction, {"weight": weight}, ignore_index=ignore_index)


class NLLLoss2d(NLLLoss):
    """The old name of :class:`NLLLoss` for images; like torch, it says so.

    Shapes: ``input (N, C, H, W)``, ``target (N, H, W)``, ``weight (C,)``; the loss ``()``, with reduction ``"none"``
    ``(N, H, W)``. Raises what :class:`NLLLoss` raises.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     criterion = nn.NLLLoss2d()
    >>> criterion(tensor([[[[-1.0, -2.0]], [[-0.5, -4.0]]]]), tensor([[[0, 1]]]))
    Tensor(2.5)
    """

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"):
        warnings.warn(
            "`NLLLoss2d` has been deprecated. Please use `NLLLoss` instead as a drop-in replacement.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(weight, ignore_index, reduction)


class CrossEntropyLoss(_ClassLoss):
    """Cross entropy of logits with class indices or class probabilities.

    Shapes: ``input (C,)``, ``(N, C)`` or ``(N, C, d1, d2, ...)``, ``target`` the same without ``C`` for class indices
    and with it for probabilities, ``weight (C,)``; the loss ``()``, with reduction ``"none"`` the shape of class
    indices.

    Raises
    ------
    IndexError
        If a target is no class and not ``ignore_index``.
    ValueError
        If the batches differ, the input is a scalar, or ``reduction`` is unknown.
    RuntimeError
        If the target has a shape or dtype that does not fit, ``weight`` another size or dtype, or ``label_smoothing``
        is not in [0, 1].

    Examples
    --------
    >>> input = tensor([[0.0, 0.0], [0.0, 0.0]], requires_grad=True)
    >>> loss = nn.CrossEntropyLoss()(input, tensor([0, 1]))
    >>> loss
    Tensor(0.6931, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([[-0.5,  0.5],
           [ 0.5, -0.5]], dtype=float32)
    """

    _rule = staticmethod(losses.cross_entropy)

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ):
        super().__init__(reduction, {"weight": weight}, ignore_index=ignore_index, label_smoothing=label_smoothing)


class MultiMarginLoss(_WeightedLoss):
    """``sum_j max(0, margin - x_y + x_j)^p / C`` over the other classes j.

    Shapes: ``input (N, C)`` or ``(C,)``, ``target (N,)`` or ``()``, ``weight (C,)``; the loss ``()``, with reduction
    ``"none"`` the target's shape.

    Raises
    ------
    ValueError
        If ``p`` is neither 1 nor 2, or ``reduction`` is unknown.
    RuntimeError
        If a shape does not fit, or a target is no class.

    Examples
    --------
    >>> input = tensor([[2.0, 1.5, 0.0]], requires_grad=True)
    >>> loss = nn.MultiMarginLoss(margin=1.0)(input, tensor([0]))
    >>> loss
    Tensor(0.1667, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([[-0.6667,  0.6667,  0.    ]], dtype=float32)
    """

    _rule = staticmethod(losses.multi_margin_loss)

    def __init__(self, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"):
        super().__init__(reduction, {"weight": weight}, p=p, margin=margin)

    def denominator(self, input: Any, target: Any) -> float:
        """The number of rows."""
        return float(np.size(as_array(target)))


class CTCLoss(_Loss):
    """Negative log-likelihood of label sequences, summed over all alignments with the input.

    Shapes: ``log_probs (T, N, C)`` or ``(T, C)``; ``targets (N, S)``, or all labels joined ``(sum of the lengths,)``;
    both lengths ``(N,)`` or ``()``; the loss ``()``, with reduction ``"none"`` ``(N,)`` or ``()``.

    Raises
    ------
    RuntimeError
        If a shape does not fit, a length is negative or greater than its axis, or a label or ``blank`` is no class.
    ValueError
        If ``reduction`` is unknown.

    Examples
    --------
    >>> log_probs = tensor(np.log([[[0.5, 0.5]], [[0.5, 0.5]]]), requires_grad=True)
    >>> loss = nn.CTCLoss(reduction="sum")(log_probs, tensor([[1]]), tensor([2]), tensor([1]))
    >>> (-loss).exp()
    Tensor(0.75, requires_grad=True)
    >>> loss.backward(tensor(3.0))
    >>> log_probs.grad[:, 0]
    array([[ 0.5, -0.5],
           [ 0.5, -0.5]])
    """

    _rule = staticmethod(losses.ctc_loss)

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False):
        super().__init__(reduction, blank=blank, zero_infinity=zero_infinity)

    def forward(self, log_probs: Tensor, targets: Any, input_lengths: Any, target_lengths: Any) -> Tensor:  # type: ignore[override]
        sequences = [as_array(value) for value in (targets, input_lengths, target_lengths)]
        options = {name: getattr(self, name) for name in self._options}
        result: Tensor = apply(self._rule, log_probs, *sequences, **options)
        return result

    def denominator(self, input: Any, target: Any, *lengths: Any) -> float:
        """The number of sequences; each one's share has been divided by its own target's length."""
        shape = np.shape(as_array(input))
        return float(shape[1]) if len(shape) == 3 else 1.0


class KLDivLoss(_Loss):
    """``t (log t - x)`` for log-probabilities x; ``"mean"`` divides by elements, ``"batchmean"`` by rows.

    Shapes: ``input`` (log-probabilities) and ``target`` of one shape ``(N, *)``; the loss ``()``, with reduction
    ``"none"`` ``(N, *)``.

    Raises
    ------
    ValueError
        If the shapes do not broadcast, or ``reduction`` is unknown.

    Examples
    --------
    >>> input = tensor([[-1.0, -0.5]], requires_grad=True)
    >>> loss = nn.KLDivLoss(reduction="batchmean")(input, tensor([[0.25, 0.75]]))
    >>> loss
    Tensor(0.0627, requires_grad=True)
    >>> loss.backward(tensor(2.0))
    >>> input.grad
    array([[-0.5, -1.5]], dtype=float32)
    """

    _rule = staticmethod(losses.kl_div)

    def __init__(self, reduction: str = "mean", log_target: bool = False):
        super().__init__(reduction, log_target=log_target)

    def denominator(self, input: Any, target: Any) -> float:
        """The number of elements, or of rows for ``batchmean``."""
        if self.reduction != "batchmean":
            return super().denominator(input, target)
        shape = np.shape(as_array(input))
        return float(shape[0]) if shape else 1.0
