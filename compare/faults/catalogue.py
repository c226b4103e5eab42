"""Every fault and every control by name."""

from __future__ import annotations

from itertools import chain

from compare.faults import (
    accumulation,
    activations,
    adam,
    attention,
    clipping,
    controls,
    convolving,
    course,
    cycles,
    descent,
    kin,
    layer_controls,
    layers,
    lengths,
    losses,
    matrices,
    modules,
    normalising,
    objectives,
    parameters,
    penalties,
    pooling,
    quasi_newton,
    recurrent,
    schedules,
    sequence_controls,
    sequences,
    step_controls,
)
from compare.faults.fault import Control, Fault

__all__ = ["CONTROLS", "FAULTS"]

_PLACES = (
    *(course, penalties, losses, layers, activations, modules, attention),
    *(convolving, normalising, pooling),
    *(recurrent, sequences, objectives),
    *(accumulation, clipping, descent, adam, kin, lengths, matrices, quasi_newton, parameters, schedules, cycles),
)

_REWRITES = (controls, layer_controls, sequence_controls, step_controls)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in chain.from_iterable(place.FAULTS for place in _PLACES)}
"""In the order of a course: models, losses, layers, accumulation, clipping, optimizers, schedules."""

CONTROLS: dict[str, Control] = {
    control.name: control for control in chain.from_iterable(place.CONTROLS for place in _REWRITES)
}
