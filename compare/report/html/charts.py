"""The curves of a page, drawn with matplotlib as SVG that takes its colours from the page's style sheet.

A colour of the drawing stands for a custom property of the style sheet, so that one picture serves the dark and the
light page. Text stays text. No element has a ``style`` attribute, which the page's content policy would not let pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from compare.gallery.drawing import drawn
from compare.report.html.words import power

__all__ = ["losses_svg"]

_COLOURS = {
    "#010101": "currentColor",
    "#020202": "var(--actual)",
    "#030303": "var(--expected)",
    "#040404": "var(--wrong)",
    "#050505": "var(--rule)",
    "#060606": "var(--muted)",
}
_TEXT, _ACTUAL, _EXPECTED, _WRONG, _RULE, _MUTED = _COLOURS
_POINTS = 400
"""The most points of a curve: more than a picture of this width can show."""
_DOTS = 60
"""The most points that are drawn one by one."""


def losses_svg(losses: Mapping[str, Sequence[Any]], first: int | None, name: str) -> str:
    """Both sides' losses over the steps, and beneath them how far they lie apart, on a scale of decades.

    Parameters
    ----------
    losses : ``step``, ``actual`` and ``expected`` of equal length, at least two
    first : the step of the first divergence, which is marked; or None
    name : unique in the page; its ids begin with it

    Returns
    -------
    str
        An ``svg`` element.
    """
    steps = np.asarray(losses["step"], dtype=float)
    actual, expected = (np.asarray([float(v) for v in losses[side]]) for side in ("actual", "expected"))
    return _themed(drawn(_figure, (*_thinned(steps, actual, expected), first), "svg").decode(), name)


def _thinned(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """At most so many points as a picture can show; of each group the one at which the sides differ most."""
    steps, actual, expected = columns
    if len(steps) <= _POINTS:
        return columns
    with np.errstate(invalid="ignore"):
        apart = np.nan_to_num(np.abs(actual - expected), nan=np.inf)
    groups = np.array_split(np.arange(len(steps)), _POINTS)
    kept = np.array([group[np.argmax(apart[group])] for group in groups])
    kept[0], kept[-1] = 0, len(steps) - 1
    return tuple(column[kept] for column in columns)


def _figure(found: tuple[Any, ...]) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    steps, actual, expected, first = found
    figure = Figure(figsize=(7.4, 3.9))
    above, below = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": (2, 1), "left": 0.1, "right": 0.985, "top": 0.93,
                                        "bottom": 0.125, "hspace": 0.2},
    )  # fmt: skip
    every = max(1, len(steps) // 24)
    above.plot(steps, actual, color=_ACTUAL, lw=1.8, label="actual", zorder=3)
    above.plot(steps, expected, ls="", marker="o", ms=4.5, mfc="none", mec=_EXPECTED, mew=1.1, markevery=every,
               label="expected", zorder=4)  # fmt: skip
    positive = np.concatenate([actual, expected])
    positive = positive[np.isfinite(positive)]
    if positive.size and positive.min() > 0 and positive.max() > 100 * positive.min():
        _by_decades(above)
    _headed(above, "loss of the batch")
    above.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1.0, 0.98), borderaxespad=0,
                 labelcolor=_TEXT, fontsize=9.5)  # fmt: skip
    with np.errstate(invalid="ignore"):
        apart = np.abs(actual - expected)
    seen = np.isfinite(apart) & (apart > 0)
    _headed(below, "actual \u2212 expected, magnitude")
    if seen.any():
        _by_decades(below)
        low, high = apart[seen].min() / 4, apart[seen].max() * 4
        if len(steps) <= _DOTS:
            below.plot(steps, np.where(seen, apart, np.nan), color=_WRONG, lw=1.2, marker="o", ms=2.4, zorder=3)
        else:  # one path: a page with many charts opens no faster than its elements are counted
            below.fill_between(steps, low, np.where(seen, apart, low), step="mid", color=_WRONG, lw=0.5, zorder=3)
        below.set_ylim(low, high)
    else:
        below.set_yticks([])
        below.text(0.5, 0.5, "no difference in any step", transform=below.transAxes, ha="center", va="center",
                   color=_MUTED)  # fmt: skip
    below.set_xlabel("step", color=_TEXT)
    below.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
    for axes in (above, below):
        axes.grid(axis="y", color=_RULE, lw=0.7, zorder=0)
        axes.tick_params(colors=_TEXT, which="both", length=3, labelsize=9)
        for spine in axes.spines.values():
            spine.set_color(_RULE)
        if first is not None and steps[0] <= first <= steps[-1]:
            axes.axvline(first, color=_WRONG, lw=1, ls=(0, (2, 2)), zorder=2)
    if first is not None and steps[0] <= first <= steps[-1]:
        right = first > (steps[0] + steps[-1]) / 2
        above.annotate("first divergence", (first, 1), (-4 if right else 4, -4), xycoords=("data", "axes fraction"),
                       textcoords="offset points", ha="right" if right else "left", va="top", color=_WRONG,
                       fontsize=9)  # fmt: skip
    figure.patch.set_visible(False)
    for axes in (above, below):
        axes.patch.set_visible(False)
    return figure


def _headed(axes: Any, words: str) -> None:
    """A line above a panel; a title of matplotlib's would have the whole panel measured twice."""
    axes.annotate(words, (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points", fontsize=10, color=_TEXT)


def _by_decades(axes: Any) -> None:
    """A logarithmic axis whose numbers are plain text: typesetting them takes longer than all else of the picture."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: power(float(number), 1).replace("1 × ", "")))


def _themed(svg: str, name: str) -> str:
    """Without prologue and style sheet, in the page's colours, with ids of its own."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    for colour, property in _COLOURS.items():
        svg = svg.replace(colour, property)
    svg = re.sub(r' style="([^"]*)"', _as_attributes, svg)
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"<svg [^>]*viewBox=\"([^\"]*)\"[^>]*>", r'<svg viewBox="\1" class="chart" aria-hidden="true">', svg)
    svg = svg.replace("xlink:href", "href")
    return re.sub(r"\s*\n\s*", "\n", _unwrapped(svg))


def _unwrapped(svg: str) -> str:
    """Without groups that say nothing, which are half of the elements."""
    kept: list[bool] = []

    def judged(found: re.Match[str]) -> str:
        if found[0] != "</g>":
            kept.append(found[0] != "<g>")
            return found[0] if kept[-1] else ""
        return found[0] if kept.pop() else ""

    return re.sub(r"<g\b[^>]*(?<!/)>|</g>", judged, svg)


def _as_attributes(found: re.Match[str]) -> str:
    """A style attribute as attributes of presentation; of a font only the size, for the page has its own family."""
    parts = []
    for declaration in found[1].split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font":
            key, value = "font-size", next(word for word in value.split() if word.endswith("px"))
        if key and key != "font-family":
            parts.append(f'{key}="{value}"')
    return f" {' '.join(parts)}" if parts else ""
