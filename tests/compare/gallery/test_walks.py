"""The walks: the verdict of each optimizer on each surface, and the first step at which its mistake leaves the path.

The oracle is a bare loop over ``torch.optim`` and autograd, without a side and without the lockstep.
"""

import numpy as np
import pytest
import torch

import manual.optim
from compare.batches import InputError
from compare.faults.planting import planted
from compare.gallery import walks
from compare.gallery.descent import PROMISES, Path, sides, steps_of
from compare.gallery.mistakes import Mistake, mistake_in
from compare.gallery.recipes import LEFT_OUT, RECIPES, optimizers, recipe_of
from compare.gallery.record import record_of
from compare.gallery.surfaces import SURFACES
from compare.gallery.walks import portrait
from compare.gallery.words import text
from compare.lockstep import walk

WALKING = [name for name in optimizers() if name not in LEFT_OUT]
COARSE = {"Muon"}  # it iterates in bfloat16, whose last bit hides small departures
HEIGHTS = {
    "Quadratic": lambda x, y: (x * x + 25 * y * y) / 2,
    "Rosenbrock": lambda x, y: (1 - x) ** 2 + 10 * (y - x * x) ** 2,
    "Saddle": lambda x, y: x * x / 2 + (y * y - 1) ** 2 / 4,
}


def bare_loop(optimizer, surface, place):
    """Where PyTorch alone goes."""
    point = torch.tensor([surface.start], dtype=torch.float64, requires_grad=True)
    options = recipe_of(optimizer, surface, place).optimizer[1]
    made = getattr(torch.optim, optimizer)([point], **options)

    def evaluated():
        made.zero_grad()
        height = HEIGHTS[surface.name](*point[0])
        height.backward()
        return height

    path = [point.detach().numpy().ravel().copy()]
    for step in range(surface.steps):
        if step == surface.steps // 4:
            made.param_groups[0]["lr"] /= 2
        made.step(evaluated)
        path.append(point.detach().numpy().ravel().copy())
    return np.array(path)


def manual_alone(make, surface):
    """Where a manual side goes by itself."""
    side = make()
    path = [side.parameters["point"].ravel().copy()]
    for ((micro_batch, weight),) in steps_of(surface):
        side.zero_grad()
        side.accumulate(micro_batch, weight)
        side.step()
        path.append(side.parameters["point"].ravel().copy())
    return np.array(path)


@pytest.fixture(scope="module", params=WALKING)
def found(request):
    return portrait(request.param, diagnose=False)


def test_the_two_sides_are_equivalent(found):
    assert [str(descent.verdict.outcome) for descent in found.descents] == ["equivalent"] * len(SURFACES)


