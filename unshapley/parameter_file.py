"""Read a parameter file: YAML 1.2, as DVC reads it, of plain values only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from unshapley.errors import InputError

MOST = 100_000
"""Values in a file, each alias counted as what it stands for: a few lines of aliases can stand for
billions."""


def read_parameter_file(path: Path) -> Any:
    """The content of a YAML file; `InputError` where it is missing, no YAML, or unfolds to more
    than `MOST` values.
    """
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            "file is missing", where=path, do="give a project folder that holds params.yaml"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"not readable as YAML: {error}", where=path) from None
    values = _count(content, {}, ())
    if values > MOST:
        raise InputError(
            f"unfolds to {values:,} values" if values < 1e12 else "unfolds without end",
            where=path,
            expected=f"at most {MOST:,}",
            do="write values instead of aliases",
        )
    return content


def _count(content: Any, known: dict[int, float], above: tuple[int, ...]) -> float:
    """Values that a content stands for; infinite where it holds itself."""
    if not isinstance(content, dict | list):
        return 1
    if id(content) in above:
        return float("inf")
    if id(content) not in known:
        parts = content.values() if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_count(part, known, (*above, id(content))) for part in parts)
    return known[id(content)]
