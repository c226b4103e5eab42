"""What every optimizer shares: parameter groups, state, and how a step reaches each parameter."""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, ClassVar

import numpy as np

from manual.engine import enable_grad
from manual.optim.bundles import BLOCK, Bundles, Scratch, checked_gradient, update_in_blocks
from manual.rules.core import Array
from manual.sparse_rows import SparseRows
from manual.tensor import Tensor

__all__ = ["Optimizer", "Rate", "at_least_zero", "check_learning_rate"]

Rate = float | Array | Tensor
"""A learning rate: a number, or an array of one element."""


class Optimizer:
    """Base of all optimizers. A subclass names its slots and writes out one update.

    Shapes: parameters of any shape, and gradients of their parameter's; a parameter without gradient is skipped.

    Parameters
    ----------
    params : iterable of tensors, of ``(name, tensor)`` pairs, or of dicts
        A dict is a parameter group: ``params`` beside options of its own.
    defaults : dict
        The options of groups that do not set them.

    Attributes
    ----------
    param_groups : list of dicts
    state : dict
        Maps each parameter to its *slots*, a dict of arrays under torch's names.
    defaults : dict

    Notes
    -----
    A parameter whose ``grad`` is ``None`` is skipped: no slot is made or decays and no step is counted. A gradient of
    zeros is a gradient. Parameters are changed in place, gradients are only read.

    A learning rate may be an array or Tensor of one element: it is kept, so that a rate which is changed in place takes
    effect, and read as a Python number at every step. Other options become Python numbers when they are set.

    A subclass overrides ``new_slots``, ``update`` and where needed ``advance``, ``conclude`` and ``bundled``; one that
    takes row-sparse gradients (:class:`~manual.sparse_rows.SparseRows`) also ``check_kinds`` and ``update_rows``. One
    that needs the shape of a parameter sets ``elementwise = False``, and overrides ``slot_shape`` where its slots have
    another; one that is no map of single parameters overrides ``step``.

    Raises
    ------
    TypeError
        If ``params`` is a tensor, or a group is not a dict of tensors.
    ValueError
        If there is no parameter, one is not a leaf, or one appears in two groups.

    Examples
    --------
    >>> class Sign(optim.Optimizer):
    ...     def update(self, parameter, gradient, slots, group):
    ...         parameter -= group["lr"] * np.sign(gradient)
    >>> weight = nn.Parameter(tensor([1.0, -2.0]))
    >>> sign = Sign([weight], {"lr": 0.5})
    >>> weight.backward(tensor([2.0, -40.0]))
    >>> sign.step()
    >>> weight.data
    array([ 0.5, -1.5], dtype=float32)
    """

    elementwise: ClassVar[bool] = True
    """Whether each element is updated by itself, so that arrays may be cut and joined at will."""

    scalar_slots: ClassVar[tuple[str, ...]] = ()
    """The slots that hold one number for the whole parameter, as 0-d arrays."""

    sparse_refusal: ClassVar[str] = "{} does not support sparse gradients"
    """What is said to a row-sparse gradient, with the name of the optimizer, unless ``check_kinds`` lets it pass."""

    _bundling = True

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]):
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {type(params).__name__}"
            )
        self.defaults = {name: _plain(name, value) for name, value in defaults.items()}
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._set_up()
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _set_up(self) -> None:
        self.scratch = Scratch()
        self._bundles: list[Bundles] = [Bundles() for _ in self.param_groups]
        self._opt_called = False  # schedulers ask whether a step has been made

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with options of its own where it has them.

        Raises
        ------
        TypeError
            If it is no dict, its parameters are a set, or one of them is no Tensor.
        ValueError
            If a tensor is no leaf, is in another group already, or only some parameters or groups have names.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in "
                "sets will change between runs. Please use a list instead."
            )
        entries = [params] if isinstance(params, Tensor) else list(params)
        names = [entry[0] for entry in entries if isinstance(entry, tuple)]
        tensors = [entry[1] if isinstance(entry, tuple) else entry for entry in entries]
        if names and len(names) != len(tensors):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is {type(tensor).__name__}"
                )
            if not tensor.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")

        group = {**param_group, "params": tensors}
        if names:
            group["param_names"] = names
        for name, default in self.defaults.items():
            group[name] = _plain(name, group.get(name, default))

        listed = {id(tensor) for tensor in tensors}
        if len(listed) < len(tensors):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error",
                stacklevel=3,
            )
        for other in self.param_groups:
            if ("param_names" in group) != ("param_names" in other):
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param group "
                    f"{'with' if 'param_names' in group else 'without'} names to the optimizer"
                )
            if not listed.isdisjoint(id(tensor) for tensor in other["params"]):
                raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)
        self._bundles.append(Bundles())

    # -- what a subclass says ----------------------------------------------------------------------------------------

    def new_slots(self, parameter: Array, group: dict[str, Any]) -> dict[str, Any]:
        """The slots of a parameter before its first step."""
        return {}

    def advance(self, slots: dict[str, Any], group: dict[str, Any]) -> None:
        """Move the scalar slots on by one step, in place, before the update.

        In a bundle they are vectors with one element per parameter: write whatever holds for both.
        """
        if "step" in self.scalar_slots:
            slots["step"] += 1

    def slot_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a slot, bar ``scalar_slots``, for a parameter of a shape."""
        return shape

    def conclude(self, slots: dict[str, Any], group: dict[str, Any]) -> None:
        """Move the scalar slots on in place after the update, where it needs their old values; see ``advance``."""

    def update(self, parameter: Array, gradient: Array, slots: dict[str, Any], group: dict[str, Any]) -> None:
        """Make one step of one parameter, in place on ``parameter`` and on the arrays in ``slots``.

        Parameters
        ----------
        parameter, gradient : arrays of one shape and dtype; ``gradient`` is only read
        slots : arrays of that shape, and the 0-d arrays of ``scalar_slots``. One that is missing may be put in
        group : the options in force
        """
        raise NotImplementedError

    def check_kinds(self, kinds: set[type], group: dict[str, Any]) -> None:
        """Refuse gradients of a kind that this optimizer does not take, before it changes any parameter of the group.

        Parameters
        ----------
        kinds : the types among the gradients: ``ndarray``, ``SparseRows``

        Raises
        ------
        RuntimeError
            In torch's words.
        """
        if SparseRows in kinds:
            raise RuntimeError(self.sparse_refusal.format(type(self).__name__))

    def update_rows(self, parameter: Array, gradient: SparseRows, slots: dict[str, Any], group: dict[str, Any]) -> None:
        """Make one step of a parameter whose gradient has some rows only, as ``update`` does of others."""
        raise NotImplementedError

    def bundled(self, group: dict[str, Any]) -> bool:
        """Whether joining the small parameters of this group is worth the gathering."""
        return True

    # -- one step ----------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Evaluates the model anew and returns the loss, which is handed on.
        """
        self._opt_called = True
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group, bundles in zip(self.param_groups, self._bundles, strict=True):
            tensors = [tensor for tensor in group["params"] if tensor.grad is not None]
            kinds = {type(tensor.grad) for tensor in tensors}
            self.check_kinds(kinds, group)
            if SparseRows in kinds:
                for tensor in tensors:
                    if type(tensor.grad) is SparseRows:
                        self.update_alone(tensor, group)
                tensors = [tensor for tensor in tensors if type(tensor.grad) is not SparseRows]
            if self.elementwise and self._bundling and len(tensors) > 1 and self.bundled(group):
                bundles.step(self, tensors, group)
            else:
                for tensor in tensors:
                    self.update_alone(tensor, group)
        return loss

    def update_alone(self, tensor: Tensor, group: dict[str, Any]) -> None:
        """Make one step of one parameter, in blocks where it is large."""
        parameter, gradient = tensor.data, checked_gradient(tensor)
        found = self.state.get(tensor)
        slots = found or self.new_slots(parameter, group)
        if self.scalar_slots:
            self.advance(slots, group)
        if type(gradient) is SparseRows:
            self.update_rows(parameter, gradient, slots, group)
        elif parameter.size > BLOCK and self.elementwise and self._contiguous(parameter, slots):
            update_in_blocks(self, parameter, gradient, slots, group)
        else:
            self.update(parameter, gradient, slots, group)
        if self.scalar_slots:
            self.conclude(slots, group)
        if slots and not found:
            self.state[tensor] = slots

    def _contiguous(self, parameter: Array, slots: dict[str, Any]) -> bool:
        return parameter.flags.c_contiguous and all(
            slot.flags.c_contiguous for name, slot in slots.items() if name not in self.scalar_slots
        )

    def slots_of(self, tensor: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The slots of a parameter, made now where it has none."""
        slots = self.state[tensor]
        if not slots:
            slots.update(self.new_slots(tensor.data, group))
        return slots

    def descent_gradient(self, parameter: Array, gradient: Array, group: dict[str, Any]) -> Array:
        """The gradient of what is minimised: ``g``, or ``−g`` to maximise, plus ``λ θ`` of an L2 penalty ``λ/2 ‖θ‖²``.

        Where the group's weight decay is decoupled there is no penalty: the update shrinks the parameter itself.

        Returns
        -------
        ``gradient`` itself where there is nothing to do, else a scratch array.

        Convention: the sign is turned before the penalty is added, as in torch, so that weight decay pulls towards zero
        also when maximising.
        """
        decay = group["weight_decay"]
        if decay and not group.get("decoupled_weight_decay"):
            total = np.multiply(parameter, decay, out=self.scratch("gradient", parameter))
            if group["maximize"]:
                total -= gradient
            else:
                total += gradient
            return total
        if group["maximize"]:
            return np.negative(gradient, out=self.scratch("gradient", parameter))
        return gradient

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients, or overwrite them by zeros.

        Parameters
        ----------
        set_to_none : bool
            Dropped gradients make ``step`` skip the parameter until it gets a new one; zeros are a gradient.
        """
        for group in self.param_groups:
            for tensor in group["params"]:
                if set_to_none:
                    tensor.grad = None
                elif tensor.grad is not None:
                    tensor.grad.fill(0)

    # -- state that can be saved ---------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state and the options, with parameters numbered in the order of the groups.

        The arrays are the optimizer's own, as in torch: copy what has to outlive the next step.
        """
        numbers: dict[int, int] = {}
        groups = []
        position = 0
        for group in self.param_groups:
            for tensor in group["params"]:
                numbers.setdefault(id(tensor), position)
                position += 1
            packed = {name: value for name, value in group.items() if name != "params"}
            groups.append({**packed, "params": [numbers[id(tensor)] for tensor in group["params"]]})
        state = {numbers[id(key)] if isinstance(key, Tensor) else key: dict(slots) for key, slots in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state and its options, made here or by torch (anything that NumPy can read as arrays).

        Arrays are copied, and cast to the parameter's dtype, ``step`` excepted.

        Convention: other scalar slots are cast too, as in torch: a number kept in float32 goes on in the parameter's
        dtype after loading.

        Raises
        ------
        ValueError
            If the groups do not fit this optimizer's, or a slot does not have its parameter's shape.
        """
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(new["params"]) != len(old["params"]) for new, old in zip(saved, self.param_groups, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        parameters = dict(
            zip(
                chain.from_iterable(group["params"] for group in saved),
                chain.from_iterable(group["params"] for group in self.param_groups),
                strict=True,
            )
        )
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for number, slots in state_dict["state"].items():
            if number in parameters:
                state[parameters[number]] = self._loaded(slots, parameters[number].data, number)
            else:
                state[number] = slots
        groups = []
        for new, old in zip(saved, self.param_groups, strict=True):
            group = {name: _plain(name, copy.deepcopy(value)) for name, value in new.items() if name != "params"}
            if "param_names" in old:
                group.setdefault("param_names", old["param_names"])
            groups.append({**self.defaults, **group, "params": old["params"]})
        self.__setstate__({"state": state, "param_groups": groups})

    def _loaded(self, slots: dict[str, Any], parameter: Array, number: Any) -> dict[str, Any]:
        loaded = {}
        for name, value in slots.items():
            if value is None:  # a momentum buffer before its first step
                continue
            if name == "step":
                loaded[name] = np.asarray(value, np.float32 if isinstance(value, (int, float)) else None).copy()
                continue
            loaded[name] = np.asarray(value).astype(parameter.dtype, order="C")
            expected = () if name in self.scalar_slots else self.slot_shape(name, parameter.shape)
            if loaded[name].shape != expected:
                raise ValueError(
                    f"loaded state dict has a {name} of shape {loaded[name].shape} for parameter {number}, "
                    f"which has shape {parameter.shape}"
                )
        return loaded

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        called = getattr(self, "_opt_called", False)
        self.__dict__.update(state)
        self._set_up()
        self._opt_called = called

    def __repr__(self) -> str:
        lines = []
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([f"{type(self).__name__} (", *lines, ")"])


def at_least_zero(description: str, value: Any) -> None:
    """Refuse a hyper-parameter that is negative or not a number."""
    if not value >= 0:
        raise ValueError(f"Invalid {description}: {value}")


def check_learning_rate(lr: Rate, message: str = "Invalid learning rate") -> None:
    """Refuse a rate that is negative, not a number, or an array of more or less than one element."""
    if np.asarray(lr.data if isinstance(lr, Tensor) else lr).size != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not lr >= 0:
        raise ValueError(f"{message}: {lr}")


def _plain(name: str, value: Any) -> Any:
    """A Python number for what holds one: ``np.float64(0.1)`` would turn float32 arithmetic into float64.

    An array of one element stays one where it is a rate (``lr``, or a scheduler's ``initial_lr``), as a 0-d view.
    """
    if type(value) in (tuple, list):
        return type(value)(_plain("", item) for item in value)
    if isinstance(value, np.generic):
        return value.item()
    if not hasattr(value, "__array__"):
        return value
    array = np.asarray(value.data if isinstance(value, Tensor) else value)
    if array.size != 1:
        return value
    return array.reshape(()) if name.endswith("lr") else array.item()
