"""The minimal case: what fails is made small while it goes on failing in the same way, and written as a test.

:mod:`compare.shrinking.search` knows how to search, and nothing of what it makes small. A setup
(:mod:`compare.shrinking.setup`) is a built-in experiment read as plain data; a call is what a user compared
(:mod:`compare.shrinking.calls`).
"""
