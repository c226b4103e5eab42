"""The packed history of a walk as arrays again: for the tree, the strips and the tests."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from compare.history import AGREES, OWN
from compare.report.html.words import decades

__all__ = ["Columns"]


class Columns:
    """The columns of one history record.

    Parameters
    ----------
    record : what :func:`compare.report.histories.history_record` returned

    Attributes
    ----------
    keys : list of (phase, name, call, output)
    key, step, micro_batch, multiple, error, state : arrays of one length
    """

    key: np.ndarray
    step: np.ndarray
    micro_batch: np.ndarray
    multiple: np.ndarray
    error: np.ndarray
    state: np.ndarray

    def __init__(self, record: Mapping[str, Any]):
        self.keys: list[tuple[str, str, int, str]] = [tuple(key) for key in record["keys"]]
        blob, at = zlib.decompress(base64.b64decode(record["columns"])), 0
        for name, dtype in record["layout"]:
            size = np.dtype(dtype).itemsize * record["count"]
            setattr(self, name, np.frombuffer(blob[at : at + size], f"<{dtype}"))
            at += size

    def worst_of_keys(self) -> Iterator[tuple[tuple[str, str, int, str], int, float]]:
        """Each key with the state and multiple of its worst checkpoint."""
        order = np.lexsort((self.multiple, self.state, self.key))
        keys = self.key[order]
        last = np.append(keys[1:] != keys[:-1], True) if len(keys) else np.zeros(0, bool)
        for place in order[last]:
            yield self.keys[self.key[place]], int(self.state[place]), float(self.multiple[place])

    def strip(self, most: int = 96) -> str:
        """The worst of each of a few bins of steps, as ``log10(multiple)`` with ``o`` or ``i`` where it diverged."""
        if not len(self.step):
            return ""
        low, high = int(self.step.min()), int(self.step.max())
        low = min(max(low, 1), high)
        bins = np.minimum(most, high - low + 1)
        place = np.clip((self.step.astype(np.int64) - low) * bins // (high - low + 1), 0, bins - 1)
        order = np.lexsort((self.multiple, self.state, place))
        found = [""] * int(bins)
        for one in order:  # the worst comes last
            found[place[one]] = one
        words = []
        for one in found:
            if one == "":
                words.append("")
                continue
            state = self.state[one]
            mark = "" if state == AGREES else "o" if state == OWN else "i"
            words.append(f"{decades(float(self.multiple[one])):g}{mark}")
        return ",".join(words)
