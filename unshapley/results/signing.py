"""Sign a manifest with OpenSSH's `ssh-keygen -Y`.

The signature stands beside the manifest and not in it, so that a valuation's bytes do not depend on
who signs.
"""

from __future__ import annotations

from pathlib import Path

from unshapley.config import SigningSettings
from unshapley.errors import InputError
from unshapley.files import read_json, written_whole
from unshapley.project import Project
from unshapley.results.integrity import altered_files
from unshapley.results.layout import MANIFEST, SIGNATURE
from unshapley.results.signatures import NAMESPACE, git_config, last_line, path_of, ssh_keygen


def sign_manifest(project: Project, key: Path, *, ask: bool = True) -> Path:
    """Sign the manifest of the valuation that stands in the project; the path of the signature.

    key: a private key, or the public key of one that an agent holds; ask: for its passphrase, at
    the terminal. Raises `InputError` if there is no valuation, if its files are not those that the
    manifest names, or if the key cannot sign.
    """
    path = project.valuation / MANIFEST
    manifest = read_json(path, do="run `unshapley run` first")
    altered = altered_files(project, manifest)
    if altered:
        raise InputError(
            f"{altered[0].path} {altered[0].problem}",
            where=path,
            expected="a valuation whose files are those of its manifest",
            do="`unshapley verify` names all that are not",
        )
    signature = make_signature(path.read_bytes(), key, ask=ask)
    with written_whole(project.valuation / SIGNATURE) as part:
        part.write_bytes(signature)
    return project.valuation / SIGNATURE


def make_signature(content: bytes, key: Path, *, ask: bool) -> bytes:
    """The signature of these bytes; `InputError` if the key cannot sign."""
    if not key.is_file():
        raise InputError("there is no such key", where=key, expected="a key for ssh-keygen -Y sign")
    done = ssh_keygen("sign", "-q", "-f", str(key), "-n", NAMESPACE, given=content, ask=ask)
    if done.returncode:
        raise InputError(
            f"the key does not sign: {last_line(done)}",
            where=key,
            expected="a private key without a passphrase, or the public key of one in an agent",
        )
    return done.stdout


def signing_key(project: Project, settings: SigningSettings) -> Path | None:
    """The key that signs: `signing.key`, else git's user.signingKey where it is a file."""
    if settings.key:
        return path_of(project, settings.key)
    if git_config(project, "gpg.format") != "ssh":
        return None
    named = git_config(project, "user.signingKey")
    return path_of(project, named) if named and not named.startswith(("key::", "ssh-")) else None
