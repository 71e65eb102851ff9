"""A valuation on disk against its manifest and git: what is altered is named."""

import hashlib
import json
import subprocess

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.valuation import valuation
from tests.conftest import set_params
from unshapley.errors import InputError
from unshapley.project import Project
from unshapley.results.chain import broken_links
from unshapley.results.verification import UncheckableError, verify_files


def git(project: Project, *arguments: str) -> None:
    who = ["-c", "user.name=auditor", "-c", "user.email=auditor@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=project.root, check=True, capture_output=True)


@pytest.fixture
def valued(project: Project) -> Project:
    set_params(project, valuation__unlearner="newton", valuation__options={})
    valuation(project=project.root)
    git(project, "init", "-q")
    git(project, "add", "params.yaml", "data/expectations", "data/valuation/manifest.json")
    git(project, "commit", "-qm", "valuation")
    return project


def problems(project: Project) -> dict[str, str]:
    return {one.path: one.problem for one in verify_files(project)[1]}


def test_every_kind_of_alteration_is_named(valued):
    assert problems(valued) == {}
    values = valued.valuation / "values.csv"
    text = values.read_text()
    values.write_text(text.replace("1", "2", 1))
    model = next(valued.model.glob("*.safetensors"))
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(bytes(content))
    stranger = valued.partitions / "form-99.parquet"
    stranger.write_bytes(b"")
    (valued.valuation / "report.html").unlink()
    set_params(valued, valuation__budget=31)
    found = problems(valued)
    assert found.keys() == {
        "data/valuation/values.csv",
        valued.relative(model),
        "data/partitions/form-99.parquet",
        "data/valuation/report.html",
        "params.yaml",
    }
    assert "recorded is" in found["data/valuation/values.csv"]
    assert found["data/valuation/report.html"] == "is missing"
    assert "not named" in found["data/partitions/form-99.parquet"]
    assert "valuation.budget is 31" in found["params.yaml"]
    values.write_text(text)
    assert "data/valuation/values.csv" not in problems(valued)


def test_an_edited_manifest_does_not_hide_edited_values(valued):
    """Who edits values and their hash is told by git."""
    path = valued.valuation / "manifest.json"
    path.write_text(path.read_text().replace('"planned": 30', '"planned": 31'))
    result = CliRunner().invoke(app, ["verify", "-p", str(valued.root)])
    assert result.exit_code == 4
    assert "manifest.json: differs from git's last commit" in result.output


def test_what_cannot_be_checked_says_why(valued):
    path = valued.valuation / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "schema_version": 99}))
    git(valued, "commit", "-qam", "of the future")
    with pytest.raises(InputError, match=r"schema version 99"):
        verify_files(valued)
    git(valued, "rm", "-q", "--cached", valued.relative(path))
    git(valued, "commit", "-qm", "nothing vouches")
    with pytest.raises(UncheckableError, match="no commit of git holds it"):
        verify_files(valued)
    path.unlink()
    result = CliRunner().invoke(app, ["verify", "-p", str(valued.root)])
    assert result.exit_code == 5
    assert "there is no valuation" in result.output


def test_a_valuation_follows_the_one_that_git_had(valued):
    path = valued.valuation / "manifest.json"
    first = path.read_bytes()
    valuation(project=valued.root)
    assert path.read_bytes() == first, "the same again is no other valuation"
    set_params(valued, valuation__seed=1)
    valuation(project=valued.root)
    second = path.read_bytes()
    assert json.loads(second)["previous"] == hashlib.sha256(first).hexdigest()
    valuation(project=valued.root)
    assert path.read_bytes() == second
    git(valued, "commit", "-qam", "second")
    assert problems(valued) == {}
    path.write_bytes(first)  # brought back
    git(valued, "commit", "-qam", "the first again")
    assert list(broken_links(valued.root, valued.valuation)) == []


def test_a_changed_predecessor_breaks_the_chain(valued):
    path = valued.valuation / "manifest.json"
    set_params(valued, valuation__seed=1)
    valuation(project=valued.root)
    second = path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b'"planned": 30', b'"planned": 29'))
    git(valued, "add", "-A")
    git(valued, "commit", "-q", "--amend", "-m", "not what was valued first")
    path.write_bytes(second)
    git(valued, "commit", "-qam", "second")
    (problem,) = broken_links(valued.root, valued.valuation)
    assert "which no older commit holds" in problem
    assert "manifest.json" in "".join(problems(valued))
