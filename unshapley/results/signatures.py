"""Check who signed a manifest, with OpenSSH's `ssh-keygen -Y`.

Who may sign is stated as for git's commits: by a file of allowed signers (ssh-keygen(1), section
ALLOWED SIGNERS) and a list of revoked keys.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from unshapley.config import SigningSettings, load_params
from unshapley.environment import git
from unshapley.errors import InputError, UncheckableError
from unshapley.project import Project
from unshapley.results.layout import SIGNATURE

NAMESPACE = "unshapley-manifest"
"""Namespace of our signatures: one made for another purpose is none of a manifest."""

GOOD, MISSING, UNCHECKED = "good", "missing", "unchecked"
ALTERED, FOREIGN, UNREADABLE = "altered", "wrong namespace", "unreadable"
UNKNOWN, EXPIRED, EARLY, REVOKED = "unknown key", "expired key", "key not yet valid", "revoked key"
NOT_PERMITTED = "key not permitted"


@dataclass(frozen=True)
class Trust:
    """Whom to trust. allowed: file of allowed signers, None if none is named; revoked: list of
    revoked keys; required: whether a manifest without a signature fails.
    """

    allowed: Path | None = None
    revoked: Path | None = None
    required: bool = False


@dataclass(frozen=True)
class Signature:
    """What a signature says of a manifest.

    status: `good`, or what is wrong; problem: the same in words, with what to know; empty if good.
    signer: the principal that the key belongs to; key: its kind and fingerprint.
    """

    status: str
    problem: str = ""
    signer: str = ""
    key: str = ""

    def __str__(self) -> str:
        """Who signed, or what is wrong, in a few words."""
        if self.status == GOOD:
            return self.signer
        return f"{self.status} of {self.signer}" if self.signer else self.status

    def fails(self, trust: Trust) -> bool:
        """Whether the signature is not as it should be, given who is trusted."""
        if self.status == MISSING:
            return trust.required
        return self.status not in (GOOD, UNCHECKED)


def trust_of(project: Project, allowed: Path | None = None, *, required: bool = False) -> Trust:
    """Whom the project's parameters trust, else whom git's configuration does.

    allowed: a file of allowed signers that goes before both; required: also without
    `signing.required`. Files that params.yaml names count from the project's folder.
    """
    try:
        settings = load_params(project.params).signing
    except InputError:  # the check of the parameters tells
        settings = SigningSettings()
    signers = settings.allowed_signers or git_config(project, "gpg.ssh.allowedSignersFile")
    revoked = settings.revoked or git_config(project, "gpg.ssh.revocationFile")
    return Trust(
        allowed or (path_of(project, signers) if signers else None),
        path_of(project, revoked) if revoked else None,
        required or settings.required,
    )


def signing_time(project: Project) -> datetime:
    """When the signature was committed; now if it is not, or differs from its commit."""
    path = f"./{project.relative(project.valuation / SIGNATURE)}"
    changed = git(project.root, "status", "--porcelain", "--", path)
    seconds = git(project.root, "log", "-1", "--format=%ct", "--", path)
    if changed == b"" and seconds:
        return datetime.fromtimestamp(int(seconds), UTC)
    return datetime.now(UTC)


def check_signature(
    manifest: bytes, signature: bytes | None, trust: Trust, at: datetime | None = None
) -> Signature:
    """Who signed these bytes, and whether the key is one to trust.

    signature: None if there is none; at: when it was made, as far as is known: a key must be valid
    at that time. Default: now. Raises `UncheckableError` if a file of `trust` or ssh-keygen is
    missing, or if a signature is required and nobody is named who may sign.
    """
    if signature is None:
        return Signature(MISSING, "is missing: the manifest is not signed")
    for path, what in ((trust.allowed, "allowed signers"), (trust.revoked, "revoked keys")):
        if path is not None and not path.is_file():
            raise UncheckableError(
                f"{path}: the file of {what} is missing\n"
                "  do: correct section signing of params.yaml, or git's configuration gpg.ssh"
            )
    if trust.allowed is None and trust.required:
        raise UncheckableError(
            "a signature is required, and no file names who may sign\n"
            "  do: set signing.allowed_signers, or git's gpg.ssh.allowedSignersFile"
        )
    if trust.allowed is None and shutil.which("ssh-keygen") is None:
        return Signature(UNCHECKED, "was not looked at, as ssh-keygen is not installed")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / SIGNATURE
        file.write_bytes(signature)
        return _checked(manifest, file, trust, at or datetime.now(UTC))


def _checked(manifest: bytes, file: Path, trust: Trust, at: datetime) -> Signature:
    """The steps of `check_signature` that ssh-keygen takes, on a signature in a file."""
    made = ssh_keygen("check-novalidate", "-n", NAMESPACE, "-s", str(file), given=manifest)
    if made.returncode:
        return _not_of_manifest(made)
    key = re.search(rb"with (.+)", made.stdout)
    known = key[1].decode() if key else "a key"
    if trust.allowed is None:
        problem = f"is by {known}; whose it is cannot be told, as no file of allowed signers is set"
        return Signature(UNCHECKED, problem, key=known)
    signers = ["-f", str(trust.allowed), "-s", str(file)]
    time = f"-Overify-time={at.astimezone(UTC):%Y%m%d%H%M%S}"
    search = ssh_keygen("find-principals", *signers, time)
    principals = search.stdout.decode().splitlines()
    if search.returncode or not principals:
        return _not_trusted(search, known, at)
    revoked = ["-r", str(trust.revoked)] if trust.revoked else []
    verdicts = []
    for principal in principals:
        verify = ["verify", *signers, time, "-I", principal, "-n", NAMESPACE]
        done = ssh_keygen(*verify, *revoked, given=manifest)
        if done.returncode == 0:
            return Signature(GOOD, "", principal, known)
        status, problem = NOT_PERMITTED, f"may not sign manifests: {last_line(done)}"
        if revoked and ssh_keygen(*verify, given=manifest).returncode == 0:
            status, problem = REVOKED, "was revoked"
        text = f"is by {known} of {principal}, which {problem}"
        verdicts.append(Signature(status, text, principal, known))
    return verdicts[0]


def _not_of_manifest(made: subprocess.CompletedProcess[bytes]) -> Signature:
    if b"namespace does not match" in made.stderr:
        return Signature(FOREIGN, f"was made for another purpose than {NAMESPACE}")
    if b"incorrect signature" in made.stderr:
        return Signature(ALTERED, "is not of this manifest: it or the manifest was altered")
    return Signature(UNREADABLE, f"is no signature that can be read: {last_line(made)}")


def _not_trusted(search: subprocess.CompletedProcess[bytes], key: str, at: datetime) -> Signature:
    """Why no principal matches a key at the time of signing."""
    if b"key has expired" in search.stderr:
        return Signature(EXPIRED, f"is by {key}, which had expired on {at:%Y-%m-%d}", key=key)
    if b"not yet valid" in search.stderr:
        return Signature(EARLY, f"is by {key}, which was not valid yet on {at:%Y-%m-%d}", key=key)
    other_lines = search.stderr.replace(b"No principal matched.", b"").strip()
    if other_lines:  # a line of the file that cannot be read, or an old version
        raise UncheckableError(
            f"ssh-keygen cannot say who signed: {other_lines.decode(errors='replace')}\n"
            "  do: correct the file of allowed signers; OpenSSH 8.9 or newer is needed"
        )
    return Signature(UNKNOWN, f"is by {key}, which is none of the allowed signers'", key=key)


def ssh_keygen(
    action: str, *arguments: str, given: bytes = b"", ask: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """Run `ssh-keygen -Y`; times are UTC. Raises `UncheckableError` if it is not installed."""
    try:
        return subprocess.run(
            ["ssh-keygen", "-Y", action, *arguments],
            input=given,
            capture_output=True,
            check=False,
            start_new_session=not ask,  # without a terminal, it cannot wait for a passphrase
            env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise UncheckableError(
            "ssh-keygen is not installed, and signatures are its\n"
            "  do: install OpenSSH's client, 8.9 or newer"
        ) from None


def last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """The reason that ssh-keygen gives."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "ssh-keygen gives no reason"


def git_config(project: Project, name: str) -> str:
    """A value of git's configuration, files with ~ resolved; empty if there is none."""
    kind: Sequence[str] = ["--type=path"] if name.endswith("File") else []
    return (git(project.root, "config", *kind, "--get", name) or b"").decode().strip()


def path_of(project: Project, name: str) -> Path:
    """A file that params.yaml or git names; a relative one counts from the project's folder."""
    path = Path(name).expanduser()
    return path if path.is_absolute() else project.root / path
