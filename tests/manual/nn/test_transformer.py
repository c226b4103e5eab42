"""The transformer and its parts against torch, over their options."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from manual import nn
from manual.nn import functional

from ..oracle import random
from .paired import agree, pair

T, S, N, D, H = 3, 5, 2, 6, 2
tgt, src = random(T, N, D, seed=1), random(S, N, D, seed=2)
causal = np.triu(np.ones((T, T), dtype=bool), 1)
hiding = np.array([[0, 1, 0, 0, 1], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0]], dtype=bool)
square = np.array([[0, 1, 0, 0, 1], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]], dtype=bool)
tgt_padding = np.array([[0, 0, 1], [0, 0, 0]], dtype=bool)
src_padding = np.array([[0, 0, 0, 0, 1], [0, 0, 0, 1, 1]], dtype=bool)
SMALL = {"dim_feedforward": 7, "dropout": 0.0}
LAYERS = [
    {}, {"norm_first": True}, {"bias": False}, {"activation": "gelu"}, {"batch_first": True}, {"layer_norm_eps": 0.1},
    {"norm_first": True, "bias": False, "batch_first": True, "activation": "gelu"}, {"dropout": 0.4}, {"dropout": 0.4, "norm_first": True},
]  # fmt: skip


def turned(*arrays, options):
    return [np.ascontiguousarray(x.swapaxes(0, 1)) if options.get("batch_first") else x for x in arrays]


def described(module):
    return repr(module).split("\n")


# -- layers ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", LAYERS, ids=str)
def test_encoder_layer(options, dtype):
    mine, theirs = pair("TransformerEncoderLayer", D, H, dtype=dtype, **{**SMALL, **options})
    (x,) = turned(src, options=options)
    for mode in (True, False):
        mine.train(mode)
        theirs.train(mode)
        agree(mine, theirs, x, dtype=dtype)
        agree(mine, theirs, x, square, src_padding, dtype=dtype)
        agree(mine, theirs, x, src_mask=random(S, S, seed=3), dtype=dtype)
        agree(mine, theirs, src[:, 0].copy(), square, src_padding[0], dtype=dtype)
    assert repr(mine) == repr(theirs)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", LAYERS, ids=str)
def test_decoder_layer(options, dtype):
    mine, theirs = pair("TransformerDecoderLayer", D, H, dtype=dtype, **{**SMALL, **options})
    x, memory = turned(tgt, src, options=options)
    for mode in (True, False):
        mine.train(mode)
        theirs.train(mode)
        agree(mine, theirs, x, memory, dtype=dtype)
        agree(mine, theirs, x, memory, causal, hiding, tgt_padding, src_padding, dtype=dtype)
        agree(
            mine,
            theirs,
            tgt[:, 0].copy(),
            src[:, 0].copy(),
            causal,
            hiding,
            tgt_padding[0],
            src_padding[0],
            dtype=dtype,
        )
        agree(mine, theirs, x, x, memory_mask=random(T, T, seed=3), dtype=dtype)
    assert repr(mine) == repr(theirs)


@pytest.mark.parametrize("name", ["TransformerEncoderLayer", "TransformerDecoderLayer"])
@pytest.mark.parametrize("activation", ["tanh", "silu", "gelu"])
def test_an_activation_may_be_a_function_or_a_module(name, activation):
    inputs = [tgt, src] if "Decoder" in name else [src]
    mine, theirs = pair(name, D, H, **SMALL)
    mine.activation, theirs.activation = getattr(functional, activation), getattr(F, activation)
    agree(mine, theirs, *inputs)
    module = {"tanh": "Tanh", "silu": "SiLU", "gelu": "GELU"}[activation]
    mine = getattr(nn, name)(D, H, 7, 0.0, getattr(nn, module)()).double()
    theirs = getattr(torch.nn, name)(D, H, 7, 0.0, getattr(torch.nn, module)()).double()
    mine.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    agree(mine, theirs, *inputs)
    assert repr(mine) == repr(theirs)


def test_a_causal_hint_replaces_the_mask():
    mine, theirs = pair("TransformerEncoderLayer", D, H, **SMALL)
    plain = agree(mine, theirs, src, square)[0].data
    hinted = agree(mine, theirs, src, square, is_causal=True)[0].data
    assert not np.array_equal(plain, hinted)
    mine, theirs = pair("TransformerDecoderLayer", D, H, **SMALL)
    agree(mine, theirs, tgt, src, causal, hiding, tgt_is_causal=True, memory_is_causal=True)


def test_a_place_that_sees_nothing_gets_nothing():
    mine, theirs = pair("TransformerEncoderLayer", D, H, **SMALL)
    unseen = src_padding.copy()
    unseen[0] = True
    for mode in (True, False):
        mine.train(mode)
        theirs.train(mode)
        assert np.isfinite(agree(mine, theirs, src, src_key_padding_mask=unseen)[0].data).all()


# -- stacks ----------------------------------------------------------------------------------------------------------------


def stacks(kind, layers, norm, **options):
    """A stack of layers on both wings, with a norm at the end or not."""
    made = []
    for wing in (nn, torch.nn):
        layer = getattr(wing, f"Transformer{kind}Layer")(D, H, **{**SMALL, **options})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TransformerEncoder says which fast path it will not take
            made.append(getattr(wing, f"Transformer{kind}")(layer, layers, wing.LayerNorm(D) if norm else None))
    mine, theirs = made[0].double(), made[1].double()
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert described(mine) == described(theirs)
    for number, value in enumerate(theirs.state_dict().values()):
        value.copy_(torch.tensor(0.6 * random(*value.shape, seed=200 + number)))
    mine.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return mine, theirs


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("options", [{}, {"norm_first": True}, {"batch_first": True}, {"dropout": 0.3}], ids=str)
def test_encoder(options, norm):
    mine, theirs = stacks("Encoder", 2, norm, **options)
    (x,) = turned(src, options=options)
    for mode in (True, False):
        mine.train(mode)
        theirs.train(mode)
        agree(mine, theirs, x)
        agree(mine, theirs, x, square, src_padding)
        agree(mine, theirs, x, np.triu(np.ones((S, S), dtype=bool), 1))  # torch finds out that it is causal
        agree(mine, theirs, x, square, is_causal=True)
        agree(mine, theirs, x, square, is_causal=False)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("options", [{}, {"norm_first": True}, {"batch_first": True}, {"dropout": 0.3}], ids=str)
def test_decoder(options, norm):
    mine, theirs = stacks("Decoder", 2, norm, **options)
    x, memory = turned(tgt, src, options=options)
    for mode in (True, False):
        mine.train(mode)
        theirs.train(mode)
        agree(mine, theirs, x, memory)
        agree(mine, theirs, x, memory, causal, hiding, tgt_padding, src_padding)
        agree(mine, theirs, x, memory, causal, hiding)  # torch finds out that it is causal
        agree(mine, theirs, x, memory, causal, hiding, tgt_is_causal=True, memory_is_causal=True)


def test_layers_of_a_stack_are_copies_that_start_alike():
    layer = nn.TransformerEncoderLayer(D, H, 7)
    stack = nn.TransformerEncoder(layer, 2)
    first, second = stack.layers
    assert first is not second
    assert first.linear1.weight is not layer.linear1.weight
    np.testing.assert_array_equal(first.linear1.weight.data, second.linear1.weight.data)
    first.linear1.weight.data += 1
    assert not np.array_equal(first.linear1.weight.data, second.linear1.weight.data)
    np.testing.assert_array_equal(second.linear1.weight.data, layer.linear1.weight.data)


# -- the whole -------------------------------------------------------------------------------------------------------------

WHOLE = [
    {},
    {"norm_first": True},
    {"bias": False},
    {"batch_first": True, "activation": "gelu"},
    {"dropout": 0.3},
    {"layer_norm_eps": 0.1},
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", WHOLE, ids=str)
def test_transformer(options, dtype):
    mine, theirs = pair("Transformer", D, H, 2, 1, dtype=dtype, **{**SMALL, **options})
    assert described(mine) == described(theirs)
    source, target = turned(src, tgt, options=options)
    masks = {"src_mask": square, "tgt_mask": causal, "memory_mask": hiding}
    pads = {
        "src_key_padding_mask": src_padding,
        "tgt_key_padding_mask": tgt_padding,
        "memory_key_padding_mask": src_padding,
    }
    single = {name: pad[0] for name, pad in pads.items()}
    for mode in (True, False):
        mine.train(mode)
        theirs.train(mode)
        agree(mine, theirs, source, target, dtype=dtype)
        agree(mine, theirs, source, target, **masks, **pads, dtype=dtype)
        agree(
            mine,
            theirs,
            source,
            target,
            **masks,
            src_is_causal=True,
            tgt_is_causal=True,
            memory_is_causal=True,
            dtype=dtype,
        )
        agree(mine, theirs, src[:, 0].copy(), tgt[:, 0].copy(), **masks, **single, dtype=dtype)


def test_an_encoder_and_a_decoder_of_ones_own():
    class Sum(nn.Module):
        def forward(self, tgt, memory, **masks):
            return tgt + memory.mean(0, keepdim=True)

    class Same(nn.Module):
        def forward(self, src, **masks):
            return src

    whole = nn.Transformer(D, H, 1, 1, 7, custom_encoder=Same(), custom_decoder=Sum())
    assert not list(whole.parameters())
    value = whole(manual.tensor(src), manual.tensor(tgt)).data
    np.testing.assert_allclose(value, tgt + src.mean(0))
    half = nn.Transformer(D, H, 1, 1, 7, custom_decoder=Sum())
    reference = torch.nn.Transformer(D, H, 1, 1, 7, custom_decoder=torch.nn.Identity(), batch_first=True)
    assert list(half.state_dict()) == list(reference.state_dict())


def test_initial_values_have_torchs_bounds():
    manual.manual_seed(0)
    torch.manual_seed(0)
    mine, theirs = nn.Transformer(400, 2, 1, 1, 500), torch.nn.Transformer(400, 2, 1, 1, 500, batch_first=True)
    for name, parameter in theirs.named_parameters():
        own = dict(mine.named_parameters())[name].data
        assert np.abs(own).max() == pytest.approx(parameter.abs().max().item(), rel=0.05), name


@pytest.mark.parametrize("size", [0, 1, 4])
@pytest.mark.parametrize("dtype", [None, "float64", "float16"])
def test_a_mask_of_what_is_later(size, dtype):
    mine = nn.Transformer.generate_square_subsequent_mask(size, dtype=dtype and np.dtype(dtype))
    theirs = torch.nn.Transformer.generate_square_subsequent_mask(size, dtype=dtype and getattr(torch, dtype)).numpy()
    assert mine.dtype == theirs.dtype
    np.testing.assert_array_equal(mine.data, theirs)


# -- refusals --------------------------------------------------------------------------------------------------------------

REFUSED = {
    "activation": lambda n, t: n.TransformerEncoderLayer(D, H, activation="tanh"), "decoder activation": lambda n, t: n.TransformerDecoderLayer(D, H, activation="tanh"),
    "heads": lambda n, t: n.TransformerEncoderLayer(D, 4), "mask": lambda n, t: n.TransformerEncoderLayer(D, H)(t(src), t(square.astype(int))),
    "padding": lambda n, t: n.TransformerEncoderLayer(D, H)(t(src), None, t(src_padding.astype(int))),
    "decoder mask": lambda n, t: n.TransformerDecoderLayer(D, H)(t(tgt), t(src), t(causal.astype(int))),
    "stack mask": lambda n, t: n.TransformerEncoder(n.TransformerEncoderLayer(D, H, batch_first=True), 1)(t(src), t(square.astype(int))),
    "stack padding": lambda n, t: n.TransformerEncoder(n.TransformerEncoderLayer(D, H, batch_first=True), 1)(t(src), None, t(src_padding.astype(int))),
    "causal": lambda n, t: n.TransformerEncoderLayer(D, H)(t(src), is_causal=True), "axes": lambda n, t: n.TransformerEncoderLayer(D, H)(t(src[None])),
    "memory causal": lambda n, t: n.TransformerDecoderLayer(D, H)(t(tgt), t(src), memory_is_causal=True),
    "width": lambda n, t: n.TransformerEncoderLayer(D, H)(t(src[..., :5])), "batch": lambda n, t: n.Transformer(D, H, 1, 1, 7, batch_first=True)(t(src), t(tgt[:2])),
    "features": lambda n, t: n.Transformer(D, H, 1, 1, 7, batch_first=True)(t(src[:3, ..., :5]), t(tgt)),
    "target features": lambda n, t: n.Transformer(D, H, 1, 1, 7, batch_first=True)(t(src[:3]), t(tgt[..., :5])),
}  # fmt: skip


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_what_torch_refuses_is_refused_alike(call):
    with pytest.raises((AssertionError, RuntimeError)) as refused:
        call(torch.nn, lambda array: torch.tensor(array.astype(np.float32) if array.dtype.kind == "f" else array))
    with pytest.raises(refused.type) as own:
        call(nn, lambda array: manual.tensor(array.astype(np.float32) if array.dtype.kind == "f" else array))
    assert str(own.value) == str(refused.value)


def test_masks_of_two_kinds_are_warned_of_once():
    mine, theirs = pair("TransformerEncoderLayer", D, H, **SMALL)
    with pytest.warns(UserWarning, match="mismatched src_key_padding_mask and src_mask is deprecated") as warned:
        agree(mine, theirs, src, square, random(N, S, seed=4))
    assert len(warned) == 2  # one of each wing
