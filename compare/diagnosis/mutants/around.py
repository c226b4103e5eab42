"""What a mutation may know of the run around a site."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compare.diagnosis.mutants.arguments import scalar_of
from compare.diagnosis.mutants.mutation import holding
from compare.diagnosis.mutants.replay import LOSS, Bench
from compare.diagnosis.mutants.sites import Site, Slot

__all__ = ["AFFINE", "Around"]

_POOL = 20
"""The most tensors of one shape that are tried in the place of another."""

AFFINE = ("add", "sub", "reshape", "transpose", "squeeze", "unsqueeze")
_AFFINE_STEPS = 4
"""Between a product and its activation stand such ops only: a bias, another shape."""


class Around:
    """The listed run, asked for what lies beside a site.

    Parameters
    ----------
    bench : Bench
        Its sites have been listed.
    """

    def __init__(self, bench: Bench):
        self.bench = bench
        self.sites = bench.sites
        self._names = bench.names
        self._values: dict[tuple[int, ...], list[tuple[str, Tensor]]] = {}
        self._gradients: dict[tuple[int, ...], list[tuple[str, Site]]] = {}
        self.counts: dict[int, str] = {}
        seen: set[int] = set()
        for site in self.sites:
            for slot in site.slots:
                self._meet(site.tensor(slot), seen)
            if isinstance(site.output, Tensor):
                self._meet(site.output, seen)
                if site.gradient is not None:
                    what = f"the gradient of {self.called(site.output)}"
                    self._gradients.setdefault(tuple(site.gradient.shape), []).append((what, site))

    def _meet(self, tensor: Tensor, seen: set[int]) -> None:
        if id(tensor) in seen:
            return
        seen.add(id(tensor))
        self._values.setdefault(tuple(tensor.shape), []).append((self.called(tensor), tensor))
        if self.parameter(tensor) is None:
            for axis, size in enumerate(tensor.shape):
                self.counts.setdefault(size, "rows" if axis == 0 else f"the size of axis {axis}")
            self.counts.setdefault(tensor.numel(), "elements")

    def parameter(self, tensor: Tensor) -> str | None:
        """The name of a parameter; ``None`` for any other tensor."""
        if not tensor.is_leaf and self.sites.maker(tensor) is not None:
            return None
        return self._names.get(tensor.data_ptr()) if tensor.numel() else None

    def is_view_of_parameter(self, tensor: Tensor) -> bool:
        """Whether a tensor is a parameter turned round or in another shape."""
        maker = self.sites.maker(tensor)
        return (
            maker is not None
            and maker.name in ("transpose", "reshape")
            and self.parameter(maker.tensors[0]) is not None
        )

    def called(self, tensor: Tensor) -> str:
        """What to call a tensor in a sentence."""
        name = self.parameter(tensor)
        if name is not None:
            return name
        maker = self.sites.maker(tensor)
        return "the input" if maker is None else f"the output of {maker.name}"

    def source(self, site: Site, slot: Slot) -> str:
        """What to call an operand of a site."""
        return self.called(site.tensor(slot))

    def values_like(self, site: Site, tensor: Tensor) -> list[tuple[str, Tensor]]:
        """Other tensors of the same shape, those that came up next to a site first."""
        found = [
            (what, value)
            for what, value in self._values.get(tuple(tensor.shape), [])
            if value.dtype == tensor.dtype and value.data_ptr() != tensor.data_ptr()
        ]
        return sorted(found, key=lambda item: self._distance(site, self.sites.maker(item[1])))[:_POOL]

    @staticmethod
    def _distance(site: Site, other: Site | None) -> float:
        """How many calls lie between two sites; what was given, and what lies in another op, counts as near."""
        if other is None or other.path[:-1] != site.path[:-1]:
            return 4.5
        return abs(other.path[-1] - site.path[-1])

    def beside(self, site: Site, tensor: Tensor) -> str:
        """Where a tensor comes from, seen from a site: the same in every round of a loop."""
        maker = self.sites.maker(tensor)
        if maker is None:
            return f"leaf {tensor.data_ptr()}"
        if maker.path[:-1] == site.path[:-1]:
            return f"{maker.path[-1] - site.path[-1]:+d}"
        return str(maker.path)

    def gradients_like(self, site: Site) -> list[tuple[str, Site]]:
        """Sites at whose result another gradient of the same shape arrives, those next to a site first."""
        own = site.gradient
        if own is None:
            return []
        found = [
            (what, other)
            for what, other in self._gradients.get(tuple(own.shape), [])
            if other.gradient is not None and other.gradient.dtype == own.dtype and other is not site
        ]
        return sorted(found, key=lambda item: self._distance(site, item[1]))[:_POOL]

    def scales(self) -> dict[str, float]:
        """What a scale may be made of: the sizes of this run, their roots, and their inverses."""
        found: dict[str, float] = {}
        for size in sorted({size for shape in self._values for size in shape if size > 1}):
            found[f"1/sqrt({size})"] = size**-0.5
            found[f"1/{size}"] = 1 / size
            found[f"sqrt({size})"] = size**0.5
        return found

    def is_count(self, value: float) -> bool:
        """Whether a number is how many of something there are in this run."""
        return value > 1 and value == round(value) and int(value) in self.counts

    @staticmethod
    def is_uniform(gradient: Tensor | None) -> bool:
        """Whether one number arrives everywhere: to leave that out is a matter of a factor."""
        return gradient is None or bool(torch.all(gradient == gradient.reshape(-1)[:1]))

    def is_mask(self, tensor: Any) -> bool:
        """Whether a fixed tensor says what counts: ones and zeros, some of each."""
        if not isinstance(tensor, Tensor) or tensor.requires_grad or tensor.numel() < 2:
            return False
        ones = int((tensor == 1).sum())
        return 0 < ones < tensor.numel() and ones + int((tensor == 0).sum()) == tensor.numel()

    @staticmethod
    def are_counts(tensor: Tensor) -> bool:
        """Whether a fixed tensor says how many of something there are, in each place."""
        return bool(not tensor.requires_grad and ((tensor >= 1) & (tensor == tensor.round())).all())

    def is_variance(self, site: Site) -> bool:
        """Whether a site averages the squares of what was centred, or divides their sum."""
        if not site.slots:
            return False
        maker = self.sites.maker(site.tensor(site.slots[0]))
        if site.name in ("mul", "div"):
            return maker is not None and maker.name == "sum" and self.is_variance(maker)
        if site.name not in ("mean", "sum") or maker is None or maker.name not in ("square", "pow", "mul"):
            return False
        if maker.name == "mul" and len({id(tensor) for tensor in maker.tensors}) != 1:
            return False
        before = self.sites.maker(maker.tensors[0])
        if before is None or before.name != "sub":
            return False
        subtracted = self.sites.maker(before.tensors[-1])
        return subtracted is not None and subtracted.name in ("mean", "div", "mul")

    def is_half(self, site: Site, size: float) -> bool:
        """Whether a scale is the half of squares or of a loss, and says nothing of a width."""
        maker = self.sites.maker(site.tensor(site.slots[0])) if site.slots else None
        of_squares = maker is not None and maker.name in ("square", "pow", "sum", "mean", "mse_loss")
        return size in (0.5, 2.0, 0.25, 4.0) and (of_squares or site.owner == LOSS or not site.output.ndim)

    def is_divided(self, site: Site) -> bool:
        """Whether the result of a sum is divided right away: then the two together are a mean."""
        return any(user.name == "div" and user.args[0] is site.output for user in self.consumers(site))

    def consumers(self, site: Site) -> list[Site]:
        """The sites that a site's result goes into."""
        return self.uses(site.output)

    def uses(self, value: Any) -> list[Site]:
        """The sites that a tensor goes into."""
        value = self.sites.itself(value)
        return [other for other in self.sites if any(self.sites.itself(tensor) is value for tensor in other.tensors)]

    def divisor_of(self, site: Site) -> tuple[float, float] | None:
        """The count by which a constant makes a mean of a sum, and what else is in the constant: 1, or 2 for halves."""
        constant = scalar_of(site.args)
        if not constant or site.name not in ("mul", "div") or not site.slots or not isinstance(site.output, Tensor):
            return None
        maker = self.sites.maker(site.tensor(site.slots[0]))
        if site.output.ndim and (maker is None or maker.name != "sum"):
            return None
        size = abs(constant if site.name == "div" else 1 / constant)
        terms = maker.tensors[0].numel() / site.output.numel() if maker is not None and maker.name == "sum" else None
        for half in (1.0, 2.0):
            count = round(size / half, 9)
            if self.is_count(count) or (terms and count > 1 and abs(count - terms) <= 1):
                return count, half
        return None

    def activation_of(self, site: Site, kinds: frozenset[str]) -> Site | None:
        """The function of one variable that a site's result goes through, a bias or another shape in between."""
        value = site.output
        for _ in range(_AFFINE_STEPS):
            users = self.uses(value)
            found = next((user for user in users if user.name in kinds), None)
            if found is not None:
                return found
            following = next((user for user in users if user.name in AFFINE), None)
            if following is None:
                return None
            value = following.output
        return None

    def counts_for(self, tensor: Tensor, but: float) -> dict[str, float]:
        """Numbers by which somebody might divide when averaging this tensor, by name."""
        found: dict[str, float] = {}
        for axis, size in enumerate(tensor.shape):
            found[f"the size of axis {axis}"] = size
        found["the number of elements"] = tensor.numel()
        if tensor.ndim > 2:
            found["the product of the first two axes"] = math.prod(tensor.shape[:2])
        found["one less"] = but - 1
        found["one more"] = but + 1
        kept: dict[str, float] = {}
        for name, count in found.items():
            if count > 0 and count != but and count not in kept.values():
                kept[name] = float(count)
        return kept

    def other_weights(self, tensor: Tensor) -> list[tuple[str, str, Callable[[], Tensor]]]:
        """A parameter at another time: (cause, in words after its name, what gives the value in the present replay)."""
        name = self.parameter(tensor)
        if name is None:
            return []
        found: list[tuple[str, str, Callable[[], Tensor]]] = []
        evidence, bench = self.bench.evidence, self.bench
        now = evidence.step.state["parameters"]
        after = evidence.by_name("parameter").get(name)
        if after is not None and name in now and not np.array_equal(after.expected, now[name]):
            found.append(
                ("already updated weights", "as this step's update leaves it", lambda: _like(after.expected, tensor))
            )
        for rate in dict.fromkeys(evidence.step.rates):
            for words, weighted in (
                ("its own gradient of this micro-batch", False),
                ("its share of the gradient", True),
            ):

                def moved(rate: float = rate, weighted: bool = weighted) -> Tensor:
                    return _like(now[name] - rate * bench.own_gradient(name, weighted), tensor)

                found.append(("already updated weights", f"after a step of {rate:g} times {words}", moved))
        number = evidence.step.number
        for words, step in (("as it was one step earlier", number - 1), ("as it was before the first step", 1)):
            if 0 < step < number and name in evidence.steps[step - 1].state["parameters"]:
                old = evidence.steps[step - 1].state["parameters"][name]
                if not np.array_equal(old, now[name]):
                    found.append(("stale weights", words, holding(lambda old: _like(old, tensor), old)))
        return found


def _like(value: np.ndarray, tensor: Tensor) -> Tensor:
    return torch.as_tensor(value).to(tensor.dtype).reshape(tensor.shape)