def test_the_path_drawn_is_that_of_pytorch_alone(found):
    for place, descent in enumerate(found.descents):
        reference = bare_loop(found.optimizer, descent.surface, place)
        assert len(descent.path.expected) == len(descent.path.actual) == descent.surface.steps + 1
        early = slice(0, 11)  # before rounding has been carried far
        np.testing.assert_allclose(descent.path.expected[early], reference[early], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(descent.path.expected, reference, atol=1e-3)


def test_the_mistake_leaves_at_the_first_step_that_is_not_pytorchs(found):
    for place, descent in enumerate(found.descents):
        actual, _ = sides(descent.surface, descent.recipe)
        wrong = manual_alone(planted(actual, found.mistake.plant, steps_of(descent.surface)), descent.surface)
        reference = bare_loop(found.optimizer, descent.surface, place)
        apart = np.abs(wrong - reference).max(1) > 1e-6
        first = int(np.argmax(apart))
        assert apart.any()
        assert descent.seen
        if found.optimizer in COARSE:
            assert descent.astray.leaves >= first
        else:
            assert descent.astray.leaves == first
        assert descent.spoiled.first_divergence.checkpoint.step <= descent.astray.leaves


def test_every_optimizer_of_both_wings_is_there():
    both = {
        name
        for name in manual.optim.__all__
        if name != "Optimizer" and isinstance(kind := getattr(torch.optim, name, None), type)
        and issubclass(kind, torch.optim.Optimizer)
    }  # fmt: skip
    assert set(optimizers()) == both
    assert {name for name in RECIPES if not hasattr(torch.optim, name)} == set()


def test_a_pattern_chooses_whatever_its_case():
    assert optimizers("ada[mg]*") == [name for name in optimizers() if name.lower().startswith(("adam", "adag"))]
    with pytest.raises(InputError, match=r"^no optimizer matches 'Lion'; known: .*Adagrad, .*SGD"):
        optimizers("Lion")


def test_an_optimizer_that_is_not_listed_walks_with_its_defaults_and_never_cleared_gradients():
    assert recipe_of("Newest", SURFACES[0], 0).optimizer == ("Newest", {})
    assert mistake_in("Newest").fault == "zero-grad-left-out"
    actual, expected = sides(SURFACES[0], recipe_of("SGD", SURFACES[0], 0))
    path = Path()
    steps = steps_of(SURFACES[0])[:3]
    spoiled = planted(actual, mistake_in("Newest").plant, steps)
    walk(spoiled(), expected(), steps, promises=PROMISES, observer=path)
    assert path.leaves == 2


def test_lbfgs_hands_over_its_history():
    """What goes on from a state goes where the side that wrote it goes."""
    surface, place = SURFACES[1], 1
    _, make = sides(surface, recipe_of("LBFGS", surface, place))
    first = make()
    steps = steps_of(surface)

    def step(side, micro_batches):
        side.zero_grad()
        for micro_batch, weight in micro_batches:
            side.accumulate(micro_batch, weight)
        side.step()

    for micro_batches in steps[:6]:
        step(first, micro_batches)
    second = make()
    second.load_state(first.state())
    for micro_batches in steps[6:9]:
        step(first, micro_batches)
        step(second, micro_batches)
    np.testing.assert_array_equal(first.parameters["point"], second.parameters["point"])
    np.testing.assert_allclose(first.parameters["point"].ravel(), bare_loop("LBFGS", surface, place)[9], rtol=1e-12)


# -- what is not as it must be -----------------------------------------------------------------------------------------


def only(portrait_):
    return record_of([portrait_], None)


def test_a_mistake_that_changes_nothing_is_not_taken_for_seen(monkeypatch):
    monkeypatch.setattr(walks, "mistake_in", lambda optimizer: Mistake("nothing is wrong", lambda plant: None))
    record = only(portrait("SGD", tolerance="fixed", diagnose=False))
    assert record["exit_code"] == 1
    assert [surface["mistake"]["seen"] for surface in record["optimizers"][0]["surfaces"]] == [False] * 3
    assert "SGD on Saddle: the planted mistake is not seen to lead off the path (equivalent)" in text(
        {**record, "files": []}
    )


def test_a_wrong_optimizer_is_a_divergence(monkeypatch):
    right = manual.optim.SGD.update
    monkeypatch.setattr(manual.optim.SGD, "update", lambda s, p, g, slots, group: right(s, p, 1.001 * g, slots, group))
    record = only(portrait("SGD", tolerance="fixed", diagnose=False))
    assert record["exit_code"] == 1
    for surface in record["optimizers"][0]["surfaces"]:
        assert (surface["outcome"], surface["parts"]["step"], surface["parts"]["phase"]) == ("diverged", 1, "slots")
    assert "diverged: step 1, slots" in text({**record, "files": []}, quiet=True)


def test_a_side_that_raises_is_an_error(monkeypatch):
    def raising(*arguments):
        raise ZeroDivisionError("no step today")

    monkeypatch.setattr(manual.optim.SGD, "update", raising)
    record = only(portrait("SGD", tolerance="fixed", diagnose=False))
    assert record["exit_code"] == 4
    assert "no step today" in text({**record, "files": []})
