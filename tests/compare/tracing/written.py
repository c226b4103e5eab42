"""Small traces written by hand, and ways to damage them."""

from __future__ import annotations

import json
import os
import random
import zlib
from pathlib import Path

import numpy as np

from compare.tracing.writer import TraceWriter

STEPS = 3


def write(
    path: Path,
    *,
    steps: int = STEPS,
    parts: int = 2,
    wrong: float = 0.0,
    dtype: str = "float64",
    chunk: int = 1 << 20,
    wait=None,
) -> Path:
    """A run of one layer; ``wrong`` is added to a deposit of step 2."""
    generator = np.random.default_rng(0)
    kind = np.dtype(dtype)
    weight = generator.standard_normal((3, 4)).astype(kind)
    with TraceWriter(path, dtype=dtype, producer="a test", chunk=chunk) as trace:
        trace.add(0, None, "init", "layer.weight", weight)
        for step in range(1, steps + 1):
            gradient = np.zeros_like(weight)
            for part in range(1, parts + 1):
                trace.weight(step, part, 1 / parts)
                whole = generator.standard_normal((2, 3)).astype(kind)
                trace.add(step, part, "forward", "layer", whole)
                trace.add(step, part, "loss", "data", np.abs(whole).sum())
                trace.add(step, part, "backward", "layer", whole / 2)
                deposit = (generator.standard_normal((3, 4)) / parts).astype(kind)
                if wrong and step == 2 and part == 1:
                    deposit[1, 2] += wrong
                trace.add(step, part, "deposit", "layer.weight", deposit)
                gradient = gradient + deposit
                trace.add(step, part, "accumulated", "layer.weight", gradient)
                if wait:
                    wait()
            trace.add(step, None, "slots", "layer.weight", gradient * 2, output="momentum_buffer")
            trace.add(step, None, "update", "layer.weight", -gradient / 8)
            weight = weight - gradient / 8
            trace.add(step, None, "parameter", "layer.weight", weight)
            trace.add(step, None, "schedule", "group 0", 0.125 / step)
    return path


def files(trace: Path) -> list[Path]:
    return sorted(trace.iterdir())


def signed(trace: Path) -> None:
    """Write the index anew, so that what was changed has the right checksum."""
    lines = (trace / "index.txt").read_text().splitlines()
    text = ""
    for line in lines:
        name = line.split()[2]
        if name == "end":
            text += f"{zlib.crc32(text.encode()):08x} {text.count(chr(10))} end\n"
            continue
        data = (trace / name).read_bytes()
        text += f"{zlib.crc32(data):08x} {len(data)} {name}\n"
    (trace / "index.txt").write_text(text)


