"""Compare the files of a valuation with its manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unshapley.config import load_params, parse_params
from unshapley.errors import InputError
from unshapley.files import sha256
from unshapley.project import Project
from unshapley.results.layout import MANIFEST, RUN, SCHEMA_VERSION, SIGNATURE

COVERED = ("data/partitions", "data/curvature", "data/model", "data/expectations", "data/valuation")
"""Folders in which the manifest must list every file, if it lists any."""
OTHERS = {MANIFEST, RUN, SIGNATURE, ".gitignore"}
"""Names of files in these folders that no manifest lists."""


@dataclass(frozen=True)
class Altered:
    """A file that differs from its record: its path in the project, and the problem."""

    path: str
    problem: str


def check_schema(manifest: Mapping[str, Any], where: Path | str) -> None:
    """Raise `InputError` unless this version of unshapley can read the manifest."""
    version = manifest.get("schema_version")
    if isinstance(version, int) and 1 <= version <= SCHEMA_VERSION:
        return
    raise InputError(
        f"the manifest has schema version {version}",
        where=where,
        expected=f"at most {SCHEMA_VERSION}, which this version of unshapley knows",
        do="install the version of unshapley that wrote it",
    )


def altered_files(project: Project, manifest: Mapping[str, Any]) -> list[Altered]:
    """Files that differ from a manifest, are missing, or are not listed in it; sorted by path.

    Covers all inputs, all outputs and the parameters. It does not cover run.json, nor the manifest
    itself, which git or a signature protects. Raises `InputError` for a manifest of a newer schema.
    """
    check_schema(manifest, project.valuation / MANIFEST)
    folder = project.relative(project.valuation)
    expected = dict(manifest["inputs"])
    expected |= {f"{folder}/{name}": file_hash for name, file_hash in manifest["outputs"].items()}
    files = [Altered(path, problem) for path, problem in _differing(project.root, expected)]
    files += [
        Altered(path, "is not named in the manifest") for path in _unexpected(project, expected)
    ]
    files += [
        Altered("params.yaml", problem) for problem in _parameters(project, manifest["config"])
    ]
    return sorted(files, key=lambda file: file.path)


def _differing(root: Path, expected: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for path, recorded in expected.items():
        if not (root / path).is_file():
            yield path, "is missing"
        elif (current := sha256(root / path)) != recorded:
            yield path, f"has SHA-256 {current[:12]}…, recorded is {recorded[:12]}…"


def _unexpected(project: Project, expected: Mapping[str, str]) -> Iterator[str]:
    read = [folder for folder in COVERED if any(name.startswith(folder) for name in expected)]
    for folder in read:  # statistics that the unlearner does not need lie there unread
        for path in sorted((project.root / folder).rglob("*")):
            relative_path = project.relative(path)
            listed = relative_path.removesuffix(".dvc")  # DVC tracks a file by one beside it
            if path.is_file() and path.name not in OTHERS and listed not in expected:
                yield relative_path


def _parameters(project: Project, recorded: Mapping[str, Any]) -> Iterator[str]:
    try:
        current = load_params(project.params).recorded()
    except InputError as error:
        yield str(error).splitlines()[0]
        return
    flat_recorded, flat_current = flat(_as_read_now(recorded)), flat(current)
    for key in sorted({*flat_recorded, *flat_current}):
        if flat_recorded.get(key) != flat_current.get(key):
            yield f"{key} is {flat_current.get(key)}, recorded is {flat_recorded.get(key)}"


def _as_read_now(recorded: Mapping[str, Any]) -> Mapping[str, Any]:
    """Recorded parameters with those that the recording version did not know, at their defaults."""
    try:
        return parse_params(recorded, MANIFEST).recorded()
    except InputError:
        return recorded


def flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as one mapping: `{"a.b": 1}` for `{"a": {"b": 1}}`."""
    if not isinstance(content, Mapping) or not content:
        return {prefix: content}
    out: dict[str, Any] = {}
    for key, value in content.items():
        out |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return out
