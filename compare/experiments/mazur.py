"""``backprop-by-hand``: Matt Mazur's worked example, and the mistake in its last printed number.

Source: Matt Mazur, "A Step by Step Backpropagation Example" (2015). The numbers below are those he prints; everything
else is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

import manual.classic
import torch_ref.classic
from compare.experiment import Claim, Contrast, Must, Scenario, Setting, Study, Table
from compare.experiments.pairs import Recipe, classic_pair, steps_of
from compare.verdict import Verdict
from manual.training import ClassicSide

__all__ = ["OutputFirstSide", "backprop_by_hand"]

INITIAL = {
    "hidden.weight": np.array([[0.15, 0.20], [0.25, 0.30]]),
    "hidden.bias": np.array([0.35, 0.35]),
    "output.weight": np.array([[0.40, 0.45], [0.50, 0.55]]),
    "output.bias": np.array([0.60, 0.60]),
}
X = np.array([[0.05, 0.10]])
Y = np.array([[0.01, 0.99]])
RATE = 0.5
PRINTED_ERROR = "0.298371109"
PRINTED_WEIGHTS = {
    ("output.weight", 0, 0): ("w5", "0.35891648"),
    ("output.weight", 0, 1): ("w6", "0.408666186"),
    ("output.weight", 1, 0): ("w7", "0.511301270"),
    ("output.weight", 1, 1): ("w8", "0.561370121"),
    ("hidden.weight", 0, 0): ("w1", "0.149780716"),
    ("hidden.weight", 0, 1): ("w2", "0.19956143"),
    ("hidden.weight", 1, 0): ("w3", "0.24975114"),
    ("hidden.weight", 1, 1): ("w4", "0.29950229"),
}
PRINTED_ERROR_AFTER = "0.291027924"

PHASES = ("init", "forward", "loss", "backward", "deposit", "accumulated", "update", "parameter", "schedule")


class OutputFirstSide(ClassicSide):
    """The example as its last number was computed: the hidden deltas go through output weights already moved."""

    def accumulate(self, micro_batch: tuple[Any, Any], weight: float) -> dict[str, float]:
        model = self.model
        (rate,) = self.learning_rate
        moved = model.parameters["output.weight"] - rate * model.evaluate(*micro_batch).gradients["output.weight"]
        right = model.evaluate
        model.evaluate = lambda x, y: right(x, y, through=moved)
        try:
            return super().accumulate(micro_batch, weight)
        finally:
            del model.evaluate


def backprop_by_hand(setting: Setting) -> Study:
    """A 2-2-2 sigmoid network with frozen biases: by hand, by PyTorch, and as printed."""

    def pair(side: Any = ClassicSide) -> tuple[Any, Any]:
        options: dict[str, Any] = {"cost": "half_squares", "freeze_biases": True}
        return classic_pair(
            partial(manual.classic.SigmoidNetwork, 2, 2, 2, dtype=setting.numpy_dtype, **options),
            partial(torch_ref.classic.SigmoidNetwork, 2, 2, 2, dtype=getattr(torch, setting.dtype), **options),
            Recipe(("SGD", {"lr": RATE})),
            setting,
            subtracted=lambda output, target: output.abs() + target.abs(),
            initial=INITIAL,
            side=side,
        )

    first = Scenario("the first round", *pair(), steps_of(X, Y, 1, 1, Setting(setting.dtype)), "free", PHASES)
    more = Scenario("ten rounds", *pair(), steps_of(X, Y, 10, 1, setting), "free", PHASES)
    as_printed = Scenario("as printed", *pair(OutputFirstSide), steps_of(X, Y, 10, 1, setting), "free", PHASES)
    contrast = Contrast(
        as_printed,
        Must("backward", 1, name="output", culprit="output"),
        "the hidden deltas are computed with w5 to w8 already updated",
    )

    def lesson(verdicts: Mapping[str, Verdict]) -> tuple[list[Claim], list[Table]]:
        # A printed number is good to one unit of its last digit; float32 knows seven digits of it.
        def printed(number: str) -> tuple[float, float]:
            unit = 10.0 ** -len(number.partition(".")[2])
            return float(number), max(unit, 0.0 if setting.dtype == "float64" else 1e-7)

        claims: list[Claim] = []
        rows: list[list[Any]] = []
        fresh = _network()
        before = float(fresh.cost(X, Y))
        claims.append(Claim("the error before the first round is the printed one", before, *printed(PRINTED_ERROR)))
        sides = verdicts["the first round"].sides
        for (name, *index), (label, number) in PRINTED_WEIGHTS.items():
            values = [float(side.parameters[name][tuple(index)]) for side in sides]
            for wing, value in zip(("manual", "torch"), values, strict=True):
                claims.append(
                    Claim(f"{label} after the first round, {wing}, is the printed one", value, *printed(number))
                )
            rows.append([f"{label}+", number, *values])
        simultaneous, mistaken = _network(), _network()
        manual.classic.update_simultaneously(simultaneous, X, Y, RATE)
        manual.classic.update_output_first(mistaken, X, Y, RATE)
        after, as_printed_after = (float(network.cost(X, Y)) for network in (simultaneous, mistaken))
        printed_after, unit = float(PRINTED_ERROR_AFTER), 1e-9
        claims += [
            Claim(
                "the printed error after the round is that of hidden deltas through updated weights",
                as_printed_after,
                printed_after,
                unit,
            ),
            Claim(
                "the simultaneous update's error is another: the gap to the printed one",
                abs(after - printed_after),
                100 * unit,
                relation=">=",
            ),
        ]
        rows.append(["error before", PRINTED_ERROR, before, _torch_error(INITIAL)])
        rows.append(["error after, simultaneous", PRINTED_ERROR_AFTER, after, _torch_error(sides[1].parameters)])
        rows.append(["error after, w5..w8 updated first", PRINTED_ERROR_AFTER, as_printed_after, ""])
        title = "Mazur's numbers. The last printed error is not that of a simultaneous update"
        return claims, [Table(title, ["", "printed", "manual", "torch"], rows)]

    return Study([first, more], [contrast], lesson)


def _network() -> manual.classic.SigmoidNetwork:
    network = manual.classic.SigmoidNetwork(2, 2, 2, cost="half_squares", freeze_biases=True)
    network.load_parameters(INITIAL)
    return network


def _torch_error(parameters: Mapping[str, np.ndarray]) -> float:
    twin = torch_ref.classic.SigmoidNetwork(2, 2, 2, cost="half_squares", dtype=torch.float64)
    twin.load_state_dict({name: torch.from_numpy(np.array(value, np.float64)) for name, value in parameters.items()})
    with torch.no_grad():
        return float(twin.loss(twin(torch.from_numpy(X)), torch.from_numpy(Y)))
