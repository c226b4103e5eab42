"""One thread: the tensors here are too small to gain from several, and lose much by them on a busy machine."""

import pytest

from compare.threads import threads


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    with threads(1):
        yield
