"""The ideas of the course as pages: what ``gradlock explain`` says of each lesson."""

from __future__ import annotations

__all__ = ["lesson_page", "lessons"]


def lessons() -> list[str]:
    """The names of the lessons, in their order."""
    from compare.explaining import names

    return names("lesson")


def lesson_page(name: str) -> str:
    """One lesson in Markdown, with its numbers."""
    from compare.explaining import page

    return page(name, kind="lesson")
