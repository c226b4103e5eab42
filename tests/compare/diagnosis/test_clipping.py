"""Clipping by the wrong norm, to the wrong length, at the wrong time."""

from functools import partial

import numpy as np
import pytest
import torch

import compare
from compare.diagnosis.clipping import _setting

from .trained import Trained, batches, report_on, twin

MISTAKES = [
    ("not clipped", 0.5, "not clipped", "left as they are"),
    ("clipped per tensor", 0.3, "clipped per tensor", "by its own norm"),
    ("clipped per layer", 0.3, "clipped per tensor", "each layer's gradients"),
    ("clipped by value", 0.1, "clipped by value", "cut off at 0.1"),
    ("squared norm", 0.3, "squared norm", "without its root"),
    ("always scaled", 5.0, "always scaled", "even where it is shorter"),
    ("largest magnitude", 0.1, "wrong function", "the largest magnitude"),
    ("sum of magnitudes", 0.3, "wrong function", "the sum of magnitudes"),
    ("without eps", 0.3, "other eps", "left out"),
    ("bias not in the norm", 0.3, "missing term", "leaves output.bias out"),
    ("scaled norm", 0.3, "clipped before unscaling", "the scale 4096"),
    ("norm of the sum", 0.3, "clipped before unscaling", "number of micro-batches, 3"),
    ("half the bound", 0.3, "constant factor", "0.5"),
]


@pytest.mark.parametrize(("wrong", "max_norm", "cause", "says"), MISTAKES, ids=[case[0] for case in MISTAKES])
def test_named(wrong, max_norm, cause, says):
    report = report_on(wrong, max_norm=max_norm)
    assert report.outcome == "diverged"
    assert report.first_divergence.culprit == "clip"
    assert report.causes[0].cause == cause
    assert says in report.causes[0].explanation


def test_right():
    assert report_on(max_norm=0.3).outcome == "equivalent"


def test_clipped_after_the_step():
    report = report_on("clipped after the step", max_norm=0.3)
    assert report.first_divergence.checkpoint.phase == "update"
    assert report.causes[0].cause == "not clipped"
    assert "after the update" in report.causes[0].explanation


def test_a_bound_that_is_never_reached_hides_everything():
    assert report_on("not clipped", max_norm=100.0).outcome == "equivalent"


def test_another_norm_is_unknown():
    assert report_on("odd clip", max_norm=0.3, micro_batches=1).causes[0].cause in ("unknown", "constant factor")
    named = {"squared norm", "clipped before unscaling", "wrong function", "not clipped"}
    assert report_on("odd clip", max_norm=0.3).causes[0].cause not in named


@pytest.mark.parametrize(
    ("clip", "setting"),
    [
        (partial(torch.nn.utils.clip_grad_norm_, max_norm=0.7), ("norm", 0.7, 2.0)),
        (partial(torch.nn.utils.clip_grad_norm_, max_norm=0.7, norm_type=1), ("norm", 0.7, 1.0)),
        (partial(torch.nn.utils.clip_grad_value_, clip_value=0.2), ("value", 0.2, 2.0)),
        (lambda ps: torch.nn.utils.clip_grad_norm_(ps, 0.7), ("norm", 0.7, 2.0)),
        (lambda ps: torch.nn.utils.clip_grad_norm_(ps, 0.7, norm_type=float("inf")), ("norm", 0.7, float("inf"))),
        (lambda ps: torch.nn.utils.clip_grad_norm_(ps, 0.7, norm_type=1.0), ("norm", 0.7, 1.0)),
        (lambda ps: torch.nn.utils.clip_grad_value_(ps, 0.2), ("value", 0.2, 2.0)),
    ],
)
def test_what_the_reference_clips_by(clip, setting):
    class Evidence:
        reference = type("Side", (), {"clip": staticmethod(clip)})

    kind, bound, order = _setting(Evidence)
    assert (kind, order) == (setting[0], setting[2])
    assert np.isclose(bound, setting[1], rtol=1e-12)


def test_clipped_gradients_that_are_not_shown_are_not_called_unclipped():
    class Hidden(Trained):
        """Clips copies: the gradients that it shows are those before the clip, and its updates are right."""

        def step(self):
            held = self.grads
            super().step()
            self.grads = held

    report = compare.training(lambda: Hidden(max_norm=0.3), lambda: twin(max_norm=0.3), batches(), 3)
    assert report.outcome == "equivalent" or report.causes[0].cause != "not clipped"
