"""The minimal case: what fails is made small while it goes on failing in the same way, and written as a test.

:mod:`compare.shrinking.search` knows how to search, and nothing of what it makes small. A setup
(:mod:`compare.shrinking.setup`) is a built-in experiment read as plain data; a call is what a user compared
(:mod:`compare.shrinking.calls`).
"""

from compare.shrinking.calls import shrink_report
from compare.shrinking.minimal import Minimal

__all__ = ["Minimal", "shrink_report"]
