"""A trace is written and compared in bounded memory; ``-m campaign`` does it with 5 GB."""

import pytest

from benchmarks.tracing import measure


@pytest.mark.parametrize(
    "gigabytes", [pytest.param(0.1, id="small"), pytest.param(5.0, id="large", marks=pytest.mark.campaign)]
)
def test_memory_does_not_grow_with_the_trace(gigabytes, tmp_path):
    for found in measure(gigabytes, str(tmp_path)):
        assert found["size"] >= gigabytes * 1e9
        assert found["megabytes"] < 100, found
