"""Safetensors files: written plainly, and read with every number in them held against the file itself.

A file is eight bytes (the length of the header, little-endian), a header in JSON, and the bytes of the tensors. What a
header says is never trusted: nothing is allocated from it that the file does not hold.
"""

from __future__ import annotations

import json
import mmap
import os
import stat
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compare.batches import InputError

__all__ = ["DTYPES", "MOST_HEADER", "Stored", "header_of", "load", "open_file", "read_header", "small_json"]

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""What a tensor may hold, and how NumPy reads its bytes; BF16, which NumPy does not have, as the bits of it."""

MOST_HEADER = 16 << 20
_MOST_AXES = 32
_BLOCK = 1 << 20
_COPIED = 1 << 16  # a smaller tensor is read, a larger one is mapped


class Stored(NamedTuple):
    """One tensor in a file: where it lies and what it is."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def header_of(tensors: Sequence[tuple[str, str, tuple[int, ...], int]], metadata: Mapping[str, str]) -> bytes:
    """The first bytes of a file with these tensors, ``(key, dtype, shape, bytes)`` in the order of their data."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for key, dtype, shape, size in tensors:
        header[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the data begins at a multiple of eight
    return len(text).to_bytes(8, "little") + text


def open_file(path: Path) -> int:
    """A descriptor of a plain file; a link, a pipe or a device is refused.

    Raises
    ------
    InputError
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        found = os.open(path, flags)
    except OSError as error:
        if path.is_symlink():
            raise InputError(f"{path} is a link; a trace holds plain files only") from error
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise InputError(f"{path} is no plain file")
    return found


def checksum(descriptor: int) -> tuple[int, int]:
    """The size of a file and the CRC-32 of all its bytes, read block by block."""
    crc, size = 0, 0
    os.lseek(descriptor, 0, os.SEEK_SET)
    while block := os.read(descriptor, _BLOCK):
        crc = zlib.crc32(block, crc)
        size += len(block)
    return size, crc


def read_header(descriptor: int, path: Path) -> tuple[dict[str, str], list[tuple[str, Stored]]]:
    """The metadata and the tensors of a file, in the order of their data.

    Raises
    ------
    InputError
        If anything in the header does not fit the file.
    """
    size = os.fstat(descriptor).st_size
    first = os.pread(descriptor, 8, 0)
    if len(first) < 8:
        raise InputError(f"{path} is too short ({size} bytes) to be a safetensors file")
    length = int.from_bytes(first, "little")
    if length > size - 8:
        raise InputError(f"{path}: its header would be {length} bytes long, and the file has {size}")
    if length > MOST_HEADER:
        raise InputError(f"{path}: its header is {length} bytes long, and {MOST_HEADER} are the most")
    header = small_json(os.pread(descriptor, length, 8), f"{path}: its header")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InputError(f"{path}: __metadata__ must map names to texts")
    found = [(key, _stored(key, entry, path, 8 + length, size)) for key, entry in header.items()]
    found.sort(key=lambda item: (item[1].start, item[1].stop))
    at = 8 + length
    for key, stored in found:
        if stored.start != at:
            what = "overlaps what is before it" if stored.start < at else f"leaves {stored.start - at} bytes unused"
            raise InputError(f"{path}: the data of {_short(key)} {what}")
        at = stored.stop
    if at != size:
        raise InputError(f"{path}: its tensors end at byte {at}, and the file at {size}")
    return metadata, found


def _stored(key: str, entry: Any, path: Path, begin: int, size: int) -> Stored:
    where = f"{path}: {_short(key)}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{where} must have dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InputError(f"{where} has dtype {_short(dtype)}; known: {', '.join(DTYPES)}")
    if not isinstance(shape, list) or len(shape) > _MOST_AXES or not all(_is_size(n) for n in shape):
        raise InputError(f"{where} has shape {_short(shape)}; it must be at most {_MOST_AXES} sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(n) for n in offsets):
        raise InputError(f"{where} has data_offsets {_short(offsets)}; they must be two sizes")
    start, stop = offsets
    if not start <= stop <= size - begin:
        raise InputError(f"{where} has data_offsets {offsets}, and the file holds {size - begin} bytes of data")
    needed = DTYPES[dtype].itemsize
    for n in shape:
        needed *= n
    if needed != stop - start:
        raise InputError(f"{where}: {dtype} of shape {_short(shape)} takes {needed} bytes, and it has {stop - start}")
    if needed == 0 and any(n > size for n in shape):  # nothing is there, and yet it has an axis longer than the file
        raise InputError(f"{where} has shape {_short(shape)}, which is empty and larger than its file")
    return Stored(path, dtype, tuple(shape), begin + start, begin + stop)


def load(stored: Stored) -> np.ndarray:
    """The array of one tensor, read-only: a copy of a small one, a large one mapped into memory; BF16 as bits."""
    descriptor = open_file(stored.path)
    try:
        size = stored.stop - stored.start
        if os.fstat(descriptor).st_size < stored.stop:
            raise InputError(f"{stored.path} has become shorter while it was read")
        dtype = DTYPES[stored.dtype]
        if size < _COPIED:
            held: Any = os.pread(descriptor, size, stored.start)
            flat = np.frombuffer(held, dtype) if size else np.empty(0, dtype)
        else:
            extra = stored.start % mmap.ALLOCATIONGRANULARITY
            held = mmap.mmap(descriptor, size + extra, access=mmap.ACCESS_READ, offset=stored.start - extra)
            flat = np.frombuffer(held, dtype, size // dtype.itemsize, extra)
    finally:
        os.close(descriptor)
    if stored.dtype == "BOOL" and size and int(flat.view(np.uint8).max()) > 1:
        raise InputError(f"{stored.path}: a BOOL tensor holds bytes other than 0 and 1")
    found = flat.reshape(stored.shape)
    found.flags.writeable = False
    return found


def small_json(data: bytes, what: str) -> dict[str, Any]:
    """An object in strict JSON: no NaN, no name twice, no depth that exhausts the reader.

    Raises
    ------
    InputError
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"the name {_short(next(n for n in names if names.count(n) > 1))} is there twice")
        return found

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no number in JSON")

    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=refuse)
    except RecursionError:
        raise InputError(f"{what} is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{what} is no JSON: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise InputError(f"{what} must be an object in JSON, and is {_short(found)}")
    return found


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 1 << 64 else "a very large number"
    return text if len(text) <= 80 else f"{text[:77]}..."
