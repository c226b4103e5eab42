"""Pooling as functions, each for one, two and three dimensions made from one definition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from manual import random, rules
from manual.nn.functional.pooling_examples import EXAMPLES
from manual.tensor import Tensor, apply, as_array

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

_AXES = {1: "L", 2: "H, W", 3: "D, H, W"}
_COUNTS = {1: "one int", 2: "two ints", 3: "three ints"}

_DOCSTRING = """See :func:`manual.rules.{rule}`. A number stands for one in each of the axes.

Shapes: input ``(N, C, {axes})`` or ``(C, {axes})``; the value the same, with other lengths in the place of ``{axes}``.

Raises
------
TypeError
    If a length is no integer.
RuntimeError
    If the shape or the lengths do not fit.
ValueError
    If an ``output_size`` or ratio is missing or out of reach.

Examples
--------
"""


def _named(function: Any, name: str, rule: Any) -> Any:
    function.__name__ = function.__qualname__ = name
    axes = _AXES[next(int(letter) for letter in name if letter.isdigit())]
    function.__doc__ = _DOCSTRING.format(rule=rule.__name__, axes=axes) + EXAMPLES[name].strip()
    return function


def _lengths(name: str, argument: str, value: Any, dimensions: int, omitted: str = "") -> tuple[int, ...]:
    """One length per dimension, from one for all or one for each.

    Raises
    ------
    TypeError
        If a length is no integer.
    RuntimeError
        If there are more or fewer.
    """
    several = isinstance(value, (Sequence, np.ndarray))
    found = tuple(value) if several else (value,)
    for item in found:
        if not hasattr(item, "__index__"):
            raise TypeError(f"{name}(): argument '{argument}' must be tuple of ints, not {type(item).__name__}")
    if len(found) == 1:
        return found * dimensions
    if len(found) != dimensions:
        if dimensions == 1:
            raise RuntimeError(f"{name}() argument '{argument}' should contain one int (got {len(found)})")
        raise RuntimeError(
            f"{name}: {argument} must either be {omitted}a single int, or a tuple of {_COUNTS[dimensions]}"
        )
    return found


def _strides(name: str, stride: Any, dimensions: int) -> tuple[int, ...] | None:
    """The strides; ``None`` or nothing means the kernel size."""
    if stride is None or (isinstance(stride, Sequence) and not len(stride)):
        return None
    return _lengths(name, "stride", stride, dimensions, "omitted, ")


def _max_pool(dimensions: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    name = f"max_pool{dimensions}d"

    def max_pool(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        return apply(
            rules.max_pool,
            input,
            kernel_size=_lengths(name, "kernel_size", kernel_size, dimensions),
            stride=_strides(name, stride, dimensions),
            padding=_lengths(name, "padding", padding, dimensions),
            dilation=_lengths(name, "dilation", dilation, dimensions),
            ceil_mode=ceil_mode,
            return_indices=return_indices,
        )

    def with_indices(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        return max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices=True)

    return _named(max_pool, name, rules.max_pool), _named(with_indices, f"{name}_with_indices", rules.max_pool)


max_pool1d, max_pool1d_with_indices = _max_pool(1)
max_pool2d, max_pool2d_with_indices = _max_pool(2)
max_pool3d, max_pool3d_with_indices = _max_pool(3)


def _avg_pool(dimensions: int) -> Callable[..., Tensor]:
    name = f"avg_pool{dimensions}d"

    def avg_pool(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        result: Tensor = apply(
            rules.avg_pool,
            input,
            kernel_size=_lengths(name, "kernel_size", kernel_size, dimensions),
            stride=_strides(name, stride, dimensions),
            padding=_lengths(name, "padding", padding, dimensions),
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad,
            divisor_override=divisor_override,
        )
        return result

    return _named(avg_pool, name, rules.avg_pool)


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """See :func:`manual.rules.avg_pool`.

    Shapes: input ``(N, C, L)`` or ``(C, L)``; the value the same, with as many elements as there are windows.

    Raises
    ------
    TypeError
        If a length is no integer.
    RuntimeError
        If the shape or the lengths do not fit.

    Examples
    --------
    >>> F.avg_pool1d(tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    Tensor([[2., 1.]])
    """
    return _avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


_avg_pool1d = _avg_pool(1)
avg_pool2d = _avg_pool(2)
avg_pool3d = _avg_pool(3)


def _lp_pool(dimensions: int) -> Callable[..., Tensor]:
    name = f"lp_pool{dimensions}d"

    def lp_pool(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
        result: Tensor = apply(
            rules.lp_pool,
            input,
            norm_type=norm_type,
            kernel_size=_lengths(name, "kernel_size", kernel_size, dimensions),
            stride=_strides(name, stride, dimensions),
            ceil_mode=ceil_mode,
        )
        return result

    return _named(lp_pool, name, rules.lp_pool)


lp_pool1d = _lp_pool(1)
lp_pool2d = _lp_pool(2)
lp_pool3d = _lp_pool(3)


# -- adaptive ----------------------------------------------------------------------------------------------------------


def _counts(name: str, output_size: Any, input: Any, dimensions: int) -> tuple[int, ...]:
    """How many windows there are along each axis; ``None`` means as many as there are elements.

    Raises
    ------
    TypeError
        If one is no integer.
    RuntimeError
        If there are more or fewer than axes.
    """
    several = isinstance(output_size, (Sequence, np.ndarray))
    found = tuple(output_size) if several else (output_size,) * dimensions
    if len(found) != dimensions:
        raise RuntimeError(f"{name}: output_size must be {dimensions} (got {len(found)})")
    shape = as_array(input).shape[-dimensions:]
    if several and dimensions > 1 and len(shape) == dimensions:
        found = tuple(length if count is None else count for count, length in zip(found, shape, strict=True))
    for count in found:
        if not hasattr(count, "__index__"):
            raise TypeError(
                f"{name}(): argument 'output_size' (position 2) must be tuple of ints, not {type(count).__name__}"
            )
    return found


def _adaptive_avg_pool(dimensions: int) -> Callable[..., Tensor]:
    name = f"adaptive_avg_pool{dimensions}d"

    def adaptive_avg_pool(input: Any, output_size: Any) -> Tensor:
        result: Tensor = apply(
            rules.adaptive_avg_pool, input, output_size=_counts(name, output_size, input, dimensions)
        )
        return result

    return _named(adaptive_avg_pool, name, rules.adaptive_avg_pool)


adaptive_avg_pool1d = _adaptive_avg_pool(1)
adaptive_avg_pool2d = _adaptive_avg_pool(2)
adaptive_avg_pool3d = _adaptive_avg_pool(3)


def _adaptive_max_pool(dimensions: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    name = f"adaptive_max_pool{dimensions}d"

    def adaptive_max_pool(input: Any, output_size: Any, return_indices: bool = False) -> Any:
        counts = _counts(name, output_size, input, dimensions)
        return apply(rules.adaptive_max_pool, input, output_size=counts, return_indices=return_indices)

    def with_indices(input: Any, output_size: Any, return_indices: bool = False) -> Any:
        return adaptive_max_pool(input, output_size, return_indices=True)

    rule = rules.adaptive_max_pool
    return _named(adaptive_max_pool, name, rule), _named(with_indices, f"{name}_with_indices", rule)


adaptive_max_pool1d, adaptive_max_pool1d_with_indices = _adaptive_max_pool(1)
adaptive_max_pool2d, adaptive_max_pool2d_with_indices = _adaptive_max_pool(2)
adaptive_max_pool3d, adaptive_max_pool3d_with_indices = _adaptive_max_pool(3)


# -- fractional --------------------------------------------------------------------------------------------------------


def _fractional_max_pool(dimensions: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    name = f"fractional_max_pool{dimensions}d"

    def fractional_max_pool(
        input: Any,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> Any:
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
        array = as_array(input)
        if output_size is None:
            ratios = output_ratio if isinstance(output_ratio, Sequence) else (output_ratio,) * dimensions
            if len(ratios) != dimensions:
                raise ValueError(f"{name} requires output_ratio to either be a single Int or tuple of Ints.")
            lengths = array.shape[-dimensions:]
            output_size = tuple(int(length * ratio) for length, ratio in zip(lengths, ratios, strict=True))
        if _random_samples is None:
            batch = array.shape[0] if array.ndim == dimensions + 2 else 1
            channels = array.shape[-dimensions - 1] if array.ndim > dimensions else 1
            samples = random.uniform((batch, channels, dimensions)).astype(array.dtype)
        else:
            samples = as_array(_random_samples)
            if samples.dtype != array.dtype:
                raise RuntimeError("Expect _random_samples to have the same dtype as input")
        return apply(
            rules.fractional_max_pool,
            input,
            kernel_size=_lengths(name, "kernel_size", kernel_size, dimensions),
            output_size=_lengths(name, "output_size", output_size, dimensions),
            random_samples=samples,
            return_indices=return_indices,
        )

    def with_indices(
        input: Any,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> Any:
        return fractional_max_pool(input, kernel_size, output_size, output_ratio, True, _random_samples)

    rule = rules.fractional_max_pool
    return _named(fractional_max_pool, name, rule), _named(with_indices, f"{name}_with_indices", rule)


fractional_max_pool2d, fractional_max_pool2d_with_indices = _fractional_max_pool(2)
fractional_max_pool3d, fractional_max_pool3d_with_indices = _fractional_max_pool(3)


# -- unpooling ---------------------------------------------------------------------------------------------------------


def _max_unpool(dimensions: int) -> Callable[..., Tensor]:
    name = f"max_unpool{dimensions}d"

    def max_unpool(
        input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
    ) -> Tensor:
        reach = _lengths(name, "kernel_size", kernel_size, dimensions)
        step = reach if stride is None else _lengths(name, "stride", stride, dimensions)
        pad = _lengths(name, "padding", padding, dimensions)
        if min(step) <= 0:
            raise RuntimeError(f"strides should be greater than zero, but got stride: {list(step)}")
        lengths = as_array(input).shape[-dimensions:]
        sizes = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(lengths, step, reach, pad, strict=False)]
        result: Tensor = apply(
            rules.max_unpool,
            input,
            indices=as_array(indices),
            output_size=_unpooled(tuple(sizes), step, output_size) if len(sizes) == dimensions else (0,) * dimensions,
        )
        return result

    return _named(max_unpool, name, rules.max_unpool)


def _unpooled(sizes: tuple[int, ...], stride: tuple[int, ...], output_size: Any) -> tuple[int, ...]:
    """The sizes to unpool to: the smallest that fit, or those that are asked for, where a pooling yields the input."""
    if output_size is None:
        return sizes
    wanted = tuple(int(size) for size in output_size)
    dimensions = len(sizes)
    if len(wanted) == dimensions + 2:
        wanted = wanted[2:]
    if len(wanted) != dimensions:
        raise ValueError(
            f"output_size should be a sequence containing {dimensions} or {dimensions + 2} elements, but it has a "
            f"length of '{len(wanted)}'"
        )
    for axis, (size, least, step) in enumerate(zip(wanted, sizes, stride, strict=True)):
        if not least - step < size < least + step:
            raise ValueError(
                f'invalid output_size "{wanted}" (dim {axis} must be between {least - step} and {least + step})'
            )
    return wanted


max_unpool1d = _max_unpool(1)
max_unpool2d = _max_unpool(2)
max_unpool3d = _max_unpool(3)
