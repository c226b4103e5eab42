"""What torch's convolutions and foldings refuse, the rules refuse, with the same kind of error and the same words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from manual import rules


def draw(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape)


IMAGE, KERNEL, TURNED = draw(2, 4, 5, 6), draw(6, 4, 3, 3), draw(4, 6, 3, 3)
CONV = (rules.conv_nd, functional.conv2d)
TRANSPOSED = (rules.conv_transpose_nd, functional.conv_transpose2d)

SAME_WORDS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "channels": (CONV, (IMAGE, draw(6, 3, 3, 3)), {}),
    "channels of one sample": (CONV, (IMAGE[0], draw(6, 3, 3, 3)), {}),
    "channels of groups": (CONV, (IMAGE, KERNEL), {"groups": 3}),
    "kernels of groups": (CONV, (IMAGE, draw(3, 2, 3, 3)), {"groups": 2}),
    "no groups": (CONV, (IMAGE, KERNEL), {"groups": 0}),
    "fewer kernels than groups": (CONV, (IMAGE, draw(1, 2, 3, 3)), {"groups": 2}),
    "no kernels": (CONV, (IMAGE, draw(0, 4, 3, 3)), {}),
    "axes": (CONV, (IMAGE[0, 0], KERNEL), {}),
    "too many axes": (CONV, (IMAGE[None], KERNEL), {}),
    "kernel too large": (CONV, (IMAGE, draw(6, 4, 7, 3)), {}),
    "kernel too large for what padding leaves": (CONV, (IMAGE, KERNEL), {"dilation": (2, 5), "padding": (0, 1)}),
    "bias": (CONV, (IMAGE, KERNEL, draw(4)), {}),
    "bias axes": (CONV, (IMAGE, KERNEL, draw(6, 1)), {}),
    "stride": (CONV, (IMAGE, KERNEL), {"stride": 0}),
    "dilation": (CONV, (IMAGE, KERNEL), {"dilation": (0, 1)}),
    "padding": (CONV, (IMAGE, KERNEL), {"padding": -1}),
    "padding for other axes": (CONV, (IMAGE, KERNEL), {"padding": (1, 2, 3)}),
    "stride for other axes": (CONV, (IMAGE, KERNEL), {"stride": (1, 2, 3)}),
    "strided same": (CONV, (IMAGE, KERNEL), {"padding": "same", "stride": 2}),
    "padding string": (CONV, (IMAGE, KERNEL), {"padding": "full"}),
    "nothing inside the padding": (CONV, (draw(1, 4, 0, 5), KERNEL), {"padding": 2}),
    "turned channels": (TRANSPOSED, (IMAGE, draw(3, 6, 3, 3)), {}),
    "turned bias": (TRANSPOSED, (IMAGE, TURNED, draw(4)), {}),
    "turned axes": (TRANSPOSED, (IMAGE[0, 0], TURNED), {}),
    "turned groups": (TRANSPOSED, (IMAGE, TURNED), {"groups": 3}),
    "turned stride": (TRANSPOSED, (IMAGE, TURNED), {"stride": -1}),
    "output padding": (TRANSPOSED, (IMAGE, TURNED), {"output_padding": (0, 2), "stride": (3, 2)}),
    "negative output padding": (TRANSPOSED, (IMAGE, TURNED), {"output_padding": -1, "stride": 3}),
    "nothing left": (TRANSPOSED, (draw(1, 4, 1, 1), TURNED), {"padding": 2}),
    "form of the first": ((rules.bilinear, functional.bilinear), (draw(2, 2), draw(2, 4), draw(5, 3, 4)), {}),
    "form of the second": ((rules.bilinear, functional.bilinear), (draw(2, 3), draw(2, 4), draw(5, 3, 3)), {}),
    "form rows": ((rules.bilinear, functional.bilinear), (draw(2, 3), draw(3, 4), draw(5, 3, 4)), {}),
    "form axes": ((rules.bilinear, functional.bilinear), (draw(2, 3), draw(4), draw(5, 3, 4)), {}),
    "form bias": ((rules.bilinear, functional.bilinear), (draw(2, 3), draw(2, 4), draw(5, 3, 4), draw(1)), {}),
}
for name, x, options in (
    ("axes", draw(2, 3, 4, 5, 6), {"kernel_size": 2}),
    ("too small", draw(2, 3, 1, 5), {"kernel_size": 2}),
    ("stride", draw(2, 3, 4, 5), {"kernel_size": 2, "stride": 0}),
    ("kernel", draw(2, 3, 4, 5), {"kernel_size": (0, 2)}),
    ("dilation", draw(2, 3, 4, 5), {"kernel_size": 2, "dilation": (1, 0)}),
    ("padding", draw(2, 3, 4, 5), {"kernel_size": 2, "padding": -1}),
    ("no channels", draw(2, 0, 4, 5), {"kernel_size": 2}),
    ("one size", draw(2, 3, 4, 5), {"kernel_size": (2,)}),
    ("three sizes", draw(2, 3, 4, 5), {"kernel_size": 2, "stride": (1, 1, 1)}),
):
    SAME_WORDS[f"unfold {name}"] = ((rules.unfold, functional.unfold), (x,), options)
for name, x, options in (
    ("axes", draw(1, 4, 4, 4), {"output_size": (3, 3), "kernel_size": 2}),
    ("no columns", draw(4, 0), {"output_size": (1, 1), "kernel_size": 2}),
    ("channels", draw(2, 3, 4), {"output_size": (3, 3), "kernel_size": 2}),
    ("columns", draw(2, 4, 4), {"output_size": (2, 2), "kernel_size": 2}),
    ("stride", draw(4, 4), {"output_size": (3, 3), "kernel_size": 2, "stride": (1, 0)}),
    ("padding", draw(4, 4), {"output_size": (3, 3), "kernel_size": 2, "padding": (0, -1)}),
    ("one size", draw(4, 4), {"output_size": (3,), "kernel_size": 2}),
):
    SAME_WORDS[f"fold {name}"] = ((rules.fold, functional.fold), (x,), options)
shuffle, unshuffle, deal = (
    (getattr(rules, name), getattr(functional, name))
    for name in ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle")
)
SAME_WORDS |= {
    "shuffle axes": (shuffle, (draw(4, 3),), {"upscale_factor": 2}),
    "shuffle channels": (shuffle, (draw(2, 5, 3, 3),), {"upscale_factor": 2}),
    "shuffle factor": (shuffle, (draw(2, 4, 3, 3),), {"upscale_factor": 0}),
    "unshuffle axes": (unshuffle, (draw(4, 4),), {"downscale_factor": 2}),
    "unshuffle height": (unshuffle, (draw(2, 5, 3, 4),), {"downscale_factor": 2}),
    "unshuffle width": (unshuffle, (draw(2, 5, 4, 3),), {"downscale_factor": 2}),
    "unshuffle factor": (unshuffle, (draw(2, 5, 4, 4),), {"downscale_factor": -1}),
    "deal axes": (deal, (draw(2, 4),), {"groups": 2}),
    "deal groups": (deal, (draw(2, 4, 3),), {"groups": 3}),
    "deal to none": (deal, (draw(2, 4, 3),), {"groups": 0}),
}


@pytest.mark.parametrize("name", SAME_WORDS)
def test_what_torch_refuses_is_refused_in_the_same_words(name: str) -> None:
    (ours, theirs), arrays, options = SAME_WORDS[name]
    with pytest.raises((RuntimeError, ValueError, IndexError)) as refusal:
        theirs(*map(torch.from_numpy, arrays), **options)
    with pytest.raises(refusal.type) as mine:
        ours(*arrays, **options)
    assert str(mine.value) == str(refusal.value).splitlines()[0]


def test_a_kernel_without_taps_is_refused() -> None:
    with pytest.raises(RuntimeError, match="kernel size should be greater than zero"):
        functional.conv2d(torch.from_numpy(IMAGE), torch.zeros(6, 4, 0, 3, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="kernel size should be greater than zero"):
        rules.conv_nd(IMAGE, draw(6, 4, 0, 3))


def test_a_weight_without_axes_of_space_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"at least three dimensions, but got weight of size \[6, 4\]"):
        rules.conv_nd(draw(2, 4), draw(6, 4))


def test_a_form_of_two_axes_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"expected weight \(out, in1, in2\), got \[5, 3\]"):
        rules.bilinear(draw(2, 3), draw(2, 4), draw(5, 3))
