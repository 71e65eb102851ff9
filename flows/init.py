"""Start a project folder of its own, from this repository's params.yaml and suites."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from unshapley.config import load_params, parse_params
from unshapley.errors import InputError
from unshapley.files import written_whole
from unshapley.project import Project

_HOME = Project(Path(__file__).resolve().parent.parent)


def init_project(folder: Path, settings: Sequence[str]) -> Path:
    """Create the project; give the path of its params.yaml, comments kept, `settings` applied.

    Raises `InputError` where one stands there already, or a setting is not of the form KEY=VALUE.
    """
    place = Project(folder)
    if place.params.exists():
        raise InputError("stands there already", where=place.params, do="name another folder")
    yaml = YAML()
    content = yaml.load(_HOME.params.read_text(encoding="utf-8"))
    for setting in settings:
        _apply(content, setting)
    text = io.StringIO()
    yaml.dump(content, text)
    parse_params(YAML(typ="safe").load(text.getvalue()), where="--set")
    with written_whole(place.params) as part:
        part.write_text(text.getvalue(), encoding="utf-8")
    place.raw.mkdir(parents=True, exist_ok=True)
    if load_params(place.params).prepare.source == "digits":
        shutil.copytree(_HOME.expectations, place.expectations, dirs_exist_ok=True)
    return place.params


def _apply(content: Any, setting: str) -> None:
    key, separator, value = setting.partition("=")
    *sections, name = key.split(".")
    if not separator or not name:
        raise InputError(f"{setting!r} is no setting", where="--set", expected="KEY=VALUE")
    for section in sections:
        if not isinstance(content.get(section), dict):
            content[section] = {}
        content = content[section]
    try:
        content[name] = YAML(typ="safe").load(value)
    except YAMLError as error:
        raise InputError(f"{value!r} is not readable as YAML: {error}", where=key) from None
