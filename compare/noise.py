"""Stochastic arithmetic: a dispatch mode under which every op of PyTorch rounds a little differently.

Rerunning a reference under :class:`Perturbing` shows on how many digits two honest computations of a value can be
expected to agree (Monte Carlo arithmetic: Parker, "Monte Carlo Arithmetic", 1997). The result of every op is moved by
up to one unit in the last place of its own dtype. For contractions and reductions that is not enough: the order in
which terms are added differs between honest implementations, and its effect grows with the terms, not with their sum.
So their operands are moved as well, and by more the more terms there are: a running sum of ``n`` terms loses about
``sqrt(n) / 8`` times as much as the pairwise and blocked sums of a good library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from compare.kinks import DECIDING, Decided, Decision, name_of

__all__ = ["Perturbing"]

_EXACT = frozenset(
    """
    clone copy copy_ _to_copy to contiguous fill fill_ zero_ zeros zeros_like ones ones_like full full_like empty
    empty_like empty_strided new_zeros new_ones new_full new_empty new_empty_strided lift_fresh lift_fresh_copy arange
    scalar_tensor eye cat stack hstack where index index_select gather take embedding masked_select masked_fill
    masked_fill_ masked_scatter relu relu_ threshold threshold_ threshold_backward hardtanh hardtanh_ hardtanh_backward
    max min amax amin aminmax maximum minimum fmax fmin clamp clamp_ clamp_min clamp_min_ clamp_max clamp_max_ abs abs_
    neg neg_ sign sign_ sgn sgn_ heaviside topk sort argsort kthvalue median mode flip roll repeat constant_pad_nd
    reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d im2col
    unfold tril triu diag diag_embed diagonal_copy slice_backward select_backward slice_scatter select_scatter
    max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d floor ceil round trunc
    one_hot scatter_ scatter index_put _foreach_copy_ _foreach_zero_ _foreach_neg_ _foreach_maximum_ _foreach_abs_
    _unsafe_view _reshape_alias _reshape_copy view_copy expand_copy permute_copy transpose_copy t_copy as_strided_copy
    set_ resize_ detach_ requires_grad_ _local_scalar_dense nextafter nan_to_num
    fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d
    """.split()  # noqa: SIM905 (a list would take a screen)
)
"""Ops that copy, select, compare or fill: what they hand out is one of the numbers that they were given."""

_CONTRACTIONS = frozenset(
    """
    mm addmm bmm baddbmm addbmm mv addmv dot vdot matmul linear addr convolution convolution_backward
    _convolution mkldnn_rnn_layer mkldnn_rnn_layer_backward lstm gru rnn_tanh rnn_relu native_layer_norm
    native_layer_norm_backward native_group_norm native_group_norm_backward native_batch_norm
    native_batch_norm_backward _native_batch_norm_legit _native_batch_norm_legit_functional
    _fused_rms_norm _fused_rms_norm_backward _softmax _softmax_backward_data _log_softmax _log_softmax_backward_data
    _safe_softmax logsumexp cumsum cumprod logcumsumexp sum mean var var_mean std std_mean norm linalg_vector_norm
    _foreach_norm prod nll_loss_forward nll_loss2d_forward mse_loss l1_loss smooth_l1_loss huber_loss
    binary_cross_entropy binary_cross_entropy_with_logits kl_div embedding_dense_backward index_add index_add_
    scatter_add scatter_add_ index_put_ _index_put_impl_ col2im avg_pool2d avg_pool2d_backward avg_pool3d
    avg_pool3d_backward _adaptive_avg_pool2d _adaptive_avg_pool2d_backward max_pool2d_with_indices_backward
    _adaptive_avg_pool3d _adaptive_avg_pool3d_backward max_pool3d_with_indices_backward adaptive_max_pool2d_backward
    adaptive_max_pool3d_backward fractional_max_pool2d_backward fractional_max_pool3d_backward
    reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward replication_pad1d_backward
    replication_pad2d_backward replication_pad3d_backward
    _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention_for_cpu_backward
    _scaled_dot_product_attention_math _embedding_bag _embedding_bag_dense_backward _trilinear _cdist_forward
    multi_margin_loss multilabel_margin_loss_forward soft_margin_loss
    _cdist_backward dist _ctc_loss _ctc_loss_backward upsample_bilinear2d_backward trace nansum sigmoid_backward
    tanh_backward _linear_cross_entropy_batch_chunked _linear_cross_entropy_batch_chunked_no_reduction
    """.split()  # noqa: SIM905 (a list would take a screen)
)
"""Ops that add terms up, in an order of their own; and those that compute ``1 - y`` and ``1 - y²`` of a saved value.
A dispatch mode sees the linear cross entropy's chunked op, which is a loop of such ops, as one."""

