"""A trace as a side: it shows what was recorded, and says what it cannot."""

import numpy as np
import pytest

import compare
from compare.batches import InputError
from compare.lockstep import walk
from tests.compare.tracing.written import write

STEP = [((None, None), 0.5), ((None, None), 0.5)]


def test_it_agrees_with_itself(tmp_path):
    trace = write(tmp_path / "a")
    verdict = walk(compare.TraceSide(trace), compare.TraceSide(trace), [STEP] * 3)
    assert verdict.outcome == "equivalent", verdict.reason
    assert verdict.coverage.phases["update"].compared == 3


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([STEP] * 4, "ends after step 3, schedule: it has no further step; walk as many as it has"),
        ([[*STEP, STEP[0]]], "has 2 micro-batches in step 1, and the walk asks for number 3"),
        ([STEP[:1]], "has 2 micro-batches in step 1, and the walk has 1; cut the batch as the recording does"),
        ([[((None, None), 1.0)]], "gives micro-batch 1 of step 1 the weight 0.5, and the walk 1"),
    ],
)
def test_a_walk_that_is_another_one(steps, said, tmp_path):
    trace = write(tmp_path / "a")
    verdict = walk(compare.TraceSide(trace), compare.TraceSide(write(tmp_path / "e")), steps)
    assert verdict.outcome == "error"
    assert said in verdict.reason


def test_a_trace_without_initial_values_is_none(tmp_path):
    with compare.TraceWriter(tmp_path / "a") as trace:
        trace.add(1, 1, "accumulated", "w", np.ones(2))
    with pytest.raises(InputError, match="has no initial values"):
        compare.TraceSide(tmp_path / "a")
