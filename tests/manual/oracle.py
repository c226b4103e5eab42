"""Hold an op against PyTorch, forward and backward, and against central differences."""

import numpy as np
import torch

import manual

BOUNDS = {"float64": 2e-12, "float32": 2e-5}


def random(*shape, seed=0, low=None, high=None):
    generator = np.random.default_rng([seed, *shape])
    return generator.standard_normal(shape) if low is None else generator.uniform(low, high, shape)


def outputs_of(value):
    return list(value) if isinstance(value, (tuple, list)) else [value]


def assert_close(actual, expected, bound, what):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, what
    assert actual.dtype == expected.dtype, what
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected), err_msg=what)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite], err_msg=what)
    scale = np.max(np.abs(expected[finite]), initial=1e-300)
    gap = np.max(np.abs(actual[finite] - expected[finite]), initial=0.0)
    assert gap <= bound * scale, f"{what}: off by {gap:.3g} on a scale of {scale:.3g}"


def check(ours, theirs, inputs, dtype="float64", constants=(), options=None, factor=1.0):
    """Run both on the same inputs, with a random incoming gradient for every floating output; returns the gradients.

    ``inputs`` need gradients; ``constants`` (integers, masks) follow them and do not.
    """
    options = options or {}
    arrays = [np.asarray(x, dtype) for x in inputs]
    a = [manual.tensor(x, requires_grad=True) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    fixed = [x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in constants]
    actual = outputs_of(ours(*a, *fixed, **options))
    as_torch = [torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in fixed]
    expected = outputs_of(theirs(*b, *as_torch, **options))
    assert len(actual) == len(expected)
    bound = BOUNDS[dtype] * factor
    roots, seeds = [], []
    for index, (mine, reference) in enumerate(zip(actual, expected, strict=True)):
        assert_close(mine.data, reference.detach().numpy(), bound, f"output {index}")
        if reference.requires_grad:
            roots.append((mine, reference))
            seeds.append(random(*reference.shape, seed=11 + index).astype(dtype))
    assert roots
    manual.autograd.backward([mine for mine, _ in roots], seeds)
    torch.autograd.backward([reference for _, reference in roots], [torch.tensor(seed) for seed in seeds])
    for index, (mine, reference) in enumerate(zip(a, b, strict=True)):
        if reference.grad is None:
            assert mine.grad is None or not mine.grad.any()
        else:
            assert_close(mine.grad, reference.grad.numpy(), bound, f"gradient {index}")
    for array, mine in zip(arrays, a, strict=True):
        np.testing.assert_array_equal(array, mine.data, err_msg="an input was written to")
    return [mine.grad for mine in a], seeds


def check_central(ours, inputs, gradients, seeds, constants=(), options=None, step=1e-6):
    """The derivative along a random direction, by central differences, without PyTorch."""
    directions = [random(*np.shape(x), seed=23 + i) for i, x in enumerate(inputs)]

    def along(t):
        with manual.no_grad():
            moved = [manual.tensor(np.asarray(x) + t * d) for x, d in zip(inputs, directions, strict=True)]
            outputs = outputs_of(ours(*moved, *constants, **(options or {})))
            outputs = [output for output in outputs if output.data.dtype.kind == "f"]
            return sum(np.sum(o.data * s) for o, s in zip(outputs, seeds, strict=True))

    numeric = (along(step) - along(-step)) / (2 * step)
    pairs = [(g, d) for g, d in zip(gradients, directions, strict=True) if g is not None]
    analytic = sum(np.sum(g * d) for g, d in pairs)
    scale = sum(np.sum(np.abs(g * d)) for g, d in pairs) + 1e-12
    assert abs(numeric - analytic) <= 1e-6 * scale + 1e-8
