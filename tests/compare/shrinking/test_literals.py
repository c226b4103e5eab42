"""Values as text: every number comes back as it was."""

import numpy as np
import pytest

from compare.shrinking.literals import UnwritableError, literal, value_text

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize(
    "value",
    [
        GENERATOR.standard_normal((5, 7)),
        GENERATOR.standard_normal((3, 2, 4)).astype(np.float32),
        np.arange(60),
        np.array([np.nan, np.inf, -np.inf, -0.0]),
        np.array(0.1),
        np.array([True, False]),
        np.zeros((0, 3), np.float32),
        np.array([1, 2], np.int32),
    ],
    ids=lambda value: f"{value.dtype}{list(value.shape)}",
)
def test_an_array_is_read_back_to_the_last_bit(value):
    read = eval(literal(value), {"np": np})
    assert (read.dtype, read.shape, read.tobytes()) == (value.dtype, value.shape, value.tobytes())


def test_containers_and_options():
    assert literal({"w": (np.array([1.0]), None)}) == '{"w": (np.array([1.0]), None)}'
    assert value_text({"lr": 0.1, "betas": (0.9,), "milestones": [1, 2]}) == (
        '{"lr": 0.1, "betas": (0.9,), "milestones": [1, 2]}'
    )
    assert value_text(float("inf")) == 'float("inf")'


def test_what_no_line_makes_again_is_refused():
    with pytest.raises(UnwritableError, match="cannot be written as Python text"):
        value_text(object())
    with pytest.raises(UnwritableError, match="dtype complex128"):
        literal(np.array([1j]))
