"""The usual two sides of a built-in experiment: the same model, optimizer and schedule in both wings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

import manual.nn.utils
import manual.optim
import manual.optim.lr_scheduler
import manual.training
import torch_ref.training
from compare.batches import MicroBatch, check_batches, cut
from compare.experiment import Setting

__all__ = ["Recipe", "Reference", "classic_pair", "module_pair", "steps_of"]


class Recipe:
    """Optimizer, schedule and clipping by name, made alike on either side.

    Parameters
    ----------
    optimizer : name of a class in ``torch.optim`` and ``manual.optim``, and its options
    schedule : name of a class in their ``lr_scheduler``, and its options
    max_norm : clip the global norm to this
    """

    def __init__(
        self,
        optimizer: tuple[str, Mapping[str, Any]],
        schedule: tuple[str, Mapping[str, Any]] | None = None,
        max_norm: float | None = None,
    ):
        self.optimizer = optimizer
        self.schedule = schedule
        self.max_norm = max_norm

    def under(self, setting: Setting) -> Recipe:
        """The recipe with the optimizer that the command line asks for, at its defaults but for this one's rate."""
        if setting.optimizer is None:
            return self
        return Recipe((setting.optimizer, {"lr": self.optimizer[1]["lr"]}), self.schedule, self.max_norm)

    def make_optimizer(self, wing: Any, parameters: Any) -> Any:
        name, options = self.optimizer
        return getattr(wing.optim, name)(parameters, **options)

    def make_scheduler(self, wing: Any, optimizer: Any) -> Any:
        if self.schedule is None:
            return None
        name, options = self.schedule
        return getattr(wing.optim.lr_scheduler, name)(optimizer, **options)

    def make_clip(self, wing: Any) -> Any:
        return None if self.max_norm is None else partial(wing.nn.utils.clip_grad_norm_, max_norm=self.max_norm)


@dataclass(frozen=True, eq=False)
class Reference:
    """The factory of a pair's reference, from which can be read what the pair is made of.

    Attributes
    ----------
    make : makes the side
    model : makes the manual wing's model; a ``functools.partial`` of its class for a course model
    recipe : optimizer, schedule and clipping
    """

    make: Callable[[], Any]
    model: Callable[[], Any]
    recipe: Recipe

    def __call__(self) -> Any:
        return self.make()


def steps_of(
    x: Any, y: Any, steps: int, micro_batches: int | Sequence[int], setting: Setting, rows_per_step: int | None = None
) -> list[list[MicroBatch]]:
    """The micro-batches of every step: the whole data each time, or ``rows_per_step`` rows in a shuffled order.

    Raises
    ------
    InputError
        If the data are empty or not finite, or there are more micro-batches than rows.
    """
    count = steps if setting.steps is None else setting.steps
    parts = micro_batches if setting.micro_batches is None else setting.micro_batches
    x = x.astype(setting.numpy_dtype)
    y = y.astype(setting.numpy_dtype) if y.dtype.kind == "f" else y
    check_batches([(x, y)])
    if rows_per_step is None:
        whole = cut(x, y, parts)
        return [whole] * count
    generator = np.random.default_rng(setting.seed)
    order = np.concatenate([generator.permutation(len(y)) for _ in range(-(-count * rows_per_step // len(y)))])
    rows = [order[i * rows_per_step : (i + 1) * rows_per_step] for i in range(count)]
    return [cut(np.ascontiguousarray(x[chosen]), y[chosen], parts) for chosen in rows]


def classic_pair(
    make_manual: Callable[[], Any],
    make_torch: Callable[[], Any],
    recipe: Recipe,
    setting: Setting,
    *,
    subtracted: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    of_logits: bool = False,
    initial: Mapping[str, np.ndarray] | None = None,
    side: Callable[..., Any] = manual.training.ClassicSide,
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Factories of a course model and its PyTorch twin, started from the same values.

    ``subtracted`` and ``of_logits`` say what the loss is a difference of (``torch_ref.training.Side``);
    ``of_logits`` alone stands for cross entropy, whose slope is probability minus target. The initial values are
    ``initial``, or what PyTorch draws with the setting's seed; the manual side copies them.
    """
    recipe = recipe.under(setting)

    def twin() -> Any:
        torch.manual_seed(setting.seed)
        model = make_torch()
        if initial is not None:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(torch.as_tensor(np.asarray(initial[name])))
        return model

    def expected() -> Any:
        model = twin()
        optimizer = recipe.make_optimizer(torch, [p for p in model.parameters() if p.requires_grad])
        return torch_ref.training.Side(
            model,
            optimizer,
            model.loss,
            recipe.make_scheduler(torch, optimizer),
            recipe.make_clip(torch),
            penalty=(lambda named: model.penalty(named.items())) if model.decay else None,
            denominator=lambda output, target: float(len(output)),
            subtracted=(lambda output, target: torch.ones_like(output)) if of_logits else subtracted,
            of_logits=of_logits,
        )

    def actual() -> Any:
        model = make_manual()
        model.load_parameters({name: p.detach().numpy() for name, p in twin().named_parameters()})
        return side(
            model,
            lambda parameters: recipe.make_optimizer(manual, parameters),
            lambda optimizer: recipe.make_scheduler(manual, optimizer),
            recipe.make_clip(manual),
            frozen=model.frozen,
        )

    return actual, Reference(expected, make_manual, recipe)


def module_pair(
    make_manual: Callable[[], Any],
    make_torch: Callable[[], torch.nn.Module],
    manual_loss: Callable[[], Any],
    torch_loss: Callable[[], Any],
    recipe: Recipe,
    setting: Setting,
    *,
    initial: Mapping[str, np.ndarray] | None = None,
    denominator: Callable[[Any, Any], float] | None = None,
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Factories of a ``manual.nn`` model and its ``torch.nn`` twin; the manual side copies PyTorch's initial values.

    ``denominator`` is that of ``torch_ref.training.Side``, for a loss that is none of torch's own.
    """
    recipe = recipe.under(setting)
    dtype = getattr(torch, setting.dtype)

    def twin() -> torch.nn.Module:
        torch.manual_seed(setting.seed)
        module = make_torch().to(dtype)
        if initial is not None:
            module.load_state_dict({name: torch.as_tensor(np.array(value)) for name, value in initial.items()})
        return module

    def expected() -> Any:
        module = twin()
        optimizer = recipe.make_optimizer(torch, module.parameters())
        scheduler = recipe.make_scheduler(torch, optimizer)
        return torch_ref.training.Side(
            module, optimizer, torch_loss(), scheduler, recipe.make_clip(torch), denominator=denominator
        )

    def actual() -> Any:
        module = make_manual().to(setting.numpy_dtype)
        module.load_state_dict({name: value.numpy() for name, value in twin().state_dict().items()})
        optimizer = recipe.make_optimizer(manual, module.parameters())
        scheduler = recipe.make_scheduler(manual, optimizer)
        return manual.training.Side(module, optimizer, manual_loss(), scheduler, recipe.make_clip(manual))

    return actual, Reference(expected, make_manual, recipe)
