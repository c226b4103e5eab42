"""Another dtype, another shape, memory that is shared."""

import numpy as np
import pytest

import compare

from .written import Written, asked, batches, evidence, looked_into, only, twin

generator = np.random.default_rng(1)


def sums(change):
    """Wrong gradients of ``(w * c).sum()``, which is ``c``."""
    given = {"w": generator.standard_normal((4, 3)), "c": generator.standard_normal((4, 3))}
    with only("mismatch"):
        return compare.gradients(
            lambda w, c: ((w * c).sum(), {"w": change(c)}), lambda w, c: (w * c).sum(), given, wrt=["w"]
        )


PLANTED = {
    "narrower": (lambda c: c.astype(np.float32), "another dtype", "w has dtype float32, the reference's has float64"),
    "longdouble": (lambda c: c.astype(np.longdouble), "another dtype", "w has dtype longdouble, the reference's has float64"),
    "an axis kept": (lambda c: c[None], "another shape", "w has shape (1, 4, 3), the reference's has (4, 3); the elements are the same, one after the other"),
    "flat": (lambda c: c.ravel(), "another shape", "w has shape (12,), the reference's has (4, 3); the elements are the same, one after the other"),
    "repeated": (lambda c: np.stack([c, c]), "another shape", "w has shape (2, 4, 3), the reference's has (4, 3); every element is the reference's, repeated"),
    "cut": (lambda c: c[:3], "another shape", "w has shape (3, 3), the reference's has (4, 3)"),
    "summed": (lambda c: c.sum(0), "another shape", "w has shape (3,), the reference's has (4, 3)"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", PLANTED)
def test_what_it_is_and_what_it_should_be(mistake):
    change, cause, text = PLANTED[mistake]
    best = sums(change).causes[0]
    assert (best.cause, best.explanation) == (cause, text.replace("longdouble", str(np.dtype(np.longdouble))))


def test_a_float32_run_that_is_promoted():
    given = {name: generator.standard_normal((4, 3)).astype(np.float32) for name in "wc"}
    best = compare.gradients(
        lambda w, c: ((w * c).sum(), {"w": c * np.float64(1)}), lambda w, c: (w * c).sum(), given, wrt=["w"]
    ).causes[0]
    assert (best.cause, best.explanation) == ("another dtype", "w has dtype float64, the reference's has float32")


def test_another_dtype_and_another_value_are_two_mistakes():
    assert sums(lambda c: (c * 1.01).astype(np.float32)).causes[0].cause == "unknown"


def test_another_shape_with_other_elements_is_only_that():
    best = sums(lambda c: c.ravel() * 2).causes[0]
    assert (best.cause, best.explanation) == ("another shape", "w has shape (12,), the reference's has (4, 3)")


# -- memory ------------------------------------------------------------------------------------------------------------


class InPlace(Written):
    """Hands out its pre-activation, and then applies tanh to it in place."""

    def accumulate(self, micro_batch, weight):
        terms = super().accumulate(micro_batch, weight)
        self.activations["hidden", 0, "output"] = self.activations["act", 0, "output"]
        return terms


class Cumulative(Written):
    """Hands out its gradients, to which the next micro-batch is added, as deposits."""

    def accumulate(self, micro_batch, weight):
        terms = super().accumulate(micro_batch, weight)
        self.deposits = self.gradients
        return terms


@pytest.mark.parametrize(
    ("side", "place", "text"),
    [
        (InPlace, "step 1, micro-batch 1, forward, hidden", "hidden holds the value of forward, act, and lies in the same memory: it changed after it was handed over"),
        (Cumulative, "step 1, micro-batch 2, deposit, hidden.weight", "hidden.weight holds the value of accumulated, hidden.weight, and lies in the same memory: it changed after it was handed over"),
    ],
    ids=["an activation", "a deposit"],
)  # fmt: skip
def test_what_was_handed_over_changes_later(side, place, text):
    found = looked_into(side, twin, batches())
    best = asked(found, "mismatch")
    assert found.checkpoint.where == place
    assert (best.cause, best.explanation) == ("aliased memory", text)


def test_the_same_value_in_memory_of_its_own_is_no_alias():
    assert asked(evidence({"z": lambda v, s: np.tanh(v)}), "mismatch").cause == "unknown"
