"""Documents at the command line: inspected, made a project of, prepared and validated."""

import json

import pytest

from tests.cli import unshapley
from tests.unshapley.data.test_corpora import corpus, text_of
from tests.unshapley.data.test_text_inspection import written
from unshapley.config import load_params
from unshapley.data.tables import Schema, read_table
from unshapley.project import Project


def test_inspect_shows_documents_by_provider(tmp_path):
    place = written(tmp_path, {**corpus("ab"), "b/empty.txt": ""})
    done = unshapley("inspect", place)
    assert done.returncode == 0
    assert "Documents by provider" in done.stdout
    assert "1 document is left out, as there is no text: b/empty.txt" in done.stdout
    content = json.loads(unshapley("inspect", place, "--json").stdout)
    assert content["providers"]["b"]["documents"] == 11
    assert content["settings"]["task"] == "language-model"


def test_init_makes_a_project_that_can_be_prepared_and_validated(tmp_path):
    place = written(tmp_path / "corpus", {**corpus("abc", 30), "judge/x.txt": text_of(999)})
    folder = tmp_path / "my text"
    done = unshapley("init", folder, "--data", place, "--test", place / "judge", "--yes")
    assert done.returncode == 0, done.stderr
    assert "all files are of text" in done.stdout
    assert "next: `unshapley run --project '" in done.stdout
    project = Project(folder)
    assert load_params(project.params).prepare.test == "judge"
    assert "a: 27 training documents" in unshapley("prepare", "--project", folder).stdout
    assert read_table(project.test)["document"].tolist() == ["judge/x.txt"]
    assert Schema.load(project.schema).providers == ("a", "b", "c")
    assert unshapley("suites", "--project", folder).returncode == 0
    tokenizer = project.tokenizer.read_bytes()
    project.tokenizer.write_bytes(tokenizer + b" ")
    done = unshapley("validate", "--project", folder)
    assert done.returncode == 2
    assert "is not the tokenizer that the tables were prepared with" in done.stderr
    project.tokenizer.unlink()
    assert "tokenizer.json: file is missing" in unshapley("validate", "--project", folder).stderr
    project.tokenizer.write_bytes(tokenizer)
    done = unshapley("validate", "--project", folder)
    assert done.returncode == 0, done.stderr
    assert "a: (warning) near-copies stand there" in done.stdout
    assert "test: meets all expectations" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "files", "message"),
    [
        ((), {"b/x.txt": b"caf\xe9"}, "b/x.txt: not in utf-8"),
        (("--label", "y"), {}, "--label: is about tables, and these are documents"),
        (("--test", "nowhere"), {}, "nowhere: there is no such file or folder"),
        (("--set", "prepare.documents.tokenizer=no.json"), {}, "no.json: there is no such file"),
        (("--set", "pretrain.steps=0"), {}, "pretrain.steps = 0"),
    ],
)
def test_what_is_wrong_is_one_error_and_leaves_nothing(tmp_path, arguments, files, message):
    place = written(tmp_path / "corpus", {**corpus("ab"), **files})
    done = unshapley("init", tmp_path / "p", "--data", place, "--yes", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "p").exists()
