"""Running reductions, differences, and picking by rank."""

import numpy as np
import torch

from . import case, exactly, inf, nan, normal, off_zero

zeros = [[2.0, 0.0, 3.0, 0.0, 5.0], [0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0, 0.0], [1.5, -2.0, 0.5, 3.0, -1.0]]
ties = [[1.0, 3.0, 3.0, 2.0], [2.0, 2.0, 2.0, 2.0], [-1.0, -1.0, -5.0, 0.0]]
missing = [[1.0, nan, 3.0, 2.0], [2.0, -inf, nan, nan], [nan, 0.0, inf, 1.0]]

# -- running reductions ------------------------------------------------------------------------------------------------

for name in ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"):
    case(name, off_zero(3, 5), dim=1)
    case(name, off_zero(2, 4, 3), dim=-2)
    case(name, off_zero(5, 3), dim=0)
    case(name, off_zero(7), dim=0)
    case(name, normal(), dim=0)
for name in ("cumsum", "cumprod", "logcumsumexp"):
    case(name, normal(2, 0), dim=1)
    case(name, normal(0, 2), dim=1)
for name, detached in (  # torch hands out the empty input itself as its gradient
    ("cummax", lambda x, dim: torch.cummax(x.detach(), dim)),
    ("cummin", lambda x, dim: torch.cummin(x.detach(), dim)),
):
    case(name, normal(2, 0), dim=1, torch=detached)
    case(name, normal(0, 2), dim=1, torch=detached)
case("cumprod", exactly(*zeros), dim=1, note="zeros")
case("cumprod", exactly(*zeros), dim=0, note="zeros")
case("logcumsumexp", exactly([800.0, -800.0, 801.0, 0.0], [-900.0, -901.0, -899.0, -900.0]), dim=1, note="far out")
case("logcumsumexp", exactly([1.0, -inf, 2.0], [0.5, -1.0, -inf]), dim=1, note="impossible", singular=True)
for name in ("cummax", "cummin"):
    case(name, exactly(*ties), dim=1, note="ties", smooth=False)
    case(name, exactly(*ties), dim=0, note="ties", smooth=False)
    case(name, exactly(*missing), dim=1, note="nan", singular=True)
    case(name, exactly(0.0, -0.0, 0.0, -1.0, -0.0), dim=0, note="signed zeros", smooth=False)

case("diff", normal(3, 5))
case("diff", normal(3, 5), dim=0)
case("diff", normal(2, 6, 2), n=3, dim=1)
case("diff", normal(4), n=0)
case("diff", normal(4), n=3)
case("diff", normal(2, 3), n=3)
case("diff", normal(2, 3), n=5)
case("diff", normal(0))

# -- by rank -----------------------------------------------------------------------------------------------------------

for descending in (False, True):
    stable = {"torch": lambda x, dim=-1, descending=False: torch.sort(x, dim=dim, descending=descending, stable=True)}
    case("sort", normal(3, 5), descending=descending)
    case("sort", normal(2, 5, 3), dim=1, descending=descending)
    case("sort", exactly(*ties), descending=descending, note="ties", smooth=False, **stable)
    case("sort", exactly(*missing), descending=descending, note="nan", singular=True, **stable)
    case("sort", normal(), dim=0, descending=descending)
    case("sort", normal(0, 2), dim=0, descending=descending)
    case("argsort", normal(3, 5), descending=descending, smooth=False)
    case("argsort", normal(3, 5), dim=0, descending=descending, smooth=False)
    case(
        "argsort",
        exactly(*ties),
        descending=descending,
        note="ties",
        smooth=False,
        torch=lambda x, descending: torch.argsort(x, descending=descending, stable=True),
    )
for largest in (True, False):
    case("topk", normal(3, 6), k=2, largest=largest)
    case("topk", normal(6, 2, 3), k=4, dim=0, largest=largest)
    case("topk", normal(3, 2), k=2, largest=largest)
    case("topk", normal(3, 2), k=0, largest=largest)
    case("topk", exactly([1.0, nan, 3.0, 2.0], [nan, 5.0, 0.0, 4.0]), k=2, largest=largest, singular=True)
case("topk", normal(), k=1, dim=0)
case("kthvalue", normal(3, 6), k=1)
case("kthvalue", normal(3, 6), k=6)
case("kthvalue", normal(6, 2, 3), k=4, dim=0, keepdim=True)
case("kthvalue", exactly([1.0, nan, 3.0, 2.0]), k=4, note="nan", singular=True)
case("kthvalue", normal(), k=1, dim=0)
case("median", normal(5))
case("median", normal(3, 4))
case("median", normal(3, 4), dim=1)
case("median", normal(3, 4, 5), dim=-1)
case("median", normal(3, 4, 5), dim=0, keepdim=True)
case("median", exactly(1.0, 2.0, 2.0, 3.0, 2.0, 7.0), note="ties share", smooth=False)
case("median", exactly(1.0, nan, 2.0, nan), note="nan", singular=True)
case("median", exactly(*missing), dim=1, note="nan", singular=True)
case("median", normal(0), note="of nothing", singular=True)
case("median", normal(), note="scalar")
case("median", normal(), dim=0)

# -- long lines --------------------------------------------------------------------------------------------------------

case("cumsum", normal(2, 1000), dim=1)
case("cummax", normal(2, 1000), dim=1)
case("sort", normal(2, 1000), smooth=False, note="closer than a step")
case("cumprod", exactly(*(1 + np.sin(np.arange(200.0)) / 5)), dim=0, note="long")
