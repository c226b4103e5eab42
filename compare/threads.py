"""The one place where threads are set.

NumPy's BLAS and PyTorch each keep a pool of threads that spin while they wait. In one process they take the cores from
each other, and a lockstep run becomes up to ten times slower. So both get the same small number.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from compare.batches import InputError

__all__ = ["thread_count", "threads"]

VARIABLE = "GRADLOCK_THREADS"
MOST = 1024


def thread_count() -> int:
    """How many threads each side gets: 1, or what the environment variable ``GRADLOCK_THREADS`` says.

    Raises
    ------
    InputError
        If the variable is not a whole number from 1 to 1024.
    """
    value = os.environ.get(VARIABLE, "1")
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= MOST):
        raise InputError(f"{VARIABLE} is {value!r}; it must be a whole number of at least 1 and at most {MOST}")
    return int(value)


@contextmanager
def threads(count: int | None = None) -> Iterator[int]:
    """Give NumPy's and PyTorch's pools ``count`` threads each while the context lasts; yields the count."""
    import torch
    from threadpoolctl import threadpool_limits

    count = thread_count() if count is None else count
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(limits=count, user_api="blas"):
            yield count
    finally:
        torch.set_num_threads(before)
