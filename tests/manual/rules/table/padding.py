"""Padding."""

from . import case, exactly, normal

ROW, PLANE, VOLUME = (2, 3, 5), (2, 2, 4, 5), (1, 2, 4, 3, 5)

for mode in ("constant", "reflect", "replicate", "circular"):
    case("pad", normal(*ROW), pad=(2, 1), mode=mode)
    case("pad", normal(3, 5), pad=(0, 3), mode=mode)
    case("pad", normal(*ROW), pad=(4, 0), mode=mode)
    case("pad", normal(*ROW), pad=(0, 0), mode=mode)
    case("pad", normal(*ROW), pad=(-1, 2), mode=mode)
    case("pad", normal(*ROW), pad=(2, -2), mode=mode)
    case("pad", normal(*ROW), pad=(-1, -2), mode=mode)
    case("pad", normal(*PLANE), pad=(1, 2, 3, 2), mode=mode)
    case("pad", normal(2, 4, 5), pad=(3, 0, 0, 1), mode=mode)
    case("pad", normal(*PLANE), pad=(-1, 2, 1, -2), mode=mode)
    case("pad", normal(*VOLUME), pad=(1, 2, 2, 1, 3, 1), mode=mode)
    case("pad", normal(2, 4, 3, 5), pad=(0, 1, 2, 0, 1, 1), mode=mode)
    case("pad", normal(*VOLUME), pad=(1, -2, -1, 1, 0, -1), mode=mode)
    case("pad", normal(0, 3, 5), pad=(2, 1), mode=mode)
case("pad", normal(*ROW), pad=(5, 5), mode="circular", note="as long as the axis")
case("pad", normal(*ROW), pad=(9, 7), mode="replicate", note="longer than the axis")
case("pad", normal(*ROW), pad=(-4, 3), mode="reflect", note="of what is taken away")
case("pad", normal(*ROW), pad=(-5, 3), mode="replicate", note="of what is taken away")
case("pad", normal(*ROW), pad=(-5, 3), mode="constant", note="of nothing")
case("pad", normal(*ROW), pad=(1, 2), value=-1.5)
case("pad", normal(*ROW), pad=(1, 2, 0, 0, 1, 0), value=2.5)
case("pad", normal(2, 3, 2, 1, 2, 2), pad=(1, 0, 0, 1, 1, 1, 0, 0, 2, 1), value=3, note="of six axes")
case("pad", normal(5), pad=(1, 2), value=0.5)
case("pad", normal(), pad=(), value=0.5)
case("pad", exactly([[1, 2, 3]]), pad=(2, 2), mode="reflect", note="worked")
