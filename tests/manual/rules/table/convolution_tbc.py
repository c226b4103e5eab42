"""Convolution over time, channels last."""

from . import case, normal

case("conv_tbc", normal(5, 2, 3), normal(2, 3, 4), normal(4))
case("conv_tbc", normal(5, 2, 3), normal(3, 3, 1), normal(1), pad=2)
case("conv_tbc", normal(4, 1, 1), normal(1, 1, 2), normal(2), pad=1)
case("conv_tbc", normal(2, 2, 3), normal(3, 3, 4), normal(4), note="of no steps")
