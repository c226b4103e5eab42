"""Normalisation, over channels, samples, windows and vectors."""

import numpy as np
import torch
import torch.nn.functional as F

from . import between, case, exactly, normal

# -- channels --------------------------------------------------------------------------------------------------------


def batch_norm(x, weight, bias, *, running_mean=None, running_var=None, training=True, momentum=0.1, eps=1e-5):
    kept = [None if value is None else value.to(x.dtype).clone() for value in (running_mean, running_var)]
    return F.batch_norm(x, *kept, weight, bias, training, momentum, eps)


def instance_norm(
    x, weight, bias, *, running_mean=None, running_var=None, use_input_stats=True, momentum=0.1, eps=1e-5
):
    kept = [None if value is None else value.to(x.dtype).clone() for value in (running_mean, running_var)]
    return F.instance_norm(x, *kept, weight, bias, use_input_stats, momentum, eps)


def group_norm(x, weight, bias, *, num_groups, eps=1e-5):
    if weight is None and bias is not None:  # there torch 2.13 cannot go backward: "tensor does not have a device"
        weight = torch.ones_like(bias)
    return F.group_norm(x, num_groups, weight, bias, eps)


mean, var = np.array([0.3, -1.2, 2.0, 0.0]), np.array([0.5, 1.5, 0.02, 3.0])

for shape in [(5, 4), (3, 4, 7), (2, 4, 3, 5), (2, 4, 2, 3, 2), (1, 4, 3)]:
    case("batch_norm", normal(*shape), normal(4), normal(4), torch=batch_norm)
    case(
        "batch_norm",
        normal(*shape),
        normal(4),
        normal(4),
        training=False,
        running_mean=mean,
        running_var=var,
        torch=batch_norm,
    )
    if len(shape) > 2:
        case("instance_norm", normal(*shape), normal(4), normal(4), torch=instance_norm)
    for groups in (1, 2, 4):
        if groups < 4 or len(shape) > 2:
            case("group_norm", normal(*shape), normal(4), normal(4), num_groups=groups, torch=group_norm)
for weight, bias in [(None, None), (normal(4), None), (None, normal(4))]:
    note = f"weight {weight is not None}, bias {bias is not None}"
    for rule, function in (("batch_norm", batch_norm), ("instance_norm", instance_norm)):
        case(rule, normal(3, 4, 5), weight, bias, torch=function, note=note)
    case(
        "batch_norm",
        normal(3, 4),
        weight,
        bias,
        training=False,
        running_mean=mean,
        running_var=var,
        torch=batch_norm,
        note=note,
    )
    case("group_norm", normal(3, 4, 5), weight, bias, num_groups=2, torch=group_norm, note=note)
case("batch_norm", normal(3, 4, 5), normal(4), normal(4), eps=0.5, torch=batch_norm)
case(
    "batch_norm",
    normal(3, 4, 5),
    normal(4),
    normal(4),
    eps=0.5,
    training=False,
    running_mean=mean,
    running_var=var,
    torch=batch_norm,
    note="eval",
)
case("batch_norm", normal(300, 4), normal(4), normal(4), torch=batch_norm)
case("batch_norm", between(7, 9, 8, 4, 6), normal(4), normal(4), torch=batch_norm, note="far from zero")
case("batch_norm", normal(0, 4, 6), normal(4), normal(4), torch=batch_norm)
case("instance_norm", normal(3, 4, 5), normal(4), normal(4), eps=0.5, torch=instance_norm)
case(
    "instance_norm",
    normal(3, 4, 1),
    normal(4),
    normal(4),
    use_input_stats=False,
    running_mean=mean,
    running_var=var,
    torch=instance_norm,
)
case(
    "instance_norm",
    normal(3, 4, 5),
    None,
    None,
    use_input_stats=False,
    running_mean=mean,
    running_var=var,
    torch=instance_norm,
)
case("group_norm", normal(2, 6, 3), normal(6), normal(6), num_groups=3, eps=0.5, torch=group_norm)

