"""Both wings side by side: recording, accumulation, the walk by module, and planted faults in the manual wing."""

from functools import partial

import numpy as np
import pytest
import torch

import manual
import manual.models
import manual.training
import torch_ref.models
import torch_ref.training
from compare.batches import cut
from compare.lockstep import lockstep, walk
from compare.measured import HEADROOM
from compare.tolerance import Fixed
from manual import rules
from manual.nn import Module
from manual.rules import losses

generator = np.random.default_rng(4)
X, Y = generator.standard_normal((24, 6)), generator.integers(0, 3, 24)
STEPS = [cut(X, Y, [10, 10, 4])] * 4


class Residual(Module):
    """A block whose input has two consumers, so that the gradient of a tensor is a sum of shares."""

    nn = manual.nn

    def __init__(self, dropout=0.0):
        super().__init__()
        nn = self.nn
        self.inner = nn.Linear(6, 6)
        self.act = nn.Tanh()
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        hidden = self.act(self.inner(x))
        again = self.inner(hidden)
        return self.head(hidden + self.drop(self.act(again)))


class TorchResidual(torch.nn.Module):
    nn = torch.nn
    __init__ = None
    forward = Residual.forward


def _init(self, dropout=0.0):
    torch.nn.Module.__init__(self)
    self.inner, self.act = torch.nn.Linear(6, 6), torch.nn.Tanh()
    self.drop, self.head = torch.nn.Dropout(dropout), torch.nn.Linear(6, 3)


TorchResidual.__init__ = _init


def make(wing, model=None, dtype="float64", clip=0.5, optimizer="Adam", observe=True, penalty=None, **options):
    torch.manual_seed(3)
    reference = TorchResidual(**options).to(getattr(torch, dtype))
    if wing is torch:
        module, side, extra = reference, torch_ref.training.Side, {}
    else:
        module = (model or Residual)(**options).to(dtype)
        module.load_state_dict({name: value.numpy() for name, value in reference.state_dict().items()})
        side, extra = manual.training.Side, {}
    chosen = getattr(wing.optim, optimizer)(module.parameters(), lr=0.05)
    return side(
        module,
        chosen,
        wing.nn.CrossEntropyLoss(),
        wing.optim.lr_scheduler.StepLR(chosen, 2, 0.5),
        partial(wing.nn.utils.clip_grad_norm_, max_norm=clip) if clip else None,
        penalty=penalty,
        observe=observe,
        **extra,
    )


def l2(named):
    return 0.01 * sum((p * p).sum() for name, p in named.items() if name.endswith("weight"))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sync", ["free", "step", "module"])
@pytest.mark.parametrize("options", [{}, {"dropout": 0.4}, {"penalty": l2}], ids=["plain", "dropout", "penalty"])
def test_a_shared_module_in_a_residual_block(sync, options, dtype):
    steps = [[((x.astype(dtype), y), w) for (x, y), w in step] for step in STEPS]
    found = lockstep(
        partial(make, manual, dtype=dtype, **options), partial(make, torch, dtype=dtype, **options), steps, sync=sync
    )
    assert found.outcome == "equivalent", found.reason
    assert set(found.coverage.phases) >= {
        "forward",
        "loss",
        "backward",
        "deposit",
        "accumulated",
        "clip",
        "slots",
        "update",
        "schedule",
    }
    assert "inner [call 1]" in found.coverage.phases["forward"].names
    assert found.coverage.only_actual == found.coverage.only_expected == []
    assert found.tolerance == "measured"
    assert 0 < found.worst_error <= HEADROOM


# -- recording -----------------------------------------------------------------------------------------------------------


