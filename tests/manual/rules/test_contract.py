"""What every rule promises (``manual.rules.core``), and that every rule is in the table."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest

from manual import rules

HELPERS = {"convolution_shapes", "core", "masking", "steps"}


def exported_rules() -> set[str]:
    names: set[str] = set()
    for module in pkgutil.iter_modules(rules.__path__):
        if not module.ispkg and module.name not in HELPERS:
            names |= set(importlib.import_module(f"manual.rules.{module.name}").__all__)
    return names


def saved_arrays(pullback: Any) -> list[np.ndarray]:
    """The arrays in a pullback's closure, also behind closures inside it."""
    found, waiting, seen = [], [pullback], set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, np.ndarray):
            found.append(item)
        elif isinstance(item, (tuple, list)):
            waiting.extend(item)
        elif getattr(item, "__closure__", None):
            waiting.extend(cell.cell_contents for cell in item.__closure__)
    return found


def strided(array: Any) -> Any:
    """The same numbers with gaps between them in memory."""
    if not isinstance(array, np.ndarray) or not array.ndim:
        return array
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def test_every_exported_rule_is_in_the_table(cases: Any) -> None:
    assert exported_rules() == {case.rule for case in cases}


def test_names_in_the_table_are_unique(cases: Any) -> None:
    names = [case.name for case in cases]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("name", sorted(exported_rules()))
def test_every_rule_is_exported_and_teaches(name: str) -> None:
    docstring = getattr(rules, name).__doc__
    assert "Forward:" in docstring or ":func:`" in docstring or "Convention:" in docstring


def test_gradients_have_the_shape_and_dtype_of_their_inputs(case: Any, run: Any) -> None:
    for dtype in (np.float32, np.float16):
        with np.errstate(all="ignore"):
            arrays = case.arrays(dtype)
            outputs, _, gradients, _ = run(case, arrays)
        for place in case.differentiable:
            if gradients[place] is not None:
                assert np.shape(gradients[place]) == arrays[place].shape
                assert gradients[place].dtype == dtype
        if case.rule != "to":
            assert {output.dtype for output in outputs} <= {np.dtype(dtype), np.dtype(np.int64)}


def test_nothing_is_written_to_and_nothing_saved_is_given_away(case: Any, run: Any) -> None:
    arrays = case.arrays(np.float32)
    for array in arrays:
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    outputs, incoming, gradients, pullback = run(case, arrays)
    before = [output.copy() for output in outputs]
    held = [item for item in arrays if isinstance(item, np.ndarray)] + outputs + saved_arrays(pullback)
    given = [np.asarray(gradient) for gradient in gradients if gradient is not None]
    for gradient in given:
        assert not any(np.shares_memory(gradient, array) for array in held)
    for place, gradient in enumerate(given):
        for other in given[:place]:
            if np.shares_memory(gradient, other):
                assert any(np.shares_memory(gradient, seed) for seed in incoming)
        if not any(np.shares_memory(gradient, seed) for seed in incoming) and gradient.flags.writeable:
            gradient[...] = 77  # what the caller does with its gradient must not change the next one
    _, _, again, _ = run(case, arrays)
    with np.errstate(**({"all": "ignore"} if case.singular else {})):
        repeated = pullback(
            tuple(incoming) if len(incoming) > 1 or case.rule in MULTIPLE else incoming[0],
            tuple(place in case.differentiable for place in range(len(arrays))),
        )
    for first, second in zip(again, repeated, strict=True):
        assert (first is None) == (second is None)
        if first is not None:
            assert np.array_equal(first, second, equal_nan=True)
    for output, copy in zip(outputs, before, strict=True):
        assert np.array_equal(output, copy, equal_nan=True)


MULTIPLE = {"split", "chunk", "unbind"}


def test_what_is_not_needed_is_none(joint_case: Any, run: Any) -> None:
    case = joint_case
    for place in case.differentiable:
        needs = tuple(other == place for other in range(len(case.inputs)))
        _, _, gradients, _ = run(case, case.arrays(np.float32), needs)
        assert [gradient is not None for gradient in gradients] == list(needs)


def test_the_layout_in_memory_does_not_matter(case: Any, run: Any) -> None:
    arrays = case.arrays(np.float64)
    outputs, _, gradients, _ = run(case, arrays)
    gapped, _, gapped_gradients, _ = run(case, [strided(array) for array in arrays])
    reversed_, _, reversed_gradients, _ = run(
        case, [np.asfortranarray(array) if np.ndim(array) else array for array in arrays]
    )
    for expected, *others in (
        *zip(outputs, gapped, reversed_, strict=True),
        *zip(gradients, gapped_gradients, reversed_gradients, strict=True),
    ):
        for other in others:
            if expected is not None:
                np.testing.assert_allclose(other, expected, rtol=1e-11, atol=1e-13)


def test_a_pullback_is_named_after_what_it_undoes(case: Any, run: Any) -> None:
    *_, pullback = run(case, case.arrays(np.float64))
    assert pullback.__name__.endswith("_pullback")
