"""JUnit: the XML that CI servers read. A run is a test suite, an experiment or a call is a test case."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from compare.report.terminal import coverage_lines, divergence_lines, phase_table

__all__ = ["to_junit"]

_KINDS = {"diverged": "failure", "abstained": "failure", "error": "error"}
"""What an outcome is in JUnit's words; an abstention proves nothing, and so it is no success."""

_UNSPEAKABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, escaped or not."""


def to_junit(record: dict[str, Any]) -> str:
    """The record of a run as JUnit XML, ending in a newline."""
    experiments = record["experiments"]
    counts = {
        "tests": len(experiments),
        "failures": sum(_KINDS.get(one["outcome"]) == "failure" for one in experiments),
        "errors": sum(_KINDS.get(one["outcome"]) == "error" for one in experiments),
        "skipped": 0,
    }
    numbers = {name: str(count) for name, count in counts.items()}
    root = Element("testsuites", {"name": "gradlock", **numbers})
    suite = SubElement(root, "testsuite", {"name": "gradlock", **numbers})
    properties = SubElement(suite, "properties")
    for name, value in {**record["environment"], **record["setting"]}.items():
        if value is not None:
            SubElement(properties, "property", {"name": _clean(name), "value": _clean(str(value))})
    for one in experiments:
        _case(suite, one)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: Element, one: dict[str, Any]) -> None:
    source = one.get("source")
    place = {"file": source["file"], "line": str(source["line"])} if source else {}
    given = {"classname": "gradlock", "name": one["name"], **place}
    case = SubElement(suite, "testcase", {name: _clean(value) for name, value in given.items()})
    kind = _KINDS.get(one["outcome"])
    if kind is not None:
        # the type tells an abstention from a divergence
        found = SubElement(case, kind, {"type": one["outcome"], "message": _clean(one["reason"])})
        found.text = _clean(_text(one))


def _text(one: dict[str, Any]) -> str:
    """The report: the first divergence with its cause in each scenario that has one, and what was compared."""
    parts = [one["reason"]]
    several = len(one["scenarios"]) > 1
    for scenario in one["scenarios"]:
        lines = divergence_lines(scenario, False)
        parts += ["\n".join([*([f"scenario {scenario['name']}"] if several else []), *lines])] if lines else []
    parts += [f"contrast {c['name']}: {c['unmet']}" for c in one["contrasts"] if not c["as_it_must"]]
    parts += [phase_table(one["coverage"])] if one["coverage"]["phases"] else []
    parts += ["\n".join(coverage_lines(one["coverage"]))]
    return "\n\n".join(part for part in parts if part)


def _clean(text: str) -> str:
    return _UNSPEAKABLE.sub("", text)
