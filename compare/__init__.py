"""The hall: walks a hand-written training step and PyTorch's in lockstep, and says where they first part.

``gradients``, ``module``, ``optimizer`` and ``training`` compare code of your own, ``traces`` what other programs have
recorded; each returns a ``Report``. ``self_check`` says which mistakes such a comparison would not have caught.
Importing this package is cheap; torch is imported when a comparison first needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compare.calls.gradients import gradients
    from compare.calls.module import module
    from compare.calls.optimizer import optimizer
    from compare.calls.training import training
    from compare.report.report import Report
    from compare.selfcheck.calls import self_check
    from compare.tracing.side import TraceSide
    from compare.tracing.traces import traces
    from compare.tracing.writer import TraceWriter

__version__ = "0.1.0"
__all__ = [
    "Report",
    "TraceSide",
    "TraceWriter",
    "__version__",
    "gradients",
    "module",
    "optimizer",
    "self_check",
    "traces",
    "training",
]

_HOMES = {
    "gradients": "compare.calls.gradients",
    "module": "compare.calls.module",
    "optimizer": "compare.calls.optimizer",
    "traces": "compare.tracing.traces",
    "self_check": "compare.selfcheck.calls",
    "training": "compare.calls.training",
    "TraceSide": "compare.tracing.side",
    "TraceWriter": "compare.tracing.writer",
    "Report": "compare.report.report",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    is_call = name.islower() and _HOMES[name].startswith(("compare.calls.", "compare.tracing."))
    if is_call:  # it falls back to the options of `gradlock check` and of the pytest plugin
        value = import_module("compare.checking.defaults").adjustable(value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
