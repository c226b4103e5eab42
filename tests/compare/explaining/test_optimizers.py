"""Three steps of every optimizer and ten rates of every schedule, on both sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import compare.explaining as explaining
import manual
import manual.optim
from compare.explaining import optimizers, schedules


def test_every_optimizer_and_schedule_has_an_example() -> None:
    assert set(explaining.names("optimizer")) == set(optimizers.EXAMPLES)
    assert set(explaining.names("schedule")) == set(schedules.EXAMPLES)


@pytest.mark.parametrize("name", optimizers.EXAMPLES)
def test_three_steps_agree(name: str) -> None:
    found = optimizers.steps_taken(name)
    for column in found:
        assert column.agrees, f"{column.label}: {column.multiples.max()} floors apart"
    steps = [column.manual for column in found if column.label.endswith("θ")]
    assert len(steps) == optimizers.STEPS
    assert not np.array_equal(steps[0], steps[-1])
    text = explaining.page(name, kind="optimizer")
    assert "## Algorithm" in text
    assert "All " in text


@pytest.mark.parametrize("name", schedules.EXAMPLES)
def test_ten_rates_agree(name: str) -> None:
    mine = schedules.rates(name, manual.optim, manual.tensor(np.zeros(1), requires_grad=True))
    theirs = schedules.rates(name, torch.optim, torch.zeros(1, requires_grad=True))
    assert mine == theirs
    assert len(set(mine)) > 1
    assert "The ten rates of the two sides are equal to the last bit." in explaining.page(name)


def test_a_wrong_step_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(optimizers.EXAMPLES, "Adam", {"lr": 0.1})
    right = manual.optim.Adam.update

    def wrong(self, parameter, gradient, slots, group):  # type: ignore[no-untyped-def]
        right(self, parameter, gradient, slots, group)
        parameter *= 1 + 1e-12

    monkeypatch.setattr(manual.optim.Adam, "update", wrong)
    assert "The two sides do not agree" in explaining.page("Adam")
