"""Writes how many samples of the database each module passes: ``python -m compare.conformance.publish [REPORT]``.

``counts.json`` ships with the package, for ``gradlock list layers``. ``REPORT`` is what ``gradlock conformance modules
--json REPORT`` wrote of a run of all modules; without it, the database is run, which takes minutes. A test holds the
table's form and its names up to date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compare.batches import InputError

__all__ = ["DATA", "as_json", "counted", "main"]

DATA = Path(__file__).with_name("counts.json")


def counted(report: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Add up the samples of each module over modes and dtypes, in the order of ``names``.

    Raises
    ------
    InputError
        If the report is not one of all modules of the database, each in both modes and both dtypes.
    """
    runs = {(one["name"], one["mode"], one["dtype"]): one for one in report["modules"]}
    needed = [(name, mode, dtype) for name in names for mode in ("train", "eval") for dtype in ("float64", "float32")]
    if missing := [run for run in needed if run not in runs]:
        raise InputError(
            f"the report lacks {len(missing)} of {len(needed)} runs, {' '.join(missing[0])} for one: "
            "run `gradlock conformance modules --json FILE` without --match, --mode or --dtype"
        )
    modules = {name: {"passed": 0, "samples": 0} for name in names}
    for run in needed:
        for key, total in modules[run[0]].items():
            modules[run[0]][key] = total + runs[run][key]
    return {"torch": report["torch"].partition("+")[0], "modules": modules}


def as_json(counts: Mapping[str, Any]) -> str:
    """The text of ``counts.json``, a module a line."""
    modules = ",\n".join(f"  {json.dumps(name)}: {json.dumps(count)}" for name, count in counts["modules"].items())
    return f'{{\n "torch": {json.dumps(counts["torch"])},\n "modules": {{\n{modules}\n }}\n}}\n'


def main(arguments: Sequence[str]) -> int:
    """Write the table; returns an exit code."""
    from compare.conformance import command, database
    from compare.threads import thread_count, threads

    if len(arguments) > 1:
        print("usage: python -m compare.conformance.publish [REPORT]", file=sys.stderr)
        return 2
    try:
        if arguments:
            report = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
        else:
            with threads(thread_count()):
                report = command.record(command.modules(timed=False))
        DATA.write_text(as_json(counted(report, database.names())), encoding="utf-8")
    except (InputError, OSError, ValueError, KeyError) as error:
        print(f"cannot write the counts: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