class InPlace(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act = torch.nn.Linear(6, 6), torch.nn.ReLU(inplace=True)
        self.second = torch.nn.Linear(6, 3)

    def forward(self, x):
        return self.second(self.act(self.first(x).mul_(1.5)))


@pytest.mark.parametrize(
    "model", [TorchResidual, InPlace, partial(torch_ref.models.MLP, (6, 5, 3))], ids=["residual", "in place", "mlp"]
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_recording_changes_no_bit(model, dtype):
    ends = []
    for observe in (True, False):
        torch.manual_seed(0)
        module = model().to(dtype)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        side = torch_ref.training.Side(module, optimizer, torch.nn.CrossEntropyLoss(), observe=observe)
        terms = [
            torch_ref.training.training_step(side, [((x.astype(str(dtype)[6:]), y), w) for (x, y), w in step])
            for step in STEPS
        ]
        ends.append((terms, [parameter.detach().clone() for parameter in module.parameters()]))
    assert ends[0][0] == ends[1][0]
    assert all(torch.equal(a, b) for a, b in zip(ends[0][1], ends[1][1], strict=True))


def test_what_an_in_place_op_overwrites_is_recorded_as_it_was():
    torch.manual_seed(0)
    module = InPlace().double()
    side = torch_ref.training.Side(module, torch.optim.SGD(module.parameters(), lr=0.0), torch.nn.CrossEntropyLoss())
    x = torch.from_numpy(X)
    with torch.no_grad():
        first = torch.nn.functional.linear(x, module.first.weight, module.first.bias)
        act = torch.relu(1.5 * first)
    for _ in range(3):
        side.accumulate((X, Y), 1.0)
        np.testing.assert_array_equal(side.activations["first", 0, "output"], first.numpy())
        np.testing.assert_array_equal(side.activations["act", 0, "output"], act.numpy())
        np.testing.assert_array_equal(side.inputs["second", 0, "input"], act.numpy())


def test_views_are_handed_out_where_nothing_overwrites_them():
    module = torch_ref.models.MLP((6, 5, 3)).double()
    kept = []
    module.layers[0].register_forward_hook(lambda m, a, output: kept.append(output.detach()))
    side = torch_ref.training.Side(module, torch.optim.SGD(module.parameters(), lr=0.1), torch.nn.CrossEntropyLoss())
    for _ in range(2):
        side.accumulate((X, Y), 1.0)
    assert np.shares_memory(side.activations["layers.0", 0, "output"], kept[-1].numpy())


def test_input_gradients_are_each_consumers_own_share():
    side = make(torch)
    side.accumulate((X, Y), 1.0)
    gradients = side.activation_gradients
    shares = gradients["head", 0, "input"], gradients["inner", 1, "input"]
    np.testing.assert_allclose(gradients["act", 0, "output"], sum(shares), rtol=1e-12)
    mine = make(manual)
    mine.accumulate((X, Y), 1.0)
    assert mine.activation_gradients.keys() == gradients.keys()
    for key, value in gradients.items():
        np.testing.assert_allclose(mine.activation_gradients[key], value, rtol=1e-9, atol=1e-15, err_msg=str(key))


def test_dropout_masks_are_those_that_torch_used():
    side = make(torch, dropout=0.4)
    side.accumulate((X, Y), 1.0)
    kept = side.activations["act", 1, "output"] * side.draws["drop", 0] / 0.6
    np.testing.assert_allclose(side.activations["drop", 0, "output"], kept, rtol=1e-14)
    assert 0.3 < side.draws["drop", 0].mean() < 0.9


# -- the training step -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wing", [manual, torch], ids=["manual", "torch"])
@pytest.mark.parametrize("sizes", [[24], [12, 12], [10, 10, 4], [1] * 24])
@pytest.mark.parametrize("penalty", [None, l2], ids=["plain", "penalty"])
def test_weighted_micro_batches_add_up_to_the_full_batch(wing, sizes, penalty):
    whole, parts = make(wing, penalty=penalty), make(wing, penalty=penalty)
    whole.accumulate((X, Y), 1.0)
    for micro_batch, weight in cut(X, Y, sizes):
        parts.accumulate(micro_batch, weight)
    for name, gradient in whole.gradients.items():
        np.testing.assert_allclose(parts.gradients[name], gradient, rtol=1e-10, atol=1e-14)


def test_the_record_callback_hears_every_phase_in_order():
    heard = []
    model = manual.models.MLP((6, 4, 3)).double()
    optimizer = manual.optim.Adam(model.parameters())
    side = manual.training.Side(
        model,
        optimizer,
        manual.nn.CrossEntropyLoss(),
        manual.optim.lr_scheduler.StepLR(optimizer, 1),
        partial(manual.nn.utils.clip_grad_norm_, max_norm=1.0),
        record=lambda phase, name, call, label, value: heard.append((phase, name, label)),
    )
    manual.training.training_step(side, cut(X, Y, 2))
    phases = list(dict.fromkeys(phase for phase, _, _ in heard))
    assert phases == [
        "forward",
        "loss",
        "backward",
        "deposit",
        "accumulated",
        "clip",
        "slots",
        "update",
        "parameter",
        "schedule",
    ]
    assert ("slots", "layers.0.weight", "exp_avg_sq") in heard
    assert [name for phase, name, _ in heard if phase == "forward"][:4] == [
        "layers.0",
        "layers.1",
        "layers.2",
        "layers",
    ]


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_state_goes_over_in_the_middle(optimizer):
    mine, theirs = make(manual, optimizer=optimizer), make(torch, optimizer=optimizer)
    for step in STEPS[:2]:
        torch_ref.training.training_step(theirs, step)
    mine.load_state(theirs.state())
    assert walk(mine, theirs, STEPS).outcome == "equivalent"


# -- planted faults in the manual wing: each found, placed, and in a walk by module blamed once ----------------------------


def spoil(monkeypatch, module, name, change):
    """Replace a rule by one whose value or pullback is changed."""
    right = getattr(module, name)

    def wrong(*args, **kwargs):
        value, pullback = right(*args, **kwargs)
        return change(value, pullback)

    for attribute in ("promotes",):
        if hasattr(right, attribute):
            setattr(wrong, attribute, getattr(right, attribute))
    wrong.__name__ = name
    monkeypatch.setattr(module, name, wrong)
    return wrong


def forward_of(value, pullback):
    return value * (1 + 1e-6), pullback


def backward_of(value, pullback):
    return value, lambda g, needs: tuple(None if x is None else x * (1 + 1e-6) for x in pullback(g, needs))


class WrongGlue(Residual):
    def forward(self, x):
        hidden = self.act(self.inner(x))
        again = self.inner(hidden)
        return self.head(hidden + self.drop(self.act(again)) * (1 + 1e-6))


def test_a_wrong_activation_is_placed_forward_and_backward(monkeypatch):
    for change, phase in ((forward_of, "forward"), (backward_of, "backward")):
        with monkeypatch.context() as patch:
            wrong = spoil(patch, rules, "tanh", change)
            patch.setattr(manual.nn.Tanh, "_rule", staticmethod(wrong))
            for sync in ("free", "module"):
                found = lockstep(partial(make, manual), partial(make, torch), STEPS, sync=sync)
                first = found.first_divergence
                assert (first.checkpoint.phase, first.culprit, first.checkpoint.step, first.own) == (
                    phase,
                    "act",
                    1,
                    True,
                )
            assert {d.culprit for d in found.divergences} == {"act"}


def test_a_wrong_loss_gradient_is_the_losss(monkeypatch):
    wrong = spoil(monkeypatch, losses, "cross_entropy", backward_of)
    monkeypatch.setattr(manual.nn.CrossEntropyLoss, "_rule", staticmethod(wrong))
    for sync in ("free", "step", "module"):
        found = lockstep(partial(make, manual), partial(make, torch), STEPS, sync=sync)
        first = found.first_divergence
        assert (first.checkpoint.phase, first.checkpoint.name, first.culprit) == ("backward", "loss", "loss")
    assert {d.culprit for d in found.divergences} == {"loss"}


def test_wrong_glue_is_the_containers_and_only_the_containers():
    for sync in ("free", "module"):
        found = lockstep(partial(make, manual, WrongGlue), partial(make, torch), STEPS, sync=sync)
        assert found.outcome == "diverged"
    assert {d.culprit for d in found.divergences} == {"(model)"}


def test_three_independent_faults_show_in_one_walk_by_module(monkeypatch):
    monkeypatch.setattr(manual.nn.Tanh, "_rule", staticmethod(spoil(monkeypatch, rules, "tanh", backward_of)))
    wrong = spoil(monkeypatch, losses, "cross_entropy", forward_of)
    monkeypatch.setattr(manual.nn.CrossEntropyLoss, "_rule", staticmethod(wrong))
    right = manual.optim.Adam.update
    monkeypatch.setattr(
        manual.optim.Adam, "update", lambda s, p, g, slots, group: right(s, p, g, slots, {**group, "eps": 1e-3})
    )
    found = lockstep(partial(make, manual), partial(make, torch), STEPS[:1], sync="module")
    assert {(d.checkpoint.phase, d.culprit) for d in found.divergences} == {
        *(("loss", "loss"), ("backward", "act"), ("update", "optimizer"), ("parameter", "optimizer"))
    }
    first = lockstep(partial(make, manual), partial(make, torch), STEPS, sync="free").first_divergence
    assert (first.checkpoint.phase, first.culprit) == ("loss", "loss")


@pytest.mark.parametrize(
    ("spoiled", "phase", "culprit", "step"),
    [
        (lambda side: setattr(side, "zero_grad", lambda: None), "accumulated", "accumulation", 2),
        (lambda side: setattr(side, "clip", partial(manual.nn.utils.clip_grad_norm_, max_norm=0.4)), "clip", "clip", 1),
        (
            lambda side: setattr(side, "clip", lambda ps: next(manual.nn.utils.clip_grad_norm_(p, 0.5) for p in ps)),
            "clip",
            "clip",
            1,
        ),
        (lambda side: setattr(side.scheduler, "gamma", 0.4), "schedule", "scheduler", 2),
        (lambda side: side.optimizer.param_groups[0].update(eps=1e-6), "update", "optimizer", 1),
        (lambda side: side.optimizer.param_groups[0].update(betas=(0.8, 0.999)), "slots", "optimizer", 1),
    ],
    ids=["zero_grad", "max_norm", "per tensor", "gamma", "eps", "betas"],
)
@pytest.mark.parametrize("sync", ["free", "step", "module"])
def test_a_fault_of_the_step_is_placed(spoiled, phase, culprit, step, sync):
    def side():
        made = make(manual)
        spoiled(made)
        return made

    first = lockstep(side, partial(make, torch), STEPS, sync=sync).first_divergence
    assert (first.checkpoint.phase, first.culprit, first.checkpoint.step) == (phase, culprit, step)


# -- tolerance ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "wrong"), [("float64", 1e-9), ("float32", 1e-3)])
def test_the_fixed_table_sees_a_small_relative_error_in_every_phase(dtype, wrong):
    from compare.checkpoint import PHASES, Checkpoint
    from compare.difference import difference
    from compare.tolerance import FIXED

    class Nothing:
        def magnitude(self):
            return None

        def parameter_scale(self):
            return 0.0

        def update_scale(self):
            return 0.0

    expected = generator.standard_normal(50).astype(dtype)
    assert set(FIXED) == set(PHASES)
    for phase in PHASES:
        for factor, agrees in ((1 + 2 * wrong, False), (1.0, True)):
            found = difference((expected * np.asarray(factor, dtype)).astype(dtype), expected)
            judgement = Fixed(dtype).judge(Checkpoint(1, 1, phase, "x"), (None, None), found, Nothing(), 0.0)
            assert judgement.agrees is agrees, phase


def test_near_convergence_the_sums_are_the_yardstick():
    """At the least-squares solution every gradient is rounding: relative to itself it is anything, both sides right."""
    x = generator.standard_normal((200, 3)) + 5
    y = (x @ np.array([[1.0], [2.0], [-1.0]]) + generator.standard_normal((200, 1))) * 100
    a = np.column_stack([x, np.ones(200)])
    solution = np.linalg.lstsq(a, y, rcond=None)[0][:, 0]

    def side(wing, training):
        module = wing.nn.Linear(3, 1).double()
        module.load_state_dict(
            {
                k: (torch.tensor(v) if wing is torch else v)
                for k, v in {"weight": solution[None, :3], "bias": solution[3:]}.items()
            }
        )
        optimizer = wing.optim.SGD(module.parameters(), lr=1e-3)
        return training.Side(module, optimizer, wing.nn.MSELoss())

    found = walk(side(manual, manual.training), side(torch, torch_ref.training), [cut(x, y, 1)] * 3)
    gradients = found.sides[1].gradients
    assert max(np.abs(g).max() for g in gradients.values()) < 1e-8
    assert found.outcome == "equivalent", found.reason
    assert found.worst_error < 1e-13


def test_a_wrong_dropout_is_a_divergence_and_not_taken_for_chance(monkeypatch):
    wrong = spoil(monkeypatch, rules, "dropout", forward_of)
    assert rules.dropout is wrong
    monkeypatch.setattr(manual.nn.Dropout, "_rule", staticmethod(wrong))
    for sync in ("free", "module"):
        found = lockstep(partial(make, manual, dropout=0.4), partial(make, torch, dropout=0.4), STEPS, sync=sync)
        assert found.outcome == "diverged", found.reason
        first = found.first_divergence
        assert (first.checkpoint.phase, first.culprit) == ("forward", "drop")
