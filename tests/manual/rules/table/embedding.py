"""Tables of vectors."""

import numpy as np
from torch import Tensor
from torch.nn import functional

from . import Draw, case, exactly, nan, normal


def lookup(weight: Tensor, indices: Tensor, **options: object) -> Tensor:
    return functional.embedding(indices, weight, **options)


repeating = np.array([[2, 0, 2], [3, 2, 0]])
case("embedding", normal(5, 3), indices=repeating, torch=lookup)
case("embedding", normal(5, 3), indices=repeating.astype(np.int32), torch=lookup, note="int32")
case("embedding", normal(5, 3), indices=np.array(4), torch=lookup, note="scalar")
case("embedding", normal(5, 3), indices=np.zeros((2, 0), dtype=int), torch=lookup, note="empty")
case("embedding", normal(5, 1), indices=repeating[0], torch=lookup, note="vector")
case("embedding", normal(20, 16), indices=np.arange(300).reshape(3, 100) * 7 % 19, torch=lookup, note="many")
# the padding is looked up but gets no gradient, and a mean over frequencies is no gradient: nothing to measure
case("embedding", normal(5, 3), indices=repeating, padding_idx=2, torch=lookup, smooth=False)
case("embedding", normal(5, 3), indices=repeating, scale_grad_by_freq=True, torch=lookup, smooth=False)
case("embedding", normal(5, 3), indices=repeating, padding_idx=0, scale_grad_by_freq=True, torch=lookup, smooth=False)


def pooled(weight: Tensor, per_sample_weights: Tensor | None = None, *, indices: Tensor, **options: object) -> Tensor:
    return functional.embedding_bag(indices, weight, per_sample_weights=per_sample_weights, **options)


def ending_early(weight: Tensor, shares: Tensor | None = None, *, indices: Tensor, **options: object) -> Tensor:
    """The entries behind the last offset cut off: torch 2.13 reads past its arrays, or divides a mean by too much."""
    end = int(options["offsets"][-1])  # type: ignore[index]
    return pooled(weight, None if shares is None else shares[:end], indices=indices[:end], **options)


# no bags at all are not held against torch's embedding_bag: with entries, its backward is a segmentation fault
entries = np.array([3, 0, 4, 0, 1, 0, 2])
bags = {"indices": entries, "offsets": np.array([0, 3, 3, 4]), "torch": pooled}  # the second is empty
for mode in ("sum", "mean", "max"):
    case("embedding_bag", normal(5, 3), mode=mode, **bags)
    case("embedding_bag", normal(5, 3), mode=mode, padding_idx=0, **bags)
    case("embedding_bag", normal(5, 3), mode=mode, padding_idx=4, **bags)
    case(
        "embedding_bag", normal(5, 3), mode=mode, include_last_offset=True,
        indices=entries, offsets=np.array([0, 2, 2, 7]), torch=pooled,
    )  # fmt: skip
    case(
        "embedding_bag", normal(20, 16), mode=mode,
        indices=np.arange(300) * 7 % 19, offsets=np.arange(30) * 10, torch=pooled, note="many",
    )  # fmt: skip
    case(
        "embedding_bag", normal(5, 3), mode=mode,
        indices=np.zeros(0, dtype=int), offsets=np.zeros(2, dtype=int), torch=pooled, note="empty bags",
    )  # fmt: skip
    case(
        "embedding_bag", normal(5, 3), mode=mode,
        indices=entries, offsets=np.zeros(0, dtype=int), torch=lambda weight, **_: weight[:0], note="no bags",
    )  # fmt: skip
    case(
        "embedding_bag", normal(5, 3), mode=mode, include_last_offset=True,
        indices=entries, offsets=np.array([0, 2, 5]), torch=ending_early, note="ends early",
    )  # fmt: skip
case("embedding_bag", normal(5, 3), normal(7), mode="sum", **bags)
case("embedding_bag", normal(5, 3), normal(7), mode="sum", padding_idx=0, **bags)
case(
    "embedding_bag", normal(5, 3), normal(7), mode="sum", include_last_offset=True,
    indices=entries, offsets=np.array([0, 2, 5]), torch=ending_early, note="ends early",
)  # fmt: skip
for mode in ("sum", "mean"):
    case(
        "embedding_bag", normal(5, 3), mode=mode, scale_grad_by_freq=True, smooth=False,
        indices=np.array([3, 0, 1, 3, 3]), offsets=np.array([0, 2]), torch=pooled,
    )  # fmt: skip
tied = Draw("5x3", lambda generator: np.array([[1.0, 2, 3], [1, 5, 3], [0, 5, 2], [1, 1, 1], [9, 9, 9]]))
case("embedding_bag", tied, mode="max", smooth=False, note="ties", **bags)
case("embedding_bag", exactly([nan, 1], [2, nan], [3, 0], [1, 2], [0, 0]), mode="max", singular=True, **bags)
