"""The pytest fixture ``equivalence``: the calls of :mod:`compare`, each of which fails the test with its report.

PyTorch and NumPy are imported when a test first makes a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from compare.report.report import Report

__all__ = ["Equivalence", "equivalence"]


class Equivalence:
    """What a test demands: each method takes the arguments of the call of that name, and returns its report.

    Anything but ``equivalent`` fails the test, an abstention too: a test that compared nothing proves nothing.
    """

    def gradients(self, *args: Any, **options: Any) -> Report:
        """Demand that hand-derived gradients are autograd's: see :func:`compare.gradients`."""
        __tracebackhide__ = True
        return _demanded("gradients", args, options)

    def module(self, *args: Any, **options: Any) -> Report:
        """Demand that a layer is PyTorch's, forward and backward: see :func:`compare.module`."""
        __tracebackhide__ = True
        return _demanded("module", args, options)

    def optimizer(self, *args: Any, **options: Any) -> Report:
        """Demand that an update is that of an optimizer of PyTorch: see :func:`compare.optimizer`."""
        __tracebackhide__ = True
        return _demanded("optimizer", args, options)

    def training(self, *args: Any, **options: Any) -> Report:
        """Demand that training steps are PyTorch's: see :func:`compare.training`."""
        __tracebackhide__ = True
        return _demanded("training", args, options)

    def traces(self, *args: Any, **options: Any) -> Report:
        """Demand that a recorded trace is that of the reference: see :func:`compare.traces`."""
        __tracebackhide__ = True
        return _demanded("traces", args, options)


def _demanded(call: str, args: tuple[Any, ...], options: dict[str, Any]) -> Report:
    __tracebackhide__ = True
    import compare
    from compare.batches import InputError

    try:
        report: Report = getattr(compare, call)(*args, **options)
    except InputError as error:
        pytest.fail(f"equivalence.{call}: {error}", pytrace=False)
    if report.outcome != "equivalent":
        pytest.fail(str(report), pytrace=False)
    return report


@pytest.fixture(scope="session")
def equivalence() -> Equivalence:
    """The calls ``gradients``, ``module``, ``optimizer`` and ``training``, which fail the test with their report."""
    return Equivalence()
