"""How a result is shown: as text, as HTML in a notebook, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

COLUMNS = ["rank", "provider", "rows", "value", "std_error", "ci_low", "ci_high"]
DIGITS = 4
"""Significant digits of numbers in the tables that are shown."""


@dataclass(frozen=True)
class Picture:
    """A figure of matplotlib that notebooks show; it does not touch pyplot."""

    figure: Any

    def save(self, path: str | Path) -> None:
        """Write it in the format that the file's ending names."""
        self.figure.savefig(path)

    def _repr_svg_(self) -> str:
        from unshapley.results.report.drawing import as_svg

        return as_svg(self.figure)


def as_text(frame: pd.DataFrame, head: str, verdict: str, warnings: Sequence[str]) -> str:
    """The providers by rank, what divides what, and whether to believe it."""
    return "\n".join([head, _table(frame), verdict, *(f"warning: {w}" for w in warnings)])


def as_html(frame: pd.DataFrame, head: str, verdict: str, warnings: Sequence[str]) -> str:
    """The same for a notebook; names of providers are text, whatever they hold."""
    table = _shown(frame).to_html(index=False, border=0, float_format=_number)
    said = "".join(f"<li>{escape(w).replace(chr(10), '<br>')}</li>" for w in warnings)
    lines = [f"<p>{escape(head)}</p>", table, f"<p><b>{escape(verdict)}</b></p>"]
    return "\n".join([*lines, f"<ul>{said}</ul>"] if said else lines)


def _table(frame: pd.DataFrame) -> str:
    return _shown(frame).to_string(index=False, float_format=_number)


def _shown(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values("rank", na_position="last")[COLUMNS]


def _number(number: float) -> str:
    return f"{number:.{DIGITS}g}"
