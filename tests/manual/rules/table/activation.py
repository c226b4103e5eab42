"""Activations, softmax and what changes no number."""

import torch

from . import TORCH_ROUNDS, between, case, exactly, inf, nan, normal

# -- activations -----------------------------------------------------------------------------------------------------

for name in [
    "relu",
    "relu6",
    "leaky_relu",
    "hardtanh",
    "hardshrink",
    "softshrink",
    "hardsigmoid",
    "hardswish",
    "sigmoid",
    "logsigmoid",
    "tanh",
    "tanhshrink",
    "softsign",
    "softplus",
    "elu",
    "celu",
    "selu",
    "silu",
    "mish",
    "gelu",
]:
    loose = TORCH_ROUNDS if name == "hardsigmoid" else 0.0
    case(name, normal(3, 4), loose=loose)
    case(name, normal(), loose=loose)
    case(name, normal(0, 3))
    case(name, between(-5, 9, 30, 40), loose=loose)
    points = (
        (nan,) if name in ("softsign", "gelu") else (-inf, inf, nan)
    )  # there torch's two dtypes disagree, or inf / inf
    case(name, exactly(*points), singular=True, note="not finite")
for name, points in {
    "relu": (-1, 0, 1),
    "relu6": (-1, 0, 3, 6, 7),
    "leaky_relu": (-1, 0, 1),
    "hardtanh": (-2, -1, 0, 1, 2),
    "hardshrink": (-1, -0.5, 0, 0.5, 1),
    "softshrink": (-1, -0.5, 0, 0.5, 1),
    "hardsigmoid": (-4, -3, 0, 3, 4),
    "hardswish": (-4, -3, 0, 3, 4),
    "softsign": (-1, 0, 1),
    "selu": (-1, 0, 1),
    "celu": (-1, 0, 1),
    "elu": (-1, 0, 1),
}.items():
    case(name, exactly(*points), smooth=False, note="kinks", loose=TORCH_ROUNDS if name == "hardsigmoid" else 0.0)
for name in ("sigmoid", "logsigmoid", "tanh", "softplus", "silu", "mish", "gelu", "elu", "selu", "celu"):
    case(name, exactly(-800, -90, -30, 30, 90, 800), smooth=False, note="far out")
case("leaky_relu", normal(3, 4), negative_slope=-0.3)
case("leaky_relu", normal(30, 40), negative_slope=1.5)
case("hardtanh", exactly(-3, -2, 0, 0.5, 1), min_val=-2.0, max_val=0.5, smooth=False, note="kinks")
case("hardshrink", normal(3, 4), lambd=0.2)
case("softshrink", normal(3, 4), lambd=0.2)
case("softplus", normal(3, 4), beta=2.0, threshold=1.0)
case("softplus", exactly(0.25, 0.5, 1), beta=2.0, threshold=1.0, smooth=False, note="threshold")
case("elu", normal(3, 4), alpha=0.3)
case("elu", exactly(-1, 0, 1), alpha=0.3, smooth=False, note="kinks")
case("celu", normal(3, 4), alpha=0.5)
case("celu", normal(3, 4), alpha=0.3, loose=TORCH_ROUNDS, note="not a power of two")
case("gelu", normal(3, 4), approximate="tanh")
case("gelu", exactly(-800, -9, 9, 800), approximate="tanh", smooth=False, note="far out")
case("gelu", exactly(-1e14, 1e14), approximate="tanh", smooth=False, note="where a cube overflows")
case("threshold", normal(3, 4), threshold=0.3, value=2.0)
case("threshold", normal(30, 40), threshold=0.3, value=2.0)
case("threshold", exactly(0, 0.25, 1), threshold=0.25, value=2.0, smooth=False, note="kinks")
case("prelu", normal(3, 4), normal(1))
case("prelu", normal(2, 4, 3), normal(4))
case("prelu", normal(20, 4, 9), normal(4))
case("prelu", normal(5), normal(1))
case("prelu", normal(), normal(1))
case("prelu", exactly([-1, 0, 1]), exactly(0.3), smooth=False, note="kinks")
case("glu", normal(3, 4))
case("glu", normal(2, 6, 3), dim=1)

# -- softmax ---------------------------------------------------------------------------------------------------------

for name in ("softmax", "softmin", "log_softmax"):
    case(name, normal(3, 4), dim=1)
    case(name, normal(3, 4), dim=0)
    case(name, normal(2, 3, 4), dim=-2)
    case(name, normal(3, 100), dim=-1)
    case(name, normal(), dim=0)
    case(name, normal(0, 4), dim=1)
    case(name, normal(3, 1), dim=1)
    case(name, exactly([1000, 1001, 999], [-1000, 0, 1000]), dim=1, smooth=False, note="far out")
    case(
        name,
        exactly([-inf, 1, 2], [-inf, -inf, 0]),
        dim=1,
        singular=name == "softmin",
        smooth=False,
        note="minus infinity",
    )
    case(name, exactly([-inf, -inf], [inf, 1]), dim=1, singular=True, note="no answer")

# -- the rest --------------------------------------------------------------------------------------------------------

case("alias", normal(3, 4), torch=lambda x: x.view_as(x))
case("clone", normal(3, 4))
case("to", normal(3, 4), dtype="float64", torch=lambda x, dtype: x.to(torch.float64).clone(), note="up")
case("to", normal(3, 4), dtype="float32", torch=lambda x, dtype: x.to(torch.float32).clone(), smooth=False, note="down")
