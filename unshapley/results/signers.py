"""Who signed the valuations of git's history."""

from __future__ import annotations

import hashlib
from datetime import datetime

from unshapley.errors import UncheckableError
from unshapley.project import Project
from unshapley.results.githistory import list_commits, read_blobs
from unshapley.results.layout import MANIFEST, SIGNATURE
from unshapley.results.signatures import UNCHECKED, Signature, Trust, check_signature, trust_of


def signatures_until(project: Project, revision: str) -> dict[str, Signature]:
    """What the newest signature of each manifest says, of a revision and its ancestors, by the
    manifest's hash; manifests without one are left out.

    A valuation may be signed in a later commit than the one that brought it. A signature counts as
    made in the first commit that holds it. Who is trusted, the project says now.
    """
    paths = [f"./{project.relative(project.valuation / name)}" for name in (MANIFEST, SIGNATURE)]
    commits = list_commits(project.root, "--reverse", "--topo-order", revision, "--", *paths)
    names = [(commit.id, name) for commit in commits for name in (MANIFEST, SIGNATURE)]
    contents = read_blobs(project, names)
    made: dict[bytes, datetime] = {}
    newest: dict[bytes, bytes] = {}
    for commit in commits:
        manifest, signature = next(contents), next(contents)
        if manifest is not None and signature is not None:
            made.setdefault(signature, commit.date)
            newest[manifest] = signature
    trust = trust_of(project)
    return {
        hashlib.sha256(manifest).hexdigest(): _told(manifest, signature, trust, made[signature])
        for manifest, signature in newest.items()
    }


def signature_here(project: Project) -> Signature | None:
    """What the signature says that stands beside the project's manifest; None without one."""
    path = project.valuation / SIGNATURE
    if not path.is_file():
        return None
    manifest = (project.valuation / MANIFEST).read_bytes()
    return _told(manifest, path.read_bytes(), trust_of(project), None)


def _told(manifest: bytes, signature: bytes, trust: Trust, at: datetime | None) -> Signature:
    """As `check_signature`; a file of signers that is missing hides no valuation."""
    try:
        return check_signature(manifest, signature, trust, at)
    except UncheckableError as error:
        return Signature(UNCHECKED, str(error).splitlines()[0])
