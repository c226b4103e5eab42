"""A failing case is made small, and still fails in the same way."""

import time

import pytest

import manual.nn
from compare.fuzz.campaign import Finding, judged
from compare.fuzz.case import Case
from compare.fuzz.shrink import shrink

from .planted import TANH, raising, wrong_slope

LARGE = Case.parse(TANH)


@pytest.mark.parametrize(
    ("planted", "signature"),
    [(wrong_slope, ("diverged", "backward")), (raising, ("error", "ZeroDivisionError: no tangent of  values"))],
)
def test_a_planted_fault_is_left_with_next_to_nothing_around_it(monkeypatch, planted, signature):
    monkeypatch.setattr(manual.nn.Tanh, "_rule", staticmethod(planted))
    found = judged(LARGE)
    small = shrink(LARGE, found, seconds=60)
    again = judged(small)
    assert found.signature == again.signature == signature
    assert small.activations == ("Tanh",)
    assert (small.steps, small.parts, small.inputs, small.outputs, small.hidden) == (1, (1,), 1, 1, (1,))
    assert (small.optimizer, small.loss, small.schedule, small.clip) == ("SGD:lr=0.1", "MSELoss", "", "")
    assert (small.dtype, small.scale, small.fresh) == ("float64", 1.0, False)


def predicate(fails):
    def run(case):
        return Finding(-1, "diverged" if fails(case) else "equivalent", "", 0.0)

    return run


@pytest.mark.parametrize(
    ("fails", "kept"),
    [
        (lambda case: case.rows >= 3 and len(case.parts) == 2, {"parts": (1, 2)}),
        (lambda case: case.steps >= 2, {"steps": 2}),
        (lambda case: "weight_decay" in case.optimizer, {"optimizer": "AdamW:lr=0.01:weight_decay=0.1"}),
        (lambda case: "Softplus:2.0" in case.activations, {"activations": ("Softplus:2.0",)}),
        (lambda case: max(case.hidden, default=0) >= 7, {"hidden": (7,)}),
        (lambda case: case.inputs > 5 and case.scale == 10, {"inputs": 6, "scale": 10.0}),
        (lambda case: case.clip != "", {"clip": "norm:1.0"}),
    ],
)
def test_what_a_failure_needs_is_kept_and_nothing_else(fails, kept):
    small = shrink(LARGE, Finding(-1, "diverged", "", 0.0), run=predicate(fails))
    assert fails(small)
    assert {name: getattr(small, name) for name in kept} == kept
    if "activations" not in kept and "hidden" not in kept:
        assert small.hidden == ()


def test_another_failure_is_not_taken_for_the_same():
    small = shrink(
        LARGE,
        Finding(-1, "diverged", "", 0.0, phase="update"),
        run=lambda case: Finding(-1, "diverged", "", 0.0, phase="update" if case.steps > 1 else "forward"),
    )
    assert small.steps == 2


def test_the_time_is_bounded():
    def slow(case):
        time.sleep(0.02)
        return Finding(-1, "diverged", "", 0.0)

    start = time.monotonic()
    small = shrink(LARGE, Finding(-1, "diverged", "", 0.0), seconds=0.1, run=slow)
    assert time.monotonic() - start < 2
    assert small != LARGE
    assert shrink(LARGE, Finding(-1, "diverged", "", 0.0), seconds=-1, run=slow) == LARGE
