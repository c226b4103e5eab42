"""Hands every test of this folder that asks for a ``case`` each row of the table in turn."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_NAME = "gradlock_rules_table"


def _table() -> Any:
    """The package of the table, with every file of it read."""
    if _NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(_NAME, Path(__file__).with_name("table") / "__init__.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[_NAME] = module
        spec.loader.exec_module(module)
        for family in pkgutil.iter_modules(module.__path__):
            importlib.import_module(f"{_NAME}.{family.name}")
    return sys.modules[_NAME]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, fits in (
        ("case", lambda case: True),
        ("smooth_case", lambda case: case.smooth),
        ("joint_case", lambda case: len(case.inputs) > 1),  # a rule of one input is called only when it is needed
    ):
        if fixture in metafunc.fixturenames:
            chosen = [case for case in _table().CASES if fits(case)]
            metafunc.parametrize(fixture, chosen, ids=[case.name for case in chosen])


@pytest.fixture(scope="session")
def cases() -> Any:
    return _table().CASES


@pytest.fixture
def run() -> Any:
    """Run a case's rule forward and backward; returns the outputs, the incoming gradients and the gradients."""
    from manual import rules

    def run(case: Any, arrays: list[Any], needs: tuple[bool, ...] | None = None) -> tuple[Any, Any, Any, Any]:
        with np.errstate(**({"all": "ignore"} if case.singular else {})):
            value, pullback = getattr(rules, case.rule)(*arrays, **case.options)
            several = type(value) is tuple
            outputs = [np.asarray(output) for output in (value if several else (value,))]
            generator = np.random.default_rng([1, *case.name.encode()])
            incoming = [
                np.asarray(
                    generator.standard_normal(output.shape).astype(output.dtype)
                    if output.dtype.kind == "f"
                    else np.zeros_like(output)
                )
                for output in outputs
            ]
            for array in incoming:
                array.flags.writeable = False
            if needs is None:
                needs = tuple(place in case.differentiable for place in range(len(arrays)))
            gradients = pullback(tuple(incoming) if several else incoming[0], needs)
        return outputs, incoming, gradients, pullback

    return run
