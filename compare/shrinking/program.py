"""A setup as Python: the text that a written test holds, and that is run to judge an attempt.

What is walked is what is written; only the numbers are handed over as arrays while the search goes on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from compare.batches import MicroBatch
from compare.shrinking.literals import UnwritableError, literal, value_text
from compare.shrinking.setup import Made, Setup, counted, joined

__all__ = ["data_text", "program_text", "sides_of"]

Factory = Callable[[], Any]


def sides_of(setup: Setup) -> tuple[Factory, Factory, list[list[MicroBatch]]]:
    """The factories of the manual side and of PyTorch's, and the steps."""
    namespace: dict[str, Any] = {"INITIAL": setup.initial, **_callables(setup)}
    imports, text = program_text(setup, qualified=False)
    exec(compile("\n".join(imports) + "\n" + text, "<minimal case>", "exec"), namespace)
    return namespace["actual"], namespace["expected"], setup.weighed


def program_text(setup: Setup, qualified: bool = True) -> tuple[list[str], str]:
    """Lines of imports, and the definitions of ``actual`` and ``expected`` on top of ``INITIAL``.

    ``qualified`` imports the functions among the options (the rate of a ``LambdaLR``) from where they are defined.
    """
    imports = ["import manual", "import torch"]
    if setup.classic:
        body = _course_model(setup)
        imports += ["import manual.classic", "import torch_ref.classic", "from functools import partial"]
        imports += ["from compare.experiments.pairs import Recipe, classic_pair"]
    else:
        body = _network(setup)
        imports += ["from compare.experiments.pairs import Recipe, module_pair"]
    imports += ["from compare.experiment import Setting"]
    if setup.kind != "Recipe":
        imports += [f"from compare.faults.scenes import {setup.kind}"]
    if "np." in body:
        imports += ["import numpy as np"]
    if qualified:
        for name, function in _callables(setup).items():
            imports.append(_import_of(name, function))
    return imports, body


def data_text(setup: Setup) -> str:
    """The numbers: ``INITIAL`` and ``STEPS``."""
    parts = [f"INITIAL = {literal(setup.initial)}"]
    weigh = ", counted" if counted(setup.loss) else ""
    cuts = {}
    for number, step in enumerate(setup.distinct, 1):
        label = "" if len(setup.distinct) == 1 else f"_{number}"
        x, y = joined(step)
        parts += [f"X{label} = {literal(x)}", f"Y{label} = {literal(y)}"]
        cuts[id(step)] = f"cut(X{label}, Y{label}, {[len(batch.y) for batch in step]}{weigh})"
    if counted(setup.loss) and setup.loss is not None:
        parts.append(_counted_text(setup.loss))
    walked = [cuts[id(step)] for step in setup.steps]
    many = f" * {len(walked)}" if len(walked) > 1 else ""
    one = len(cuts) == 1
    parts.append(f"STEPS = [{walked[0]}]{many}" if one else "STEPS = [\n    " + ",\n    ".join(walked) + ",\n]")
    return "\n".join(parts)


def _counted_text(loss: Made) -> str:
    ignored, weight = loss.options.get("ignore_index", -100), loss.options.get("weight")
    kept = f"y[y != {ignored}]"
    count = f"{kept}.size" if weight is None else f"{literal(weight)}[{kept}].sum()"
    return f"\n\ndef counted(y):\n    return float({count})\n\n"


def _network(setup: Setup) -> str:
    layers = "".join(
        f"        {_module(layer.made)}{'.eval()' if layer.evaluating else ''},\n" for layer in setup.layers
    )
    assert setup.loss is not None
    lines = [
        "def model(wing):",
        '    """The network of either wing."""',
        f"    return wing.nn.Sequential(\n{layers}    )",
        "",
        "",
        "def loss(wing):",
        f"    return {_module(setup.loss)}",
        "",
        "",
        "actual, expected = module_pair(",
        "    lambda: model(manual),",
        "    lambda: model(torch),",
        "    lambda: loss(manual),",
        "    lambda: loss(torch),",
        f"    {_recipe(setup)},",
        f'    Setting("{setup.dtype}"),',
        "    initial=INITIAL,",
        ")",
    ]
    return "\n".join(lines) + "\n"


def _module(made: Made) -> str:
    parts = []
    for name, value in made.options.items():
        text = literal(value) if isinstance(value, np.ndarray) else value_text(value)
        if isinstance(value, np.ndarray):
            text = f"{text} if wing is manual else torch.tensor({text})"
        parts.append(f"{name}={text}")
    return f"wing.nn.{made.name}({', '.join(parts)})"


_MAGNITUDES = "lambda output, target: 2 * (output.abs() + target.reshape(output.shape).abs())"
_SUBTRACTED = {"LinearRegression": _MAGNITUDES, "LinearSVM": "lambda output, target: 1 + output.abs()"}


def _course_model(setup: Setup) -> str:
    (layer,) = setup.layers
    name = layer.made.name
    options = ", ".join(f"{key}={value_text(value)}" for key, value in layer.made.options.items())
    half_squares = layer.made.options.get("cost") == "half_squares"
    more = f"subtracted={_SUBTRACTED[name]}" if name in _SUBTRACTED else "of_logits=True"
    more = f"subtracted={_MAGNITUDES}" if half_squares else more
    lines = [
        "actual, expected = classic_pair(",
        f"    partial(manual.classic.{name}, {options}, dtype=np.{setup.dtype}),",
        f"    partial(torch_ref.classic.{name}, {options}, dtype=torch.{setup.dtype}),",
        f"    {_recipe(setup)},",
        f'    Setting("{setup.dtype}"),',
        "    initial=INITIAL,",
        f"    {more},",
        ")",
    ]
    return "\n".join(lines) + "\n"


def _recipe(setup: Setup) -> str:
    parts = [_pair(setup.optimizer)]
    if setup.schedule is not None or setup.vectors is not None:
        parts.append(_pair(setup.schedule) if setup.schedule is not None else "None")
    if setup.vectors is not None:
        parts.append(value_text(dict(setup.vectors)))
    if setup.max_norm is not None:
        parts.append(f"max_norm={setup.max_norm!r}")
    return f"{setup.kind}({', '.join(parts)})"


def _pair(made: Made) -> str:
    return f"({value_text(made.name)}, {value_text(dict(made.options))})"


def _callables(setup: Setup) -> Mapping[str, Any]:
    """The functions among the options, by the names under which the text calls them."""
    found: dict[str, Any] = {}

    def look(value: Any) -> None:
        if isinstance(value, Mapping):
            for item in value.values():
                look(item)
        elif isinstance(value, (tuple, list)):
            for item in value:
                look(item)
        elif callable(value):
            found[value.__name__] = value

    look([setup.optimizer.options, setup.schedule.options if setup.schedule else {}, setup.vectors or {}])
    return found


def _import_of(name: str, function: Any) -> str:
    home = inspect.getmodule(function)
    if home is None or getattr(home, name, None) is not function:
        raise UnwritableError(f"the function {name} cannot be imported from anywhere")
    return f"from {home.__name__} import {name}"
