"""Write a trace: tensors in order of time, in files that are complete or not there."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from compare import __version__
from compare.batches import InputError
from compare.checkpoint import PER_MICRO_BATCH, PHASES, Checkpoint
from compare.tracing.keys import key_text, moment_of
from compare.tracing.tensors import DTYPES, header_of

__all__ = ["FORMAT", "INDEX", "MANIFEST", "VERSION", "TraceWriter"]

FORMAT, VERSION = "gradlock-trace", 1
MANIFEST, INDEX = "manifest.json", "index.txt"
CHUNK = 16 << 20

_CODES = {dtype.newbyteorder("="): code for code, dtype in DTYPES.items() if code != "BF16"}
_DEFAULT_OUTPUT = {"forward": "output", "backward": "output"}


class TraceWriter:
    """Writes a trace, to be used in a ``with`` statement.

    Arrays of any shape are taken, as the checkpoints of :mod:`compare.checkpoint` have them.
    A step's tensors are on disk once the next step begins, or sooner where they are many. Leaving the statement
    finishes the trace; leaving it by an exception leaves a readable beginning.

    Parameters
    ----------
    path : str or Path
        A folder, made here; it must not exist, or be empty.
    dtype : str
        The dtype of the run: ``"float64"``, ``"float32"``, ``"float16"`` or ``"bfloat16"``.
    producer : str
        What wrote the trace, for a reader.
    source : dict, optional
        What can be said about where the run comes from, in plain JSON.
    chunk : int
        A file is written when so many bytes wait.

    Raises
    ------
    InputError
        If the folder cannot be used, or what is added cannot be written or comes in the wrong order.

    Examples
    --------
    >>> import compare, tempfile, numpy as np
    >>> folder = tempfile.mkdtemp()
    >>> with compare.TraceWriter(folder, dtype="float64", producer="an example") as trace:
    ...     trace.add(0, None, "init", "weight", np.ones(3))
    ...     trace.weight(1, 1, 1.0)
    ...     trace.add(1, 1, "loss", "data", np.float64(0.25))
    ...     trace.add(1, 1, "accumulated", "weight", np.full(3, 0.5))
    ...     trace.add(1, None, "update", "weight", np.full(3, -0.05))
    >>> compare.traces(folder, folder).outcome == "equivalent"
    True
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        dtype: str = "float32",
        producer: str = f"gradlock {__version__}",
        source: Mapping[str, Any] | None = None,
        chunk: int = CHUNK,
    ):
        self.path = Path(path)
        if dtype not in ("float64", "float32", "float16", "bfloat16"):
            raise InputError(f"dtype is {dtype!r}; it must be float64, float32, float16 or bfloat16")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if any(self.path.iterdir()):
                raise InputError(f"{self.path} is not empty; name a new folder, a trace is never written over")
        except OSError as error:
            raise InputError(f"cannot write a trace to {self.path}: {error.strerror}; name a folder") from error
        self._chunk = chunk
        self._waiting: list[tuple[str, str, tuple[int, ...], np.ndarray]] = []
        self._bytes = 0
        self._weights: dict[str, str] = {}
        self._number = 0
        self._files = 0
        self._moment: tuple[int, float, int] = (0, 0, 0)
        self._keys: set[Checkpoint] = set()
        self._lines = 0
        self._crc = 0
        self._index: Any = None
        manifest = {"format": FORMAT, "version": VERSION, "dtype": dtype, "checksum": "crc32", "producer": producer}
        if source:
            manifest["source"] = dict(source)
        self._put(MANIFEST, [json.dumps(manifest, indent=2, allow_nan=False).encode() + b"\n"])

    def add(
        self,
        step: int,
        micro_batch: int | None,
        phase: str,
        name: str,
        array: Any,
        *,
        call: int = 0,
        output: str | None = None,
        dtype: str | None = None,
    ) -> None:
        """Add the value of one checkpoint.

        Parameters
        ----------
        step, micro_batch : int
            From 1; ``init`` is step 0, and what happens once per step has the micro-batch ``None``.
        phase : one of ``compare.checkpoint.PHASES``
        name : str
            Module path, parameter, loss term or parameter group.
        array : array or number
            Of any shape; a tensor of PyTorch or another library that NumPy can read will do. It is copied or written
            before this returns.
        call : int
            Which call of a shared module, from 0.
        output : str, optional
            Which of several values: ``"output"`` (the default in ``forward`` and ``backward``) or ``"input"``; the
            name of a slot.
        dtype : "BF16", optional
            That the array holds the bits of bfloat16 numbers as 16-bit integers.
        """
        if phase not in PHASES:
            raise InputError(f"no phase is called {phase!r}; there are {', '.join(PHASES)}")
        if output is None:
            output = _DEFAULT_OUTPUT.get(phase, "")
        checkpoint = Checkpoint(step, micro_batch, phase, name, call, output)
        self._enter(checkpoint)
        self._take(key_text(self._number + 1, checkpoint), array, dtype)

    def add_noise(self, checkpoint: Checkpoint, floors: np.ndarray) -> None:
        """Add the noise floor of a checkpoint: that of every slice along each axis, axis after axis, in ulp of 1."""
        self._take(key_text(self._number + 1, checkpoint, noise=True), floors, None)

    def weight(self, step: int, micro_batch: int, weight: float) -> None:
        """Say what share of the batch's loss denominator a micro-batch has."""
        self._weights[f"weight/{step}/{micro_batch}"] = repr(float(weight))

    def flush(self) -> None:
        """Write what waits to a file of its own."""
        if not self._waiting:
            return
        self._files += 1
        described = [(key, code, shape, array.nbytes) for key, code, shape, array in self._waiting]
        blocks: list[Any] = [header_of(described, self._weights)]
        blocks += [array.reshape(-1).view(np.uint8).data for *_, array in self._waiting if array.size]
        self._put(f"{self._files:06d}.safetensors", blocks)
        self._waiting.clear()
        self._weights.clear()
        self._bytes = 0

    def close(self) -> None:
        """Finish the trace."""
        self.flush()
        self._line(f"{self._crc:08x} {self._lines} end")
        self._index.close()

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
            return
        try:  # what was added is worth reading, and the trace is not finished
            self.flush()
        finally:
            self._index.close()

    # -- one tensor --------------------------------------------------------------------------------------------------

    def _enter(self, checkpoint: Checkpoint) -> None:
        step, micro_batch, phase, name, call, _ = checkpoint
        for what, value, least in (("step", step, 0), ("call", call, 0), ("micro_batch", micro_batch, 1)):
            if value is None and what == "micro_batch":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise InputError(f"{what} is {value!r}; it must be a whole number of at least {least}")
        if (micro_batch is not None) != (phase in PER_MICRO_BATCH):
            raise InputError(
                f"{phase} happens once per {'micro-batch, so it needs one' if micro_batch is None else 'step'}"
                f"{'' if micro_batch is None else ': its micro_batch is None'}"
            )
        if (step == 0) != (phase == "init"):
            raise InputError(f"{phase} is at step {step}; init is step 0, and all else counts from 1")
        if not isinstance(name, str) or not isinstance(checkpoint.output, str):
            raise InputError(f"the name {name!r} and the output {checkpoint.output!r} must be texts")
        moment = moment_of(checkpoint)
        if moment < self._moment:
            raise InputError(f"{checkpoint.where} comes after something later; a trace is written in order of time")
        if moment[0] > self._moment[0]:
            self.flush()
        if moment != self._moment:
            self._keys.clear()
        if checkpoint in self._keys:
            raise InputError(f"{checkpoint.where} is added twice")
        self._keys.add(checkpoint)
        self._moment = moment

    def _take(self, key: str, array: Any, dtype: str | None) -> None:
        code, found = as_stored(array, dtype, key)
        self._number += 1
        large = found.nbytes >= self._chunk
        if large and self._waiting:
            self.flush()
        self._waiting.append((key, code, found.shape, found if large else found.copy()))
        self._bytes += found.nbytes
        if self._bytes >= self._chunk or len(self._waiting) >= 10_000:
            self.flush()

    def _put(self, name: str, blocks: list[Any]) -> None:
        """Write a file under another name, list it with its checksum, and only then give it its name."""
        place = self.path / f"{name}.part"
        crc = size = 0
        try:
            with place.open("xb", buffering=0) as file:
                for block in blocks:
                    crc = zlib.crc32(block, crc)
                    size += len(block)
                    view = memoryview(block)
                    while len(view):
                        view = view[file.write(view) :]
            if self._index is None:
                self._index = (self.path / INDEX).open("xb", buffering=0)
            self._line(f"{crc:08x} {size} {name}")
            place.rename(self.path / name)
        except OSError as error:
            raise InputError(f"cannot write {self.path / name}: {error.strerror}") from error

    def _line(self, text: str) -> None:
        line = text.encode() + b"\n"
        self._index.write(line)
        self._crc = zlib.crc32(line, self._crc)
        self._lines += 1


