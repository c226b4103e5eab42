"""The figure of gradient descent's two halves."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from compare.gallery.drawing import ACTUAL, EXPECTED, LOWEST, WORDS, WRONG, contours, headed, new_figure
from compare.gallery.halves import SIZES, Halves
from compare.verdict import Verdict

__all__ = ["figure_of"]

_HALO = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.8}
_CIRCLE = {**EXPECTED, "ms": 11}
_ASIDE = ((-8, -12, "right"), (-28, -54, "center"), (-40, 46, "left"))
"""Where the words about a micro-batch stand beside the middle of its arrow."""


def figure_of(found: Halves) -> Any:
    """Accumulation on the left, in the plane of gradients; the move on the right, in the plane of parameters."""
    figure, (left, right) = new_figure(2, 13.0, 6.6, left=0.055, bottom=0.2, top=0.83, wspace=0.13)
    _accumulation(left, found)
    _move(right, found)
    figure.text(0.055, 0.95, "The two halves of a step of gradient descent", fontsize=15, fontweight="bold")
    return figure


def _accumulation(axes: Any, found: Halves) -> None:
    """The deposits of the first step, one at the tip of the other."""
    rows = sum(SIZES)
    for seen, style in ((found.means, WRONG), (found.cut, ACTUAL)):
        tips = np.vstack([[0.0, 0.0], seen.points("accumulated", 0, step=1)])
        for tail, tip in itertools.pairwise(tips):
            _arrow(axes, tail, tip, style)
    for index, (size, (right, up, side)) in enumerate(zip(SIZES, _ASIDE, strict=True)):
        words = f"deposit of micro-batch {index + 1}\n{size} of {rows} rows weigh {size / rows:g}"
        middle = (tips[index] + tips[index + 1]) / 2
        axes.annotate(words, middle, xytext=(right, up), textcoords="offset points", ha=side, color=ACTUAL["color"])
    reference = np.vstack([[0.0, 0.0], found.cut.points("accumulated", 1, step=1)])
    axes.plot([], [], **ACTUAL, label="manual: the deposits, tip to tail")
    axes.plot(*reference.T, **_CIRCLE, label="torch: .grad after each micro-batch")
    axes.plot([], [], **WRONG, label="mistake: each of the three weighs 1/3")
    axes.plot(*found.whole.points("accumulated", 0, step=1)[0], **LOWEST, label="manual: the batch in one piece")
    axes.axhline(0, color="#cccccc", lw=0.7, zorder=0)
    axes.axvline(0, color="#cccccc", lw=0.7, zorder=0)
    axes.margins(0.12)
    axes.set(xlabel="∂J/∂weight", ylabel="∂J/∂bias")
    _dress(axes, "1. Accumulation: one gradient, however the batch is cut", found.cut.verdict, found.means.verdict)


def _move(axes: Any, found: Halves) -> None:
    """Both parameters move at once; one after the other makes a staircase."""
    actual, expected = found.cut.points("parameter", 0), found.cut.points("parameter", 1)
    wrong = found.in_turn.points("parameter", 0)
    contours(axes, found.cost, (-1.75, 0.75, -0.45, 1.95), float(found.cost(*found.lowest)))
    old, new = actual[:2]
    for corner in (np.array([old[0], new[1]]), np.array([new[0], old[1]])):
        axes.plot(*np.array([old, corner, new]).T, color="#555555", lw=1, ls=":", zorder=2)
    for tail, tip in itertools.pairwise(wrong):
        corner = np.array([tip[0], tail[1]])
        _arrow(axes, tail, corner, WRONG)
        _arrow(axes, corner, tip, WRONG)
    for tail, tip in itertools.pairwise(actual):
        _arrow(axes, tail, tip, ACTUAL)
    axes.annotate("the weight moves first", old, xytext=(18, 8), textcoords="offset points", color=WORDS, bbox=_HALO)
    words = "then the bias,\nby the gradient\nat the new weight"
    axes.annotate(words, (new[0], old[1]), xytext=(8, -48), textcoords="offset points", color=WORDS, bbox=_HALO)
    axes.plot([], [], **ACTUAL, label="manual: both parameters at once")
    axes.plot(*expected.T, **_CIRCLE, label="torch: after each step")
    axes.plot([], [], **WRONG, label="mistake: one after the other")
    axes.plot(*found.lowest, **LOWEST, label="least squares")
    axes.set(xlabel="weight", ylabel="bias")
    _dress(axes, "2. One simultaneous step", found.cut.verdict, found.in_turn.verdict)


def _arrow(axes: Any, tail: np.ndarray, tip: np.ndarray, style: Mapping[str, Any]) -> None:
    arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 13}
    line = {name: value for name, value in style.items() if name != "zorder"}
    axes.annotate("", tip, tail, arrowprops={**arrow, **line}, zorder=style["zorder"])
    axes.update_datalim([tail, tip])


def _dress(axes: Any, title: str, honest: Verdict | None, wrong: Verdict | None) -> None:
    assert honest is not None
    assert wrong is not None
    axes.autoscale_view()
    first = wrong.first_divergence
    axes.set_title(title, loc="left", pad=34, fontweight="bold")
    headed(axes, f"the two sides: {honest.outcome} over {honest.steps} steps", 1.065)
    headed(axes, f"the mistake: parts at {first.where}" if first else f"the mistake: {wrong.outcome}", 1.018, WORDS)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, frameon=False)
