"""Every block of code in the documentation runs, and prints what the page shows."""

from __future__ import annotations

import pytest

from ..documents import ROOT, Session, blocks, same

DOCS = ROOT / "docs"
BENCHMARK = "faults.md"  # written and tested by compare.faults.publish; its commands take minutes
PAGES = sorted(
    str(path.relative_to(DOCS))
    for path in DOCS.rglob("*.md")
    if path.name != BENCHMARK and blocks(path.read_text(encoding="utf-8"))
)


def test_each_kind_of_user_has_a_page_that_runs():
    assert {"start/learner.md", "start/porter.md", "start/author.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_is_what_comes_out(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # puts the current folder back in the end
    session, printed = Session(tmp_path), ""
    for block in blocks((DOCS / page).read_text(encoding="utf-8")):
        if block.kind == "text":
            assert same(block.text, printed), f"{page} shows:\n{block.text}\nbut this comes out:\n{printed}"
        else:
            printed = session.run(block)
