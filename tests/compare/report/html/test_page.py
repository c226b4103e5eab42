"""The page as text: what it says of each outcome, that it fetches nothing, and that no name can break out of it."""

import base64
import hashlib
import importlib.util
import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import compare
from compare import output
from compare.batches import InputError, cut
from compare.history import record_histories, wanted
from compare.lockstep import lockstep
from compare.output import keeping_histories
from compare.report.html import page as module
from compare.report.html import to_html
from compare.report.html.unpacking import Columns
from compare.report.json import to_json
from compare.report.records import calls_record
from compare.report.report import Report

from ...toy import ToySide

generator = np.random.default_rng(1)
X, Y = generator.standard_normal((12, 4)), generator.standard_normal((12, 2))
STEPS = [cut(X, Y, [7, 5])] * 4
VOID = {"meta", "input", "br"}


class Raising(ToySide):
    def step(self):
        raise ZeroDivisionError("no step | <b>today</b>")


class Silent(ToySide):
    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        return super().accumulate((x * 0, y * 0), weight)

    def __init__(self):
        super().__init__()
        self.decay = 0.0
        for value in self.parameters.values():
            value[...] = 0


SIDES = {
    "equivalent": (ToySide, ToySide),
    "diverged": (lambda: ToySide("update sign", 2), ToySide),
    "abstained": (Silent, Silent),
    "error": (Raising, ToySide),
}


@cache
def record_of(outcome, title="toy", *, history=True):
    """The record of a small run with this outcome; made once, and changed by nobody."""
    actual, expected = SIDES[outcome]
    found = lockstep(actual, expected, STEPS, history=history)
    assert found.outcome == outcome
    return calls_record([Report(found, title)])


