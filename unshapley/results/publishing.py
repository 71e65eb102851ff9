"""Publish a valuation: write all files to a temporary folder, then move them to their places."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unshapley import environment
from unshapley.config import Params
from unshapley.data.tables import write_table
from unshapley.fidelity.gate import may_publish
from unshapley.files import sha256, unwritable, write_csv, write_json
from unshapley.game.loading import LoadedGame
from unshapley.project import Project
from unshapley.results.chain import committed, predecessor
from unshapley.results.layout import MANIFEST, SIGNATURE
from unshapley.results.manifest import describe, hash_inputs
from unshapley.results.report.page import render_report
from unshapley.results.tables import all_tables, metrics, utilities_table
from unshapley.results.valuation import Valuation

STAGED = ".staged-"
"""How the names of temporary folders begin."""


def publish_valuation(
    project: Project,
    params: Params,
    valuation: Valuation,
    game: LoadedGame,
    validation: Sequence[Mapping[str, Any]],
) -> Path:
    """Write all outputs except run.json; return their folder.

    A valuation that may be published goes to data/valuation. Any other goes to data/untrusted, and
    data/valuation stays as it was. Raises `InputError` if a file cannot be written; files are
    either complete or absent.
    """
    published = may_publish(valuation.fidelity, params.fidelity)
    folder = project.valuation if published else project.untrusted
    inputs = hash_inputs(project, game.record, game.statistics)
    for leftover in folder.parent.glob(f"{STAGED}*"):  # from a killed run
        shutil.rmtree(leftover, ignore_errors=True)
    last = committed(project.root, project.valuation)
    provenance = describe(params, valuation, inputs)
    write_outputs(
        folder, valuation, validation, provenance, lambda content: predecessor(content, last)
    )
    return folder


def write_outputs(
    folder: Path,
    valuation: Valuation,
    validation: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    previous: Callable[[Mapping[str, Any]], str | None] = lambda _content: None,
) -> None:
    """Write tables, report and manifest into a folder.

    provenance: the manifest without its outputs; previous: hash of the manifest that it follows.
    Raises `InputError` if a file cannot be written; files are either complete or absent.
    """
    environment.check_sources()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=STAGED))
    except OSError as error:
        raise unwritable(folder, error) from None
    try:
        _stage(staging, valuation, validation, provenance)
        outputs = {
            path.relative_to(staging).as_posix(): sha256(path)
            for path in sorted(staging.rglob("*"))
            if path.is_file()
        }
        content = {**provenance, "outputs": outputs}
        content["previous"] = previous(content)
        write_json(staging / MANIFEST, content)
        if not _same(staging / MANIFEST, folder / MANIFEST):
            (folder / SIGNATURE).unlink(missing_ok=True)  # it is of the manifest before
        # a valuation without a manifest counts as absent, so nobody reads a mix of two valuations
        (folder / MANIFEST).unlink(missing_ok=True)
        for name in [*outputs, MANIFEST]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(folder / name)
    except OSError as error:
        raise unwritable(folder, error) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _same(new: Path, old: Path) -> bool:
    return old.is_file() and new.read_bytes() == old.read_bytes()


def _stage(
    staging: Path,
    valuation: Valuation,
    validation: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
) -> None:
    tables = all_tables(valuation)
    for name, table in tables.items():
        write_csv(table, staging / name)
    write_table(utilities_table(valuation), staging / "utilities.parquet")
    figures = metrics(valuation)
    write_json(staging / "metrics.json", figures)
    write_json(staging / "validation.json", list(validation))
    page = render_report(valuation, tables, validation, provenance, figures)
    (staging / "report.html").write_text(page, encoding="utf-8")
