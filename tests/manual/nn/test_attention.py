"""Attention with many heads against torch, over its options; and attention as a function: its draws and refusals."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from manual import nn
from manual.nn import functional

from ..oracle import assert_close, random
from .paired import agree, pair

L, S, N, E, H = 3, 5, 2, 6, 2
query, key, value = random(L, N, E, seed=1), random(S, N, E, seed=2), random(S, N, E, seed=3)
x = random(L, N, E, seed=4)
hiding = np.array([[0, 1, 0, 0, 1], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0]], dtype=bool)
padding = np.array([[0, 0, 0, 0, 1], [0, 0, 0, 1, 1]], dtype=bool)
per_head = np.stack([hiding, np.roll(hiding, 1), hiding[::-1], hiding ^ hiding])
added, added_padding, added_per_head = random(L, S, seed=5), random(N, S, seed=6), random(N * H, L, S, seed=7)

# -- the module ----------------------------------------------------------------------------------------------------------

CONSTRUCTED = [
    {}, {"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"add_bias_kv": True, "add_zero_attn": True},
    {"kdim": 4}, {"vdim": 7}, {"kdim": 4, "vdim": 7, "bias": False}, {"kdim": 4, "vdim": 7, "add_bias_kv": True},
    {"batch_first": True}, {"kdim": E, "vdim": E},
]  # fmt: skip


def widths(options):
    """Key and value of the widths that a module was made for."""
    return random(S, N, options.get("kdim", E), seed=2), random(S, N, options.get("vdim", E), seed=3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", CONSTRUCTED, ids=str)
def test_every_construction(options, dtype):
    mine, theirs = pair("MultiheadAttention", E, H, dtype=dtype, **options)
    inputs = [query, *widths(options)]
    if options.get("batch_first"):
        inputs = [np.ascontiguousarray(one.swapaxes(0, 1)) for one in inputs]
    agree(mine, theirs, *inputs, dtype=dtype)
    agree(mine, theirs, *inputs, dtype=dtype, need_weights=False, key_padding_mask=padding, attn_mask=hiding)
    assert repr(mine) == repr(theirs)


MASKS = {
    "none": {}, "boolean": {"attn_mask": hiding}, "boolean per head": {"attn_mask": per_head},
    "padding": {"key_padding_mask": padding}, "boolean both": {"attn_mask": hiding, "key_padding_mask": padding},
    "boolean both per head": {"attn_mask": per_head, "key_padding_mask": padding}, "numbers": {"attn_mask": added},
    "numbers per head": {"attn_mask": added_per_head}, "numbers padding": {"key_padding_mask": added_padding},
    "numbers both": {"attn_mask": added, "key_padding_mask": added_padding},
    "numbers both per head": {"attn_mask": added_per_head, "key_padding_mask": added_padding},
}  # fmt: skip


@pytest.mark.parametrize("extra", [{}, {"add_bias_kv": True, "add_zero_attn": True}], ids=str)
@pytest.mark.parametrize("weights", [{"need_weights": False}, {}, {"average_attn_weights": False}], ids=str)
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
def test_every_mask(masks, weights, extra):
    mine, theirs = pair("MultiheadAttention", E, H, **extra)
    outputs = agree(mine, theirs, query, key, value, **masks, **weights)
    assert (outputs[1] is None) == (weights == {"need_weights": False})


@pytest.mark.parametrize("masks", ["none", "boolean", "padding", "numbers both"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_without_a_batch(masks, batch_first):
    mine, theirs = pair("MultiheadAttention", E, H, batch_first=batch_first)
    single = {name: mask[0] if name == "key_padding_mask" else mask for name, mask in MASKS[masks].items()}
    for weights in ({}, {"need_weights": False}, {"average_attn_weights": False}):
        agree(mine, theirs, query[:, 0].copy(), key[:, 0].copy(), value[:, 0].copy(), **single, **weights)
    agree(mine, theirs, query[:, 0].copy(), key[:, 0].copy(), value[:, 0].copy(), attn_mask=per_head[:H])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("options", [{}, {"bias": False}], ids=str)
def test_inputs_that_are_the_same(options, batch_first):
    mine, theirs = pair("MultiheadAttention", E, H, batch_first=batch_first, **options)
    agree(mine, theirs, x, x, x)
    memory = random(*((N, S) if not batch_first else (L, S)), E, seed=2) if batch_first else key
    agree(mine, theirs, x, memory, memory)
    agree(mine, theirs, x, x, x.copy())


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("dropout", [0.4, 1.0])
def test_dropout_replays_what_torch_draws(dropout, need_weights):
    mine, theirs = pair("MultiheadAttention", E, H, dropout=dropout)
    agree(mine, theirs, query, key, value, need_weights=need_weights, attn_mask=hiding)
    if dropout < 1:
        manual.manual_seed(0)
        first = mine(*map(manual.tensor, (query, key, value)), need_weights=need_weights)[0].data
        assert not np.array_equal(first, mine(*map(manual.tensor, (query, key, value)))[0].data)
    mine.eval()
    theirs.eval()
    agree(mine, theirs, query, key, value, need_weights=need_weights)


def test_a_query_that_sees_nothing_is_nan_with_weights_and_only_the_bias_without():
    mine, theirs = pair("MultiheadAttention", E, H)
    blind = hiding.copy()
    blind[1] = True
    with_weights = agree(mine, theirs, query, key, value, attn_mask=blind)[0].data
    assert np.isnan(with_weights[1]).all()
    assert not np.isnan(with_weights[[0, 2]]).any()
    without = agree(mine, theirs, query, key, value, attn_mask=blind, need_weights=False)[0].data
    np.testing.assert_allclose(without[1], np.broadcast_to(mine.out_proj.bias.data, (N, E)))


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("extra", [{}, {"add_bias_kv": True}], ids=str)
@pytest.mark.parametrize("pad", [{}, {"key_padding_mask": padding}], ids=["", "padding"])
def test_a_causal_hint_is_believed_only_without_weights_and_padding(need_weights, extra, pad):
    mine, theirs = pair("MultiheadAttention", E, H, **extra)
    options = {"attn_mask": hiding, "need_weights": need_weights, **pad}
    hinted = agree(mine, theirs, query, key, value, is_causal=True, **options)[0].data
    plain = agree(mine, theirs, query, key, value, **options)[0].data
    assert np.array_equal(hinted, plain) == (need_weights or bool(pad))


def test_masks_of_two_kinds_are_warned_of():
    mine, theirs = pair("MultiheadAttention", E, H)
    for masks in (
        {"attn_mask": added, "key_padding_mask": padding},
        {"attn_mask": hiding, "key_padding_mask": added_padding},
    ):
        with pytest.warns(UserWarning, match="mismatched key_padding_mask and attn_mask is deprecated"):
            agree(mine, theirs, query, key, value, **masks)


def test_initial_values_have_torchs_distributions():
    manual.manual_seed(3)
    mine, theirs = (
        nn.MultiheadAttention(300, 2, add_bias_kv=True),
        torch.nn.MultiheadAttention(300, 2, add_bias_kv=True),
    )
    for name, parameter in theirs.named_parameters():
        own = dict(mine.named_parameters())[name].data
        assert own.std() == pytest.approx(parameter.std().item(), rel=0.15, abs=1e-9), name
    mine, theirs = nn.MultiheadAttention(300, 2, kdim=100), torch.nn.MultiheadAttention(300, 2, kdim=100)
    for name, parameter in theirs.named_parameters():
        assert np.abs(dict(mine.named_parameters())[name].data).max() == pytest.approx(
            parameter.abs().max().item(), rel=0.01
        ), name


def test_the_last_projection_is_never_called():
    layer = nn.MultiheadAttention(E, H).double()
    seen = []
    layer.out_proj.register_forward_hook(lambda *_: seen.append("called"))
    layer(*map(manual.tensor, (query, key, value)))
    assert not seen


batched = tuple(map(manual.tensor, (query, key, value)))
alone = tuple(manual.tensor(one[:, 0]) for one in (query, key, value))


def of(one):
    return (
        torch.tensor(one.data)
        if isinstance(one, manual.Tensor)
        else torch.tensor(one)
        if isinstance(one, np.ndarray)
        else one
    )


BAD_CALLS = {
    "one axis": ((manual.tensor(query[0, 0]), *batched[1:]), {}),
    "key without batch": ((batched[0], alone[1], batched[2]), {}),
    "query without batch": ((alone[0], *batched[1:]), {}),
    "padding with batch": (alone, {"key_padding_mask": padding}),
    "padding without batch": (batched, {"key_padding_mask": padding[0]}),
    "short padding": (batched, {"key_padding_mask": padding[:, :4]}),
    "padding of another batch": (batched, {"key_padding_mask": padding[[0, 1, 0]]}),
    "padding of integers": (batched, {"key_padding_mask": padding.astype(int)}),
    "mask of integers": (batched, {"attn_mask": hiding.astype(int)}),
    "vector mask": (batched, {"attn_mask": hiding[0]}),
    "vector mask without batch": (alone, {"attn_mask": hiding[0]}),
    "mask of four axes": (batched, {"attn_mask": hiding[None, None]}),
    "short mask": (batched, {"attn_mask": hiding[:2]}),
    "mask of too few heads": (batched, {"attn_mask": per_head[:3]}),
    "mask of too many heads": (alone, {"attn_mask": per_head[:3]}),
    "causal without a mask": (batched, {"is_causal": True}),
    "wide query": ((manual.tensor(random(L, N, E + 1)), *batched[1:]), {}),
    "short value": ((batched[0], batched[1], manual.tensor(value[:4])), {}),
    "wide key": ((batched[0], manual.tensor(random(S, N, 4)), batched[2]), {}),
    "single precision mask": (batched, {"attn_mask": added.astype(np.float32)}),
}  # fmt: skip


@pytest.mark.parametrize(("inputs", "masks"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_what_torch_refuses_is_refused_alike(inputs, masks):
    mine, theirs = pair("MultiheadAttention", E, H)
    with pytest.raises((AssertionError, RuntimeError)) as refused:
        theirs(*map(of, inputs), **{name: of(mask) for name, mask in masks.items()})
    with pytest.raises(refused.type) as own:
        mine(*inputs, **masks)
    expected = str(refused.value).replace("torch.Size([", "(").replace("])", ")").split(", got: input")[0]
    assert str(own.value).startswith(expected)


@pytest.mark.parametrize("arguments", [(0, 1), (4, -1), (5, 2)], ids=str)
def test_what_cannot_be_constructed_is_refused_alike(arguments):
    with pytest.raises((AssertionError, ValueError)) as refused:
        torch.nn.MultiheadAttention(*arguments)
    with pytest.raises(refused.type) as own:
        nn.MultiheadAttention(*arguments)
    assert str(own.value) == str(refused.value)


# -- the function that the module calls ------------------------------------------------------------------------------------


def forward(wing, q, k, v, weights, **options):
    in_weight, in_bias, out_weight, out_bias = weights
    zero = options.pop("add_zero_attn", False)
    extra = options.pop("bias_k", None), options.pop("bias_v", None)
    size, heads, p = options.pop("size", E), options.pop("heads", H), options.pop("dropout_p", 0.0)
    return wing.multi_head_attention_forward(
        q, k, v, size, heads, in_weight, in_bias, *extra, zero, p, out_weight, out_bias, **options
    )


PROJECTIONS = [random(3 * E, E, seed=20), random(3 * E, seed=21), random(E, E, seed=22), random(E, seed=23)]
STATIC = {"static_k": random(N * H, 7, E // H, seed=24), "static_v": random(N * H, 7, E // H, seed=25)}


def both_forward(q, k, v, projections, options):
    """Every argument is an input whose gradient is compared."""
    arrays = {name: item for name, item in options.items() if isinstance(item, np.ndarray)}
    rest = {name: item for name, item in options.items() if name not in arrays}

    def call(wing):
        def run(q, k, v, *others):
            return forward(wing, q, k, v, others[:4], **dict(zip(arrays, others[4:], strict=True)), **rest)

        return run

    agree(call(functional), call(F), q, k, v, *projections, *arrays.values())


FORWARD = {
    "plain": {}, "static": STATIC, "static and zero": {**STATIC, "add_zero_attn": True, "need_weights": False},
    "static key": {"static_k": random(N * H, S, E // H, seed=24)}, "extra": {"bias_k": random(1, 1, E), "bias_v": random(1, 1, E, seed=9)},
    "dropout": {"dropout_p": 0.3}, "dropout without weights": {"dropout_p": 0.3, "need_weights": False},
    "dropout outside training": {"dropout_p": 0.3, "training": False}, "heads apart": {"average_attn_weights": False},
}  # fmt: skip


@pytest.mark.parametrize("options", FORWARD.values(), ids=FORWARD)
def test_the_function(options):
    both_forward(query, key, value, PROJECTIONS, options)


def test_projections_of_their_own():
    own = {
        name: random(E, width, seed=30)
        for name, width in zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), (E, 4, 7), strict=True)
    }
    options = {**own, "use_separate_proj_weight": True}
    both_forward(query, random(S, N, 4), random(S, N, 7), [None, *PROJECTIONS[1:]], options)


BAD_FORWARD = {
    "other width": {"size": E + 1}, "heads": {"heads": 4}, "separate": {"use_separate_proj_weight": True}, "dropout": {"dropout_p": 2.0},
    "dropout without weights": {"dropout_p": 2.0, "need_weights": False}, "key bias alone": {"bias_k": random(1, 1, E)},
    "value bias alone": {"bias_v": random(1, 1, E)}, "static and bias": {**STATIC, "bias_k": random(1, 1, E), "bias_v": random(1, 1, E)},
    "static value and bias": {"static_v": STATIC["static_v"], "bias_k": random(1, 1, E), "bias_v": random(1, 1, E)},
    **{f"static {name} {axis}": {**STATIC, name: np.delete(STATIC[name], 0, axis=axis)} for name, axis in itertools.product(STATIC, (0, 2))},
}  # fmt: skip


@pytest.mark.parametrize("options", BAD_FORWARD.values(), ids=BAD_FORWARD)
def test_what_the_function_of_torch_refuses_is_refused_alike(options):
    with pytest.raises((AssertionError, ValueError, RuntimeError)) as refused:
        forward(
            F,
            *map(torch.tensor, (query, key, value)),
            list(map(torch.tensor, PROJECTIONS)),
            **{k: of(v) for k, v in options.items()},
        )
    with pytest.raises(refused.type) as own:
        forward(functional, query, key, value, PROJECTIONS, **options)
    assert str(own.value) == str(refused.value)


# -- scaled_dot_product_attention ------------------------------------------------------------------------------------------

q, k, v = random(2, 4, 3, 5, seed=41), random(2, 4, 6, 5, seed=42), random(2, 4, 6, 7, seed=43)
looking = random(3, 6, seed=44) > -0.5


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("dropout_p", [-1.0, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("options", [{}, {"attn_mask": looking}, {"attn_mask": random(3, 6, seed=45)}, {"is_causal": True}, {"scale": 0.3}],
                         ids=["plain", "boolean", "numbers", "causal", "scale"])  # fmt: skip
def test_dropout_of_attention_replays_what_torch_draws(options, dropout_p, dtype):
    ours, theirs = functional.scaled_dot_product_attention, F.scaled_dot_product_attention
    agree(ours, theirs, q, k, v, dtype=dtype, dropout_p=dropout_p, **options)
    agree(
        ours, theirs, q, k[:, :2].copy(), v[:, :2].copy(), dtype=dtype, dropout_p=dropout_p, enable_gqa=True, **options
    )


BAD_ATTENTION = {
    "one axis": ((q[0, 0, 0], k, v), {}), "dtypes": ((q, k.astype(np.float32), v), {}), "two masks": ((q, k, v, looking), {"is_causal": True}),
    "mask of integers": ((q, k, v, looking.astype(int)), {}), "mask of one axis": ((q, k, v, looking[0]), {}), "mask": ((q, k, v, looking[:2]), {}),
    "wider mask": ((q[0], k[0], v[0], np.broadcast_to(looking, (2, 4, 3, 6))), {}), "features": ((q, k[..., :4], v), {}),
    "lengths": ((q, k, v[:, :, :5]), {}), "heads": ((q, k[:, :3], v[:, :3]), {"enable_gqa": True}), "heads apart": ((q, k[:, :3], v[:, :3]), {}),
    "no heads": ((q[0, 0], k[0, 0], v[0, 0]), {"enable_gqa": True}), "dropout": ((q, k, v), {"dropout_p": 1.5}),
}  # fmt: skip


@pytest.mark.parametrize(("inputs", "options"), BAD_ATTENTION.values(), ids=BAD_ATTENTION)
def test_what_attention_of_torch_refuses_is_refused(inputs, options):
    with pytest.raises((RuntimeError, IndexError)) as refused:
        F.scaled_dot_product_attention(
            *(torch.tensor(np.ascontiguousarray(one), requires_grad=one.dtype.kind == "f") for one in inputs), **options
        )
    with pytest.raises(refused.type):
        functional.scaled_dot_product_attention(*inputs, **options)


@pytest.mark.parametrize(("call", "message"), [
    (lambda f: f(q[0, 0, 0], k, v), "at least 2 dimensional, but got query.dim: 1 key.dim: 4"),
    (lambda f: f(q, k, v, looking[:2]), r"The mask \(2, 6\) does not broadcast to the scores \(2, 4, 3, 6\)"),
    (lambda f: f(q, k, v, looking, is_causal=True), "Explicit attn_mask should not be set when is_causal=True"),
    (lambda f: f(q, k[..., :4], v), r"query \(2, 4, 3, 5\) cannot be multiplied with the transpose of key \(2, 4, 6, 4\)"),
    (lambda f: f(q, k, v[:, :, :5]), r"weights \(2, 4, 3, 6\) cannot be multiplied with value \(2, 4, 5, 7\)"),
    (lambda f: f(q, k[:, :3], v[:, :3], enable_gqa=True), "must divide the number of heads in query: 3 and 3, 4"),
    (lambda f: f(q, k, v, dropout_p=1.5), "dropout probability has to be between 0 and 1, but got 1.5"),
])  # fmt: skip
def test_a_refusal_says_what_does_not_fit(call, message):
    with pytest.raises(RuntimeError, match=message):
        call(functional.scaled_dot_product_attention)


def test_scores_that_would_overflow_do_not():
    large = 1e4 * random(4, 8, seed=51).astype(np.float32)
    out = functional.scaled_dot_product_attention(large, large, np.eye(4, dtype=np.float32)).data
    reference = F.scaled_dot_product_attention(
        *(torch.tensor(one) for one in (large, large, np.eye(4, dtype=np.float32)))
    )
    assert_close(out, reference.numpy(), 1e-6, "weights")
