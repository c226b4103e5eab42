"""Normalisation as modules and as functions, against torch: values, gradients, running statistics, names and refusals."""

import inspect
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from manual import nn
from manual.nn import functional

from ..oracle import assert_close, check, random

SPACE = {1: (7,), 2: (3, 5), 3: (2, 3, 4)}
DTYPES = ["float64", "float32"]
BOUND = {"float64": 1e-12, "float32": 2e-5}


def pair(name, *arguments, dtype="float64", **options):
    """A module of each wing, with the same parameters and buffers, none of which has its initial value."""
    mine = getattr(nn, name)(*arguments, **options).to(dtype)
    theirs = getattr(torch.nn, name)(*arguments, **options).to(getattr(torch, dtype))
    state = {}
    for seed, (key, value) in enumerate(theirs.state_dict().items()):
        drawn = random(*value.shape, seed=seed, low=0.3, high=1.7).astype(dtype)
        state[key] = drawn if value.is_floating_point() else value.numpy()
    mine.load_state_dict(state)
    theirs.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    return mine, theirs


def assert_same_state(mine, theirs, dtype):
    expected = {key: value.numpy() for key, value in theirs.state_dict().items()}
    assert list(mine.state_dict()) == list(expected)
    for key, value in mine.state_dict().items():
        assert_close(value, expected[key], BOUND[dtype], key)


def assert_same_gradients(mine, theirs, dtype):
    for (key, a), (other, b) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        assert key == other
        assert_close(a.grad, b.grad.numpy(), BOUND[dtype], key)


# -- batch and instance norm -------------------------------------------------------------------------------------------

