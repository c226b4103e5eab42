"""Writes the table of faults, for other tools and for readers: ``python -m compare.faults.publish``.

``faults.json`` ships with the package, ``docs/faults.md`` is the same for people. A test holds both up to date.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compare.checkpoint import PHASES
from compare.faults.catalogue import CONTROLS, FAULTS

__all__ = ["DATA", "PAGE", "as_json", "as_markdown", "publish"]

DATA = Path(__file__).with_name("faults.json")
PAGE = Path(__file__).parents[2] / "docs" / "faults.md"


def records() -> dict[str, Any]:
    """Every fault and control as plain data."""
    return {
        "faults": [
            {
                "name": fault.name,
                "mistake": fault.mistake,
                "phase": fault.phase,
                "step": fault.step,
                "cause": fault.cause,
                "also": list(fault.also),
                "source": fault.source,
                "scene": fault.scene.name,
            }
            for fault in FAULTS.values()
        ],
        "controls": [
            {"name": control.name, "rewrite": control.rewrite, "scene": control.scene.name}
            for control in CONTROLS.values()
        ],
    }


def as_json() -> str:
    """The text of ``faults.json``."""
    return json.dumps(records(), indent=1) + "\n"


def as_markdown() -> str:
    """The text of ``docs/faults.md``."""
    found = records()
    faults, controls = found["faults"], found["controls"]
    phases = Counter(fault["phase"] for fault in faults)
    return _PAGE.format(
        mistakes=len(faults),
        rewrites=len(controls),
        causes=len({fault["cause"] for fault in faults}),
        counts=_table(["phase", "faults"], [[phase, phases[phase]] for phase in PHASES if phases[phase]]),
        faults=_table(
            ["fault", "mistake", "phase", "step", "cause", "scene", "seen in"],
            [
                [f"`{f['name']}`", f["mistake"], f["phase"], f["step"], _names(f), f["scene"], _linked(f["source"])]
                for f in faults
            ],
        ),
        controls=_table(
            ["control", "rewrite", "scene"], [[f"`{c['name']}`", c["rewrite"], c["scene"]] for c in controls]
        ),
    )


def _table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of Markdown, without padding: its columns are wide."""
    lines = [headers, ["---"] * len(headers), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _names(fault: dict[str, Any]) -> str:
    return " or ".join([fault["cause"], *fault["also"]])


def _linked(source: str) -> str:
    """A thread as a link where its owner is known; anything else as it is."""
    repository, _, thread = source.partition("#")
    known = "/" in repository and thread.isdigit()
    return f"[{source}](https://github.com/{repository}/issues/{thread})" if known else source


def publish() -> None:
    """Write both files."""
    DATA.write_text(as_json(), encoding="utf-8")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(as_markdown(), encoding="utf-8")


_PAGE = """# The benchmark of planted mistakes

{mistakes} mistakes that people make in training code, and {rewrites} honest rewrites that look like mistakes and are
none. This page and `compare/faults/faults.json` are written from the code by `python -m compare.faults.publish`.

## What it asks of a tool

Each *fault* spoils one line of a hand-written training step, by really computing it wrongly; the other side is
PyTorch's. A tool is asked three things:

1. **Is it seen?**
2. **Is it placed?** `phase` and `step` are where it must show *first*, when both sides show everything: `init`,
   `forward`, `loss`, `backward`, `deposit` (what one micro-batch hands to a parameter), `accumulated` (its `.grad`),
   `clip`, `slots` (optimizer state), `update` (the change of the parameter), `parameter`, `buffer`, `schedule`.
   `step` is also the least number of steps that show it.
3. **Is it named?** `cause` is the name of the mistake, one of {causes} here (`gradlock list causes` says what each
   means). Where several names are given they say the same of these numbers, and each is right. To say `unknown` is
   honest; to give another name is worse than silence.

Each *control* computes the same mathematics with other arithmetic. A tool that objects to it raises a false alarm.

Every fault sits on the smallest experiment that shows it, its *scene*: 17 rows a step of real data, or of random images
where a single layer is asked about, in micro-batches of 8, 7 and 2, three or four steps, a rate that moves, float64
unless it says otherwise. `seen in` is a thread in
which somebody made the mistake; where it is empty, it is common.

{counts}

## Scoring gradlock

```sh
gradlock faults
gradlock faults --match 'adam-*' --json faults.json
gradlock run mlp-digits --fault clipped-per-tensor
```

## Scoring another tool

```python
from compare.faults.catalogue import CONTROLS, FAULTS

fault = FAULTS["mean-of-means"]
actual = fault.make_actual()  # the spoiled side; `fault.scene.make_actual()` makes the honest one
expected = fault.scene.make_expected()  # PyTorch's
for micro_batches in fault.scene.steps:
    expected.zero_grad()
    actual.zero_grad()
    for micro_batch, weight in micro_batches:
        expected.accumulate(micro_batch, weight)
        if expected.draws:  # dropout: use PyTorch's masks
            actual.replay(expected.draws)
        actual.accumulate(micro_batch, weight)
    expected.step()
    actual.step()
# compare actual.parameters and .gradients with expected's, by name; both hold NumPy arrays
```

## The faults

{faults}

## The controls

{controls}
"""


if __name__ == "__main__":
    publish()
