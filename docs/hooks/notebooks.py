"""Notebooks as pages: they are run, and what their cells put out is shown as a notebook would show it."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

__all__ = ["executed", "page_of"]

TIMEOUT = 300  # seconds for a cell


def executed(path: Path) -> Any:
    """The notebook after all its cells have run, in the folder that holds it.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    quiet = [
        "--IPKernelApp.log_level=ERROR"
    ]  # it warns that it listens on this machine, which is what it is asked to do
    NotebookClient(notebook, timeout=TIMEOUT, resources=where, extra_arguments=quiet).execute()
    return notebook


def page_of(notebook: Any, file: str) -> tuple[str, dict[str, str]]:
    """The notebook as Markdown, and the outputs that are HTML by the marks that stand for them.

    HTML is put in after Markdown has been rendered, which would otherwise change it.

    Parameters
    ----------
    notebook : an executed notebook
    file : its file's name, for a link
    """
    parts: list[str] = []
    outputs: dict[str, str] = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code":
            parts.append(f"```python\n{cell.source}\n```")
            for output in cell.outputs:
                mark = f"output-{len(outputs)}-of-{Path(file).stem}"
                outputs[mark] = _html_of(output)
                parts.append(f"<div>{mark}</div>")
    title, *rest = "\n\n".join(parts).split("\n", 1)
    link = f"*This page is a notebook: [{file}]({file}).*"
    return "\n\n".join([title, link, *rest]) + "\n", outputs


def _html_of(output: Any) -> str:
    """One output of a cell."""
    if output.output_type == "stream":
        return f'<div class="output"><pre>{escape(output.text)}</pre></div>'
    data = output.data
    if "text/html" in data:
        html = data["text/html"]
        if html.lstrip()[:9].lower() in ("<!doctype", "<html"):  # a page of its own
            return f'<iframe class="output" srcdoc="{escape(html)}"></iframe>'
        return f'<div class="output">{html}</div>'
    if "image/png" in data:
        return f'<div class="output"><img alt="" src="data:image/png;base64,{data["image/png"].strip()}"></div>'
    return f'<div class="output"><pre>{escape(data.get("text/plain", ""))}</pre></div>'
