"""Render the templates of this folder."""

from __future__ import annotations

import math
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, **content: Any) -> str:
    """A page as HTML; all text in `content` is escaped, except for pictures."""
    env = Environment(
        loader=PackageLoader("unshapley.results.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["num"] = _number
    return env.get_template(template).render(**content)


def picture(svg: str) -> Markup:
    """A plot of ours, which stands in a page as it is."""
    return Markup(svg)  # noqa: S704 (matplotlib escapes the names it draws)


def _number(value: float | None, digits: int = 4, *, sign: bool = False) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")
