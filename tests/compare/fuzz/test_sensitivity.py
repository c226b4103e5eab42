"""How small an error is seen: planting it, finding the smallest, and what is promised of the built-in experiments."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from compare.experiment import Setting
from compare.experiments import CATALOGUE
from compare.fuzz.build import pair
from compare.fuzz.case import Case
from compare.fuzz.sensitivity import SIZES, Plant, Planted, Trial, gradients_at, plants, threshold
from compare.threads import threads
from compare.verdict import Outcome

ROOT = Path(__file__).parents[3]
NETWORK = "seed=2,hidden=5,activations=Tanh,steps=3,parts=4/3,optimizer=SGD:lr=0.1:momentum=0.9"
CLASSIC = "seed=2,model=SoftmaxRegression,outputs=3,steps=3,parts=4/3,optimizer=Adam:lr=0.1"


def trial_of(text):
    return Trial(*pair(Case.parse(text)))


def accumulated(side, step):
    deposits = []
    side.zero_grad()
    for micro_batch, weight in step:
        side.accumulate(micro_batch, weight)
        deposits.append({name: np.array(value) for name, value in side.deposits.items()})
    return deposits, {name: np.array(value) for name, value in side.gradients.items()}


@pytest.mark.parametrize(("text", "name"), [(NETWORK, "0.weight"), (CLASSIC, "linear.weight")])
def test_one_element_is_wrong_in_every_micro_batch_of_one_step(text, name):
    trial = trial_of(text)
    right = trial.make_actual()
    wrong = Planted(trial.make_actual(), Plant(2, name, (1, 2), "ordinary", 0.0), 0.5)
    for number in (1, 2, 3):
        right_deposits, right_gradients = accumulated(right, trial.steps[0])
        deposits, gradients = accumulated(wrong, trial.steps[0])
        factor = np.ones_like(right_gradients[name])
        if number == 2:
            factor[1, 2] = 1.5
        for mine, theirs in zip([*deposits, gradients], [*right_deposits, right_gradients], strict=True):
            for other in theirs:
                expected = theirs[other] * (factor if other == name else 1)
                np.testing.assert_allclose(mine[other], expected, rtol=1e-15)
        if number == 2:  # what follows starts from the same state
            wrong.load_state({"gradients": right_gradients})
        right.step()
        wrong.step()
        assert wrong.learning_rate == right.learning_rate


def test_the_error_is_seen_where_it_is_and_nothing_else_is():
    trial = trial_of(NETWORK)
    assert trial.verdict().outcome is Outcome.EQUIVALENT
    gradients = gradients_at(trial.make_expected, trial.steps, 2)
    for plant in plants(gradients, 2):
        found = trial.seen(plant, 1e-3)
        assert found.checkpoint[:4] == (2, 1, "deposit", plant.name)
        assert trial.excess(plant, 1e-3) > 1
        assert trial.excess(plant, 1e-18) == 0


def test_the_excess_is_in_proportion_to_the_error():
    trial = trial_of(NETWORK)
    (plant, *_) = plants(gradients_at(trial.make_expected, trial.steps, 1), 1, ("ordinary",))
    assert trial.excess(plant, 1e-6) == pytest.approx(1e3 * trial.excess(plant, 1e-9), rel=1e-2)


def test_gradients_are_those_of_the_step_with_the_masks_of_the_other_side():
    trial = trial_of("seed=2,hidden=9,activations=Tanh,dropout=0.5,steps=3,parts=4/3,fresh=True")
    side = trial.make_expected()
    for step in trial.steps[:2]:
        _, gradients = accumulated(side, step)
        side.step()
    found = gradients_at(trial.make_expected, trial.steps, 2)
    mine = gradients_at(trial.make_actual, trial.steps, 2, trial.make_expected())
    assert found.keys() == mine.keys() == gradients.keys()
    for name, gradient in gradients.items():
        np.testing.assert_array_equal(found[name], gradient)
        np.testing.assert_allclose(mine[name], gradient, rtol=1e-11, atol=1e-15)


def test_places_are_chosen_by_size_among_what_is_not_zero():
    gradient = np.array([[0.0, -8.0, 3.0, 0.0], [5.0, 1.0, -2.0, 4.0]])
    found = {plant.size: (plant.index, plant.value) for plant in plants({"w": gradient}, 1)}
    assert found == {"largest": ((0, 1), -8.0), "ordinary": ((0, 2), 3.0), "small": ((1, 2), -2.0)} or found == {
        "largest": ((0, 1), -8.0),
        "ordinary": ((1, 3), 4.0),
        "small": ((1, 2), -2.0),
    }
    assert plants({"w": np.zeros(3)}, 1) == []
    assert [plant.size for plant in plants({"b": np.array([2.0])}, 1)] == [next(iter(SIZES))]


@pytest.mark.parametrize("limit", [1.0, 0.3, 1e-4, 1e-9])
@pytest.mark.parametrize("how", ["in proportion", "unknown", "out of proportion"])
def test_the_smallest_error_that_is_seen(limit, how):
    tried = []

    def excess(error):
        tried.append(error)
        if error < limit:
            return 0.0
        return {"in proportion": error / limit, "unknown": math.inf, "out of proportion": 1 + 1e-3 * error}[how]

    found = threshold(excess, 1e-16)
    assert limit <= found <= 1.26 * limit
    assert len(tried) <= (4 if how == "in proportion" else 11)


def test_an_error_that_is_never_seen():
    assert threshold(lambda error: 0.0, 1e-16) == math.inf


PROMISED = {"float64": 1e-12, "float32": 1e-5}
SATURATED = {"AND", "OR", "NOR", "XNOR, the lecture's weights"}
"""Scenarios of ``logic-gates`` whose gradients are of no ordinary size: sigmoids of 10 and more are 1 but for 5e-5, and
what is left of ``1 - y`` is known to a unit in the last place of 1, not of itself."""


@pytest.mark.parametrize("dtype", PROMISED)
@pytest.mark.parametrize("experiment", CATALOGUE)
def test_errors_in_the_first_gradients_of_the_built_in_experiments_are_seen(experiment, dtype):
    unseen, planted = [], 0
    with threads(1):
        for scenario in CATALOGUE[experiment].build(Setting(dtype)).scenarios:
            if scenario.name in SATURATED:
                continue
            trial = Trial(scenario.actual, scenario.expected, scenario.steps[:1], scenario.sync)
            for plant in plants(gradients_at(scenario.expected, scenario.steps, 1), 1, ("ordinary",)):
                planted += 1
                if trial.seen(plant, PROMISED[dtype]) is None:
                    unseen.append(f"{scenario.name}: {plant.name}{list(plant.index)} of {plant.value:.3g}")
    assert planted
    assert not unseen, "\n".join(unseen)


def test_the_benchmark_prints_its_tables(tmp_path):
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.sensitivity", "backprop-by-hand", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    for words in ("float32  ordinary   assert_allclose", "float64  largest    lockstep", "Later steps"):
        assert words in done.stdout
    figures = json.loads(path.read_text())
    ours = [row for row in figures["first"] if row["size"] == "ordinary" and row["dtype"] == "float64"]
    assert ours
    for row in ours:
        assert row["thresholds"]["lockstep"] < 1e-12 < row["thresholds"]["assert_close"]
    assert all(row["noise_multiple"] > 1 for row in figures["later"])


def test_the_benchmark_refuses_an_unknown_experiment():
    command = [sys.executable, "-m", "benchmarks.sensitivity", "mazur"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2
    assert "no experiment is called 'mazur'; known: linear-regression" in done.stderr
