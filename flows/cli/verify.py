"""Commands that vouch for a valuation: its files against their manifest, and who signed that."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.common import JsonOption, ProjectOption, print_json, reported
from unshapley.errors import AlteredError, InputError
from unshapley.project import Project

if TYPE_CHECKING:
    from unshapley.results.signatures import Signature, Trust
    from unshapley.results.verification import Verification


@reported
def verify(
    project: ProjectOption = Path(),
    allowed_signers: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Who may sign; before signing.allowed_signers."),
    ] = None,
    require_signature: Annotated[
        bool, typer.Option("--require-signature", help="Fail if the manifest is not signed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every file that the valuation read or wrote against its manifest, and that against git.

    Names each file that is altered, missing or of unknown origin. A signed manifest is checked for
    who signed it. Exit code 0: all as recorded, also in a new valuation that is not committed yet
    (a note says so); 4: something is altered, or its signature is not to be trusted; 5: not
    checkable, as nothing vouches for the manifest.

    Examples: `unshapley verify` · `unshapley verify --allowed-signers auditors --json`
    """
    from unshapley.results.integrity import Altered
    from unshapley.results.layout import SIGNATURE
    from unshapley.results.signatures import trust_of
    from unshapley.results.verification import verify_files

    paths = Project(project)
    found = verify_files(paths)
    trust = trust_of(paths, allowed_signers, required=require_signature)
    signature = _signature(paths, trust)
    altered = [*found.altered]
    if signature.fails(trust):
        altered.append(Altered(paths.relative(paths.valuation / SIGNATURE), signature.problem))
    count = len(found.manifest.get("inputs", {})) + len(found.manifest.get("outputs", {}))
    if as_json:
        content = {"files": count, "altered": [asdict(file) for file in altered]}
        print_json({**content, "note": found.note, "signature": asdict(signature)})
    elif not altered:
        print(f"{count} files, parameters and manifest are as recorded")
        _print_notes(found, signature)
    if altered:
        lines = "\n".join(f"  {file.path}: {file.problem}" for file in altered)
        raise AlteredError(
            f"{len(altered)} files of the valuation are not as recorded\n{lines}\n"
            "  do: restore them with `git checkout` and `dvc checkout --force`, or run "
            "`unshapley run` for a new valuation"
        )


def _signature(project: Project, trust: Trust) -> Signature:
    """What the signature beside the manifest says."""
    from unshapley.results.layout import MANIFEST, SIGNATURE
    from unshapley.results.signatures import check_signature, signing_time

    manifest, file = project.valuation / MANIFEST, project.valuation / SIGNATURE
    signature = file.read_bytes() if file.is_file() else None
    return check_signature(manifest.read_bytes(), signature, trust, signing_time(project))


def _print_notes(found: Verification, signature: Signature) -> None:
    from unshapley.results.signatures import GOOD, UNCHECKED

    if signature.status == GOOD:
        print(f"signed by {signature.signer}, {signature.key}")
    elif signature.status == UNCHECKED:
        print(f"note: the signature {signature.problem}")
    if found.note:
        print(f"note: {found.note}")


@reported
def sign(
    project: ProjectOption = Path(),
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Private key, or public key of one in an agent. [default: see above]",
        ),
    ] = None,
) -> None:
    """Sign the manifest of the valuation that stands here, with ssh-keygen.

    Writes data/valuation/manifest.json.sig, for git to hold; the valuation stays as it is. The key
    is the one of --key, else signing.key of params.yaml, else the one that git signs with by SSH.
    `unshapley verify` checks the signature; docs/signing.md explains who may sign.

    Example: `unshapley sign --key ~/.ssh/id_ed25519`
    """
    from unshapley.config import load_params
    from unshapley.results.signing import sign_manifest, signing_key

    paths = Project(project)
    chosen = key or signing_key(paths, load_params(paths.params).signing)
    if chosen is None:
        raise InputError(
            "no key is configured",
            where=paths.params,
            do="name one with --key, or set signing.key, or git's user.signingKey to a file",
        )
    print(f"written: {sign_manifest(paths, chosen)}")


COMMANDS = (verify, sign)
