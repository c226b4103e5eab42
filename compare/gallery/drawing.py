"""Drawing with matplotlib: what every figure shares, and the portrait of an optimizer.

A figure is made without ``pyplot``, so that nothing of a session is touched. Colours are those of Okabe and Ito, which
the colour-blind tell apart; every line also has a style and a marker of its own.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from compare.batches import InputError
from compare.gallery.walks import Descent, Portrait
from compare.verdict import Outcome, Verdict

__all__ = [
    "ACTUAL",
    "EXPECTED",
    "LOWEST",
    "WORDS",
    "WRONG",
    "check_installed",
    "contours",
    "drawn",
    "figure_of",
    "headed",
    "label_aside",
    "new_figure",
]

ACTUAL: dict[str, Any] = {"color": "#0072B2", "lw": 1.6, "zorder": 4}
EXPECTED: dict[str, Any] = {"ls": "", "marker": "o", "ms": 5, "mfc": "none", "mec": "black", "mew": 0.8, "zorder": 5}
WRONG: dict[str, Any] = {"color": "#D55E00", "lw": 1.6, "ls": (0, (4, 2)), "zorder": 3}
WORDS = "#A84300"
LOWEST: dict[str, Any] = {"ls": "", "marker": "*", "ms": 13, "mfc": "#009E73", "mec": "white", "mew": 0.8, "zorder": 6}
_START: dict[str, Any] = {"ls": "", "marker": "s", "ms": 7, "mfc": "black", "mec": "white", "mew": 0.8, "zorder": 7}
_FORK: dict[str, Any] = {"ls": "", "marker": "D", "ms": 10, "mfc": "none", "mec": "#D55E00", "mew": 1.8, "zorder": 8}
_LOST: dict[str, Any] = {"ls": "", "marker": "X", "ms": 8, "mfc": "#D55E00", "mec": "white", "mew": 0.8, "zorder": 7}
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "svg.fonttype": "none",
    "svg.hashsalt": "gradlock",
    "path.simplify": True,
}
_DRAWN = re.compile(rb' (?:d|x|y|transform)="[^"]*"')
_NUMBER = re.compile(rb"(\d\.\d)\d+")
"""A number with more decimals than can be seen, in what is drawn."""
_NAME = re.compile(rb'<g id="[^"]*">')
"""A group's name, which nothing refers to."""
_GAP = 0.022
"""How far apart marked points lie, as a fraction of the panel."""


def check_installed() -> None:
    """Find out before the walks whether pictures can be drawn.

    Raises
    ------
    InputError
        If matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError(
            "pictures need matplotlib: pip install 'gradlock[gallery]'; without --out it is not needed"
        ) from error


@contextmanager
def _styled() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(columns: int, width: float, height: float, **place: float) -> tuple[Any, Any]:
    """A figure with panels side by side; ``place`` are its margins, as fractions of it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    place = {"left": 0.04, "right": 0.99, "top": 0.775, "bottom": 0.135, "wspace": 0.13, **place}
    return figure, figure.subplots(1, columns, squeeze=False, gridspec_kw=place)[0]


def drawn(figure_of: Any, found: Any, kind: str) -> bytes:
    """The file that a figure becomes, as ``"svg"`` or ``"png"``; the same figure gives the same bytes."""
    with _styled():
        figure = figure_of(found)
        held = io.BytesIO()
        figure.savefig(held, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else {"Software": None})
    if kind == "png":
        return held.getvalue()
    return _DRAWN.sub(lambda found: _NUMBER.sub(rb"\1", found[0]), _NAME.sub(rb"<g>", held.getvalue()))


def contours(axes: Any, heights: Any, window: tuple[float, float, float, float], lowest: float = 0.0) -> None:
    """Contour lines of ``heights(x, y)`` over a window, close together where the surface is low."""
    left, right, bottom, top = window
    x, y = np.linspace(left, right, 101), np.linspace(bottom, top, 101)
    z = heights(*np.meshgrid(x, y)) - lowest
    levels = np.geomspace(z.max() / 800, z.max(), 12)
    axes.contour(x, y, z, levels=levels, colors="#9aa7b5", linewidths=0.6, zorder=1)
    axes.set(xlim=(left, right), ylim=(bottom, top))


def headed(axes: Any, words: str, height: float, color: str = "black") -> None:
    """A line above a panel."""
    axes.text(0, height, words, transform=axes.transAxes, fontsize=9, color=color)


# -- the portrait of an optimizer --------------------------------------------------------------------------------------


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
    actual, expected, wrong = (
        np.array(path) for path in (descent.path.actual, descent.path.expected, descent.astray.actual)
    )
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


def _apart(axes: Any, path: np.ndarray) -> list[int]:
    """Which points of a path to mark: those that lie clearly apart from the one marked before."""
    places = _on_panel(axes, path)
    chosen = [0]
    for index, place in enumerate(places):
        if np.hypot(*(place - places[chosen[-1]])) > _GAP:
            chosen.append(index)
    return chosen


def label_aside(axes: Any, text: str, point: np.ndarray, paths: Sequence[np.ndarray], color: str = WORDS) -> None:
    """Write beside a point, on the side where the paths leave most room."""
    at = _on_panel(axes, point[None])[0]
    crowd = np.concatenate([_on_panel(axes, _filled(path)) for path in paths])
    turns = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    places = at + np.column_stack([0.12 * np.cos(turns), 0.08 * np.sin(turns)])
    inside = ((places > [0.09, 0.03]) & (places < [0.91, 0.97])).all(1)
    room = [np.hypot(*((crowd - place) * [1, 1.5]).T).min() for place in places]
    best = places[int(np.argmax(np.where(inside, room, -1.0)))]
    axes.text(*best, text, transform=axes.transAxes, color=color, fontweight="bold", ha="center", va="center", zorder=9)


def _filled(path: np.ndarray) -> np.ndarray:
    """A path with points between its points."""
    between = np.linspace(0, len(path) - 1, 4 * len(path))
    return np.column_stack([np.interp(between, np.arange(len(path)), column) for column in path.T])


def _on_panel(axes: Any, points: np.ndarray) -> np.ndarray:
    """Points as fractions of the panel's width and height."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    return (points - [left, bottom]) / [right - left, top - bottom]


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
