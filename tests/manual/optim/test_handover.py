"""A run handed over in the middle, through ``state_dict``, in either direction: for every optimizer there is."""

import numpy as np
import pytest
import torch

from manual import optim

from .every import OPTIMIZERS, Problem, Runner, as_arrays, as_tensors, distance, shapes_for, undecided

LEG = 5
COPIES = 4
FACTOR = 10
"""How far, in spreads of torch's own runs from starts that differ in their last bit, a run may lie away."""

CASES = [
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1, "betas": (0.6, 0.8)}),
    ("AdamW", {"lr": 0.1, "amsgrad": True}),
    ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.5}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("LBFGS", {"max_iter": 3, "history_size": 4, "lr": 0.5}),
    ("LBFGS", {"max_iter": 2, "line_search_fn": "strong_wolfe"}),
    ("Muon", {"lr": 0.1, "adjust_lr_fn": "match_rms_adamw"}),
    ("SparseAdam", {"lr": 0.1}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.1, "betas": (0.6, 0.8)}),
    ("NAdam", {"lr": 0.1, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.1, "betas": (0.6, 0.8), "weight_decay": 0.1}),
    ("Rprop", {"lr": 0.1}),
    ("ASGD", {"lr": 0.1, "t0": 4, "lambd": 0.1}),
]
CASES = [(name, {}) for name in OPTIMIZERS if name != "LBFGS"] + [case for case in CASES if case[0] in OPTIMIZERS]


def case_id(value):
    return "-".join(f"{k}={v}" for k, v in value.items()) or "defaults" if isinstance(value, dict) else str(value)


def run(runner, steps):
    for step in steps:
        runner.step(step)
    return runner


def handed_over(runner, module):
    """A fresh optimizer of the other wing, with nothing but the parameters and the state dict."""
    other = Runner(module, runner.name, {}, runner.problem, runner.parameters)
    state = runner.optimizer.state_dict()
    other.optimizer.load_state_dict(as_arrays(state) if module is optim else as_tensors(state))
    return other


def relay(modules, name, options, problem, start=None):
    """A run of one leg in each of the wings."""
    runner = run(Runner(modules[0], name, options, problem, *([] if start is None else [start])), range(LEG))
    for leg, module in enumerate(modules[1:], 1):
        runner = run(handed_over(runner, module), range(leg * LEG, (leg + 1) * LEG))
    return runner


@pytest.mark.parametrize("modules", [(optim, torch.optim), (torch.optim, optim)], ids=["ours first", "torch first"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=case_id)
def test_there_and_back_is_one_run_of_torch(name, options, dtype, modules):
    """One that torch saves and loads at the same places: in a float64 run it puts float32 slots into float64 there."""
    problem = Problem(shapes_for(name), dtype)
    expected = relay([torch.optim] * 3, name, options, problem).values()
    spreads = spread_of(expected, name, options, problem)
    third = relay([modules[0], modules[1], modules[0]], name, options, problem)
    actual = third.values()
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        assert (actual[key].shape, actual[key].dtype) == (value.shape, value.dtype), key
        shape = problem.shapes[int(key.split()[1].strip(","))]
        allowed = FACTOR * spreads[family(key)] + undecided(name, third.optimizer, shape, 3 * LEG)
        gap = distance(actual[key], value)
        assert gap <= allowed, f"{key}: gap {gap}, allowed are {allowed}"


def spread_of(expected, name, options, problem):
    """How far torch's own runs part when the start is changed at its last bit, by family; at least a last bit."""
    random, eps = np.random.default_rng(0), np.finfo(problem.dtype).eps
    spreads = dict.fromkeys(map(family, expected), 0.0)
    for key, value in expected.items():
        spreads[family(key)] = max(spreads[family(key)], eps * distance(value, 0))
    for _ in range(COPIES):
        start = [(p * (1 + eps * random.choice([-1, 1], p.shape))).astype(problem.dtype) for p in problem.start]
        found = relay([torch.optim] * 3, name, options, problem, start).values()
        assert found.keys() == expected.keys()
        for key, value in found.items():
            spreads[family(key)] = max(spreads[family(key)], distance(value, expected[key]))
    return spreads


def family(key):
    """What is judged by one scale: the parameters, or one slot of all of them. Single small tensors know too little."""
    return key.partition(", ")[2].partition(".")[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_options_travel(name):
    """Groups with options of their own, to torch and back."""
    problem = Problem(shapes_for(name))
    ours = Runner(optim, name, {}, problem)
    if name != "LBFGS":
        ours.optimizer.param_groups[0]["params"] = ours.tensors[:1]
        ours.optimizer.add_param_group({"params": ours.tensors[1:], "lr": 0.25})
    ours.step(0)
    theirs = Runner(torch.optim, name, {}, problem)
    if name != "LBFGS":
        theirs.optimizer.param_groups[0]["params"] = theirs.tensors[:1]
        theirs.optimizer.add_param_group({"params": theirs.tensors[1:]})
    theirs.optimizer.load_state_dict(as_tensors(ours.optimizer.state_dict()))
    rates = [group["lr"] for group in theirs.optimizer.param_groups]
    assert rates == [group["lr"] for group in ours.optimizer.param_groups]
    before = ours.optimizer.state_dict()
    ours.optimizer.load_state_dict(as_arrays(theirs.optimizer.state_dict()))
    after = ours.optimizer.state_dict()
    for old, new in zip(before["param_groups"], after["param_groups"], strict=True):
        assert old == {key: value for key, value in new.items() if key in old}


# -- the test sees mistakes --------------------------------------------------------------------------------------------


def test_a_state_that_is_left_behind_is_noticed(monkeypatch):
    def without_state(self, state_dict):
        load(self, {**state_dict, "state": {}})

    load = optim.Adam.load_state_dict
    monkeypatch.setattr(optim.Adam, "load_state_dict", without_state)
    with pytest.raises(AssertionError, match="parameter 0: gap"):
        test_there_and_back_is_one_run_of_torch("Adam", {}, "float64", (torch.optim, optim))


def test_a_step_count_that_starts_anew_is_noticed(monkeypatch):
    def with_first_step(self, state_dict):
        load(self, state_dict)
        for slots in self.state.values():
            slots["step"][...] = 0

    load = optim.Adam.load_state_dict
    monkeypatch.setattr(optim.Adam, "load_state_dict", with_first_step)
    with pytest.raises(AssertionError, match="parameter 0: gap"):
        test_there_and_back_is_one_run_of_torch("Adam", {}, "float64", (torch.optim, optim))
