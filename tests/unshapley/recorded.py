"""Valuations as git keeps them, without the minutes of making them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from unshapley.project import Project
from unshapley.results.published import PublishedValue
from unshapley.results.tracked import TrackedValuation

NORMAL = 1.959963984540054
HEAD = "provider,rows,value,std_error,ci_low,ci_high,rank,status,sampling_error,test_error,correction_error"
MANIFEST: dict[str, Any] = {
    "schema_version": 1,
    "code": {"version": "0.2.0", "sources": "s1", "commit": "c" * 40, "dirty": False},
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "numerics": {"device": "cpu", "threads": 1, "dtype": "float32", "sources": "s1"},
    "config": {"valuation": {"unlearner": "newton", "budget": 30}},
    "seeds": {"valuation": 0},
    "quarantined": {},
    "unlearner": ["newton", {}],
    "game": "g1",
    "estimator": {"name": "exact", "reason": ""},
    "coalitions": {"planned": 30, "measured": 30},
    "fidelity": {"status": "trusted", "grade": "values", "weak": False},
}
METRICS = {"utility": "accuracy", "u_all": 0.9, "u_none": 0.1}


def manifest_of(providers: Mapping[str, str], **changes: Any) -> dict[str, Any]:
    """A manifest; providers: content of each one's rows; changes: entries by name with __ for dots."""
    content = deepcopy(MANIFEST)
    inputs = {f"data/partitions/{name}.parquet": rows for name, rows in providers.items()}
    content["inputs"] = {
        "data/test.parquet": "t1",
        "data/model/checkpoint.safetensors": "m1",
        **inputs,
    }
    for name, value in changes.items():
        *path, last = name.split("__")
        part = content
        for key in path:
            part = part[key]
        part[last] = value
    content["players"] = sorted(providers.keys() - content["quarantined"].keys())
    return content


def entry(
    provider: str, value: float, sampling: float, test: float, rows: int = 90
) -> PublishedValue:
    """A valued provider, whose interval covers both errors."""
    error = (sampling**2 + test**2) ** 0.5
    low, high = value - NORMAL * error, value + NORMAL * error
    return PublishedValue(provider, "valued", value, low, high, error, test, None, rows)


def recorded(
    name: str, manifest: dict[str, Any], *entries: PublishedValue, **metrics: Any
) -> TrackedValuation:
    """A valuation in memory."""
    whole = hashlib.sha256(json.dumps([manifest, metrics, repr(entries)]).encode()).hexdigest()
    return TrackedValuation(name, manifest, {**METRICS, **metrics}, entries, whole)


def write(
    project: Project, manifest: dict[str, Any], *entries: PublishedValue, **metrics: Any
) -> Path:
    """The files of a valuation in the project, as publishing writes them; the manifest's path."""
    folder = project.valuation
    folder.mkdir(parents=True, exist_ok=True)
    ranked = sorted(entries, key=lambda e: -(e.value or 0))
    lines = [
        f"{e.provider},{e.rows},{e.value},{e.std_error},{e.ci_low},{e.ci_high},{ranked.index(e) + 1},{e.status},,{e.test_error},"
        for e in entries
    ]
    (folder / "values.csv").write_text("\n".join([HEAD, *lines]) + "\n")
    (folder / "metrics.json").write_text(json.dumps({**METRICS, **metrics}))
    outputs = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("values.csv", "metrics.json")
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps({**manifest, "outputs": outputs}))
    return path
