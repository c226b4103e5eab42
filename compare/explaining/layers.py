"""The pages of layers and losses."""

from __future__ import annotations

import inspect
from typing import Any

from compare.explaining.blocks import Block, Code, Heading, Paragraph
from compare.explaining.docstrings import lesson, plain
from compare.explaining.finding import Topic, topics
from compare.explaining.rules import passage_on, signature_of

__all__ = ["layer_page"]


def layer_page(topic: Topic, numbers: bool, level: int) -> list[Block]:
    """A layer or a loss: what it is, the rules behind it with their derivations, and its example."""
    kind = topics()[topic]
    blocks: list[Block] = [Paragraph(lesson(kind).summary), Code(f"manual.nn.{topic.name}{signature_of(kind)}")]
    blocks += lesson(kind).blocks(level)
    behind = _behind(kind)
    for name, rule in behind:
        blocks += [Heading(level, f"Behind it: the rule `{name}`"), Paragraph(lesson(rule).summary)]
        blocks += passage_on(rule, level + 1)
    if not behind:
        blocks += _parent(kind, level)
    return [*blocks, *(example_of(topic.name, level) if numbers else _without(topic.name))]


def example_of(name: str, level: int) -> list[Block]:
    """The worked example of a layer, or why there is none."""
    from compare.explaining.examples_layers import UNLIKE, WITHOUT
    from compare.explaining.examples_rules import UNLIKE as REASONS
    from compare.explaining.layer_work import layer_example
    from compare.explaining.showing import shown_work

    if name in WITHOUT:
        return _without(name)
    return shown_work(layer_example(name), level, unlike=REASONS[UNLIKE[name]] if name in UNLIKE else "")


def _without(name: str) -> list[Block]:
    from compare.explaining.examples_layers import WITHOUT

    return [Paragraph(WITHOUT[name])] if name in WITHOUT else []


def _behind(kind: Any) -> list[tuple[str, Any]]:
    """The rules that teach what a module computes: as its code names them, but for :data:`_TAUGHT`."""
    from compare.listing import rules_behind

    if kind.__name__ in _TAUGHT:
        return [(name, topics()[Topic("rule", name)]) for name in _TAUGHT[kind.__name__]]
    return [(rule.__name__, rule) for rule in rules_behind(kind) if Topic("rule", rule.__name__) in topics()][:1]


_CONVOLUTIONS = [f"{lazy}Conv{axes}d" for lazy in ("", "Lazy") for axes in (1, 2, 3)]

_TAUGHT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_CONVOLUTIONS, ("conv_nd",)),
    **{f"CircularPad{axes}d": ("pad",) for axes in (1, 2, 3)},
    "RNNCell": ("rnn_tanh_cell",),
    "GRUCell": ("gru_cell",),
    "MultiheadAttention": ("scaled_dot_product_attention", "linear"),
    "TransformerEncoderLayer": ("scaled_dot_product_attention", "layer_norm", "linear"),
    "TransformerDecoderLayer": ("scaled_dot_product_attention", "layer_norm", "linear"),
    "AdaptiveLogSoftmaxWithLoss": ("log_softmax",),
    "TripletMarginWithDistanceLoss": ("triplet_margin_loss",),
}
"""What to read for layers whose code names other rules first: padding, reshaping, sums."""


def _parent(kind: Any, level: int) -> list[Block]:
    """For a class whose docstring sends the reader to another one, what that one says."""
    for parent in kind.__mro__[1:]:
        text = inspect.getdoc(parent) or ""
        if (
            parent.__module__.startswith("manual.nn")
            and not parent.__name__.startswith(("_", "Lazy", "Module"))
            and text
        ):
            return [
                Paragraph(f"It is a `{parent.__name__}`: {plain(lesson(parent).summary)}"),
                *lesson(parent).blocks(level),
            ]
    return []