OPTIONS = [
    {}, {"affine": False}, {"affine": True, "bias": False}, {"track_running_stats": False}, {"track_running_stats": True},
    {"eps": 0.3}, {"momentum": 0.7, "track_running_stats": True}, {"momentum": 0.0}, {"momentum": None, "track_running_stats": True},
    {"affine": True, "track_running_stats": True}, {"affine": False, "track_running_stats": False, "momentum": None},
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", ["BatchNorm", "InstanceNorm"])
def test_three_batches_of_training_and_one_of_evaluation(kind, dims, options, dtype):
    mine, theirs = pair(f"{kind}{dims}d", 4, dtype=dtype, **options)
    for step in range(4):
        if step == 3:
            mine.eval()
            theirs.eval()
        mine.zero_grad()
        theirs.zero_grad()
        check(mine, theirs, [random(6 - step, 4, *SPACE[dims], seed=step) + step], dtype, factor=4)
        assert_same_gradients(mine, theirs, dtype)
        assert_same_state(mine, theirs, dtype)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_instance_norm_of_one_sample(dims, tracked, training):
    mine, theirs = pair(f"InstanceNorm{dims}d", 4, affine=True, track_running_stats=tracked)
    mine.train(training)
    theirs.train(training)
    check(mine, theirs, [random(4, *SPACE[dims])], factor=4)
    assert_same_gradients(mine, theirs, "float64")
    assert_same_state(mine, theirs, "float64")


def test_batch_norm_without_space():
    mine, theirs = pair("BatchNorm1d", 5)
    check(mine, theirs, [random(9, 5)], factor=4)
    assert_same_state(mine, theirs, "float64")
    assert_same_gradients(mine, theirs, "float64")


def test_the_number_of_batches_is_a_whole_number_without_axes():
    mine = nn.BatchNorm1d(3)
    assert mine.num_batches_tracked.dtype == np.int64
    assert mine.num_batches_tracked.shape == ()
    held = mine.state_dict()["num_batches_tracked"]
    mine(manual.tensor(random(4, 3).astype(np.float32)))
    assert held == mine.num_batches_tracked == 1
    assert mine.to(np.float64).num_batches_tracked.dtype == np.int64
    mine.reset_running_stats()
    assert held == 0


def test_without_momentum_the_running_statistics_are_the_plain_average():
    mine = nn.BatchNorm1d(3, momentum=None).double()
    batches = [random(5, 3, seed=seed) for seed in range(4)]
    for batch in batches:
        mine(manual.tensor(batch))
    np.testing.assert_allclose(mine.running_mean, np.mean([batch.mean(0) for batch in batches], axis=0), rtol=1e-12)
    np.testing.assert_allclose(
        mine.running_var, np.mean([batch.var(0, ddof=1) for batch in batches], axis=0), rtol=1e-12
    )


def test_the_variance_that_normalises_is_biased_and_the_one_that_is_kept_is_not():
    mine = nn.BatchNorm1d(1, eps=0.0, momentum=1.0).double()
    value = mine(manual.tensor([[1.0], [3.0]], dtype=np.float64))
    np.testing.assert_allclose(value.data, [[-1], [1]], rtol=1e-15)  # over n, the variance of 1 and 3 is 1
    np.testing.assert_allclose(mine.running_var, [2], rtol=1e-15)  # over n - 1 it is 2


def test_an_empty_batch_counts_and_leaves_the_statistics():
    mine, theirs = pair("BatchNorm1d", 3)
    check(mine, theirs, [np.zeros((0, 3))])
    assert_same_state(mine, theirs, "float64")


def test_tracking_that_is_switched_off_later_normalises_by_the_batch_and_keeps_the_statistics():
    mine, theirs = pair("BatchNorm1d", 4)
    for module in (mine, theirs):
        module.track_running_stats = False
    check(mine, theirs, [random(5, 4)], factor=4)
    assert_same_state(mine, theirs, "float64")


def test_half_precision_takes_its_statistics_in_single():
    x = (random(64, 3, 40, seed=1) * 30 + 200).astype(np.float16)  # squares of the deviations add up to two millions
    weight, bias = np.array([1, 2, 3], np.float16), np.array([0, 1, 0], np.float16)
    for ours, theirs in [
        (lambda a: functional.batch_norm(a, None, None, weight, bias, True), lambda a: F.batch_norm(a, None, None, *map(torch.tensor, (weight, bias)), True)),
        (lambda a: functional.layer_norm(a, (40,)), lambda a: F.layer_norm(a, (40,))),
        (lambda a: functional.rms_norm(a, (3, 40)), lambda a: F.rms_norm(a, (3, 40))),
        (lambda a: functional.group_norm(a, 3), lambda a: F.group_norm(a, 3)),
        (lambda a: functional.instance_norm(a), lambda a: F.instance_norm(a)),
    ]:  # fmt: skip
        a, b = manual.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        actual, expected = ours(a), theirs(b)
        seed = random(*x.shape, seed=2).astype(np.float16)
        actual.backward(seed)
        expected.backward(torch.tensor(seed))
        assert_close(actual.data, expected.detach().numpy(), 2e-3, "value")
        assert_close(a.grad, b.grad.numpy(), 4e-3, "gradient")


# -- the others --------------------------------------------------------------------------------------------------------

OTHERS = [
    ("GroupNorm", (2, 6), {}, (3, 6, 5)), ("GroupNorm", (3, 6), {"affine": False}, (3, 6, 2, 4)), ("GroupNorm", (6, 6), {"eps": 0.5}, (1, 6, 2, 4)),
    ("GroupNorm", (1, 6), {}, (4, 6)), ("GroupNorm", (2, 6), {"bias": False}, (2, 6, 2, 3, 2)),
    ("LayerNorm", (5,), {}, (3, 4, 5)), ("LayerNorm", ([4, 5],), {"eps": 0.2}, (3, 4, 5)), ("LayerNorm", ((3, 4, 5),), {"bias": False}, (3, 4, 5)),
    ("LayerNorm", (5,), {"elementwise_affine": False}, (3, 4, 5)), ("LayerNorm", (5,), {}, (5,)),
    ("RMSNorm", (5,), {}, (3, 4, 5)), ("RMSNorm", ((4, 5),), {"eps": 0.2}, (3, 4, 5)), ("RMSNorm", (5,), {"elementwise_affine": False}, (3, 4, 5)),
    ("LocalResponseNorm", (3,), {"alpha": 0.8}, (2, 7, 4)), ("LocalResponseNorm", (4,), {"alpha": 0.8, "beta": 1.3, "k": 2.0}, (2, 7, 3, 4)),
    ("LocalResponseNorm", (20,), {"alpha": 0.8}, (2, 7, 3, 4, 2)), ("CrossMapLRN2d", (3,), {"alpha": 0.8}, (2, 7, 3, 4)),
    ("CrossMapLRN2d", (4,), {"alpha": 0.8, "beta": 1.3, "k": 2}, (2, 7, 3, 4)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "arguments", "options", "shape"), OTHERS, ids=str)
def test_modules(name, arguments, options, shape, dtype):
    mine, theirs = pair(name, *arguments, dtype=dtype, **options)
    check(mine, theirs, [random(*shape, seed=5)], dtype, factor=4)
    assert_same_gradients(mine, theirs, dtype)
    mine.eval()
    theirs.eval()
    check(mine, theirs, [random(*shape, seed=6)], dtype, factor=4)


def test_torchs_cross_map_norm_hands_back_another_gradient_than_the_derivative():
    """The reason for the second convention of the rule; where it fails, torch has been mended and the rule must follow."""
    x = torch.tensor(random(1, 5, 2, 2), requires_grad=True)
    assert not torch.autograd.gradcheck(torch.nn.CrossMapLRN2d(3, 0.8), (x,), raise_exception=False)
    assert torch.autograd.gradcheck(torch.nn.LocalResponseNorm(3, 0.8), (x,))
    with pytest.raises(RuntimeError):
        torch.nn.CrossMapLRN2d(1)(x).sum().backward()
    with pytest.raises(RuntimeError, match="no gradient for size=1"):
        nn.CrossMapLRN2d(1)(manual.tensor(x.detach().numpy(), requires_grad=True)).backward(np.ones((1, 5, 2, 2)))


SHOWN = [
    ("BatchNorm1d", (3,), {}), ("BatchNorm2d", (3,), {"bias": False, "momentum": None}), ("BatchNorm3d", (3,), {"affine": False}),
    ("InstanceNorm1d", (3,), {}), ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}), ("InstanceNorm3d", (3,), {"eps": 1.0}),
    *((name, arguments, options) for name, arguments, options, _ in OTHERS),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "options"), SHOWN, ids=str)
