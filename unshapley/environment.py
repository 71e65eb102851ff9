"""What a result depends on besides data and parameters: versions, device, threads, sources."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from unshapley.files import digest, sha256

PACKAGES = (
    "torch",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "safetensors",
    "pydantic",
    "prefect",
    "great-expectations",
    "dvc",
    "matplotlib",
)
CODE = (
    "unshapley",
    "tasks",
    "flows",
    "pyproject.toml",
    "constraints.txt",
    "dvc.yaml",
    "params.yaml",
)

_HOME = Path(__file__).resolve().parent.parent


@cache
def numerics() -> dict[str, Any]:
    """What the numbers of a chunk depend on: part of its key."""
    return {
        "device": "cpu",
        "threads": 1,
        "dtype": "float32",
        "torch": importlib.metadata.version("torch"),
        "sources": sha256(_HOME / "unshapley"),
    }


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


@cache
def code() -> dict[str, Any]:
    """Version and hash of our sources, the last commit that touched them, and whether they differ
    from it. A commit that only adds outputs leaves all this as it was.
    """
    present = [name for name in CODE if (_HOME / name).exists()]
    sources = {name: sha256(_HOME / name) for name in ("unshapley", "tasks", "flows")}
    return {
        "version": importlib.metadata.version("unshapley"),
        "sources": digest(sources),
        "commit": _git("log", "-1", "--format=%H", "--", *present) or None,
        "dirty": bool(_git("status", "--porcelain", "--", *present)),
    }


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(_HOME), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