_PUTS = frozenset({"index_put_", "_index_put_impl_"})
"""Ops that add values up at places if their fourth argument says so; otherwise they only put them there."""

_RUNNING = frozenset({"native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm"})
"""Ops that change running statistics (their fourth and fifth argument), which their schema does not say."""

_RANGES = {"sigmoid": (0.0, 1.0), "_softmax": (0.0, 1.0), "tanh": (-1.0, 1.0), "erf": (-1.0, 1.0)}
"""Honest results of these ops never leave their range, and what follows may rely on it."""

_MASKING = frozenset({"multilabel_margin_loss_forward"})
"""Ops whose second result is a mask in floating-point numbers, of which their backward demands that it is 0 or 1."""

_COMPOUND = frozenset({"add", "add_", "sub", "sub_", "addcmul", "addcmul_", "addcdiv", "addcdiv_", "lerp", "lerp_"})
"""Ops that round a product on the way to their sum, or not, as the kernel likes: where the sum cancels, it shows."""

_POOL = 1 << 20
"""The most elements for which noise is drawn ahead."""

_FEW = 32
_SAMPLE = 512
"""An operand of so many elements may repeat few numbers; so many are looked at."""

_SATURATED = 8.0
"""From here on ``tanh(0.8 (x + 0.045 x^3))`` is one in every honest computation."""

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_MIX = (0x2545F491, 0x5851F42D4C957F2D, 0x14057B7EF767814F)
"""Odd numbers by which the bits of a number are spread out."""

_SINGLE = 2.0**29
"""The last bit of float32 in units of float64's: kernels of PyTorch that carry a float32 constant into float64."""


