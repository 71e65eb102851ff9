"""Great Expectations' own pages of a validation, on request: offline they are unstyled."""

from __future__ import annotations

from pathlib import Path

from tasks.expectations import great_expectations, load_suite, run_suite, views
from tasks.validation import index_of, kind_of, state_of, tables
from unshapley.files import written_whole
from unshapley.project import Project
from unshapley.rows import Schema, read_table


def write_data_docs(project: Project, folder: Path) -> Path:
    """Write one page a table and view to `folder`; give the folder."""
    great_expectations()
    from great_expectations.render.renderer.page_renderer import (
        ValidationResultsPageRenderer,
    )
    from great_expectations.render.view.view import DefaultJinjaPageView

    schema, index = Schema.load(project.schema), index_of(project.root, state_of(project))
    for name, path in tables(project).items():
        suite = load_suite(project.expectations, kind_of(name))
        for view, table in views(read_table(path), name, kind_of(name), schema, index).items():
            content = ValidationResultsPageRenderer().render(run_suite(table, view, suite))
            with written_whole(folder / f"{name}-{view}.html") as part:
                page = DefaultJinjaPageView().render(content)  # type: ignore[no-untyped-call]
                part.write_text(page, encoding="utf-8")
    return folder
