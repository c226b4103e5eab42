"""Read a trace step by step; whatever is in the folder is held against what it says of itself before it is used."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compare.batches import InputError
from compare.checkpoint import Checkpoint
from compare.side import Key
from compare.tracing.keys import BadKey, moment_of, parse_key
from compare.tracing.tensors import Stored, checksum, load, open_file, read_header, small_json
from compare.tracing.writer import FORMAT, INDEX, MANIFEST, VERSION

__all__ = ["Entry", "Reader", "Step", "place_text"]

_DTYPES = ("float64", "float32", "float16", "bfloat16")
_LINE = re.compile(rb"([0-9a-f]{8}|-) ([0-9]{1,18}) ([0-9A-Za-z_.-]{1,64})\n")
_FILE = re.compile(r"[0-9]{6,12}\.safetensors")
_WEIGHT = re.compile(r"weight/([1-9][0-9]{0,17})/([1-9][0-9]{0,17})")
_MOST_MANIFEST = 1 << 20

Moment = tuple[int | None, str]
"""Micro-batch and phase."""


class Entry(NamedTuple):
    """One checkpoint of a trace: where its value lies, and its noise floor if the trace has one."""

    value: Stored
    noise: Stored | None = None

    @property
    def nbytes(self) -> int:
        return self.value.stop - self.value.start

    def array(self) -> np.ndarray:
        """The value, read-only; BF16 as float32, which holds every one of its numbers."""
        found = load(self.value)
        return widen(found) if self.value.dtype == "BF16" else found


def widen(bits: np.ndarray) -> np.ndarray:
    """The numbers that the bits of bfloat16 stand for."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


class Step:
    """One step of a trace; its tensors are read when they are asked for.

    Attributes
    ----------
    number : int
        ``init`` is step 0.
    moments : dict of (micro-batch, phase) to dict of key to Entry, in order of time
    weights : dict of micro-batch to weight
    cut : bool
        Whether the step may have gone on: it is the last one of a trace that was not finished.
    """

    def __init__(self, number: int):
        self.number = number
        self.moments: dict[Moment, dict[Key, Entry]] = {}
        self.weights: dict[int, float] = {}
        self.cut = False

    @property
    def micro_batches(self) -> int:
        """How many there are."""
        return max((index for index, _ in self.moments if index is not None), default=0)

    @property
    def last(self) -> Moment:
        """The last moment of which something is there."""
        return next(reversed(self.moments))


def place_text(step: int, moment: Moment | None) -> str:
    """A moment in words: ``step 3, micro-batch 2, deposit``."""
    if moment is None:
        return f"step {step}"
    index, phase = moment
    return f"step {step}, {'' if index is None else f'micro-batch {index}, '}{phase}"


