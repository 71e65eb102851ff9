"""The DVC pipeline in a clone, with the remote that the set-up command configures."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import set_params
from unshapley.project import Project

HOME = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


class Clone(Project):
    """A clone in which commands are run as a user would."""

    def run(self, *command: object, rc: int = 0) -> str:
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
        environment |= dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "test")
        environment |= dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "test@localhost")
        done = subprocess.run(
            [*map(str, command)], cwd=self.root, env=environment, capture_output=True, text=True
        )
        assert done.returncode == rc, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stderr if rc else done.stdout

    def changed(self) -> set[str]:
        return set(json.loads(self.run("dvc", "status", "--json")))


def clone(source: Path, folder: Path, remote: Path) -> Clone:
    subprocess.run(["git", "clone", "-q", str(source), str(folder)], check=True)
    copy = Clone(folder)
    (folder / ".venv").symlink_to(BIN.parent)
    copy.run("sh", folder / "scripts" / "configure-dvc", remote)
    return copy


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """This tree with a small configuration, valued and committed, outputs pushed."""
    if not (HOME / ".git").exists():
        pytest.skip("the tree is no git checkout, and DVC here works on one")
    place = tmp_path_factory.mktemp("pipeline")
    tracked = subprocess.run(
        ["git", "-C", HOME, "ls-files", "-z"], check=True, capture_output=True, text=True
    ).stdout
    source = place / "source"
    for name in tracked.split("\0")[:-1]:
        if (HOME / name).exists() and name != "dvc.lock" and "data/valuation/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HOME / name, source / name)
    subprocess.run(["git", "init", "-q", "-b", "main", str(source)], check=True)
    first = Clone(source)
    (source / ".venv").symlink_to(BIN.parent)
    first.run("sh", source / "scripts" / "configure-dvc", place / "remote")
    set_params(first, pretrain__steps=60, valuation__unlearner="finetune", valuation__budget=60)
    set_params(first, fidelity__coalitions=4)
    first.run("dvc", "repro")
    first.run("git", "add", "-A")
    first.run("git", "commit", "-qm", "valued")
    first.run("dvc", "push", "-q")
    return first


def test_a_clone_that_reaches_the_remote_has_nothing_to_do(committed, tmp_path):
    other = clone(committed.root, tmp_path / "other", committed.root.parent / "remote")
    other.run("dvc", "pull", "-q")
    assert other.changed() == set()
    assert "up to date" in other.run("dvc", "repro")
    assert (other.valuation / "report.html").is_file()
    assert other.run("git", "status", "--porcelain") == ""


def test_a_change_recomputes_only_what_depends_on_it(committed, tmp_path):
    other = clone(committed.root, tmp_path / "other", committed.root.parent / "remote")
    other.run("dvc", "pull", "-q")
    set_params(other, valuation__budget=100)
    assert other.changed() == {"valuation"}
    set_params(other, valuation__budget=60, run__workers=1)
    assert other.changed() == set()
    set_params(other, faults__wrong_labels={"form-03": 0.6})
    assert other.changed() == {"prepare"}


@pytest.mark.drill
def test_what_is_computed_again_is_compared_with_what_was(committed, tmp_path):
    other = clone(committed.root, tmp_path / "other", committed.root.parent / "remote")
    other.run("dvc", "pull", "-q")
    set_params(other, valuation__budget=60, faults__wrong_labels={"form-03": 0.6})
    before = {p.name: p.read_bytes() for p in other.partitions.iterdir()}
    other.run("dvc", "repro")
    touched = {p.stem for p in other.partitions.iterdir() if p.read_bytes() != before[p.name]}
    assert touched == {"form-03"}
    metrics = json.loads(other.run("dvc", "metrics", "diff", "--json"))
    changed = metrics["data/valuation/metrics.json"]
    assert changed["u_all"]["new"] < changed["u_all"]["old"]
    assert "fidelity.rmse" in changed
    assert "providers_valued" not in changed
    other.run("dvc", "plots", "diff", "HEAD")
    page = (other.root / "dvc_plots" / "index.html").read_text()
    assert page.count("vega") > 2
    assert "form-03" in page


@pytest.mark.drill
def test_a_stranger_audits_it_with_git_and_the_remote_alone(committed, tmp_path):
    remote = committed.root.parent / "remote"
    other = clone(committed.root, tmp_path / "other", remote)
    found = json.loads(other.run("unshapley", "audit", "--sample", "12", "--seed", "1", "--json"))
    assert found["verdict"].startswith("reproduced")
    assert found["figures"]["measured"]["chunks_from_a_cache"] == 0
    assert other.run("git", "status", "--porcelain") == ""
    assert not other.test.exists()  # nothing was pulled
    (away := tmp_path / "away").mkdir()
    poor = clone(committed.root, tmp_path / "poor", away)
    said = poor.run("unshapley", "audit", rc=5)
    assert f"is neither in DVC's cache nor in the remote {away}" in said
    away.rmdir()
    said = poor.run("unshapley", "audit", rc=5)
    assert f"the remote {away} is out of reach" in said
