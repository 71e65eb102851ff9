"""What `unshapley clean` removes, and what it never does."""

import json
import os
import shutil
import sqlite3
import subprocess
import time

import pytest

from flows.runtime.locks import only_audit, only_refresh, only_run
from tests.cli import unshapley
from tests.flows.cli.test_verify import git
from unshapley.project import Project
from unshapley.results.verification import verify_files

DAY = 86400


def written(path, *, days=0.0, size=1000):
    """A file that was last used so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


@pytest.fixture
def project(tmp_path):
    """A project with something of each kind, and files of the user's beside."""
    project = Project(tmp_path / "project")
    written(project.params)
    for days in (0, 1, 10, 40):
        written(project.results / f"chunk-{days}", days=days)
    written(project.untrusted / "plots" / "fidelity.csv", days=40)
    written(project.untrusted / "report.html", days=39)
    written(project.data / ".staged-abc" / "values.csv")
    written(project.results.parent / "incoming" / "form-00.csv")
    written(project.data / "valuation" / ".values.csv.0123abcd", days=2)
    written(project.data / "valuation" / ".metrics.json.0123abcd")
    written(project.data / "valuation" / ".gitignore", days=99)
    written(project.data / "raw" / ".hidden.0123abcde", days=99)
    written(project.data / "curves" / "curves.csv", days=99)
    return project


def files(project):
    return {p.relative_to(project.root).as_posix() for p in project.root.rglob("*") if p.is_file()}


def cleaned(project, *arguments):
    done = unshapley("clean", "-p", project.root, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return {item["path"] for item in json.loads(done.stdout)["items"]}


KILLED = {"data/.staged-abc", ".unshapley/incoming", "data/valuation/.values.csv.0123abcd"}


def test_age_and_size_decide_and_a_dry_run_changes_nothing(project):
    old = {".unshapley/results/chunk-40", "data/untrusted"}
    assert cleaned(project, "--dry-run") == KILLED | old
    before = files(project)
    listed = cleaned(project, "--dry-run", "--keep", 2500 / 1e6)
    assert listed == KILLED | old | {".unshapley/results/chunk-10"}
    assert files(project) == before | {
        f".unshapley/{name}lock" for name in ("", "refresh.", "audit.")
    }
    everything = cleaned(project, "--days", "0")
    results = {f".unshapley/results/chunk-{days}" for days in (0, 1, 10, 40)}
    assert everything == KILLED | results | {"data/untrusted"}
    assert {name for name in files(project) if not name.endswith("lock")} == {
        "params.yaml", "data/valuation/.metrics.json.0123abcd", "data/valuation/.gitignore",
        "data/raw/.hidden.0123abcde", "data/curves/curves.csv",
    }  # fmt: skip
    assert cleaned(project, "--days", "0") == set()


def test_the_list_is_for_people_too(project):
    done = unshapley("clean", "-p", project.root, "--dry-run")
    assert "Would be removed" in done.stdout
    assert "1 kept results" in done.stdout
    assert "refused valuation: data/untrusted" in done.stdout
    assert "would free 0.0 MB" in done.stdout
    assert "freed" in unshapley("clean", "-p", project.root).stdout
    assert "nothing to remove" in unshapley("clean", "-p", project.root).stdout


@pytest.mark.parametrize("lock", [only_run, only_refresh, only_audit])
def test_a_run_a_refresh_and_an_audit_are_not_disturbed(project, lock):
    before = files(project)
    with lock(project):
        done = unshapley("clean", "-p", project.root, "--days", "0")
    assert done.returncode == 6
    assert "works here" in done.stderr
    assert before <= files(project)


def test_the_record_of_runs_goes_unless_a_server_has_it_open(project):
    database = project.root / ".prefect" / "prefect.db"
    database.parent.mkdir()
    server = sqlite3.connect(database)
    server.execute("PRAGMA journal_mode=WAL")
    server.execute("CREATE TABLE runs (name)")
    server.execute("SELECT * FROM runs").fetchall()
    assert ".prefect/prefect.db" not in cleaned(project, "--dry-run", "--keep", "1")
    assert ".prefect/prefect.db" in cleaned(project, "--dry-run", "--keep", "0.001")
    assert ".prefect/prefect.db" in cleaned(project, "--dry-run", "--days", "0")
    done = unshapley("clean", "-p", project.root, "--days", "0")
    assert done.returncode == 6
    assert "a Prefect server has it open; all else was removed" in done.stderr
    assert not list(project.results.iterdir())
    server.close()
    assert cleaned(project, "--days", "0") == {".prefect/prefect.db"}
    assert list(database.parent.iterdir()) == []


def test_what_git_or_dvc_holds_stays(project):
    git(project, "init", "-q")
    git(project, "add", "-f", ".unshapley/results/chunk-10", "data/untrusted/report.html")
    git(project, "commit", "-qm", "kept")
    (project.root / "dvc.lock").write_text(
        "stages: {x: {outs: [{path: .unshapley/results/chunk-1}]}}"
    )
    removed = cleaned(project, "--days", "0")
    assert removed == KILLED | {f".unshapley/results/chunk-{days}" for days in (0, 40)}


def test_a_work_tree_that_a_killed_audit_left_goes_from_git_too(project):
    git(project, "init", "-q")
    git(project, "add", "params.yaml")
    git(project, "commit", "-qm", "first")
    git(project, "worktree", "add", "-q", "--detach", ".unshapley/audit")
    assert ".unshapley/audit" in cleaned(project)
    trees = ["git", "worktree", "list", "--porcelain"]
    listed = subprocess.run(trees, cwd=project.root, check=True, capture_output=True, text=True)
    assert listed.stdout.count("worktree ") == 1
    assert not (project.results.parent / "audit").exists()


def test_a_link_is_removed_and_not_what_it_leads_to(project, tmp_path):
    elsewhere = written(tmp_path / "elsewhere" / "precious", days=99)
    (project.results / "linked").symlink_to(elsewhere)
    (project.results / "folder").symlink_to(elsewhere.parent)
    cleaned(project, "--days", "0")
    assert elsewhere.exists()


def test_a_folder_that_is_no_project_is_left_alone(tmp_path):
    written(tmp_path / ".unshapley" / "results" / "chunk")
    done = unshapley("clean", "-p", tmp_path, "--days", "0")
    assert done.returncode == 2
    assert "no project stands here" in done.stderr
    assert (tmp_path / ".unshapley" / "results" / "chunk").exists()


def test_a_cleaned_project_is_as_it_was_recorded_and_runs_again(published):
    git(published, "init", "-q")
    git(published, "add", "params.yaml", "data/expectations", "data/valuation/manifest.json")
    git(published, "commit", "-qm", "valuation")
    before = (published.valuation / "manifest.json").read_bytes()
    assert any("results/chunk-" in path for path in cleaned(published, "--days", "0"))
    assert verify_files(published).altered == []
    from flows.valuation import valuation

    shutil.rmtree(published.valuation)
    valuation(project=published.root)
    assert (published.valuation / "manifest.json").read_bytes() == before
