"""Convolutions, their transposes, and bilinear forms."""

import warnings
from typing import Any

from torch.nn import functional

from . import case, normal

conv1d, conv2d, conv3d = ({"torch": getattr(functional, f"conv{n}d")} for n in (1, 2, 3))
turned1d, turned2d, turned3d = ({"torch": getattr(functional, f"conv_transpose{n}d")} for n in (1, 2, 3))


def same2d(*args: Any, **options: Any) -> Any:
    """torch warns that an odd number of zeros costs it a copy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return functional.conv2d(*args, **options)


# -- convolution: one axis, two, three; every option alone, then together ----------------------------------------------

case("conv_nd", normal(2, 3, 7), normal(4, 3, 3), normal(4), **conv1d)
case("conv_nd", normal(2, 3, 7), normal(4, 3, 3), **conv1d)
case("conv_nd", normal(3, 7), normal(4, 3, 3), normal(4), **conv1d)
case("conv_nd", normal(2, 3, 5, 6), normal(4, 3, 2, 3), normal(4), **conv2d)
case("conv_nd", normal(3, 5, 6), normal(4, 3, 2, 3), normal(4), **conv2d)
case("conv_nd", normal(2, 2, 4, 5, 3), normal(3, 2, 2, 3, 1), normal(3), **conv3d)
case("conv_nd", normal(2, 4, 5, 3), normal(3, 2, 2, 3, 1), **conv3d)
case("conv_nd", normal(2, 3, 9), normal(4, 3, 3), normal(4), stride=2, **conv1d)
case("conv_nd", normal(2, 3, 9), normal(4, 3, 2), normal(4), stride=4, **conv1d)
case("conv_nd", normal(2, 3, 7, 8), normal(2, 3, 3, 2), normal(2), stride=(3, 2), **conv2d)
case("conv_nd", normal(2, 3, 5), normal(4, 3, 3), normal(4), padding=2, **conv1d)
case("conv_nd", normal(1, 2, 3), normal(1, 2, 2), normal(1), padding=5, **conv1d)
case("conv_nd", normal(2, 3, 4, 5), normal(2, 3, 3, 2), normal(2), padding=(0, 3), **conv2d)
case("conv_nd", normal(2, 3, 4, 5), normal(2, 3, 3, 2), normal(2), padding=[1], **conv2d)
case("conv_nd", normal(2, 2, 9), normal(2, 2, 3), normal(2), dilation=3, **conv1d)
case("conv_nd", normal(2, 2, 7, 8), normal(2, 2, 2, 3), normal(2), dilation=(4, 2), **conv2d)
case("conv_nd", normal(2, 4, 7), normal(6, 2, 3), normal(6), groups=2, **conv1d)
case("conv_nd", normal(2, 3, 5, 4), normal(3, 1, 2, 2), normal(3), groups=3, note="depthwise", **conv2d)
case("conv_nd", normal(2, 3, 5, 4), normal(6, 1, 2, 2), groups=3, note="depthwise, two kernels each", **conv2d)
case("conv_nd", normal(2, 3, 5, 4), normal(2, 3, 1, 1), normal(2), note="pointwise", **conv2d)
case("conv_nd", normal(1, 3, 5, 4), normal(2, 3, 1, 1), note="pointwise, one sample", **conv2d)
case("conv_nd", normal(2, 3, 5, 4), normal(2, 3, 1, 1), stride=2, note="pointwise", **conv2d)
case("conv_nd", normal(2, 3, 5, 4), normal(2, 3, 5, 4), normal(2), note="one window", **conv2d)
case("conv_nd", normal(2, 3, 6), normal(4, 3, 3), normal(4), padding="same", **conv1d)
case("conv_nd", normal(2, 3, 6, 5), normal(4, 3, 4, 2), normal(4), padding="same", dilation=(1, 3), torch=same2d)
case("conv_nd", normal(2, 3, 6, 5), normal(4, 3, 4, 2), normal(4), padding="valid", stride=2, **conv2d)
case(
    "conv_nd",
    normal(2, 4, 9, 8),
    normal(6, 2, 3, 2),
    normal(6),
    stride=(2, 3),
    padding=(2, 1),
    dilation=(1, 2),
    groups=2,
    **conv2d,
)
case(
    "conv_nd",
    normal(1, 4, 6, 5, 7),
    normal(4, 2, 2, 3, 3),
    normal(4),
    stride=(2, 1, 3),
    padding=(1, 2, 0),
    dilation=(3, 1, 2),
    groups=2,
    **conv3d,
)
case(
    "conv_nd",
    normal(2, 2, 11),
    normal(2, 2, 3),
    normal(2),
    stride=3,
    padding=1,
    note="elements that no window sees",
    **conv1d,
)
case("conv_nd", normal(2, 2, 3), normal(3, 2, 1), stride=2, padding=1, note="as many windows as elements", **conv1d)
case("conv_nd", normal(0, 2, 5), normal(3, 2, 2), normal(3), note="no samples", **conv1d)

# -- transposed convolution --------------------------------------------------------------------------------------------

case("conv_transpose_nd", normal(2, 3, 5), normal(3, 4, 3), normal(4), **turned1d)
case("conv_transpose_nd", normal(2, 3, 5), normal(3, 4, 3), **turned1d)
case("conv_transpose_nd", normal(3, 5), normal(3, 4, 3), normal(4), **turned1d)
case("conv_transpose_nd", normal(2, 3, 4, 3), normal(3, 2, 2, 3), normal(2), **turned2d)
case("conv_transpose_nd", normal(3, 4, 3), normal(3, 2, 2, 3), normal(2), **turned2d)
case("conv_transpose_nd", normal(2, 2, 2, 3, 4), normal(2, 3, 2, 1, 3), normal(3), **turned3d)
case("conv_transpose_nd", normal(2, 3, 5), normal(3, 4, 3), normal(4), stride=2, **turned1d)
case("conv_transpose_nd", normal(2, 3, 5), normal(3, 4, 2), normal(4), stride=4, note="gaps", **turned1d)
case("conv_transpose_nd", normal(2, 3, 5), normal(3, 4, 3), normal(4), padding=2, **turned1d)
case(
    "conv_transpose_nd",
    normal(2, 3, 5),
    normal(3, 4, 1),
    normal(4),
    padding=2,
    note="elements that go nowhere",
    **turned1d,
)
case(
    "conv_transpose_nd",
    normal(2, 3, 4, 5),
    normal(3, 2, 3, 2),
    normal(2),
    stride=(3, 2),
    output_padding=(2, 1),
    **turned2d,
)
case("conv_transpose_nd", normal(2, 2, 4), normal(2, 2, 3), normal(2), dilation=3, output_padding=2, **turned1d)
case("conv_transpose_nd", normal(2, 4, 4), normal(4, 3, 3), normal(6), groups=2, **turned1d)
case(
    "conv_transpose_nd",
    normal(2, 3, 3, 4),
    normal(3, 1, 2, 2),
    normal(3),
    groups=3,
    stride=2,
    note="depthwise",
    **turned2d,
)
case("conv_transpose_nd", normal(2, 3, 3, 4), normal(3, 2, 1, 1), normal(2), note="pointwise", **turned2d)
case("conv_transpose_nd", normal(1, 3, 3, 4), normal(3, 2, 1, 1), note="pointwise, one sample", **turned2d)
case(
    "conv_transpose_nd",
    normal(2, 4, 4, 3),
    normal(4, 3, 3, 2),
    normal(6),
    stride=(2, 3),
    padding=(2, 1),
    output_padding=(1, 2),
    groups=2,
    dilation=(1, 2),
    **turned2d,
)
case(
    "conv_transpose_nd",
    normal(1, 4, 3, 2, 3),
    normal(4, 1, 2, 3, 2),
    normal(2),
    stride=(2, 1, 3),
    padding=(1, 2, 0),
    output_padding=(0, 0, 2),
    groups=2,
    dilation=(2, 3, 1),
    **turned3d,
)
case("conv_transpose_nd", normal(0, 2, 5), normal(2, 3, 2), normal(3), note="no samples", **turned1d)

# -- bilinear forms ----------------------------------------------------------------------------------------------------

case("bilinear", normal(4, 3), normal(4, 2), normal(5, 3, 2), normal(5))
case("bilinear", normal(4, 3), normal(4, 2), normal(5, 3, 2))
case("bilinear", normal(3), normal(2), normal(5, 3, 2), normal(5))
case("bilinear", normal(2, 4, 3), normal(2, 4, 2), normal(1, 3, 2), normal(1))
case("bilinear", normal(0, 3), normal(0, 2), normal(5, 3, 2), normal(5))
