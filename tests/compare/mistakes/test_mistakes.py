"""Wrong functions as a user would write them are detected through the calls alone, and named so that the user finds them.

``score()`` returns what the last test judges, one row a mistake.
"""

from functools import cache
from typing import NamedTuple

import pytest

from compare.diagnosis.catalogue import UNKNOWN

from . import attention, convolution, layers, linear_models, networks, optimizers, recurrent, training_loops
from .cases import judge

TOPICS = (linear_models, networks, layers, attention, convolution, recurrent, optimizers, training_loops)
CASES = {case.id: case for topic in TOPICS for case in topic.CASES}
RIGHT = {case.id.partition("-")[0]: case for case in CASES.values()}


class Row(NamedTuple):
    """What came out for one mistake."""

    id: str
    outcome: str
    place: str
    named: str
    residual: float | None
    accepted: frozenset[str]

    @property
    def right(self):
        return self.named in self.accepted

    @property
    def wrong(self):
        return not self.right and self.named != UNKNOWN

    def __str__(self):
        expected = " or ".join(sorted(self.accepted)) or UNKNOWN
        residual = "" if self.residual is None else f" ({self.residual:.1e})"
        return f"{self.id}: {self.outcome} at {self.place}; named {self.named}{residual}, right is {expected}"


@cache
def report_on(name):
    return judge(CASES[name], CASES[name].wrong)


def score(names=None):
    """One row a mistake, of all or of these ids."""
    rows = []
    for name in names or CASES:
        report = report_on(name)
        best = report.causes[0] if report.causes else None
        rows.append(
            Row(
                name,
                str(report.outcome),
                report.first_divergence.where if report.first_divergence else "nowhere",
                best.cause if best else UNKNOWN,
                best.residual if best else None,
                CASES[name].accepted,
            )
        )
    return rows


def test_the_set():
    calls = [case.call for case in CASES.values()]
    assert len(CASES) == sum(len(topic.CASES) for topic in TOPICS), "two mistakes have one id"
    assert len(CASES) >= 200
    assert min(calls.count(call) for call in ("gradients", "optimizer", "training")) >= 25


@pytest.mark.parametrize("topic", RIGHT)
def test_right_functions_are_equivalent(topic):
    report = judge(RIGHT[topic], RIGHT[topic].right)
    assert report.outcome == "equivalent", str(report)


@pytest.mark.parametrize("name", CASES)
def test_wrong_functions_diverge(name):
    report = report_on(name)
    assert report.outcome == "diverged", f"{CASES[name].says}\n{report}"


def test_mistakes_are_named():
    rows = score()
    missed = [row for row in rows if not row.right]
    listed = "\n".join(str(row) for row in sorted(missed, key=lambda row: (not row.wrong, row.id)))
    wrong = [row for row in missed if row.wrong]
    share = 1 - len(missed) / len(rows)
    message = f"{share:.1%} of {len(rows)} named rightly, {len(wrong)} named wrongly:\n{listed}"
    assert share >= 0.8, message
    assert not wrong, message
