"""Averaged models, their schedule and their batch statistics, against ``torch.optim.swa_utils``."""

import copy
import inspect

import numpy as np
import pytest
import torch

from manual import nn, optim
from manual.optim import swa_utils
from manual.tensor import Tensor

from .schedules import EPOCHS, SWA, assert_agree, named, pair

NAMES = ("get_ema_avg_fn", "get_swa_avg_fn", "get_ema_multi_avg_fn", "get_swa_multi_avg_fn")


def network(wing):
    return wing.Sequential(
        wing.Linear(3, 5), wing.BatchNorm1d(5, momentum=0.3), wing.ReLU(), wing.Linear(5, 2, bias=False)
    )


def networks(dtype=np.float64):
    """The same network in both wings."""
    reference = network(torch.nn).to(getattr(torch, np.dtype(dtype).name))
    mine = network(nn).to(dtype)
    mine.load_state_dict({name: value.numpy() for name, value in reference.state_dict().items()})
    return mine, reference


def shift(mine, reference, seed):
    """The same random change of every parameter and buffer in both."""
    generator = np.random.default_rng(seed)
    state = mine.state_dict()
    with torch.no_grad():
        for name, value in reference.state_dict().items():
            if value.is_floating_point():
                change = generator.normal(size=tuple(value.shape)).astype(state[name].dtype)
                change = np.abs(change) if name.endswith("var") else change
                state[name][...] += change
                value += torch.from_numpy(change)
            else:
                state[name][...] += 3
                value += 3


def averaged(function=None, use_buffers=False, dtype=np.float64, **options):
    """The averages of both wings after six updates."""
    mine, reference = networks(dtype)
    models = []
    for package, model in ((swa_utils, mine), (torch.optim.swa_utils, reference)):
        keywords = {}
        if function is not None:
            keyword = "multi_avg_fn" if "multi" in function else "avg_fn"
            keywords[keyword] = getattr(package, function)(**options)
        models.append(package.AveragedModel(model, use_buffers=use_buffers, **keywords))
    for seed in range(6):
        shift(mine, reference, seed)
        models[0].update_parameters(mine)
        models[1].update_parameters(reference)
    return models


def assert_same_state(mine, reference, ulps=0.0):
    first, second = mine.state_dict(), {name: value.numpy() for name, value in reference.state_dict().items()}
    assert list(first) == list(second)
    for name, value in first.items():
        expected = second[name]
        assert value.dtype == expected.dtype
        assert value.shape == expected.shape
        if not ulps or value.dtype.kind != "f":
            np.testing.assert_array_equal(value, expected, err_msg=name)
        else:
            room = ulps * np.finfo(value.dtype).eps * np.abs(expected).max()
            np.testing.assert_allclose(value, expected, rtol=0, atol=room, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize(
    ("function", "options"),
    [
        (None, {}),
        ("get_swa_avg_fn", {}),
        ("get_ema_avg_fn", {}),
        ("get_ema_avg_fn", {"decay": 0.3}),
        ("get_ema_avg_fn", {"decay": 1.0}),
        ("get_ema_multi_avg_fn", {}),
        ("get_ema_multi_avg_fn", {"decay": 0.7}),
        ("get_ema_multi_avg_fn", {"decay": 0.3}),
        ("get_ema_multi_avg_fn", {"decay": 0.0}),
    ],
)
def test_averages(function, options, use_buffers, dtype):
    """To the last bit, but for torch's ``lerp`` of many tensors, which multiplies and adds without rounding between."""
    assert_same_averages(function, options, use_buffers, dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_plain_average_by_lists(dtype):
    """Buffers are copied: torch refuses to average integer ones there."""
    assert_same_averages("get_swa_multi_avg_fn", {}, False, dtype)


def assert_same_averages(function, options, use_buffers, dtype):
    mine, reference = averaged(function, use_buffers, dtype, **options)
    assert int(mine.n_averaged) == 6
    assert_same_state(mine, reference, ulps=4 if function and "multi" in function else 0)
    x = np.random.default_rng(9).normal(size=(4, 3)).astype(dtype)
    expected = reference.eval()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(mine.eval()(Tensor(x)).data, expected, rtol=0, atol=np.finfo(dtype).eps * 64)


def test_the_plain_average_of_integers_by_lists():
    """Where torch has no answer: that of the function for single parameters."""
    with pytest.raises(RuntimeError, match=r"Integer division with addcdiv|floating point number"):
        averaged("get_swa_multi_avg_fn", use_buffers=True)
    lists, single = (np.array([5, 9, 4]) for _ in range(2))
    swa_utils.get_swa_multi_avg_fn()([lists], [np.array([8, 2, 4])], 2)
    single[...] = swa_utils.get_swa_avg_fn()(single, np.array([8, 2, 4]), 2)
    np.testing.assert_array_equal(lists, single)


def test_the_average_of_six_models_is_their_mean():
    mine, _ = networks()
    model = swa_utils.AveragedModel(mine)
    weights = []
    for seed in range(6):
        mine[0].weight.data[...] = np.random.default_rng(seed).normal(size=(5, 3))
        weights.append(mine[0].weight.data.copy())
        model.update_parameters(mine)
    np.testing.assert_allclose(model.module[0].weight.data, np.mean(weights, axis=0), rtol=1e-14)


def test_the_copy_is_its_own():
    mine, _ = networks()
    model = swa_utils.AveragedModel(mine)
    mine[0].weight.data += 1
    assert not np.array_equal(model.module[0].weight.data, mine[0].weight.data)
    assert model.module[0].weight is not mine[0].weight


@pytest.mark.parametrize("to_torch", [False, True])
def test_states_are_handed_over(to_torch):
    mine, reference = averaged("get_ema_avg_fn", decay=0.4)
    source = mine if to_torch else reference
    fresh = networks()
    if to_torch:
        other = torch.optim.swa_utils.AveragedModel(fresh[1], avg_fn=torch.optim.swa_utils.get_ema_avg_fn(0.4))
        other.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in source.state_dict().items()})
    else:
        other = swa_utils.AveragedModel(fresh[0], avg_fn=swa_utils.get_ema_avg_fn(0.4))
        other.load_state_dict({name: value.numpy() for name, value in source.state_dict().items()})
    shift(*fresh, seed=8)
    first, second = (source, other) if to_torch else (other, source)
    first.update_parameters(fresh[0])
    second.update_parameters(fresh[1])
    assert_same_state(first, second)


