"""Every layer and loss has an example whose three columns agree, or a page that says why there is none."""

from __future__ import annotations

import numpy as np
import pytest

import compare.explaining as explaining
from compare.explaining.examples_layers import EXAMPLES, UNLIKE, WITHOUT
from compare.explaining.layer_work import layer_example

LAYERS = [*explaining.names("layer"), *explaining.names("loss")]


def test_every_layer_has_an_example_or_a_reason() -> None:
    assert set(LAYERS) == set(EXAMPLES) | set(WITHOUT)
    assert not set(EXAMPLES) & set(WITHOUT)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_three_columns_agree(name: str) -> None:
    work = layer_example(name)
    assert work.values
    assert work.gradients
    for column in work.columns:
        assert column.agrees, f"{column.label}: {column.multiples.max()} floors apart"
    for column in work.gradients:
        assert column.numeric is not None
        assert not column.at_kink.any()
        assert np.nanmax(column.numeric.error) < 1e-9
    assert all(column.confirmed for column in work.gradients) == (name not in UNLIKE)
    assert all(np.size(seed) == 1 or np.ptp(seed) > 0 for seed in work.arriving.values())
    assert all(column.manual.any() for column in work.gradients), "an example in which a gradient is zero shows nothing"


@pytest.mark.parametrize("name", WITHOUT)
def test_a_page_without_numbers_says_why(name: str) -> None:
    text = explaining.terminal(name)
    assert "computes nothing" in text
    assert "Worked example" not in text