def test_names_shapes_initial_values_and_repr(name, arguments, options):
    mine, theirs = getattr(nn, name)(*arguments, **options), getattr(torch.nn, name)(*arguments, **options)
    assert repr(mine) == repr(theirs)
    expected = {key: value.numpy() for key, value in theirs.state_dict().items()}
    assert list(mine.state_dict()) == list(expected)
    for key, value in mine.state_dict().items():
        assert value.dtype == expected[key].dtype
        np.testing.assert_array_equal(value, expected[key])
    assert all(
        value.dtype == np.float64 for value in nn.LayerNorm(3, device="cpu", dtype=np.float64).state_dict().values()
    )
    for parameter in mine.parameters():
        parameter.data[...] = 7
    if hasattr(mine, "reset_parameters"):
        mine.reset_parameters()
        for key, value in mine.state_dict().items():
            np.testing.assert_array_equal(value, expected[key])


# -- functions ---------------------------------------------------------------------------------------------------------

FUNCTIONS = ["batch_norm", "instance_norm", "group_norm", "layer_norm", "rms_norm"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_take_torchs_arguments(name):
    def shown(function):
        return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]

    assert shown(getattr(functional, name)) == shown(getattr(F, name))


@pytest.mark.parametrize("training", [True, False])
def test_functions_of_channels(training):
    x, mean, var, weight, bias = (
        random(3, 4, 5),
        random(4, seed=1),
        random(4, seed=2, low=0.5, high=2),
        random(4, seed=3),
        random(4, seed=4),
    )
    for name, flag in (("batch_norm", "training"), ("instance_norm", "use_input_stats")):
        kept = [mean.copy(), var.copy()], [torch.tensor(mean), torch.tensor(var)]

        def ours(a, w, b, name=name, flag=flag, kept=kept):
            return getattr(functional, name)(a, *kept[0], w, b, momentum=0.3, eps=0.1, **{flag: training})

        def theirs(a, w, b, name=name, flag=flag, kept=kept):
            return getattr(F, name)(a, *kept[1], w, b, momentum=0.3, eps=0.1, **{flag: training})

        check(ours, theirs, [x, weight, bias], factor=4)
        for actual, expected in zip(*kept, strict=True):
            assert_close(actual, expected.numpy(), 1e-12, name)
        assert training == (not np.array_equal(kept[0][0], mean))


