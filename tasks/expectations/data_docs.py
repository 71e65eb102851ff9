"""Great Expectations' own HTML pages of a validation; without internet they have no style."""

from __future__ import annotations

from pathlib import Path

from tasks.expectations.checking import SuiteRunner
from tasks.expectations.suites import great_expectations, load_suite
from tasks.expectations.validation import fingerprints_of, kind_of, tables
from tasks.expectations.views import views
from unshapley.data.tables import Schema, read_table
from unshapley.files import written_whole
from unshapley.project import Project


def write_data_docs(project: Project, folder: Path) -> Path:
    """Write one page for each table and view to `folder`; return the folder."""
    great_expectations()
    from great_expectations.render.renderer.page_renderer import (
        ValidationResultsPageRenderer,
    )
    from great_expectations.render.view.view import DefaultJinjaPageView

    schema, paths = Schema.load(project.schema), tables(project)
    index, runner = fingerprints_of(paths, schema), SuiteRunner()
    for name, path in paths.items():
        suite = load_suite(project.expectations, kind_of(name))
        for view, table in views(read_table(path), name, kind_of(name), schema, index).items():
            content = ValidationResultsPageRenderer().render(runner.run(table, view, suite))
            with written_whole(folder / f"{name}-{view}.html") as part:
                page = DefaultJinjaPageView().render(content)  # type: ignore[no-untyped-call]
                part.write_text(page, encoding="utf-8")
    return folder
