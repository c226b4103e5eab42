"""The history of a walk as plain data: its columns packed into one string, which a page unpacks."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Collection
from typing import Any

import numpy as np

from compare.history import History

__all__ = ["HISTORY", "history_record"]

HISTORY = "history"
"""The key, in a scenario or contrast, of what only a page shows."""

_BITS = 11  # of a float32's mantissa that are kept: three and a half decimal digits


def history_record(history: History, only: Collection[str] | None = None) -> dict[str, Any]:
    """Every kept checkpoint and both losses.

    Parameters
    ----------
    history : History
    only : phases to keep, all by default

    Returns
    -------
    dict
        ``columns`` is the deflated (zlib), then base64-encoded concatenation of the columns that ``layout`` names with
        their little-endian dtypes, ``count`` elements each. An error or multiple has three and a half digits.
    """
    columns = history.columns()
    places = [place for place, key in enumerate(history.keys) if only is None or key[0] in only]
    if len(places) < len(history.keys):
        renamed = np.full(len(history.keys), -1)
        renamed[places] = np.arange(len(places))
        kept = renamed[columns["key"]] >= 0
        columns = {name: column[kept] for name, column in columns.items()}
        columns["key"] = renamed[columns["key"]].astype(np.uint16)
    for name in ("multiple", "error"):
        columns[name] = _short(columns[name])
    curves = {name: [_plain(value) for value in values] for name, values in history.curves().items()}
    blob = b"".join(column.astype(column.dtype.newbyteorder("<")).tobytes() for column in columns.values())
    return {
        "keys": [list(history.keys[place]) for place in places],
        "elements": [history.elements[place] for place in places],
        "seen": history.seen,
        "width": history.width,
        "limit": history.limit,
        "unit": "noise floors" if history.tolerance == "measured" else "of what is allowed",
        "count": len(columns["key"]),
        "layout": [[name, column.dtype.newbyteorder("<").str[1:]] for name, column in columns.items()],
        "columns": base64.b64encode(zlib.compress(blob, 9)).decode(),
        "losses": curves,
    }


def _short(values: np.ndarray) -> np.ndarray:
    """Round the mantissa, so that what is noise in any case need not be packed."""
    bits = values.view(np.uint32)
    half = np.uint32(1 << (22 - _BITS))
    mask = np.uint32(0xFFFFFFFF << (23 - _BITS) & 0xFFFFFFFF)
    return np.where(np.isfinite(values), (bits + half) & mask, bits).astype(np.uint32).view(np.float32)


def _plain(value: Any) -> Any:
    if isinstance(value, np.integer):
        return int(value)
    return float(value) if np.isfinite(value) else str(float(value))
