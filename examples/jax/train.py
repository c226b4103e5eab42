"""A training loop in JAX that records what it does: ``python examples/jax/train.py run [--bug]``.

The network of the example in C, in float32, with kernels of shape (in, out) and names as Flax has them; gradients by
``jax.grad``, momentum by hand. ``compare_with_torch.py`` holds the trace against PyTorch.
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare import TraceWriter

ROWS, SIZES, STEPS, RATE, MOMENTUM = 12, (8, 4), 6, 0.1, 0.9
Parameters = dict[str, jax.Array]


def data() -> tuple[np.ndarray, np.ndarray]:
    """Rows and classes, the same wherever this is run."""
    generator = np.random.default_rng(0)
    return generator.standard_normal((ROWS, 4)).astype(np.float32), np.arange(ROWS) % 3


def initial() -> Parameters:
    """Small numbers to start from."""
    generator = np.random.default_rng(1)
    shapes = {"hidden/kernel": (4, 8), "hidden/bias": (8,), "output/kernel": (8, 3), "output/bias": (3,)}
    return {name: jnp.asarray(generator.uniform(-0.5, 0.5, shape), jnp.float32) for name, shape in shapes.items()}


def forward(parameters: Parameters, x: jax.Array) -> dict[str, jax.Array]:
    """The outputs of the layers."""
    hidden = x @ parameters["hidden/kernel"] + parameters["hidden/bias"]
    activation = jnp.tanh(hidden)
    output = activation @ parameters["output/kernel"] + parameters["output/bias"]
    return {"hidden": hidden, "activation": activation, "output": output}


def mean_loss(parameters: Parameters, x: jax.Array, y: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Cross entropy, and the outputs of the layers."""
    outputs = forward(parameters, x)
    surprise = -jax.nn.log_softmax(outputs["output"])[jnp.arange(len(y)), y]
    return surprise.mean(), outputs


def train(folder: str, *, bug: bool = False) -> None:
    """Train, and record. With the bug the rate is taken into the momentum buffer."""
    x, y = data()
    parameters, rate = initial(), RATE
    buffers: Parameters = {name: jnp.zeros_like(value) for name, value in parameters.items()}
    gradient_of = jax.jit(jax.value_and_grad(mean_loss, has_aux=True))
    with TraceWriter(folder, dtype="float32", producer="examples/jax/train.py") as trace:

        def add(step: int, micro_batch: int | None, phase: str, values: dict[str, Any], **options: str) -> None:
            for name, value in values.items():
                trace.add(step, micro_batch, phase, name, value, **options)

        add(0, None, "init", parameters)
        for step in range(1, STEPS + 1):
            gradients = {name: jnp.zeros_like(value) for name, value in parameters.items()}
            ends = np.cumsum(SIZES)
            for part, (size, end) in enumerate(zip(SIZES, ends, strict=True), 1):
                rows = slice(end - size, end)
                (loss, outputs), own = gradient_of(parameters, x[rows], y[rows])
                gradients = {name: gradients[name] + own[name] * (size / ROWS) for name in own}
                trace.weight(step, part, size / ROWS)
                add(step, part, "forward", outputs)
                add(step, part, "loss", {"data": loss})
                add(step, part, "accumulated", gradients)
            before = parameters
            scale = rate if bug else 1.0
            buffers = {name: MOMENTUM * buffers[name] + scale * gradients[name] for name in buffers}
            parameters = {name: value - rate / scale * buffers[name] for name, value in parameters.items()}
            rate = rate if step % 3 else rate / 2
            add(step, None, "slots", buffers, output="momentum_buffer")
            add(step, None, "update", {name: parameters[name] - before[name] for name in parameters})
            add(step, None, "parameter", parameters)
            add(step, None, "schedule", {"group 0": rate})


if __name__ == "__main__":
    train(sys.argv[1], bug="--bug" in sys.argv[2:])
