"""A damaged trace is refused in one line, or shows as far as it goes; it is never taken for a whole one."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import compare
from compare.batches import InputError
from tests.compare.tracing.written import damage, signed, with_header, write

SECONDS = 2.0
MEGABYTES = 100


def judged(pair: list[Path]) -> tuple[str, str]:
    """The outcome, or ``refused``, and what is said about it."""
    try:
        report = compare.traces(*pair)
    except InputError as error:
        return "refused", str(error)
    return str(report.outcome), f"{report.reason} {report.coverage.notes}"


def check(seed: int, folder: Path, whole: dict[float, list[Path]]) -> None:
    wrong = 1.0 if seed % 3 == 0 else 0.0
    pair = [folder / side for side in ("actual", "expected")]
    for target, source in zip(pair, whole[wrong], strict=True):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    what = damage(seed, pair[seed % 2])
    begin = time.process_time()
    outcome, text = judged(pair)
    assert time.process_time() - begin < SECONDS, (seed, what)
    assert "\n" not in text, (seed, what, text)
    assert len(text) < 2000, (seed, what, text)
    if outcome == "diverged":
        assert wrong, (seed, what, text)
    elif outcome == "equivalent":  # all of it was there, but for the line that says so
        assert not wrong, (seed, what, text)
        assert "is not finished" in text, (seed, what, text)
    else:
        assert outcome in ("refused", "abstained"), (seed, what, text)


@pytest.fixture
def whole(tmp_path):
    found = {
        wrong: [write(tmp_path / f"a{wrong}", wrong=wrong, chunk=600), write(tmp_path / f"e{wrong}", chunk=600)]
        for wrong in (0.0, 1.0)
    }
    judged(found[1.0])  # what is imported when it is first needed is no part of a judgement
    return found


def test_whole_ones_are_what_they_are(whole):
    assert judged(whole[0.0])[0] == "equivalent"
    assert judged(whole[1.0])[0] == "diverged"


@pytest.mark.parametrize("first", [0, 50])
def test_damage(first, whole, tmp_path):
    for seed in range(first, first + 50):
        check(seed, tmp_path, whole)


@pytest.mark.campaign
def test_a_thousand_damages(whole, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(1000):
        check(seed, tmp_path, whole)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MEGABYTES


def _set(key: str | None, value):
    def change(header):
        name = next(name for name in header if name != "__metadata__")
        if key is None:
            header[name] = value
        else:
            header[name][key] = value
        return header

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(_set("dtype", "C128"), "has dtype 'C128'; known: F64", id="dtype"),
        pytest.param(_set("shape", [2**61]), "takes 18446744073709551616 bytes", id="overflow"),
        pytest.param(_set("shape", [0, 2**61]), "takes 0 bytes", id="empty and huge"),
        pytest.param(_set("shape", [True]), "it must be at most 32 sizes", id="bool for a size"),
        pytest.param(_set("data_offsets", [0, 2**61]), "the file holds", id="beyond the file"),
        pytest.param(
            _set(None, {"dtype": "F64", "shape": [0], "data_offsets": [8, 8]}), "leaves 8 bytes unused", id="hole"
        ),
        pytest.param(lambda header: "[" * 200_000, "nested too deeply", id="depth"),
        pytest.param(lambda header: '{"a": NaN}', "NaN is no number in JSON", id="NaN"),
        pytest.param(lambda header: "{}", "its tensors end at byte 10", id="nothing"),
        pytest.param(lambda header: json.dumps(header)[:-1] + ', "__metadata__": {}}', "is there twice", id="twice"),
        pytest.param(
            lambda header: {**header, "__metadata__": {"weight/1/1": "nan"}},
            "the metadata weight/1/1 is nan",
            id="weight",
        ),
    ],
)
def test_headers_that_lie(change, said, tmp_path):
    trace = write(tmp_path / "a")
    with_header(trace / "000001.safetensors", change)
    signed(trace)
    with pytest.raises(InputError, match=re.escape(said)):
        compare.traces(trace, trace)


def test_overlapping_data(tmp_path):
    trace = write(tmp_path / "a")

    def overlap(header):
        names = [name for name in header if name != "__metadata__"]
        start, stop = header[names[-1]]["data_offsets"]
        header[names[-1]]["data_offsets"] = [start - 8, stop - 8]
        return header

    with_header(trace / "000002.safetensors", overlap)
    signed(trace)
    with pytest.raises(InputError, match="overlaps what is before it"):
        compare.traces(trace, trace)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_hang(tmp_path):
    trace = write(tmp_path / "a")
    (trace / "000002.safetensors").unlink()
    os.mkfifo(trace / "000002.safetensors")
    with pytest.raises(InputError, match="is no plain file"):
        compare.traces(trace, trace)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere", "does not exist; a trace is a folder"),
        ("a/manifest.json", "is no folder"),
        (".", "manifest.json is missing"),
    ],
)
def test_no_trace(place, said, tmp_path):
    write(tmp_path / "a")
    with pytest.raises(InputError, match=said):
        compare.traces(tmp_path / "a", tmp_path / place)


def test_what_is_no_path(tmp_path):
    with pytest.raises(InputError, match="a trace is named by the path of its folder, not by 3"):
        compare.traces(write(tmp_path / "a"), 3)


def test_a_flipped_bit_in_the_data_is_always_found(tmp_path):
    trace = write(tmp_path / "a")
    path = trace / "000002.safetensors"
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    for place in range(begin, len(data), 37):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(InputError, match="is not as it was written: its checksum is"):
            compare.traces(trace, trace)


# -- a writer that is killed -------------------------------------------------------------------------------------------

WRITER = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.compare.tracing.written import write
print("ready", flush=True)
write(Path(sys.argv[1]), steps=100_000, chunk=400, wait=lambda: time.sleep(0.0002))
"""


def killed(folder: Path, moment: float) -> Path:
    """The trace of a writer that was killed so many seconds after its first line."""
    root = str(Path(__file__).parents[3])
    process = subprocess.Popen([sys.executable, "-c", WRITER.format(root=root), str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    while not (folder / "manifest.json").exists():
        time.sleep(0.001)
    time.sleep(moment)
    process.kill()
    process.wait()
    process.stdout.close()
    return folder


def check_killed(folder: Path, moments: list[float]) -> None:
    for number, moment in enumerate(moments):
        trace = killed(folder / str(number), moment)
        outcome, text = judged([trace, write(folder / f"whole{number}", steps=3)])
        assert outcome == "abstained", (moment, text)
        assert "actual is not finished: it ends after step" in text or "actual is empty" in text, text
        assert judged([trace, trace])[0] == (
            "equivalent" if "actual ends" in text or "it ends after step" in text else "abstained"
        )


def test_a_killed_writer_leaves_a_readable_prefix(tmp_path):
    check_killed(tmp_path, [0.03, 0.2])


@pytest.mark.campaign
def test_twenty_killed_writers(tmp_path):
    import random

    draw = random.Random(0)
    check_killed(tmp_path, [draw.uniform(0, 1.0) for _ in range(20)])
