"""One HTML file of a run's record: templates filled with what the record says, data for the script beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from compare.batches import InputError
from compare.report.html import words
from compare.report.html.views import run_view

__all__ = ["check_installed", "to_html"]

_SCRIPTS = ("start.js", "data.js", "map.js", "table.js", "detail.js", "page.js")
_PACKAGES = ("jinja2", "matplotlib")


def check_installed() -> None:
    """Find out before a run whether its page can be made.

    Raises
    ------
    InputError
        If jinja2 or matplotlib is not installed.
    """
    from importlib.util import find_spec

    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(f"an HTML report needs {' and '.join(missing)}: pip install 'gradlock[html]'")


def to_html(record: Mapping[str, Any]) -> str:
    """The page of a run.

    Parameters
    ----------
    record : dict
        What :func:`compare.report.records.run_record` or :func:`compare.report.records.calls_record` returned. Where
        the walks kept their histories, the page has a map and curves; where not, it says so.

    Returns
    -------
    str
        A whole HTML document. Its content policy allows the style sheet and the script that are in it, and nothing
        else: no address is fetched, whatever the names of the run contain.

    Raises
    ------
    InputError
        If jinja2 or matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np, compare
    >>> from compare.report.records import calls_record
    >>> x = np.ones(3) + np.arange(3)
    >>> report = compare.gradients(lambda x: (x @ x, {"x": 2 * x}), lambda x: x @ x, {"x": x})
    >>> to_html(calls_record([report])).startswith("<!doctype html>")
    True
    """
    check_installed()
    style, script = _text("style.css"), "\n".join(_text(name) for name in _SCRIPTS)
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page: str = (
        _templates()
        .get_template("page.html")
        .render(view=run_view(record), record=record, style=style, script=script, policy=policy)
    )
    return page


@cache
def _text(name: str) -> str:
    return files("compare.report.html").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _templates() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    made = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "power": words.power,
        "value": words.value,
        "count": words.count,
        "extent": words.extent_words,
        "address": words.address,
        "decades": words.decades,
        "sentence": words.sentence,
        "embedded": _embedded,
    }
    made.tests["figure"] = words.is_number
    return made


def _embedded(data: Any) -> Any:
    """JSON that can stand inside a script element: nothing in it ends the element or begins a comment."""
    from markupsafe import Markup

    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
