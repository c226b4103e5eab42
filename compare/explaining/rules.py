"""The pages of rules and of functions."""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any

from compare.explaining.blocks import Block, Code, Heading, Paragraph
from compare.explaining.docstrings import Lesson, lesson
from compare.explaining.finding import Topic, topics

__all__ = ["function_page", "passage_on", "rule_page", "signature_of"]


def rule_page(topic: Topic, numbers: bool, level: int) -> list[Block]:
    """A rule: formula, derivation, convention, and its example."""
    rule = topics()[topic]
    place = "manual.rules.losses" if ".losses." in rule.__module__ else "manual.rules"
    blocks = [*_opening(rule, f"{place}.{topic.name}"), *passage_on(rule, level)]
    return [*blocks, *(example_of(topic.name, level) if numbers else [])]


def function_page(topic: Topic, numbers: bool, level: int) -> list[Block]:
    """A function of the functional namespace: what it takes, and the rule behind it."""
    function = topics()[topic]
    blocks = _opening(function, f"manual.nn.functional.{topic.name}")
    behind = rule_behind(function)
    if behind == topic.name and level > 2:  # the rule is on the same page
        blocks.append(
            Paragraph(f"It is the rule `{behind}` on tensors; formula, derivation and numbers are the rule's.")
        )
        return blocks
    if behind:
        rule = topics()[Topic("rule", behind)]
        blocks.append(Paragraph(f"Behind it is the rule `{behind}`: {_lowered(lesson(rule).summary)}"))
        blocks += passage_on(rule, level)
        return [*blocks, *(example_of(behind, level) if numbers else [])]
    return [*blocks, *lesson(inspect.unwrap(function)).blocks(level), Paragraph(WITHOUT[topic.name])]


def example_of(name: str, level: int) -> list[Block]:
    """The worked example of a rule."""
    from compare.explaining.examples_rules import UNLIKE
    from compare.explaining.rule_work import rule_example
    from compare.explaining.showing import shown_work

    work = rule_example(name, topics()[Topic("rule", name)])
    return shown_work(work, level, unlike=UNLIKE.get(name, ""))


def passage_on(rule: Any, level: int) -> list[Block]:
    """What a rule's docstring teaches; for a special case, what the general rule's does, too."""
    read = lesson(_AROUND.sub("see what its kin have in common, below", inspect.getdoc(rule) or ""))
    blocks = read.blocks(level)
    general = _general(rule, read)
    if general is not None:
        name = general.__name__
        blocks.append(Paragraph(f"What follows is derived at `{name}`, of which it is a special case."))
        blocks += passage_on(general, level)
        return blocks
    if _AROUND.search(inspect.getdoc(rule) or ""):
        around = lesson(inspect.getdoc(sys.modules[rule.__module__]) or "")
        blocks += [Heading(level, "What its kin have in common"), Paragraph(around.summary)]
        blocks += around.blocks(level + 1)
    return blocks


_AROUND = re.compile(r"(?:see )?(?:the (?:top|head) of this file|this module's docstring)")
"""How a docstring refers to that of its module."""


def _general(rule: Any, read: Lesson) -> Any:
    """The rule that a docstring refers to in place of a formula of its own."""
    if read.has("Formula"):
        return None
    for name in re.findall(r":func:`[~.\w]*?(\w+)`", inspect.getdoc(rule) or ""):
        found = topics().get(Topic("rule", name))
        if found is not None and found is not rule:
            return found
    return None


def rule_behind(function: Any) -> str:
    """The rule that a function of the functional namespace applies: of its name, or as its docstring or code says."""
    plain = inspect.unwrap(function)
    text = inspect.getdoc(function) or ""
    code = inspect.getsource(plain)
    named = [
        plain.__name__,
        *re.findall(r":func:`(?:manual\.rules\.(?:losses\.)?)?(\w+)`", text),
        *re.findall(r"\b(?:rules|losses)\.(\w+)", code),
    ]
    if plain.__name__ in WITHOUT:
        return ""
    return next((name for name in named if Topic("rule", name) in topics()), "")


WITHOUT = {
    "gumbel_softmax": "It draws at random. Once the noise is drawn it is a softmax, whose numbers are on the page of "
    "`softmax`.",
    "one_hot": "The result is whole numbers: no gradient flows through it, and there is nothing to show beside "
    "autograd.",
    "multi_head_attention_forward": "Its numbers are on the page of `MultiheadAttention`, which calls it.",
}
"""Functions that are no rule's, each with the reason why its page has no numbers."""


def _opening(thing: Any, where: str) -> list[Block]:
    summary = lesson(inspect.unwrap(thing)).summary
    return [Paragraph(summary), Code(f"{where}{signature_of(thing)}")]


def signature_of(thing: Any) -> str:
    """How something is called, without annotations; broken where it is long."""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(thing).parameters.values()
        if parameter.name not in ("device", "dtype") and not parameter.name.startswith("_")
    ]
    if len(parameters) == 1 and parameters[0].kind is inspect.Parameter.VAR_KEYWORD:
        parameters = []  # an activation without options
    text = str(inspect.Signature(parameters))
    text = re.sub(r"<function (\w+) at [^>]*>", r"\1", text)
    if len(text) <= 70:
        return text
    inside = re.split(r", (?![^(]*\))", text[1:-1])
    lines, line = [], ""
    for piece in inside:
        if line and len(line) + len(piece) > 80:
            lines.append(line)
            line = ""
        line += f"{piece}, "
    return "(\n    " + "\n    ".join([*(one.rstrip() for one in lines), line.rstrip(", ")]) + "\n)"


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
