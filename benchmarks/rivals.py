"""``python -m benchmarks.rivals``: the fault set judged by what people compare with today.

Both sides of every fault and of every control are run on their own, as somebody would who prints differences at the
end, and their final gradients and parameters are judged

* by ``torch.testing.assert_close`` and ``numpy.testing.assert_allclose`` at their defaults,
* by the means of the tensors, and by their L1 norms, to a relative 1e-5, the figures that training logs show,
* and, where a gradient is what may be wrong, by ``torch.autograd.gradcheck`` at its defaults: the manual side's loss
  and gradient of one micro-batch wrapped in a ``torch.autograd.Function``. It sees whether loss and gradient belong
  together, not whether they are the right ones, and nothing of what happens to a gradient afterwards.

None of them says where or why; that is not counted against them here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from compare.faults.catalogue import CONTROLS, FAULTS
from compare.faults.fault import run_control, run_fault
from compare.threads import threads

__all__ = ["main", "rows"]

Tensors = Mapping[str, np.ndarray]
GRADIENTS = frozenset({"forward", "loss", "backward", "deposit"})


def trained(make: Callable[[], Any], make_expected: Callable[[], Any], steps: Any) -> tuple[Tensors, Tensors]:
    """Run both sides to the end; returns gradients and parameters of each."""
    sides = make(), make_expected()
    for step in steps:
        for side in sides:
            side.zero_grad()
        for micro_batch, weight in step:
            sides[1].accumulate(micro_batch, weight)
            draws = getattr(sides[1], "draws", None)
            if draws and hasattr(sides[0], "replay"):
                sides[0].replay(draws)
            sides[0].accumulate(micro_batch, weight)
        for side in sides:
            side.step()
    actual, expected = (
        {
            **{f"gradient of {name}": value for name, value in side.gradients.items() if value is not None},
            **side.parameters,
        }
        for side in sides
    )
    return actual, expected


def assert_close(actual: np.ndarray, expected: np.ndarray) -> bool:
    try:
        torch.testing.assert_close(torch.from_numpy(np.array(actual)), torch.from_numpy(np.array(expected)))
    except AssertionError:
        return False
    return True


def assert_allclose(actual: np.ndarray, expected: np.ndarray) -> bool:
    try:
        np.testing.assert_allclose(actual, expected)
    except AssertionError:
        return False
    return True


def means(actual: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.isclose(np.mean(actual), np.mean(expected), rtol=1e-5, atol=1e-8, equal_nan=True))


def norms(actual: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.isclose(np.abs(actual).sum(), np.abs(expected).sum(), rtol=1e-5, atol=1e-8, equal_nan=True))


CRITERIA: dict[str, Callable[[np.ndarray, np.ndarray], bool]] = {
    "torch.testing.assert_close": assert_close,
    "numpy.testing.assert_allclose": assert_allclose,
    "means of tensors": means,
    "L1 norms": norms,
}


def agree(criterion: Callable[[np.ndarray, np.ndarray], bool], actual: Tensors, expected: Tensors) -> bool:
    """Whether every tensor of the reference has one that passes; a missing one does not."""
    return all(
        name in actual and actual[name].shape == value.shape and criterion(actual[name], value)
        for name, value in expected.items()
    )


def gradcheck(make: Callable[[], Any], steps: Any) -> bool | None:
    """Whether the manual side's loss and gradient belong together, by gradcheck; ``None`` where it cannot be asked."""
    (micro_batch, _), *_ = steps[0]
    side = make()
    names = [name for name, value in side.gradients.items() if value is None or np.ndim(value)]
    start = [torch.from_numpy(np.array(side.parameters[name])).requires_grad_() for name in names]
    if any(value.dtype != torch.float64 for value in start):
        return None

    class Step(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *values: torch.Tensor) -> torch.Tensor:
            for name, value in zip(names, values, strict=True):
                side.parameters[name][...] = value.detach().numpy()
            for parameter in getattr(side, "_named", {}).values():
                parameter.grad = None
            terms = side.accumulate(micro_batch, 1.0)
            total = terms["total"] if isinstance(terms, Mapping) else terms
            found = side.gradients
            ctx.gradients = [
                torch.zeros_like(value) if found[name] is None else torch.from_numpy(np.array(found[name]))
                for name, value in zip(names, values, strict=True)
            ]
            return torch.tensor(float(total), dtype=torch.float64)

        @staticmethod
        def backward(ctx: Any, incoming: torch.Tensor) -> Any:  # type: ignore[override]
            return tuple(incoming * gradient for gradient in ctx.gradients)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bool(torch.autograd.gradcheck(Step.apply, start, raise_exception=False))
    except Exception:  # dropout draws anew at each call, a loss that is not finite: it cannot be asked
        return None


def rows() -> list[list[Any]]:
    """Rows of judge, faults detected of those it can be asked about, false alarms of the same among the controls."""
    caught: dict[str, list[bool]] = {name: [] for name in ("gradlock", *CRITERIA, "torch.autograd.gradcheck")}
    alarms: dict[str, list[bool]] = {name: [] for name in caught}
    for fault in FAULTS.values():
        caught["gradlock"].append(run_fault(fault, diagnose=False).place_right)
        _judge(fault, caught, fault.phase in GRADIENTS)
    for control in CONTROLS.values():
        alarms["gradlock"].append(not run_control(control, diagnose=False).silent)
        _judge(control, alarms, True)
    return [
        [name, f"{sum(found)} of {len(found)}", f"{sum(alarms[name])} of {len(alarms[name])}"]
        for name, found in caught.items()
    ]


def _judge(planted: Any, judged: dict[str, list[bool]], has_gradient: bool) -> None:
    """Let every criterion judge one fault or control; appends whether it objects."""
    scene = planted.scene
    with np.errstate(all="ignore"):
        try:
            actual, expected = trained(planted.make_actual, scene.make_expected, scene.steps)
        except Exception:  # a fault that raises is seen by anybody
            for name in CRITERIA:
                judged[name].append(True)
        else:
            for name, criterion in CRITERIA.items():
                judged[name].append(not agree(criterion, actual, expected))
        if has_gradient:
            passed = gradcheck(planted.make_actual, scene.steps)
            if passed is not None:
                judged["torch.autograd.gradcheck"].append(not passed)


def main() -> None:
    """Print the table."""
    with threads(1):
        print(tabulate(rows(), ["judge", "faults detected", "false alarms among controls"]))


if __name__ == "__main__":
    main()
