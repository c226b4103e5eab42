"""Multi-head attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from manual import rules
from manual.nn import functional, init
from manual.nn.linear import Linear
from manual.nn.module import Module, Parameter
from manual.tensor import DEFAULT_DTYPE, Tensor, apply

__all__ = ["MultiheadAttention"]


class NonDynamicallyQuantizableLinear(Linear):
    """A :class:`Linear` under the name that ``repr`` shows in torch."""


class MultiheadAttention(Module):
    """Attends with ``num_heads`` heads, each to a projection of query, key and value of its own.

    Shapes: query ``(L, N, embed_dim)``, key ``(S, N, kdim)``, value ``(S, N, vdim)``, with ``batch_first`` the first
    two axes exchanged, or all without N. The masks (True where *not* to look) and what comes out are described in
    :func:`manual.nn.functional.multi_head_attention_forward`.

    ``in_proj_weight`` stacks the projections of query, key and value; where ``kdim`` or ``vdim`` differ from
    ``embed_dim`` there are ``q_proj_weight``, ``k_proj_weight`` and ``v_proj_weight`` instead. ``out_proj`` is a module
    whose parameters are used, but which is never called (no hook of it fires), as in torch.

    Initial values: projections uniform (Xavier), ``bias_k`` and ``bias_v`` normal (Xavier), other biases 0,
    ``out_proj.weight`` as any linear layer's.

    Raises
    ------
    ValueError
        If ``embed_dim`` or ``num_heads`` is not positive.
    AssertionError
        If the heads do not divide ``embed_dim``.

    Examples
    --------
    >>> attention = nn.MultiheadAttention(embed_dim=4, num_heads=2)
    >>> x = tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    >>> output, weights = attention(x, x, x)
    >>> tuple(output.shape)
    (3, 4)
    >>> weights.sum(-1)
    Tensor([1., 1., 1.], requires_grad=True)
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} "
                "instead"
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        self.add_zero_attn = add_zero_attn
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")
        separate = not self.kdim == self.vdim == embed_dim
        shapes = {
            "in_proj_weight": None if separate else (3 * embed_dim, embed_dim),
            "q_proj_weight": (embed_dim, embed_dim) if separate else None,
            "k_proj_weight": (embed_dim, self.kdim) if separate else None,
            "v_proj_weight": (embed_dim, self.vdim) if separate else None,
            "in_proj_bias": (3 * embed_dim,) if bias else None,
            "bias_k": (1, 1, embed_dim) if add_bias_kv else None,
            "bias_v": (1, 1, embed_dim) if add_bias_kv else None,
        }
        for name, shape in shapes.items():
            made = None if shape is None else Parameter(np.empty(shape, dtype or DEFAULT_DTYPE))
            self.register_parameter(name, made)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, dtype=dtype)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for name, parameter in self._parameters.items():
            if parameter is None:
                continue
            if name.endswith("weight"):
                init.xavier_uniform_(parameter)
            elif name == "in_proj_bias":
                init.zeros_(parameter)
                init.zeros_(self.out_proj.bias)
            else:
                init.xavier_normal_(parameter)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        turned = self.batch_first and query.ndim == 3
        if turned:
            query, key, value = _turned(query, key, value)
        own = self._parameters
        output, weights = functional.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            own["in_proj_weight"],
            own["in_proj_bias"],
            own["bias_k"],
            own["bias_v"],
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=own["in_proj_weight"] is None,
            q_proj_weight=own["q_proj_weight"],
            k_proj_weight=own["k_proj_weight"],
            v_proj_weight=own["v_proj_weight"],
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        if turned:
            output = apply(rules.transpose, output, dim0=1, dim1=0)
        return output, weights


def _turned(*inputs: Tensor) -> list[Tensor]:
    """Inputs with the first two axes exchanged; the same tensor where the same was given, as in self-attention."""
    made: dict[int, Tensor] = {}
    for given in inputs:
        if id(given) not in made:
            made[id(given)] = apply(rules.transpose, given, dim0=1, dim1=0) if given.ndim == 3 else given
    return [made[id(given)] for given in inputs]
