"""The page of one topic, by its kind."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from compare.explaining.blocks import Block, Heading, Paragraph
from compare.explaining.finding import Topic

__all__ = ["written"]

_WRITERS = {
    "lesson": "compare.explaining.lessons:lesson_page",
    "rule": "compare.explaining.rules:rule_page",
    "function": "compare.explaining.rules:function_page",
    "layer": "compare.explaining.layers:layer_page",
    "loss": "compare.explaining.layers:layer_page",
    "optimizer": "compare.explaining.optimizers:optimizer_page",
    "schedule": "compare.explaining.schedules:schedule_page",
    "cause": "compare.explaining.mistakes:cause_page",
    "fault": "compare.explaining.mistakes:fault_page",
    "experiment": "compare.explaining.experiments:experiment_page",
}
"""Per kind the function that writes its pages, ``(topic, numbers, level) -> blocks``; found when it is needed."""

TITLES = {
    "lesson": "As an idea of the course",
    "rule": "As a rule",
    "function": "As a function of manual.nn.functional",
    "layer": "As a layer",
    "loss": "As a loss",
    "optimizer": "As an optimizer",
    "schedule": "As a schedule",
    "cause": "As a cause",
    "fault": "As a fault",
    "experiment": "As an experiment",
    "phase": "As a phase of a step",
    "word": "As a word",
}


def written(topic: Topic, *, numbers: bool = True, level: int = 2, titled: bool = False) -> list[Block]:
    """The blocks of one topic.

    Parameters
    ----------
    numbers : whether to compute the worked example
    level : of the headings within it
    titled : whether the kind stands above it, as where a name is several things
    """
    title: list[Block] = [Heading(level - 1, TITLES[topic.kind])] if titled else []
    if topic.kind in ("phase", "word"):
        from compare.explaining.words import PHASE_TEXTS, WORDS

        return [*title, Paragraph((PHASE_TEXTS if topic.kind == "phase" else WORDS)[topic.name])]
    module, _, function = _WRITERS[topic.kind].partition(":")
    writer: Callable[..., list[Block]] = getattr(import_module(module), function)
    return [*title, *writer(topic, numbers, level)]
