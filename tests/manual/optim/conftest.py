"""One thread: the tensors here are too small to gain from several, and lose much by them on a busy machine."""

import pytest
import threadpoolctl
import torch


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1):
        yield
    torch.set_num_threads(threads)
