"""The ideas of the course as pages: what ``gradlock explain`` says of each lesson."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["lesson_page", "lessons"]


def lessons() -> list[str]:
    """The names of the lessons, in their order; none where the package that explains is not there."""
    if find_spec("compare.explaining") is None:
        return []
    from compare.explaining import names

    return names("lesson")


def lesson_page(name: str) -> str:
    """One lesson in Markdown, with its numbers."""
    from compare.explaining import page

    return page(name, kind="lesson")
