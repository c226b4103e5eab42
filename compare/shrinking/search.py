"""The search for a smaller case: try a simpler one, keep it if it still fails in the same way, and so on to the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["Search", "sizes_below"]

T = TypeVar("T")
Pass = Callable[[T], Iterable[T]]


def sizes_below(size: int, least: int = 1) -> list[int]:
    """Smaller sizes to try in place of this one, the boldest first: the least ones, the half, one less.

    Examples
    --------
    >>> sizes_below(9)
    [1, 2, 3, 4, 8]
    """
    return sorted({least, least + 1, least + 2, size // 2, size - 1} & set(range(least, size)))


@dataclass
class Search(Generic[T]):
    """Delta debugging over any kind of case.

    Parameters
    ----------
    keeps : says whether a case fails in the same way; one that cannot be judged does not
    key : what makes two cases the same; no case is judged twice
    seconds : begin no attempt after so long
    on_try : called after each attempt with the number judged and whether it was kept

    Attributes
    ----------
    tried : int
        How many cases have been judged.
    out_of_time : bool
        Whether the time ended the search, so that more might go.
    """

    keeps: Callable[[T], bool]
    key: Callable[[T], Hashable]
    seconds: float = 60.0
    on_try: Callable[[int, bool], None] | None = None
    tried: int = 0
    out_of_time: bool = False
    _known: set[Hashable] = field(default_factory=set)
    _end: float = 0.0

    def smallest(self, case: T, passes: Sequence[Pass[T]]) -> T:
        """The smallest case that the passes lead to.

        Each pass yields simpler cases, the boldest first, and is asked again for as long as it helps; then the next one
        is. All of them are gone through again until none helps any more. Every case that a pass yields must be simpler
        than the one it is given, so that this ends.
        """
        self._end = time.monotonic() + self.seconds
        self._known.add(self.key(case))
        smaller = True
        while smaller and not self.out_of_time:
            smaller = False
            for one in passes:
                while (found := self._first(one(case))) is not None:
                    case, smaller = found, True
        return case

    def _first(self, attempts: Iterable[T]) -> T | None:
        """The first attempt that is kept."""
        for attempt in attempts:
            key = self.key(attempt)
            if key in self._known:
                continue
            if time.monotonic() > self._end:
                self.out_of_time = True
                return None
            self._known.add(key)
            self.tried += 1
            kept = self.keeps(attempt)
            if self.on_try:
                self.on_try(self.tried, kept)
            if kept:
                return attempt
        return None
