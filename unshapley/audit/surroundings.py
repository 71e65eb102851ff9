"""What differs between where a valuation was made and where it is audited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unshapley import environment

UNKNOWN = "not recorded"
ARITHMETIC = ("sources", "torch", "numpy", "scipy", "device", "dtype")
"""Names of what a number may depend on in more than its last digits."""

BITS = (*ARITHMETIC, "processor", "vector", "kernels", "python", "pandas", "scikit-learn")
"""Names of what the last digits may depend on."""


@dataclass(frozen=True)
class Difference:
    """One difference of surroundings; name: what; recorded, here: its two states."""

    name: str
    recorded: str
    here: str


def differences(manifest: Mapping[str, Any]) -> list[Difference]:
    """Every difference between the recorded surroundings and these: device, processor, vector
    width, settings of kernels, threads, versions, and code.
    """
    recorded = _flat(manifest)
    here = _flat(
        {
            "numerics": environment.numerics(manifest["config"]["valuation"]["device"]),
            "versions": environment.versions(),
            "code": environment.code(),
        }
    )
    return [
        Difference(name, str(recorded.get(name, UNKNOWN)), str(here.get(name, UNKNOWN)))
        for name in here
        if recorded.get(name, UNKNOWN) != here[name]
    ]


def is_other_code(found: list[Difference]) -> bool:
    """Whether other code, or another library that computes, is at work here than was recorded."""
    return any(difference.name in ARITHMETIC for difference in found)


def is_same_machine(found: list[Difference]) -> bool:
    """Whether the same kind of processor, libraries and code are at work: then what is derived from
    the same utilities has the same bits.
    """
    return not any(difference.name in BITS for difference in found)


def rebuild_commands(manifest: Mapping[str, Any]) -> list[str]:
    """Commands, in a clone of unshapley, that rebuild the recorded code and versions; none where no
    commit holds the code.
    """
    commit, versions = manifest["code"]["commit"], dict(manifest["versions"])
    if not commit or manifest["code"]["dirty"]:
        return []
    folder, python = f"../unshapley-{commit[:8]}", versions.pop("python").rsplit(".", 1)[0]
    packages = [
        f"{name}=={version.split('+')[0]}"
        for name, version in versions.items()
        if version != "absent"
    ]
    return [
        f"git worktree add --detach {folder} {commit}",
        f"python{python} -m venv {folder}/.venv",
        f"{folder}/.venv/bin/pip install -c {folder}/constraints.txt -e {folder} "
        + " ".join(packages),
    ]


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    numerics = {k: v for k, v in content["numerics"].items() if k != "torch"}
    code = {name: content["code"][name] for name in ("commit", "dirty")}
    return {**numerics, **content["versions"], **code}
