"""A corpus that every Python has: source of the standard library by package, and its help topics.

python examples/standard_library.py corpus
unshapley init my-text --data corpus
"""

from __future__ import annotations

import argparse
import sysconfig
from collections.abc import Iterator
from pathlib import Path

PACKAGES = (
    "asyncio", "email", "http", "importlib", "logging", "multiprocessing", "unittest", "urllib",
    "xml",
)  # fmt: skip
TOPICS = "topics"
"""The provider of what `help("topics")` shows, which is prose."""


def main() -> None:
    """Write a folder of documents for each provider."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=30, help="most documents of a provider")
    parser.add_argument("--characters", type=int, default=2000, help="most characters of one")
    options = parser.parse_args()
    providers = {name: modules(name) for name in PACKAGES}
    providers[TOPICS] = topics()
    for name, texts in providers.items():
        pieces = [
            (f"{source}-{i:03}", piece)
            for source, text in texts
            for i, piece in enumerate(cut(text, options.characters))
        ]
        for document, piece in evenly(pieces, options.documents):
            path = options.folder / name / f"{document}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(piece, encoding="utf-8")


def modules(package: str) -> Iterator[tuple[str, str]]:
    """Name and source of the modules of a package of the standard library, sorted."""
    root = Path(sysconfig.get_path("stdlib")) / package
    for path in sorted(root.rglob("*.py")):
        yield ".".join(path.relative_to(root).with_suffix("").parts), path.read_text("utf-8")


def topics() -> Iterator[tuple[str, str]]:
    """Name and text of the help topics, sorted."""
    from pydoc_data.topics import topics as texts

    for name, text in sorted(texts.items()):
        yield name.replace("/", "-"), text


def cut(text: str, most: int) -> Iterator[str]:
    """Parts of a text of at most so many characters, which end where a line does."""
    piece = ""
    for line in text.splitlines(keepends=True):
        if piece and len(piece) + len(line) > most:
            yield piece
            piece = ""
        piece += line[:most]
    if len(piece) > most / 4:  # a rest of a few lines says little
        yield piece


def evenly(pieces: list[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """So many of them at most, from the first to the last at equal distances."""
    if len(pieces) <= count:
        return pieces
    return [pieces[i * len(pieces) // count] for i in range(count)]


if __name__ == "__main__":
    main()
