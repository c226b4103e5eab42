"""The name of one tensor in a trace: its running number and its checkpoint, ``17:1/2/forward/hidden/0/output``."""

from __future__ import annotations

import re
from typing import NamedTuple

from compare.checkpoint import PER_MICRO_BATCH, PHASES, Checkpoint

__all__ = ["NOISE", "BadKey", "Key", "key_text", "moment_of", "parse_key"]

NOISE = "noise."
"""What the phase of a noise floor begins with: ``noise.forward`` is the floor of what stands before it."""

_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_LONGEST = 4096


class BadKey(ValueError):  # noqa: N818
    """A key that says nothing; the message is what is wrong with it."""


class Key(NamedTuple):
    """A key, read.

    ``number`` counts the tensors of a trace from 1. ``noise`` says that the tensor is not the checkpoint's value but
    its noise floor.
    """

    number: int
    checkpoint: Checkpoint
    noise: bool = False


def key_text(number: int, checkpoint: Checkpoint, *, noise: bool = False) -> str:
    """Write a key.

    Examples
    --------
    >>> key_text(17, Checkpoint(1, 2, "forward", "blocks/0", 0, "output"))
    '17:1/2/forward/blocks%2F0/0/output'
    >>> key_text(18, Checkpoint(1, None, "update", "hidden.weight"))
    '18:1/-/update/hidden.weight/0/'
    """
    step, micro_batch, phase, name, call, output = checkpoint
    index = "-" if micro_batch is None else str(micro_batch)
    return f"{number}:{step}/{index}/{NOISE if noise else ''}{phase}/{_escaped(name)}/{call}/{_escaped(output)}"


def parse_key(text: str) -> Key:
    """Read a key; whatever is not exactly one is refused with :class:`BadKey`.

    Examples
    --------
    >>> parse_key("17:1/2/forward/blocks%2F0/0/output").checkpoint.name
    'blocks/0'
    """
    if len(text) > _LONGEST:
        raise BadKey(f"it is {len(text)} characters long, and {_LONGEST} are the most")
    head, colon, rest = text.partition(":")
    parts = rest.split("/")
    if not colon or len(parts) != 6:
        raise BadKey("it is not number:step/micro_batch/phase/name/call/output")
    number, step, call = _whole("number", head), _whole("step", parts[0]), _whole("call", parts[4])
    noise = parts[2].startswith(NOISE)
    phase = parts[2].removeprefix(NOISE)
    if phase not in PHASES:
        raise BadKey(f"no phase is called {phase[:40]!r}; there are {', '.join(PHASES)}")
    micro_batch = None if parts[1] == "-" else _whole("micro-batch", parts[1])
    if (micro_batch is not None) != (phase in PER_MICRO_BATCH):
        often = "once per micro-batch" if phase in PER_MICRO_BATCH else "once per step, so its micro-batch is -"
        raise BadKey(f"{phase} is {often}")
    if (step == 0) != (phase == "init"):
        raise BadKey("init is step 0, and nothing else is" if phase == "init" else "steps count from 1")
    if micro_batch == 0:
        raise BadKey("micro-batches count from 1")
    if number == 0:
        raise BadKey("tensors are numbered from 1")
    return Key(number, Checkpoint(step, micro_batch, phase, _unescaped(parts[3]), call, _unescaped(parts[5])), noise)


def moment_of(checkpoint: Checkpoint) -> tuple[int, float, int]:
    """When a checkpoint is, so that moments compare as numbers do."""
    late = float("inf") if checkpoint.micro_batch is None else checkpoint.micro_batch
    return checkpoint.step, late, PHASES.index(checkpoint.phase)


def _escaped(name: str) -> str:
    """``%`` and ``/`` and control characters by their number in two hexadecimal digits, as in an address."""
    return "".join(f"%{ord(c):02X}" if c in "%/" or ord(c) < 32 or ord(c) == 127 else c for c in name)


def _unescaped(text: str) -> str:
    if text.count("%") != len(_ESCAPE.findall(text)):
        raise BadKey("a % stands for the two hexadecimal digits after it; a % itself is %25")
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def _whole(what: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise BadKey(f"its {what} is {text[:20]!r}, which is no whole number")
    return int(text)
