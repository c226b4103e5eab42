"""Pooling of every kind, in one to three dimensions. The functions of torch are named after the number of lengths."""

import numpy as np
from torch.nn import functional

from . import case, exactly, inf, nan, normal, positive

ROW, PLANE, VOLUME = (2, 3, 9), (2, 3, 7, 8), (2, 2, 6, 5, 7)


def windowed(name):
    """torch's function of the right number of dimensions."""
    return lambda x, kernel_size, **options: getattr(functional, f"{name}{len(kernel_size)}d")(
        x, kernel_size=kernel_size, **options
    )


def counted(name):
    return lambda x, output_size, **options: getattr(functional, f"{name}{len(output_size)}d")(
        x, output_size, **options
    )


def max_pool(*inputs, **options):
    case("max_pool", *inputs, torch=windowed("max_pool"), **options)


def avg_pool(*inputs, **options):
    case("avg_pool", *inputs, torch=windowed("avg_pool"), **options)


def _lp_pool(x, kernel_size, stride=None, **options):
    if len(kernel_size) == 1:  # torch takes no tuples here
        kernel_size, stride = kernel_size[0], stride and stride[0]
        return functional.lp_pool1d(x, kernel_size=kernel_size, stride=stride, **options)
    return windowed("lp_pool")(x, kernel_size, stride=stride, **options)


def lp_pool(*inputs, **options):
    case("lp_pool", *inputs, torch=_lp_pool, **options)


# -- maximum -----------------------------------------------------------------------------------------------------------

max_pool(normal(*ROW), kernel_size=(3,))
max_pool(normal(3, 9), kernel_size=(2,))
max_pool(normal(*ROW), kernel_size=(3,), stride=(2,), padding=(1,))
max_pool(normal(*ROW), kernel_size=(3,), stride=(1,), padding=(1,), dilation=(2,))
max_pool(normal(*ROW), kernel_size=(4,), stride=(3,), padding=(2,), ceil_mode=True)
max_pool(normal(*ROW), kernel_size=(2,), stride=(4,), return_indices=True)
max_pool(normal(*ROW), kernel_size=(1,))
max_pool(normal(*ROW), kernel_size=(1,), stride=(2,))
max_pool(normal(*ROW), kernel_size=(9,), return_indices=True)
max_pool(normal(2, 3, 60), kernel_size=(20,), return_indices=True, note="long")
max_pool(normal(2, 3, 70), kernel_size=(20,), stride=(18,), padding=(5,), ceil_mode=True, return_indices=True)
max_pool(normal(2, 3, 70), kernel_size=(20,), stride=(18,), padding=(5,), dilation=(2,), return_indices=True)
max_pool(normal(2, 3, 50), kernel_size=(40,), stride=(1,), return_indices=True)
for padding in ((0, 0), (1, 1), (0, 1)):
    for ceil_mode in (False, True):
        max_pool(normal(*PLANE), kernel_size=(3, 2), stride=(2, 3), padding=padding, ceil_mode=ceil_mode)
