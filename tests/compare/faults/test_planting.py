"""Wrong code stands where right code stood, for one side and while it runs, and nowhere else."""

import numpy as np
import pytest

import manual
import manual.nn
import manual.optim
from compare.faults import scenes
from compare.faults.catalogue import FAULTS
from compare.faults.planting import PlantedSide, Planting, planted
from compare.lockstep import lockstep, walk
from manual import rules
from manual.optim.lr_scheduler import StepLR

X = np.array([0.3, -1.2])


def doubled(right, x, **options):
    value, pullback = right(x, **options)
    return 2 * value, pullback


def everywhere(rule):
    return {
        "rules": lambda: rules.tanh(X)[0],
        "module": lambda: manual.nn.Tanh()(manual.tensor(X)).data,
        "op": lambda: manual.tanh(manual.tensor(X)).data,
        "functional": lambda: manual.nn.functional.tanh(manual.tensor(X)).data,
        "method": lambda: manual.tensor(X).tanh().data,
    }[rule]()


@pytest.mark.parametrize("place", ["rules", "module", "op", "functional", "method"])
def test_a_rule_is_replaced_wherever_the_wing_holds_it(place):
    planting = Planting()
    planting.rule(rules.tanh, doubled)
    assert not planting.reached
    with planting:
        np.testing.assert_array_equal(everywhere(place), 2 * np.tanh(X))
    assert planting.reached
    np.testing.assert_array_equal(everywhere(place), np.tanh(X))


def test_what_a_rule_says_of_itself_is_kept():
    planting = Planting()
    planting.rule(rules.tanh, doubled)
    with planting:
        assert rules.tanh.promotes == "floating"
        assert rules.tanh.__name__ == "tanh"
        assert manual.tanh(manual.tensor([1, 2])).dtype == np.float32


def test_plantings_stack():
    first, second = Planting(), Planting()
    first.rule(rules.tanh, doubled)
    second.rule(rules.tanh, doubled)
    with first:
        nested = Planting()
        nested.rule(rules.tanh, doubled)
        with second, nested:
            for place in ("rules", "module", "op"):
                np.testing.assert_array_equal(everywhere(place), 8 * np.tanh(X))
    np.testing.assert_array_equal(rules.tanh(X)[0], np.tanh(X))


def test_an_inherited_method_is_given_back_to_its_base():
    planting = Planting()
    planting.replace(StepLR, "step", lambda right, scheduler: None)
    assert "step" not in vars(StepLR)
    with planting:
        assert "step" in vars(StepLR)
    assert "step" not in vars(StepLR)


def test_what_was_there_comes_back_after_an_error():
    planting = Planting()
    right = manual.optim.SGD.update
    planting.replace(manual.optim.SGD, "update", lambda right, *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError), planting:
        manual.optim.SGD.update(None)
    assert manual.optim.SGD.update is right


def halved(plant):
    plant.replace(
        manual.optim.SGD, "update", lambda right, o, p, g, s, group: right(o, p, g, s, {**group, "lr": group["lr"] / 2})
    )


def test_only_the_planted_side_is_spoiled():
    scene = scenes.network()
    make = planted(scene.make_actual, halved, scene.steps)
    assert walk(scene.make_actual(), scene.make_actual(), scene.steps).outcome == "equivalent"
    first = walk(make(), scene.make_actual(), scene.steps).first_divergence
    assert (first.checkpoint.step, first.checkpoint.phase) == (1, "update")
    assert walk(make(), make(), scene.steps).outcome == "equivalent"


def test_a_planted_side_passes_on_all_else():
    scene = scenes.network(momentum=0.8)
    side = planted(scene.make_actual, halved)()
    assert isinstance(side, PlantedSide)
    assert list(side.parameters) == list(scene.make_actual().parameters)
    assert side.learning_rate == [0.3]
    assert side.clip is None
    assert not hasattr(side, "no_such_member")
    side.total_norm = 3.0
    assert side.total_norm == vars(side)["_side"].total_norm == 3.0
    assert not side.planting.reached
    side.zero_grad()
    side.accumulate(*scene.steps[0][0])
    assert not side.planting.reached
    side.step()
    assert side.planting.reached


def test_a_member_can_be_hidden():
    scene = scenes.network(momentum=0.8)
    side = planted(scene.make_actual, lambda plant: plant.hide("slots"))()
    assert not hasattr(side, "slots")
    verdict = walk(side, scene.make_expected(), scene.steps)
    assert verdict.outcome == "equivalent"
    assert "slots" not in verdict.coverage.phases


@pytest.mark.parametrize("sync", ["step", "module"])
def test_the_other_walks_reach_the_planted_code(sync):
    fault = FAULTS["tanh-slope-without-the-square"]
    scene = fault.scene
    found = lockstep(fault.make_actual, scene.make_expected, scene.steps, sync=sync, diagnose=False)
    assert {divergence.culprit for divergence in found.divergences if divergence.own} == {"layers.1"}


def test_three_mistakes_in_one_side_are_each_found_by_a_walk_by_module():
    scene = scenes.network(momentum=0.8)
    make = scene.make_actual
    for name in ("tanh-slope-without-the-square", "cross-entropy-summed", "momentum-as-an-average"):
        make = planted(make, FAULTS[name].plant, scene.steps)
    found = lockstep(make, scene.make_expected, scene.steps[:1], sync="module", diagnose=False)
    places = {(divergence.checkpoint.phase, divergence.culprit) for divergence in found.divergences}
    assert {("loss", "loss"), ("backward", "layers.1"), ("slots", "optimizer")} <= places
