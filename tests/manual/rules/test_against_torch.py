"""Every rule, forward and backward, against PyTorch: random incoming gradients, float64 and float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}


def assert_agree(actual: Any, expected: Any, tolerance: float, what: str) -> None:
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, what
    assert actual.dtype == expected.dtype, what
    if actual.dtype.kind != "f":
        assert np.array_equal(actual, expected), what
        return
    finite = np.isfinite(expected)
    assert np.array_equal(actual[~finite], expected[~finite], equal_nan=True), what
    scale = np.max(np.abs(expected[finite]), initial=0)
    difference = np.max(np.abs(actual[finite] - expected[finite]), initial=0)
    assert difference <= tolerance * scale, f"{what}: off by {difference} at a scale of {scale}"


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_agrees_with_torch(case: Any, dtype: Any, run: Any) -> None:
    tolerance = max(TOLERANCE[dtype], case.loose)
    arrays = case.arrays(dtype)
    outputs, incoming, gradients, _ = run(case, arrays)

    tensors = [torch.tensor(item) if isinstance(item, np.ndarray) else item for item in arrays]
    for place in case.differentiable:
        tensors[place].requires_grad_()
    expected = case.expected(*tensors)
    expected = list(expected) if isinstance(expected, (tuple, list)) else [expected]
    assert len(outputs) == len(expected)
    for number, (actual, wanted) in enumerate(zip(outputs, expected, strict=True)):
        assert_agree(actual, wanted.detach().numpy(), tolerance, f"output {number}")

    wanted_gradients: list[Any] = [None] * len(arrays)
    pairs = [(output, torch.tensor(seed)) for output, seed in zip(expected, incoming, strict=True) if output.grad_fn]
    if pairs:
        found = torch.autograd.grad(
            [output for output, _ in pairs],
            [tensors[place] for place in case.differentiable],
            [seed for _, seed in pairs],
            allow_unused=True,
        )
        for place, gradient in zip(case.differentiable, found, strict=True):
            wanted_gradients[place] = gradient
    assert len(gradients) == len(arrays)
    for place, (actual, wanted) in enumerate(zip(gradients, wanted_gradients, strict=True)):
        if wanted is None:
            assert actual is None or not np.any(actual), f"input {place} has no gradient in torch"
        else:
            assert_agree(actual, wanted.numpy(), tolerance, f"gradient of input {place}")
