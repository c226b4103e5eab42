"""The starting file that ``gradlock new`` writes: a pair of each kind, all of them equivalent."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path

from compare.batches import InputError

__all__ = ["KINDS", "place", "starting_file"]

_HEAD = '''"""Pairs for gradlock. Run them with: gradlock check {file}

Every function named check_* is a check. It takes no arguments, and returns what a call
of compare returns.
"""

{imports}

draw = np.random.default_rng(0).standard_normal
'''

_GRADIENTS = '''
# -- gradients derived by hand ---------------------------------------------------------


def ridge(x, y, w):
    """Yours: the loss, and a gradient by name."""
    residual = x @ w - y
    loss = np.mean(residual**2) + 0.1 * w @ w
    # plant an error in the next line: leave out the first 2, or the penalty's 0.2 * w
    return loss, {"w": 2 * x.T @ residual / len(y) + 0.2 * w}


def ridge_torch(x, y, w):
    """The same loss in PyTorch, which differentiates it."""
    return ((x @ w - y) ** 2).mean() + 0.1 * w @ w


def check_gradients():
    inputs = {"x": draw((8, 3)), "y": draw(8), "w": draw(3)}
    return compare.gradients(ridge, ridge_torch, inputs)
'''

_MODULE = '''
# -- a layer, forward and backward -----------------------------------------------------


def linear(inputs, parameters):
    """Yours: the output, and a function that takes a gradient further back."""
    (x,) = inputs
    weight, bias = parameters["weight"], parameters["bias"]

    def backward(incoming):
        # plant an error in the next line: mean in place of sum
        slopes = {"weight": incoming.T @ x, "bias": incoming.sum(0)}
        return incoming @ weight, slopes

    return x @ weight.T + bias, backward


def check_module():
    return compare.module(linear, torch.nn.Linear(3, 2).double(), draw((8, 3)))
'''

_OPTIMIZER = '''
# -- an update rule --------------------------------------------------------------------


def adam(parameter, gradient, slots, step, *, lr, betas, eps):
    """Yours: changes the array in place; slots is its own dict, step counts from 1."""
    m, v = slots.get("exp_avg", 0), slots.get("exp_avg_sq", 0)
    m = slots["exp_avg"] = betas[0] * m + (1 - betas[0]) * gradient
    v = slots["exp_avg_sq"] = betas[1] * v + (1 - betas[1]) * gradient**2
    # plant an error in the next line: leave out the division
    corrected = v / (1 - betas[1] ** step)
    parameter -= lr * m / (1 - betas[0] ** step) / (np.sqrt(corrected) + eps)


def check_optimizer():
    return compare.optimizer(adam, torch.optim.Adam, options={"lr": 0.01})
'''

_TRAINING = '''
# -- whole training steps --------------------------------------------------------------


class Mine:
    """Yours: five members. The weight of a micro-batch is its share of the batch."""

    def __init__(self, weight):
        self.parameters = {"weight": weight.copy()}
        self.zero_grad()

    def zero_grad(self):
        self.gradients = {"weight": 0.0}

    def accumulate(self, micro_batch, weight):
        x, y = micro_batch
        residual = x @ self.parameters["weight"].T - y
        gradient = 2 * residual.T @ x / residual.size
        # plant an error in the next line: 1 / 3 in place of weight
        self.gradients["weight"] = self.gradients["weight"] + weight * gradient
        return np.mean(residual**2)

    def step(self):
        self.parameters["weight"] -= 0.1 * self.gradients["weight"]


def check_training():
    net = torch.nn.Linear(3, 2, bias=False).double()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    reference = torch_ref.Side(net, sgd, torch.nn.MSELoss())
    batches = [(draw((10, 3)), draw((10, 2))) for _ in range(3)]
    mine = Mine(net.weight.detach().numpy())
    return compare.training(mine, reference, batches, micro_batches=3)
'''

KINDS = {"gradients": _GRADIENTS, "module": _MODULE, "optimizer": _OPTIMIZER, "training": _TRAINING}
"""Per kind of pair its part of the file."""


def starting_file(file: str, kind: str | None = None) -> str:
    """The text of a starting file.

    Parameters
    ----------
    file : str
        Its name, for the first line.
    kind : one of ``KINDS``, optional
        The only kind of pair in it; by default one of each.
    """
    body = "\n".join(KINDS.values() if kind is None else [KINDS[kind]])
    ours = ["compare", *(["torch_ref"] if "torch_ref." in body else [])]
    installed = ["import numpy as np", *(["import torch"] if "torch." in body else [])]
    imports = "\n".join(sorted([*installed, *(f"import {name}" for name in ours)]))
    return _HEAD.format(file=file, imports=imports) + "\n" + body.lstrip("\n")


def place(name: str) -> Path:
    """Where the file of this name goes.

    Raises
    ------
    InputError
        If it is no name of a file, would hide a module that Python or the file itself imports, or is taken.
    """
    path = Path(name if name.endswith(".py") else f"{name}.py")
    stem = path.name.removesuffix(".py")
    if not re.fullmatch(r"[^\W\d][\w-]*", stem) or name.endswith("/"):
        raise InputError(f"{name!r} is no name for a file of Python; letters, digits and _ do, such as my_layer")
    if stem.split(".")[0] in {*sys.stdlib_module_names, "compare", "manual", "numpy", "torch", "torch_ref"}:
        raise InputError(f"a file {path.name} would hide the module {stem} from every file beside it; try my_{stem}")
    if keyword.iskeyword(stem):
        raise InputError(f"{stem!r} is a word of Python's own, which no file can be imported by; try my_{stem}")
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
    if path.exists() or path.is_symlink():
        raise InputError(f"{path} is there already, and is left as it is; choose another name, or remove it first")
    return path