CALLS = [
    lambda library, x: library.group_norm(x, 2), lambda library, x: library.group_norm(x, 2, eps=0.4), lambda library, x: library.layer_norm(x, [5]),
    lambda library, x: library.layer_norm(x, (4, 5), None, None, 0.3), lambda library, x: library.rms_norm(x, (5,)),
    lambda library, x: library.rms_norm(x, [4, 5], None, 0.3), lambda library, x: library.local_response_norm(x, 3, 0.5, 0.7, 1.5),
    lambda library, x: library.normalize(x), lambda library, x: library.normalize(x, 1.0, 2), lambda library, x: library.normalize(x, 3, (0, 1), 0.1),
    lambda library, x: library.normalize(x, p=float("inf"), dim=-1, eps=1.5), lambda library, x: library.batch_norm(x, None, None, training=True),
    lambda library, x: library.instance_norm(x),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
def test_functions(call, dtype):
    check(lambda x: call(functional, x), lambda x: call(F, x), [random(3, 4, 5)], dtype, factor=4)


# -- refusals ----------------------------------------------------------------------------------------------------------


def axes(*shape):
    return np.zeros(shape, np.float32)


REFUSED = {
    **{f"{name} of {ndim} axes": (lambda wing, x, name=name: getattr(wing.nn, name)(3)(x), axes(*[3] * ndim))
       for name, allowed in {"BatchNorm1d": (2, 3), "BatchNorm2d": (4,), "BatchNorm3d": (5,), "InstanceNorm1d": (2, 3), "InstanceNorm2d": (3, 4), "InstanceNorm3d": (4, 5)}.items()
       for ndim in (1, 2, 3, 4, 5, 6) if ndim not in allowed},
    "one element in a channel": (lambda wing, x: wing.nn.BatchNorm1d(3)(x), axes(1, 3)),
    "one element in space": (lambda wing, x: wing.nn.InstanceNorm1d(3).eval()(x), axes(2, 3, 1)),
    "one element in a group": (lambda wing, x: wing.nn.GroupNorm(3, 3)(x), None),
    "running mean of other channels": (lambda wing, x: wing.nn.BatchNorm1d(4)(x), axes(2, 3)),
    "weight of other channels": (lambda wing, x: wing.nn.BatchNorm1d(4, track_running_stats=False)(x), axes(2, 3)),
    "instance norm, affine, other channels": (lambda wing, x: wing.nn.InstanceNorm1d(4, affine=True)(x), axes(2, 3, 5)),
    "instance norm, affine, other channels, one sample": (lambda wing, x: wing.nn.InstanceNorm1d(4, affine=True)(x), axes(3, 5)),
    "no statistics in evaluation": (lambda wing, x: wing.nn.functional.batch_norm(x, None, None), axes(2, 3)),
    "instance norm without statistics": (lambda wing, x: wing.nn.functional.instance_norm(x, use_input_stats=False), axes(2, 3, 4)),
    "one of two statistics": (lambda wing, x: wing.nn.functional.batch_norm(x, None, x[0], training=True), axes(2, 3)),
    "channels that do not fall into groups": (lambda wing, x: wing.nn.GroupNorm(3, 4), None),
    "groups of none": (lambda wing, x: wing.nn.GroupNorm(0, 4), None),
    "group norm of one axis": (lambda wing, x: wing.nn.GroupNorm(2, 4)(x), axes(4)),
    "group norm, weight of other channels": (lambda wing, x: wing.nn.GroupNorm(2, 4)(x), axes(2, 6, 3)),
    "group norm, channels of an input": (lambda wing, x: wing.nn.GroupNorm(2, 4, affine=False)(x), axes(2, 5, 3)),
    "layer norm of another shape": (lambda wing, x: wing.nn.LayerNorm((2, 4))(x), axes(2, 3)),
    "layer norm of fewer axes": (lambda wing, x: wing.nn.LayerNorm((2, 4))(x), axes(4)),
    "layer norm, weight": (lambda wing, x: wing.nn.functional.layer_norm(x, (3,), x), axes(2, 3)),
    "layer norm, bias": (lambda wing, x: wing.nn.functional.layer_norm(x, (3,), None, x), axes(2, 3)),
    "layer norm of no axes": (lambda wing, x: wing.nn.functional.layer_norm(x, ()), axes(2, 3)),
    "RMS norm of another shape": (lambda wing, x: wing.nn.RMSNorm(4)(x), axes(2, 3)),
    "RMS norm, weight": (lambda wing, x: wing.nn.functional.rms_norm(x, (3,), x), axes(2, 3)),
    "RMS norm of no axes": (lambda wing, x: wing.nn.functional.rms_norm(x, ()), axes(2, 3)),
    "response norm without space": (lambda wing, x: wing.nn.LocalResponseNorm(2)(x), axes(2, 3)),
    "response norm of size 0": (lambda wing, x: wing.nn.LocalResponseNorm(0)(x), axes(2, 3, 3)),
    "cross map norm of three axes": (lambda wing, x: wing.nn.CrossMapLRN2d(3)(x), axes(2, 3, 3)),
    "normalize, an axis out of range": (lambda wing, x: wing.nn.functional.normalize(x), axes(3)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_refuses_is_refused_with_its_message(name):
    call, x = REFUSED[name]
    x = axes(1, 3) if x is None else x
    with pytest.raises(Exception) as theirs:  # noqa: PT011 (the next lines look at it)
        call(torch, torch.tensor(x))
    with pytest.raises(type(theirs.value)) as mine:
        call(manual, manual.tensor(x))
    if theirs.type is not ZeroDivisionError and "size of 0" not in name and "size 0" not in name:
        assert plain(mine.value) == plain(theirs.value)


def plain(error):
    """A message without torch's way to write a shape; torch leaves a comma out for RMS norm."""
    text = str(error).replace("torch.Size(", "").replace("])", "]").replace("[*4]", "[*, 4]")
    return " ".join(text.split())


def test_mixed_dtypes_are_refused():
    for call in (
        lambda x, w: functional.batch_norm(x, None, None, w, training=True),
        lambda x, w: functional.layer_norm(x, (3,), w),
        lambda x, w: functional.group_norm(x, 3, w),
    ):
        with pytest.raises(RuntimeError, match="same dtype"):
            call(manual.tensor(axes(2, 3)), np.ones(3))


def test_instance_norm_warns_of_other_channels_that_do_not_matter():
    with pytest.warns(UserWarning, match="dim=1 does not match num_features"):
        nn.InstanceNorm1d(4)(manual.tensor(axes(2, 3, 5)))


# -- lazy ones ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"bias": False}, {"affine": False}, {"track_running_stats": False}, {"momentum": None, "eps": 0.1}],
    ids=str,
)
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", ["BatchNorm", "InstanceNorm"])
def test_lazy_norms_become_ordinary_ones_at_the_first_call(kind, dims, options):
    mine, theirs = getattr(nn, f"Lazy{kind}{dims}d")(**options), getattr(torch.nn, f"Lazy{kind}{dims}d")(**options)
    assert repr(mine) == repr(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    x = random(4, 3, *SPACE[dims])
    check(mine, theirs, [x], "float32", factor=4)
    assert type(mine) is getattr(nn, f"{kind}{dims}d")
    assert repr(mine) == repr(theirs)
    assert_same_state(mine, theirs, "float32")
    assert_same_gradients(mine, theirs, "float32")
    check(mine.eval(), theirs.eval(), [x], "float32", factor=4)


def test_a_lazy_norm_has_its_dtype_and_no_statistics_before_the_first_call():
    mine = nn.LazyBatchNorm1d(dtype=np.float64)
    assert mine.has_uninitialized_params()
    with pytest.raises(ValueError, match="uninitialized"):
        mine.running_mean + 1
    mine.reset_parameters()  # nothing to reset yet
    mine(manual.tensor(random(4, 3)))
    assert mine.weight.dtype == mine.running_var.dtype == np.float64
    assert mine.num_features == 3


def test_a_lazy_instance_norm_takes_the_second_axis_for_the_channels_as_torch_does():
    for wing in (nn, torch.nn):
        x = axes(3, 5)
        with pytest.raises(ValueError, match=r"size at dim=0 to match num_features \(5\), but got: 3"):
            wing.LazyInstanceNorm1d()(manual.tensor(x) if wing is nn else torch.tensor(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.LazyInstanceNorm1d()(manual.tensor(random(2, 3, 5).astype(np.float32)))
