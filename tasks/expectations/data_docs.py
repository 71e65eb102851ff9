"""Great Expectations' own HTML pages of a validation; without internet they have no style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.expectations.checking import (
    SuiteRunner,
    expectations_of,
    kind_of,
    summarise_all,
    views_of,
)
from tasks.expectations.suites import KINDS, load_suite
from tasks.expectations.validation import tables
from unshapley.data.tables import Schema, read_table
from unshapley.files import written_whole
from unshapley.project import Project


def write_data_docs(project: Project, folder: Path) -> Path:
    """Write one page for each kind of table and view to `folder`, and one for each table where
    the suite holds expectations of rows; return the folder.
    """
    paths, runner = tables(project), SuiteRunner()
    suites = {kind: load_suite(project.expectations, kind) for kind in KINDS}
    summaries, index = summarise_all(
        list(paths), lambda name: read_table(paths[name]), Schema.load(project.schema), suites
    )
    for kind, suite in suites.items():
        members = [name for name in paths if kind_of(name) == kind]
        views = views_of(members, summaries, index)
        _write_page(folder / f"{kind}-tables.html", runner.run(views["tables"], "tables", suite))
        _write_page(folder / f"{kind}-columns.html", runner.run(views["columns"], "columns", suite))
        if expectations_of(suite, "rows"):
            for name in members:
                ran = runner.run(read_table(paths[name]), "rows", suite)
                _write_page(folder / f"{name}-rows.html", ran)
    return folder


def _write_page(path: Path, result: Any) -> None:
    from great_expectations.render.renderer.page_renderer import (
        ValidationResultsPageRenderer,
    )
    from great_expectations.render.view.view import DefaultJinjaPageView

    content = ValidationResultsPageRenderer().render(result)
    with written_whole(path) as part:
        page = DefaultJinjaPageView().render(content)  # type: ignore[no-untyped-call]
        part.write_text(page, encoding="utf-8")
