"""The gallery as one HTML page: pictures, tables and words inside, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from compare.gallery.words import (
    HALVES,
    HALVES_HEADERS,
    HEADERS,
    MOVE,
    halves_rows,
    moved_rows,
    rows_of,
)

__all__ = ["page"]

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1c1c1c;background:#fff;max-width:80rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{margin:3rem 0 .3rem;border-top:1px solid #ddd;padding-top:1rem}nav a{margin-right:.8rem}
a{color:#0061a8}svg,img{width:100%;height:auto}figure{margin:0}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;margin:.5rem 0}
th,td{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #e4e4e4;white-space:nowrap}
"""

_INTRODUCTION = (
    "Each optimizer walks down three surfaces, the manual one (line) and PyTorch's (open circles) in lockstep. Where "
    "the outcome is <em>equivalent</em> the two agree at every checkpoint of every step, as far as honest rounding "
    "goes. The dashed line is the manual optimizer with a mistake planted; the diamond is the last point that it has "
    "in common with the right path. A mistake may show in the optimizer's slots before it leads off the path. After a "
    "quarter of the steps the rate is halved, because some mistakes show only then."
)


def page(record: Mapping[str, Any], pictures: Mapping[str, bytes], kind: str) -> str:
    """The page.

    Parameters
    ----------
    record : what ``record_of`` returned
    pictures : by the name of an optimizer, or ``"halves"``
    kind : ``"svg"`` or ``"png"``
    """
    names = [one["name"] for one in record["optimizers"]]
    links = {name: name for name in names} | (
        {"halves": "The two halves of gradient descent"} if record["halves"] else {}
    )
    blocks = [
        "<h1>Every optimizer's path, on both sides</h1>",
        f"<p>{_INTRODUCTION}</p>",
        "<nav>"
        + " ".join(f'<a href="#{escape(name)}">{escape(words)}</a>' for name, words in links.items())
        + "</nav>",
    ]
    for one in record["optimizers"]:
        options = {k: v for k, v in one["surfaces"][0]["options"].items() if k != "lr"}
        others = f" ({', '.join(f'{name}={value}' for name, value in options.items())})" if options else ""
        blocks += [
            f'<h2 id="{escape(one["name"])}">{escape(one["name"] + others)}</h2>',
            _figure(
                pictures[one["name"]],
                kind,
                f"Paths of {one['name']}. Planted mistake: {one['mistake']}. The table below has the numbers",
            ),
            _table(HEADERS[1:], rows_of(one)),
        ]
    blocks += [f"<p>{escape(name)} is left out: {escape(why)}.</p>" for name, why in record["left_out"].items()]
    if record["halves"]:
        blocks += _halves(record["halves"], pictures["halves"], kind)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>gradlock: gallery</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(blocks) + "\n</body></html>\n"
    )


def _halves(found: Mapping[str, Any], picture: bytes, kind: str) -> list[str]:
    return [
        '<h2 id="halves">The two halves of a step of gradient descent</h2>',
        "<p>A line through twenty patients of the diabetes data (body mass index against progression), in three "
        f"micro-batches, at the rate {found['rate']}.</p>",
        _figure(picture, kind, "Deposits adding up, and one simultaneous step; the tables below have the numbers"),
        f"<p>{HALVES}</p>",
        _table(HALVES_HEADERS, halves_rows(dict(found))),
        f"<p>{MOVE}</p>",
        _table(("first step", "weight, bias"), moved_rows(dict(found))),
    ]


def _figure(picture: bytes, kind: str, words: str) -> str:
    if kind == "png":
        return f'<img alt="{escape(words)}" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
    drawn = picture.decode()
    return f'<figure role="img" aria-label="{escape(words)}">{drawn[drawn.index("<svg") :].strip()}</figure>'


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in headers)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
