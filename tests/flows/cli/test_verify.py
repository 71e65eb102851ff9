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
def committed(published: Project) -> Project:
    """The valued project in git."""
    git(published, "init", "-q")
    git(published, "add", "params.yaml", "data/expectations", "data/valuation/manifest.json")
    git(published, "commit", "-qm", "valuation")
    return published


def problems(project: Project) -> dict[str, str]:
    return {one.path: one.problem for one in verify_files(project).altered}


def test_every_kind_of_alteration_is_named(committed):
    assert problems(committed) == {}
    values = committed.valuation / "values.csv"
    text = values.read_text()
    values.write_text(text.replace("1", "2", 1))
    model = next(committed.model.glob("*.safetensors"))
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(bytes(content))
    stranger = committed.partitions / "form-99.parquet"
    stranger.write_bytes(b"")
    (committed.valuation / "report.html").unlink()
    set_params(committed, valuation__budget=31)
    found = problems(committed)
    assert found.keys() == {
        "data/valuation/values.csv",
        committed.relative(model),
        "data/partitions/form-99.parquet",
        "data/valuation/report.html",
        "params.yaml",
    }
    assert "recorded is" in found["data/valuation/values.csv"]
    assert found["data/valuation/report.html"] == "is missing"
    assert "not named" in found["data/partitions/form-99.parquet"]
    assert "valuation.budget is 31" in found["params.yaml"]
    values.write_text(text)
    assert "data/valuation/values.csv" not in problems(committed)


def test_a_parameter_that_the_recording_version_did_not_know_is_no_alteration(committed):
    path = committed.valuation / "manifest.json"
    content = json.loads(path.read_text())
    del content["config"]["valuation"]["numerics"]
    path.write_text(json.dumps(content))
    git(committed, "commit", "-qam", "as an older version wrote it")
    assert problems(committed) == {}
    set_params(committed, valuation__numerics="portable")
    assert problems(committed) == {
        "params.yaml": "valuation.numerics is portable, recorded is native"
    }


def test_an_edited_manifest_does_not_hide_edited_values(committed):
    """Who edits values and their hash is told by git."""
    path = committed.valuation / "manifest.json"
    path.write_text(path.read_text().replace('"planned": 30', '"planned": 31'))
    result = CliRunner().invoke(app, ["verify", "-p", str(committed.root)])
    assert result.exit_code == 4
    assert "manifest.json: was edited" in result.output
    values = committed.valuation / "values.csv"
    edited = values.read_text().replace("1", "2", 1)
    values.write_text(edited)
    content = json.loads(path.read_text())
    content["outputs"]["values.csv"] = hashlib.sha256(edited.encode()).hexdigest()
    path.write_text(json.dumps(content))
    both = {"data/valuation/manifest.json", "data/valuation/values.csv"}
    assert problems(committed).keys() == both
    path.write_text("{")
    assert problems(committed).keys() == both


def verified(project: Project):
    return CliRunner().invoke(app, ["verify", "-p", str(project.root)])


def test_a_new_valuation_that_is_not_committed_is_no_alteration(committed):
    first = (committed.valuation / "manifest.json").read_bytes()
    set_params(committed, valuation__seed=1)
    valuation(project=committed.root)
    result = verified(committed)
    assert result.exit_code == 0, result.output
    assert "note: a new valuation, not committed yet, whole and true to its manifest" in (
        " ".join(result.output.split())
    )
    assert "data/valuation/manifest.json, params.yaml" in result.output
    values = committed.valuation / "values.csv"
    text = values.read_text()
    values.write_text(text.replace("1", "2", 1))
    result = verified(committed)
    assert result.exit_code == 4
    assert "data/valuation/values.csv: has SHA-256" in result.output
    assert "manifest.json:" not in result.output
    values.write_text(text)
    git(committed, "commit", "-qam", "second")
    assert "note" not in verified(committed).output
    set_params(committed, valuation__seed=0)
    valuation(project=committed.root)  # its predecessor is the second
    (committed.valuation / "manifest.json").write_bytes(first)
    result = verified(committed)
    assert result.exit_code == 0, result.output
    assert "restored and not committed again" in result.output


def test_the_first_valuation_of_a_repository_is_no_alteration(published):
    git(published, "init", "-q")
    git(published, "add", "params.yaml")
    git(published, "commit", "-qm", "parameters")
    result = verified(published)
    assert result.exit_code == 0, result.output
    assert "the first valuation, not committed yet" in result.output


def test_what_cannot_be_checked_says_why(committed):
    path = committed.valuation / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "schema_version": 99}))
    git(committed, "commit", "-qam", "of the future")
    with pytest.raises(InputError, match=r"schema version 99"):
        verify_files(committed)
    git(committed, "rm", "-q", "--cached", committed.relative(path))
    git(committed, "commit", "-qm", "nothing vouches")
    with pytest.raises(UncheckableError, match="no commit of git holds it"):
        verify_files(committed)
    path.unlink()
    result = CliRunner().invoke(app, ["verify", "-p", str(committed.root)])
    assert result.exit_code == 5
    assert "there is no valuation" in result.output


def test_a_valuation_follows_the_one_that_git_had(committed):
    path = committed.valuation / "manifest.json"
    first = path.read_bytes()
    valuation(project=committed.root)
    assert path.read_bytes() == first, "the same again is no other valuation"
    set_params(committed, valuation__seed=1)
    valuation(project=committed.root)
    second = path.read_bytes()
    assert json.loads(second)["previous"] == hashlib.sha256(first).hexdigest()
    valuation(project=committed.root)
    assert path.read_bytes() == second
    git(committed, "commit", "-qam", "second")
    assert problems(committed) == {}
    path.write_bytes(first)  # brought back
    git(committed, "commit", "-qam", "the first again")
    assert list(broken_links(committed.root, committed.valuation)) == []


def test_a_changed_predecessor_breaks_the_chain(committed):
    path = committed.valuation / "manifest.json"
    set_params(committed, valuation__seed=1)
    valuation(project=committed.root)
    second = path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b'"planned": 30', b'"planned": 29'))
    git(committed, "add", "-A")
    git(committed, "commit", "-q", "--amend", "-m", "not what was committed first")
    path.write_bytes(second)
    git(committed, "commit", "-qam", "second")
    (problem,) = broken_links(committed.root, committed.valuation)
    assert "which no older commit holds" in problem
    assert "manifest.json" in "".join(problems(committed))
