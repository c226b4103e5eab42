"""Selecting by a mask: exact where multiplication is not, and the same however it is done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from manual.rules.masking import blend, drop, keep

DTYPES = [np.float16, np.float32, np.float64, np.longdouble]


@pytest.fixture(params=[(3, 4), (40, 50)], ids=["small", "large"])
def shape(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_what_is_masked_out_is_zero_even_where_infinite(shape: tuple[int, ...], dtype: Any) -> None:
    generator = np.random.default_rng(0)
    values = generator.standard_normal(shape).astype(dtype)
    values.flat[:4] = [np.inf, -np.inf, np.nan, 1]
    mask = generator.random(shape) < 0.5
    mask.flat[:4] = False
    for result, expected in (
        (keep(values, mask), np.where(mask, values, 0)),
        (drop(values, ~mask), np.where(mask, values, 0)),
        (blend(mask, values, -values), np.where(mask, values, -values)),
        (blend(mask, values, 2.5), np.where(mask, values, 2.5)),
    ):
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, expected)


def test_gaps_in_memory_do_not_matter(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal((*shape, 2))[..., 0].T
    mask = values > 0
    np.testing.assert_array_equal(keep(values, mask), np.maximum(values, 0))
    np.testing.assert_array_equal(drop(values, mask), np.minimum(values, 0))
    np.testing.assert_array_equal(blend(mask, values, values * 0.5), np.maximum(values, values * 0.5))
