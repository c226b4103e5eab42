"""Mistakes about which parameters move, how often, and with whose state."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from compare.faults import scenes
from compare.faults.collecting import Faults
from compare.faults.planting import Planting
from manual.nn import Module
from manual.optim import SGD, Adam, AdamW, Optimizer
from manual.rules.core import Array

__all__ = ["FAULTS"]

FAULTS = Faults()


@FAULTS.add(
    "norm-and-bias-decayed",
    "the filter by name misses the norm's scale and the biases, and they decay too",
    cause="penalty on the bias",
    phase="update",
    step=1,
    scene=scenes.with_layer_norm(),
    source="huggingface/transformers#16908",
)
def norm_and_bias_decayed(plant: Planting) -> None:
    def update(right: Any, optimizer: Any, parameter: Array, gradient: Array, slots: Any, group: Any) -> None:
        decay = optimizer.param_groups[0]["weight_decay"]
        right(optimizer, parameter, gradient, slots, {**group, "weight_decay": decay})

    plant.replace(AdamW, "update", update)


@FAULTS.add(
    "none-taken-as-zero",
    "a parameter without gradient is updated as if its gradient were zero, and decays",
    cause="None taken as zero",
    phase="update",
    step=1,
    scene=scenes.spare("SGD", weight_decay=0.5),
    source="KellerJordan/Muon#54",
)
def none_taken_as_zero(plant: Planting) -> None:
    def step(right: Any, optimizer: Any, closure: Any = None) -> Any:
        missing = [p for group in optimizer.param_groups for p in group["params"] if p.grad is None]
        for parameter in missing:
            parameter.grad = np.zeros_like(parameter.data)
        loss = right(optimizer, closure)
        for parameter in missing:
            parameter.grad = None
        return loss

    plant.replace(Optimizer, "step", step)


@FAULTS.add(
    "stopped-at-a-parameter-without-gradient",
    "the loop over the parameters ends at the first one that has no gradient",
    cause="parameter left out",
    phase="update",
    step=1,
    scene=scenes.spare("SGD"),
)
def stopped_at_none(plant: Planting) -> None:
    def step(right: Any, optimizer: Any, closure: Any = None) -> Any:
        optimizer._opt_called = True
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    return
                optimizer.update_alone(parameter, group)

    plant.replace(Optimizer, "step", step)


@FAULTS.add(
    "non-contiguous-parameter-updated-in-a-copy",
    "the kernel flattens its parameter, which copies one that is stored by columns, and updates the copy",
    cause="parameter left out",
    phase="update",
    step=1,
    scene=scenes.network(fortran=True),
    source="pytorch/pytorch#118115",
)
def updated_in_a_copy(plant: Planting) -> None:
    def update_alone(right: Any, optimizer: Any, tensor: Any, group: Any) -> None:
        flat = tensor.data.reshape(-1)
        flat -= group["lr"] * tensor.grad.reshape(-1)

    plant.replace(SGD, "update_alone", update_alone)


@FAULTS.add(
    "shared-weight-listed-twice",
    "a tied weight is handed to the optimizer once for each layer that uses it",
    cause="updated twice",
    phase="update",
    step=1,
    scene=scenes.tagger(tied=True),
    source="pytorch/pytorch#40967",
)
def listed_twice(plant: Planting) -> None:
    def init(right: Any, optimizer: Any, params: Any, *arguments: Any, **options: Any) -> None:
        listed = list(params)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it says just that
            right(optimizer, [*listed, listed[0]], *arguments, **options)

    plant.replace(SGD, "__init__", init)


@FAULTS.add(
    "slots-keyed-by-a-local-name",
    "the moments are kept by a name that two layers share",
    cause="slots shared",
    phase="slots",
    step=1,
    scene=scenes.network("Adam", sizes=(9, 9, 9, 10), eps=1e-2),
    source="ddbourgin/numpy-ml#96",
)
def keyed_by_a_local_name(plant: Planting) -> None:
    first: dict[Any, Any] = {}

    def update_alone(right: Any, optimizer: Any, tensor: Any, group: Any) -> None:
        owner = first.setdefault(tensor.shape, tensor)  # the hidden layers have names, and shapes, in common
        if owner is not tensor:
            optimizer.state[tensor] = optimizer.state[owner]
        right(optimizer, tensor, group)

    plant.replace(Adam, "bundled", lambda right, optimizer, group: False)
    plant.replace(Adam, "update_alone", update_alone)


def _to_bfloat16(values: Array) -> Array:
    """Round to the nearest bfloat16, the half to even."""
    bits = values.astype(np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded & np.uint32(0xFFFF0000)).view(np.float32).astype(values.dtype)


@FAULTS.add(
    "parameters-kept-in-bfloat16",
    "the parameters are stored in bfloat16 without a finer copy, and small updates are rounded away",
    cause="lower precision",
    phase="update",
    step=1,
    scene=scenes.network(rounded=True, lr=0.01),
    source="speculators#765",
)
def kept_in_bfloat16(plant: Planting) -> None:
    def step(right: Any, optimizer: Any, closure: Any = None) -> Any:
        loss = right(optimizer, closure)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.data[...] = _to_bfloat16(parameter.data)
        return loss

    plant.replace(Optimizer, "step", step)


@FAULTS.add(
    "checkpoint-loaded-transposed",
    "a square weight is loaded from a framework that stores it the other way round",
    cause="transposed",
    phase="init",
    step=0,
    scene=scenes.network(sizes=(9, 5, 5, 10)),
)
def loaded_transposed(plant: Planting) -> None:
    def load(right: Any, module: Any, state_dict: Any, strict: bool = True) -> Any:
        turned = {
            name: value.T if np.ndim(value) == 2 and value.shape[0] == value.shape[1] else value
            for name, value in state_dict.items()
        }
        return right(module, turned, strict)

    plant.replace(Module, "load_state_dict", load)
