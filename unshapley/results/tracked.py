"""The readable part of a valuation, which git tracks: manifest, values, metrics."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, FiniteFloat, ValidationError

from unshapley.errors import AlteredError, InputError
from unshapley.results.githistory import Commit
from unshapley.results.integrity import check_schema
from unshapley.results.layout import MANIFEST
from unshapley.results.published import PublishedValue, parse_values

VALUES, METRICS = "values.csv", "metrics.json"
REFRESH_TAG = re.compile(r"valuation/\d{4}-\d\d-\d\d-([0-9a-f]{8})(?:\.\d+)?")
"""Tags that `unshapley refresh` makes; they end with the first digits of the manifest's hash."""


class _Form(BaseModel):
    """Parts of a manifest that are read here; all others are allowed."""

    class _Fidelity(BaseModel):
        status: str
        grade: str | None = None

    class _Config(BaseModel):
        class _Valuation(BaseModel):
            unlearner: str

        valuation: _Valuation

    inputs: dict[str, str]
    outputs: dict[str, str]
    config: _Config
    versions: dict[str, str]
    numerics: dict[str, Any]
    code: dict[str, Any]
    players: list[str]
    quarantined: dict[str, str]
    seeds: dict[str, int]
    estimator: dict[str, str]
    coalitions: dict[str, int]
    calibration: dict[str, Any] | None = None
    own_utilities: dict[str, Any] = {}
    fidelity: _Fidelity


class _Metrics(BaseModel):
    utility: str
    u_all: FiniteFloat
    u_none: FiniteFloat


@dataclass(frozen=True)
class TrackedValuation:
    """The readable part of a valuation; commit: that holds it, None for one in a folder."""

    name: str
    manifest: Mapping[str, Any]
    metrics: Mapping[str, Any]
    providers: tuple[PublishedValue, ...]
    sha256: str
    commit: Commit | None = None

    @property
    def utility(self) -> str:
        return str(self.metrics["utility"])

    @property
    def method(self) -> str:
        """The unlearner, and what `auto` chose."""
        name = str(self.manifest["config"]["valuation"]["unlearner"])
        chosen = (self.manifest.get("calibration") or {}).get("method")
        return f"{name}: {chosen}" if chosen else name

    @property
    def fidelity(self) -> str:
        """Status and grade of the fidelity check."""
        check = self.manifest["fidelity"]
        return ", ".join(filter(None, [check["status"], check.get("grade")]))

    @property
    def moved_tags(self) -> tuple[str, ...]:
        """Tags of a refresh that name another manifest than they hold: they were moved."""
        tags = self.commit.tags if self.commit else ()
        named = [(tag, REFRESH_TAG.fullmatch(tag)) for tag in tags]
        return tuple(tag for tag, match in named if match and not self.sha256.startswith(match[1]))

    @property
    def by_provider(self) -> dict[str, PublishedValue]:
        return {entry.provider: entry for entry in self.providers}


def read_tracked(
    files: Mapping[str, bytes | None], name: str, commit: Commit | None
) -> TrackedValuation:
    """The valuation in these files: contents by name, None for one that is absent.

    Raises `InputError` for a newer schema, or a file that is absent or of another form than ours,
    and `AlteredError` for files that are not those that the manifest names.
    """
    content = files[MANIFEST]
    assert content is not None
    manifest = _json(content, f"{name}: {MANIFEST}")
    check_schema(manifest, f"{name}: {MANIFEST}")
    _check_form(_Form, manifest, f"{name}: {MANIFEST}")
    for file in (VALUES, METRICS):
        _check_hash(files[file], manifest, file, name)
    values, figures = files[VALUES], files[METRICS]
    assert values is not None
    assert figures is not None
    metrics = _json(figures, f"{name}: {METRICS}")
    _check_form(_Metrics, metrics, f"{name}: {METRICS}")
    return TrackedValuation(
        name,
        manifest,
        metrics,
        parse_values(values.decode(errors="replace"), f"{name}: {VALUES}"),
        hashlib.sha256(content).hexdigest(),
        commit,
    )


def _check_form(form: type[BaseModel], content: Mapping[str, Any], where: str) -> None:
    try:
        form.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"key {'.'.join(map(str, first['loc']))!r}: {first['msg']}",
            where=where,
            expected="what `unshapley run` writes",
        ) from None


def _check_hash(content: bytes | None, manifest: Mapping[str, Any], file: str, name: str) -> None:
    if content is None:
        raise InputError(f"{file} is missing beside the manifest", where=name)
    if hashlib.sha256(content).hexdigest() != manifest.get("outputs", {}).get(file):
        raise AlteredError(
            f"{name}: {file} is not the file that its manifest names\n"
            "  do: `unshapley verify` says more of the valuation that stands here"
        )


def _json(content: bytes, where: str) -> dict[str, Any]:
    try:
        read = json.loads(content)
    except ValueError as error:
        raise InputError(f"not readable as JSON ({error})", where=where) from None
    if not isinstance(read, dict):
        raise InputError("is no JSON object", where=where)
    return read
