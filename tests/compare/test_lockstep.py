"""The walk: every checker has seen the fault it is for, at the right place."""

import numpy as np
import pytest

from compare.batches import InputError, check_batches, cut, sizes_of
from compare.lockstep import lockstep, walk
from compare.verdict import Outcome, exit_code, worst_outcome

from .toy import ToySide

generator = np.random.default_rng(1)
X, Y = generator.standard_normal((12, 4)), generator.standard_normal((12, 2))
STEPS = [cut(X, Y, [7, 5])] * 4


def verdict(fault="", from_step=1, sync="free", **options):
    return lockstep(lambda: ToySide(fault, from_step), ToySide, STEPS, sync=sync, **options)


FAULTS = {
    # the line that is wrong: phase, name, culprit, step at which it shows when it is wrong from step 2 on
    "hidden forward": ("forward", "hidden", "hidden", 2),
    "act forward": ("forward", "act", "act", 2),
    "model glue forward": ("forward", "", "(model)", 2),
    "loss forward": ("loss", "data", "loss", 2),
    "penalty forward": ("loss", "penalty", "penalty", 2),
    "loss backward": ("backward", "loss", "loss", 2),
    "output backward": ("backward", "output", "output", 2),
    "act backward": ("backward", "act", "act", 2),
    "penalty backward": ("backward", "penalty", "penalty", 2),
    "hidden deposit": ("deposit", "hidden.weight", "hidden", 2),
    "weight of the micro-batch": ("deposit", "hidden.weight", "accumulation", 2),
    "only the last micro-batch": ("accumulated", "hidden.weight", "accumulation", 2),
    "zero_grad left out": ("accumulated", "hidden.weight", "accumulation", 2),
    "squared norm": ("clip", "total_norm", "clip", 2),
    "clip scale": ("clip", "hidden.weight", "clip", 2),
    "rate in the buffer": ("slots", "hidden.weight", "optimizer", 2),
    "update sign": ("update", "output.bias", "optimizer", 2),
    "parameter": ("update", "hidden.bias", "optimizer", 2),
    "buffer": ("buffer", "hidden.seen", "hidden", 2),
    "schedule": ("schedule", "group 0", "scheduler", 2),
}


@pytest.mark.parametrize("sync", ["free", "step"])
def test_two_equal_sides_are_equivalent_in_every_phase(sync):
    found = verdict(sync=sync)
    assert found.outcome == "equivalent"
    assert found.reason == ""
    assert [phase for phase, _ in found.coverage.in_order()] == [
        *("init", "forward", "loss", "backward", "deposit", "accumulated"),
        *("clip", "slots", "update", "parameter", "buffer", "schedule"),
    ]
    assert found.steps == 4
    assert found.worst_error == 0.0
    assert all(phase.informative for _, phase in found.coverage.in_order())


