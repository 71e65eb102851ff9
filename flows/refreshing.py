"""The steps of a refresh: inputs → stages → valuation → commit and tag → push → drop folder.

There is no journal. Each step looks at what git, DVC and the drop folder show to be lacking, and
does that: whatever a refresh died of, the next one finishes or discards what it left.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows import dropfolder, rawtables, rollback
from flows.dropfolder import Drop
from flows.locking import only_refresh, only_run
from flows.repository import CommandError, Repository, read_yaml
from unshapley.config import Params, load_params
from unshapley.errors import InputError, UnshapleyError
from unshapley.files import digest, sha256
from unshapley.project import Project

log = logging.getLogger("unshapley.run")

Value = Callable[[Path, Params], Any]
"""Values a project: the flow, or what stands for it."""
MARK = "Refreshed-by: unshapley"
"""Last line of the message of every commit that a refresh makes."""
MANIFEST = "data/valuation/manifest.json"
OWNED = ("dvc.lock", "data/valuation/", "data/raw/", "data/.gitignore")
"""What a refresh commits; all else is for people to commit first."""
WATCHED = ("data/", "unshapley/", "tasks/", "flows/")
"""Where a file that git does not know could change a valuation."""
ATTEMPTS = 3
"""How often a commit is made anew on top of what somebody pushed in between."""
_HOME = Path(__file__).resolve().parent.parent


def _code() -> str:
    return digest([sha256(_HOME / name) for name in ("unshapley", "tasks", "flows")])


_LOADED = _code()


@dataclass
class Refreshed:
    """What a refresh did.

    tag, commit: of the valuation it made or, where one was left unfinished, finished; taken: files
    of the drop folder that it holds; refused: files that stayed there, with the reason.
    """

    tag: str | None = None
    commit: str | None = None
    pushed: bool = False
    taken: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return self.tag is not None

    def summary(self) -> dict[str, Any]:
        return {"changed": self.changed, **vars(self)}


@dataclass
class Job:
    """What the steps of one refresh have in common."""

    place: Project
    repo: Repository
    drop: Drop | None
    push: bool
    value: Value
    done: Refreshed = field(default_factory=Refreshed)


def refresh_project(
    place: Project, value: Value, *, drop: Path | None = None, push: bool = True
) -> Refreshed:
    """Update the inputs; if they changed, value them and commit, tag and push the outcome.

    value: called once if there is anything to value. Raises `BusyError` where another refresh or
    run works in the project, `InputError` where the project cannot be refreshed or what is new
    breaks its expectations, `UntrustedError` where the outcome is not published: then everything is
    as before, and deliveries lie where they lay.
    """
    place = Project(place.root.resolve())
    with only_refresh(place) as lock:
        with only_run(place):
            pass
        folder = Drop(drop.resolve()) if drop else None
        job = Job(place, Repository(place.root, lock), folder, push, value)
        check(job)
        for _ in range(ATTEMPTS):
            with step(job, "follow"):
                follow(job)
            with step(job, "inputs"):
                update_inputs(job)
            with step(job, "drop"):
                take(job)
            try:
                renew(job)
            except UnshapleyError as error:
                if error.exit_code in (2, 3):
                    with step(job, "put back"):
                        discard(job)
                raise
            with step(job, "commit"), only_run(place):
                commit(job)
            with step(job, "tag"):
                tag(job)
            if not push or publish(job):
                break
        else:
            raise CommandError(
                f"others pushed {ATTEMPTS} times while this was valued\n"
                "  do: run the same command again"
            )
        with step(job, "clear"):
            if folder:
                dropfolder.clear(place, job.repo, folder)
                job.done.refused = folder.refused
        return job.done


@contextmanager
def step(job: Job, name: str) -> Iterator[None]:
    """Name a step in the log, and time it."""
    begin = datetime.now(UTC)
    yield
    spent = (datetime.now(UTC) - begin).total_seconds()
    job.done.seconds[name] = round(job.done.seconds.get(name, 0.0) + spent, 3)
    log.debug("refresh: %s %.1f s", name, spent)


def check(job: Job) -> None:
    """Raise `InputError` for what keeps this project from being refreshed."""
    place, repo = job.place, job.repo
    top = repo.asked("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != place.root:
        raise InputError(
            "is not the top of a git repository", where=place.root, do="run `git init` there"
        )
    if not (place.root / ".dvc").is_dir() or not (place.root / "dvc.yaml").is_file():
        raise InputError(
            "is no DVC project", where=place.root, expected=".dvc and dvc.yaml", do="see README"
        )
    stages = read_yaml((place.root / "dvc.yaml").read_text(encoding="utf-8")).get("stages", {})
    for name in ("prepare", "pretrain", "valuation"):
        if name not in stages:
            raise InputError(f"has no stage {name!r}", where=place.root / "dvc.yaml")
    if repo.asked("rev-parse", "-q", "--verify", "HEAD") is None:
        raise InputError("holds no commit yet", where=place.root, do="commit the project first")
    if repo.branch is None:
        raise InputError("is on no branch", where=place.root, do="run `git switch main`")
    if repo.asked("var", "GIT_COMMITTER_IDENT") is None:
        raise InputError(
            "git knows no name to commit with",
            where=place.root,
            do="run `git config user.name …` and `git config user.email …`",
        )
    rawtables.check_tables(place, repo)
    check_clean(repo)
    if job.push:
        check_remotes(repo)


def check_clean(repo: Repository) -> None:
    """Raise `InputError` where somebody's changes are not committed: no valuation could say what
    it was made of.
    """
    tracked = set((repo.asked("ls-files") or "").splitlines())
    foreign = [
        path
        for path in repo.changes()
        if not path.startswith(OWNED) and (path in tracked or path.startswith(WATCHED))
    ]
    if foreign:
        raise InputError(
            f"{', '.join(foreign[:5])}{' …' if len(foreign) > 5 else ''}: not committed",
            where=repo.root,
            do="commit the changes, or `git restore` the files",
        )


def check_remotes(repo: Repository) -> None:
    """Raise `InputError` where there is no place to push to."""
    if repo.upstream is None:
        raise InputError(
            f"branch {repo.branch!r} follows no branch of a remote",
            where=repo.root,
            do=f"run `git push -u origin {repo.branch}`, or refresh with --no-push",
        )
    address = repo.dvc_remote()
    if address is None:
        raise InputError(
            "DVC has no default remote",
            where=repo.root,
            do="run `dvc remote add --local -d NAME ADDRESS`, or refresh with --no-push",
        )
    if address.startswith("s3://") and importlib.util.find_spec("dvc_s3") is None:
        raise InputError(
            f"DVC's remote {address} needs dvc-s3", do="run `pip install 'unshapley[s3]'`"
        )


def follow(job: Job) -> None:
    """Bring the branch to where its remote stands; own commits that were overtaken are discarded.

    Their tables stay in data/raw, where they are new again on top of what the others did.
    """
    rawtables.settle(job.place, job.repo)
    repo = job.repo
    if repo.upstream is None:
        return
    remote, branch = repo.upstream
    theirs = _tip(repo)
    if not theirs or theirs == repo.head:
        return
    repo.git("fetch", "-q", remote, f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}")
    if repo.asked("merge-base", "--is-ancestor", theirs, "HEAD") is not None:
        return
    ahead = _commits(repo, f"{theirs}..HEAD")
    strange = [one for one in ahead if not _is_ours(repo, one)]
    if strange:
        raise InputError(
            f"commit {strange[-1][:8]} and {remote}/{branch} went apart",
            where=repo.root,
            do=f"run `git pull --rebase {remote} {branch}`, then refresh again",
        )
    for name in (name for one in ahead for name in _tags(repo, one)):
        repo.git("tag", "-d", name)
    repo.git("reset", "-q", "--hard", theirs)
    rawtables.settle(job.place, repo)


def update_inputs(job: Job) -> None:
    """Imported tables as their sources have them, and all that DVC tracks on disk."""
    rawtables.update_imports(job.place, job.repo)
    if any(
        "changed outs" in change for changes in _status(job.repo).values() for change in changes
    ):
        fetch_outputs(job)


def fetch_outputs(job: Job) -> None:
    """What .dvc files and dvc.lock name; what a stage can make again may be lacking."""
    repo, remote = job.repo, job.repo.dvc_remote()
    verb = ("pull",) if remote else ("checkout",)
    pointers = [rawtables.relative(repo, p) for p in sorted(job.place.raw.glob("*.dvc"))]
    if pointers:
        repo.dvc(*verb, "--force", *pointers)
    repo.dvc(*verb, "--force", "--allow-missing")


def take(job: Job) -> None:
    """Take what is new in the drop folder."""
    if job.drop:
        prepare = load_params(job.place.params).prepare
        dropfolder.check_drop(job.place, job.drop.folder, prepare)
        dropfolder.take(job.place, job.repo, job.drop, prepare.label, prepare.task)
        fresh = dropfolder.uncommitted(job.place, job.repo, job.drop)
        job.done.taken = sorted({*job.done.taken, *(file.name for file in fresh)})


def renew(job: Job) -> None:
    """Run the stages that are not up to date, and record them in dvc.lock."""
    repo, stale = job.repo, set(_status(job.repo))
    if stale - {"valuation"}:
        with step(job, "prepare"):
            prepare(job)
        with step(job, "pretrain"):
            repo.dvc("repro", "pretrain")
        stale = set(_status(repo))
    if "valuation" not in stale:
        return
    with step(job, "value"):
        if _code() == _LOADED:
            job.value(job.place.root, load_params(job.place.params))
        else:  # the pull brought other code than runs here
            repo.unshapley("run", "--quiet")
    with step(job, "record"), only_run(job.place):
        check_clean(repo)
        repo.dvc("commit", "--force", "valuation")


def prepare(job: Job) -> None:
    """Prepare; deliveries that break their expectations go back, if the policy is to stop."""
    from tasks.validation import validate_project

    params = load_params(job.place.params)
    while True:
        job.repo.dvc("repro", "prepare")
        fresh = dropfolder.uncommitted(job.place, job.repo, job.drop) if job.drop else []
        if not fresh or not job.drop or params.validation.policy != "stop":
            return
        reports = validate_project(job.place, params.valuation.targets)
        why = {report["table"]: "; ".join(report["critical"]) for report in reports}
        bad = [file for file in fresh if why.get(file.stem)]
        if not bad:
            return
        for file in bad:
            job.drop.refuse(file, why[file.stem])
        rollback.put_back(job.place, job.repo, bad)
        job.done.taken = [name for name in job.done.taken if name not in job.drop.refused]


def discard(job: Job) -> None:
    """Back to the commit: what is new came to nothing."""
    if job.drop:
        fresh = dropfolder.uncommitted(job.place, job.repo, job.drop)
        rollback.put_back(job.place, job.repo, fresh)
    rollback.restore_outputs(job.repo)


def commit(job: Job) -> None:
    """Commit what changed of tables and outputs."""
    repo = job.repo
    check_clean(repo)
    there = [name for name in OWNED if (repo.root / name).exists()]
    repo.git("add", "-A", "--", *there)
    if repo.asked("diff", "--cached", "--quiet") is not None:
        return
    tables = [
        Path(Path(line.split("\t")[-1]).stem).stem
        for line in repo.git("diff", "--cached", "--name-status", "--", "data/raw").splitlines()
        if line.endswith(".dvc")
    ]
    title = f"Valuation of {datetime.now(UTC):%Y-%m-%d}"
    if tables:
        title += f": {', '.join(tables[:5])}{' …' if len(tables) > 5 else ''}"
    manifest = sha256(repo.root / MANIFEST)
    repo.git("commit", "-q", "-m", title, "-m", f"Manifest: {manifest}\n{MARK}")


def tag(job: Job) -> None:
    """Name the last commit of a refresh by its date and its manifest."""
    repo = job.repo
    last = repo.asked("log", "-1", "--format=%H %ct", f"--grep=^{MARK}$")
    if not last:
        return
    made, seconds = last.split()
    date = f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d}"
    content = repo.shown(MANIFEST, made)
    mine = f"valuation/{date}-{_short(content)}"
    if content is None or repo.asked("tag", "--list", f"valuation/*-{_short(content)}"):
        return
    repo.git("tag", "-a", "-m", f"Valuation of {date}", mine, made)
    job.done.tag, job.done.commit = mine, made


def publish(job: Job) -> bool:
    """Push data, then branch and tags; False where somebody else was first."""
    repo = job.repo
    assert repo.upstream is not None
    remote, branch = repo.upstream
    theirs = _tip(repo)
    try:
        ahead = _commits(repo, f"{theirs}..HEAD" if theirs else "HEAD")
    except CommandError:  # theirs is a commit that this repository does not know
        return False
    ours = [one for one in ahead if _is_ours(repo, one)]
    if not ours:
        return True
    names = [name for one in ours for name in _tags(repo, one)]
    with step(job, "push data"):
        repo.dvc("push")
    with step(job, "push"):
        refs = [f"HEAD:refs/heads/{branch}", *(f"refs/tags/{name}" for name in names)]
        try:
            repo.git("push", "-q", "--atomic", remote, *refs)
        except CommandError:
            if _tip(repo) == theirs:
                raise
            log.info("somebody pushed in between: once more on top of that")
            return False
    done = job.done
    done.pushed, done.commit = True, ours[0]
    done.tag = done.tag or next(iter(names), None)
    return True


def _status(repo: Repository) -> dict[str, list[Any]]:
    """What DVC finds changed, by stage and .dvc file."""
    found: dict[str, list[Any]] = json.loads(repo.dvc("status", "--json") or "{}")
    return found


def _tip(repo: Repository) -> str:
    """Where the remote's branch stands; empty where it has none."""
    assert repo.upstream is not None
    remote, branch = repo.upstream
    return repo.git("ls-remote", remote, f"refs/heads/{branch}").split("\t")[0]


def _commits(repo: Repository, span: str) -> list[str]:
    return repo.git("rev-list", span).split()


def _is_ours(repo: Repository, commit: str) -> bool:
    return MARK in repo.git("log", "-1", "--format=%B", commit).splitlines()


def _tags(repo: Repository, commit: str) -> list[str]:
    return repo.git("tag", "--list", "valuation/*", "--points-at", commit).split()


def _short(manifest: str | None) -> str:
    return hashlib.sha256((manifest or "").encode()).hexdigest()[:8]


def refusal(done: Refreshed) -> InputError:
    """The error that tells why files stayed in the drop folder."""
    return InputError(
        f"{len(done.refused)} files of the drop folder were not taken\n"
        + "\n".join(f"  {name}: {why}" for name, why in done.refused.items()),
        do="correct them, or take them away; "
        + (f"all else is valued in {done.tag}" if done.changed else "nothing else changed"),
    )
