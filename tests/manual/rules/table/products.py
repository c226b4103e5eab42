"""Sums of products over named axes, and distances."""

from typing import Any

import torch

from . import case, exactly, inf, normal


def named(*operands: Any, equation: str) -> Any:
    return torch.einsum(equation, *operands)


for equation, *shapes in (
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
    ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("bqhd,bkhd->bhqk", (2, 4, 3, 5), (2, 6, 3, 5)),
    ("ij->ji", (2, 3)),
    ("ba", (2, 3)),
    ("bA,Ac", (2, 3), (3, 2)),
    ("ij->", (2, 3)),
    ("ij->j", (2, 3)),
    ("i,i->", (4,), (4,)),
    ("i,i->i", (4,), (4,)),
    ("i,j->ij", (4,), (3,)),
    ("ij,ij->i", (4, 3), (4, 3)),
    ("bi,bi,b->", (4, 3), (4, 3), (4,)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("bi,oij,bj->bo", (4, 3), (5, 3, 2), (4, 2)),
    ("ij,jk,ki", (2, 3), (3, 4), (4, 2)),
    # labels that one operand alone has
    ("ij,k->i", (2, 3), (4,)),
    ("ij,jk->", (2, 3), (3, 4)),
    ("ij,kl->", (2, 3), (4, 2)),
    ("aij,jk->ik", (5, 2, 3), (3, 4)),
    # repeated labels
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iij->ji", (3, 3, 2)),
    ("iii->i", (3, 3, 3)),
    ("ii,ij->j", (3, 3), (3, 2)),
    ("iji,ik->jk", (3, 2, 3), (3, 4)),
    ("ii,jj->", (3, 3), (2, 2)),
    # ellipsis
    ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)),
    ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 2)),
    ("...ij,...jk", (2, 3, 4), (2, 4, 5)),
    ("i...->i", (2, 3, 4)),
    ("i...,i...->...", (2, 3, 4), (2, 1, 4)),
    ("...,...", (2, 3), (3,)),
    ("a...b->b...a", (2, 3, 4, 5)),
    ("...i->...", (4,)),
    ("ij...,jk...->ik...", (2, 3, 4, 2), (3, 5, 4, 1)),
    ("...ii->...i", (2, 3, 3)),
    # axes of length 1 that are broadcast
    ("ij,j->i", (2, 3), (1,)),
    ("ij,jk->ik", (2, 1), (3, 4)),
    ("ij,jk->ik", (1, 1), (1, 1)),
    ("bij,bjk->bik", (1, 2, 3), (4, 3, 2)),
    # nothing at all
    (",", (), ()),
    (",ij->ij", (), (2, 3)),
    ("->", ()),
    ("ij,jk->ik", (2, 0), (0, 3)),
    ("ij,jk->ik", (0, 2), (2, 3)),
    (" i j , j k -> i k ", (2, 3), (3, 4)),
):
    case("einsum", *[normal(*shape) for shape in shapes], equation=equation, torch=named)

for left, right, dims in (
    ((2, 3, 4), (3, 4, 5), 2),
    ((2, 3), (3, 4), 1),
    ((2, 3), (4,), 0),
    ((2, 3, 4), (4, 3), ([1, 2], [1, 0])),
    ((2, 3, 4), (3, 2), ([1], [0])),
    ((3, 4), (4, 3), ([-1, 0], [0, 1])),
    ((2, 3), (1, 4), 1),
    ((2, 3), (2, 3), 2),
):
    case("tensordot", normal(*left), normal(*right), dims=dims)
for left, right in (((2, 3), (3, 2)), ((2, 3), (4,)), ((2,), (3, 1, 2)), ((), (2, 3)), ((3,), (4,)), ((), ())):
    case("kron", normal(*left), normal(*right))

# -- distances ---------------------------------------------------------------------------------------------------------

for p in (0.5, 1.0, 1.5, 2.0, 3.0, inf):
    case("cdist", normal(5, 3), normal(4, 3), p=p)
    case("pdist", normal(5, 3), p=p)
    case("pairwise_distance", normal(5, 3), normal(5, 3), p=p)
case("cdist", normal(2, 5, 3), normal(2, 4, 3))
case("cdist", normal(2, 1, 5, 3), normal(6, 4, 3), p=3.0)
case("cdist", normal(5, 3), normal(2, 4, 3), p=1.0)
case("cdist", normal(5, 1), normal(4, 1))
case("cdist", normal(0, 3), normal(4, 3))
case("cdist", normal(5, 3), normal(0, 3))
case("cdist", normal(30, 3), normal(28, 3), note="as matrix product", loose=1e-6)
case("cdist", normal(30, 3), normal(28, 3), compute_mode="donot_use_mm_for_euclid_dist")
same = exactly([1.0, -1.0, 0.5], [0.0, 0.0, 0.0], [2.0, 1.0, 0.0]), exactly([0.0, 0.0, 0.5], [0.0, 0.0, 0.0])
for p in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, inf):
    case("cdist", *same, p=p, note="equal vectors and components", smooth=False)
    case(
        "pdist",
        exactly([1.0, -1.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        p=p,
        note="ties",
        smooth=False,
    )
    case(
        "pairwise_distance",
        *(exactly([1.0, -1.0, 0.5], [0.0, 0.0, 0.0]), exactly([0.0, 0.0, 0.5], [0.0, 0.0, 0.0])),
        p=p,
        eps=0.0,
        note="ties",
        smooth=False,
    )
case("pdist", normal(1, 3))
case("pdist", normal(2, 3))
case("pairwise_distance", normal(4, 3), normal(4, 3), keepdim=True, eps=0.3)
case("pairwise_distance", normal(2, 4, 3), normal(3), p=3.0)
case("pairwise_distance", normal(3), normal(3))
case("pairwise_distance", normal(), normal())
case("pairwise_distance", normal(4, 3), normal(4, 3), p=-1.5)
case("cosine_similarity", normal(4, 3), normal(4, 3))
case("cosine_similarity", normal(4, 3, 2), normal(4, 3, 2), dim=0)
case("cosine_similarity", normal(4, 3, 2), normal(3, 2), dim=-1)
case("cosine_similarity", normal(4, 1, 3), normal(5, 3), dim=2)
case("cosine_similarity", normal(5), normal(5), dim=0)
case("cosine_similarity", normal(4, 3), normal(4, 3), eps=50.0, note="clamped", smooth=False)
case(
    "cosine_similarity",
    exactly([0.0, 0.0], [3e-9, 4e-9], [1.0, 2.0]),
    exactly([1.0, 2.0], [2.0, 1.0], [0.0, 0.0]),
    note="short",
    smooth=False,
)
