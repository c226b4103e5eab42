"""The error function against the C library's, in units in the last place; and the conventions that differ from torch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from manual import rules
from manual.rules.special import error_function


def grid(dtype: Any) -> np.ndarray:
    pieces = [np.linspace(-7, 7, 20001), np.logspace(-12, 0.9, 3000), [0.0, 0.46875, 0.4687501, 4.0, 4.0001, 50.0]]
    return np.concatenate(pieces).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_erf_is_right_to_four_units_in_the_last_place(dtype: Any) -> None:
    x = grid(dtype)
    exact = np.array([math.erf(value) for value in x.astype(float)])
    ulps = np.abs(error_function(x) - exact) / np.spacing(np.maximum(np.abs(exact), 1e-300).astype(dtype))
    assert np.max(ulps) <= 4


def test_erf_in_longdouble_is_better_than_float64() -> None:
    x = grid(np.longdouble)
    exact = np.array([math.erf(value) for value in x.astype(float)])
    rounded = x.astype(float).astype(np.longdouble)
    assert np.max(np.abs(error_function(rounded) - exact)) <= 2.3e-16


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16], ids=lambda dtype: dtype.__name__)
def test_erf_at_the_ends_of_the_line(dtype: Any) -> None:
    ends = error_function(np.array([-np.inf, np.inf, np.nan, 0, -0.0], dtype))
    np.testing.assert_array_equal(ends, np.array([-1, 1, np.nan, 0, 0], dtype))
    assert np.signbit(ends[-1])
    assert ends.dtype == dtype


def test_blocks_are_seamless() -> None:
    x = np.random.default_rng(0).standard_normal(100_003)
    np.testing.assert_array_equal(error_function(x)[32_760:32_780], error_function(x[32_760:32_780]))


def test_logsumexp_of_nothing_has_no_gradient_where_torch_has_nan() -> None:
    value, pullback = rules.logsumexp(np.array([[-np.inf, -np.inf], [0.5, 1.0]]), dim=1)
    (gradient,) = pullback(np.array([3.0, 2.0]), (True,))
    assert value[0] == -np.inf
    np.testing.assert_array_equal(gradient[0], [0, 0])
    assert gradient[1].sum() == pytest.approx(2)
