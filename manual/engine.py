"""The reverse sweep. It knows no op: only nodes, the pullback of each, and who feeds whom.

Reverse-mode differentiation is the chain rule read from the end. Every op leaves a :class:`Node` that holds its
inputs and its pullback. Nodes are numbered as they are made, so descending numbers are an order in which every
consumer comes before what it consumed: when a node's turn comes, all shares of its incoming gradient are in.

Accumulation is torch's: a leaf *adds* what a backward pass hands it to ``.grad``, an intermediate keeps nothing.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from typing import Any

import numpy as np

__all__ = ["Node", "enable_grad", "grad_mode", "is_grad_enabled", "no_grad", "sweep"]

_numbers = itertools.count()


class _GradMode(threading.local):
    enabled = True


grad_mode = _GradMode()


def is_grad_enabled() -> bool:
    """Whether ops record nodes in this thread.

    Takes no arrays. Raises nothing.

    Examples
    --------
    >>> with manual.no_grad():
    ...     manual.is_grad_enabled()
    False
    >>> manual.is_grad_enabled()
    True
    """
    return grad_mode.enabled


@contextmanager
def _grad_mode_set(enabled: bool) -> Iterator[None]:
    before, grad_mode.enabled = grad_mode.enabled, enabled
    try:
        yield
    finally:
        grad_mode.enabled = before


def no_grad() -> Any:
    """Context (or decorator) in which ops record nothing, as ``torch.no_grad()``.

    Takes no arrays. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([1.0], requires_grad=True)
    >>> with manual.no_grad():
    ...     y = x * 2
    >>> y.requires_grad, (x * 2).requires_grad
    (False, True)
    """
    return _grad_mode_set(False)


def enable_grad() -> Any:
    """Context (or decorator) in which ops record again, as ``torch.enable_grad()``.

    Takes no arrays. Raises nothing of its own.

    Examples
    --------
    >>> x = tensor([1.0], requires_grad=True)
    >>> with manual.no_grad(), manual.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """
    return _grad_mode_set(True)


class Node:
    """One application of a rule: its inputs, which of them need a gradient, and the pullback.

    ``inputs`` holds tensors, ``None`` for those that need no gradient. ``shapes`` holds the shape and dtype of each of
    several outputs, ``None`` where there is one. ``hooks`` maps an output's index to the functions that see its
    gradient once it is complete.
    """

    __slots__ = ("hooks", "inputs", "needs", "number", "outputs", "pullback", "shapes")

    def __init__(
        self, inputs: tuple[Any, ...], needs: tuple[bool, ...], pullback: Any, shapes: list[Any] | None = None
    ):
        self.number = next(_numbers)
        self.inputs = inputs
        self.needs = needs
        self.pullback = pullback
        self.shapes = shapes
        self.outputs = 1 if shapes is None else len(shapes)
        self.hooks: dict[int, list[Any]] | None = None


def sweep(roots: list[Any], seeds: list[np.ndarray], *, retain_graph: bool = False) -> None:
    """Carry the gradients ``seeds`` of ``roots`` back to every leaf.

    The node with the highest number is always next: whatever consumed its outputs has a higher one, and is done.

    Parameters
    ----------
    roots : tensors that require a gradient
    seeds : one incoming gradient per root, of its shape and dtype
    retain_graph : keep the pullbacks for another sweep (otherwise they are dropped as they are used)

    Raises
    ------
    RuntimeError
        If a pullback was dropped by an earlier sweep, or returns a gradient of another number, shape or dtype.
    """
    waiting: list[tuple[int, Node]] = []  # a heap; numbers are negative, so that the newest node comes first
    shares: dict[Node, list[Any]] = {}  # the gradient of each output so far
    leaves: dict[int, list[Any]] = {}  # id -> a leaf and its gradient so far
    given: Any = zip(roots, seeds, strict=True)
    while True:
        for tensor, share in given:
            node = tensor._node
            if node is None:
                entry = leaves.get(id(tensor))
                if entry is None:
                    leaves[id(tensor)] = [tensor, share]
                else:
                    entry[1] = _gradient(entry[1] + share)
            else:
                held = shares.get(node)
                if held is None:
                    held = shares[node] = [None] * node.outputs
                    heappush(waiting, (-node.number, node))
                index = tensor._index
                held[index] = share if held[index] is None else np.asarray(held[index] + share)
        if not waiting:
            break
        node = heappop(waiting)[1]
        given = _pull_back(node, shares.pop(node), retain_graph)
    for leaf, gradient in leaves.values():
        _deposit(leaf, gradient)


def _pull_back(node: Node, shares: list[Any], retain_graph: bool) -> list[tuple[Any, np.ndarray]]:
    """Hand the complete gradient of a node's outputs through its pullback: pairs of an input and its share."""
    if node.hooks:
        for index, hooks in node.hooks.items():
            if shares[index] is not None:
                shares[index] = _through(hooks, shares[index])
    pullback = node.pullback
    if pullback is None:
        raise RuntimeError(
            "Trying to backward through the graph a second time: its pullbacks were dropped when they were "
            "first used. Call backward(retain_graph=True) the first time."
        )
    if node.shapes is None:
        incoming = shares[0]
    else:
        incoming = tuple(
            np.zeros(shape, dtype) if share is None else share
            for share, (shape, dtype) in zip(shares, node.shapes, strict=True)
        )
    gradients = pullback(incoming, node.needs)
    if not retain_graph:
        node.pullback = None
    if len(gradients) != len(node.inputs):
        raise RuntimeError(f"{pullback.__name__} returned {len(gradients)} gradients for {len(node.inputs)} inputs")
    handed_on = []
    for tensor, gradient in zip(node.inputs, gradients):  # noqa: B905 (speed; the lengths were compared)
        if tensor is None or gradient is None:
            continue
        data = tensor.data
        if type(gradient) is not np.ndarray:
            gradient = _gradient(gradient)
        if gradient.shape != data.shape or (gradient.dtype is not data.dtype and gradient.dtype != data.dtype):
            position = [entry is tensor for entry in node.inputs].index(True)
            raise RuntimeError(
                f"{pullback.__name__} returned a gradient of shape {gradient.shape} and dtype {gradient.dtype} for "
                f"input {position}, which has shape {data.shape} and dtype {data.dtype}"
            )
        if tensor._node is None and (gradient is incoming or gradient.base is not None):
            gradient = gradient.copy()  # a leaf keeps what it is given: it must be nobody else's
        handed_on.append((tensor, gradient))
    return handed_on


def _gradient(value: Any) -> Any:
    """A gradient as an array, or as it is where it holds some rows only (``SparseRows``) and adds up by itself."""
    return value if getattr(value, "is_sparse", False) else np.asarray(value)


def _through(hooks: list[Any], gradient: np.ndarray) -> np.ndarray:
    for hook in tuple(hooks):
        replaced = hook(gradient)
        if replaced is not None:
            gradient = replaced
    return gradient


def _deposit(leaf: Any, gradient: np.ndarray) -> None:
    """Add a completed gradient to a leaf's ``.grad``."""
    if leaf._hooks:
        gradient = _through(leaf._hooks, gradient)
    if leaf.grad is None:
        leaf.grad = gradient
    else:
        leaf.grad += gradient  # in place, unless rows get an array on top
