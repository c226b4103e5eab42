"""Dropout with given masks, and slopes that were drawn. The reference draws nothing either: the formula, in torch."""

import torch

from . import Draw, case, exactly, mask, normal

FLOOR = -1.7580993408473766


def dropout(x, kept, p=0.5):
    return x * kept.to(x.dtype) * (0.0 if p == 1 else 1 / (1 - p))


def alpha_dropout(x, kept, p=0.5):
    kept = kept.to(x.dtype)
    a = 0.0 if p == 1 else ((1 - p) * (1 + p * FLOOR**2)) ** -0.5
    return a * (torch.where(kept.bool(), x, torch.tensor(FLOOR, dtype=x.dtype)) - p * FLOOR)


for rule, reference in (("dropout", dropout), ("alpha_dropout", alpha_dropout)):
    for p in (0.0, 0.2, 0.9, 1.0):
        case(rule, normal(3, 4), mask(3, 4), p=p, torch=reference, note="mask of its own")
    case(rule, normal(3, 4, 5), mask(3, 4, 1), p=0.3, torch=reference, note="whole channels")
    case(rule, normal(4, 5, 2), mask(4, 1, 1), p=0.3, torch=reference, note="whole channels, one sample")
    case(rule, normal(0, 4), mask(0, 4), p=0.3, torch=reference)


def slopes(*shape):
    """Labelled as a mask is: it needs no gradient."""
    return Draw("mask", lambda generator: generator.uniform(0.1, 0.4, shape))


def rrelu(x, noise):
    return torch.where(x > 0, x, x * noise)


case("rrelu", normal(3, 4), slopes(3, 4), torch=rrelu)
case("rrelu", normal(30, 40), slopes(30, 40), torch=rrelu)
case("rrelu", normal(), slopes(), torch=rrelu)
case("rrelu", exactly(-1, 0, 1), slopes(3), smooth=False, torch=rrelu, note="kinks")
