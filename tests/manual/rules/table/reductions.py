"""Reductions and shapes."""

import torch

from . import case, exactly, inf, nan, normal, off_zero

# -- reductions ------------------------------------------------------------------------------------------------------

for name in ("sum", "mean", "var", "std", "amax", "amin", "logsumexp"):
    for keepdim in (False, True):
        case(name, normal(3, 4, 5), dim=1, keepdim=keepdim)
        case(name, normal(3, 4, 5), dim=(0, -1), keepdim=keepdim)
    case(name, normal(3, 4), dim=-2)
    if name not in ("var", "std"):  # torch warns of these, though there is nothing to take a variance of
        case(name, normal(3, 0, 2), dim=(0, 2))
for name in ("sum", "mean", "var", "std"):
    case(name, normal(3, 4))
    case(name, normal(3, 4), dim=None, keepdim=True)
for name in ("sum", "mean", "amax", "amin", "prod"):
    case(name, normal())
    case(name, normal(), dim=0)
case("sum", normal(0, 4), dim=0)
case("sum", normal(0, 4))
case("mean", normal(0, 4), dim=0, singular=True)
for name in ("var", "std"):
    case(name, normal(3, 4), dim=1, correction=0)
    case(name, normal(3, 4), correction=2)
case("std", exactly([1, 1, 1], [1, 2, 4]), dim=1, smooth=False, note="equal elements")
case("std", exactly(2, 2, 2), smooth=False, note="equal elements")
case("prod", normal(3, 4))
case("prod", normal(3, 4, 2), dim=1)
case("prod", normal(3, 4), dim=0, keepdim=True)
case("prod", normal(3, 1), dim=1)
case("prod", normal(3, 0), dim=1)
case("prod", exactly([0, 2, 3], [0, 0, 3], [1, 2, 3]), dim=1, note="zeros")
case("prod", exactly([5, 2, 3], [0, 7, 3]), note="one zero")
case("prod", exactly([0, 2, 3], [0, 7, 3]), note="two zeros")
for name in ("amax", "amin"):
    case(name, normal(3, 4))
    case(name, exactly([1, 3, 3, 1], [2, 2, 2, 2]), dim=1, smooth=False, note="ties")
    case(name, exactly([1, 3], [3, 1]), smooth=False, note="ties")
for name in ("max", "min"):
    case(name, normal(3, 4))
    case(name, normal(3, 4), dim=1)
    case(name, normal(3, 4, 2), dim=-2, keepdim=True)
    case(name, normal(), dim=0)
    case(name, exactly([1, 3, 3, 1], [2, 2, 2, 2]), dim=1, smooth=False, note="ties")
    case(name, exactly([1, 3], [3, 1], [1, 1]), smooth=False, note="ties")
    case(name, exactly([1, nan, 3], [2, 1, 3]), dim=1, singular=True)
    case(name, exactly([1, nan, 3], [nan, 1, 3]), singular=True, note="NaN")
for name in ("argmax", "argmin"):
    case(name, normal(3, 4), smooth=False)
    case(name, normal(3, 4), dim=1, smooth=False)
    case(name, normal(3, 4), dim=-2, keepdim=True, smooth=False)
    case(name, exactly([1, 3, 3, 1], [2, 2, 2, 2]), dim=1, smooth=False, note="ties")
case("logsumexp", exactly([-inf, 1, 2], [inf, 1, 2]), dim=1, singular=True, note="infinite")
case("logsumexp", exactly([1000, 1001], [-1000, -1001]), dim=1)
vector_norm = {"torch": lambda x, p=2, dim=None, keepdim=False: torch.linalg.vector_norm(x, p, dim, keepdim)}
for p in (2, 1, 3, 1.5, 0.5, 0, inf, -inf):
    case("norm", off_zero(3, 4), p=p, **vector_norm)
    case("norm", off_zero(3, 4, 2), p=p, dim=1, **vector_norm)
    case("norm", exactly([0, 0, 0], [0, 1, -2]), p=p, dim=1, smooth=False, note="zeros", **vector_norm)
case("norm", off_zero(3, 4, 2), dim=(0, 2), keepdim=True, **vector_norm)
case("norm", off_zero(3, 4), p="fro", torch=torch.norm)
case("norm", exactly([1, -3, 3], [-2, 2, 2]), p=inf, dim=1, smooth=False, note="ties", **vector_norm)
case("norm", exactly(0, 0), smooth=False, note="zeros", **vector_norm)

# -- shape -----------------------------------------------------------------------------------------------------------

case("reshape", normal(3, 4), shape=(2, -1))
case("reshape", normal(3, 4), shape=(12,))
case("reshape", normal(), shape=(1, 1))
case("reshape", normal(0, 4), shape=(2, 0))
case("flatten", normal(2, 3, 4, 5), start_dim=1, end_dim=2)
case("flatten", normal(2, 3))
case("flatten", normal())
case("flatten", normal(0, 3), start_dim=0)
case("transpose", normal(2, 3, 4), dim0=0, dim1=-1)
case("transpose", normal(), dim0=0, dim1=-1)
case("t", normal(2, 3))
case("t", normal(3))
case("t", normal())
case("permute", normal(2, 3, 4), dims=(2, 0, -2))
case("movedim", normal(2, 3, 4), source=0, destination=-1)
case("movedim", normal(2, 3, 4), source=(0, 1), destination=(2, 0))
squeeze_all = {"torch": lambda x, dim=None: torch.squeeze(x) if dim is None else torch.squeeze(x, dim)}
case("squeeze", normal(2, 1, 3, 1), **squeeze_all)
case("squeeze", normal(2, 1, 3, 1), dim=1, **squeeze_all)
case("squeeze", normal(2, 1, 3, 1), dim=0, **squeeze_all)
case("squeeze", normal(1, 2, 1), dim=(0, 1), **squeeze_all)
case("unsqueeze", normal(2, 3), dim=1)
case("unsqueeze", normal(2, 3), dim=-1)
case("unsqueeze", normal(), dim=0)
case("expand", normal(3, 1), size=(2, 3, 4), torch=lambda x, size: x.expand(size))
case("expand", normal(3, 1), size=(-1, 5), torch=lambda x, size: x.expand(size))
case("expand", normal(), size=(2, 3), torch=lambda x, size: x.expand(size))
