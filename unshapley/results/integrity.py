"""Whether the files of a valuation are those that its manifest names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unshapley.config import load_params
from unshapley.errors import InputError
from unshapley.files import sha256
from unshapley.project import Project
from unshapley.results.chain import MANIFEST
from unshapley.results.manifest import RUN, SCHEMA_VERSION

COVERED = ("data/partitions", "data/curvature", "data/model", "data/expectations", "data/valuation")
"""Folders in which a valuation reads, or writes, every file."""
OTHERS = {MANIFEST, RUN, f"{MANIFEST}.sig", ".gitignore"}
"""Files there that no manifest names."""


@dataclass(frozen=True)
class Altered:
    """A file that is not as recorded: its path in the project, and what is wrong with it."""

    path: str
    problem: str


def check_schema(manifest: Mapping[str, Any], where: Path) -> None:
    """Raise `InputError` for the manifest of a newer version of unshapley, or for none."""
    version = manifest.get("schema_version")
    if isinstance(version, int) and 1 <= version <= SCHEMA_VERSION:
        return
    raise InputError(
        f"the manifest has schema version {version}",
        where=where,
        expected=f"at most {SCHEMA_VERSION}, which this version of unshapley knows",
        do="install the version of unshapley that wrote it",
    )


def altered(place: Project, manifest: Mapping[str, Any]) -> list[Altered]:
    """Files that differ from a manifest, are missing, or that it does not name; by path.

    Covers every input and output, and the parameters; not the manifest itself, which git or a
    signature vouch for, nor run.json. Raises `InputError` for a manifest of a newer schema.
    """
    check_schema(manifest, place.valuation / MANIFEST)
    folder = place.relative(place.valuation)
    named = dict(manifest["inputs"])
    named |= {f"{folder}/{name}": hashed for name, hashed in manifest["outputs"].items()}
    found = [Altered(path, problem) for path, problem in _differing(place.root, named)]
    found += [Altered(path, "is not named in the manifest") for path in _unnamed(place, named)]
    found += [Altered("params.yaml", problem) for problem in _parameters(place, manifest["config"])]
    return sorted(found, key=lambda one: one.path)


def _differing(root: Path, named: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for path, recorded in named.items():
        if not (root / path).is_file():
            yield path, "is missing"
        elif (now := sha256(root / path)) != recorded:
            yield path, f"has SHA-256 {now[:12]}…, recorded is {recorded[:12]}…"


def _unnamed(place: Project, named: Mapping[str, str]) -> Iterator[str]:
    for folder in COVERED:
        for path in sorted((place.root / folder).rglob("*")):
            within = place.relative(path)
            if path.is_file() and path.name not in OTHERS and within not in named:
                yield within


def _parameters(place: Project, recorded: Mapping[str, Any]) -> Iterator[str]:
    try:
        now = load_params(place.params).model_dump(mode="json", exclude={"run"})
    except InputError as error:
        yield str(error).splitlines()[0]
        return
    left, right = _flat(recorded), _flat(now)
    for key in sorted({*left, *right}):
        if left.get(key) != right.get(key):
            yield f"{key} is {right.get(key)}, recorded is {left.get(key)}"


def _flat(content: Any, above: str = "") -> dict[str, Any]:
    if not isinstance(content, Mapping) or not content:
        return {above: content}
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{above}.{key}" if above else str(key))
    return flat
