"""What the measured tolerance costs: the time of a calibration in bare steps, and the memory of its floors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import torch_ref.models
import torch_ref.training
from benchmarks.timing import in_turn, quartiles, ratio
from compare.batches import cut
from compare.measured import Measured

__all__ = ["calibration_rows"]

CASES = {
    "XNOR 2-2-1, SGD": ((2, 2, 1), "SGD", 4),
    "MLP 64-128-10, batch 64, Adam": ((64, 128, 10), "Adam", 64),
    "MLP 784-512-512-10, batch 256, AdamW": ((784, 512, 512, 10), "AdamW", 256),
}


def calibration_rows(rounds: int) -> list[list[Any]]:
    """Rows of case, dtype, calibration / bare step with quartiles, and floors / recorded values in memory."""
    rows = []
    for dtype in ("float32", "float64"):
        for name, (sizes, optimizer, count) in CASES.items():
            generator = np.random.default_rng(0)
            x = generator.standard_normal((count, sizes[0])).astype(dtype)
            y = generator.standard_normal((count, sizes[-1])).astype(dtype)
            steps = [cut(x, y, 1)]

            def side(observe: bool = True, sizes: Any = sizes, optimizer: str = optimizer, dtype: str = dtype) -> Any:
                torch.manual_seed(0)
                module = torch_ref.models.MLP(sizes).to(getattr(torch, dtype))
                return torch_ref.training.Side(
                    module,
                    getattr(torch.optim, optimizer)(module.parameters(), lr=1e-3),
                    torch.nn.MSELoss(),
                    observe=observe,
                )

            bare = side(False)
            batch, weight = steps[0][0]
            measured = Measured(side, steps, dtype)

            def step(bare: Any = bare, batch: Any = batch, weight: float = weight) -> None:
                bare.zero_grad()
                bare.accumulate(batch, weight)
                bare.step()

            times = in_turn({"calibration": measured.calibrate, "step": step}, rounds=rounds, least=0.05)
            shown = sum(value.nbytes for value in measured.run().values())
            found = ratio(times, "calibration", "step")
            each = [quartiles(times[key]).median * 1e6 for key in ("calibration", "step")]
            rows.append([name, dtype, *each, found.median, found.lower, found.upper, measured.nbytes / shown])
    return rows
