"""The pages of the course say what the computed numbers say."""

from __future__ import annotations

import re

import pytest

import compare.explaining as explaining
from compare.explaining.lesson_numbers import NUMBERS
from compare.explaining.lessons import _PLACE

PAGES = explaining.names("lesson")
COURSE = ["simultaneous-update", "cost-functions", "one-vs-all", "lambda-and-c", "xnor", "mazur", "gradient-descent"]


def test_the_course_is_complete() -> None:
    assert set(COURSE) <= set(PAGES)
    assert set(PAGES) == set(NUMBERS)


@pytest.mark.parametrize("name", PAGES)
def test_every_number_of_a_page_is_computed_and_used(name: str) -> None:
    from importlib.resources import files

    text = files("compare.explaining").joinpath("pages", f"{name}.md").read_text(encoding="utf-8")
    assert set(_PLACE.findall(text)) == set(NUMBERS[name]())
    page = explaining.page(name, kind="lesson")
    assert "{{" not in page
    assert "nan" not in page
    assert max(map(len, explaining.terminal(name, kind="lesson").splitlines())) <= 110


def cells(page: str, first: str) -> list[str]:
    row = next(line for line in page.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_simultaneous_update_is_pytorchs_and_in_turn_is_not() -> None:
    page = explaining.page("simultaneous-update", kind="lesson")
    assert cells(page, "both at once") == cells(page, "PyTorch's SGD")
    right, wrong = cells(page, "both at once"), cells(page, "bias first, then weight")
    assert right[0] == wrong[0]
    assert right[1] != wrong[1]


def test_the_two_halves() -> None:
    page = explaining.page("gradient-descent")
    assert cells(page, "first half: their sum") == cells(page, "all rows at once")
    assert cells(page, "manual") == cells(page, "PyTorch's SGD")
    assert cells(page, "manual") != cells(page, "first half wrong: mean of means")
    page = explaining.page("gradient-accumulation", kind="lesson")
    assert cells(page, "all three rows at once") == cells(page, "the deposits added up")
    assert cells(page, "all three rows at once") != cells(page, "the mean of the two means")


def test_squares_of_a_sigmoid_are_not_convex_and_cross_entropy_is() -> None:
    found = NUMBERS["cost-functions"]()
    assert found["squares-middle"] > found["squares-chord"]
    assert found["entropy-middle"] < found["entropy-chord"]
    curvatures = [(float(row[3]), float(row[6])) for row in found["costs"].rows]
    assert min(one for one, _ in curvatures) < 0 < min(other for _, other in curvatures)


def test_c_is_the_inverse_of_lambda() -> None:
    found = NUMBERS["lambda-and-c"]()
    for row in found["table"].rows:
        assert float(row[4]) == pytest.approx(4 * float(row[0]))
        assert float(row[7]) == pytest.approx(4 * float(row[0]))
    widths = [float(row[2]) for row in found["margins"].rows]
    assert widths == sorted(widths, reverse=True)


def test_heads_need_not_add_up_and_training_one_alone_is_the_same() -> None:
    found = NUMBERS["one-vs-all"]()
    assert float(found["gap"]) < 1e-12
    assert float(found["least"]) < 0.9
    assert float(found["most"]) > 1.1
    assert {row[-1] for row in found["heads"].rows} == {"1.000"}


def test_no_line_reaches_four_rows_and_the_network_does() -> None:
    found = NUMBERS["xnor"]()
    assert found["best"] == 3
    assert found["end"] == pytest.approx(found["log2"], abs=1e-12)
    for row in found["table"].rows:
        assert abs(float(row[6]) - float(row[2])) < 1e-3


def test_mazurs_last_number_is_that_of_the_mistake() -> None:
    found = NUMBERS["mazur"]()
    assert found["after-wrong"] == found["printed-after"] == "0.291027924"
    assert found["after"] == "0.291027774"
    for row in found["table"].rows[:8]:
        assert abs(float(row[1]) - float(row[2])) < 1e-8
    assert re.search(r"lies 1\.5e-07 away", explaining.page("mazur"))
