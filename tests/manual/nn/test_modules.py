"""What a module shows and what it does cannot part: attributes are live, and repr, modes and names are torch's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from manual import nn
from manual.nn import functional

from ..oracle import assert_close, check, random

x = random(4, 6, seed=1)

SHOWN = [
    ("ReLU", {}), ("ReLU", {"inplace": True}), ("ReLU6", {"inplace": True}), ("LeakyReLU", {"inplace": True}), ("ELU", {}),
    ("ELU", {"inplace": True}), ("SELU", {"inplace": True}), ("CELU", {"alpha": 2.0, "inplace": True}), ("GELU", {}),
    ("Sigmoid", {}), ("LogSigmoid", {}), ("Tanh", {}), ("Hardtanh", {"inplace": True}), ("Softplus", {}), ("Softsign", {}),
    ("SiLU", {"inplace": True}), ("Mish", {"inplace": True}), ("Tanhshrink", {}), ("Hardshrink", {}), ("Softshrink", {"lambd": 0.2}),
    ("Threshold", {"threshold": 0.1, "value": 20, "inplace": True}), ("Hardsigmoid", {}), ("Hardswish", {}), ("PReLU", {}),
    ("GLU", {}), ("Softmax", {"dim": 1}), ("LogSoftmax", {"dim": 0}), ("Softmin", {"dim": -1}), ("Dropout", {"p": 0.2}),
    ("Identity", {}), ("Unflatten", {"dim": 1, "unflattened_size": (2, 3)}), ("Linear", {"in_features": 2, "out_features": 3, "bias": False}),
    ("MSELoss", {}), ("BCELoss", {}), ("CrossEntropyLoss", {}), ("HuberLoss", {"delta": 2.0}), ("KLDivLoss", {"reduction": "batchmean"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), SHOWN, ids=str)
def test_repr_is_torchs(name, options):
    assert repr(getattr(nn, name)(**options)) == repr(getattr(torch.nn, name)(**options))


CHANGED = [
    ("LeakyReLU", {}, {"negative_slope": 0.4}), ("ELU", {}, {"alpha": 3.0}), ("GELU", {}, {"approximate": "tanh"}),
    ("Hardtanh", {}, {"min_val": -0.1, "max_val": 0.3}), ("Softplus", {}, {"beta": 3.0, "threshold": 1.0}),
    ("Hardshrink", {}, {"lambd": 1.0}), ("Softmax", {"dim": 1}, {"dim": 0}), ("GLU", {}, {"dim": 0}),
    ("Threshold", {"threshold": 0.0, "value": 1.0}, {"threshold": 0.5, "value": -2.0}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after"), CHANGED, ids=str)
def test_an_attribute_that_is_changed_takes_effect(name, before, after):
    mine, theirs = getattr(nn, name)(**before), getattr(torch.nn, name)(**before)
    for module in (mine, theirs):
        for key, value in after.items():
            setattr(module, key, value)
    check(mine, theirs, [x], factor=4)
    assert repr(mine) == repr(theirs)


LABELS = np.array([0, 5, 2, 2])
LOSSES_CHANGED = [
    ("MSELoss", x[::-1].copy(), {"reduction": "sum"}), ("HuberLoss", x[::-1].copy(), {"delta": 0.2, "reduction": "none"}),
    ("SmoothL1Loss", x[::-1].copy(), {"beta": 0.2}), ("CrossEntropyLoss", LABELS, {"label_smoothing": 0.3, "ignore_index": 2}),
    ("NLLLoss", LABELS, {"ignore_index": 2}), ("MultiMarginLoss", LABELS, {"p": 2, "margin": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "target", "after"), LOSSES_CHANGED, ids=lambda v: v if isinstance(v, str) else "")
def test_an_attribute_of_a_loss_that_is_changed_takes_effect(name, target, after):
    mine, theirs = getattr(nn, name)(), getattr(torch.nn, name)()
    for module in (mine, theirs):
        for key, value in after.items():
            setattr(module, key, value)
    check(mine, theirs, [x], constants=[target])


@pytest.mark.parametrize("name", ["BCELoss", "BCEWithLogitsLoss", "NLLLoss", "CrossEntropyLoss", "MultiMarginLoss"])
def test_weights_are_buffers_and_replaceable(name):
    weight, other = random(6, low=0.5, high=2, seed=2), random(6, low=0.5, high=2, seed=3)
    mine, theirs = getattr(nn, name)(weight=weight), getattr(torch.nn, name)(weight=torch.tensor(weight))
    assert list(mine.state_dict()) == list(theirs.state_dict()) == ["weight"]
    mine.load_state_dict({"weight": other})
    theirs.load_state_dict({"weight": torch.tensor(other)})
    binary = name.startswith("BCE")
    inputs = [1 / (1 + np.exp(-x))] if binary else [x]
    check(mine, theirs, inputs, constants=[(random(4, 6, seed=4) > 0) * 1.0 if binary else LABELS])
    assert not list(getattr(nn, name)().state_dict())


def test_pos_weight_is_a_buffer_too():
    pos_weight = random(6, low=0.5, high=2, seed=2)
    mine = nn.BCEWithLogitsLoss(pos_weight=pos_weight)
    theirs = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(pos_weight))
    assert list(mine.state_dict()) == list(theirs.state_dict()) == ["pos_weight"]
    check(mine, theirs, [x], constants=[(random(4, 6, seed=4) > 0) * 1.0])


@pytest.mark.filterwarnings("ignore:Using a target size:UserWarning")
@pytest.mark.parametrize("shapes", [((4, 6), (4, 6)), ((4, 1), (4,)), ((), ()), ((3,), (2, 3))], ids=str)
def test_the_denominator_of_a_loss_of_elements(shapes):
    a, b = (random(*shape, seed=i) for i, shape in enumerate(shapes))
    for name in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"):
        mean, total = getattr(nn, name)(), getattr(nn, name)(reduction="sum")
        assert mean.denominator(a, b) == pytest.approx(total(a, b).item() / mean(a, b).item())
        assert total.denominator(manual.tensor(a), manual.tensor(b)) == mean.denominator(a, b)


# -- functional: weights of the elements -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("name", "options"), [("mse_loss", {}), ("l1_loss", {}), ("huber_loss", {"delta": 0.5})])
def test_element_weights(name, options, reduction):
    if "weight" not in F.mse_loss.__code__.co_varnames:
        pytest.skip("this torch has no weights for losses of differences")
    inputs = [x, x[::-1].copy(), random(4, 6, low=0.5, high=2, seed=3)]

    def weighted(library):
        return lambda a, b, w: getattr(library, name)(a, b, reduction=reduction, weight=w, **options)

    check(weighted(functional), weighted(F), inputs)
    with pytest.raises(ValueError, match="same size"):
        weighted(functional)(x, x, np.ones(6))
    with pytest.raises(ValueError, match="avg is not a valid value for reduction"):
        getattr(functional, name)(x, x, reduction="avg", weight=np.ones((4, 6)))


# -- modes and masks -------------------------------------------------------------------------------------------------------


def test_modes_reach_the_whole_tree():
    model = nn.Sequential(nn.Linear(6, 6), nn.Sequential(nn.Dropout(0.5), nn.Tanh()))
    assert model.train() is model
    model.eval()
    assert not any(module.training for module in model.modules())
    value = model(manual.tensor(x.astype(np.float32)))
    np.testing.assert_array_equal(value.data, model(manual.tensor(x.astype(np.float32))).data)
    model[1].train()
    assert (model.training, model[1][0].training) == (False, True)


@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_dropout_in_training_hands_back_gradients_through_the_same_mask(p):
    layer = nn.Dropout(p)
    a = manual.tensor(x, requires_grad=True)
    seed = random(4, 6, seed=9)
    out = layer(a)
    out.backward(seed)
    factor = 0.0 if p == 1 else layer.last_mask / (1 - p)
    assert_close(out.data, x * factor, 1e-15, "output")
    assert_close(a.grad, seed * factor, 1e-15, "gradient")


def test_masks_are_replayed_in_order_and_then_drawn_again():
    layer = nn.Dropout(0.5)
    masks = [random(4, 6, seed=s) > 0 for s in (1, 2)]
    layer.replay(*masks)
    for mask in masks:
        layer(manual.tensor(x))
        np.testing.assert_array_equal(layer.last_mask, mask)
    manual.manual_seed(3)
    layer(manual.tensor(x))
    assert not any(np.array_equal(layer.last_mask, mask) for mask in masks)
    layer.replay(masks[0], masks[1])
    layer.replay(masks[1])
    layer(manual.tensor(x))
    np.testing.assert_array_equal(layer.last_mask, masks[1])
