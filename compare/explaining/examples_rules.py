"""Small examples of every rule: inputs to draw, options, and PyTorch's function where it has another name or order.

One line a rule. Without ``torch=``, the function of the same name in ``torch`` or ``torch.nn.functional`` is called
with the same arguments.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from compare.explaining.drawing import away, between, classes, fixed, mask, normal, positive, signs

__all__ = ["EXAMPLES", "UNLIKE", "RuleExample", "reference"]


@dataclass(frozen=True)
class RuleExample:
    """One call of a rule: positional inputs, options, and PyTorch's function for the same."""

    inputs: tuple[Any, ...]
    options: dict[str, Any]
    torch: Callable[..., Any] | None


def of(*inputs: Any, torch: Callable[..., Any] | None = None, **options: Any) -> RuleExample:
    return RuleExample(inputs, options, torch)


def _windows(name: str) -> Callable[..., Any]:
    """PyTorch's function for as many axes as lengths are given."""

    def call(x: Any, **options: Any) -> Any:
        sizes = options.get("kernel_size") or options["output_size"]
        return getattr(F, f"{name}{len(sizes)}d")(x, **options)

    return call


def _reference_dropout(x: Any, kept: Any, p: float = 0.5) -> Any:
    return x * kept.to(x.dtype) / (1 - p)


def _reference_alpha_dropout(x: Any, kept: Any, p: float = 0.5) -> Any:
    low = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717
    scale = 1 / math.sqrt((1 - p) * (1 + p * low * low))
    return scale * (torch.where(kept, x, torch.tensor(low, dtype=x.dtype)) - p * low)


def _layer(op: str, cells: int) -> Callable[..., Any]:
    def call(input: Any, *tensors: Any) -> Any:
        states, weights = tensors[:cells], list(tensors[cells:])
        hx: Any = [state[None] for state in states]
        values, *last = getattr(torch, op)(
            input, hx if cells > 1 else hx[0], weights, True, 1, 0.0, False, False, False
        )
        return (values, *(state[0] for state in last))

    return call


def _weights(gates: int) -> list[Any]:
    """The parameters of a recurrent layer of 2 inputs and 2 states."""
    return [
        between(-0.7, 0.7, gates * 2, 2),
        between(-0.7, 0.7, gates * 2, 2),
        between(-0.7, 0.7, gates * 2),
        between(-0.7, 0.7, gates * 2),
    ]


def _put(x: Any, values: Any, indices: Any, accumulate: bool = False) -> Any:
    return torch.index_put(x, tuple(map(torch.from_numpy, indices)), values, accumulate)


def _padded(x: Any, mask: Any, padding_value: float = 0.0) -> Any:
    return torch.full((*mask.shape, *x.shape[1:]), padding_value, dtype=x.dtype).index_put((mask,), x)


def _attention_weights(query: Any, key: Any) -> Any:
    return torch.softmax(query @ key.mT / math.sqrt(query.shape[-1]), -1)


def _fractional(x: Any, random_samples: Any, **options: Any) -> Any:
    return F.fractional_max_pool2d(x, _random_samples=random_samples.to(x.dtype), **options)


def _unpooled(x: Any, indices: Any, output_size: Any) -> Any:
    return F.max_unpool1d(x, indices, (2,), (2,), output_size=output_size)


def _cross_map(x: Any, **options: Any) -> Any:
    return torch.nn.CrossMapLRN2d(options["size"], options["alpha"], options["beta"], options["k"])(x)


def _ctc(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, **options: Any) -> Any:
    return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, **options)


def _linear_cross_entropy(x: Any, weight: Any, target: Any, bias: Any) -> Any:
    return F.cross_entropy(x @ weight.T + bias, target)


INDEX = np.array([[2, 0], [1, 1]])
PICKED = np.array([2, 0, 2])
CHOSEN = np.array([[True, False, True], [False, True, True]])

