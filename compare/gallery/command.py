"""What ``gradlock gallery`` does."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tqdm import tqdm

from compare.batches import InputError
from compare.gallery.halves import Halves, halves
from compare.gallery.recipes import LEFT_OUT, optimizers
from compare.gallery.record import record_of
from compare.gallery.surfaces import SURFACES
from compare.gallery.walks import Portrait, portrait

__all__ = ["HALVES", "chosen", "run", "walk"]

HALVES = "halves"
"""The name under which the lesson about gradient descent is chosen."""


def chosen(match: str | None) -> tuple[list[str], bool]:
    """The optimizers whose name matches, and whether the two halves are asked for.

    Raises
    ------
    InputError
        If nothing matches.
    """
    lesson = match is None or fnmatchcase(HALVES, match.lower())
    try:
        return optimizers(match), lesson
    except InputError as error:
        if lesson:
            return [], True
        raise InputError(f"{error}, {HALVES}") from None


def walk(match: str | None = None, **options: Any) -> tuple[list[Portrait], Halves | None, list[str]]:
    """Walk what matches; ``options`` are those of ``lockstep``.

    Returns
    -------
    The portraits, the two halves if they match, and the names of optimizers that are left out.
    """
    names, lesson = chosen(match)
    walking = [name for name in names if name not in LEFT_OUT]
    with tqdm(total=2 * len(SURFACES) * len(walking), unit="walk", leave=False, disable=not sys.stderr.isatty()) as bar:
        portraits = []
        for name in walking:
            bar.set_description(name)
            portraits.append(portrait(name, on_walk=bar.update, **options))
        return portraits, halves(**options) if lesson else None, [name for name in names if name in LEFT_OUT]


def run(
    match: str | None = None, *, out: str | None = None, kind: str = "svg", **options: Any
) -> tuple[dict[str, Any], list[BaseException]]:
    """Walk, and with ``out`` draw.

    Parameters
    ----------
    match : a pattern with ``*`` and ``?``, whatever the case; everything by default
    out : the folder in which pictures and ``index.html`` are written; it is made where there is none
    kind : ``"svg"`` or ``"png"``
    options : those of ``lockstep``

    Returns
    -------
    The findings as ``record_of`` makes them, with the paths of the ``files`` written; and what a side raised.

    Raises
    ------
    InputError
        If nothing matches, matplotlib is missing, or the folder cannot be written; before anything is walked.
    """
    chosen(match)
    if out is not None:
        from compare.gallery.drawing import check_installed

        check_installed()
        _check_folder(Path(out))
    portraits, lesson, left_out = walk(match, **options)
    record = record_of(portraits, lesson, left_out)
    files = [] if out is None else _write_all(Path(out), kind, record, portraits, lesson)
    verdicts = [verdict for one in portraits for each in one.descents for verdict in (each.verdict, each.spoiled)]
    raised = [verdict.error for verdict in verdicts if verdict.error is not None]
    return {**record, "files": [str(file) for file in files]}, raised


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"cannot write to {folder}: it is a file; name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / "index.html"
        existed = probe.exists()
        with probe.open("a", encoding="utf-8"):
            pass
        if not existed:
            probe.unlink()
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; try another place") from error


def _write_all(
    folder: Path, kind: str, record: dict[str, Any], portraits: list[Portrait], lesson: Halves | None
) -> list[Path]:
    from compare.gallery.drawing import drawn
    from compare.gallery.lesson import figure_of as figure_of_lesson
    from compare.gallery.page import page
    from compare.gallery.portrait import figure_of as figure_of_portrait

    pictures = {one.optimizer: drawn(figure_of_portrait, one, kind) for one in portraits}
    if lesson is not None:
        pictures[HALVES] = drawn(figure_of_lesson, lesson, kind)
    files = [folder / f"{name.lower()}.{kind}" for name in pictures]
    try:
        for file, picture in zip(files, pictures.values(), strict=True):
            file.write_bytes(picture)
        (folder / "index.html").write_text(page(record, pictures, kind), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; try another place") from error
    return [*files, folder / "index.html"]
