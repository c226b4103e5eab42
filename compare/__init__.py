"""The hall: walks a hand-written training step and PyTorch's in lockstep, and says where they first part.

``gradients``, ``module``, ``optimizer`` and ``training`` compare code of your own; each returns a ``Report``.
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

__version__ = "0.1.0"
__all__ = ["Report", "__version__", "gradients", "module", "optimizer", "self_check", "training"]

_HOMES = {
    "gradients": "compare.calls.gradients",
    "module": "compare.calls.module",
    "optimizer": "compare.calls.optimizer",
    "self_check": "compare.selfcheck.calls",
    "training": "compare.calls.training",
    "Report": "compare.report.report",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
