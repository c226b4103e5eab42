"""Drawing with matplotlib: what every figure of the gallery shares.

A figure is made without ``pyplot``, so that nothing of a session is touched. Colours are those of Okabe and Ito, which
the colour-blind tell apart; every line also has a style and a marker of its own.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from compare.batches import InputError

__all__ = [
    "ACTUAL",
    "EXPECTED",
    "LOWEST",
    "WORDS",
    "WRONG",
    "check_installed",
    "contours",
    "drawn",
    "headed",
    "label_aside",
    "new_figure",
    "on_panel",
]

ACTUAL: dict[str, Any] = {"color": "#0072B2", "lw": 1.6, "zorder": 4}
EXPECTED: dict[str, Any] = {"ls": "", "marker": "o", "ms": 5, "mfc": "none", "mec": "black", "mew": 0.8, "zorder": 5}
WRONG: dict[str, Any] = {"color": "#D55E00", "lw": 1.6, "ls": (0, (4, 2)), "zorder": 3}
WORDS = "#A84300"
LOWEST: dict[str, Any] = {"ls": "", "marker": "*", "ms": 13, "mfc": "#009E73", "mec": "white", "mew": 0.8, "zorder": 6}
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9.5,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "svg.fonttype": "none",
    "svg.hashsalt": "gradlock",
    "path.simplify_threshold": 0.4,
}
_SAID = {"svg": ("Creator", "Date", "Format", "Type"), "png": ("Software",)}
"""What matplotlib would say of itself in a file."""
_SHORTER = (
    (rb' (?:d|x|y|transform)="[^"]*"', rb"(\d\.\d)\d+", rb"\1"),
    (rb' d="[^"]*"', rb" ?\nL ", b" "),
    (rb'<g id="[^"]*">', b" id.*[^>]", b""),
)
"""In what is found by the first pattern the second is replaced: decimals that nobody sees, commands and names that go
without saying."""


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
        figure.savefig(held, format=kind, dpi=110, metadata=dict.fromkeys(_SAID[kind]))
    found = held.getvalue()
    if kind == "svg":
        for where, what, by in _SHORTER:
            found = re.sub(where, partial(_replaced, what, by), found)
    return found


def _replaced(what: bytes, by: bytes, found: re.Match[bytes]) -> bytes:
    return re.sub(what, by, found[0])


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


def label_aside(axes: Any, text: str, point: np.ndarray, paths: Sequence[np.ndarray], color: str = WORDS) -> None:
    """Write beside a point, on the side where the paths leave most room."""
    at = on_panel(axes, point[None])[0]
    crowd = np.concatenate([on_panel(axes, _filled(path)) for path in paths if len(path)])
    turns = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    places = at + np.column_stack([0.12 * np.cos(turns), 0.08 * np.sin(turns)])
    inside = ((places > [0.09, 0.03]) & (places < [0.91, 0.97])).all(1)
    room = [np.nanmin(np.hypot(*((crowd - place) * [1, 1.5]).T)) for place in places]
    best = places[int(np.argmax(np.where(inside, room, -1.0)))]
    axes.text(*best, text, transform=axes.transAxes, color=color, fontweight="bold", ha="center", va="center", zorder=9)


def _filled(path: np.ndarray) -> np.ndarray:
    """A path with points between its points."""
    between = np.linspace(0, len(path) - 1, 4 * len(path))
    return np.column_stack([np.interp(between, np.arange(len(path)), column) for column in path.T])


def on_panel(axes: Any, points: np.ndarray) -> np.ndarray:
    """Points as fractions of the panel's width and height."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    return (points - [left, bottom]) / [right - left, top - bottom]