max_pool(normal(3, 7, 8), kernel_size=(2, 3), return_indices=True)
max_pool(normal(*PLANE), kernel_size=(3, 2), stride=(1, 2), padding=(1, 1), dilation=(2, 3), return_indices=True)
max_pool(normal(*PLANE), kernel_size=(7, 8), return_indices=True, note="all")
max_pool(normal(*PLANE), kernel_size=(6, 7), stride=(1, 1), padding=(2, 3), return_indices=True, note="axis by axis")
max_pool(normal(*PLANE), kernel_size=(1, 8), return_indices=True)
max_pool(normal(2, 2, 40, 3), kernel_size=(40, 1), return_indices=True, note="long")
max_pool(normal(2, 1, 40, 36), kernel_size=(20, 18), return_indices=True, note="long in both")
max_pool(normal(*VOLUME), kernel_size=(2, 2, 2))
max_pool(normal(2, 6, 5, 7), kernel_size=(2, 1, 3), stride=(2, 2, 1), padding=(1, 0, 1), return_indices=True)
max_pool(
    normal(*VOLUME), kernel_size=(3, 3, 3), stride=(2, 1, 2), padding=(1, 1, 1), dilation=(1, 2, 2), ceil_mode=True
)
max_pool(normal(*VOLUME), kernel_size=(4, 3, 5), stride=(1, 1, 1), padding=(2, 0, 1), return_indices=True)
max_pool(normal(*VOLUME), kernel_size=(4, 1, 5), stride=(1, 2, 1), return_indices=True, note="axis by axis")
max_pool(normal(0, 3, 7, 8), kernel_size=(2, 2), return_indices=True)
max_pool(normal(2, 3, 1, 1), kernel_size=(1, 1), return_indices=True)
max_pool(exactly([[1, 1, 2, 2, 2, 0]]), kernel_size=(3,), stride=(1,), return_indices=True, smooth=False, note="ties")
max_pool(
    exactly([[[1, 1, 0], [1, 1, 1]]]), kernel_size=(2, 2), stride=(1, 1), return_indices=True, smooth=False, note="ties"
)
max_pool(exactly([np.arange(60) % 30]), kernel_size=(60,), return_indices=True, smooth=False, note="ties")
max_pool(
    exactly([np.arange(48).reshape(8, 6) % 5]),
    kernel_size=(6, 6),
    stride=(1, 1),
    padding=(1, 2),
    return_indices=True,
    smooth=False,
    note="ties, axis by axis",
)
missing = np.array([[1, nan, 2, nan, 3, 0, -inf, -inf, inf, inf, nan, 5]])
for kernel_size, stride in (((3,), (1,)), ((2,), (2,)), ((12,), (12,)), ((5,), (4,))):
    max_pool(exactly(missing), kernel_size=kernel_size, stride=stride, return_indices=True, singular=True)
max_pool(exactly(missing), kernel_size=(3,), stride=(2,), padding=(1,), return_indices=True, singular=True)
max_pool(exactly(np.tile(missing, 5)), kernel_size=(20,), return_indices=True, singular=True, note="long")
max_pool(
    exactly(np.tile(missing, 5)),
    kernel_size=(20,),
    stride=(19,),
    padding=(7,),
    return_indices=True,
    singular=True,
    note="long",
)
max_pool(exactly(missing.reshape(1, 3, 4)), kernel_size=(2, 2), stride=(1, 1), return_indices=True, singular=True)
max_pool(
    exactly(np.tile(missing.reshape(1, 3, 4), (1, 3, 2))),
    kernel_size=(6, 6),
    stride=(1, 1),
    padding=(2, 1),
    return_indices=True,
    singular=True,
    note="axis by axis",
)
options = {"kernel_size": (3,), "stride": (2,), "padding": (1,), "return_indices": True}
max_pool(exactly([np.full(8, -inf)]), **options, singular=True, note="of minus infinity")

# -- mean --------------------------------------------------------------------------------------------------------------