def with_header(path: Path, change) -> None:
    """Change the header of a safetensors file: ``change(header)`` returns the new one, or text to put in its place."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    found = change(json.loads(data[8 : 8 + length]))
    text = (found if isinstance(found, str) else json.dumps(found)).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def _flip(draw: random.Random, trace: Path) -> str:
    path = draw.choice(files(trace))
    data = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 1, 1, 2, 8])):
        place = draw.randrange(len(data))
        data[place] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return f"bits flipped in {path.name}"


def _cut(draw: random.Random, trace: Path) -> str:
    path = draw.choice(files(trace))
    size = path.stat().st_size
    os.truncate(path, draw.randrange(size))
    return f"{path.name} cut"


def _longer(draw: random.Random, trace: Path) -> str:
    path = draw.choice(files(trace))
    with path.open("ab") as file:
        file.write(draw.randbytes(draw.randrange(1, 100)))
    return f"{path.name} made longer"


def _gone(draw: random.Random, trace: Path) -> str:
    path = draw.choice(files(trace))
    path.unlink()
    return f"{path.name} gone"


def _huge(draw: random.Random, trace: Path) -> str:
    """A length, size or offset that overflows."""
    path = draw.choice([one for one in files(trace) if one.suffix == ".safetensors"])
    number = draw.choice([2**63 - 1, 2**64, 2**62, 2**40, -1, 10**30])

    def change(header):
        key = draw.choice([key for key in header if key != "__metadata__"])
        if draw.random() < 0.5:
            header[key]["shape"] = draw.choice([[number], [number, number], [0, number], [number] * 40])
        else:
            header[key]["data_offsets"] = draw.choice([[0, number], [number, number], [number, 0]])
        return header

    if draw.random() < 0.3:
        data = path.read_bytes()
        path.write_bytes((number % 2**64).to_bytes(8, "little") + data[8:])
    else:
        with_header(path, change)
    signed(trace)
    return f"a huge number in {path.name}"


def _edited(draw: random.Random, trace: Path) -> str:
    """Another manifest."""
    path = trace / "manifest.json"
    manifest = json.loads(path.read_text())
    key = draw.choice(["format", "version", "dtype", "checksum"])
    manifest[key] = draw.choice([None, "", -1, 10**400, [], {}, 1.5, True, "../..", "x" * 10_000, 2])
    text = json.dumps(manifest)
    text = draw.choice(
        [text, text, text.replace("{", '{"a": NaN, ', 1), "[" * 100_000, "{" + text[1:-1] + "," + text[1:], "7", ""]
    )
    path.write_text(text)
    if draw.random() < 0.5:
        signed(trace)
    return f"manifest with {key} {manifest[key]!r:.20}"


def _elsewhere(draw: random.Random, trace: Path) -> str:
    """A name that leaves the folder, or a link out of it."""
    if draw.random() < 0.5:
        path = draw.choice(files(trace))
        target = trace.parent / f"outside-{path.name}"
        target.write_bytes(path.read_bytes())
        path.unlink()
        path.symlink_to(target)
        return f"{path.name} is a link"
    index = trace / "index.txt"
    name = draw.choice(
        ["../000001.safetensors", "/etc/passwd", "..", "a/b", "000001.safetensors/../x", "~", "C:\\x", "."]
    )
    lines = index.read_text().splitlines()
    place = draw.randrange(1, len(lines) - 1)
    lines[place] = " ".join([*lines[place].split()[:2], name])
    index.write_text("\n".join(lines) + "\n")
    return f"the index names {name}"


def _shuffled(draw: random.Random, trace: Path) -> str:
    """Lines of the index in another order, twice, or gone."""
    index = trace / "index.txt"
    lines = index.read_text().splitlines()
    one, other = draw.sample(range(1, len(lines) - 1), 2)
    how = draw.choice(["swapped", "twice", "gone"])
    if how == "swapped":
        lines[one], lines[other] = lines[other], lines[one]
    elif how == "twice":
        lines.insert(one, lines[one])
    else:
        del lines[min(one, other)]
    index.write_text("\n".join(lines) + "\n")
    if draw.random() < 0.5:
        signed(trace)
    return f"a line of the index {how}"


def _keys(draw: random.Random, trace: Path) -> str:
    """A key that means nothing, or something twice, with the right checksum."""
    path = draw.choice([one for one in files(trace) if one.suffix == ".safetensors"])

    def change(header):
        keys = [key for key in header if key != "__metadata__"]
        one, other = draw.choice(keys), draw.choice(keys)
        bad = draw.choice(
            [
                "",
                "x",
                one + "/",
                one.replace(":", ":9"),
                other.replace(":", "0:"),
                "1:1/1/forward/%zz/0/",
                "9" * 400 + other,
            ]
        )
        text = json.dumps(header).replace(json.dumps(one), json.dumps(bad), 1)
        return text if bad != one else "{"

    with_header(path, change)
    signed(trace)
    return f"another key in {path.name}"


KINDS = (_flip, _flip, _flip, _cut, _longer, _gone, _huge, _edited, _elsewhere, _shuffled, _keys)


def damage(seed: int, trace: Path) -> str:
    """Damage a trace in one of many ways; returns what was done."""
    draw = random.Random(seed)
    return draw.choice(KINDS)(draw, trace)
