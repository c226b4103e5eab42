"""Writes a worked example down: what was given, and the numbers of all sides beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compare.explaining.blocks import Block, Code, Heading, Paragraph, Table, table
from compare.explaining.working import Column, Worked, rows_for, ulps

__all__ = ["array", "given_block", "shown_work", "told_apart"]


def shown_work(work: Worked, level: int, *, unlike: str = "") -> list[Block]:
    """The blocks of a worked example.

    Parameters
    ----------
    unlike : why the numeric derivative differs, where it must
    """
    call = [work.written] if work.written else []
    blocks: list[Block] = [Heading(level, "Worked example"), Code("\n".join([*call, given_block(work.given)]))]
    if work.values:
        blocks += [Paragraph("The value, on both sides:"), _values(work.values)]
    if work.arriving:
        names = {f"d{label}": value for label, value in work.arriving.items()}
        blocks += [
            Paragraph(
                f"The incoming gradient, drawn at random, stands for the derivative of a loss L with respect to "
                f"{' and '.join(f'`{label}`' for label in work.arriving)}:"
            ),
            Code(given_block({f"dL/{name}": value for name, value in names.items()})),
        ]
    if work.why_not:
        blocks.append(Paragraph(f"There is no gradient. {work.why_not}"))
    if work.gradients:
        blocks += [Paragraph("What the pullback makes of it, beside autograd and a numeric derivative:")]
        blocks += [_gradients(work.gradients)]
    return [*blocks, *_conclusion(work, unlike)]


def given_block(given: dict[str, Any]) -> str:
    """Names with their values, as Python would show them."""
    return "\n".join(_given(label, value) for label, value in given.items() if not _huge(value))


def _huge(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.size > 64


def _given(label: str, value: Any) -> str:
    return array(value, prefix=f"{label} = ") if isinstance(value, np.ndarray) else f"{label} = {_bare(value)}"


def _bare(value: Any) -> str:
    if isinstance(value, tuple) and any(isinstance(item, np.ndarray) for item in value):
        return f"({', '.join(_bare(item) for item in value)})"
    return str(value.tolist()) if isinstance(value, np.ndarray) else repr(value)


def array(value: np.ndarray, prefix: str = "") -> str:
    """An array over as many lines as it has rows, its name in front."""
    shown = np.array2string(value, separator=", ", precision=10, suppress_small=True, max_line_width=92, threshold=200)
    first, *rest = shown.splitlines()
    pad = " " * len(prefix)
    return "\n".join([prefix + first, *[pad + line if line else "" for line in rest]])


def _values(found: tuple[Column, ...]) -> Table:
    rows = []
    for column in found:
        apart, multiples = ulps(column.manual, column.autograd), column.multiples
        for place in _places(column, rows_for(len(found))):
            mine, theirs = column.manual[place], column.autograd[place]
            rows.append(
                [_element(column, place), _number(mine), _number(theirs), *_distance(column, apart, multiples, place)]
            )
        rows += _more(column, rows_for(len(found)), 5)
    return table(["element", "manual", "PyTorch", "apart, ulp", "in floors"], rows, right=range(1, 5))


def _gradients(found: tuple[Column, ...]) -> Table:
    rows = []
    for column in found:
        apart, multiples = ulps(column.manual, column.autograd), column.multiples
        for place in _places(column, rows_for(len(found))):
            row = [_element(column, place), _number(column.manual[place]), _number(column.autograd[place])]
            if column.numeric is None or not column.numeric.taken[place]:
                row.append("")
            else:
                row.append("kink" if column.at_kink[place] else _number(column.numeric.value[place]))
            rows.append([*row, *_distance(column, apart, multiples, place)])
        rows += _more(column, rows_for(len(found)), 6)
    return table(["element", "manual", "autograd", "numeric", "apart, ulp", "in floors"], rows, right=range(1, 6))


def _distance(column: Column, apart: Any, multiples: Any, place: tuple[int, ...]) -> list[str]:
    return [f"{apart[place]:.3g}", "" if column.floor is None else f"{multiples[place]:.2g}"]


def _places(column: Column, rows: int) -> list[tuple[int, ...]]:
    """The elements that are shown: the first ones, and the one that is furthest apart."""
    every = list(np.ndindex(column.manual.shape))
    if len(every) <= rows + (rows > 2):
        return every
    worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(column.multiples)), column.manual.shape))
    shown = every[:rows]
    return shown if worst in shown or not column.multiples[worst] else [*shown[:-1], worst]


def _more(column: Column, rows: int, width: int) -> list[list[str]]:
    left = column.manual.size - len(_places(column, rows))
    return [[f"... {left} more", *[""] * (width - 1)]] if left else []


def _element(column: Column, place: tuple[int, ...]) -> str:
    return f"{column.label}[{', '.join(map(str, place))}]" if place else column.label


def _number(value: Any) -> str:
    return f"{value:.12g}" if np.asarray(value).dtype.kind == "f" else str(value)


def told_apart(found: Sequence[Column]) -> str:
    """How far the two sides of some tensors lie apart, in a sentence."""
    from compare.rerun import HEADROOM

    floating = [column for column in found if column.manual.dtype.kind == "f"]
    count = sum(column.manual.size for column in found)
    apart = max((float(ulps(c.manual, c.autograd).max(initial=0.0)) for c in floating), default=0.0)
    worst = max((float(c.multiples.max(initial=0.0)) for c in found), default=0.0)
    if not all(column.agrees for column in found):
        return (
            f"The two sides do not agree: they lie up to {worst:.3g} noise floors apart, and {HEADROOM:g} are allowed."
        )
    if not apart:
        return f"All {count} numbers of the two sides are equal, to the last bit."
    return (
        f"All {count} numbers of the two sides agree: at most {apart:.3g} ulp and {worst:.2g} noise floors "
        f"apart, where "
        f"up to {HEADROOM:g} floors are rounding."
    )


def _conclusion(work: Worked, unlike: str) -> list[Block]:
    """What the tables show, in words."""
    first = told_apart(work.columns)
    numbered = [column for column in work.gradients if column.numeric is not None]
    if not numbered:
        return [Paragraph(first)]
    off = max(float(column.off.max(initial=0.0)) for column in numbered)
    known = max(float(np.nanmax(c.numeric.error, initial=0.0)) for c in numbered if c.numeric)
    if unlike:
        return [Paragraph(f"{first} The numeric derivative differs, by up to {off:.2g}: {unlike}")]
    if all(column.confirmed for column in numbered):
        second = (
            f"The numeric derivative confirms them: it is at most {off:.1g} away, and is itself known to {known:.1g}."
        )
    else:
        second = (
            f"The numeric derivative does not confirm them: it is up to {off:.3g} away, and is known to {known:.1g}."
        )
    return [Paragraph(f"{first} {second}")]
