"""The pages that are made from the code hold all of what they are made from, and link to what exists."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pkgutil import resolve_name

import click
import pytest

from compare.cli import cli
from compare.diagnosis.catalogue import CAUSES
from compare.listing import entries

from ..documents import ROOT
from .hooks import hook

api, catalogue, commands = hook("api"), hook("catalogue"), hook("commands")
NAV = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]


def test_every_cause_stands_under_one_heading():
    groups = catalogue.cause_groups()
    assert [name for names in groups.values() for name in names] == list(CAUSES)
    assert all(groups)
    assert len(groups) >= 6


def test_the_page_of_causes_says_what_each_means_and_which_mistakes_are_given_its_name():
    page = catalogue.causes_page()
    for name, meaning in CAUSES.items():
        assert f"| **{name}** | {catalogue.cell(meaning)} |" in page
    (row,) = re.findall(r".*\*\*bias correction without exponent\*\*.*", page)
    assert "`adam-correction-without-exponent`" in row


@pytest.mark.parametrize("kind", catalogue.LISTED)
def test_a_listing_has_a_row_for_each_class_and_links_to_where_it_is_documented(kind):
    page = catalogue.listing_page(kind)
    package = re.search(r"\.\./api/([\w.]+)\.md", page)[1]
    documented = api.api_page(package)
    for entry in entries(kind):
        assert f"| [`{entry.name}`][{entry.path}] |" in page
        assert f"::: {entry.path}\n" in documented
    assert page.count("*Convention:*") == sum(len(entry.conventions) for entry in entries(kind))


def test_the_cells_of_a_table_cannot_break_it():
    assert catalogue.table(["a"], [["x | y and `p|q`"]]).splitlines()[-1] == "| x \\| y and `p|q` |"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("See :func:`~manual.rules.relu`.", "See `manual.rules.relu`."),
        ("``y = x`` holds.", "`y = x` holds."),
        ("Thus::\n\n    x = 1", "Thus:\n\n    x = 1"),
        ("is\n\n    ``y = x``\n\nText.", "is\n\n    y = x\n\nText."),
        ("x : int\n    ``x > 0``, say.", "x : int\n    `x > 0`, say."),
        (
            "===  =====\n``a``  one\n     more\nb    two\n===  =====",
            "| name | what it is |\n| --- | --- |\n| `a` | one more |\n| b | two |",
        ),
    ],
)
def test_docstrings_become_markdown(written, shown):
    assert hook("markup").as_markdown(written) == shown


def test_the_page_of_commands_has_every_command_with_every_option():
    page = commands.commands_page()
    root = click.Context(cli, info_name="gradlock")
    for name, command in cli.commands.items():
        section = page.partition(f"## gradlock {name}\n")[2].partition("\n## ")[0]
        assert section, f"no section about gradlock {name}"
        for parameter in command.get_params(click.Context(command, info_name=name, parent=root)):
            if isinstance(parameter, click.Option):
                assert parameter.opts[-1] in section
    assert "```text\ngradlock run [OPTIONS] NAME...\n```" in page


@pytest.mark.parametrize("package", api.PAGES)
def test_a_page_of_the_api_has_every_public_name_of_its_package(package):
    page = api.api_page(package)
    module = import_module(package)
    shown = {path.rpartition(".")[2] for path in re.findall(r"^::: (\S+)$", page, re.MULTILINE)}
    shown |= set(re.findall(r"^\| \[`(\w+)`\]", page, re.MULTILINE))
    shown |= set(re.findall(r"^`(\w+)` is \[.*under another name\.$", page, re.MULTILINE))
    assert set(api.public_names(module)) <= shown | {"__version__"}
    assert f"api/{package}.md" in NAV
    paths = re.findall(r"^::: (\S+)$", page, re.MULTILINE)
    assert len(paths) == len(set(paths))
    for path in paths:
        assert resolve_name(path)


def test_a_package_without_a_list_of_names_shows_what_is_defined_below_it():
    names = api.public_names(import_module("manual.rules"))
    assert {"relu", "matmul", "softmax"} <= set(names)
    assert "np" not in names
    assert "Array" not in names


def test_every_generated_page_and_every_written_one_is_in_the_navigation():
    named = set(re.findall(r": ([\w./-]+\.md)", NAV))
    written = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    made = {"command-line.md", "catalogue/causes.md", "notebooks/learner.md", "notebooks/porter.md"}
    made |= {f"catalogue/{kind}.md" for kind in catalogue.LISTED} | {f"api/{package}.md" for package in api.PAGES}
    assert named == written | made


def test_nothing_is_fetched_from_elsewhere():
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings
    assert "http" not in settings
    assert inspect.getsource(hook("notebooks")).count("http") == 0
