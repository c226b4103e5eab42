"""Attention."""

import numpy as np
import torch

from . import Draw, case, inf, mask, normal

SDPA = "scaled_dot_product_attention"


def some_hidden(*shape: int) -> Draw:
    """Numbers to add to scores, a third of them minus infinity."""

    def make(generator: np.random.Generator) -> np.ndarray:
        numbers = generator.standard_normal(shape)
        numbers[generator.random(shape) < 0.33] = -inf
        return numbers

    return Draw("x".join(map(str, shape)), make)


case(SDPA, normal(4, 5), normal(6, 5), normal(6, 7))
case(SDPA, normal(2, 4, 5), normal(2, 6, 5), normal(2, 6, 7))
case(SDPA, normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 5), note="equal widths")
case(SDPA, normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 7), None)
case(SDPA, normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 7), scale=0.9)
case(SDPA, normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 7), scale=-0.4)
case(SDPA, normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 7), scale=0.0)
case(SDPA, normal(2, 1, 4, 5), normal(3, 6, 5), normal(1, 3, 6, 7), note="broadcast")
case(SDPA, normal(2, 3, 40, 5), normal(2, 3, 80, 5), normal(2, 3, 80, 7), note="many keys")
case(SDPA, normal(2, 4, 5), normal(2, 0, 5), normal(2, 0, 7), note="no keys")
case(SDPA, normal(2, 0, 5), normal(2, 6, 5), normal(2, 6, 7), note="no queries")
case(SDPA, normal(2, 4, 0), normal(2, 6, 0), normal(2, 6, 7), note="no features")

# -- masks -----------------------------------------------------------------------------------------------------------

case(SDPA, normal(2, 3, 6, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 7), is_causal=True)
case(SDPA, normal(2, 4, 5), normal(2, 6, 5), normal(2, 6, 7), is_causal=True, note="fewer queries")
case(SDPA, normal(2, 6, 5), normal(2, 4, 5), normal(2, 4, 7), is_causal=True, note="more queries")
case(SDPA, normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 7), mask(4, 6))
case(SDPA, normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 7), mask(2, 1, 1, 6), note="padding")
case(SDPA, normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 7), normal(4, 6))
case(SDPA, normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 3, 6, 7), normal(2, 1, 1, 6))
case(SDPA, normal(2, 4, 5), normal(2, 6, 5), normal(2, 6, 7), some_hidden(2, 4, 6), note="infinite")

blind = np.ones((4, 6), dtype=bool)
blind[1] = False
no_sight = Draw("mask", lambda generator: blind)
no_sight_added = Draw("blind", lambda generator: np.where(blind, generator.standard_normal((4, 6)), -inf))
case(SDPA, normal(2, 4, 5), normal(2, 6, 5), normal(2, 6, 7), no_sight, note="a query that sees nothing")
case(SDPA, normal(2, 4, 5), normal(2, 6, 5), normal(2, 6, 7), no_sight_added, note="a query that sees nothing")

# -- shared heads and dropout ----------------------------------------------------------------------------------------

case(SDPA, normal(2, 6, 4, 5), normal(2, 3, 8, 5), normal(2, 3, 8, 7), enable_gqa=True)
case(SDPA, normal(2, 6, 4, 5), normal(2, 2, 8, 5), normal(2, 3, 8, 7), enable_gqa=True, note="of two kinds")
case(SDPA, normal(6, 4, 5), normal(1, 8, 5), normal(1, 8, 7), normal(6, 4, 8), enable_gqa=True)
case(SDPA, normal(2, 3, 4, 5), normal(2, 3, 8, 5), normal(2, 3, 8, 5), enable_gqa=True, note="none shared")


def dropping(query, key, value, attn_mask=None, *, dropout_p, dropout_mask):  # type: ignore[no-untyped-def]
    """Attention of torch's ops with a given mask of dropout: torch's own draws one."""
    scores = query @ key.mT / query.shape[-1] ** 0.5
    scores = scores if attn_mask is None else scores + attn_mask
    kept = dropout_mask.to(query.dtype) / (1 - dropout_p) if dropout_p < 1 else torch.zeros_like(scores)
    return (torch.softmax(scores, -1) * kept) @ value


kept = np.arange(2 * 4 * 6).reshape(2, 4, 6) % 5 > 1
case(SDPA, normal(2, 4, 5), normal(2, 6, 5), normal(2, 6, 7), dropout_p=0.4, dropout_mask=kept, torch=dropping)
case(
    SDPA,
    normal(2, 4, 5),
    normal(2, 6, 5),
    normal(2, 6, 7),
    normal(4, 6),
    dropout_p=0.4,
    dropout_mask=kept,
    torch=dropping,
)
case(SDPA, normal(2, 4, 5), normal(2, 6, 5), normal(2, 6, 7), dropout_p=1.0, dropout_mask=kept, torch=dropping)

# -- weights ---------------------------------------------------------------------------------------------------------


def weighing(query, key, attn_mask=None, *, scale=None):  # type: ignore[no-untyped-def]
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if attn_mask is not None:
        hidden = torch.zeros_like(scores).masked_fill(~attn_mask, -inf) if attn_mask.dtype == torch.bool else attn_mask
        scores = scores + hidden
    return torch.softmax(scores, -1)


case("attention_weights", normal(2, 4, 5), normal(2, 6, 5), torch=weighing)
case("attention_weights", normal(2, 3, 4, 5), normal(2, 3, 6, 5), scale=-0.3, torch=weighing)
case("attention_weights", normal(4, 5), normal(2, 6, 5), normal(2, 4, 6), torch=weighing)
case("attention_weights", normal(2, 3, 4, 5), normal(2, 3, 6, 5), normal(2, 1, 1, 6), torch=weighing)
case("attention_weights", normal(2, 3, 4, 5), normal(2, 3, 6, 5), mask(2, 1, 4, 6), torch=weighing)
case("attention_weights", normal(2, 4, 5), normal(2, 6, 5), some_hidden(4, 6), torch=weighing, note="infinite")
case("attention_weights", normal(2, 4, 5), normal(2, 6, 5), no_sight, torch=weighing, singular=True, note="blind")
