"""The pictures and the page: what is in them, and that they need nothing else."""

import copy
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib, the extra 'gallery'")

from compare.gallery import command, lesson  # noqa: E402
from compare.gallery.drawing import drawn  # noqa: E402
from compare.gallery.halves import halves  # noqa: E402
from compare.gallery.page import page  # noqa: E402
from compare.gallery.portrait import figure_of  # noqa: E402
from compare.gallery.record import record_of  # noqa: E402
from compare.gallery.walks import portrait  # noqa: E402


@pytest.fixture(scope="module")
def adam():
    return portrait("Adam", tolerance="fixed", diagnose=False)


@pytest.fixture(scope="module")
def both_halves():
    return halves(tolerance="fixed", diagnose=False)


def words_in(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_portrait_says_what_happened(adam):
    words = words_in(drawn(figure_of, adam, "svg"))
    assert "Adam" in words
    assert f"planted mistake: {adam.mistake.words}" in words
    for descent in adam.descents:
        assert f"the two sides: equivalent over {descent.surface.steps} steps" in words
        assert f"step {descent.astray.leaves}" in words
    assert {"manual.optim", "torch.optim", "manual.optim with the mistake", "minimum", "start"} <= set(words)


def test_what_is_drawn_is_what_was_walked(adam):
    figure = figure_of(adam)
    for axes, descent in zip(figure.axes, adam.descents, strict=True):
        lines = {line.get_label(): np.column_stack(line.get_data()) for line in axes.get_lines()}
        np.testing.assert_array_equal(lines["manual.optim"], descent.path.actual)
        path = np.array(descent.path.expected)
        assert all((path == point).all(1).any() for point in lines["torch.optim"])
        leaves = descent.astray.leaves
        np.testing.assert_array_equal(lines["manual.optim with the mistake"], descent.astray.actual[leaves - 1 :])
        np.testing.assert_array_equal(lines["where the mistake leaves"][0], descent.astray.actual[leaves - 1])
        np.testing.assert_array_equal(lines["start"][0], descent.surface.start)


def test_a_path_that_ends_early_or_nowhere_can_be_drawn(adam):
    """A side may raise, or run away."""
    first, second, third = adam.descents
    broken, lost = copy.copy(first.path), copy.copy(second.astray)
    broken.actual, broken.expected = [], []
    lost.actual = [*lost.actual[:5], np.array([np.nan, 1.0]), np.array([np.inf, -1e200])]
    found = replace(adam, descents=(replace(first, path=broken), replace(second, astray=lost), third))
    assert "step 2" in words_in(drawn(figure_of, found, "svg"))


def test_the_lesson_says_its_numbers_whole(both_halves):
    words = words_in(drawn(lesson.figure_of, both_halves, "svg"))
    assert words.count("9 of 20 rows weigh 0.45") == 2
    assert "the mistake: parts at step 1, update, linear.bias" in words


def test_the_same_figure_gives_the_same_bytes(adam):
    for kind in ("svg", "png"):
        assert drawn(figure_of, adam, kind) == drawn(figure_of, adam, kind)
    assert drawn(figure_of, adam, "png").startswith(b"\x89PNG")


def test_drawing_leaves_the_settings_of_matplotlib_alone(adam):
    before = dict(matplotlib.rcParams)
    drawn(figure_of, adam, "svg")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_page_fetches_nothing_and_has_everything(adam, both_halves, kind):
    record = record_of([adam], both_halves)
    pictures = {"Adam": drawn(figure_of, adam, kind), "halves": drawn(lesson.figure_of, both_halves, kind)}
    found = page(record, pictures, kind)
    for outside in ('src="http', 'href="http', "<script", "@import", "url(http"):
        assert outside not in found
    assert found.count("<svg" if kind == "svg" else "data:image/png;base64,") == 2
    assert adam.mistake.words in found
    assert found.count("<td>equivalent</td>") == 3
    assert 'id="halves"' in found


def test_files_are_written(tmp_path, monkeypatch, adam, both_halves):
    monkeypatch.setattr(command, "walk", lambda match, **options: ([adam], both_halves, []))
    record, raised = command.run(out=str(tmp_path / "a" / "b"))
    files = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    assert files == ["adam.svg", "halves.svg", "index.html"]
    assert [path.split("/")[-1] for path in record["files"]] == files
    assert raised == []
    for name in ("adam.svg", "halves.svg"):
        assert (tmp_path / "a" / "b" / name).stat().st_size < 130_000
