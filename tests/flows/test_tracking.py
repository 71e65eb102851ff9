"""A project that `unshapley init` began is put under git and DVC, and can be refreshed then."""

import json
import shutil
import subprocess

import pytest

from flows.refresh_steps import tracking
from flows.refresh_steps.steps import refresh_project
from tests.cli import unshapley
from tests.conftest import SMALL, set_params
from tests.flows.checkouts import NAMED, Checkout, forms, stages
from tests.flows.test_imported import import_into
from tests.flows.test_refresh import never
from unshapley.new_project import init_project
from unshapley.project import Project


def tracked(project, rc=0):
    done = unshapley("track", "-p", project.root, "--json")
    assert done.returncode == rc, done.stderr
    return json.loads(done.stdout) if not rc else done.stderr


def test_its_stages_are_those_of_this_repository():
    assert tracking.stages() == stages()["stages"]


def test_only_of_text_does_pretraining_depend_on_the_unlearner():
    """It is by it that statistics of a language model are left out or not."""
    of_text, of_tables = (tracking.stages(text=t)["pretrain"]["params"] for t in (True, False))
    assert set(of_text) - set(of_tables) == {
        "valuation.options", "valuation.targets", "valuation.unlearner",
    }  # fmt: skip


@pytest.mark.drill
def test_what_is_up_to_date_is_taken_over_and_a_refresh_has_nothing_to_do(published, monkeypatch):
    for name, text in NAMED.items():
        monkeypatch.setenv(name, text)
    done = tracked(published)
    assert done["recorded"] == ["prepare", "pretrain", "valuation"]
    assert (done["stale"], len(done["added"])) == ({}, 5)
    place = Checkout(published.root)
    place.commit("begin")
    assert place.dvc("status", "--json") == "{}"
    held = place.git("ls-files").splitlines()
    assert "data/valuation/values.csv" in held
    assert not [name for name in held if name.endswith((".parquet", ".safetensors"))]
    assert not refresh_project(place, never, push=False).changed
    assert "stands there already" in tracked(published, rc=2)


def test_an_imported_model_is_an_input(project):
    import_into(project)
    set_params(project, prepare__seed=1)
    done = tracked(project)
    assert done["stages"] == ["prepare", "valuation"]
    assert done["added"][-2:] == ["data/model", "data/curvature"]
    assert (project.data / "model.dvc").is_file()
    assert done["stale"] == {
        "prepare": "the tables were prepared with prepare.seed = 0",
        "valuation": "nothing is published",
    }


def test_suites_that_the_first_commit_needs_are_written_and_tables_are_not_for_git(tmp_path):
    project = Project(tmp_path / "new")
    init_project(project.root, SMALL)
    for name in ("form-00", "form-01"):
        forms()[name].to_csv(project.raw / f"{name}.csv", index=False)
    done = unshapley("track", "-p", project.root)
    assert "`dvc repro` will run pretrain: there is no model" in done.stdout
    place = Checkout(project.root)
    place.git("add", "-A")
    held = place.git("ls-files").splitlines()
    assert {"data/raw/form-00.csv.dvc", "data/expectations/partition.json"} <= set(held)
    assert not [name for name in held if name.endswith((".csv", ".parquet", "schema.json"))]


def _nested(project):
    (project.raw / "site").mkdir()
    shutil.move(project.raw / "form-00.parquet", project.raw / "site")


def _empty(project):
    for path in project.raw.iterdir():
        path.unlink()


def _inside(project):
    subprocess.run(["git", "init", "-q", project.root.parent], check=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_nested, "site/form-00.parquet lies in a folder"),
        (_empty, "data/raw: holds no table"),
        (_inside, "lies in the git repository"),
    ],
)
def test_what_cannot_be_tracked_says_why_and_nothing_is_written(project, damage, message):
    damage(project)
    assert message in tracked(project, rc=2)
    assert not (project.root / "dvc.yaml").exists()
    assert not (project.root / ".dvc").exists()
