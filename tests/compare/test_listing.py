"""The lists of layers and losses: names, first lines, counts of samples, and the conventions behind them."""

import inspect
import json

import pytest

from compare import listing
from manual import nn, rules
from manual.nn import functional
from manual.rules import losses


@pytest.fixture
def counts(monkeypatch, tmp_path):
    table = {
        "torch": "2.13.0",
        "modules": {"Linear": {"passed": 11, "samples": 24}, "MSELoss": {"passed": 6, "samples": 6}},
    }
    path = tmp_path / "counts.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    monkeypatch.setattr(listing, "COUNTS", path)


def rows(text):
    """The lines of each row, by its name."""
    found, name = {}, ""
    for line in text.partition("\n\nsamples:")[0].splitlines()[2:]:
        if not line.startswith(" "):
            name = line.split()[0]
        found.setdefault(name, []).append(line)
    return found


def test_they_fit_into_100_columns_and_name_every_module_once(counts):
    texts = {kind: listing.listing(kind) for kind in ("layers", "losses")}
    modules = {
        name
        for name, value in vars(nn).items()
        if inspect.isclass(value) and issubclass(value, nn.Module) and value is not nn.Module
    }
    layers, errors = rows(texts["layers"]), rows(texts["losses"])
    assert sorted([*layers, *errors]) == sorted(modules)
    assert {"Linear", "ReLU", "Sequential", "Upsample"} <= set(layers)
    assert {"MSELoss", "CrossEntropyLoss", "HingeLoss"} <= set(errors)
    for text in texts.values():
        assert max(map(len, text.splitlines())) <= 100
        assert all(len(lines[0].split()) > 2 for lines in rows(text).values())


def test_a_row_says_what_it_is_and_how_many_samples_it_passes(counts):
    layers, errors = rows(listing.listing("layers")), rows(listing.listing("losses"))
    assert layers["Linear"][0].split() == ["Linear", "y", "=", "x", "W^T", "+", "b.", "11", "of", "24"]
    assert layers["Identity"][0].rstrip().endswith("ignores them.")
    assert errors["MSELoss"][0].rstrip().endswith("6 of 6")
    assert any("Convention: torch has no factor 1/2" in line for line in errors["MSELoss"])


def test_the_checked_in_counts_are_shown():
    modules = json.loads(listing.COUNTS.read_text(encoding="utf-8"))["modules"]
    shown = rows(listing.listing("layers"))
    assert shown["Linear"][0].rstrip().endswith(f"{modules['Linear']['passed']} of {modules['Linear']['samples']}")


def test_conventions_that_a_row_has_shown_are_not_repeated(counts):
    shown = rows(listing.listing("layers"))
    assert any("pixels are squares" in line for line in shown["Upsample"])
    assert not any("pixels are squares" in line for line in shown["UpsamplingNearest2d"])
    assert shown["UpsamplingNearest2d"][-1].split() == ["Conventions", "of", "Upsample."]


class _Layer(nn.Module):
    """Does something.

    Convention: of its own, over
    two lines and ``marked`` *up*.

    Raises
    ------
    """


class Direct(_Layer):
    __doc__ = _Layer.__doc__

    def forward(self, input):
        return rules.relu(input)


class Stored(_Layer):
    """No convention."""

    _rule = staticmethod(losses.mse_loss)


class Helping(_Layer):
    """No convention."""

    def forward(self, input):
        return self._helper(input)

    def _helper(self, input):
        return rules.mean(functional.grid_sample(input, input))


def test_conventions_come_from_the_class_and_from_the_rules_behind_it():
    own, behind = listing.conventions(Direct)
    assert own == "Convention: of its own, over two lines and marked up."
    assert behind == "Convention: slope 0 at the kink x = 0."
    assert listing.conventions(Stored)[0].startswith("Convention: torch has no factor 1/2")
    found = listing.conventions(Helping)
    assert [one for one in found if "Keys' A = -3/4" in one]
    assert len(found) == inspect.getdoc(rules.grid_sample).count("Convention:")
    assert listing.conventions(_Layer) == [own]


def test_other_kinds_are_as_before():
    assert "CosineAnnealingLR" in listing.listing("schedulers")
    assert "LRScheduler" not in listing.listing("schedulers").split()
    assert "logic-gates" in listing.listing("experiments")
