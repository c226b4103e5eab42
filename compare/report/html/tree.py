"""The modules of a model as a tree, each with the worst that was met in it, and the parts of the step around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compare.report.html.unpacking import Columns

__all__ = ["Node", "module_tree"]

_PARTS = {
    "loss": ("loss",),
    "penalty": (),
    "accumulation": ("accumulated",),
    "clip": ("clip",),
    "optimizer": ("slots", "update"),
    "scheduler": ("schedule",),
}
"""Around the model, in order of execution: what a culprit may be that is no module, and the phases that show it."""

_OF_MODULES = ("forward", "backward")
_OF_PARAMETERS = ("init", "deposit", "accumulated", "clip", "slots", "update", "parameter", "buffer")
_NO_MODULES = {("backward", "loss"): "loss", ("backward", "penalty"): "penalty", ("loss", "penalty"): "penalty"}


@dataclass
class Node:
    """A module, a parameter or a part of the step.

    Attributes
    ----------
    name : str
        Its own name; ``path`` is the whole one.
    kind : "module", "parameter" or "part"
    state, multiple
        The worst of its checkpoints, children's not counted; None where it has none.
    """

    name: str
    path: str
    kind: str
    state: int | None = None
    multiple: float | None = None
    culprit: bool = False
    children: list[Node] = field(default_factory=list)

    def meet(self, state: int, multiple: float) -> None:
        """Count one of its checkpoints."""
        if self.state is None or self.multiple is None or (state, multiple) > (self.state, self.multiple):
            self.state, self.multiple = state, multiple


def module_tree(columns: Columns | None, coverage: Mapping[str, Any], culprit: str | None) -> list[Node]:
    """The model's root, then the parts of the step.

    Parameters
    ----------
    columns : the history, or None where none was kept: then the tree has parameters only, and no numbers
    coverage : of the same walk
    culprit : what is to be marked; a name that is none of the nodes becomes one
    """
    root = Node("(model)", "", "module")
    known: dict[str, Node] = {"": root}
    parts = {name: Node(name, name, "part") for name in _PARTS}
    for phase, name, state, multiple in _met(columns, coverage):
        part = _NO_MODULES.get((phase, name))
        if part is None and (phase == "loss" or name == "total_norm"):
            part = "loss" if phase == "loss" else "clip"
        for other, phases in _PARTS.items():
            if other == part or (part is None and phase in phases):
                _count(parts[other], state, multiple)
        if part is None and phase in _OF_MODULES:
            _count(_node(known, name, "module"), state, multiple)
        elif part is None and phase in _OF_PARAMETERS:
            _count(_node(known, name, "parameter"), state, multiple)
    shown = [root] if root.children or root.state is not None else []
    shown += [part for part in parts.values() if part.state is not None]
    if culprit is not None:
        wanted = "" if culprit == root.name else culprit
        marked = known.get(wanted) if shown and shown[0] is root else None
        marked = marked or next((part for part in shown if part.path == culprit), None)
        if marked is None:
            marked = parts.get(culprit) or Node(culprit, culprit, "part")
            shown.append(marked)
        marked.culprit = True
    return shown


def _met(columns: Columns | None, coverage: Mapping[str, Any]) -> Iterable[tuple[str, str, int | None, float | None]]:
    """Phase and name of each key with its worst; without a history what the coverage names."""
    if columns is not None:
        found = [(phase, name, state, multiple) for (phase, name, _, _), state, multiple in columns.worst_of_keys()]
        # modules as they are executed; initial parameters, which were met first, name them in another order
        yield from sorted(found, key=lambda one: one[0] != "forward")
        return
    for phase in ("accumulated", "parameter", "schedule", "loss"):
        for name in coverage["phases"].get(phase, {}).get("names", ()):
            yield phase, name, None, None


def _count(node: Node, state: int | None, multiple: float | None) -> None:
    if state is not None and multiple is not None:
        node.meet(state, multiple)


def _node(known: dict[str, Node], path: str, kind: str) -> Node:
    """The node of a path, made with all above it where it is new."""
    node = known.get(path)
    if node is None:
        above, _, name = path.rpartition(".")
        node = known[path] = Node(name, path, kind)
        _node(known, above, "module").children.append(node)
    return node