@pytest.mark.parametrize("sync", ["free", "step"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen_where_it_is(fault, sync):
    phase, name, culprit, step = FAULTS[fault]
    found = verdict(fault, from_step=2, sync=sync)
    first = found.first_divergence
    assert found.outcome == "diverged"
    assert (first.checkpoint.phase, first.checkpoint.name, first.culprit, first.checkpoint.step) == (
        phase,
        name,
        culprit,
        step,
    )
    assert first.own


def test_zero_grad_left_out_from_the_start_shows_in_the_second_step():
    first = verdict("zero_grad left out").first_divergence
    assert (first.checkpoint.step, first.checkpoint.micro_batch, first.checkpoint.phase) == (2, 1, "accumulated")


def test_a_free_walk_marks_what_follows_as_inherited_and_a_walk_by_step_starts_anew():
    free = verdict("update sign", from_step=2)
    own = [found for found in free.divergences if found.own]
    assert {found.checkpoint.step for found in own} == {2}
    assert any(found.checkpoint.step == 3 and found.checkpoint.phase == "forward" for found in free.divergences)
    stepwise = verdict("update sign", from_step=2, sync="step")
    assert {found.checkpoint.phase for found in stepwise.divergences} == {"update", "parameter"}
    assert [found.checkpoint.step for found in stepwise.divergences if found.own] == [2, 3, 4]


def test_the_numbers_of_a_divergence():
    first = verdict("hidden forward").first_divergence
    assert first.difference.max_abs == pytest.approx(1e-3, rel=1e-9)
    assert first.difference.actual_at - first.difference.expected_at == pytest.approx(1e-3, rel=1e-6)
    assert first.judgement.error == pytest.approx(1e-3 / first.judgement.scale)
    assert first.judgement.error > first.judgement.allowed
    assert first.checkpoint.where == "step 1, micro-batch 1, forward, hidden"


def test_fail_fast_stops_after_the_step():
    assert verdict("hidden forward", from_step=2, fail_fast=True).steps == 2


# -- nothing passes by having compared nothing -------------------------------------------------------------------------


def renamed(side):
    side.parameters = {f"other.{name}": value for name, value in side.parameters.items()}
    for hidden in ("buffers", "slots"):
        setattr(side, hidden, {})
    return side


def only(*members):
    class Some:
        def __init__(self):
            self._side = ToySide()

        def __getattr__(self, name):
            if name not in ("parameters", "gradients", "zero_grad", "accumulate", "step", *members):
                raise AttributeError(name)
            return getattr(self._side, name)

    return Some


class Bare:
    """A side whose names match nothing."""

    learning_rate = None

    def __init__(self):
        self.parameters = {"w": np.ones(2)}
        self.gradients = {"w": np.ones(2)}

    def zero_grad(self): ...
    def accumulate(self, micro_batch, weight):
        return None

    def step(self): ...


def test_names_that_match_nothing_abstain():
    found = walk(Bare(), ToySide(), STEPS)
    assert found.outcome == "abstained"
    assert found.reason == "nothing was compared: no name of one side matches a name of the other"
    assert "accumulated: hidden.weight" in found.coverage.only_expected
    assert "accumulated: w" in found.coverage.only_actual


def test_a_promised_phase_that_is_never_shown_abstains():
    found = walk(only("slots")(), ToySide(), STEPS, promises=["deposit"])
    assert found.outcome == "abstained"
    assert found.reason.startswith("deposit was promised, but has no informative checkpoint")


def test_the_smallest_side_gets_a_verdict_and_its_blind_spots():
    found = walk(only()(), ToySide(), STEPS)
    assert found.outcome == "equivalent"
    assert set(found.coverage.phases) == {"init", "loss", "accumulated", "clip", "update", "parameter"}
    assert (
        "no forward on both sides: a mistake there is seen later and placed less exactly" in found.coverage.blind_spots
    )


class Still(ToySide):
    """Parameters without any gradient: zeros everywhere."""

    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        return super().accumulate((x * 0, y), weight)


def test_an_all_zero_gradient_says_nothing():
    found = walk(only()(), Still(), STEPS[:1])
    assert found.outcome == "diverged"
    bias_only = walk(Still(), Still(), STEPS)
    assert bias_only.outcome == "equivalent"  # the penalty gives the hidden weights a gradient
    side, other = Still(), Still()
    side.decay = other.decay = 0.0
    found = walk(side, other, STEPS)
    assert found.outcome == "abstained"
    assert found.reason == "parameter hidden.weight has no informative gradient or update: nothing is known about it"


def test_agreeing_non_finite_values_are_counted_and_disagreeing_ones_diverge():
    poisoned = [cut(np.where(X[0, 0] == X, np.inf, X), Y, [7, 5])]
    with np.errstate(all="ignore"):
        agreeing = walk(ToySide(), ToySide(), poisoned)
        assert agreeing.coverage.phases["forward"].nonfinite > 0
        assert walk(ToySide(), ToySide("hidden forward"), STEPS[:1]).outcome == "diverged"
        assert walk(Poisoned(), ToySide(), STEPS[:1]).first_divergence.difference.nonfinite_disagreeing == 1


class Poisoned(ToySide):
    def accumulate(self, micro_batch, weight):
        terms = super().accumulate(micro_batch, weight)
        self.activations["act", 0, "output"] = np.where(
            self.activations["act", 0, "output"] == self.activations["act", 0, "output"].max(),
            np.nan,
            self.activations["act", 0, "output"],
        )
        return terms


@pytest.mark.parametrize(("cast", "kind"), [(lambda a: a.astype(np.float32), "dtype"), (lambda a: a[:, :1], "shape")])
def test_another_dtype_or_shape_is_a_divergence_of_its_own_kind(cast, kind):
    class Cast(ToySide):
        def accumulate(self, micro_batch, weight):
            terms = super().accumulate(micro_batch, weight)
            self.activations["act", 0, "output"] = cast(self.activations["act", 0, "output"])
            return terms

    first = walk(Cast(), ToySide(), STEPS).first_divergence
    assert (first.checkpoint.name, first.difference.kind) == ("act", kind)


def test_none_against_zero_agrees_with_a_note_and_against_a_number_diverges():
    class Unused(ToySide):
        @property
        def gradients(self):
            return {**self.grads, "spare": self.spare}

    def walked(mine, theirs):
        sides = Unused(), Unused()
        for side, spare in zip(sides, (mine, theirs), strict=True):
            side.parameters["spare"] = np.ones(2)
            side.spare = spare
        return walk(*sides, STEPS[:1])

    found = walked(np.zeros(2), None)
    assert found.outcome == "equivalent"
    assert "accumulated: spare is None on one side and zero on the other" in found.coverage.notes
    assert walked(None, np.ones(2)).first_divergence.checkpoint.name == "spare"


# -- errors, and sides that do not agree with themselves ---------------------------------------------------------------


class Raising(ToySide):
    def accumulate(self, micro_batch, weight):
        if self.number == 2:
            raise FloatingPointError("over the top")
        return super().accumulate(micro_batch, weight)


@pytest.mark.parametrize(
    ("pair", "side"), [((Raising, ToySide), "actual"), ((ToySide, Raising), "expected")], ids=["actual", "expected"]
)
def test_a_side_that_raises_is_an_error_and_is_named(pair, side):
    found = lockstep(*pair, STEPS)
    assert found.outcome == "error"
    assert found.reason == f"the {side} side raised in accumulate (step 2): FloatingPointError: over the top"
    assert found.steps == 1


def test_a_factory_that_raises_is_an_error():
    found = lockstep(lambda: 1 / 0, ToySide, STEPS)
    assert found.outcome == "error"
    assert found.reason == "the actual side raised in its construction: ZeroDivisionError: division by zero"


def test_a_side_that_differs_from_itself_abstains_with_its_culprit():
    draws = np.random.default_rng(5)

    class Noisy(ToySide):
        def accumulate(self, micro_batch, weight):
            x, y = micro_batch
            return super().accumulate((x, y + 1e-3 * draws.standard_normal(y.shape)), weight)

    found = lockstep(Noisy, ToySide, STEPS)
    assert found.outcome == "abstained"
    assert found.reason.startswith("nondeterminism: two runs of the actual side differ")
    assert "culprit loss" in found.reason


def test_an_object_that_is_no_side_is_refused_by_what_it_lacks():
    with pytest.raises(TypeError, match="the actual side lacks parameters, gradients, zero_grad, accumulate, step"):
        walk(object(), ToySide(), STEPS)


@pytest.mark.parametrize(
    ("sync", "lacking"),
    [("step", "load_state"), ("module", "load_state, run_module, clip_gradients, update, advance_schedule")],
)
def test_a_walk_that_a_side_cannot_take_is_refused_with_the_reason(sync, lacking):
    found = walk(only()(), ToySide(), STEPS, sync=sync)
    assert found.outcome == "abstained"
    assert found.reason == f"the walk by {sync} needs {lacking}, which the side does not have"


def test_an_unknown_walk_is_refused():
    with pytest.raises(ValueError, match="sync must be one of free, step, module, got 'loose'"):
        walk(ToySide(), ToySide(), STEPS, sync="loose")


# -- outcomes and batches
# ------------------------------------------------------------------------------------------------


def test_the_worst_outcome_decides_the_exit_code():
    assert exit_code([Outcome.EQUIVALENT, Outcome.ABSTAINED, Outcome.DIVERGED, Outcome.ERROR]) == 4
    assert exit_code([Outcome.EQUIVALENT, Outcome.ABSTAINED, Outcome.DIVERGED]) == 1
    assert exit_code([Outcome.EQUIVALENT, Outcome.ABSTAINED]) == 3
    assert exit_code([Outcome.EQUIVALENT]) == 0
    assert worst_outcome([]) == "abstained"


@pytest.mark.parametrize(
    ("rows", "asked", "sizes"),
    [(100, 3, [40, 40, 20]), (4, 2, [3, 1]), (4, 4, [1, 1, 1, 1]), (5, 1, [5]), (10, [7, 3], [7, 3])],
)
def test_micro_batches_have_a_shorter_tail(rows, asked, sizes):
    assert sizes_of(rows, asked) == sizes


@pytest.mark.parametrize("rows", range(1, 30))
def test_every_row_is_in_one_micro_batch(rows):
    for count in range(1, rows + 1):
        sizes = sizes_of(rows, count)
        assert len(sizes) == count
        assert sum(sizes) == rows
        assert min(sizes) == sizes[-1] > 0


def test_weights_are_shares_of_the_denominator():
    parts = cut(X, np.arange(12), [7, 5], weigh=np.sum)
    assert [weight for _, weight in parts] == [21 / 66, 45 / 66]
    assert [len(x) for (x, _), _ in parts] == [7, 5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sizes_of(4, 5), "micro-batches: 5 asked for, but the batch has only 4 rows; ask for at most 4"),
        (lambda: sizes_of(4, 0), "micro-batches: at least 1 is needed, got 0"),
        (
            lambda: sizes_of(4, [3, 2]),
            r"micro-batches: sizes \[3, 2\] must be positive and add up to the batch's 4 rows",
        ),
        (lambda: cut(X, Y * 0, 2, weigh=np.sum), "the batch's loss denominator is zero: no target counts"),
        (lambda: check_batches([]), "no batches: nothing would be compared"),
        (lambda: check_batches([(X, Y[:5])]), "batch 1: x has 12 rows, y has 5; they must be equal"),
        (lambda: check_batches([(X[:0], Y[:0])]), r"batch 1: x has no rows \(shape \(0, 4\)\)"),
        (lambda: check_batches([(X, Y), (np.where(X[2, 1] == X, np.nan, X), Y)]), r"batch 2: x\[2, 1\] is nan; every"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(call, message):
    with pytest.raises(InputError, match=message):
        call()
