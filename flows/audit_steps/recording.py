"""Step: is the record itself whole? The manifest, its place in the chain, its tag, its files."""

from __future__ import annotations

from collections.abc import Iterator

from flows.audit_steps.fetching import recorded_files
from flows.audit_steps.run import AuditRun
from unshapley.audit.verdict import DIFFERENT, IDENTICAL, UNEXAMINED, Check
from unshapley.files import sha256
from unshapley.results.chain import broken_links
from unshapley.results.integrity import altered_files
from unshapley.results.layout import MANIFEST, SIGNATURE
from unshapley.results.signatures import GOOD, check_signature, signing_time, trust_of


def check_record(run: AuditRun) -> bool:
    """Whether everything that was recorded is there, and is what was recorded."""
    with run.tracker.step("record"):
        for check in RECORD_CHECKS:
            run.add(*check(run))
    return not run.verdict.differing and not run.verdict.missing


def check_tag(run: AuditRun) -> Iterator[Check]:
    """Whether the tag is where it was made: by the hash in its name, and by the remote's."""
    stated, tag = run.revision.hash_in_tag, run.revision.tag
    if tag is None:
        return
    if stated:
        manifest = sha256(run.project.valuation / MANIFEST)
        moved = (f"its name states {stated}, the manifest's hash is {manifest[:8]}",)
        agrees = manifest.startswith(stated)
        yield _of(agrees, "record", f"tag {tag}, by its name", moved)
    upstream = run.repo.upstream or ("origin", "")
    if run.repo.try_git("config", f"remote.{upstream[0]}.url") is None:
        return
    there = run.repo.try_git("ls-remote", upstream[0], f"refs/tags/{tag}", f"refs/tags/{tag}^{{}}")
    what = f"tag {tag}, at {upstream[0]}"
    if not there:
        why = "out of reach" if there is None else "has no such tag"
        yield Check("record", what, UNEXAMINED, details=(f"the remote {upstream[0]} {why}",))
        return
    commit = sorted(line.split()[::-1] for line in there.split("\n"))[-1][1]  # peeled, if it is
    moved = (f"the tag stands at {commit[:8]} there, at {run.revision.commit[:8]} here",)
    yield _of(commit == run.revision.commit, "record", what, moved)


def check_chain(run: AuditRun) -> Iterator[Check]:
    """Whether every manifest of the history names its predecessor; later ones vouch for this."""
    what = "chain of manifests"
    if run.repo.git("rev-parse", "--is-shallow-repository") == "true":
        why = "the clone is shallow: run `git fetch --unshallow`"
        yield Check("record", what, UNEXAMINED, details=(why,))
        return
    later = run.repo.try_git("merge-base", "--is-ancestor", run.revision.commit, "HEAD") is not None
    project = run.user if later else run.project  # the longer history
    problems = tuple(broken_links(project.root, project.valuation))
    yield _of(not problems, "record", what, problems)


def check_files(run: AuditRun) -> Iterator[Check]:
    """Whether every file and parameter is the recorded one, and none is there that is not named."""
    altered = [f for f in altered_files(run.project, run.manifest) if f.path not in run.missing]
    count = len(recorded_files(run)) - len(run.missing)
    details = tuple(f"{file.path} {file.problem}" for file in altered)
    if altered:
        yield Check("inputs", "files", DIFFERENT, count, len(altered), details=details)
    else:
        yield Check("inputs", "files, by their hashes", IDENTICAL, count)


def check_signer(run: AuditRun) -> Iterator[Check]:
    """Who signed the manifest, by whom the auditor trusts: not whom the audited revision names."""
    trust, file = trust_of(run.user), run.project.valuation / SIGNATURE
    content = file.read_bytes() if file.is_file() else None
    manifest = (run.project.valuation / MANIFEST).read_bytes()
    found = check_signature(manifest, content, trust, signing_time(run.project))
    if found.status == GOOD:
        yield Check("record", f"signature of {found.signer}", IDENTICAL)
    elif found.fails(trust):
        yield Check("record", "signature", DIFFERENT, 1, 1, details=(found.problem,))
    else:
        yield Check("record", "signature", UNEXAMINED, details=(found.problem,))


RECORD_CHECKS = (check_tag, check_chain, check_signer, check_files)
"""What is checked of a record, in this order; each gives checks."""


def _of(agrees: bool, step: str, what: str, problems: tuple[str, ...]) -> Check:
    if agrees:
        return Check(step, what, IDENTICAL)
    return Check(step, what, DIFFERENT, 1, 1, details=problems)
