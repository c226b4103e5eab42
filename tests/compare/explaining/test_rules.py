"""Every rule has an example whose three columns agree."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest

import compare.explaining as explaining
from compare.explaining import examples_rules
from compare.explaining.finding import Topic, topics
from compare.explaining.rule_work import rule_example
from compare.explaining.working import Column, Derivative, Worked

RULES = explaining.names("rule")


@cache
def worked(name: str) -> Worked:
    return rule_example(name, topics()[Topic("rule", name)])


INTEGERS = {"argmax", "argmin", "argsort"}


def test_every_rule_has_an_example() -> None:
    assert set(RULES) == set(examples_rules.EXAMPLES)


@pytest.mark.parametrize("name", RULES)
def test_the_three_columns_agree(name: str) -> None:
    work = worked(name)
    assert work.values
    for column in work.columns:
        assert column.agrees, f"{column.label}: {column.multiples.max()} floors apart"
    assert bool(work.why_not) == (name in INTEGERS)
    if name in INTEGERS:
        return
    assert work.gradients
    for column in work.gradients:
        assert column.numeric is not None
        assert not column.at_kink.any()
        assert column.numeric.error.max() < 1e-9
    assert all(column.confirmed for column in work.gradients) == (name not in examples_rules.UNLIKE)


@pytest.mark.parametrize("name", sorted(set(RULES) - INTEGERS - {"sign"}))
def test_no_incoming_gradient_is_all_ones_and_no_gradient_all_zero(name: str) -> None:
    work = worked(name)
    assert all(np.abs(seed).size == 1 or np.ptp(seed) > 0 for seed in work.arriving.values())
    assert any(column.manual.any() for column in work.gradients)


def column_of(manual: Any, autograd: Any, numeric: Any) -> Column:
    work = worked("sigmoid")
    column = work.gradients[0]
    assert column.numeric is not None
    return dataclasses.replace(
        column,
        manual=column.manual * manual,
        autograd=column.autograd * autograd,
        numeric=Derivative(column.numeric.value * numeric, column.numeric.error),
    )


@pytest.mark.parametrize(
    ("manual", "autograd", "numeric", "agrees", "confirmed"),
    [
        (1, 1, 1, True, True),
        (1 + 1e-12, 1, 1, False, False),
        (1, 1 + 1e-12, 1, False, True),
        (1, 1, 1 + 1e-12, True, False),
    ],
)
def test_a_planted_error_of_one_part_in_a_trillion_is_seen(
    manual: float, autograd: float, numeric: float, agrees: bool, confirmed: bool
) -> None:
    column = column_of(manual, autograd, numeric)
    assert (column.agrees, column.confirmed) == (agrees, confirmed)
