"""Bundles and blocks: the same bits as one update per parameter, in place, whatever happens in between."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manual import optim
from manual.optim import bundles
from manual.tensor import Tensor

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.1, "maximize": True}),
    ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.5}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "maximize": True}),
    ("Adamax", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adadelta", {"lr": 0.1, "maximize": True}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.1, "betas": (0.9, 0.9), "maximize": True}),  # the adaptive step begins within the run
    ("Rprop", {"lr": 0.1, "maximize": True}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "t0": 2, "weight_decay": 0.1}),
]
IDS = [f"{name}{len(options)}" for name, options in OPTIMIZERS]


def parameters(shapes, dtype="float32", seed=0):
    random = np.random.default_rng(seed)
    return [Tensor(np.asarray(random.normal(size=shape)).astype(dtype), requires_grad=True) for shape in shapes]


def give_gradients(tensors, seed, without=()):
    random = np.random.default_rng(seed)
    for index, tensor in enumerate(tensors):
        gradient = np.asarray(random.normal(size=tensor.shape)).astype(tensor.dtype)
        tensor.grad = None if index in without else gradient


def recorded(name, tensors, **options):
    """An optimizer that notes the size of every array that it updates."""
    base = getattr(optim, name)

    class Recorded(base):
        sizes = ()

        def update(self, parameter, gradient, slots, group):
            self.sizes = (*self.sizes, parameter.size)
            super().update(parameter, gradient, slots, group)

        def made(self):
            sizes, self.sizes = self.sizes, ()
            return list(sizes)

    return Recorded(tensors, **options)


def same_bits(first, second):
    if first.dtype == np.longdouble:  # its bytes hold padding
        return np.array_equal(first, second) and np.array_equal(np.signbit(first), np.signbit(second))
    return first.tobytes() == second.tobytes()


def assert_same_bits(first, second):
    """Two optimizers over equal parameters hold equal bits."""
    for one, other in zip(first.param_groups, second.param_groups, strict=True):
        for a, b in zip(one["params"], other["params"], strict=True):
            assert same_bits(a.data, b.data)
            slots, reference = first.state.get(a, {}), second.state.get(b, {})
            assert slots.keys() == reference.keys()
            for name, slot in slots.items():
                assert (slot.shape, slot.dtype) == (reference[name].shape, reference[name].dtype)
                assert same_bits(slot, reference[name]), name


SHAPES = [(3, 2), (2,), (), (0, 4), (1, 5, 1), (20, 60)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "longdouble"])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=IDS)
def test_a_bundle_gives_the_bits_of_single_updates(name, options, dtype):
    if dtype == "float16" and name not in ("SGD", "Rprop", "ASGD"):
        options = {**options, "eps": 1e-2}  # the defaults are 0 in float16
    first, second = parameters(SHAPES, dtype), parameters(SHAPES, dtype)
    bundled, single = recorded(name, first, **options), recorded(name, second, **options)
    single._bundling = False
    for seed in range(5):
        give_gradients(first, seed)
        give_gradients(second, seed)
        bundled.step()
        single.step()
        assert_same_bits(bundled, single)
        sizes = [int(np.prod(shape)) for shape in SHAPES]
        assert single.made() == sizes
        assert bundled.made() == ([sum(sizes)] if bundled.bundled(bundled.param_groups[0]) else sizes)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=IDS)
def test_blocks_give_the_bits_of_one_update(name, options, dtype, monkeypatch):
    shape = (3, bundles.BLOCK - 7)
    blocks = [bundles.BLOCK, bundles.BLOCK, bundles.BLOCK - 21]
    first, second = parameters([shape], dtype), parameters([shape], dtype)
    blocked, whole = recorded(name, first, **options), recorded(name, second, **options)
    monkeypatch.setattr(whole, "_contiguous", lambda parameter, slots: False)
    for seed in range(3):
        give_gradients(first, seed)
        give_gradients(second, seed)
        blocked.step()
        whole.step()
        assert_same_bits(blocked, whole)
        assert (blocked.made(), whole.made()) == (blocks, [sum(blocks)])


compositions = st.lists(st.sets(st.integers(0, 5), max_size=5), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(
    compositions=compositions,
    which=st.sampled_from(OPTIMIZERS),
    reload=st.integers(0, 8),
    shapes=st.lists(st.sampled_from([(), (1,), (0,), (2, 3), (4,), (2, 1, 2)]), min_size=2, max_size=6),
)
def test_any_pattern_of_missing_gradients(compositions, which, reload, shapes):
    name, options = which
    first, second = parameters(shapes), parameters(shapes)
    bundled, single = (getattr(optim, name)(tensors, **options) for tensors in (first, second))
    single._bundling = False
    for seed, without in enumerate(compositions):
        for _ in range(3):
            give_gradients(first, seed, without)
            give_gradients(second, seed, without)
            bundled.step()
            single.step()
            assert_same_bits(bundled, single)
        if seed == reload:
            for optimizer in (bundled, single):
                optimizer.load_state_dict(optimizer.state_dict())


def test_repacked_when_the_composition_settles():
    tensors = parameters([(2,), (3,), (4,), (5,)])
    optimizer = recorded("Adam", tensors)
    sizes = []
    for step, without in enumerate([(), (), (3,), (3,), (), (), ()]):
        give_gradients(tensors, step, without)
        optimizer.step()
        sizes.append(optimizer.made())
    assert sizes == [[14], [14], [2, 3, 4], [9], [2, 3, 4, 5], [5, 9], [5, 9]]


def test_parameters_of_different_dtype_or_step_count_do_not_share_a_bundle():
    tensors = parameters([(2,), (3,)], "float32") + parameters([(4,), (5,)], "float64")
    optimizer = recorded("Adam", tensors)
    give_gradients(tensors, 0)
    optimizer.step()
    assert optimizer.made() == [5, 9]
    state = optimizer.state_dict()
    state["state"][1]["step"] = np.array(7, np.float32)
    optimizer.load_state_dict(state)
    give_gradients(tensors, 1)
    optimizer.step()
    assert optimizer.made() == [2, 3, 9]
    assert [optimizer.state[tensor]["step"] for tensor in tensors] == [2, 8, 2, 2]


def test_bundles_fit_into_a_block_and_large_parameters_stay_out():
    count = 65
    tensors = parameters([(1000,)] * count + [(bundles.SMALL // 4 + 1,)])
    optimizer = recorded("Adam", tensors)
    give_gradients(tensors, 0)
    optimizer.step()
    assert optimizer.made() == [bundles.SMALL // 4 + 1, 1000, 32_000, 32_000]


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=IDS)
def test_gradients_are_only_read_and_parameters_only_changed_in_place(name, options):
    tensors = parameters([*SHAPES, (bundles.BLOCK + 1,)])
    held = [tensor.data for tensor in tensors]
    decay = {} if name == "Rprop" or "weight_decay" in options else {"weight_decay": 0.1}
    optimizer = getattr(optim, name)(tensors, **options, **decay)
    before = [array.copy() for array in held]
    for seed in range(3):
        give_gradients(tensors, seed)
        gradients = [tensor.grad for tensor in tensors]
        copies = [gradient.copy() for gradient in gradients]
        for gradient in gradients:
            gradient.flags.writeable = False
        optimizer.step()
        for tensor, array, gradient, copy in zip(tensors, held, gradients, copies, strict=True):
            assert tensor.data is array
            assert tensor.grad is gradient
            assert np.array_equal(gradient, copy)
    for array, old in zip(held, before, strict=True):
        assert not array.size or not np.array_equal(array, old)
    slots = [slot for tensor in tensors for slot in optimizer.state.get(tensor, {}).values()]
    assert not any(np.shares_memory(slot, array) for slot in slots for array in [*held, *gradients])


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=IDS)
def test_strided_parameters_and_gradients(name, options):
    """Transposed, reversed and skipping views, small and large, change in place and with the same bits."""
    size = bundles.BLOCK

    def strided():
        base = np.random.default_rng(5).normal(size=(6, 8))
        large = np.random.default_rng(6).normal(size=(7, size))
        return [base[:, :3].T, base[::-2, 4:6], base[3, 7:], large[:3].T, large[3, ::-1], large[4:].ravel()[::2]]

    views = strided()
    plain = [Tensor(view.copy(order="C"), requires_grad=True) for view in views]
    tensors = [Tensor(view, requires_grad=True) for view in views]
    optimizer, reference = getattr(optim, name)(tensors, **options), getattr(optim, name)(plain, **options)
    for seed in range(3):
        give_gradients(plain, seed)
        for tensor, other in zip(tensors, plain, strict=True):
            tensor.grad = np.asfortranarray(other.grad)
        optimizer.step()
        reference.step()
        for tensor, other, view in zip(tensors, plain, views, strict=True):
            assert tensor.data is view
            assert np.array_equal(view, other.data)


def test_a_large_strided_gradient_of_a_contiguous_parameter():
    shape = (2, bundles.BLOCK)
    first, second = parameters([shape]), parameters([shape])
    optimizers = [optim.Adam(tensors) for tensors in (first, second)]
    give_gradients(second, 1)
    first[0].grad = np.asfortranarray(second[0].grad)
    for optimizer in optimizers:
        optimizer.step()
    assert_same_bits(*optimizers)


def test_rebound_data_and_slots_are_seen():
    """``p.data = ...`` and ``optimizer.state[p][...] = ...`` by hand take effect at once, and bundling goes on."""
    first, second = parameters(SHAPES), parameters(SHAPES)
    bundled, single = recorded("Adam", first), recorded("Adam", second)
    single._bundling = False
    for step in range(8):
        for tensors, optimizer in ((first, bundled), (second, single)):
            give_gradients(tensors, step)
            if step == 2:
                tensors[0].data = np.full((3, 2), 7, np.float32)
            if step == 4:
                optimizer.state[tensors[1]]["exp_avg"] = np.full(2, 7, np.float32)
            if step == 5:
                optimizer.state[tensors[2]]["exp_avg"][...] = 7
            if step == 6:
                optimizer.state[tensors[0]] = {k: v + 1 for k, v in optimizer.state[tensors[0]].items()}
            optimizer.step()
        assert_same_bits(bundled, single)
        assert (len(bundled.made()) == 1) == (step not in (2, 4, 6, 7))


def test_step_counts_are_each_parameters_own():
    tensors = parameters([(2,), (3,)])
    optimizer = optim.Adam(tensors)
    give_gradients(tensors, 0)
    optimizer.step()
    one, other = (optimizer.state[tensor]["step"] for tensor in tensors)
    assert one.shape == () == other.shape
    one += 5
    assert (one, other) == (6, 1)
    optimizer.step()
    assert [optimizer.state[tensor]["step"] for tensor in tensors] == [7, 2]


def test_parameters_that_share_memory_are_updated_one_after_the_other():
    """A weight tied by a view gets both updates, as in torch."""
    array = np.arange(6, dtype=np.float64).reshape(2, 3)
    tensors = [Tensor(array, requires_grad=True), Tensor(array.T, requires_grad=True)]
    optimizer = optim.SGD(tensors, lr=1.0, momentum=0.5)
    tensors[0].grad, tensors[1].grad = np.full((2, 3), 2.0), np.full((3, 2), 0.5)
    optimizer.step()
    assert np.array_equal(array, np.arange(6).reshape(2, 3) - 2.5)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        (np.ones(3, np.float32), r"a gradient has shape \(3,\) and dtype float32, its parameter has shape \(2, 3\)"),
        (np.ones((2, 3)), r"a gradient has shape \(2, 3\) and dtype float64, its parameter .* dtype float32"),
    ],
    ids=["shape", "dtype"],
)
def test_a_gradient_that_would_be_broadcast_or_cast_is_refused(name, gradient, message):
    tensors = parameters([(2, 3), (2,)])
    optimizer = getattr(optim, name)(tensors)
    give_gradients(tensors, 0)
    optimizer.step()
    give_gradients(tensors, 1)
    tensors[0].grad = gradient
    before = tensors[1].data.copy()
    with pytest.raises(RuntimeError, match=message):
        optimizer.step()
    assert np.array_equal(tensors[1].data, before)


def test_an_optimizer_that_needs_shapes_gets_whole_parameters():
    """The path of Muon and its kin: no bundle, no block."""

    class RowNormalised(optim.Optimizer):
        elementwise = False

        def update(self, parameter, gradient, slots, group):
            assert parameter.ndim == 2
            parameter -= group["lr"] * gradient / np.abs(gradient).sum(axis=1, keepdims=True)

    tensors = parameters([(2, 3), (4, 5), (2, bundles.BLOCK)])
    give_gradients(tensors, 0)
    expected = [tensor.data - 0.5 * tensor.grad / np.abs(tensor.grad).sum(1, keepdims=True) for tensor in tensors]
    RowNormalised(tensors, {"lr": 0.5}).step()
    for tensor, value in zip(tensors, expected, strict=True):
        assert np.array_equal(tensor.data, value)
