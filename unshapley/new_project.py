"""Start a project folder: params.yaml with every key, and room for raw data."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from unshapley.config import Params, parse_params
from unshapley.errors import InputError
from unshapley.files import written_whole
from unshapley.project import Project

HEAD = "The one configuration. docs/parameters.md explains every key."


def init_project(folder: Path, settings: Sequence[str] = ()) -> Path:
    """Create the project; give the path of its params.yaml, which states every key.

    settings: as KEY=VALUE. Raises `InputError` where a project stands there already, a setting is
    not of that form, or params.yaml would be refused.
    """
    project = Project(folder)
    check_new(project)
    text, _ = new_params(settings)
    with written_whole(project.params) as part:
        part.write_text(text, encoding="utf-8")
    project.raw.mkdir(parents=True, exist_ok=True)
    return project.params


def check_new(project: Project) -> None:
    """Raise `InputError` where a project stands already."""
    if project.params.exists():
        raise InputError("stands there already", where=project.params, do="name another folder")


def new_params(settings: Sequence[str]) -> tuple[str, Params]:
    """The text of a params.yaml with these settings, as KEY=VALUE, and the parameters it gives.

    Raises `InputError` where a setting is not of that form, or the text would be refused.
    """
    content = stated(Params())
    content.yaml_set_start_comment(HEAD)
    for setting in settings:
        _apply(content, setting)
    text = io.StringIO()
    YAML().dump(content, text)
    params = parse_params(YAML(typ="safe").load(text.getvalue()), where="--set")
    return text.getvalue(), params


def stated(section: BaseModel) -> CommentedMap:
    """A section of the parameters as YAML, with what each key means behind it."""
    out = CommentedMap()
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            out[name] = stated(value)
            comment: str | None = (type(value).__doc__ or "").split("\n")[0]
        else:
            out[name] = section.model_dump(mode="json", include={name})[name]
            comment = field.description
        if comment:
            comment = comment.replace("see below", "see docs/parameters.md")
            out.yaml_add_eol_comment(comment, name, column=30)
    return out


def settings_as_mapping(settings: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE as nested sections, unchecked; `InputError` where one is not of that form."""
    content: dict[str, Any] = {}
    for setting in settings:
        _apply(content, setting)
    return content


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
