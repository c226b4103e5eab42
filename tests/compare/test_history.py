"""The history of a walk: complete where it is short, bounded where it is long, and nothing where none is asked for."""

import base64
import zlib

import numpy as np
import pytest

from compare.batches import cut
from compare.checkpoint import Checkpoint
from compare.history import AGREES, INHERITED, OWN, History, record_histories, wanted
from compare.lockstep import lockstep
from compare.neighbourhood import neighbourhood
from compare.report.histories import history_record
from compare.report.json import to_json
from compare.report.records import calls_record
from compare.report.report import Report
from compare.tolerance import Judgement

from .toy import ToySide

generator = np.random.default_rng(1)
X, Y = generator.standard_normal((12, 4)), generator.standard_normal((12, 2))
STEPS = [cut(X, Y, [7, 5])] * 4


def verdict(fault="", from_step=1, **options):
    return lockstep(lambda: ToySide(fault, from_step), ToySide, STEPS, **{"history": True, **options})


def filled(steps, keys=5, micro_batches=2, most=200_000, wrong=()):
    """A history of made-up numbers; ``wrong`` holds (step, key, state, multiple)."""
    history = History("measured", most=most)
    planted = {(step, key): (state, multiple) for step, key, state, multiple in wrong}
    for step in range(1, steps + 1):
        for key in range(keys):
            for micro_batch in range(1, micro_batches + 1):
                state, multiple = planted.get((step, key), (AGREES, 0.5))
                judgement = Judgement(state == AGREES, 1e-16, 1e-15, 1.0, multiple)
                history.add(Checkpoint(step, micro_batch, "forward", f"layer{key}"), 3, judgement, state)
    return history


def unpacked(record):
    blob, columns, at = zlib.decompress(base64.b64decode(record["columns"])), {}, 0
    for name, dtype in record["layout"]:
        size = np.dtype(dtype).itemsize * record["count"]
        columns[name] = np.frombuffer(blob[at : at + size], f"<{dtype}")
        at += size
    assert at == len(blob)
    return columns


def test_no_history_is_kept_unless_it_is_asked_for():
    assert verdict(history=None).history is None
    with record_histories():
        assert wanted()
        assert verdict(history=None).history is not None
        with record_histories(False):
            assert verdict(history=None).history is None
    assert not wanted()


@pytest.mark.parametrize("sync", ["free", "step"])
def test_every_compared_checkpoint_is_in_it(sync):
    found = verdict(sync=sync)
    columns = found.history.columns()
    assert len(found.history) == found.history.seen == found.coverage.checkpoints
    assert columns["multiple"].max() == np.float32(found.worst_error)
    assert set(columns["state"]) == {AGREES}
    for phase, covered in found.coverage.phases.items():
        places = [place for place, key in enumerate(found.history.keys) if key[0] == phase]
        assert np.isin(columns["key"], places).sum() == covered.compared


def test_own_and_inherited_divergences_are_where_the_verdict_has_them():
    found = verdict("update sign", from_step=2)
    columns, history = found.history.columns(), found.history
    assert (columns["state"] != AGREES).sum() == found.diverged
    own = {
        (int(step), *history.keys[key][:2])
        for step, key, state in zip(columns["step"], columns["key"], columns["state"], strict=True)
        if state == OWN
    }
    assert own == {(f.checkpoint.step, f.checkpoint.phase, f.checkpoint.name) for f in found.divergences if f.own}
    assert (columns["state"] == INHERITED).any()
    first = found.first_divergence
    at = (columns["step"] == 2) & (columns["key"] == history.keys.index(first.checkpoint[2:]))
    assert columns["multiple"][at] == np.float32(first.judgement.noise_multiple)
    assert columns["error"][at] == np.float32(first.judgement.error)


def test_the_order_is_that_of_execution():
    columns = verdict().history.columns()
    assert (np.diff(columns["step"].astype(int)) >= 0).all()
    assert columns["micro_batch"][0] == 0  # init
    assert columns["micro_batch"][-1] == 0  # the schedule


def test_the_loss_of_a_step_is_that_of_its_batch():
    curves = verdict("loss forward", from_step=3).history.curves()
    assert curves["step"].tolist() == [1, 2, 3, 4]
    side = ToySide()
    total = sum(weight * side.accumulate(batch, weight)["total"] for batch, weight in STEPS[0])
    assert curves["expected"][0] == pytest.approx(total, rel=1e-15)
    apart = np.abs(curves["actual"] - curves["expected"]) > 1e-9
    assert apart.tolist() == [False, False, True, True]


@pytest.mark.parametrize("returned", [0.25, {"total": 0.25}, {"data": 0.25}])
def test_a_loss_is_a_number_or_a_mapping(returned):
    history = History()
    history.losses(1, 0.5, returned, 1.0)
    history.losses(1, 0.5, returned, 2.0)
    assert {name: values.tolist() for name, values in history.curves().items()} == {
        "step": [1],
        "actual": [0.25],
        "expected": [1.5],
    }


@pytest.mark.parametrize("returned", [None, {"denominator": 3.0}, np.ones(3)])
def test_a_side_without_a_loss_has_no_curve(returned):
    history = History()
    history.losses(1, 1.0, returned, 1.0)
    assert not history.curves()["step"].size