class Perturbing(TorchDispatchMode):
    """Moves every floating-point result by up to ``amplitude`` units in the last place.

    Parameters
    ----------
    seed : int
        The same seed gives the same noise.
    amplitude : float
        1 for the last bit.
    decisions : list, optional
        What :class:`compare.kinks.Deciding` noted in a plain run of the same ops. A tie, or a value on a kink, is then
        decided as it was there, so that the noise is that of one branch and not the step between two.
    repeats : bool
        Whether sums of terms that repeat each other are moved by more: adding the same number again and again rounds
        the same way again and again, so that the error grows with the number of terms and not with its root.
    alike : bool
        Whether an op moves equal numbers alike, as every real computation does: a hundred equal rows are then off by
        the same rounding, which grows with their number in what adds them up.
    compound : bool
        Whether a sum with a product (``a + alpha b``, ``lerp`` ...) is also moved by the last bit of the product, as
        an update needs it that is written with other ops.
    faint : bool
        Whether numbers below the smallest normal one are moved as a whole: one formula keeps them, another has lost
        them to underflow.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and guarding against it costs a tenth of a small run."""
        return False

    def __init__(
        self,
        seed: int,
        amplitude: float = 1.0,
        decisions: Sequence[Decision] | None = None,
        *,
        compound: bool = False,
        faint: bool = False,
        repeats: bool = False,
        alike: bool = False,
    ):
        super().__init__()
        self._compound = compound
        self._repeats = repeats
        self._alike = alike
        self._seed = self._salt = seed
        self._faint = faint
        self._decided = None if decisions is None else Decided(decisions)
        self._generator = torch.Generator().manual_seed(seed)
        self._inside = seed % 2 == 0
        self._amplitude = amplitude
        self._pools: dict[torch.dtype, Tensor] = {}
        self._at = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        op = _OPS.get(func)
        if op is None:
            op = _OPS[func] = _Op(func)
        if op.decides and self._decided is not None:
            return self._decided.run(
                func, op.name, args, kwargs, lambda given: self._perturbed(func, op, given, kwargs)
            )
        return self._perturbed(func, op, args, kwargs)

    def _perturbed(self, func: Any, op: _Op, args: Any, kwargs: Any) -> Any:
        if op.exact or (op.name in _PUTS and not (args[3:4] and args[3])):
            return func(*args, **kwargs)
        amplitude = self._amplitude
        self._salt = self._seed + op.salt
        repeated = self._repeats and op.contraction and _repeat(args)
        if op.contraction:
            amplitude *= max(1.0, math.sqrt(_terms(op.name, args)) / 8)
            writes = _written(func, args, kwargs) if op.mutable else []
            if op.running:
                writes = _floating(args[3:5])
            if op.name == "binary_cross_entropy":  # it refuses what is not a probability
                args = (self._moved(args[0], amplitude, writes).clamp_(0, 1), *args[1:])
            else:
                args = tuple([self._moved(item, amplitude, writes) for item in args])
            if op.name == "mkldnn_rnn_layer_backward" and args[0].dtype == torch.float32:
                # the gates y, of which it takes 1 - y, are handed over as bytes
                gates = self._moved(args[-1].view(torch.float32), amplitude, writes)
                args = (*args[:-1], gates.view(torch.uint8))
            if kwargs:
                kwargs = {key: self._moved(item, amplitude, writes) for key, item in kwargs.items()}
        product = _product(op.name, args, kwargs) if self._compound and op.compound else None
        out = func(*args, **kwargs)
        if product is not None and out.is_floating_point():
            self._blur(out, product, amplitude)
        if op.mutable:
            for tensor in _written(func, args, kwargs):
                if tensor.ndim or not _counts(op.name, args):
                    self._move(tensor, amplitude)
            return out
        if op.running and args[5]:
            for tensor in args[3:5]:
                if tensor is not None:
                    self._move(tensor, amplitude)
        for tensor in _floating(out)[: 1 if op.name in _MASKING else None]:
            self._move(tensor, amplitude)
            if op.within:
                tensor.clamp_(*op.within)
                if self._inside:
                    _step_inside(tensor, op.within[1])
        if repeated:
            for tensor in _floating(out):
                self._drift(tensor, _terms(op.name, args) / 16)
        if op.difference:
            self._blur(out, _TERMS[op.name](*args, **kwargs), amplitude)
        elif op.single and out.dtype == torch.float64:
            places = _carrying_single(op.name, args)
            if places is not None:
                moved = out.clone()
                self._move(moved, _SINGLE)
                out.copy_(torch.where(places, moved, out))
        return out

    def _noise(self, tensor: Tensor) -> Tensor:
        """Numbers between -1 and 1 in a tensor's shape, from a pool that is drawn once."""
        if self._alike and not tensor.is_sparse:
            self._salt += 1
            return _by_value(tensor, self._salt)
        count = tensor.numel()
        pool = self._pools.get(tensor.dtype)
        if pool is None or pool.numel() < 2 * count:
            if count > _POOL:
                return torch.empty_like(tensor).uniform_(-1, 1, generator=self._generator)
            size = max(4096, min(2 * _POOL, 4 * count))
            pool = torch.empty(size, dtype=tensor.dtype).uniform_(-1, 1, generator=self._generator)
            self._pools[tensor.dtype] = pool
        self._at = (self._at * 1103515245 + 12345) & 0x7FFFFFFF
        start = self._at % (pool.numel() - count + 1)
        return pool[start : start + count].view(tensor.shape)

    def _move(self, tensor: Tensor, amplitude: float) -> None:
        # by a factor: an infinity stays one
        noise, info = self._noise(tensor), torch.finfo(tensor.dtype)
        lost = tensor.clamp(-info.tiny, info.tiny) if self._faint else None
        tensor.mul_(torch.add(1.0, noise, alpha=amplitude * info.eps))
        if lost is not None:
            tensor.addcmul_(lost, noise)

    def _drift(self, tensor: Tensor, amplitude: float) -> None:
        """Move sums by a share of their size, or of their usual size where they cancel."""
        if tensor.numel() and amplitude > 1:
            size = tensor.abs()
            size = size.clamp(min=float(size.mean()))
            tensor.addcmul_(self._noise(tensor), size, value=amplitude * torch.finfo(tensor.dtype).eps)

    def _blur(self, tensor: Tensor, subtracted: Tensor, amplitude: float) -> None:
        """Move a difference by the last bit of what was subtracted; its sign stays."""
        if not subtracted.numel():
            return
        size = subtracted.abs()
        size = size if tensor.shape == size.shape else size.mean()
        moved = torch.addcmul(tensor, self._noise(tensor), size, value=amplitude * torch.finfo(tensor.dtype).eps)
        tensor.copy_(torch.where(torch.sign(moved) == -torch.sign(tensor), tensor / 2, moved))

    def _moved(self, value: Any, amplitude: float, writes: list[Tensor]) -> Any:
        if isinstance(value, Tensor):
            if not value.is_floating_point() or any(value is written for written in writes):
                return value
            copy = value.detach().clone()
            self._move(copy, amplitude)
            return copy
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], Tensor):
            return type(value)([self._moved(item, amplitude, writes) for item in value])
        return value


