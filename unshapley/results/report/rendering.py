"""Render pages from templates."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unshapley.results.report.colours import DARK, LIGHT

ROOM = "unshapley.results.report"


def render(template: str, room: str = ROOM, **content: Any) -> str:
    """A page as HTML; all text in `content` is escaped, except for pictures and scripts.

    room: the package whose folder has the template, which may include those of this folder.
    """
    env = Environment(
        loader=ChoiceLoader([PackageLoader(room, "."), PackageLoader(ROOM, ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["num"] = _number
    env.globals.update(light=LIGHT, dark=DARK)
    return env.get_template(template).render(**content)


def picture(svg: str) -> Markup:
    """A plot of ours, which stands in a page as it is."""
    drawn = svg.replace("<svg ", '<svg class="drawn" ', 1)
    return Markup(drawn)  # noqa: S704 (matplotlib escapes the names it draws)


@cache
def script(name: str) -> Markup:
    """A script of this folder, which stands in a page as it is."""
    text = (resources.files(ROOM) / name).read_text(encoding="utf-8")
    assert "</script" not in text
    assert "<!--" not in text
    return Markup(text)  # noqa: S704 (ours, and free of what would end it)


def fingerprint(text: str) -> str:
    """How a page's security policy names a script that may run."""
    hashed = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256-{hashed}"


def as_json(content: Any) -> Markup:
    """Content for a script to read, in which no name can end the element it stands in."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Markup(safe)  # noqa: S704 (no < is left in it)


def _number(value: float | None, digits: int = 4, *, sign: bool = False) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")
