"""The pages of causes and of faults: what goes wrong, and a planted example with the wrong and the right numbers."""

from __future__ import annotations

import re
from typing import Any

from compare.explaining.blocks import Block, Bullets, Code, Heading, Paragraph, table
from compare.explaining.finding import Topic

__all__ = ["cause_page", "example_for", "fault_page"]

SHOWN = 6
"""How many elements of the first divergence are shown."""

MOST_OTHERS = 12


def cause_page(topic: Topic, numbers: bool, level: int) -> list[Block]:
    """A cause: what it is, the formula that it predicts, and a planted example."""
    from compare.diagnosis.catalogue import CAUSES
    from compare.explaining.predictions import PREDICTS

    text = CAUSES[topic.name]
    blocks: list[Block] = [Paragraph(f"{text[:1].upper()}{text[1:]}."), Heading(level, "What it predicts")]
    blocks.append(Code(PREDICTS[topic.name]))
    if re.match(r"[AE]\b|A\[", PREDICTS[topic.name]):
        blocks.append(Paragraph("`E` is what the reference has, `A` what the side with the mistake has in its place."))
    if topic.name != "unknown":
        blocks.append(
            Paragraph(
                "A diagnosis tries this out on the reference. It names the cause only if the prediction gives "
                "the actual "
                "side's numbers, and those of every other tensor that the mistake would have touched, down to "
                "the noise floor."
            )
        )
    faults = faults_of(topic.name)
    if not faults:
        return [*blocks, Paragraph("No fault is planted for it: it is no formula that could be wrong.")]
    names = tuple(f"`{fault['name']}`: {fault['mistake']}" for fault in faults[:MOST_OTHERS])
    blocks += [Heading(level, "How people make it"), Bullets(names)]
    if len(faults) > MOST_OTHERS:
        blocks.append(Paragraph(f"And {len(faults) - MOST_OTHERS} more: `gradlock list faults` shows them all."))
    return [*blocks, *(planted_example(example_for(topic.name), level) if numbers else [])]


def faults_of(cause: str) -> list[dict[str, Any]]:
    """The faults whose cause this is, then those for which its name is as right."""
    from compare.faults.table import table as published

    faults = published()["faults"]
    return [f for f in faults if f["cause"] == cause] + [f for f in faults if cause in f["also"]]


def example_for(cause: str) -> dict[str, Any]:
    """The fault that stands for a cause: the first that shows within the fewest steps."""
    return min(faults_of(cause), key=lambda fault: (fault["step"], cause in fault["also"]))


def fault_page(topic: Topic, numbers: bool, level: int) -> list[Block]:
    """A fault: what a person does wrong, who did it, where it shows, its cause and its numbers."""
    from compare.diagnosis.catalogue import CAUSES
    from compare.faults.table import table as published

    fault = next(one for one in published()["faults"] if one["name"] == topic.name)
    text = fault["mistake"]
    also = "".join(f" or `{name}`" for name in fault["also"])
    facts = [
        f"Where it was tried: {fault['scene']}.",
        f"Where it must show first: phase `{fault['phase']}`, step {fault['step']}"
        + (", and not before." if fault["step"] > 1 else "."),
        f"What a diagnosis must call it: `{fault['cause']}`{also}. That is: {CAUSES[fault['cause']]}.",
    ]
    if fault["source"]:
        facts.append(f"Somebody made it: {_source(fault['source'])}.")
    else:
        facts.append("It is a common slip; no one thread is named for it.")
    blocks: list[Block] = [Paragraph(f"{text[:1].upper()}{text[1:]}."), Bullets(tuple(facts))]
    blocks += [Heading(level, "Try it"), Code(f"gradlock faults --match {topic.name}")]
    return [*blocks, *(planted_example(fault, level) if numbers else [])]


def _source(source: str) -> str:
    """A thread with its address, or a text."""
    repository, mark, number = source.rpartition("#")
    if mark and number.isdigit() and repository.count("/") == 1:
        return f"{source} (https://github.com/{repository}/issues/{number})"
    return source


def planted_example(fault: dict[str, Any], level: int) -> list[Block]:
    """Walk the fault's scene with the mistake in the manual side, and show where the two sides part."""
    import numpy as np

    from compare.diagnosis.evidence import Recording
    from compare.faults.catalogue import FAULTS
    from compare.faults.fault import run_fault

    recording = Recording(fault["step"])
    result = run_fault(
        FAULTS[fault["name"]], fail_fast=True, observer=recording, tolerance="fixed", diagnose=False
    )  # the table of tolerances is enough to see it, and takes no reruns
    blocks: list[Block] = [
        Heading(level, "Planted"),
        Paragraph(f"The mistake `{fault['name']}` in the manual side of a small experiment ({fault['scene']})."),
    ]
    first = result.first
    if first is None:
        raise AssertionError(f"{fault['name']} does not show")
    pair = recording.pairs[first.checkpoint]
    wrong, right = np.asarray(pair.actual), np.asarray(pair.expected)
    blocks.append(Paragraph(f"The two sides part first at {first.where}; the culprit is `{first.culprit}`:"))
    if wrong.shape != right.shape or wrong.dtype != right.dtype:
        kinds = [
            ["wrong (planted)", str(wrong.shape), str(wrong.dtype)],
            ["right (PyTorch)", str(right.shape), str(right.dtype)],
        ]
        return [*blocks, table(["side", "shape", "dtype"], kinds)]
    places = _places(wrong, right)
    rows = []
    for place in places:
        a, e = wrong[place], right[place]
        factor = f"{a / e:.6g}" if e and np.isfinite(a) and np.isfinite(e) else ""
        rows.append(
            [
                f"[{', '.join(map(str, place))}]" if place else "the number",
                f"{a:.10g}",
                f"{e:.10g}",
                f"{a - e:.3g}",
                factor,
            ]
        )
    blocks.append(
        table(["element", "wrong (planted)", "right (PyTorch)", "difference", "factor"], rows, right=range(1, 5))
    )
    differing = int((wrong != right).sum())
    counted = f"Of {wrong.size} elements, {differing} differ" if wrong.size > 1 else "That is its only element"
    more = ", and these are the first of them" if differing > len(places) else ""
    before = (
        "Nothing is compared before it."
        if first.checkpoint.phase == "init"
        else "What came before agrees, so the mistake is made here."
    )
    return [*blocks, Paragraph(f"{counted}{more}. {before}")]


def _places(wrong: Any, right: Any) -> list[tuple[int, ...]]:
    """The first elements that differ, in the order of rows, leaving bare rounding out."""
    import numpy as np

    gaps = np.abs(np.nan_to_num(wrong.astype(float), nan=1e300) - np.nan_to_num(right.astype(float), nan=1e300))
    some = np.argwhere(gaps > 1e-3 * gaps.max())
    return [tuple(int(i) for i in place) for place in some[:SHOWN]]