@pytest.mark.parametrize("package", [swa_utils, torch.optim.swa_utils], ids=["manual", "torch"])
def test_impossible_averages_are_refused(package):
    for name in ("get_ema_avg_fn", "get_ema_multi_avg_fn"):
        for decay in (-0.1, 1.1):
            with pytest.raises(
                ValueError, match=rf"Invalid decay value {decay} provided. Please provide a value in \[0,1\]"
            ):
                getattr(package, name)(decay)
    model = networks()[package is not swa_utils]
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn should be provided"):
        package.AveragedModel(model, avg_fn=package.get_ema_avg_fn(), multi_avg_fn=package.get_ema_multi_avg_fn())


# -- the schedule -------------------------------------------------------------------------------------------------------


@named(SWA)
def test_schedule(case):
    first, second = pair(case)
    for epoch in range(EPOCHS + 1):
        assert_agree(first, second, epoch)
        first.epoch()
        second.epoch()


@named(SWA[:3])
def test_schedule_beside_another_and_by_hand(case):
    """Any change of the rates on the way is carried along."""
    first, second = pair(case, type(case)("StepLR", {"step_size": 4, "gamma": 0.5}))
    for epoch in range(EPOCHS):
        if epoch == 5:
            for side in (first, second):
                side.optimizer.param_groups[1]["lr"] = 0.4
        first.epoch()
        second.epoch()
        assert_agree(first, second, epoch)


# -- batch statistics -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: (x, None), lambda x: [x, "label"]], ids=["input", "tuple", "list"]
)
@pytest.mark.parametrize("training", [True, False])
def test_batch_statistics(wrap, training):
    mine, reference = networks()
    generator = np.random.default_rng(3)
    batches = [generator.normal(1.0, 2.0, size=(size, 3)) for size in (5, 4, 2)]
    shift(mine, reference, 1)
    mine.train(training)
    reference.train(training)
    before = copy.deepcopy(mine.state_dict())
    swa_utils.update_bn([wrap(batch) for batch in batches], mine)
    torch.optim.swa_utils.update_bn([wrap(torch.from_numpy(batch)) for batch in batches], reference)
    assert_same_state(mine, reference, ulps=16)
    assert mine.training is training
    assert mine[1].momentum == 0.3
    assert int(mine.state_dict()["1.num_batches_tracked"]) == 3
    assert not np.allclose(before["1.running_mean"], mine.state_dict()["1.running_mean"])


def test_nothing_is_run_without_batch_norm():
    model = nn.Sequential(nn.Linear(3, 2))
    model.eval()
    swa_utils.update_bn(iter(lambda: pytest.fail("asked for data"), None), model)
    assert not model.training


def test_a_whole_run():
    """Training, averaging, annealing and new statistics, as the manual of torch writes it."""
    mine, reference = networks()
    loss, averages = [], []
    generator = np.random.default_rng(5)
    batches = [(generator.normal(size=(6, 3)), generator.normal(size=(6, 2))) for _ in range(3)]
    for wing, package, model, tensor in (
        (nn, optim, mine, Tensor),
        (torch.nn, torch.optim, reference, torch.from_numpy),
    ):
        optimizer = package.SGD(model.parameters(), lr=0.05, momentum=0.9)
        average = package.swa_utils.AveragedModel(model)
        decay = package.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
        final = None
        for epoch in range(8):
            for x, y in batches:
                optimizer.zero_grad()
                wing.MSELoss()(model(tensor(x)), tensor(y)).backward()
                optimizer.step()
            if epoch < 4:
                decay.step()
            else:
                final = final or package.swa_utils.SWALR(optimizer, swa_lr=0.02, anneal_epochs=3)
                average.update_parameters(model)
                final.step()
        package.swa_utils.update_bn([tensor(x) for x, _ in batches], average)
        averages.append(average)
        loss.append(wing.MSELoss()(average.eval()(tensor(batches[0][0])), tensor(batches[0][1])).item())
    assert loss[0] == pytest.approx(loss[1], rel=1e-10)
    first, second = averages[0].state_dict(), averages[1].state_dict()
    for name, value in first.items():
        np.testing.assert_allclose(value, second[name].numpy(), rtol=1e-9, atol=1e-11, err_msg=name)


def test_public_names_are_torchs():
    assert set(swa_utils.__all__) == set(torch.optim.swa_utils.__all__)


@pytest.mark.parametrize("name", [*NAMES, "AveragedModel", "SWALR", "update_bn"])
def test_arguments_are_torchs(name):
    mine, reference = (
        inspect.signature(getattr(package, name)).parameters for package in (swa_utils, torch.optim.swa_utils)
    )
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in reference.values()]