class Checker(HTMLParser):
    """Every element that is opened is closed in turn; gathers ids, attributes and text."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.attributes, self.words = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.attributes += attributes
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.attributes += attributes
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)


def read(page):
    found = Checker()
    found.feed(page)
    assert not found.open
    return found, " ".join(" ".join(found.words).split())


@pytest.mark.parametrize(
    ("outcome", "texts"),
    [
        ("equivalent", ["Both sides are equivalent", "Every compared checkpoint agrees", "Losses", "Coverage"]),
        ("diverged", ["The sides part at step 2, update, output.bias", "Look at optimizer", "◀ culprit", "Around it"]),
        ("abstained", ["No verdict", "promised, but has no informative checkpoint", "Nothing is known about"]),
        (
            "error",
            ["A side raised", "The actual side raised in step (step 1): ZeroDivisionError: no step | <b>today</b>"],
        ),
    ],
)
def test_each_outcome_is_said_on_top(outcome, texts):
    page, words = read(to_html(record_of(outcome)))
    for text in texts:
        assert text in words
    assert len(page.ids) == len(set(page.ids))


def test_a_divergence_is_shown_with_its_numbers_and_its_neighbours():
    record = record_of("diverged")
    first = record["experiments"][0]["first_divergence"]
    _, words = read(to_html(record))
    for number in (first["actual"], first["expected"]):
        assert f"{number:.17g}".replace("-", "−") in words
    assert f"the framed element is [{first['index'][0]}]" in words
    page = to_html(record)
    assert page.count('class="at ') == 3  # once on each side, once in the difference


def test_the_page_fetches_nothing_and_its_policy_names_what_is_in_it():
    page = to_html(record_of("diverged"))
    found, _ = read(page)
    policy = re.search(r'Security-Policy" content="([^"]*)"', page)[1]
    assert "default-src &#39;none&#39;" in policy
    for kind, tag in (("style", "style"), ("script", "script")):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src &#39;sha256-{digest}&#39;" in policy
    names = {name for name, _ in found.attributes}
    assert not {"src", "style"} & names
    assert not [name for name in names if name.startswith("on")]
    links = [value for name, value in found.attributes if name == "href"]
    assert all(link.startswith("#") for link in links)


def test_no_name_breaks_out_of_the_page():
    title = "</script><script>alert(1)</script><!-- \u2028 & \"quoted\" 'so'"
    page = to_html(record_of("diverged", title))
    _, words = read(page)
    assert "alert(1)" not in "".join(re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL))
    assert "</script><script>alert(1)</script>" in words
    assert page.count("</script>") == 2  # the data of one walk, and the page's own


def test_a_record_without_histories_makes_a_page_that_says_so():
    _, words = read(to_html(record_of("diverged", history=False)))
    assert "This run kept no history of its checkpoints, so there is no map." in words
    assert "◀ culprit" in words
    assert "hidden" in words


def test_a_record_that_went_through_json_makes_a_page():
    record = json.loads(to_json(record_of("diverged")))
    assert "The sides part at step 2" in to_html(record)


def test_an_empty_run_makes_a_page():
    assert "Nothing was compared" in to_html(calls_record([]))


@pytest.mark.parametrize("spoil", [float("nan"), float("inf"), "shape"])
def test_what_is_not_a_number_is_shown(spoil):
    class Odd(ToySide):
        def accumulate(self, micro_batch, weight):
            terms = super().accumulate(micro_batch, weight)
            value = self.activations["act", 0, "output"].copy()
            value[1, 2] = 0 if spoil == "shape" else spoil
            self.activations["act", 0, "output"] = value[:, :2] if spoil == "shape" else value
            return terms

    page = to_html(calls_record([Report(lockstep(Odd, ToySide, STEPS, history=True), "odd")]))
    _, words = read(page)
    assert {"shape": "shape (7, 2), expected (7, 3)"}.get(spoil, "NaN" if spoil != spoil else "∞") in words


def test_a_call_makes_a_page_with_a_map():
    x = np.arange(1.0, 5.0)
    report = compare.gradients(lambda x: (x @ x, {"x": 3 * x}), lambda x: x @ x, {"x": x})
    page = to_html(calls_record([report]))
    assert 'data-for="w1"' in page
    assert "The sides part" in page


def test_the_map_has_no_phase_that_the_call_leaves_out():
    x = np.arange(1.0, 5.0)
    report = compare.gradients(lambda x: (x @ x, {"x": 2 * x}), lambda x: x @ x, {"x": x})
    held = calls_record([report])["experiments"][0]["scenarios"][0]
    columns = Columns(held["history"])
    assert {key[0] for key in columns.keys} == set(held["coverage"]["phases"])


def test_the_strip_has_the_worst_of_each_step():
    found = lockstep(*SIDES["diverged"], STEPS, history=True)
    cells = (
        Columns(calls_record([Report(found, "toy")])["experiments"][0]["scenarios"][0]["history"]).strip().split(",")
    )
    assert [cell[-1] if cell[-1] in "oi" else "" for cell in cells] == ["", "o", "i", "i"]


def test_several_experiments_are_listed_with_the_worst_one_open():
    reports = [Report(lockstep(*SIDES[outcome], STEPS, history=True), outcome) for outcome in ("equivalent", "error")]
    page = to_html(calls_record(reports))
    _, words = read(page)
    assert "error · error A side raised" in words
    assert re.findall(r'<details class="experiment"[^>]*data-outcome="(\w+)" open>', page) == ["error"]


def test_what_is_missing_is_said_before_the_run(monkeypatch):
    real = importlib.util.find_spec
    hidden = lambda name, *rest: None if name == "jinja2" else real(name, *rest)  # noqa: E731
    monkeypatch.setattr(output, "find_spec", hidden)
    monkeypatch.setattr(importlib.util, "find_spec", hidden)
    with pytest.raises(output.Refused, match=r"^--html needs jinja2: pip install 'gradlock\[html\]'$"):
        output.check_writable(html="page.html")
    with pytest.raises(InputError, match=r"an HTML report needs jinja2: pip install 'gradlock\[html\]'"):
        to_html({})


def test_only_a_page_has_walks_keep_their_histories():
    for path, kept in (("x.html", True), (None, False)):
        with record_histories(False), keeping_histories({"html": path, "json": "x.json"}):
            assert wanted() is kept


def test_the_templates_are_where_a_wheel_takes_them_from():
    """Hatch takes all files of a package that git does not ignore; CI runs --html from an installed wheel, too."""
    folder = Path(module.__file__).parent / "templates"
    held = {path.name for path in folder.iterdir()}
    assert held == {"page.html", "parts.html", "walk.html", "style.css", *module._SCRIPTS}
