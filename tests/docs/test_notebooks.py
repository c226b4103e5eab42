"""The notebooks run from beginning to end, and show their reports as pages."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ..documents import ROOT
from .hooks import HOOKS, hook

NOTEBOOKS = ROOT / "docs" / "notebooks"
FINDS = {
    "learner": ["sum instead of mean", "derivative of the wrong variable"],
    "porter": ["L2 instead of decoupled decay", "reversed"],
}
RUN = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from notebooks import executed, page_of
path = Path(sys.argv[2])
print(json.dumps(page_of(executed(path), path.name)))
"""


def test_each_notebook_is_tested():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(FINDS)


@pytest.mark.parametrize("name", FINDS)
def test_a_notebook_is_kept_without_outputs(name):
    text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    assert len(text) < 20_000
    for cell in json.loads(text)["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("name", FINDS)
def test_a_notebook_runs_and_its_reports_are_html(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(HOOKS), str(NOTEBOOKS / f"{name}.ipynb")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page, outputs = json.loads(done.stdout)
    for mark in outputs:
        assert page.count(f"<div>{mark}</div>") == 1
    reports = [html for html in outputs.values() if "</b>" in html or "<iframe" in html]
    found = [html for html in reports if "diverged" in html and "cause" in html]
    assert len(found) == len(FINDS[name])
    for html, cause in zip(found, FINDS[name], strict=True):
        assert cause in html
    assert len(reports) >= len(found) + 2  # set right, each is equivalent
    assert not any("Warning" in html for html in outputs.values())


def test_outputs_are_shown_as_a_notebook_shows_them():
    nbformat = pytest.importorskip("nbformat", reason="the extra test installs nbformat")
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

    outputs = [
        new_output("stream", text="a < b"),
        new_output("execute_result", data={"text/plain": "<R>"}),
        new_output("execute_result", data={"text/plain": "r", "text/html": "<p>r</p>"}),
        new_output("display_data", data={"text/html": '<!doctype html><p id="x">'}),
        new_output("display_data", data={"image/png": "AAAA\n", "text/plain": "a figure"}),
    ]
    notebook = new_notebook(cells=[new_markdown_cell("# Title\n\nText."), new_code_cell("f()", outputs=outputs)])
    nbformat.validate(notebook)
    page, shown = hook("notebooks").page_of(notebook, "some.ipynb")
    assert page.startswith("# Title\n\n*This page is a notebook: [some.ipynb](some.ipynb).*\n\n\nText.")
    assert "```python\nf()\n```\n\n<div>output-0-of-some</div>" in page
    assert list(shown.values()) == [
        '<div class="output"><pre>a &lt; b</pre></div>',
        '<div class="output"><pre>&lt;R&gt;</pre></div>',
        '<div class="output"><p>r</p></div>',
        '<iframe class="output" srcdoc="&lt;!doctype html&gt;&lt;p id=&quot;x&quot;&gt;"></iframe>',
        '<div class="output"><img alt="" src="data:image/png;base64,AAAA"></div>',
    ]
