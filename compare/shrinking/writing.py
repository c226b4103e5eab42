"""The stand-alone pytest file of a minimal case: its numbers, its sides, and a test that fails with the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from compare.batches import MicroBatch
from compare.shrinking.literals import literal, value_text
from compare.shrinking.program import data_text, program_text
from compare.shrinking.setup import Setup
from compare.shrinking.signature import Signature

if TYPE_CHECKING:
    from compare.shrinking.experiments import Failing

__all__ = ["file_text", "test_of_call", "test_of_setup", "test_of_steps"]

Steps = Sequence[Sequence[MicroBatch]]
_WIDTH = 110


def file_text(heading: str, imports: Iterable[str], *parts: str) -> str:
    """One file of a docstring, sorted imports and parts."""
    given = set(imports)
    lines = sorted(line for line in given if line.startswith("import "))
    lines += sorted(line for line in given if line.startswith("from "))
    *body, test = [part.strip("\n") for part in parts if part]
    top = "\n\n".join([f'"""{heading}\n"""', "\n".join(lines)])
    spaced = [("\n" if part.startswith(("def ", "class ", "@")) else "") + part for part in body]
    return "\n\n".join([top, *spaced]) + f"\n\n\n{test}\n"


def heading_of(signature: Signature, command: str) -> str:
    """What the file is, and what is to be seen."""
    culprit = signature.culprit or "the model"
    what = f"The smallest case found in which the two sides part at {signature.phase}; culprit: {culprit}."
    until = f"Cause: {signature.cause}. The test fails, with the report, until that is mended."
    lines = [fill(what, _WIDTH), "", until]
    if command:
        lines += ["", f"Written by: {command}"]
    return "\n".join(lines)


_SETUP_IMPORTS = (
    "import numpy as np",
    "from compare.batches import cut",
    "from compare.lockstep import lockstep",
    "from compare.report.report import Report",
)


def test_of_setup(setup: Setup, signature: Signature, failing: Failing) -> str:
    """The file of a setup."""
    imports, program = program_text(setup)
    return file_text(
        heading_of(signature, failing.command),
        [*_SETUP_IMPORTS, *imports, *_fault_imports(failing)],
        data_text(setup),
        program,
        _test(failing, setup.sync),
    )


def test_of_steps(steps: Steps, signature: Signature, failing: Failing) -> str:
    """The file of sides that are made by code of their own."""
    return file_text(
        heading_of(signature, failing.command),
        [*_SETUP_IMPORTS, *failing.imports, *_fault_imports(failing)],
        failing.source,
        f"STEPS = {literal([list(step) for step in steps])}",
        _test(failing, failing.sync),
    )


def _fault_imports(failing: Failing) -> list[str]:
    if failing.fault is None:
        return []
    return ["from compare.faults.catalogue import FAULTS", "from compare.faults.planting import planted"]


def _test(failing: Failing, sync: str) -> str:
    side = "actual" if failing.fault is None else "spoiled"
    lines = ["def test_the_two_sides_are_equivalent():"]
    if failing.fault is not None:
        lines.append(f'    spoiled = planted(actual, FAULTS["{failing.fault}"].plant, STEPS)')
    options = [f', sync="{sync}"'] * (sync != "free") + [f', tolerance="{failing.tolerance}"'] * (
        failing.tolerance != "measured"
    )
    lines.append(f"    verdict = lockstep({side}, expected, STEPS{''.join(options)})")
    lines.append(f"    report = Report(verdict, {value_text(failing.name)})")
    lines.append("    report.assert_equivalent()")
    return "\n".join(lines)


_FIRST = {
    "gradients": ("manual_fn", "torch_fn", "inputs"),
    "module": ("manual_fn", "torch_module", "inputs"),
    "optimizer": ("update", "torch_optimizer"),
    "training": ("side", "reference", "batches"),
}
"""The positional arguments of each call; all others are written by name."""
_DEFAULTS: dict[str, Any] = {
    "wrt": None,
    "names": None,
    "tolerance": None,
    "seed": 0,
    "sync": "free",
    "micro_batches": 1,
    "options": {},
}


def test_of_call(kind: str, arguments: Mapping[str, Any], signature: Signature) -> str:
    """The file of a user's call.

    Raises
    ------
    InputError
        If a function or class of theirs can be neither imported nor copied.
    """
    from compare.shrinking.sources import Sources

    sources = Sources()
    given: list[str] = []
    data: list[str] = []
    for name in _FIRST[kind]:
        value = arguments[name]
        if name in ("inputs", "batches"):
            data.append(f"{name.upper()} = {literal(value)}")
            given.append(f"*{name.upper()}" if kind == "module" else name.upper())
        else:
            given.append(sources.expression(value, name))
    for name, value in arguments.items():
        if name not in _FIRST[kind] and not (name in _DEFAULTS and _same(value, _DEFAULTS[name])):
            given.append(f"{name}={sources.expression(value, name)}")
    lines = [
        "def test_the_two_sides_are_equivalent():",
        f"    report = compare.{kind}(",
        *(f"        {argument}," for argument in given),
        "    )",
        "    report.assert_equivalent()",
    ]
    used = "\n".join([*data, *given, *sources.definitions])
    imports = ["import compare", *(["import numpy as np"] if "np." in used else []), *sources.imports]
    return file_text(heading_of(signature, ""), dict.fromkeys(imports), *sources.definitions, *data, "\n".join(lines))


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)
