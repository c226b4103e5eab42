"""Images of another size, and images read at the positions of a grid."""

import itertools

import numpy as np

from . import between, case, exactly, normal

# -- another size ------------------------------------------------------------------------------------------------------

for mode in ("nearest", "nearest-exact", "area"):
    case("interpolate", normal(2, 3, 5), size=8, mode=mode)
    case("interpolate", normal(2, 3, 5), scale_factor=0.7, mode=mode)
    case("interpolate", normal(2, 1, 1), size=3, mode=mode)
    case("interpolate", normal(1, 2, 5, 3), size=(3, 7), mode=mode)
    case("interpolate", normal(1, 2, 3, 1, 4), size=(2, 3, 5), mode=mode)
    case("interpolate", normal(1, 2, 3, 2, 4), scale_factor=(1.7, 2.0, 0.5), mode=mode)
for align_corners in (False, True):
    for mode, shape in {"linear": (2, 3, 5), "bilinear": (2, 3, 5, 4), "trilinear": (1, 2, 3, 5, 2)}.items():
        spatial = len(shape) - 2
        case("interpolate", normal(*shape), size=7, mode=mode, align_corners=align_corners)
        case("interpolate", normal(*shape), size=1, mode=mode, align_corners=align_corners)
        case("interpolate", normal(*shape), size=(3, 6, 4)[:spatial], mode=mode, align_corners=align_corners)
        for recompute in (None, True):
            options = {"recompute_scale_factor": recompute, "align_corners": align_corners}
            case("interpolate", normal(*shape), scale_factor=1.7, mode=mode, **options)
        case("interpolate", normal(*shape[:2], *(1,) * spatial), size=3, mode=mode, align_corners=align_corners)
    for antialias in (False, True):
        options = {"mode": "bicubic", "align_corners": align_corners, "antialias": antialias}
        case("interpolate", normal(1, 2, 5, 4), size=(7, 3), **options)
        case("interpolate", normal(1, 2, 9, 6), size=(2, 13), **options)
        case("interpolate", normal(1, 2, 6, 1), size=(1, 3), **options)
        case("interpolate", normal(1, 2, 7, 6), scale_factor=(0.4, 1.6), **options)
        case("interpolate", normal(2, 1, 7, 9), scale_factor=0.3, **{**options, "mode": "bilinear"})
case("interpolate", normal(1, 2, 9, 6), size=(4, 8), mode="lanczos", antialias=True)
case("interpolate", normal(0, 2, 3), size=5, mode="linear")
case("interpolate", normal(2, 3, 4), size=4, mode="linear", note="of its own size")
case("interpolate", normal(2, 3, 4), size=4, note="of its own size")

# -- read at the positions of a grid -----------------------------------------------------------------------------------

for align_corners, padding_mode in itertools.product((False, True), ("zeros", "border", "reflection")):
    options = {"align_corners": align_corners, "padding_mode": padding_mode}
    for mode in ("bilinear", "nearest", "bicubic"):
        case("grid_sample", normal(2, 3, 5, 4), between(-2.7, 2.7, 2, 3, 6, 2), mode=mode, **options)
        case("grid_sample", normal(1, 2, 1, 3), between(-1.4, 1.4, 1, 2, 5, 2), mode=mode, **options)
    for mode in ("bilinear", "nearest"):
        case("grid_sample", normal(1, 2, 3, 5, 2), between(-1.9, 1.9, 1, 2, 3, 4, 3), mode=mode, **options)
    # on pixels, on borders, and halfway between pixels: the derivative is one of the two sides'
    edges = np.stack(np.meshgrid([-3, -1.5, -1, -0.5, 0, 0.25, 1, 2], [-2, -1, -0.25, 0, 0.5, 0.75, 1]), -1)
    for mode in ("bilinear", "nearest", "bicubic"):
        options["note"] = "at kinks"
        case("grid_sample", normal(1, 2, 5, 4), exactly(*edges[None]), mode=mode, smooth=False, **options)
case("grid_sample", normal(2, 0, 5, 4), between(-1, 1, 2, 3, 2, 2), align_corners=False)
case("grid_sample", normal(2, 3, 5, 4), between(-1, 1, 2, 0, 2, 2), align_corners=False)
case("grid_sample", normal(0, 3, 5, 4), between(-1, 1, 0, 3, 2, 2), align_corners=False)
for align_corners in (False, True):
    case("affine_grid", normal(2, 2, 3), size=(2, 3, 4, 5), align_corners=align_corners)
    case("affine_grid", normal(1, 3, 4), size=(1, 3, 2, 3, 5), align_corners=align_corners)
case("affine_grid", normal(2, 2, 3), size=(2, 3, 1, 5), align_corners=False)