EXAMPLES: dict[str, RuleExample] = {
    **{name: of(away(2, 3)) for name in ("abs", "relu", "leaky_relu", "reciprocal", "softsign", "sign")},
    **{
        name: of(normal(2, 3))
        for name in (
            *("sigmoid", "logsigmoid", "tanh", "tanhshrink", "softplus", "elu", "celu", "selu", "silu", "mish", "gelu"),
            *("exp", "exp2", "expm1", "erf", "sin", "cos", "tan", "neg", "square", "clone", "t", "triu", "tril"),
        )
    },
    **{name: of(positive(2, 3)) for name in ("sqrt", "rsqrt", "log", "log2", "log10", "log1p")},
    **{name: of(normal(2, 4), normal(2, 4)) for name in ("maximum", "minimum", "mul")},
    **{name: of(normal(2, 3), normal(3)) for name in ("add", "sub")},
    **{name: of(normal(2, 3), dim=1) for name in ("softmax", "softmin", "log_softmax", "logsumexp", "logcumsumexp")},
    **{name: of(normal(2, 3), dim=1) for name in ("cumsum", "cumprod", "cummax", "cummin", "amax", "amin")},
    **{name: of(normal(2, 3), dim=1) for name in ("sum", "mean", "prod", "var", "std", "max", "min", "median")},
    **{name: of(normal(2, 4), dim=1) for name in ("argmax", "argmin", "argsort", "sort")},
    "relu6": of(between(-2, 9, 2, 4)),
    "hardtanh": of(between(-2, 2, 2, 4)),
    "hardshrink": of(between(-1.5, 1.5, 2, 4)),
    "softshrink": of(between(-1.5, 1.5, 2, 4)),
    "hardsigmoid": of(between(-5, 5, 2, 4)),
    "hardswish": of(between(-5, 5, 2, 4)),
    "threshold": of(normal(2, 4), threshold=0.1, value=-2.0),
    "glu": of(normal(2, 4), dim=1),
    "prelu": of(away(2, 3), between(0.1, 0.4, 3)),
    "rrelu": of(away(2, 3), fixed(between(0.1, 0.4, 2, 3)), torch=lambda x, noise: torch.where(x > 0, x, x * noise)),
    "dropout": of(normal(2, 3), mask(2, 3), p=0.4, torch=_reference_dropout),
    "alpha_dropout": of(normal(2, 3), mask(2, 3), p=0.4, torch=_reference_alpha_dropout),
    "div": of(normal(2, 3), away(3)),
    "pow": of(positive(2, 2), normal(2, 2)),
    "clamp": of(normal(2, 4), -0.5, 0.5),
    "where": of(
        normal(2, 3), normal(2, 3), condition=CHOSEN, torch=lambda x, y, condition: torch.where(condition, x, y)
    ),
    "alias": of(normal(2, 2), torch=lambda x: x.view_as(x)),
    "to": of(normal(2, 2), dtype="float64", torch=lambda x, dtype: x.to(torch.float64)),
    # products
    "matmul": of(normal(2, 3), normal(3, 2)),
    "mm": of(normal(2, 3), normal(3, 2)),
    "bmm": of(normal(2, 1, 2), normal(2, 2, 2)),
    "dot": of(normal(3), normal(3)),
    "outer": of(normal(2), normal(3)),
    "addmm": of(normal(2), normal(2, 3), normal(3, 2), beta=0.5, alpha=2.0),
    "linear": of(normal(2, 3), normal(2, 3), normal(2)),
    "bilinear": of(normal(2, 2), normal(2, 3), normal(2, 2, 3), normal(2)),
    "einsum": of(
        normal(2, 3), normal(3, 2), equation="ij,jk->ik", torch=lambda x, y, equation: torch.einsum(equation, x, y)
    ),
    "tensordot": of(normal(2, 3), normal(3, 2), dims=1),
    "kron": of(normal(2), normal(3)),
    "trace": of(normal(2, 3)),
    # distances and norms
    "norm": of(normal(2, 3), dim=1, torch=lambda x, dim: torch.linalg.vector_norm(x, 2, dim)),
    "normalize": of(normal(2, 3)),
    "cdist": of(normal(2, 3), normal(2, 3)),
    "pdist": of(normal(3, 2)),
    "pairwise_distance": of(normal(2, 3), normal(2, 3)),
    "cosine_similarity": of(normal(2, 3), normal(2, 3)),
    # normalisation
    "batch_norm": of(
        *(normal(3, 2), between(0.5, 1.5, 2), normal(2)),
        torch=lambda x, weight, bias: F.batch_norm(x, None, None, weight, bias, True),
    ),
    "instance_norm": of(
        *(normal(2, 2, 3), between(0.5, 1.5, 2), normal(2)),
        torch=lambda x, weight, bias: F.instance_norm(x, None, None, weight, bias),
    ),
    "group_norm": of(
        *(normal(1, 4, 2), between(0.5, 1.5, 4), normal(4)),
        num_groups=2,
        torch=lambda x, weight, bias, num_groups: F.group_norm(x, num_groups, weight, bias),
    ),
    "layer_norm": of(
        *(normal(2, 3), between(0.5, 1.5, 3), normal(3)),
        normalized_shape=(3,),
        torch=lambda x, weight, bias, normalized_shape: F.layer_norm(x, normalized_shape, weight, bias),
    ),
    "rms_norm": of(
        *(normal(2, 3), between(0.5, 1.5, 3)),
        normalized_shape=(3,),
        torch=lambda x, weight, normalized_shape: F.rms_norm(x, normalized_shape, weight),
    ),
    "local_response_norm": of(normal(1, 3, 2), size=2, alpha=0.5),
    "cross_map_lrn2d": of(normal(1, 3, 1, 2), size=3, alpha=0.5, beta=0.75, k=1.0, torch=_cross_map),
    # shapes
    "reshape": of(normal(2, 3), shape=(3, 2)),
    "flatten": of(normal(2, 2, 2), start_dim=1),
    "permute": of(normal(2, 1, 3), dims=(2, 0, 1)),
    "transpose": of(normal(2, 3), dim0=0, dim1=1),
    "movedim": of(normal(2, 1, 3), source=0, destination=2),
    "squeeze": of(normal(2, 1, 2), dim=1),
    "unsqueeze": of(normal(2, 2), dim=1),
    "expand": of(normal(2, 1), size=(2, 3), torch=lambda x, size: x.expand(size)),
    "repeat": of(normal(1, 2), repeats=(2, 2), torch=lambda x, repeats: x.repeat(repeats)),
    "repeat_interleave": of(normal(3), repeats=np.array([2, 0, 3])),
    "flip": of(normal(2, 3), dims=(1,)),
    "roll": of(normal(4), shifts=1),
    "cat": of(normal(1, 2), normal(2, 2), torch=lambda *tensors: torch.cat(tensors)),
    "stack": of(normal(2), normal(2), torch=lambda *tensors: torch.stack(tensors)),
    "split": of(
        normal(5), split_size_or_sections=2, torch=lambda x, split_size_or_sections: x.split(split_size_or_sections)
    ),
    "chunk": of(normal(5), chunks=2),
    "unbind": of(normal(2, 2)),
    "diag": of(normal(3)),
    "diag_embed": of(normal(2, 2)),
    "diagonal": of(normal(2, 3)),
    "diff": of(normal(4)),
    "sliding_windows": of(
        normal(4), dimension=0, size=2, step=1, torch=lambda x, dimension, size, step: x.unfold(dimension, size, step)
    ),
    "pad": of(normal(1, 3), pad=(1, 2)),
    "pad_rows": of(normal(3, 2), mask=np.array([[True, True], [True, False]]), torch=_padded),
    "channel_shuffle": of(normal(1, 4, 2), groups=2, torch=lambda x, groups: F.channel_shuffle(x, groups)),
    "pixel_shuffle": of(normal(1, 4, 1, 1), upscale_factor=2),
    "pixel_unshuffle": of(normal(1, 1, 2, 2), downscale_factor=2),
    # picking and putting
    "getitem": of(normal(3, 2), index=PICKED, torch=lambda x, index: x[index]),
    "index_select": of(normal(3, 2), dim=0, index=PICKED),
    "gather": of(normal(2, 3), dim=1, index=INDEX),
    "take_along_dim": of(normal(2, 3), indices=INDEX, dim=1),
    "masked_select": of(normal(2, 3), mask=CHOSEN),
    "masked_fill": of(normal(2, 3), -2.5, mask=CHOSEN, torch=lambda x, value, mask: x.masked_fill(mask, value)),
    "masked_scatter": of(
        *(normal(2, 3), normal(4)), mask=CHOSEN, torch=lambda x, source, mask: x.masked_scatter(mask, source)
    ),
    "index_put": of(normal(2, 3), normal(2), indices=(np.array([0, 1]), np.array([2, 0])), torch=_put),
    "index_add": of(
        *(normal(3, 2), normal(2, 2)),
        dim=0,
        index=np.array([2, 2]),
        torch=lambda x, source, dim, index: x.index_add(dim, index, source),
    ),
    "scatter": of(
        *(normal(2, 3), normal(2, 2)),
        dim=1,
        index=np.array([[2, 0], [1, 2]]),
        torch=lambda x, src, dim, index: x.scatter(dim, index, src),
    ),
    "scatter_add": of(
        *(normal(2, 3), normal(2, 2)),
        dim=1,
        index=INDEX,
        torch=lambda x, src, dim, index: x.scatter_add(dim, index, src),
    ),
    "scatter_reduce": of(
        *(away(2, 3), away(2, 2)),
        dim=1,
        index=INDEX,
        reduce="prod",
        torch=lambda x, src, dim, index, reduce: x.scatter_reduce(dim, index, src, reduce),
    ),
    "kthvalue": of(normal(2, 4), k=2),
    "topk": of(normal(2, 4), k=2),
    "embedding": of(normal(3, 2), indices=PICKED, torch=lambda weight, indices: F.embedding(indices, weight)),
    "embedding_bag": of(
        normal(3, 2),
        indices=np.array([2, 0, 2, 1]),
        offsets=np.array([0, 3]),
        mode="mean",
        torch=lambda weight, indices, **options: F.embedding_bag(indices, weight, **options),
    ),
    # windows
    "conv_nd": of(
        *(normal(1, 1, 4), normal(2, 1, 2), normal(2)), stride=1, padding=1, torch=lambda *a, **o: F.conv1d(*a, **o)
    ),
    "conv_transpose_nd": of(
        *(normal(1, 1, 3), normal(1, 2, 2), normal(2)), stride=2, torch=lambda *a, **o: F.conv_transpose1d(*a, **o)
    ),
    "conv_tbc": of(
        normal(3, 1, 2), normal(2, 2, 2), normal(2), pad=1, torch=lambda x, w, b, pad: torch.conv_tbc(x, w, b, pad)
    ),
    "unfold": of(normal(1, 1, 2, 3), kernel_size=(2, 2)),
    "fold": of(normal(1, 4, 2), output_size=(2, 3), kernel_size=(2, 2)),
    "max_pool": of(normal(1, 1, 6), kernel_size=(2,), torch=_windows("max_pool")),
    "avg_pool": of(normal(1, 1, 6), kernel_size=(2,), torch=_windows("avg_pool")),
    "lp_pool": of(positive(1, 1, 2, 4), norm_type=2, kernel_size=(2, 2), torch=_windows("lp_pool")),
    "adaptive_max_pool": of(normal(1, 1, 5), output_size=(2,), torch=_windows("adaptive_max_pool")),
    "adaptive_avg_pool": of(normal(1, 1, 5), output_size=(2,), torch=_windows("adaptive_avg_pool")),
    "fractional_max_pool": of(
        normal(1, 1, 4, 4),
        kernel_size=(2, 2),
        output_size=(2, 2),
        random_samples=np.array([[[0.3, 0.6]]]),
        torch=_fractional,
    ),
    "max_unpool": of(normal(1, 1, 2), indices=np.array([[[1, 2]]]), output_size=(4,), torch=_unpooled),
    "interpolate": of(normal(1, 1, 3), size=(5,), mode="linear", align_corners=False),
    "affine_grid": of(normal(1, 2, 3), size=(1, 1, 2, 2), align_corners=False),
    "grid_sample": of(normal(1, 1, 2, 3), between(-0.6, 0.6, 1, 1, 2, 2), align_corners=False),
    # attention and recurrence
    "scaled_dot_product_attention": of(normal(1, 2, 2), normal(1, 3, 2), normal(1, 3, 2)),
    "attention_weights": of(normal(1, 2, 2), normal(1, 3, 2), torch=_attention_weights),
    "rnn_tanh_cell": of(normal(1, 2), normal(1, 2), *_weights(1)),
    "rnn_relu_cell": of(normal(3, 2), normal(3, 2), *_weights(1)),
    "gru_cell": of(normal(1, 2), normal(1, 2), *_weights(3)),
    "lstm_cell": of(
        *(normal(1, 2), normal(1, 2), normal(1, 2), *_weights(4)),
        torch=lambda x, hx, cx, *weights: torch.lstm_cell(x, (hx, cx), *weights),
    ),
    "rnn_layer": of(normal(3, 1, 2), normal(1, 2), *_weights(1), torch=_layer("rnn_tanh", 1)),
    "gru_layer": of(normal(3, 1, 2), normal(1, 2), *_weights(3), torch=_layer("gru", 1)),
    "lstm_layer": of(normal(3, 1, 2), normal(1, 2), normal(1, 2), *_weights(4), torch=_layer("lstm", 2)),
    # losses
    **{name: of(normal(2, 3), fixed(normal(2, 3))) for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")},
    "binary_cross_entropy": of(between(0.1, 0.9, 4), fixed(np.array([1.0, 0.0, 0.0, 1.0]))),
    "binary_cross_entropy_with_logits": of(normal(4), fixed(np.array([1.0, 0.0, 0.0, 1.0]))),
    "soft_margin_loss": of(normal(4), signs(4)),
    "hinge_loss": of(normal(4), signs(4), torch=lambda score, sign: (1 - sign * score).clamp(min=0).mean()),
    "squared_hinge_loss": of(
        normal(4), signs(4), torch=lambda score, sign: (1 - sign * score).clamp(min=0).square().mean()
    ),
    "hinge_embedding_loss": of(positive(4), signs(4)),
    "cross_entropy": of(normal(3, 3), classes(3, 3)),
    "nll_loss": of(between(-3, -0.1, 3, 3), classes(3, 3)),
    "linear_cross_entropy": of(normal(2, 2), normal(3, 2), classes(3, 2), normal(3), torch=_linear_cross_entropy),
    "multi_margin_loss": of(normal(2, 3), classes(3, 2)),
    "multilabel_margin_loss": of(normal(2, 3), fixed(np.array([[2, -1, 0], [0, 1, -1]]))),
    "multilabel_soft_margin_loss": of(normal(2, 3), fixed(np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))),
    "kl_div": of(between(-3, -0.1, 2, 3), fixed(between(0.1, 0.9, 2, 3)), reduction="sum"),
    "poisson_nll_loss": of(normal(4), fixed(np.array([0.0, 1.0, 3.0, 2.0]))),
    "gaussian_nll_loss": of(normal(3), fixed(normal(3)), positive(3)),
    "margin_ranking_loss": of(normal(4), normal(4), signs(4), margin=0.5),
    "cosine_embedding_loss": of(normal(2, 3), normal(2, 3), target=np.array([1.0, -1.0]), margin=-0.5),
    "triplet_margin_loss": of(normal(2, 3), normal(2, 3), normal(2, 3), margin=2.0),
    "ctc_loss": of(
        *(between(-3, -0.3, 4, 1, 3), fixed(np.array([[1, 2]])), fixed(np.array([4])), fixed(np.array([2]))),
        torch=_ctc,
    ),
}

UNLIKE = {
    "cross_map_lrn2d": "PyTorch's backward pass is not the derivative of its forward pass, and the rule follows "
    "PyTorch; "
    "see the convention.",
    "ctc_loss": "PyTorch hands back the gradient of the logits behind a log-softmax, and the rule follows PyTorch; see "
    "the convention. The numeric derivative is that of the logarithms themselves.",
}
"""Rules whose gradient, as PyTorch's, is not the derivative of what they compute, each with the reason."""


def reference(name: str) -> Callable[..., Any]:
    """PyTorch's function for a rule."""
    given = EXAMPLES[name].torch
    found = given or getattr(F, name, None) or getattr(torch, name)

    def quiet(*inputs: Any, **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return found(*inputs, **options)

    return quiet
