"""Judge the trace of ``train.py``: ``python examples/jax/compare_with_torch.py run`` walks it beside PyTorch."""

import sys
from collections import OrderedDict

import numpy as np
import torch

import compare
import torch_ref

ROWS, SIZES, STEPS = 12, (8, 4), 6
NAMES = {"*/kernel": ("*.weight", (1, 0)), "*/bias": "*.bias"}


def judge(folder: str) -> compare.Report:
    """Walk the recorded run beside PyTorch, from the recorded initial values."""
    side = compare.TraceSide(folder)
    module = torch.nn.Sequential(
        OrderedDict(hidden=torch.nn.Linear(4, 8), activation=torch.nn.Tanh(), output=torch.nn.Linear(8, 3))
    )
    state = {
        name.replace("/kernel", ".weight").replace("/bias", ".bias"): torch.from_numpy(np.array(value.T))
        for name, value in side.parameters.items()
    }
    module.load_state_dict(state)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    reference = torch_ref.Side(module, optimizer, torch.nn.CrossEntropyLoss(), schedule)
    x = np.random.default_rng(0).standard_normal((ROWS, 4)).astype(np.float32)
    return compare.training(side, reference, [(x, np.arange(ROWS) % 3)] * STEPS, SIZES, names=NAMES)


if __name__ == "__main__":
    report = judge(sys.argv[1])
    print(report)
    sys.exit(report.outcome != "equivalent")
