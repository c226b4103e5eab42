"""Connectionist temporal classification: the probability of a sequence of labels, summed over all its alignments.

The labels are laid out with a blank before, between and after them: the *positions* of the lattice, ``L = 2 S + 1`` for
``S`` labels. Both recursions run over time and take all sequences of the batch and all positions at once.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from manual.rules.core import Array, Pullback
from manual.rules.losses.reductions import reduce_terms

__all__ = ["ctc_loss"]


def ctc_loss(
    log_probs: Array,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    *,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> tuple[Any, Pullback]:
    """Negative log-likelihood of label sequences whose alignment with the input is not known.

    Shapes: ``log_probs (T, N, C)`` or ``(T, C)``, the logarithm ``x`` of probabilities ``y``; ``targets (N, S)``
    padded, or all sequences one after the other ``(sum of target_lengths,)``; both lengths ``(N,)``; the value ``(N,)``
    or ``()`` for ``"none"``, else ``()``.

    Forward: a path names one class at each time step; it spells the target if the target is left when repetitions are
    merged and blanks then deleted. ``l = -log p`` with ``p`` the sum, over all paths that spell the target, of the
    product of their ``y``. Let ``a_t(s)`` be that sum for the beginnings of paths which are at position ``s`` at time
    ``t``, whose label is ``k(s)``. A path stays, moves on by one, or by two where that skips a blank between different
    labels: ``a_t(s) = (a_t-1(s) + a_t-1(s-1) + [may skip] a_t-1(s-2)) y_t(k(s))``. It starts at one of the first two
    positions and ends at one of the last two. All sums are taken of logarithms, so nothing underflows.

    Backward: let ``b_t(s)`` be the same sum for the remainders of paths, *after* ``t``, that leave position ``s``:
    ``b_t(s) = sum_s' y_t+1(k(s')) b_t+1(s')`` over the moves from ``s`` to ``s'``. Every path is somewhere at time
    ``t``, so ``p = sum_s a_t(s) b_t(s)``, in which ``a_t(s)`` has the factor ``y_t(k(s))`` once. Hence
    ``dp/dx_t(k) = sum over s with k(s) = k of a_t(s) b_t(s)``, and ``dl/dx_t(k)`` is minus its share in ``p``: minus
    the probability, given the target, that the path is at a ``k`` at time ``t``.

    Source: Graves et al., Connectionist Temporal Classification (2006), section 4.1. Their ``b`` has the factor
    ``y_t(k(s))`` too, which they divide out again; without it nothing is divided by a probability that may be 0.

    Convention: as in torch, the gradient is ``y - posterior`` and not ``-posterior``: that of the *logits* behind a
    log-softmax, whose own pullback hands on unchanged what sums to zero over the classes. It is the true gradient of
    ``log_probs`` only after a log-softmax. ``"mean"`` divides each loss by its target's length (at least 1), then
    averages over the batch. A target too long for its input has the loss infinity and the gradient nan, or 0 and 0 if
    ``zero_infinity``. Nothing after ``input_lengths`` counts. For a class of probability 0 torch answers nan, this rule
    0; for a blank as the last label torch's gradient at the last time step lacks a part of the posterior, this rule's
    does not; and labels outside the classes, for which torch reads past its array, are refused.

    Raises
    ------
    RuntimeError
        If shapes, lengths, labels or ``blank`` do not fit.
    ValueError
        For an unknown reduction.

    Examples
    --------
    >>> even, lengths = np.log([[[0.5, 0.5]], [[0.5, 0.5]]]), (np.array([2]), np.array([1]))
    >>> value, pullback = losses.ctc_loss(even, np.array([[1]]), *lengths, reduction="none")
    >>> np.exp(-value)
    array([0.75])
    >>> pullback(np.array([3.0]), (True, False, False, False))[0][:, 0]
    array([[ 0.5, -0.5],
           [ 0.5, -0.5]])
    """
    single = log_probs.ndim == 2
    lattice = _lattice(log_probs, targets, input_lengths, target_lengths, blank)
    if single:
        log_probs = log_probs[:, np.newaxis]
    times = np.arange(len(log_probs)).reshape(-1, 1, 1)
    emissions = log_probs[times, lattice.batch[:, np.newaxis], lattice.labels]
    emissions[lattice.past] = -np.inf
    alpha = _alpha(emissions, lattice.barrier)
    last = lattice.target_lengths * 2 + 2  # two columns of minus infinity stand before the first position
    ends = lattice.input_lengths - 1, lattice.batch
    log_likelihood = np.logaddexp(alpha[(*ends, last)], alpha[(*ends, last - 1)])
    if not lattice.input_lengths.all():  # an empty input spells the empty target and no other
        nothing = np.where(lattice.target_lengths == 0, 0.0, -math.inf)
        log_likelihood = np.where(lattice.input_lengths == 0, nothing, log_likelihood).astype(log_probs.dtype)
    impossible = np.isneginf(log_likelihood)
    terms = -log_likelihood
    if zero_infinity:
        terms[impossible] = 0
    divisor = np.maximum(lattice.target_lengths, 1).astype(log_probs.dtype)
    if reduction == "mean":
        value = reduce_terms(terms / divisor, reduction)
    else:
        value = reduce_terms(terms[0] if single and reduction == "none" else terms, reduction)

    def ctc_loss_pullback(incoming: Any, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        scale = np.broadcast_to(incoming, terms.shape)
        if reduction == "mean":
            scale = scale / (divisor * terms.size)
        posterior = _alpha_beta(alpha, emissions, lattice)
        posterior -= np.where(impossible, 0, log_likelihood)[:, np.newaxis]
        np.exp(posterior, out=posterior)
        gradient = np.exp(log_probs, order="C")
        classes = gradient.shape[2]
        rows = np.arange(gradient.size // classes).reshape(*gradient.shape[:2], 1)
        np.subtract.at(gradient.reshape(-1), (rows * classes + lattice.labels).reshape(-1), posterior.reshape(-1))
        gradient *= scale[:, np.newaxis]
        if impossible.any():
            gradient[:, impossible] = 0.0 if zero_infinity else math.nan
        gradient[lattice.past] = 0
        return gradient[:, 0] if single else gradient, None, None, None

    return value, ctc_loss_pullback


# -- the recursions ----------------------------------------------------------------------------------------------------


def _alpha(emissions: Array, barrier: Array) -> Array:
    """``log a``: ``(T, N, 2 + L)``, with two columns of minus infinity, from which no path comes, before the first."""
    times, batch, positions = emissions.shape
    alpha = np.full((times, batch, positions + 2), -np.inf, emissions.dtype)
    alpha[0, :, 2:4] = emissions[0, :, :2]
    for time in range(1, times):
        before, here = alpha[time - 1], alpha[time, :, 2:]
        np.add(before[:, :-2], barrier, out=here)
        np.logaddexp(here, before[:, 1:-1], out=here)
        np.logaddexp(here, before[:, 2:], out=here)
        here += emissions[time]
    return alpha


def _alpha_beta(alpha: Array, emissions: Array, lattice: _Lattice) -> Array:
    """``log (a b)``: ``(T, N, L)``; only one time step of ``b`` is ever held."""
    times, batch, positions = emissions.shape
    product = np.empty_like(emissions)
    beta = np.empty_like(emissions[0])
    after = np.full((batch, positions + 2), -np.inf, emissions.dtype)
    beyond = after[:, 2:]
    last = lattice.target_lengths * 2
    ending = {
        length - 1: np.flatnonzero(lattice.input_lengths == length) for length in {*lattice.input_lengths.tolist()}
    }
    for time in range(times - 1, -1, -1):
        if time == times - 1:
            beta.fill(-np.inf)
        else:
            # a skip is barred by the position in which it ends
            np.add(beyond, lattice.barrier_after, out=beta)
            np.logaddexp(beta, after[:, 1:-1], out=beta)
            np.logaddexp(beta, after[:, :-2], out=beta)
        if time in ending:
            ended = ending[time]
            beta[ended, last[ended]] = 0
            beta[ended, np.maximum(last[ended] - 1, 0)] = 0
        np.add(alpha[time, :, 2:], beta, out=product[time])
        np.add(emissions[time], beta, out=after[:, :-2])
    return product


# -- the lattice -------------------------------------------------------------------------------------------------------


class _Lattice(NamedTuple):
    """What is known of a batch before any probability is looked at.

    ``labels (N, L)`` with blanks between and after them; ``barrier (N, L)`` is 0 where a position may be reached from
    the last but one, else minus infinity, and ``barrier_after`` the same seen from where the skip starts;
    ``past (T, N)`` marks the time steps that do not count; ``batch`` numbers the sequences.
    """

    labels: Array
    barrier: Array
    barrier_after: Array
    past: Array
    batch: Array
    input_lengths: Array
    target_lengths: Array


def _lattice(log_probs: Array, targets: Any, input_lengths: Any, target_lengths: Any, blank: int) -> _Lattice:
    if log_probs.ndim not in (2, 3):
        raise RuntimeError(
            f"Expected 3-dimensional tensor, but got {log_probs.ndim}-dimensional tensor for argument #1 'log_probs'"
        )
    if not log_probs.size:
        raise RuntimeError("log_probs tensor must not be empty")
    times, classes = log_probs.shape[0], log_probs.shape[-1]
    batch = 1 if log_probs.ndim == 2 else log_probs.shape[1]
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    inputs = _lengths("input_lengths", input_lengths, batch)
    lengths = _lengths("target_lengths", target_lengths, batch)
    if inputs.max() > times:
        raise RuntimeError(f"Expected input_lengths to have value at most {times}, but got value {inputs.max()}")
    sequences = _padded(np.asarray(targets), lengths, classes, blank)
    labels = np.full((batch, 2 * sequences.shape[1] + 1), blank)
    labels[:, 1::2] = sequences
    barrier = np.full((batch, labels.shape[1] + 2), -np.inf, log_probs.dtype)
    barrier[:, 2:-2][labels[:, 2:] != labels[:, :-2]] = 0
    past = np.arange(times)[:, np.newaxis] >= inputs
    return _Lattice(labels, barrier[:, :-2], barrier[:, 2:], past, np.arange(batch), inputs, lengths)


def _lengths(name: str, lengths: Any, batch: int) -> Array:
    lengths = np.asarray(lengths).reshape(-1)
    if lengths.size != batch:
        raise RuntimeError(f"{name} must be of size batch_size")
    if lengths.dtype.kind not in "iu":
        raise RuntimeError(f"{name} must be integral")
    if lengths.min() < 0:
        raise RuntimeError(f"Expected {name} to have value at least 0, but got value {lengths.min()}")
    return lengths.astype(np.int64)


def _padded(targets: Array, lengths: Array, classes: int, blank: int) -> Array:
    """The targets as one row per sequence, blank after each one's end."""
    batch, longest = lengths.size, int(lengths.max())
    counts = np.arange(longest) < lengths[:, np.newaxis]
    argument = "for argument #2 'targets'"
    if targets.ndim not in (1, 2):
        raise RuntimeError(f"Expected 1 to 2 dimensions, but got {targets.ndim}-dimensional tensor {argument}")
    rows = batch if targets.ndim == 2 else int(lengths.sum())
    if targets.shape[0] != rows:
        raise RuntimeError(
            f"Expected tensor to have size {rows} at dimension 0, but got size {targets.shape[0]} {argument}"
        )
    if targets.ndim == 2 and targets.shape[1] < longest:
        raise RuntimeError(
            f"Expected tensor to have size at least {longest} at dimension 1, "
            f"but got size {targets.shape[1]} {argument}"
        )
    labels = targets[:, :longest][counts] if targets.ndim == 2 else targets
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        raise RuntimeError(f"Expected targets to lie between 0 and {classes - 1}, but got {labels[outside][0]}")
    padded = np.full((batch, longest), blank)
    padded[counts] = labels
    return padded
