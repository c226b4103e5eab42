"""Random honest experiments: no false alarm, and hardly one without a verdict.

Five hundred run with every other test, in chunks that several processes can share; ten thousand with ``-m campaign``.
"""

import os

import pytest

from compare.fuzz import command
from compare.fuzz.campaign import campaign
from compare.fuzz.generate import case
from compare.verdict import Outcome

SEED = 3
CHUNK = 50


def described(seed, findings):
    return "\n".join(f"{found.outcome}: {found.reason}\n  {case(seed, found.number).command}" for found in findings)


@pytest.mark.parametrize("first", range(0, 500, CHUNK))
def test_five_hundred_experiments_without_a_false_alarm(first):
    found = []
    campaign(SEED, range(first, first + CHUNK), on_finding=found.append)
    assert len(found) == CHUNK
    failed = [finding for finding in found if finding.failed]
    assert not failed, described(SEED, failed)
    assert sum(finding.outcome == Outcome.EQUIVALENT for finding in found) >= 0.85 * CHUNK


@pytest.mark.campaign
def test_ten_thousand_experiments_without_a_false_alarm():
    summary = command.run(10_000, 2024, jobs=os.cpu_count() or 1)
    assert len(summary.findings) == 10_000
    assert not summary.failures, command.text(summary)
    assert summary.outcomes[Outcome.EQUIVALENT] >= 9_000