avg_pool(normal(*ROW), kernel_size=(3,))
avg_pool(normal(3, 9), kernel_size=(2,), stride=(1,))
avg_pool(normal(*ROW), kernel_size=(1,))
avg_pool(normal(*ROW), kernel_size=(9,), note="all")
avg_pool(normal(*ROW), kernel_size=(2,), stride=(4,))
for count_include_pad in (True, False):
    for ceil_mode in (True, False):
        options = {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
        avg_pool(normal(*ROW), kernel_size=(4,), stride=(3,), padding=(2,), **options)
        avg_pool(normal(*PLANE), kernel_size=(3, 2), stride=(2, 3), padding=(1, 1), **options)
        avg_pool(normal(*VOLUME), kernel_size=(3, 2, 4), stride=(2, 2, 3), padding=(1, 0, 2), **options)
        avg_pool(normal(2, 3, 70), kernel_size=(20,), stride=(18,), padding=(5,), **options)
for divisor_override in (1, 5, -2):
    options = {"divisor_override": divisor_override, "padding": (1, 1), "ceil_mode": True}
    avg_pool(normal(*PLANE), kernel_size=(3, 2), stride=(2, 3), **options)
avg_pool(normal(2, 6, 5, 7), kernel_size=(2, 1, 3), divisor_override=3)
avg_pool(normal(*PLANE), kernel_size=(7, 8), note="all")
avg_pool(normal(*PLANE), kernel_size=(7, 8), divisor_override=3, note="all")
avg_pool(normal(2, 3, 60), kernel_size=(20,), note="long")
avg_pool(normal(2, 3, 50), kernel_size=(40,), stride=(1,), note="long")
avg_pool(normal(2, 2, 40, 3), kernel_size=(40, 1), note="long")
avg_pool(normal(2, 1, 40, 36), kernel_size=(20, 18), stride=(19, 18), padding=(10, 9), note="long in both")
avg_pool(normal(0, 3, 7, 8), kernel_size=(2, 2))
avg_pool(normal(2, 3, 1, 1), kernel_size=(1, 1))
avg_pool(exactly([[1, inf, 2, 3, nan, 4, 5, -inf]]), kernel_size=(2,), singular=True)

# -- p-norm ------------------------------------------------------------------------------------------------------------

lp_pool(normal(*ROW), norm_type=2, kernel_size=(3,))
lp_pool(normal(3, 9), norm_type=2, kernel_size=(3,), stride=(2,), ceil_mode=True)
lp_pool(positive(*ROW), norm_type=1.5, kernel_size=(2,), ceil_mode=True)
lp_pool(positive(*ROW), norm_type=3, kernel_size=(4,), stride=(1,))
lp_pool(positive(*ROW), norm_type=0.5, kernel_size=(2,))
lp_pool(positive(*ROW), norm_type=-1, kernel_size=(2,))
lp_pool(normal(*ROW), norm_type=1, kernel_size=(2,))
lp_pool(normal(*PLANE), norm_type=2, kernel_size=(3, 2), stride=(2, 3), ceil_mode=True)
lp_pool(normal(3, 7, 8), norm_type=4, kernel_size=(2, 2))
lp_pool(positive(*VOLUME), norm_type=2.5, kernel_size=(2, 3, 2), stride=(2, 2, 1), ceil_mode=True)
lp_pool(normal(2, 6, 5, 7), norm_type=2, kernel_size=(6, 5, 7))
for order in (inf, -inf):
    lp_pool(normal(*ROW), norm_type=order, kernel_size=(2,), ceil_mode=True)
    lp_pool(normal(*PLANE), norm_type=order, kernel_size=(3, 2), stride=(2, 3))
lp_pool(exactly([[0, 0, 3, -4, 0, 5]]), norm_type=2, kernel_size=(2,), smooth=False, note="of zeros")
lp_pool(exactly([[0, 0, -1, 1, 2, -5]]), norm_type=1, kernel_size=(2,), smooth=False, note="that is zero")
lp_pool(exactly([[0, 0, 3, -4, 4, -3]]), norm_type=3, kernel_size=(2,), singular=True, note="of negative sums")
lp_pool(exactly([[0, 0, 3, 0, -1, 2]]), norm_type=1.5, kernel_size=(2,), singular=True, note="of negative numbers")
lp_pool(exactly([[0, 0, 3, 0, 1, 2]]), norm_type=0.5, kernel_size=(2,), singular=True, note="of zeros")
lp_pool(exactly([[1, inf, 3, 0, nan, 2]]), norm_type=2, kernel_size=(2,), singular=True, note="of no numbers")

# -- a given number of windows -----------------------------------------------------------------------------------------

for kind in ("avg", "max"):
    rule = {"torch": counted(f"adaptive_{kind}_pool")}
    for count in (1, 2, 4, 7, 9, 13, 27):
        case(f"adaptive_{kind}_pool", normal(*ROW), output_size=(count,), **rule)
    case(f"adaptive_{kind}_pool", normal(3, 50), output_size=(2,), **rule, note="long")
    case(f"adaptive_{kind}_pool", normal(2, 3, 53), output_size=(3,), **rule, note="long and uneven")
    case(f"adaptive_{kind}_pool", normal(*PLANE), output_size=(3, 5), **rule)
    case(f"adaptive_{kind}_pool", normal(3, 7, 8), output_size=(9, 4), **rule)
    case(f"adaptive_{kind}_pool", normal(*PLANE), output_size=(1, 1), **rule)
    case(f"adaptive_{kind}_pool", normal(*PLANE), output_size=(1, 8), **rule)
    case(f"adaptive_{kind}_pool", normal(*PLANE), output_size=(7, 8), **rule)
    case(f"adaptive_{kind}_pool", normal(2, 3, 1, 1, 1), output_size=(1, 1, 1), **rule)
    case(f"adaptive_{kind}_pool", normal(*VOLUME), output_size=(4, 2, 3), **rule)
    case(f"adaptive_{kind}_pool", normal(2, 6, 5, 7), output_size=(2, 9, 1), **rule)
    case(f"adaptive_{kind}_pool", normal(*VOLUME), output_size=(1, 1, 1), **rule)
    case(f"adaptive_{kind}_pool", normal(0, 3, 7, 8), output_size=(3, 5), **rule)
    case(f"adaptive_{kind}_pool", exactly([[1, inf, 2, 3, nan, 4, 5]]), output_size=(3,), **rule, singular=True)
    case(f"adaptive_{kind}_pool", exactly([[1, inf, 2, 3, nan, 4, 5]]), output_size=(1,), **rule, singular=True)
rule = {"torch": counted("adaptive_max_pool"), "return_indices": True}
case("adaptive_max_pool", normal(*ROW), output_size=(4,), **rule)
case("adaptive_max_pool", normal(2, 3, 53), output_size=(3,), **rule)
case("adaptive_max_pool", normal(*PLANE), output_size=(3, 5), **rule)
case("adaptive_max_pool", normal(*PLANE), output_size=(1, 1), **rule)
case("adaptive_max_pool", normal(*PLANE), output_size=(7, 8), **rule)
case("adaptive_max_pool", normal(*PLANE), output_size=(7, 3), **rule)
case("adaptive_max_pool", normal(*PLANE), output_size=(3, 8), **rule)
case("adaptive_max_pool", normal(*VOLUME), output_size=(4, 5, 3), **rule)
case("adaptive_max_pool", normal(2, 6, 5, 7), output_size=(7, 9, 2), **rule)
ties = np.arange(70).reshape(1, 7, 10) % 3
case("adaptive_max_pool", exactly(ties), output_size=(3, 4), **rule, smooth=False, note="ties")
case("adaptive_max_pool", exactly(ties), output_size=(1, 1), **rule, smooth=False, note="ties")
case(
    "adaptive_max_pool",
    exactly(np.tile(missing.reshape(1, 3, 4), (1, 3, 2))),
    output_size=(4, 5),
    **rule,
    singular=True,
)
case(
    "adaptive_max_pool",
    exactly(np.tile(missing.reshape(1, 3, 4), (1, 3, 2))),
    output_size=(1, 1),
    **rule,
    singular=True,
)

# -- windows at random -------------------------------------------------------------------------------------------------


def fractional_max_pool(x, kernel_size, random_samples, **options):
    function = getattr(functional, f"fractional_max_pool{len(kernel_size)}d")
    return function(x, kernel_size, _random_samples=random_samples.to(x.dtype), **options)


rule = {"torch": fractional_max_pool}
draw = np.random.default_rng(5).random
case(
    "fractional_max_pool",
    normal(*PLANE),
    kernel_size=(2, 3),
    output_size=(4, 3),
    random_samples=draw((2, 3, 2)),
    **rule,
)
case(
    "fractional_max_pool",
    normal(3, 7, 8),
    kernel_size=(2, 2),
    output_size=(6, 1),
    random_samples=draw((1, 3, 2)),
    **rule,
)
case(
    "fractional_max_pool",
    normal(3, 7, 8),
    kernel_size=(1, 1),
    output_size=(3, 5),
    random_samples=draw((2, 3, 2)),
    **rule,
)
case(
    "fractional_max_pool",
    normal(0, 3, 7, 8),
    kernel_size=(2, 2),
    output_size=(3, 5),
    random_samples=draw((0, 3, 2)),
    **rule,
)
case(
    "fractional_max_pool",
    normal(2, 3, 7, 8),
    kernel_size=(2, 2),
    output_size=(0, 5),
    random_samples=draw((2, 3, 2)),
    **rule,
)
case(
    "fractional_max_pool",
    normal(*VOLUME),
    kernel_size=(2, 2, 3),
    output_size=(4, 3, 3),
    random_samples=draw((2, 2, 3)),
    **rule,
)
case(
    "fractional_max_pool",
    normal(2, 6, 5, 7),
    kernel_size=(3, 2, 1),
    output_size=(2, 1, 6),
    random_samples=draw((1, 2, 3)),
    **rule,
)
rule["return_indices"] = True
case(
    "fractional_max_pool",
    normal(*PLANE),
    kernel_size=(2, 3),
    output_size=(4, 3),
    random_samples=draw((2, 3, 2)),
    **rule,
)
case(
    "fractional_max_pool",
    normal(*VOLUME),
    kernel_size=(2, 2, 3),
    output_size=(4, 3, 3),
    random_samples=draw((2, 2, 3)),
    **rule,
)
case(
    "fractional_max_pool",
    exactly(ties),
    kernel_size=(3, 4),
    output_size=(4, 5),
    random_samples=draw((1, 1, 2)),
    **rule,
    smooth=False,
)
case(
    "fractional_max_pool",
    exactly(np.tile(missing.reshape(1, 3, 4), (1, 3, 2))),
    kernel_size=(3, 3),
    output_size=(4, 5),
    random_samples=draw((1, 1, 2)),
    **rule,
    singular=True,
)

# -- unpooling ---------------------------------------------------------------------------------------------------------


def max_unpool(x, indices, output_size):
    """torch's function with the kernel, one in every direction, that allows any size."""
    stride = [2 * max(size, 1) for size in output_size]
    kernel = [
        size - (length - 1) * step
        for size, length, step in zip(output_size, x.shape[-len(stride) :], stride, strict=True)
    ]
    function = getattr(functional, f"max_unpool{len(stride)}d")
    return function(x, indices, kernel, stride, output_size=output_size)


rule = {"torch": max_unpool}
permuted = np.random.default_rng(6).permutation


def places(*shape, size):
    planes = int(np.prod(shape[:2]))
    return np.stack([permuted(size)[: int(np.prod(shape[2:]))] for _ in range(planes)]).reshape(shape)


case("max_unpool", normal(2, 3, 4), indices=places(2, 3, 4, size=9), output_size=(9,), **rule)
case("max_unpool", normal(3, 4), indices=places(1, 3, 4, size=8)[0], output_size=(8,), **rule)
case("max_unpool", normal(2, 3, 2, 3), indices=places(2, 3, 2, 3, size=35), output_size=(5, 7), **rule)
case("max_unpool", normal(3, 2, 3), indices=places(1, 3, 2, 3, size=28)[0], output_size=(4, 7), **rule)
case("max_unpool", normal(2, 2, 2, 3, 1), indices=places(2, 2, 2, 3, 1, size=60), output_size=(4, 5, 3), **rule)
case("max_unpool", normal(2, 2, 3, 1), indices=places(1, 2, 2, 3, 1, size=60)[0], output_size=(4, 5, 3), **rule)
case("max_unpool", normal(0, 3, 2, 3), indices=np.zeros((0, 3, 2, 3), np.int64), output_size=(5, 7), **rule)
case(
    "max_unpool",
    exactly([[1, 2, 3]]),
    indices=np.array([[[1, 1, 0]]]),
    output_size=(4,),
    **rule,
    smooth=False,
    note="twice",
)