class _Op:
    """What must be known about one op, found out once."""

    __slots__ = (
        "compound",
        "contraction",
        "decides",
        "difference",
        "exact",
        "mutable",
        "name",
        "running",
        "salt",
        "single",
        "within",
    )

    def __init__(self, func: Any):
        name = self.name = name_of(func)
        random = torch.Tag.nondeterministic_seeded in func.tags
        self.exact = getattr(func, "is_view", False) or name in _EXACT or random
        self.contraction = name in _CONTRACTIONS or torch.Tag.reduction in func.tags
        self.compound = name in _COMPOUND
        self.mutable = bool(func._schema.is_mutable)
        self.decides = name in DECIDING
        self.running = name in _RUNNING
        self.difference = name in _TERMS
        self.single = name in ("hardsigmoid_backward", "elu_backward", "binary_cross_entropy_backward")
        self.within = _RANGES.get(name)
        self.salt = crc32(name.encode())


_OPS: dict[Any, _Op] = {}


def _by_value(tensor: Tensor, salt: int) -> Tensor:
    """Numbers between -1 and 1 that follow from a tensor's own, equal ones from equal ones."""
    bits = tensor.detach().view(_BITS[tensor.element_size()]).to(torch.int64)
    mixed = (bits ^ (salt * _MIX[0] & 0x7FFFFFFF)) * _MIX[1]
    mixed = (mixed ^ (mixed >> 29)) * _MIX[2]
    return (mixed >> 40).to(tensor.dtype) / 2.0**23


def _step_inside(tensor: Tensor, end: float) -> None:
    """Put what has reached the end of its range on the number before it, as another formula may have it.

    What is left of ``1 - y`` there is all that is known of it, and a few runs of small noise may leave it zero.
    """
    inside = tensor * (1 - torch.finfo(tensor.dtype).eps / 2)
    tensor.copy_(torch.where(tensor.abs() == end, inside, tensor))


