"""What results depend on besides data and parameters: versions, device, threads, sources."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from unshapley.errors import InputError, UnshapleyError
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
)
KERNELS = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_CORETYPE")
"""Environment variables by which kernels are chosen that give other last digits."""

PORTABLE = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3,X86_V4,AVX512_ICL,AVX512_SPR",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F,"
    "-AVX_Usable,-AVX2_Usable,-FMA_Usable,-FMA4_Usable,-AVX512F_Usable",
}
"""Environment variables by which torch, MKL, oneDNN, OpenBLAS, numpy and the C library use no
instruction that only some processors of the kind x86-64 (version 2) have. They are read when a
process starts, or when it imports them."""

_HOME = Path(__file__).resolve().parent.parent


def source_hash(*folders: str) -> str:
    """Hash of the sources (Python, templates, scripts) in these folders of this repository."""
    files = {
        path.relative_to(_HOME).as_posix(): sha256(path)
        for folder in folders
        for pattern in ("*.py", "*.j2", "*.js")
        for path in (_HOME / folder).rglob(pattern)
    }
    return digest(files)


SOURCES = source_hash("unshapley")
"""Hash of the library at the time of import: keys of results contain it."""


@cache
def numerics(device: str = "cpu") -> dict[str, Any]:
    """What the numbers in a chunk depend on; part of the chunk's key."""
    return {
        "device": device,
        "threads": 1,
        "dtype": "float32",
        "torch": importlib.metadata.version("torch"),
        "sources": SOURCES,
        **processor(device),
    }


def processor(device: str = "cpu") -> dict[str, Any]:
    """Kind of processor, the vector width that torch uses on it, and what the user has set of it.

    Other kinds, widths and settings give other last digits.
    """
    if device == "cpu" and is_portable():
        return {"processor": "x86-64", "vector": "portable", "kernels": {}}
    import torch

    kind = torch.cuda.get_device_name() if device == "cuda" else _cpu()
    settings = {name: os.environ[name] for name in KERNELS if os.environ.get(name)}
    return {
        "processor": kind,
        "vector": torch.backends.cpu.get_cpu_capability(),
        "kernels": settings,
    }


def is_portable(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a process with these variables gives the bits that every x86-64 processor gives."""
    of_the_kind = platform.machine() in ("x86_64", "AMD64")
    return of_the_kind and all(environment.get(name) == value for name, value in PORTABLE.items())


def check_numerics(asked: str) -> None:
    """Raise `InputError` where `valuation.numerics: portable` is asked of a process that is not."""
    if asked == "portable" and not is_portable():
        raise InputError(
            "this process may use instructions that only some processors have",
            where="valuation.numerics",
            expected="for portable, an x86-64 processor and the environment variables "
            + " ".join(f"{name}={value}" for name, value in PORTABLE.items()),
            do="use the command line, which sets them, or set them where the worker is started",
        )


def _cpu() -> str:
    """Name, family and model of the processor; virtual machines may call many kinds alike."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    name = facts.get("model name", platform.machine())
    numbers = [f"{key.split()[-1]} {facts[key]}" for key in ("cpu family", "model") if key in facts]
    return ", ".join([name, *numbers])


def check_sources() -> None:
    """Raise `UnshapleyError` if the library on disk has changed since it was imported."""
    if source_hash("unshapley") != SOURCES:
        raise UnshapleyError(
            "the sources of unshapley changed while it ran: nothing was published\n"
            "  do: run the same command again"
        )


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed[package] = "absent"
    return installed


@cache
def code() -> dict[str, Any]:
    """Version and hash of the sources, their last commit, and whether they differ from it (None:
    unknown). A commit that only adds outputs does not change these entries.
    """
    present = [name for name in CODE if (_HOME / name).exists()]
    changes = _git("status", "--porcelain", "--", *present)
    return {
        "version": importlib.metadata.version("unshapley"),
        "sources": source_hash("unshapley", "tasks", "flows"),
        "commit": _git("log", "-1", "--format=%H", "--", *present) or None,
        "dirty": None if changes is None else bool(changes),
    }


def git(folder: Path, *arguments: str, given: bytes = b"") -> bytes | None:
    """Output of a git command in a folder, with `given` as its input; None if it fails, or git is
    not installed.
    """
    try:
        command = ["git", "-c", "log.showSignature=false", "-C", str(folder), *arguments]
        return subprocess.run(command, input=given, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def git_problem(folder: Path) -> str:
    """Why git cannot be asked about a folder; empty if it can."""
    try:
        command = ["git", "-C", str(folder), "rev-parse", "--git-dir"]
        asked = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return "git is not installed"
    if asked.returncode == 0:
        return ""
    message = asked.stderr.decode(errors="replace").strip().splitlines()
    return message[0].removeprefix("fatal: ") if message else "git fails here"


def _git(*arguments: str) -> str | None:
    output = git(_HOME, *arguments)
    return None if output is None else output.decode().strip()
