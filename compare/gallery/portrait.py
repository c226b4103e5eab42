"""The figure of an optimizer: both sides' path on every surface, the path of a mistake, and where it leaves."""

from __future__ import annotations

from typing import Any

import numpy as np

from compare.gallery.drawing import (
    ACTUAL,
    EXPECTED,
    LOWEST,
    WORDS,
    WRONG,
    contours,
    headed,
    label_aside,
    new_figure,
    on_panel,
)
from compare.gallery.walks import Descent, Portrait
from compare.verdict import Outcome, Verdict

__all__ = ["figure_of"]

_START: dict[str, Any] = {"ls": "", "marker": "s", "ms": 7, "mfc": "black", "mec": "white", "mew": 0.8, "zorder": 7}
_FORK: dict[str, Any] = {"ls": "", "marker": "D", "ms": 10, "mfc": "none", "mec": "#D55E00", "mew": 1.8, "zorder": 8}
_LOST: dict[str, Any] = {"ls": "", "marker": "X", "ms": 6.5, "mfc": "#D55E00", "mec": "white", "mew": 0.8, "zorder": 7}
_FAR = 1e3
_GAP = 0.022
"""How far apart marked points lie, as a fraction of the panel."""


def figure_of(portrait: Portrait) -> Any:
    """One panel a surface: both sides' path, the path of the mistake, and where it leaves."""
    figure, panels = new_figure(len(portrait.descents), 13.0, 5.4)
    for axes, descent in zip(panels, portrait.descents, strict=True):
        _panel(axes, descent)
    figure.text(0.04, 0.955, portrait.optimizer, fontsize=15, fontweight="bold")
    figure.text(0.04, 0.915, f"planted mistake: {portrait.mistake.words}", color=WORDS)
    handles = {handle.get_label(): handle for axes in panels for handle in axes.get_lines()}
    figure.legend(handles=list(handles.values()), loc="lower center", ncols=len(handles), frameon=False)
    return figure


def _panel(axes: Any, descent: Descent) -> None:
    surface, leaves = descent.surface, descent.astray.leaves
    contours(axes, surface.heights, surface.window)
    paths = descent.path.actual, descent.path.expected, descent.astray.actual
    actual, expected, wrong = (_drawable(path) for path in paths)
    axes.plot(*actual.T, **ACTUAL, label="manual.optim")
    axes.plot(*expected[_apart(axes, expected)].T, **EXPECTED, label="torch.optim")
    if leaves is not None:
        axes.plot(*wrong[leaves - 1 :].T, **WRONG, label="manual.optim with the mistake")
    axes.plot(*np.array(surface.minima).T, **LOWEST, label="minimum")
    axes.plot(*surface.start, **_START, label="start")
    if leaves is not None:
        axes.plot(*wrong[leaves - 1], **_FORK, label="where the mistake leaves")
        axes.plot(*wrong[-1], **_LOST, label="and ends")
        label_aside(axes, f"step {leaves}", wrong[leaves - 1], [actual, wrong])
    axes.set_title(f"{surface.name}, {_rate(descent)}", loc="left", pad=34)
    headed(axes, _sides(descent.verdict), 1.075)
    headed(axes, _mistake(descent), 1.02, WORDS)


def _drawable(path: list[np.ndarray]) -> np.ndarray:
    """A path as rows of two; what is not finite or far away is not drawn."""
    points = np.array(path).reshape(-1, 2)
    return np.where(np.abs(points) < _FAR, points, np.nan)


def _apart(axes: Any, path: np.ndarray) -> list[int]:
    """Which points of a path to mark: those that lie clearly apart from the one marked before."""
    places = on_panel(axes, path)
    chosen: list[int] = []
    for index, place in enumerate(places):
        if not chosen or np.hypot(*(place - places[chosen[-1]])) > _GAP:
            chosen.append(index)
    return chosen


def _rate(descent: Descent) -> str:
    return f"lr {descent.recipe.optimizer[1].get('lr', 'as by default')}"


def _sides(verdict: Verdict) -> str:
    if verdict.outcome is Outcome.EQUIVALENT:
        return f"the two sides: equivalent over {verdict.steps} steps"
    first = verdict.first_divergence
    return f"the two sides: {verdict.outcome}" + (f" at {first.where}" if first else "")


def _mistake(descent: Descent) -> str:
    first, leaves = descent.spoiled.first_divergence, descent.astray.leaves
    if first is None or leaves is None:
        return f"the mistake: {descent.spoiled.outcome}"
    return f"the mistake: parts at step {first.checkpoint.step}, {first.checkpoint.phase}" + (
        f"; off the path from step {leaves}" if leaves != first.checkpoint.step else ""
    )