# -- samples ---------------------------------------------------------------------------------------------------------


def layer_norm(x, weight, bias, *, normalized_shape, eps=1e-5):
    return F.layer_norm(x, normalized_shape, weight, bias, eps)


def rms_norm(x, weight, *, normalized_shape, eps=None):
    return F.rms_norm(x, normalized_shape, weight, eps)


for shape, last in [
    ((5, 4), (4,)),
    ((2, 3, 4), (4,)),
    ((2, 3, 4), (3, 4)),
    ((2, 3, 4), (2, 3, 4)),
    ((4,), (4,)),
    ((200, 3), (3,)),
]:
    case("layer_norm", normal(*shape), normal(*last), normal(*last), normalized_shape=last, torch=layer_norm)
    case("rms_norm", normal(*shape), normal(*last), normalized_shape=last, torch=rms_norm)
case("layer_norm", normal(5, 4), None, None, normalized_shape=(4,), torch=layer_norm)
case("layer_norm", normal(5, 4), normal(4), None, normalized_shape=(4,), torch=layer_norm)
case("layer_norm", normal(5, 4), None, normal(4), normalized_shape=[4], torch=layer_norm)
case("layer_norm", normal(5, 4), normal(4), normal(4), normalized_shape=(4,), eps=0.5, torch=layer_norm)
case("layer_norm", normal(0, 4), normal(4), normal(4), normalized_shape=(4,), torch=layer_norm)
case(
    "layer_norm",
    between(7, 9, 6, 30),
    normal(30),
    normal(30),
    normalized_shape=(30,),
    torch=layer_norm,
    note="far from zero",
)
case("rms_norm", normal(5, 4), None, normalized_shape=(4,), torch=rms_norm)
case("rms_norm", normal(5, 4), normal(4), normalized_shape=[4], eps=0.5, torch=rms_norm)
case("rms_norm", between(-0.03, 0.03, 5, 4), normal(4), normalized_shape=(4,), torch=rms_norm, note="small")
case("rms_norm", normal(0, 4), normal(4), normalized_shape=(4,), torch=rms_norm)

# -- windows of channels ---------------------------------------------------------------------------------------------

for size in (1, 2, 3, 4, 5, 20):
    case("local_response_norm", normal(2, 7, 3), size=size, alpha=0.7, beta=0.6, k=1.5)
case("local_response_norm", normal(2, 7, 3, 2), size=3)
case("local_response_norm", normal(2, 3, 2, 2, 2), size=2, alpha=2.0)


def cross_map_lrn2d(x, *, size, alpha=1e-4, beta=0.75, k=1.0):
    return torch.nn.CrossMapLRN2d(size, alpha, beta, k)(x)


for size in (2, 3, 4, 5, 9, 20):
    # torch's gradient is not the derivative of its value, so differences do not apply; where alpha is 0 they do
    case(
        "cross_map_lrn2d",
        normal(2, 7, 3, 2),
        size=size,
        alpha=0.7,
        beta=0.6,
        k=1.5,
        torch=cross_map_lrn2d,
        smooth=False,
    )
case("cross_map_lrn2d", normal(2, 7, 3, 2), size=3, alpha=0.0, beta=0.6, k=1.5, torch=cross_map_lrn2d)

# -- vectors ---------------------------------------------------------------------------------------------------------

for p in (1, 2, 2.5, 3, 0.5, np.inf):
    case("normalize", normal(4, 5), p=p)
case("normalize", normal(2, 3, 4), dim=-1)
case("normalize", normal(2, 3, 4), dim=(0, 2))
case("normalize", normal(4, 5), eps=2.0, note="some below eps")
case("normalize", normal(4, 5), p=1, eps=4.0, note="some below eps")
case("normalize", normal(0, 5), dim=0)
case("normalize", exactly([3, 4], [0, 0], [1, 0]), eps=5.0, smooth=False, note="at eps and at zero")