class Reader:
    """A trace, opened.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    dtype : str
    producer : str
    source : dict
    checked : bool
        Whether the files carry checksums.
    finished : bool or None
        Whether its writer came to its end; ``None`` until :meth:`steps` has been read through.
    end : tuple of (step, moment) or None
        The last moment that has been read.
    length : int
        How many values of that moment.

    Raises
    ------
    InputError
        Here and while it is read, if anything does not fit; the message says what and where.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from compare.tracing.writer import TraceWriter
    >>> folder = tempfile.mkdtemp()
    >>> with TraceWriter(folder) as trace:
    ...     trace.add(1, 1, "loss", "data", np.float32(0.5))
    >>> [place_text(step.number, step.last) for step in Reader(folder).steps()]
    ['step 1, micro-batch 1, loss']
    """

    def __init__(self, path: str | os.PathLike[str]):
        if not isinstance(path, (str, os.PathLike)):
            raise InputError(f"a trace is named by the path of its folder, not by {_short(path)}")
        self.path = Path(path)
        if not self.path.is_dir():
            what = "is no folder" if self.path.exists() else "does not exist"
            raise InputError(f"{self.path} {what}; a trace is a folder with {MANIFEST} in it")
        if not (self.path / MANIFEST).exists():
            raise InputError(f"{self.path} is no trace: {MANIFEST} is missing")
        if not (self.path / INDEX).exists():
            raise InputError(f"{self.path} is no trace: {INDEX} is missing")
        self.finished: bool | None = None
        self.end: tuple[int, Moment] | None = None
        self.length = 0
        manifest = self._manifest()
        if manifest.get("format") != FORMAT:
            raise InputError(f"{self.path / MANIFEST}: its format is {_short(manifest.get('format'))}, not {FORMAT!r}")
        if manifest.get("version") != VERSION or isinstance(manifest.get("version"), (bool, float)):
            raise InputError(
                f"{self.path / MANIFEST}: version {_short(manifest.get('version'))} of the format is not known; "
                f"this program reads version {VERSION}"
            )
        self.dtype = self._word(manifest, "dtype", _DTYPES)
        self.checked = self._word(manifest, "checksum", ("crc32", "none")) == "crc32"
        producer, source = manifest.get("producer", ""), manifest.get("source", {})
        if not isinstance(producer, str) or not isinstance(source, dict):
            raise InputError(f"{self.path / MANIFEST}: producer must be a text and source an object")
        self.producer: str = producer
        self.source: dict[str, Any] = source

    def _manifest(self) -> dict[str, Any]:
        path = self.path / MANIFEST
        descriptor = open_file(path)
        try:
            data = os.read(descriptor, _MOST_MANIFEST + 1)
        finally:
            os.close(descriptor)
        if len(data) > _MOST_MANIFEST:
            raise InputError(f"{path} is larger than {_MOST_MANIFEST} bytes")
        return small_json(data, str(path))

    def _word(self, manifest: dict[str, Any], name: str, known: tuple[str, ...]) -> str:
        found = manifest.get(name)
        if not isinstance(found, str) or found not in known:
            raise InputError(f"{self.path / MANIFEST}: {name} is {_short(found)}; it must be one of {', '.join(known)}")
        return found

    # -- steps -------------------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[Step]:
        """Every step in order of time, each once the next one has begun or the trace has ended."""
        step: Step | None = None
        weights: dict[int, dict[int, float]] = {}
        number = 0
        moment: tuple[int, float, int] = (0, 0, 0)
        for path, metadata, tensors in self._files():
            self._weigh(path, metadata, weights)
            for key, stored in tensors:
                where = f"{path}: {_short(key.checkpoint.where)}"
                number += 1
                if key.number != number:
                    raise InputError(
                        f"{where} is tensor number {key.number}, and number {number} should come next: "
                        f"{'one is missing' if key.number > number else 'they are out of order'}"
                    )
                here = moment_of(key.checkpoint)
                if here < moment:
                    raise InputError(f"{where} comes after something later; a trace is in order of time")
                moment = here
                if step is not None and step.number != key.checkpoint.step:
                    yield self._done(step, weights)
                    step = None
                step = step or Step(key.checkpoint.step)
                self._put(step, key.checkpoint, key.noise, stored, where)
                self.end = step.number, step.last
                self.length = len(step.moments[step.last])
        if step is not None:
            step.cut = not self.finished
            yield self._done(step, weights)

    def _done(self, step: Step, weights: dict[int, dict[int, float]]) -> Step:
        for number in [one for one in weights if one <= step.number]:
            found = weights.pop(number)
            if number == step.number:
                step.weights = found
        return step

    @staticmethod
    def _put(step: Step, checkpoint: Checkpoint, noise: bool, stored: Stored, where: str) -> None:
        known = step.moments.setdefault((checkpoint.micro_batch, checkpoint.phase), {})
        key: Key = (checkpoint.name, checkpoint.call, checkpoint.output)
        if not noise:
            if key in known:
                raise InputError(f"{where} is there twice")
            known[key] = Entry(stored)
            return
        if not known or next(reversed(known)) != key or known[key].noise is not None:
            raise InputError(f"{where}: a noise floor comes right after its checkpoint")
        shape = known[key].value.shape
        if stored.dtype not in ("F32", "F64") or stored.shape != (sum(shape) if shape else 1,):
            raise InputError(f"{where}: its noise floor has dtype {stored.dtype} and shape {stored.shape}")
        known[key] = Entry(known[key].value, stored)

    @staticmethod
    def _weigh(path: Path, metadata: dict[str, str], weights: dict[int, dict[int, float]]) -> None:
        for name, text in metadata.items():
            if not name.startswith("weight/"):
                continue
            place = _WEIGHT.fullmatch(name)
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if place is None or not math.isfinite(value):
                raise InputError(
                    f"{path}: the metadata {_short(name)} is {_short(text)}; it is weight/step/micro_batch"
                )
            weights.setdefault(int(place[1]), {})[int(place[2])] = value

    # -- files -------------------------------------------------------------------------------------------------------

    def _files(self) -> Iterator[tuple[Path, dict[str, str], list[tuple[Any, Stored]]]]:
        """Every listed file, checked, with its tensors by number."""
        self.finished = False
        lines = self._lines()
        first = next(lines, None)
        if first is None or first[2] != MANIFEST:
            raise InputError(f"{self.path / INDEX}: its first line must be that of {MANIFEST}")
        os.close(self._check(self.path / MANIFEST, *first[:2]))
        line = next(lines, None)
        while line is not None:
            following = next(lines, None)
            crc, size, name = line
            path = self.path / name
            if not os.path.lexists(path) and following is None and not self.finished:
                return  # listed, and its writer was stopped before it had its name
            yield self._opened(path, crc, size)
            line = following

    def _lines(self) -> Iterator[tuple[str, int, str]]:
        """The lines of the index; a last one without its end is one that was being written."""
        import zlib

        path = self.path / INDEX
        crc, count = 0, 0
        with os.fdopen(open_file(path), "rb") as file:
            while line := file.readline(128):
                if not line.endswith(b"\n") and len(line) < 128:
                    return
                found = _LINE.fullmatch(line)
                where = f"{path}, line {count + 1}"
                if found is None:
                    raise InputError(f"{where} is {_short(line.decode('latin-1'))}; it must be `checksum bytes name`")
                word, size, name = found[1].decode(), int(found[2]), found[3].decode()
                if name == "end":
                    if size != count or (self.checked and word != f"{crc:08x}"):
                        raise InputError(f"{where}: the lines before it are not those that were written")
                    if file.read(1):
                        raise InputError(f"{path} goes on after its end")
                    self.finished = True
                    return
                if (word == "-") == self.checked:
                    raise InputError(f"{where}: its checksum is {word}, and {MANIFEST} says otherwise")
                if count and not _FILE.fullmatch(name):
                    raise InputError(f"{where}: {name!r} is no name of a file of a trace, such as 000001.safetensors")
                crc, count = zlib.crc32(line, crc), count + 1
                yield word, size, name

    def _check(self, path: Path, word: str, size: int) -> int:
        """A descriptor of a file that is as the index says."""
        descriptor = open_file(path)
        try:
            if self.checked:
                found, crc = checksum(descriptor)
            else:
                found, crc = os.fstat(descriptor).st_size, 0
            if found != size:
                raise InputError(f"{path} has {found} bytes, and {INDEX} says {size}: it was cut or changed")
            if self.checked and word != f"{crc:08x}":
                raise InputError(f"{path} is not as it was written: its checksum is {crc:08x}, {INDEX} says {word}")
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _opened(self, path: Path, crc: str, size: int) -> tuple[Path, dict[str, str], list[tuple[Any, Stored]]]:
        descriptor = self._check(path, crc, size)
        try:
            metadata, tensors = read_header(descriptor, path)
        finally:
            os.close(descriptor)
        found = []
        for text, stored in tensors:
            try:
                found.append((parse_key(text), stored))
            except BadKey as error:
                raise InputError(f"{path}: the key {_short(text)}: {error}") from None
        found.sort(key=lambda item: item[0].number)
        return path, metadata, found


def _short(value: Any) -> str:
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
