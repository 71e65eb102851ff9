"""Real keys of ssh-keygen, made in a moment."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"
)


def make_key(folder: Path, name: str, passphrase: str = "") -> Path:
    path = folder / name
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def signer(key: Path, options: str = "") -> str:
    """The line of a key in a file of allowed signers; options end with a space."""
    kind, blob, _ = key.with_suffix(".pub").read_text().split()
    return f"{key.name}@example.org {options}{kind} {blob}\n"
