"""Arithmetic, powers, exponentials and choosing."""

import numpy as np
import torch

from . import between, case, chosen, exactly, inf, nan, normal, off_zero, positive

# -- arithmetic ------------------------------------------------------------------------------------------------------

for name in ("add", "sub", "mul"):
    case(name, normal(3, 4), normal(3, 4))
    case(name, normal(3, 1), normal(2, 1, 4))
    case(name, normal(3, 4), normal())
    case(name, normal(), normal())
    case(name, normal(0, 4), normal(4))
    case(name, normal(3, 4), 2.5)
    case(name, 2.5, normal(3, 4))
case("add", normal(3, 4), normal(4), alpha=2.5)
case("sub", normal(3, 4), normal(4), alpha=2.5)
case("div", normal(3, 4), off_zero(3, 4))
case("div", normal(3, 1), off_zero(2, 1, 4))
case("div", normal(), off_zero())
case("div", normal(3, 4), 2.5)
case("div", 2.5, off_zero(3, 4))
case("div", exactly(1, 0, -1), exactly(0, 0, 0), singular=True)
case("reciprocal", off_zero(3, 4))
case("reciprocal", off_zero())
for name in ("neg", "abs", "sign"):
    case(name, off_zero(3, 4))
    case(name, off_zero())
    case(name, exactly(-1, 0, 2), smooth=False)

# -- powers ----------------------------------------------------------------------------------------------------------

case("pow", positive(3, 4), normal(3, 4))
case("pow", positive(3, 1), normal(2, 1, 4))
case("pow", positive(), normal())
for exponent in (0, 1, 2, 3, 4, 5, -1, -2, 0.5, -0.5, 1.7, -1.3):
    case("pow", positive(3, 4), exponent)
for exponent in (0, 1, 2, 3, 4, 5, -1, -2, -3):
    case("pow", off_zero(3, 4), exponent, note="both signs")
case("pow", positive(), 3)
case("pow", 2.5, normal(3, 4))
case("pow", exactly(0, 0, 0, 2), exactly(0, 1, 2, 0), smooth=False, note="zero base")
case("pow", exactly(0, 0), exactly(-1, 0.5), singular=True, note="zero base, infinite slope")
case("pow", exactly(-2, -1.5), exactly(2, 3), singular=True, note="negative base")
case("pow", 0, exactly(0, 1, 2.5), smooth=False, note="zero base")
case("pow", 0, exactly(-1), singular=True, note="zero base, negative exponent")
case("pow", -2, exactly(2, 3), singular=True, note="negative base")
for exponent in (0, 0.5, 1, 2, 3, -1):
    case("pow", exactly(0), exponent, singular=True, note="zero base")
case("square", normal(3, 4))
case("square", normal())
for name in ("sqrt", "rsqrt"):
    case(name, positive(3, 4))
    case(name, positive())
    case(name, exactly(0, -1, inf), singular=True)

# -- exponentials and circular functions -----------------------------------------------------------------------------

for name in ("exp", "expm1", "exp2", "sin", "cos", "tan", "erf"):
    case(name, between(-1.2, 1.2, 3, 4))
    case(name, normal())
    case(name, normal(0, 3))
for name in ("log", "log2", "log10", "log1p"):
    case(name, positive(3, 4))
    case(name, positive())
    case(name, exactly(0, -1, -2, inf), singular=True)
case("erf", between(-6, 6, 40, 20))

# -- choosing --------------------------------------------------------------------------------------------------------

for name in ("maximum", "minimum"):
    case(name, normal(3, 4), normal(3, 4))
    case(name, normal(3, 1), normal(2, 1, 4))
    case(name, normal(30, 1), normal(30, 40))
    case(name, exactly(1, 2, 3, 2), exactly(2, 2, 1, 2), smooth=False, note="ties")
    case(name, exactly([1], [2]), exactly(1, 2), smooth=False, note="ties across broadcasting")
    case(name, exactly(1, nan, nan), exactly(nan, 1, nan), singular=True)
    case(name, normal(), normal())
for name, function in (("maximum", torch.clamp_min), ("minimum", torch.clamp_max)):
    case(name, normal(3, 4), 0.3, torch=function)
case("clamp", normal(3, 4), -0.5, 0.7)
case("clamp", normal(30, 40), -0.5, 0.7)
case("clamp", normal(3, 4), None, 0.2, torch=lambda x, low, high: torch.clamp(x, max=high))
case("clamp", normal(3, 4), 0.2)
case("clamp", exactly(-1, -0.5, 0, 0.5, 1), -0.5, 0.5, smooth=False, note="ends")
case("clamp", exactly(-1, 0, 1), 0.5, -0.5, smooth=False, note="empty interval")
case("clamp", normal(3, 4), normal(4), normal(3, 1))
case("clamp", normal(3, 4), normal(4))
case("clamp", exactly(0, 1, 2), exactly(1, 1, 1), exactly(1, 1, 1), smooth=False, note="ends")
case("clamp", exactly(0, 1, 2), exactly(2, 2, 2), exactly(1, 1, 1), smooth=False, note="empty interval")
case("clamp", exactly(nan, 1), -0.5, 0.5, singular=True)
pick = {"torch": lambda x, y, condition: torch.where(condition, x, y)}
case("where", normal(3, 4), normal(3, 4), condition=chosen, **pick)
case("where", normal(3, 1), normal(4), condition=chosen, **pick)
case("where", normal(3, 4), -2.5, condition=chosen, **pick)
case("where", 2.5, normal(3, 4), condition=chosen, **pick)
case("where", normal(2, 3, 4), normal(3, 4), condition=chosen, **pick)
case("where", normal(40, 30), normal(40, 30), condition=np.arange(1200).reshape(40, 30) % 3 == 0, **pick)
case("where", normal(40, 30), -2.5, condition=np.arange(1200).reshape(40, 30) % 3 == 0, **pick)
case("where", exactly(inf, 1, nan), exactly(1, nan, inf), condition=chosen[0, :3], singular=True, **pick)
