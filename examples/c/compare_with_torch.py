"""Judge the trace of ``train.c``: ``python examples/c/compare_with_torch.py run`` walks it beside PyTorch."""

import sys
from collections import OrderedDict

import numpy as np
import torch

import compare
import torch_ref

ROWS, SIZES, STEPS = 12, (8, 4), 6


def data() -> tuple[np.ndarray, np.ndarray]:
    """The rows that the C program draws."""
    state, drawn = 1, []
    for _ in range(ROWS * 4):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        drawn.append((state >> 8) / 4194304.0 - 1.0)
    return np.array(drawn).reshape(ROWS, 4), np.arange(ROWS) % 3


def reference(initial: dict[str, np.ndarray]) -> torch_ref.Side:
    """The same network and optimizer in PyTorch, from the recorded initial values."""
    module = torch.nn.Sequential(
        OrderedDict(hidden=torch.nn.Linear(4, 8), activation=torch.nn.Tanh(), output=torch.nn.Linear(8, 3))
    ).double()
    module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in initial.items()})
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    return torch_ref.Side(module, optimizer, torch.nn.CrossEntropyLoss(), schedule)


def judge(folder: str) -> compare.Report:
    """Walk the recorded run beside PyTorch."""
    side = compare.TraceSide(folder)
    return compare.training(side, reference(side.parameters), [data()] * STEPS, SIZES)


if __name__ == "__main__":
    report = judge(sys.argv[1])
    print(report)
    sys.exit(report.outcome != "equivalent")
