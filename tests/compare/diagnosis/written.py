"""A training step written out in NumPy, of which every line can be spoiled, and PyTorch's twin of it."""

from collections import OrderedDict
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

import numpy as np
import torch

import torch_ref.training
from compare.batches import cut
from compare.diagnosis import diagnose
from compare.diagnosis.diagnose import causes_of
from compare.diagnosis.evidence import Evidence, Recording
from compare.lockstep import lockstep, walk
from compare.measured import Measured

SHAPES = {"hidden.weight": (5, 3), "hidden.bias": (5,), "output.weight": (4, 5), "output.bias": (4,)}
DECAY = 0.02
SHOWN = ("forward", "backward", "deposit")


def initial(dtype=np.float64, seed=5):
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}


def batches(dtype=np.float64, sizes=(6, 4), steps=3, seed=7):
    generator = np.random.default_rng(seed)
    rows = sum(sizes)
    x, y = generator.standard_normal((rows, 3)).astype(dtype), generator.standard_normal((rows, 4)).astype(dtype)
    return [cut(x, y, list(sizes))] * steps


class Written:
    """Two linear layers with a tanh between them, mean squared error, an optional L2 penalty, momentum.

    ``lines`` maps the name of a value to ``spoil(value, names)``, where ``names`` is a dict of all values before it;
    ``shown`` are the optional phases that the side shows.
    """

    def __init__(self, lines=None, *, shown=SHOWN, dtype=np.float64, decay=0.0, mean=True):
        self.parameters = initial(dtype)
        self.lines, self.shown, self.decay, self.mean = lines or {}, shown, decay, mean
        self.gradients = dict.fromkeys(SHAPES)
        self.buffers_of_momentum = {}
        self.learning_rate = 0.1

    def zero_grad(self):
        self.gradients = dict.fromkeys(SHAPES)

    def accumulate(self, micro_batch, weight):
        (x, y), p = micro_batch, self.parameters
        names = {"x": x, "y": y, **p}

        def line(name, value):
            names[name] = self.lines[name](value, names) if name in self.lines else value
            return names[name]

        z = line("z", x @ p["hidden.weight"].T + p["hidden.bias"])
        a = line("a", np.tanh(z))
        out = line("out", a @ p["output.weight"].T + p["output.bias"])
        residual = out - y
        count = residual.size if self.mean else 1
        data = line("data", np.sum(residual**2) / count)
        penalty = self.decay / 2 * sum(float(np.sum(v**2)) for k, v in p.items() if k.endswith("weight"))
        g = line("g", 2 * residual / count)
        ga = line("ga", g @ p["output.weight"])
        gz = line("gz", ga * (1 - a**2))
        gradients = {
            "hidden.weight": line("dw", gz.T @ x),
            "hidden.bias": line("db", gz.sum(0)),
            "output.weight": line("dv", g.T @ a),
            "output.bias": line("dc", g.sum(0)),
        }
        gradients = line("gradients", gradients)
        deposits = {}
        for name, gradient in gradients.items():
            share = self.decay * p[name] if name.endswith("weight") and self.decay else 0
            deposits[name] = None if gradient is None else weight * (gradient + share)
        for name, deposit in deposits.items():
            held = self.gradients[name]
            self.gradients[name] = deposit if held is None else held + deposit
        if "forward" in self.shown:
            steps = {"hidden": z, "act": a, "output": out, "": out}
            self.activations = {(name, 0, "output"): value for name, value in steps.items()}
            self.inputs = {(name, 0, "input"): v for name, v in {"": x, "hidden": x, "act": z, "output": a}.items()}
        if "backward" in self.shown:
            self.activation_gradients = {
                ("loss", 0, "input"): g,
                ("output", 0, "output"): g,
                ("output", 0, "input"): ga,
                ("act", 0, "output"): ga,
                ("act", 0, "input"): gz,
                ("hidden", 0, "output"): gz,
            }
        if "deposit" in self.shown:
            self.deposits = deposits
        return {"data": data, "denominator": float(residual.size), "penalty": penalty, "total": data + penalty}

    def load_state(self, state):
        self.parameters = {name: np.array(value) for name, value in state["parameters"].items()}
        self.buffers_of_momentum = {name: np.array(slots["momentum_buffer"]) for name, slots in state["slots"].items()}

    def step(self):
        for name, gradient in self.gradients.items():
            held = self.buffers_of_momentum.get(name)
            held = gradient if held is None else 0.9 * held + gradient
            self.buffers_of_momentum[name] = held
            update = self.learning_rate * held
            if "update" in self.lines:
                update = self.lines["update"](update, {"name": name, "parameter": self.parameters[name]})
            self.parameters[name] = self.parameters[name] - update


def twin(dtype=np.float64, decay=0.0, mean=True):
    """The reference."""
    module = torch.nn.Sequential(
        OrderedDict(hidden=torch.nn.Linear(3, 5), act=torch.nn.Tanh(), output=torch.nn.Linear(5, 4))
    )
    module.to(getattr(torch, np.dtype(dtype).name))
    module.load_state_dict({name: torch.from_numpy(value) for name, value in initial(dtype).items()})
    penalty = None
    if decay:
        penalty = partial(_penalty, decay)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    loss = torch.nn.MSELoss(reduction="mean" if mean else "sum")
    return torch_ref.training.Side(module, optimizer, loss, penalty=penalty)


def _penalty(decay, named):
    return decay / 2 * sum((value**2).sum() for name, value in named.items() if name.endswith("weight"))


def walked(lines, *, dtype=np.float64, shown=SHOWN, decay=0.0, mean=True, sync="free", **options):
    """The verdict on a step with spoiled lines."""
    return lockstep(
        lambda: Written(lines, shown=shown, dtype=dtype, decay=decay, mean=mean),
        lambda: twin(dtype, decay, mean),
        batches(dtype, **options),
        sync=sync,
    )


def looked_into(make_actual, make_expected, steps, sync="free", tolerance=None):
    """The evidence on the first divergence of a walk."""
    first = lockstep(make_actual, make_expected, steps, sync=sync, tolerance=tolerance, diagnose=False).first_divergence
    recording = Recording(max(1, first.checkpoint.step))
    judge = Measured(make_expected, steps, np.result_type(*make_expected().parameters.values()))
    walk(make_actual(), make_expected(), steps, sync=sync, tolerance=tolerance or judge, observer=recording)
    return Evidence(first.checkpoint, first.culprit, recording, make_actual, make_expected, sync)


def evidence(lines, *, dtype=np.float64, shown=SHOWN, decay=0.0, mean=True, sync="free", **options):
    """The evidence on the first divergence of a step with spoiled lines."""
    return looked_into(
        lambda: Written(lines, shown=shown, dtype=dtype, decay=decay, mean=mean),
        lambda: twin(dtype, decay, mean),
        batches(dtype, **options),
        sync,
    )


@contextmanager
def only(*families):
    """Let the diagnosis ask some families alone."""
    with patch.object(diagnose, "causes_of", lambda found, notes: causes_of(found, notes, families)):
        yield


def asked(found, *families):
    """The best cause that some families alone find."""
    notes = []
    best = causes_of(found, notes, families)[0]
    assert not notes
    return best
