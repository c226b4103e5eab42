"""A side written out in NumPy, of which every line of arithmetic can be spoiled by name."""

import numpy as np


class ToySide:
    """Two linear layers with a tanh between them, mean squared error with an L2 penalty, clipping, momentum, a
    schedule.

    ``fault`` names the line that is wrong; ``from_step`` is the step in which it first is.
    """

    def __init__(self, fault="", from_step=1, seed=0, dtype=np.float64):
        generator = np.random.default_rng(seed)
        shapes = {"hidden.weight": (3, 4), "hidden.bias": (3,), "output.weight": (2, 3), "output.bias": (2,)}
        self.parameters = {name: generator.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
        self.buffers = {"hidden.seen": np.zeros(3, dtype)}
        self.slots = {}
        self.rate = 0.1
        self.decay = 0.01
        self.fault = fault
        self.from_step = from_step
        self.number = 1
        self.grads = dict.fromkeys(shapes)
        self.total_norm = None

    def spoiled(self, fault):
        return self.fault == fault and self.number >= self.from_step

    @property
    def gradients(self):
        return self.grads

    @property
    def learning_rate(self):
        return self.rate

    def zero_grad(self):
        if not self.spoiled("zero_grad left out"):
            self.grads = dict.fromkeys(self.grads)

    def accumulate(self, micro_batch, weight):
        (x, y), p, off = micro_batch, self.parameters, self.spoiled
        rows = len(x)
        z = x @ p["hidden.weight"].T + p["hidden.bias"]
        if off("hidden forward"):
            z = z + 1e-3
        a = np.tanh(z)
        if off("act forward"):
            a = a * 1.001
        out = a @ p["output.weight"].T + p["output.bias"]
        result = out * 1.001 if off("model glue forward") else out
        residual = result - y
        data = np.mean(residual**2) * (1.001 if off("loss forward") else 1)
        penalty = self.decay / 2 * sum(np.sum(v**2) for k, v in p.items() if k.endswith("weight"))
        if off("penalty forward"):
            penalty *= 2
        g = 2 * residual / residual.size
        if off("loss backward"):
            g = 2 * residual / rows
        ga = g @ p["output.weight"]
        if off("output backward"):
            ga = -ga
        gz = ga * (1 - a**2)
        if off("act backward"):
            gz = ga * a**2
        shares = {k: self.decay * v for k, v in p.items() if k.endswith("weight")}
        if off("penalty backward"):
            shares["hidden.weight"] = 2 * shares["hidden.weight"]
        own = {
            "hidden.weight": gz.T @ x,
            "hidden.bias": gz.sum(0),
            "output.weight": g.T @ a,
            "output.bias": g.sum(0),
        }
        if off("hidden deposit"):
            own["hidden.weight"] = own["hidden.weight"] * 1.01
        if off("weight of the micro-batch"):
            weight = 1 / 2
        self.inputs = {("hidden", 0, "input"): x, ("act", 0, "input"): z, ("output", 0, "input"): a}
        self.activations = {
            ("hidden", 0, "output"): z,
            ("act", 0, "output"): a,
            ("output", 0, "output"): out,
            ("", 0, "output"): result,
        }
        self.activation_gradients = {
            ("loss", 0, "input"): g,
            ("", 0, "output"): g,
            ("output", 0, "output"): g,
            ("output", 0, "input"): ga,
            ("act", 0, "output"): ga,
            ("act", 0, "input"): gz,
            ("hidden", 0, "output"): gz,
            **{("penalty", 0, f"input.{name}"): share for name, share in shares.items()},
        }
        self.deposits = {name: weight * (gradient + shares.get(name, 0)) for name, gradient in own.items()}
        for name, deposit in self.deposits.items():
            held = self.grads[name]
            if held is None or off("only the last micro-batch"):
                self.grads[name] = deposit.copy()
            else:
                self.grads[name] = held + deposit
        self.buffers["hidden.seen"] += z.sum(0) * (2 if off("buffer") else 1)
        return {"data": data, "denominator": float(residual.size), "penalty": penalty, "total": data + penalty}

    def step(self):
        off = self.spoiled
        norms = [np.sum(g**2) for g in self.grads.values()]
        norm = float(np.sqrt(sum(norms)))
        self.total_norm = sum(norms) if off("squared norm") else norm
        bound = 1e-2 if off("clip scale") else 0.1
        scale = min(1.0, bound / (norm + 1e-6))
        for name, gradient in self.grads.items():
            gradient = gradient * scale
            self.grads[name] = gradient
            held = self.slots.setdefault(name, {"momentum": np.zeros_like(gradient)})["momentum"]
            held *= 0.9
            held += gradient * (self.rate if off("rate in the buffer") else 1)
            step = self.rate * held
            if off("update sign") and name == "output.bias":
                step = -step
            self.parameters[name] -= step
            if off("parameter") and name == "hidden.bias":
                self.parameters[name] += 1e-3
        self.rate *= 0.4 if off("schedule") else 0.5
        self.number += 1

    def state(self):
        return {
            "parameters": {name: value.copy() for name, value in self.parameters.items()},
            "buffers": {name: value.copy() for name, value in self.buffers.items()},
            "slots": {name: {k: v.copy() for k, v in slots.items()} for name, slots in self.slots.items()},
            "learning_rate": [self.rate],
        }

    def load_state(self, state):
        for name, value in state["parameters"].items():
            self.parameters[name][...] = value
        for name, value in state["buffers"].items():
            self.buffers[name][...] = value
        self.slots = {name: {k: np.array(v) for k, v in slots.items()} for name, slots in state["slots"].items()}
        (self.rate,) = state["learning_rate"]
