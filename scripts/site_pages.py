"""Hooks of mkdocs: pages of the site that stand elsewhere in the repository."""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

HOME = Path(__file__).resolve().parents[1]
PAGES = {
    "benchmarks/README.md": "benchmarks.md",
    "examples/from_python.ipynb": "example.md",
    "CHANGELOG.md": "changes.md",
}
"""Page of the site by its file in the repository."""
LINK = re.compile(r"\]\(([^)#:]+)((?:#[^)]*)?)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that stand outside of docs/."""
    for source, page in PAGES.items():
        text = (HOME / source).read_text(encoding="utf-8")
        if source.endswith(".ipynb"):
            text = "\n\n".join(map(_cell, json.loads(text)["cells"]))
        folder = posixpath.dirname(source)
        files.append(File.generated(config, page, content=_linked(text, folder)))
    return files


def _cell(cell: dict[str, Any]) -> str:
    """A cell of a notebook as markdown."""
    text = "".join(cell["source"])
    return text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links that leave docs/ to these pages."""
    return markdown if page.file.src_uri in PAGES.values() else _linked(markdown, "docs")


def _linked(text: str, folder: str) -> str:
    """The text of a file in `folder` with its links as the site has them."""

    def lead(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[1]))
        if target.startswith("docs/"):
            return f"]({target.removeprefix('docs/')}{match[2]})"
        if target in PAGES:
            return f"]({PAGES[target]}{match[2]})"
        return match[0]

    return LINK.sub(lead, text)
