"""Numbers and addresses as a page writes them."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["address", "count", "decades", "extent_words", "is_number", "power", "sentence", "value"]

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_ODD = {"inf": "∞", "-inf": "−∞", "nan": "NaN"}


def power(number: Any, digits: int = 2) -> str:
    """A size: plain where that is short, else in powers of ten, with typographic minus and exponents.

    Examples
    --------
    >>> power(8.4e14), power(0.25), power(0), power("inf"), power(None)
    ('8.4 × 10¹⁴', '0.25', '0', '∞', '')
    >>> power(-1.5e-7), power(float("inf")), power(12)
    ('−1.5 × 10⁻⁷', '∞', '12')
    """
    if number is None:
        return ""
    if isinstance(number, str):
        return _ODD.get(number, number)
    if not math.isfinite(number):
        return _ODD[str(float(number))]
    if not number:
        return "0"
    if isinstance(number, int) and abs(number) < 100_000:
        return count(number)
    if 0.01 <= abs(number) < 1000:
        return f"{number:.{max(digits, 3) if abs(number) >= 100 else digits}g}".replace("-", "−")
    mantissa, _, exponent = f"{number:.{digits - 1}e}".partition("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(_RAISED)}".replace("-", "−", 1 if number < 0 else 0)


def value(number: Any, digits: int = 17) -> str:
    """A value of a tensor with enough digits to tell it from another.

    Examples
    --------
    >>> value(0.1), value(-2.5, 4), value("nan"), value(None)
    ('0.10000000000000001', '−2.5', 'NaN', '')
    """
    if number is None:
        return ""
    if isinstance(number, str):
        return _ODD.get(number, number)
    return (f"{number:.{digits}g}" if isinstance(number, float) else str(number)).replace("-", "−", int(number < 0))


def count(number: int) -> str:
    """A whole number with thin spaces between its thousands.

    Examples
    --------
    >>> count(1234567)
    '1\\u202f234\\u202f567'
    """
    return f"{number:,}".replace(",", "\u202f")


def extent_words(worst: dict[str, Any] | None) -> str:
    """The largest disagreement with its unit."""
    if not worst:
        return ""
    unit = "noise floors" if worst["unit"] == "noise floors" else "of the scale"
    return f"{power(worst['error'])} {unit}"


def address(found: dict[str, Any] | None) -> str:
    """A checkpoint's address in words."""
    if found is None:
        return ""
    from compare.checkpoint import Checkpoint

    return Checkpoint(*(found[key] for key in Checkpoint._fields)).where


def sentence(text: str) -> str:
    """A reason as a sentence of its own.

    Examples
    --------
    >>> sentence("the actual side raised")
    'The actual side raised.'
    """
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def is_number(cell: Any) -> bool:
    """Whether a cell of a table holds a number, which is set flush right."""
    return isinstance(cell, int | float) or cell in _ODD


def decades(number: Any) -> float | None:
    """The logarithm of a multiple, to one decimal, or None where there is none to take."""
    if isinstance(number, str) or number is None or math.isnan(number):
        return None
    if math.isinf(number):
        return 99.0
    return round(math.log10(number), 1) if number > 0 else -99.0
