"""A value or a gradient that passes through a narrower dtype."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from compare.diagnosis.evidence import Pair
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.mutation import Mutation, holding, through
from compare.diagnosis.mutants.sites import Site

__all__ = ["gradients_rounded", "narrower", "values_rounded"]

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def narrower(pair: Pair) -> list[torch.dtype]:
    """The dtypes whose rounding could have made this difference."""
    expected, actual = pair.expected, pair.actual
    if expected.shape != actual.shape or expected.dtype.kind != "f" or not expected.size:
        return []
    with np.errstate(all="ignore"):
        scale = float(np.max(np.abs(expected)))
        gap = float(np.max(np.abs(actual.astype(np.float64) - expected))) / scale if scale else np.inf
    own = np.finfo(expected.dtype).eps
    return [dtype for dtype in _DTYPES if own < torch.finfo(dtype).eps and gap < 64 * torch.finfo(dtype).eps]


def _rounded(dtype: torch.dtype, tensor: Tensor) -> Tensor:
    return tensor.to(dtype).to(tensor.dtype)


def values_rounded(site: Site, around: Around, dtypes: list[torch.dtype]) -> Iterator[Mutation]:
    """The result, or a given operand, rounded."""
    if not isinstance(site.output, Tensor) or not site.output.is_floating_point():
        return
    for dtype in dtypes:
        word = str(dtype).removeprefix("torch.")
        yield Mutation(
            f"{word} result",
            "lower precision",
            f"the result of {site.name} passes through {word}",
            holding(lambda call, dtype: _rounded(dtype, call.plain()), dtype),
            4,
        )
        for slot in site.slots:
            if around.sites.maker(site.tensor(slot)) is None:
                yield Mutation(
                    f"{word} {slot}",
                    "lower precision",
                    f"{around.source(site, slot)} passes through {word} before {site.name}",
                    holding(lambda call, dtype, slot: call.having({slot: _rounded(dtype, call.at(slot))}), dtype, slot),
                    4,
                )


def gradients_rounded(site: Site, around: Around, dtypes: list[torch.dtype]) -> Iterator[Mutation]:
    """A gradient rounded on its way back."""
    for dtype in dtypes:
        word = str(dtype).removeprefix("torch.")
        for slot in site.slots:
            if site.tensor(slot).requires_grad:
                yield Mutation(
                    f"{word} gradient {slot}",
                    "lower precision",
                    f"the gradient that {around.source(site, slot)} receives from {site.name} passes through {word}",
                    through((slot,), holding(lambda g, dtype: _rounded(dtype, g), dtype)),
                    4,
                )
