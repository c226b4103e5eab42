"""The rules of the diagnosis are torch's, step by step, slot by slot, while the rate moves."""

import numpy as np
import pytest
import torch

from compare.diagnosis.updates.decay import coupled, decays_apart, decoupled, with_decay
from compare.diagnosis.updates.rules import RULES, WHOLE, Turn
from compare.diagnosis.updates.variants import VARIANTS

CASES = [
    ("ASGD", {"lr": 0.1, "lambd": 0.02, "alpha": 0.6, "t0": 3, "weight_decay": 0.1}),
    ("ASGD", {"lr": 0.1}),
    ("Adadelta", {"lr": 0.7, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("Adadelta", {"maximize": True}),
    ("Adafactor", {"lr": 0.6, "weight_decay": 0.1, "d": 1.2}),
    ("Adafactor", {"eps": (1e-3, 0.3)}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.1}),
    ("Adamax", {"lr": 0.1, "eps": 1e-2, "betas": (0.8, 0.7), "weight_decay": 0.1}),
    ("Muon", {"lr": 0.1}),
    ("Muon", {"nesterov": False, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3}),
    ("NAdam", {"lr": 0.1, "momentum_decay": 0.3, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.1, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.1, "betas": (0.8, 0.99), "eps": 1e-2, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("Rprop", {"lr": 0.1, "step_sizes": (0.04, 0.13)}),
    ("SGD", {"momentum": 0.8, "nesterov": True}),
    ("SparseAdam", {"lr": 0.1, "eps": 1e-2}),
]
SHAPES = {"matrix": (5, 3), "wide": (2, 4), "vector": (5,), "cube": (2, 3, 4)}
ROUNDED = {"Muon": 0.05}
"""Muon iterates in bfloat16, and other sums round otherwise."""


@pytest.mark.parametrize(("kind", "options"), CASES, ids=lambda value: value if isinstance(value, str) else None)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_rule_is_torchs(kind, options, shape):
    if kind == "Muon" and len(SHAPES[shape]) != 2:
        pytest.skip("Muon takes matrices")
    random = np.random.default_rng(3)
    theta = random.standard_normal(SHAPES[shape])
    parameter = torch.nn.Parameter(torch.from_numpy(theta.copy()))
    optimizer = getattr(torch.optim, kind)([parameter], **options)
    group = optimizer.param_groups[0]
    rule = with_decay(RULES[kind], decoupled if decays_apart(kind, group) else coupled)
    slots = {}
    for t in range(1, 11):
        g = random.standard_normal(theta.shape) * (random.random((len(theta),) + (1,) * (theta.ndim - 1)) < 0.7)
        if t == 6:
            group["lr"] = 0.3 * group["lr"]
        given = torch.from_numpy(g.copy())
        parameter.grad = given.to_sparse(1) if kind == "SparseAdam" else given
        held = parameter.detach().numpy().copy()
        optimizer.step()
        own = {key: value for key, value in group.items() if key != "params"}
        if kind == "Adafactor" and own["eps"][0] is None:
            own["eps"] = (float(np.finfo(theta.dtype).eps), own["eps"][1])
        if not np.any(g) and kind == "SparseAdam":
            continue
        change = rule(Turn(held, g, slots, t, own))
        tolerance = ROUNDED.get(kind, 1e-12)
        np.testing.assert_allclose(held + change, parameter.detach().numpy(), rtol=tolerance, atol=tolerance * 0.1)
        for name, value in optimizer.state[parameter].items():
            if kind != "SparseAdam" or name != "step":
                np.testing.assert_allclose(slots[name], np.asarray(value), rtol=1e-7, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("kind", RULES)
def test_every_variant_is_another_rule_somewhere(kind):
    options = next(options for name, options in CASES if name == kind)
    optimizer = getattr(torch.optim, kind)([torch.nn.Parameter(torch.zeros(2, 2))], **options)
    own = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
    if kind == "Adafactor":
        own["eps"] = (1e-3, 0.3)
    variants = list(VARIANTS[kind](own))
    assert len(variants) >= 12
    assert len({variant.says for variant in variants}) == len(variants)
    for variant in variants:
        turn = Turn(np.ones((3, 2)), np.full((3, 2), 0.4), {}, 1, variant.options(own) if variant.options else own)
        with np.errstate(all="ignore"):
            assert np.shape(RULES[kind](turn, **variant.changes)) == (3, 2), variant.says


def test_what_needs_the_whole_parameter_is_marked():
    random = np.random.default_rng(3)
    theta, g = random.standard_normal((2, 4, 3))
    for kind, options in dict(CASES).items():
        optimizer = getattr(torch.optim, kind)([torch.nn.Parameter(torch.zeros(2, 2))], **options)
        own = {"eps": (1e-3, 0.3)} | {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
        if kind == "Adafactor":
            own["eps"] = (1e-3, 0.3)
        whole = RULES[kind](Turn(theta, g, {}, 1, own))
        flat = RULES[kind](Turn(theta.reshape(-1)[:1], g.reshape(-1)[:1], {}, 1, own))
        assert np.allclose(whole.reshape(-1)[:1], flat) == (kind not in WHOLE or kind == "SparseAdam"), kind
