"""What `inspect` and `init` do with documents."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.cli.common import print_json, warn
from unshapley.errors import InputError
from unshapley.project import Project

DETECTED = "all files are of text: whose text is worth what to a language model"


def inspect_text(
    paths: Sequence[Path],
    provider: str | None,
    stated: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    """Show what the documents of each provider look like, and how they would be read."""
    from unshapley.data.text_inspection import documents_among, inspect_corpus

    inspection = inspect_corpus(documents_among(paths), provider, stated, Path())
    if as_json:
        from dataclasses import asdict

        print_json(
            {
                "settings": inspection.settings.model_dump(mode="json"),
                "providers": {name: asdict(facts) for name, facts in inspection.providers.items()},
                "problem": inspection.problem and str(inspection.problem),
                "notes": inspection.notes,
            }
        )
        return
    from flows.cli.printing_text import print_corpus

    print_corpus(inspection)


def init_with_text(
    folder: Path,
    data: Sequence[Path],
    provider: str | None,
    test: Path | None,
    settings: Sequence[str],
    stated: Mapping[str, Any],
    *,
    agree: Callable[[], None],
    check: Callable[[Path, Sequence[str]], None],
) -> None:
    """Start a project with copies of these documents.

    agree: asks whether the rules shall be written; check: what would keep a run from succeeding.
    """
    from flows.cli.printing_text import print_corpus
    from unshapley.data.starting import init_with_tables
    from unshapley.data.starting_text import doubts_about_corpus, settings_of_corpus
    from unshapley.data.text_inspection import documents_among, inspect_corpus
    from unshapley.new_project import check_new

    check_new(Project(folder))
    files = documents_among(data, besides=test)
    if "task" not in stated:
        print(DETECTED)
    inspection = inspect_corpus(files, provider, stated, folder)
    print_corpus(inspection)
    if inspection.problem is not None:
        raise inspection.problem
    for note in doubts_about_corpus(inspection):
        warn(f"note: {note}")
    chosen = settings_of_corpus(inspection, test, settings)
    if settings:
        check(folder, chosen)
    agree()
    params = init_with_tables(folder, {**files, **_own(test)}, chosen)
    print(f"{params}\nnext: `unshapley run --project {shlex.quote(str(folder))}`")


def _own(test: Path | None) -> dict[str, Path]:
    """Files of the documents that judge, by their place in data/raw."""
    if test is None:
        return {}
    from unshapley.data.text_inspection import documents_among

    if not test.exists():
        raise InputError("there is no such file or folder", where=test)
    files = documents_among([test])
    return {f"{test.name}/{name}" if test.is_dir() else name: path for name, path in files.items()}
