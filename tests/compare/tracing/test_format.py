"""The format: what is written can be read by others, and what others write can be read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import compare
from compare.batches import InputError
from compare.checkpoint import Checkpoint
from compare.tracing.keys import BadKey, key_text, parse_key
from compare.tracing.reader import Reader, place_text
from tests.compare.tracing.written import signed, write

KEYS = [
    (1, Checkpoint(0, None, "init", "weight"), "1:0/-/init/weight/0/"),
    (17, Checkpoint(1, 2, "forward", "a/b%c", 3, "output.1"), "17:1/2/forward/a%2Fb%25c/3/output.1"),
    (9, Checkpoint(2, None, "slots", "größe\n", 0, "exp_avg"), "9:2/-/slots/größe%0A/0/exp_avg"),
]


@pytest.mark.parametrize(("number", "checkpoint", "text"), KEYS)
def test_keys(number, checkpoint, text):
    assert key_text(number, checkpoint) == text
    assert parse_key(text)[:2] == (number, checkpoint)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1:1/1/forward/a/0", "it is not number:step/micro_batch/phase/name/call/output"),
        ("1:1/1/sideways/a/0/", "no phase is called 'sideways'"),
        ("1:1/-/forward/a/0/", "forward is once per micro-batch"),
        ("1:1/1/update/a/0/", "update is once per step, so its micro-batch is -"),
        ("1:0/1/loss/a/0/", "steps count from 1"),
        ("1:2/-/init/a/0/", "init is step 0"),
        ("1:01/1/loss/a/0/", "its step is '01', which is no whole number"),
        ("1:1/0/loss/a/0/", "micro-batches count from 1"),
        ("0:1/1/loss/a/0/", "tensors are numbered from 1"),
        ("1:1/1/loss/%/0/", "a % itself is %25"),
        ("1:99999999999999999999/1/loss/a/0/", "which is no whole number"),
    ],
)
def test_keys_that_are_none(text, said):
    with pytest.raises(BadKey, match=said):
        parse_key(text)


def test_the_package_safetensors_reads_every_file(tmp_path):
    load_file = pytest.importorskip("safetensors.numpy", reason="the package safetensors is not installed").load_file
    trace = write(tmp_path / "a")
    seen = {}
    for path in sorted(trace.glob("*.safetensors")):
        seen.update(load_file(path))
    values = {}
    for step in Reader(trace).steps():
        for (index, phase), entries in step.moments.items():
            for key, entry in entries.items():
                values[Checkpoint(step.number, index, phase, *key)] = entry.array()
    assert len(seen) == len(values) > 30
    for text, array in seen.items():
        np.testing.assert_array_equal(array, values[parse_key(text).checkpoint])


def test_files_of_the_package_safetensors_are_read(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy", reason="the package safetensors is not installed").save_file
    trace = write(tmp_path / "a")
    for path in trace.glob("*.safetensors"):  # it sorts the tensors anew, and pads its header otherwise
        from safetensors.numpy import load_file

        save_file(load_file(path), path)
    signed(trace)
    report = compare.traces(trace, write(tmp_path / "e"))
    assert report.outcome == "equivalent", report


@pytest.mark.parametrize(
    "dtype",
    ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool"],
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (200, 100)], ids=str)
def test_every_dtype_and_shape(dtype, shape, tmp_path):
    value = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    with compare.TraceWriter(tmp_path / "a") as trace:
        trace.add(1, 1, "forward", "layer", np.asfortranarray(value))
    (step,) = Reader(tmp_path / "a").steps()
    found = step.moments[1, "forward"]["layer", 0, "output"].array()
    assert found.dtype == value.dtype
    np.testing.assert_array_equal(found, value)


def test_bfloat16_is_read_as_the_numbers_it_stands_for(tmp_path):
    value = torch.linspace(-3, 3, 50).to(torch.bfloat16)
    bits = value.view(torch.int16).numpy()
    for folder, given, said in (("a", value, None), ("b", bits, "BF16"), ("c", bits.view(np.uint16), "BF16")):
        with compare.TraceWriter(tmp_path / folder, dtype="bfloat16") as trace:
            trace.add(1, 1, "forward", "layer", given, dtype=said)
        (step,) = Reader(tmp_path / folder).steps()
        entry = step.moments[1, "forward"]["layer", 0, "output"]
        assert entry.value.dtype == "BF16"
        np.testing.assert_array_equal(entry.array(), value.float().numpy())


ADDED = {"step": 1, "micro_batch": 1, "phase": "forward", "name": "layer", "array": np.ones(2)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"phase": "sideways"}, "no phase is called 'sideways'"),
        ({"step": 0}, "forward is at step 0; init is step 0"),
        ({"step": 1.5}, "step is 1.5; it must be a whole number"),
        ({"micro_batch": None}, "forward happens once per micro-batch, so it needs one"),
        ({"micro_batch": 0}, "micro_batch is 0; it must be a whole number of at least 1"),
        ({"array": np.ones(2, complex)}, "has dtype complex128, which a trace does not hold"),
        ({"array": np.array(["a"])}, "which a trace does not hold"),
        ({"dtype": "F64"}, "only 'BF16' has to be said"),
        ({"dtype": "BF16"}, "the bits of BF16 are 16-bit integers"),
        ({"name": 3}, "must be texts"),
        ({"name": "before"}, "is added twice"),
        ({"phase": "init", "step": 0, "micro_batch": None}, "comes after something later"),
    ],
)
def test_what_cannot_be_added(change, said, tmp_path):
    with compare.TraceWriter(tmp_path / "a") as trace:
        trace.add(**{**ADDED, "name": "before"})
        with pytest.raises(InputError, match=said):
            trace.add(**{**ADDED, **change})


def test_where_no_trace_can_be_written(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    with pytest.raises(InputError, match="is not empty; name a new folder"):
        compare.TraceWriter(tmp_path / "full")
    with pytest.raises(InputError, match="cannot write a trace to"):
        compare.TraceWriter(tmp_path / "full" / "something")
    with pytest.raises(InputError, match="dtype is 'int8'"):
        compare.TraceWriter(tmp_path / "new", dtype="int8")


def test_leaving_by_an_exception_leaves_a_beginning(tmp_path):
    def stopped():
        with compare.TraceWriter(tmp_path / "a") as trace:
            trace.add(**ADDED)
            raise StopIteration

    with pytest.raises(StopIteration):
        stopped()
    reader = Reader(tmp_path / "a")
    assert [place_text(step.number, step.last) for step in reader.steps()] == ["step 1, micro-batch 1, forward"]
    assert reader.finished is False
