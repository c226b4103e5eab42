"""Central differences of a loss rule in the highest precision that NumPy has."""

import numpy as np

STEP = float(np.finfo(np.longdouble).eps) ** (1 / 3)


def derivative(function, arrays, place, direction, seed):
    """How ``sum(seed * function(*arrays))`` changes along a direction of one array, measured."""

    def along(step):
        moved = list(arrays)
        moved[place] = moved[place] + direction * step
        return np.sum(seed * function(*moved))

    return (along(STEP) - along(-STEP)) / (2 * STEP)


def assert_derivatives(function, arrays, gradients, seed):
    """Each gradient that is not ``None`` against the measured derivative, along two directions."""
    generator = np.random.default_rng(7)
    compared = 0
    for place, gradient in enumerate(gradients):
        if gradient is None:
            continue
        assert gradient.dtype == np.longdouble
        for _ in range(2):
            direction = generator.standard_normal(arrays[place].shape).astype(np.longdouble)
            measured = derivative(function, arrays, place, direction, seed)
            claimed = np.sum(gradient * direction)
            scale = np.sum(np.abs(gradient * direction))
            assert abs(measured - claimed) <= 1e-9 * scale, f"input {place}: measured {measured}, claimed {claimed}"
            compared += 1
    assert compared