def as_stored(array: Any, dtype: str | None, what: str) -> tuple[str, np.ndarray]:
    """The code of a dtype, and the array in C order and little-endian."""
    if dtype is not None and dtype != "BF16":
        raise InputError(f"dtype is {dtype!r}; only 'BF16' has to be said, all else an array knows itself")
    kind = str(getattr(array, "dtype", ""))
    if kind in ("torch.bfloat16", "bfloat16"):
        dtype = "BF16"
        if kind.startswith("torch"):
            import torch

            array = array.detach().cpu().contiguous().view(torch.int16).numpy()
        else:
            array = np.asarray(array).view(np.uint16)
    elif kind.startswith("torch."):
        array = array.detach().cpu().numpy()
    found = np.asarray(array)
    if dtype == "BF16":
        if found.dtype.newbyteorder("=") not in (np.dtype(np.uint16), np.dtype(np.int16)):
            raise InputError(f"{what} has dtype {found.dtype}; the bits of BF16 are 16-bit integers")
        return "BF16", np.require(found.astype(found.dtype.newbyteorder("<"), copy=False), requirements="C")
    native = found.dtype.newbyteorder("=")
    if native not in _CODES:
        raise InputError(f"{what} has dtype {found.dtype}, which a trace does not hold; known: {', '.join(DTYPES)}")
    return _CODES[native], np.require(found.astype(found.dtype.newbyteorder("<"), copy=False), requirements="C")
