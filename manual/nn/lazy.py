"""Modules that learn some of their shapes from the first input that they see.

How a lazy module is written, with torch's names::

    class LazyScale(LazyModuleMixin, Scale):
        cls_to_become = Scale                                 # the class after the first call; may be left out

        def __init__(self, device=None, dtype=None):
            super().__init__(0)                               # whatever Scale needs, with sizes of 0
            self.weight = UninitializedParameter(dtype=dtype)
            self.register_buffer("seen", UninitializedBuffer(dtype=dtype))

        def initialize_parameters(self, input):               # gets what ``forward`` is called with
            if self.has_uninitialized_params():
                self.weight.materialize(input.shape[1:])      # becomes a Parameter, in place
                self.seen = self.seen.materialize(input.shape[1:])  # an ndarray cannot: assign it back
                self.reset_parameters()

The first call runs ``initialize_parameters``, demands that nothing is left uninitialized, and turns the module into an
ordinary ``cls_to_become``. Loading a ``state_dict`` gives uninitialized values the shapes that it has; the first call
then only changes the class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manual.nn.module import Module, Parameter
from manual.rules.core import Array
from manual.tensor import DEFAULT_DTYPE, as_array

__all__ = ["UninitializedBuffer", "UninitializedParameter"]

_NO_SHAPE = (
    "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in `load_state_dict` "
    "when trying to load an uninitialized parameter into an initialized one. Call `forward` to initialize the "
    "parameters before accessing their attributes."
)


class UninitializedBuffer(np.ndarray):
    """A buffer whose shape is not known yet: an array without elements that refuses to be computed with.

    ``device``, ``requires_grad`` and ``persistent`` are accepted as torch's are and mean nothing here.

    Shapes: none until ``materialize(shape)`` gives it one.

    Raises
    ------
    ValueError
        If it is computed with before.

    Examples
    --------
    >>> buffer = nn.UninitializedBuffer()
    >>> buffer.size
    0
    """

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True
    ) -> UninitializedBuffer:
        return np.empty(0, DEFAULT_DTYPE if dtype is None else dtype).view(cls)

    def materialize(self, shape: Sequence[int], device: Any = None, dtype: Any = None) -> Array:
        """Make the buffer that takes its place, of this dtype; its values are arbitrary."""
        return np.empty(tuple(shape), self.dtype if dtype is None else dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        raise ValueError(
            f"Attempted to use an uninitialized parameter in {ufunc.__name__}. Call the lazy module with a dummy batch "
            "first, so that it learns its shapes."
        )

    def __repr__(self) -> str:
        return "<UninitializedBuffer>"


class UninitializedParameter(Parameter):
    """A parameter whose shape is not known yet; ``data`` is an :class:`UninitializedBuffer`.

    Shapes: none until ``materialize(shape)`` gives it one.

    Raises
    ------
    RuntimeError
        If its shape is asked for before.

    Examples
    --------
    >>> weight = nn.UninitializedParameter()
    >>> weight.materialize((2, 3))
    >>> tuple(weight.shape)
    (2, 3)
    """

    __slots__ = ()

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(np.empty(0, DEFAULT_DTYPE if dtype is None else dtype), requires_grad=requires_grad)
        self.data = UninitializedBuffer(dtype=dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Refused until ``materialize`` gives it one."""
        raise RuntimeError(_NO_SHAPE)

    def materialize(self, shape: Sequence[int], device: Any = None, dtype: Any = None) -> None:
        """Become a :class:`Parameter` of this shape, and of the dtype that it had; its values are arbitrary."""
        self.data = np.empty(tuple(shape), self.data.dtype if dtype is None else dtype)
        self.__class__ = Parameter  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "<UninitializedParameter>"


class LazyModuleMixin(Module):
    """What makes a module lazy; it comes before the ordinary class among the bases. See the head of this file.

    Attributes
    ----------
    cls_to_become : type or None
        The class of the module once its shapes are known; ``None`` keeps the lazy class.
    """

    cls_to_become: type[Module] | None = None

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give every uninitialized value the shape that these arguments of ``forward`` ask for."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of this module, not of its children, has no shape yet."""
        return any(
            isinstance(value, (UninitializedParameter, UninitializedBuffer))
            for table in (self._parameters, self._buffers)
            for value in table.values()
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = self.__dict__
        if not state.get("_inferred"):
            self.initialize_parameters(*args, **kwargs)
            if self.has_uninitialized_params():
                raise RuntimeError(f"module {type(self).__name__} has not been fully initialized")
            if self.cls_to_become is not None:
                object.__setattr__(self, "__class__", self.cls_to_become)  # no attribute of the module
            else:
                state["_inferred"] = True
        return Module.__call__(self, *args, **kwargs)

    def _before_loading(self, state_dict: Mapping[str, Any], prefix: str) -> None:
        for name, parameter in self._parameters.items():
            value = state_dict.get(prefix + name)
            if isinstance(parameter, UninitializedParameter) and _has_shape(value):
                parameter.materialize(as_array(value).shape)
        for name, buffer in self._buffers.items():
            value = state_dict.get(prefix + name)
            if isinstance(buffer, UninitializedBuffer) and _has_shape(value):
                self._buffers[name] = buffer.materialize(as_array(value).shape)


def _has_shape(value: Any) -> bool:
    return value is not None and not isinstance(value, (UninitializedBuffer, UninitializedParameter))
