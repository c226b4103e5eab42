"""Module and Parameter: a tree of named parameters, buffers and children, as ``torch.nn`` has it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from manual.rules.core import Array
from manual.tensor import DEFAULT_DTYPE, Tensor, as_array

__all__ = ["Buffer", "Module", "Parameter"]


class Parameter(Tensor):
    """A tensor that a module owns and an optimizer updates.

    Shapes: any; ``grad`` is ``None`` or has the same.

    Parameters
    ----------
    data : array_like, optional
        Its initial value, kept as it is where it is an ndarray; empty by default.
    requires_grad : bool
        ``False`` freezes it.

    Raises
    ------
    RuntimeError
        If it shall require a gradient and its dtype is not floating.

    Examples
    --------
    >>> weight = nn.Parameter(tensor([1.0, 2.0]))
    >>> (weight * weight).backward(tensor([3.0, 5.0]))
    >>> weight.grad
    array([ 6., 20.], dtype=float32)
    """

    __slots__ = ()

    def __init__(self, data: Any = None, requires_grad: bool = True):
        if data is None:
            data = np.empty(0, DEFAULT_DTYPE)
        super().__init__(data.data if isinstance(data, Tensor) else data, requires_grad=requires_grad)


class Buffer(np.ndarray):
    """An array that is registered as a buffer where it is assigned to a module's attribute.

    It views its data, where these are an array; the module keeps it as a plain array.

    Shapes: any. Raises nothing of its own.

    Parameters
    ----------
    data : array_like, optional
        Its initial value; empty by default.
    persistent : bool
        ``False`` keeps it out of ``state_dict``.

    Examples
    --------
    >>> class Count(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.seen = nn.Buffer(tensor([0.0]))
    >>> Count().state_dict()["seen"], list(Count().parameters())
    (array([0.], dtype=float32), [])
    """

    persistent: bool

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Self:
        array = np.empty(0, DEFAULT_DTYPE) if data is None else np.asarray(as_array(data))
        buffer = array.view(cls)
        buffer.persistent = persistent
        return buffer

    def __array_finalize__(self, source: Any) -> None:
        self.persistent = getattr(source, "persistent", True)


class Module:
    """The base of every layer, loss and model.

    Assigning a :class:`Parameter`, a :class:`Buffer` or a :class:`Module` to an attribute registers it under that name;
    ``forward`` is what a subclass writes. Names, order and ``state_dict`` keys are those of ``torch.nn.Module``.

    Shapes: what its ``forward`` takes and returns.

    Raises
    ------
    NotImplementedError
        When it is called, if there is no ``forward``.
    AttributeError
        If a parameter or a module is assigned before ``super().__init__()`` was called.

    Examples
    --------
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = nn.Parameter(tensor([2.0]))
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> scale = Scale()
    >>> scale(tensor([3.0, 4.0])).backward(tensor([1.0, 10.0]))
    >>> {name: parameter.grad for name, parameter in scale.named_parameters()}
    {'factor': array([43.], dtype=float32)}
    """

    training: bool

    def __init__(self) -> None:
        state = self.__dict__
        state["training"] = True
        state["_parameters"] = {}
        state["_buffers"] = {}
        state["_modules"] = {}
        state["_non_persistent"] = set()
        state["_forward_pre_hooks"] = OrderedDict()
        state["_forward_hooks"] = OrderedDict()

    # -- attributes ------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        state = self.__dict__
        if isinstance(value, (Buffer, Parameter, Module)) and "_parameters" not in state:
            raise AttributeError(f"call super().__init__() before assigning {name!r}")
        tables = ("_parameters", "_buffers", "_modules")
        if isinstance(value, Parameter):
            self._forget(name, but="_parameters")
            state["_parameters"][name] = value
        elif isinstance(value, Module):
            self._forget(name, but="_modules")
            state["_modules"][name] = value
        elif isinstance(value, Buffer):
            self._forget(name, but="_buffers")
            self.register_buffer(name, value.view(np.ndarray), value.persistent)
        else:
            for table in tables:
                if name in state.get(table, ()):
                    if table == "_buffers":
                        value = value.data if isinstance(value, Tensor) else value
                    elif value is not None:
                        kind = "parameter" if table == "_parameters" else "child module"
                        raise TypeError(f"cannot assign {type(value).__name__} as {kind} {name!r}")
                    state[table][name] = value
                    return
            state[name] = value

    def __getattr__(self, name: str) -> Any:
        state = self.__dict__
        for table in ("_parameters", "_modules", "_buffers"):
            if name in state.get(table, ()):
                return state[table][name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        if name in self.__dict__:
            del self.__dict__[name]
        elif not self._forget(name):
            raise AttributeError(name)

    def _forget(self, name: str, but: str = "") -> bool:
        """Take a name out of every table but one, in which it keeps its place when it is assigned again."""
        state = self.__dict__
        tables = [state[t] for t in ("_parameters", "_buffers", "_modules") if t != but]
        found = [table.pop(name) for table in tables if name in table]
        return bool(found) or state.pop(name, None) is not None

    def _check_name(self, name: Any, kind: str, table: str) -> None:
        """Refuse a name under which nothing can be registered, with torch's messages.

        Raises
        ------
        TypeError
            If it is no string.
        KeyError
            If it is empty, has a dot, or is that of something else.
        """
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if hasattr(self, name) and name not in self.__dict__[table]:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."' + (f", got: {name}" if kind == "module" else ""))
        if not name:
            raise KeyError(f'{kind} name can\'t be empty string ""')

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Register a parameter, or ``None`` where this instance has none (``bias=False``)."""
        self._check_name(name, "parameter", "_parameters")
        self._forget(name, but="_parameters")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Array | None, persistent: bool = True) -> None:
        """Register an array that is state but no parameter; ``persistent=False`` keeps it out of ``state_dict``."""
        self._check_name(name, "buffer", "_buffers")
        self._forget(name, but="_buffers")
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent.discard(name)
        else:
            self._non_persistent.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Register a child under a name; ``None`` keeps the place."""
        self._check_name(name, "module", "_modules")
        self._forget(name, but="_modules")
        self._modules[name] = module

    add_module = register_module

    # -- the call --------------------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = self.__dict__
        if state["_forward_pre_hooks"] or state["_forward_hooks"]:
            return self._hooked_call(args, kwargs)
        return self.forward(*args, **kwargs)

    def _hooked_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook in tuple(self._forward_pre_hooks.values()):
            replaced = hook(self, args, kwargs)
            if replaced is not None:
                args, kwargs = replaced
        output = self.forward(*args, **kwargs)
        for hook in tuple(self._forward_hooks.values()):
            replaced = hook(self, args, kwargs, output)
            if replaced is not None:
                output = replaced
        return output

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Callable[[], None]:
        """Call ``hook(module, args)`` before ``forward``; what it returns takes the arguments' place.

        With ``with_kwargs`` the hook gets and returns ``(args, kwargs)``. Returns a function that removes the hook.
        """

        def call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if with_kwargs:
                return hook(module, args, kwargs)
            replaced = hook(module, args)
            if replaced is None:
                return None
            return (replaced if isinstance(replaced, tuple) else (replaced,)), kwargs

        return _add_hook(self._forward_pre_hooks, call, prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Callable[[], None]:
        """Call ``hook(module, args, output)`` after ``forward``; what it returns takes the output's place.

        With ``with_kwargs`` the hook gets ``(module, args, kwargs, output)``. Returns a function that removes the hook.
        """

        def call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            return hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)

        return _add_hook(self._forward_hooks, call, prepend)

    # -- the tree --------------------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct children with their names, each once."""
        for name, module in self._modules.items():
            if module is not None:
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct children, each once."""
        for _, module in self.named_children():
            yield module

    def named_modules(self, memo: set[int] | None = None, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Every module of the tree with its path, this one first (path ``""``), each object once."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        memo.add(id(self))
        yield prefix, self
        for name, module in self.named_children():
            yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as ``"blocks.0.linear"``."""
        module = self
        for part in target.split(".") if target else ():
            child = module._modules.get(part)
            if child is None:
                raise AttributeError(f"{type(module).__name__} has no attribute `{part}`")
            module = child
        return module

    def _named(self, table: str, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix=prefix) if recurse else [(prefix, self)]:
            for name, value in getattr(module, table).items():
                if value is not None and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its path; a tied parameter once, under its first name."""
        return self._named("_parameters", prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once; with ``recurse=False`` only its own."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Array]]:
        """All buffers with their paths."""
        return self._named("_buffers", prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Array]:
        """All buffers; with ``recurse=False`` only its own."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # -- state -----------------------------------------------------------------------------------------------------

    def state_dict(self, prefix: str = "") -> dict[str, Array]:
        """Every parameter and persistent buffer by path, as arrays that view this module's own."""
        state: dict[str, Array] = {}
        for name, parameter in self._parameters.items():
            if parameter is not None:
                state[prefix + name] = parameter.data
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent:
                state[prefix + name] = buffer
        for name, module in self.named_children():
            state.update(module.state_dict(f"{prefix}{name}."))
        return state

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> tuple[list[str], list[str]]:
        """Copy values into this module's own arrays.

        Returns
        -------
        The missing and the unexpected keys.

        Raises
        ------
        RuntimeError
            For shapes that do not fit and, if ``strict``, for missing or unexpected keys. Nothing is copied then.
        """
        for path, module in self.named_modules():
            module._before_loading(state_dict, f"{path}." if path else "")
        own = self.state_dict()
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        problems = []
        if strict and unexpected:
            problems.append("Unexpected key(s) in state_dict: " + ", ".join(f'"{name}"' for name in unexpected))
        if strict and missing:
            problems.append("Missing key(s) in state_dict: " + ", ".join(f'"{name}"' for name in missing))
        values = {name: as_array(state_dict[name]) for name in own if name in state_dict}
        problems += [
            f"size mismatch for {name}: copying a param with shape {values[name].shape} from checkpoint, "
            f"the shape in current model is {own[name].shape}"
            for name in own
            if name in values and values[name].shape != own[name].shape
        ]
        if problems:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t" + "\n\t".join(problems))
        for name, value in values.items():
            own[name][...] = value
        return missing, unexpected

    def _before_loading(self, state_dict: Mapping[str, Any], prefix: str) -> None:
        """What a subclass does before its values (``state_dict[prefix + name]``) are replaced; nothing here."""

    def train(self, mode: bool = True) -> Self:
        """Set training (or, with ``False``, evaluation) mode in the whole tree."""
        for module in self.modules():
            module.__dict__["training"] = bool(mode)
        return self

    def eval(self) -> Self:
        """Switch to evaluation, and return the module."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze or thaw every parameter, and return the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Take the gradient of every parameter away, or set it to zero."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.fill(0)

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call ``function`` on every module of the tree, children first."""
        for module in self.children():
            module.apply(function)
        function(self)
        return self

    def to(self, dtype: Any) -> Self:
        """Cast every floating parameter and buffer (to new arrays: make optimizers afterwards)."""
        for module in self.modules():
            for parameter in module._parameters.values():
                if parameter is not None and parameter.data.dtype.kind == "f":
                    parameter.data = parameter.data.astype(dtype, copy=False)
                    parameter.grad = None
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.dtype.kind == "f":
                    module._buffers[name] = buffer.astype(dtype, copy=False)
        return self

    def float(self) -> Self:
        """Bring floating parameters and buffers to float32, and return the module."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Bring floating parameters and buffers to float64, and return the module."""
        return self.to(np.float64)

    def extra_repr(self) -> str:
        """The arguments to show in ``repr``."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        children = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self._modules.items()]
        if not children and len(extra) < 2:
            return f"{type(self).__name__}({''.join(extra)})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(extra + children) + "\n)"


def _add_hook(hooks: OrderedDict[object, Any], call: Any, prepend: bool) -> Callable[[], None]:
    key = object()
    hooks[key] = call
    if prepend:
        hooks.move_to_end(key, last=False)
    return lambda: hooks.pop(key, None)
