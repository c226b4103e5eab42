"""One random experiment as plain data, with a one-line form that reproduces it.

The line lists the fields that differ from their defaults, ``seed=5,hidden=8/3,activations=ReLU/Softplus:2.0``. Fields
are parted by commas, the items of a list by slashes; a class with its options is ``SGD:lr=0.1:momentum=0.9``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from compare.batches import InputError

__all__ = ["Call", "Case", "call_of", "text_of_call"]


class Call(NamedTuple):
    """A class or function by name, and what it is given."""

    name: str
    positional: tuple[Any, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A random honest experiment. The defaults are the simplest one; shrinking moves towards them.

    Attributes
    ----------
    seed : seeds data, targets, initial values and dropout masks
    model : ``MLP``, or a class of ``manual.classic`` with its options (``LinearSVM:C=0.1``)
    dtype, sync : as in lockstep
    inputs, hidden, outputs : widths
    activations : one per hidden layer; ``PReLU:width`` has a weight per channel
    bias : whether linear layers have one
    output : a module after the last layer
    dropout : probability, after every activation
    tied : hidden layers of equal shape share the whole ``module``, or the ``weight``
    frozen : ``first`` (layer) or ``biases`` get no gradient
    loss : with its options; ``weight=random`` and ``pos_weight=random`` are drawn from the seed
    targets : ``random``; ``soft`` (between 0 and 1); ``probabilities`` instead of classes; ``near`` what the model
        answers at first
    penalty : ``l1:0.1`` or ``l2:0.1``, on the weights
    optimizer, schedule : classes with options
    groups : biases are a parameter group of their own, with half the rate and no decay
    clip : ``norm:1.0``, ``norm:1.0:inf`` or ``value:0.1``
    steps, parts : number of steps, rows of each micro-batch of a step
    fresh : every step has rows of its own
    time : the length of an axis between rows and features; 0 for none
    scale, columns, offset : of the inputs; factors of the columns spread over ``columns`` decades, means ``offset``
        times the scale
    special : ``zeros``, ``zero-rows``, ``duplicates``, ``constant``, ``integers``, or ``grid`` (inputs and initial
        values are halves, so that sums are exact and land on kinks)
    gain : factor of the initial values
    """

    seed: int = 0
    model: str = "MLP"
    dtype: str = "float64"
    sync: str = "free"
    inputs: int = 3
    hidden: tuple[int, ...] = ()
    activations: tuple[str, ...] = ()
    outputs: int = 2
    bias: bool = True
    output: str = ""
    dropout: float = 0.0
    tied: str = ""
    frozen: str = ""
    loss: str = "MSELoss"
    targets: str = "random"
    penalty: str = ""
    optimizer: str = "SGD:lr=0.1"
    groups: bool = False
    schedule: str = ""
    clip: str = ""
    steps: int = 1
    parts: tuple[int, ...] = (4,)
    fresh: bool = False
    time: int = 0
    scale: float = 1.0
    columns: float = 0.0
    offset: float = 0.0
    special: str = ""
    gain: float = 1.0

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise InputError(f"this is no case: {problem}")

    @property
    def rows(self) -> int:
        """The rows of one step's batch."""
        return sum(self.parts)

    @property
    def text(self) -> str:
        """The one-line form; :meth:`parse` reads it back."""
        return ",".join(
            f"{field.name}={_text(getattr(self, field.name)).removesuffix('/')}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        )

    @property
    def command(self) -> str:
        """The command that reproduces the case."""
        return f"gradlock fuzz --replay '{self.text}'"

    @classmethod
    def parse(cls, text: str) -> Case:
        """Read the one-line form.

        Raises
        ------
        InputError
            If a field is unknown, given twice or has a value of another kind, or the fields do not fit each other.
        """
        known = {field.name: field for field in fields(cls)}
        values: dict[str, Any] = {}
        for part in text.split(",") if text.strip() else []:
            name, equals, value = part.strip().partition("=")
            if not equals or name not in known:
                raise InputError(f"{part.strip()!r} is no field=value of a case; fields are {', '.join(known)}")
            if name in values:
                raise InputError(f"{name} is given twice")
            values[name] = _read(name, value, known[name].default)
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """The case for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Case:
        """The case that :meth:`as_dict` wrote."""
        read: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        return cls(**read)


def call_of(text: str) -> Call:
    """Read ``Name:1:option=2`` as a name, positional arguments and options.

    Examples
    --------
    >>> call_of("Adam:lr=0.1:betas=0.9/0.99")
    Call(name='Adam', positional=(), options={'lr': 0.1, 'betas': (0.9, 0.99)})
    """
    name, *parts = text.split(":")
    options = dict(part.split("=", 1) for part in parts if "=" in part)
    positional = tuple(_value(part) for part in parts if "=" not in part)
    return Call(name, positional, {option: _value(value) for option, value in options.items()})


def text_of_call(name: str, *positional: Any, **options: Any) -> str:
    """Write what :func:`call_of` reads."""
    return ":".join([name, *map(_text, positional), *(f"{option}={_text(value)}" for option, value in options.items())])


def _value(text: str) -> Any:
    if "/" in text:
        return tuple(_value(part) for part in text.split("/") if part)
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "/".join(map(_text, value)) + ("/" if len(value) == 1 else "")
    return str(value)


def _read(name: str, text: str, default: Any) -> Any:
    """A field's value, of the kind of its default."""
    value = _value(text)
    if isinstance(default, str):
        return text
    if isinstance(default, tuple):
        items = tuple(part for part in text.split("/") if part)
        if name == "activations":
            return items
        value = tuple(_value(item) for item in items)
        fits = all(type(item) is int for item in value)
        wanted = "whole numbers parted by slashes"
    elif isinstance(default, bool):
        fits, wanted = isinstance(value, bool), "True or False"
    elif isinstance(default, int):
        fits, wanted = type(value) is int, "a whole number"
    else:
        fits, wanted = type(value) in (int, float), "a number"
        value = float(value) if fits else value
    if not fits:
        raise InputError(f"{name} is {text!r}; it must be {wanted}")
    return value


_WORDS = {
    "dtype": ("float64", "float32"),
    "sync": ("free", "step", "module"),
    "tied": ("", "module", "weight"),
    "frozen": ("", "first", "biases"),
    "targets": ("random", "soft", "probabilities", "near"),
    "special": ("", "zeros", "zero-rows", "duplicates", "constant", "integers", "grid"),
}


def _problem(case: Case) -> str:
    """What does not fit, in a few words; empty if all does."""
    for name, words in _WORDS.items():
        if getattr(case, name) not in words:
            return f"{name} is {getattr(case, name)!r}; it is one of {', '.join(map(repr, words))}"
    if len(case.activations) != len(case.hidden):
        return f"{len(case.hidden)} hidden layers need as many activations, not {len(case.activations)}"
    if min((case.inputs, case.outputs, case.steps, len(case.parts), *case.parts, *case.hidden)) < 1:
        return "inputs, outputs, steps, parts and hidden must be at least 1"
    if case.seed < 0 or case.time < 0:
        return "seed and time must be at least 0"
    if not 0 <= case.dropout < 1:
        return f"dropout is {case.dropout}; it must be at least 0 and less than 1"
    if case.model != "MLP" and (case.hidden or case.time):
        return "only an MLP has hidden or time"
    if case.frozen == "first" and not case.hidden:
        return "the first layer can be frozen only where another follows"
    return ""