def test_a_fixed_tolerance_gives_multiples_of_what_is_allowed():
    history = History("fixed")
    for error, allowed in ((0.0, 0.0), (1e-13, 1e-12), (1e-10, 1e-12), (1e-20, 0.0), (float("nan"), 1e-12)):
        history.add(Checkpoint(1, 1, "forward", ""), 1, Judgement(True, error, allowed, 1.0), AGREES)
    assert history.columns()["multiple"] == pytest.approx([0.0, 0.1, 100.0, np.inf, np.inf])
    assert history.limit == 1.0


# -- long runs ---------------------------------------------------------------------------------------------------------


def test_a_checkpoint_takes_well_under_a_hundred_bytes():
    history = filled(100)
    assert history.nbytes == 17 * len(history)


def test_memory_is_bounded_and_the_worst_of_each_bin_stays():
    wrong = [(77, 3, INHERITED, 1e9), (78, 3, OWN, 40.0), (401, 1, AGREES, 4.5)]
    history = filled(700, most=1000, wrong=wrong)
    assert history.seen == 7000
    assert len(history) < 1000
    assert history.width > 1
    columns = history.columns()
    kept = {
        (int(step), int(key), int(state), float(multiple))
        for step, key, state, multiple in zip(*(columns[c] for c in ("step", "key", "state", "multiple")), strict=True)
        if multiple > 1
    }
    assert kept >= {(78, 3, OWN, 40.0), (401, 1, AGREES, 4.5)}  # an own error counts more than an inherited one
    per_bin = {
        (int(step) // history.width, int(key)) for step, key in zip(columns["step"], columns["key"], strict=True)
    }
    assert per_bin == {(step // history.width, key) for step in range(1, 701) for key in range(5)}


def test_micro_batches_are_put_together_before_steps_are():
    history = filled(100, keys=4, micro_batches=4, most=1000)
    assert history.width == 1
    assert {tuple(pair) for pair in zip(*(history.columns()[c].tolist() for c in ("step", "key")), strict=True)} == {
        (step, key) for step in range(1, 101) for key in range(4)
    }


def test_more_keys_than_room_are_kept_all_the_same():
    history = filled(20, keys=400, micro_batches=1, most=100)
    assert len({int(key) for key in history.columns()["key"]}) == 400
    assert len(history) <= 4 * 400


def test_the_curve_of_a_long_run_keeps_the_largest_differences():
    history = History()
    for step in range(1, 30_001):
        history.losses(step, 1.0, 1.0 + (0.5 if step == 12_345 else 0.0), 1.0)
    curves = history.curves()
    assert len(curves["step"]) <= 8192
    assert curves["step"][curves["actual"] == 1.5].tolist() == [12_345]
    assert (np.diff(curves["step"]) > 0).all()


# -- as plain data -----------------------------------------------------------------------------------------------------


def test_the_record_holds_the_columns_to_three_digits():
    found = verdict("hidden forward", from_step=2).history
    record, columns = history_record(found), found.columns()
    back = unpacked(record)
    assert record["count"] == len(found)
    assert record["keys"] == [list(key) for key in found.keys]
    for name in ("key", "step", "micro_batch", "state"):
        assert (back[name] == columns[name]).all()
    for name in ("multiple", "error"):
        assert back[name] == pytest.approx(columns[name], rel=2.0**-12)
    assert record["losses"]["step"] == [1, 2, 3, 4]


def test_phases_that_mean_nothing_are_left_out():
    found = verdict().history
    record = history_record(found, only={"update", "slots"})
    back = unpacked(record)
    assert {key[0] for key in record["keys"]} == {"update", "slots"}
    assert (
        record["count"]
        == len(back["key"])
        == sum(found.keys[key][0] in ("update", "slots") for key in found.columns()["key"])
    )
    assert back["key"].max() == len(record["keys"]) - 1


def test_json_has_no_histories():
    record = calls_record([Report(verdict("hidden forward"), "toy")])
    held = record["experiments"][0]["scenarios"][0]["history"]
    assert held["divergences"][0]["around"]["index"] == held["divergences"][0]["index"]
    plain = calls_record([Report(verdict("hidden forward", history=False), "toy")])
    assert to_json(record) == to_json(plain)
    assert "history" in record["experiments"][0]["scenarios"][0]  # the record itself is as it was


# -- the values around a divergence ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "index", "corner", "window"),
    [
        ((), (), (0, 0), (1, 1)),
        ((10,), (4,), (0, 2), (1, 5)),
        ((2,), (1,), (0, 0), (1, 2)),
        ((9, 9), (0, 8), (0, 6), (3, 3)),
        ((2, 9, 9), (1, 4, 4), (2, 2), (5, 5)),
        ((2, 3, 9, 1), (1, 2, 8, 0), (6, 0), (3, 1)),
    ],
)
def test_the_neighbourhood_holds_the_element_at_its_place(shape, index, corner, window):
    expected = np.arange(np.prod(shape), dtype=float).reshape(shape)
    actual = expected.copy()
    actual[index] += 0.5
    found = neighbourhood(actual, expected, index)
    assert found.corner == corner
    assert (len(found.actual), len(found.actual[0])) == window
    row, column = (0, 0, *index)[-2:]
    assert found.actual[row - corner[0]][column - corner[1]] == expected[index] + 0.5
    assert found.expected[row - corner[0]][column - corner[1]] == expected[index]


def test_there_is_no_neighbourhood_without_a_place():
    assert neighbourhood(np.ones(2), np.ones(2), None) is None
    assert neighbourhood(np.ones(2), np.ones(3), (1,)) is None