def _terms(name: str, args: Any) -> int:
    """How many terms one element of the result adds up."""
    if name in ("sigmoid_backward", "tanh_backward"):
        return 1
    tensors = [item for item in args if isinstance(item, Tensor)]
    if not tensors:
        return max((item.numel() for item in _floating(args)), default=1)
    first = tensors[0]
    if name in ("addmm", "baddbmm", "addmv", "addbmm") and len(tensors) > 1:
        first = tensors[1]
    if name in ("convolution", "_convolution"):
        return max(1, tensors[1].numel() // max(1, tensors[1].shape[0]))
    if name == "convolution_backward":
        gradient = tensors[0]
        return max(1, gradient.numel() // max(1, gradient.shape[1]))
    if name in ("mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot", "linear", "matmul", "addbmm"):
        return int(first.shape[-1]) if first.ndim else 1
    dims = next(
        (item for item in args[1:] if isinstance(item, (list, tuple)) and all(type(d) is int for d in item)), ()
    )
    if name in ("sum", "mean", "var", "var_mean", "linalg_vector_norm", "norm", "nansum") and dims and first.ndim:
        return math.prod(first.shape[dim] for dim in dims if -first.ndim <= dim < first.ndim)
    if name.startswith(("_softmax", "_log_softmax", "native_layer_norm", "logsumexp", "cumsum", "_fused_rms")):
        return int(first.shape[-1]) if first.ndim else 1
    return max(1, first.numel())


def _repeat(args: Any) -> bool:
    """Whether the terms of a sum can only take a few sizes: a sample of each operand repeats few numbers."""
    operands = [item for item in args if isinstance(item, Tensor) and item.is_floating_point() and item.numel() >= _FEW]
    for operand in operands:
        values = operand.detach().reshape(-1)
        sample = values[:: max(1, values.numel() // _SAMPLE)].abs()
        if 4 * torch.unique(sample).numel() > sample.numel():
            return False
    return bool(operands)


def _mish_terms(x: Tensor) -> Tensor:
    t = torch.nn.functional.softplus(x).tanh()
    return t + x.abs() * x.sigmoid() * (1 - t * t)


def _hard_terms(x: Tensor, ramp: Tensor) -> Tensor:
    return torch.where(x.abs() < 3, ramp, 0.0)


def _gelu_terms(g: Tensor, x: Tensor, approximate: str = "none") -> Tensor:
    if approximate == "none":
        return g
    unsaturated = 0.4 * x.abs() * (1 + 0.134 * x * x)  # x (1 - tanh(u)^2) u', u' = 0.8 (1 + 0.134 x^2)
    return g * (1 + torch.where(x.abs() < _SATURATED, unsaturated, 0.0))


def _glu_terms(g: Tensor, x: Tensor, dim: int) -> Tensor:
    return torch.cat([torch.zeros_like(g), g * x.chunk(2, dim)[0]], dim)  # g a s (1 - s) for the gate


def _first(first: Tensor, *others: Any, **options: Any) -> Tensor:
    return first


_TERMS: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(("_log_softmax_backward_data", "binary_cross_entropy_with_logits", "gelu"), _first),
    # log(1 + ...), of a sum that is rounded where the largest of its terms is one
    "_log_softmax": lambda x, *_: x.abs().clamp(min=1.0),
    "logsumexp": lambda x, dim, keepdim=False: x.amax(dim, keepdim=keepdim).abs().clamp(min=1.0),
    "gelu_backward": _gelu_terms,
    "glu_backward": _glu_terms,
    "silu_backward": lambda g, x: g * x.sigmoid() * (1 + x.abs() * (-x).sigmoid()),
    "mish_backward": lambda g, x: g * _mish_terms(x),
    "hardswish_backward": lambda g, x: g * _hard_terms(x, x.abs() / 3 + 0.5),
    "hardswish": lambda x: _hard_terms(x, x.abs() * (x.abs() / 6 + 0.5)),
    "hardsigmoid": lambda x: _hard_terms(x, x.abs() / 6 + 0.5),
}
"""Fused ops whose small results are differences (``x - logsumexp(x)``, ``g - p Σ g``, ``x (1 + erf)``), and what has
the size of the terms that they subtract: not every honest formula knows a small result better than to the last bit of
these."""


def _product(name: str, args: Any, kwargs: Any) -> Tensor | None:
    """The size of the products that an op adds to something; nothing where there is none."""
    first, *others = args
    kind = name.removesuffix("_")
    if any(isinstance(item, Tensor) and item.is_sparse for item in args):
        return None
    if kind in ("add", "sub"):
        alpha = kwargs.get("alpha", 1)
        return None if alpha == 1 or not isinstance(others[0], Tensor) else (alpha * others[0]).abs()
    if kind == "lerp":
        end, weight = others
        return (1 - weight) * first.abs() + weight * end.abs()
    one, other = others[:2]
    value = kwargs.get("value", 1)
    return (value * (one * other if kind == "addcmul" else one / other)).abs()


def _carrying_single(name: str, args: Any) -> Tensor | None:
    """Where a float64 kernel computes with a float32 constant: 1/6, 1/alpha, and BCE's bound of 1e-12."""
    if name == "hardsigmoid_backward" or (name == "elu_backward" and args[3] != 1):
        return torch.ones_like(args[0], dtype=torch.bool)
    if name == "binary_cross_entropy_backward":
        probability = args[1]
        return (1 - probability) * probability < 2e-12
    return None


def _counts(name: str, args: Any) -> bool:
    """Whether an op on a lone number is a step counter's: a whole number is added."""
    return name in ("add_", "_foreach_add_") and len(args) > 1 and isinstance(args[1], (int, float))


def _written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """The floating tensors that an op writes to, as its schema says."""
    if not func._schema.is_mutable:
        return []
    found: list[Tensor] = []
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            found += _floating(value)
    return found


def _floating(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() and not value.is_sparse else []
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in _floating(item)]
    return []
