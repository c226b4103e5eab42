"""The arguments of a call by name, whichever of PyTorch's spellings it used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ["axes_of", "bound", "is_square", "scalar_of"]

_CROSS_ENTROPY = ("weight", "size_average", "ignore_index", "reduce", "reduction", "label_smoothing")
_SIGNATURES: dict[str, tuple[str, ...]] = {
    "sum": ("input", "dim", "keepdim"),
    "mean": ("input", "dim", "keepdim"),
    "logsumexp": ("input", "dim", "keepdim"),
    "var": ("input", "dim", "unbiased", "keepdim"),
    "std": ("input", "dim", "unbiased", "keepdim"),
    "norm": ("input", "p", "dim", "keepdim"),
    "softmax": ("input", "dim"),
    "log_softmax": ("input", "dim"),
    **dict.fromkeys(("max", "min", "amax", "amin"), ("input", "dim", "keepdim")),
    "cumsum": ("input", "dim"),
    "linear": ("input", "weight", "bias"),
    "addmm": ("input", "mat1", "mat2"),
    "baddbmm": ("input", "batch1", "batch2"),
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "rms_norm": ("input", "normalized_shape", "weight", "eps"),
    "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    "instance_norm": (
        *("input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps"),
    ),
    "normalize": ("input", "p", "dim", "eps"),
    "cross_entropy": ("input", "target", *_CROSS_ENTROPY),
    "nll_loss": ("input", "target", "weight", "size_average", "ignore_index", "reduce", "reduction"),
    "mse_loss": ("input", "target", "size_average", "reduce", "reduction", "weight"),
    "l1_loss": ("input", "target", "size_average", "reduce", "reduction", "weight"),
    "smooth_l1_loss": ("input", "target", "size_average", "reduce", "reduction", "beta"),
    "huber_loss": ("input", "target", "reduction", "delta"),
    "binary_cross_entropy": ("input", "target", "weight", "size_average", "reduce", "reduction"),
    "binary_cross_entropy_with_logits": (
        *("input", "target", "weight", "size_average", "reduce", "reduction", "pos_weight"),
    ),
    "kl_div": ("input", "target", "size_average", "reduce", "reduction", "log_target"),
    "embedding": ("input", "weight", "padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse"),
    "embedding_bag": (
        *("input", "weight", "offsets", "max_norm", "norm_type", "scale_grad_by_freq", "mode", "sparse"),
        *("per_sample_weights", "include_last_offset", "padding_idx"),
    ),
    "ctc_loss": ("log_probs", "targets", "input_lengths", "target_lengths", "blank", "reduction", "zero_infinity"),
    "gaussian_nll_loss": ("input", "target", "var", "full", "eps", "reduction"),
    "poisson_nll_loss": ("input", "target", "log_input", "full", "size_average", "eps", "reduce", "reduction"),
    "multi_margin_loss": ("input", "target", "p", "margin", "weight", "size_average", "reduce", "reduction"),
    "hinge_embedding_loss": ("input", "target", "margin", "size_average", "reduce", "reduction"),
    "margin_ranking_loss": ("input1", "input2", "target", "margin", "size_average", "reduce", "reduction"),
    "cosine_embedding_loss": ("input1", "input2", "target", "margin", "size_average", "reduce", "reduction"),
    "triplet_margin_loss": (
        *("anchor", "positive", "negative", "margin", "p", "eps", "swap", "size_average", "reduce", "reduction"),
    ),
    "masked_fill": ("input", "mask", "value"),
    "where": ("condition", "input", "other"),
    "clamp": ("input", "min", "max"),
    "leaky_relu": ("input", "negative_slope"),
    "elu": ("input", "alpha"),
    "softplus": ("input", "beta", "threshold"),
    "gelu": ("input", "approximate"),
    "dropout": ("input", "p", "training"),
    "chunk": ("input", "chunks", "dim"),
    "split": ("input", "split_size_or_sections", "dim"),
    "unbind": ("input", "dim"),
    "cat": ("tensors", "dim"),
    "stack": ("tensors", "dim"),
    "transpose": ("input", "dim0", "dim1"),
    "scaled_dot_product_attention": ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale"),
    "lstm_cell": ("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh"),
    "gru_cell": ("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh"),
    "rnn_tanh_cell": ("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh"),
    "rnn_relu_cell": ("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh"),
    "conv1d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv3d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    **dict.fromkeys(
        ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
        ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
    ),
    **{f"max_pool{n}d": ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode") for n in (1, 2, 3)},
    **{
        f"avg_pool{n}d": (
            *("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
        )
        for n in (1, 2, 3)
    },
    **{f"adaptive_{kind}_pool{n}d": ("input", "output_size") for kind in ("avg", "max") for n in (1, 2, 3)},
    **{f"lp_pool{n}d": ("input", "norm_type", "kernel_size", "stride", "ceil_mode") for n in (1, 2, 3)},
    "pad": ("input", "pad", "mode", "value"),
    "unfold": ("input", "kernel_size", "dilation", "padding", "stride"),
    "fold": ("input", "output_size", "kernel_size", "dilation", "padding", "stride"),
    "local_response_norm": ("input", "size", "alpha", "beta", "k"),
    "prelu": ("input", "weight"),
    "bilinear": ("input1", "input2", "weight", "bias"),
    **dict.fromkeys(
        ("dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"), ("input", "p", "training")
    ),
    "triu": ("input", "diagonal"),
    "tril": ("input", "diagonal"),
}
_SYNONYMS = {"axis": "dim", "self": "input", "a": "input", "keepdims": "keepdim", "x": "input", "min_": "min"}
_OVER_ALL = frozenset({"sum", "mean", "var", "std", "norm", "logsumexp", "max", "min", "amax", "amin"})


def bound(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name; positional ones that the op's signature does not name are left out."""
    found = dict(zip(_SIGNATURES.get(name, ("input", "other")), args, strict=False))
    found |= {_SYNONYMS.get(key, key): value for key, value in kwargs.items()}
    if name in ("sum", "mean", "var", "std") and len(args) > 2 and all(_is_int(item) for item in args[1:]):
        found["dim"] = tuple(args[1:])  # x.sum(0, 1)
        found.pop("keepdim", None)
    if name in ("var", "std") and isinstance(found.get("dim"), bool):  # torch.var(x, False)
        found["unbiased"] = found.pop("dim")
    return found


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def axes_of(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """The axes that a reduction or normalisation runs over, counted from 0, in order."""
    given = bound(name, args, kwargs)
    value = given.get("input")
    rank = value.ndim if isinstance(value, Tensor) else 0
    dim = given.get("dim")
    if dim is None or dim == ():
        if name in ("softmax", "log_softmax"):
            dim = 0 if rank in (0, 1, 3) else 1  # torch's implicit choice
        elif name in _OVER_ALL:
            return tuple(range(rank))
        else:
            return ()
    dims = dim if isinstance(dim, (tuple, list)) else (dim,)
    return tuple(sorted(int(axis) % rank for axis in dims)) if rank else ()


def scalar_of(args: tuple[Any, ...]) -> float | None:
    """The constant of a binary op between a tensor and a number, also a number kept in a tensor."""
    if len(args) < 2:
        return None
    for value in args[1::-1]:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, Tensor) and value.ndim == 0 and not value.requires_grad:
            return float(value)
    return None


def is_square(tensor: Any) -> bool:
    """Whether a tensor's last two axes are of one size, so that it can be used the other way round."""
    return isinstance(tensor, Tensor) and tensor.ndim > 1 and tensor.shape[-1] == tensor.shape[-2] > 1
