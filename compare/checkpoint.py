"""Which tensor at which moment of a step."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PER_MICRO_BATCH", "PHASES", "Checkpoint"]

PHASES = (
    "init",
    "forward",
    "loss",
    "backward",
    "deposit",
    "accumulated",
    "clip",
    "slots",
    "update",
    "parameter",
    "buffer",
    "schedule",
)
"""The phases of a step in order of execution."""

PER_MICRO_BATCH = frozenset({"forward", "loss", "backward", "deposit", "accumulated"})


class Checkpoint(NamedTuple):
    """The address of one compared value.

    Steps and micro-batches count from 1; ``init`` is step 0; ``micro_batch`` is ``None`` for what happens once per
    step. ``name`` is a module path, a parameter, a loss term or a parameter group; ``call`` counts the calls of a
    shared module from 0; ``output`` is the label of one of several values (``"output.1"``, ``"input"``) or the slot's
    name.
    """

    step: int
    micro_batch: int | None
    phase: str
    name: str
    call: int = 0
    output: str = ""

    @property
    def where(self) -> str:
        """The address in words: ``step 2, micro-batch 1, backward, hidden (input)``."""
        parts = [f"step {self.step}"]
        if self.micro_batch is not None:
            parts.append(f"micro-batch {self.micro_batch}")
        parts += [self.phase, self.label]
        return ", ".join(parts)

    @property
    def label(self) -> str:
        """The name with its call and output: ``hidden (input)``, ``layer [call 1]``."""
        label = self.name or "(model)"
        if self.call:
            label += f" [call {self.call}]"
        if self.output and not (self.phase == "forward" and self.output == "output"):
            label += f" ({self.output})"
        return label
