"""What mkdocs does besides rendering the pages of this folder: it adds those that are made from the code.

A page is one line of :func:`generated`: where it lies, and the function that writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from api import PAGES, api_page
from catalogue import LISTED, causes_page, listing_page
from commands import commands_page
from derivations import lesson_page, lessons
from mkdocs.structure.files import File, Files
from notebooks import executed, page_of

__all__ = ["generated", "on_config", "on_files", "on_page_content"]

NOTEBOOKS = ("learner", "porter")

_outputs: dict[str, str] = {}


def generated() -> dict[str, Callable[[], str]]:
    """Every generated page: its path, and what writes its Markdown."""
    return {
        "command-line.md": commands_page,
        "catalogue/causes.md": causes_page,
        **{f"catalogue/{kind}.md": partial(listing_page, kind) for kind in LISTED},
        **{f"derivations/{name}.md": partial(lesson_page, name) for name in lessons()},
        **{f"api/{package}.md": partial(api_page, package) for package in PAGES},
    }


def on_config(config: Any) -> Any:
    """Put the lessons into the navigation, before the catalogues."""
    place = next(place for place, entry in enumerate(config.nav) if "Catalogues" in entry)
    if lessons():
        config.nav.insert(place, {"Derivations": [f"derivations/{name}.md" for name in lessons()]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and the notebooks as pages."""
    for path, write in generated().items():
        files.append(File.generated(config, path, content=write()))
    for name in NOTEBOOKS:
        notebook = executed(Path(config.docs_dir) / "notebooks" / f"{name}.ipynb")
        text, outputs = page_of(notebook, f"{name}.ipynb")
        _outputs.update(outputs)
        files.append(File.generated(config, f"notebooks/{name}.md", content=text))
    return files


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Put the outputs of a notebook in their places."""
    if page.file.src_uri.startswith("notebooks/"):
        for mark, output in _outputs.items():
            html = html.replace(f"<div>{mark}</div>", output)
    return html
