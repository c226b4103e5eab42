"""Wrong functions that the diagnosis was never tuned on: detected, and named rightly or not at all.

``score()`` returns what the last test judges, one row a mistake; nothing here may change to suit the diagnosis.
"""

from functools import cache
from typing import NamedTuple

import pytest

from compare.diagnosis.catalogue import UNKNOWN

from ..cases import judge
from . import blocks, loops, own_updates, regression, updates

TOPICS = (regression, blocks, updates, own_updates, loops)
CASES = {case.id: case for topic in TOPICS for case in topic.CASES}
RIGHT = {case.id.partition("-")[0]: case for case in CASES.values()}


class Row(NamedTuple):
    """What came out for one mistake."""

    id: str
    place: str
    named: str
    accepted: frozenset[str]

    @property
    def right(self):
        return self.named in self.accepted

    def __str__(self):
        verdict = "right" if self.right else "missed" if self.named == UNKNOWN else "WRONG"
        return f"{verdict} | {self.id} | {self.place} | {self.named} | {', '.join(sorted(self.accepted))}"


@cache
def report_on(name):
    return judge(CASES[name], CASES[name].wrong)


def score(names=None):
    """One row a mistake, of all or of these ids."""
    rows = []
    for name in names or CASES:
        report = report_on(name)
        place = report.first_divergence.where if report.first_divergence else "nowhere"
        rows.append(Row(name, place, report.causes[0].cause if report.causes else UNKNOWN, CASES[name].accepted))
    return rows


def test_the_set():
    assert len(CASES) == sum(len(topic.CASES) for topic in TOPICS), "two mistakes have one id"
    assert len(CASES) >= 70


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
    wrong = [row for row in missed if row.named != UNKNOWN]
    share = 1 - len(missed) / len(rows)
    listed = "\n".join(map(str, missed))
    message = f"{share:.1%} of {len(rows)} named rightly, {len(wrong)} named wrongly:\n{listed}"
    assert share >= 0.8, message
    assert not wrong, message
