"""Valuations over git's history and two side by side, in real repositories."""

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess

import pytest

from tests.cli import unshapley
from tests.unshapley.recorded import entry, manifest_of, write
from unshapley.project import Project

ROWS = {"a": "r1", "b": "r2"}
TAG = "team/november"
ENTRIES = [entry("a", 0.3, 0.01, 0.02), entry("b", 0.2, 0.01, 0.02)]


def git(project, *arguments, **environment):
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=project.root, check=True, capture_output=True, text=True, env={**os.environ, **environment}
    )  # fmt: skip
    return done.stdout.strip()


def commit(project, title):
    git(project, "add", "-A")
    git(project, "commit", "-qm", title, GIT_COMMITTER_DATE="2026-11-20T03:00:00+01:00")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three valuations in git, the second tagged; a project below the repository's top folder."""
    project = Project(tmp_path_factory.mktemp("history") / "team" / "project")
    project.root.mkdir(parents=True)
    git(project, "init", "-q", "-b", "main", "..")
    (project.root / "params.yaml").write_text("")
    commit(project, "no valuation yet")
    write(project, manifest_of(ROWS), *ENTRIES)
    commit(project, "first")
    write(
        project,
        manifest_of({**ROWS, "b": "r9"}, game="g2"),
        ENTRIES[0],
        entry("b", -0.1, 0.01, 0.02),
    )
    commit(project, "second")
    (project.root / "params.yaml").write_text("run: {workers: 1}")
    commit(project, "workers")
    git(project, "tag", "-am", "tagged", TAG)
    write(
        project, manifest_of({**ROWS, "c": "r3"}, game="g3"), *ENTRIES, entry("c", 0.1, 0.01, 0.02)
    )
    commit(project, "third")
    return project


@pytest.fixture
def project(made, tmp_path):
    shutil.copytree(made.root.parent, tmp_path / "team")
    return Project(tmp_path / "team" / "project")


def told(project, *arguments, rc=0):
    done = unshapley(*arguments, "-p", project.root)
    assert done.returncode == rc, done.stdout + done.stderr
    return done.stdout or done.stderr


def test_history_tells_when_who_and_what_changed(project, tmp_path):
    valuations = json.loads(told(project, "history", "--json", "--csv", tmp_path / "h.csv"))
    assert [v["title"] for v in valuations] == ["first", "second", "third"]
    assert {v["author"] for v in valuations} == {"Ada"}
    assert valuations[0]["date"] == "2026-11-20T03:00:00+01:00"
    assert [v["tags"] for v in valuations] == [[], [TAG], []]
    assert valuations[0]["changes"] is None
    assert [c["item"] for c in valuations[1]["changes"]] == ["rows of b"]
    assert [c["item"] for c in valuations[2]["changes"]] == ["c is new", "rows of b"]
    assert [v["providers_valued"] for v in valuations] == [2, 2, 3]
    with (tmp_path / "h.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["provider"] for row in rows] == ["a", "b", "a", "b", "a", "b", "c"]
    assert [row["changed"] for row in rows[2:5:2]] == [
        "data (rows of b)",
        "data (c is new, rows of b)",
    ]
    table = told(project, "history")
    assert "newton" in table
    assert "trusted, values" in table
    assert "score: U(all), the model's accuracy" in table


def test_history_of_tags_of_a_revision_and_of_the_newest(project):
    def titles(*arguments):
        return [v["title"] for v in json.loads(told(project, "history", "--json", *arguments))]

    assert titles("--tagged") == ["second"]
    assert titles("HEAD~1") == ["first", "second"]
    assert titles("--last", "1") == ["third"]
    write(project, manifest_of(ROWS, versions__torch="3"), *ENTRIES)
    last = json.loads(told(project, "history", "--json"))[-1]
    assert last["name"] == "working tree"
    assert last["commit"] is None
    assert "not committed" in told(project, "history")


def test_a_valuation_that_cannot_be_read_hides_no_other(project):
    path = project.valuation / "manifest.json"
    content = json.loads(path.read_text())
    texts = {
        "future": json.dumps({**content, "schema_version": 99}),
        "torn": "{",
        "other": json.dumps({**content, "inputs": [1]}),
    }
    for title, text in texts.items():
        path.write_text(text)
        commit(project, title)
    path.unlink()
    commit(project, "none")
    first, second, third, future, torn, other = json.loads(told(project, "history", "--json"))
    assert not first["problem"]
    assert not second["problem"]
    assert not third["problem"]
    assert "schema version 99" in future["problem"]
    assert "not readable as JSON" in torn["problem"]
    assert "key 'inputs'" in other["problem"]
    assert "schema version 99" in told(project, "history", "--html", project.root / "h.html")
    assert "schema version 99" in (project.root / "h.html").read_text()
    assert "schema version 99" in told(project, "compare", "HEAD~4", "HEAD~3", rc=2)


def test_compare_takes_revisions_tags_and_paths(project, tmp_path):
    comparison = json.loads(
        told(project, "compare", "main~3", TAG, "--json", "--csv", tmp_path / "c.csv")
    )
    assert comparison["before"]["name"] == "main~3"
    assert [v["finding"] for v in comparison["values"]] == ["within noise", "beyond noise"]
    assert comparison["after"]["commit"] == git(project, "rev-parse", "HEAD~2"), (
        "the commit that brought it"
    )
    with (tmp_path / "c.csv").open() as file:
        assert [row["finding"] for row in csv.DictReader(file)] == ["within noise", "beyond noise"]
    text = told(project, "compare", TAG)
    assert "B: working tree" in text
    assert "data: c is new" in text
    assert "Holm" in text
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(project.valuation, elsewhere)
    for path in (elsewhere, elsewhere / "manifest.json", project.root):
        assert "one and the same" in told(project, "compare", path, "HEAD")
    assert "A: HEAD" in told(project, "compare")


def test_names_in_git_command_no_terminal_and_no_page(project, tmp_path):
    write(project, manifest_of(ROWS, game="g9"), *ENTRIES)
    git(project, "add", "-A")
    author, title = "\x1b[2JEve[red] <eve@example.org>", "\x1b]0;x\x07 [bold] <b>forged</b>"
    git(project, "commit", "-qm", title, "--author", author)
    git(project, "tag", "tag{0}")
    text = told(project, "history", "--html", tmp_path / "h.html")
    assert "\x1b" not in text
    assert "Eve[red]" in text
    assert "tag{0}" in text
    assert "<b>forged" not in (tmp_path / "h.html").read_text()


def test_a_tag_that_was_moved_is_told(project):
    manifest = hashlib.sha256((project.valuation / "manifest.json").read_bytes()).hexdigest()
    right, moved = f"valuation/2026-11-21-{manifest[:8]}", "valuation/2026-11-21-0123abcd.2"
    for tag in (right, moved):
        git(project, "tag", tag)
    last = json.loads(told(project, "history", "--json"))[-1]
    assert last["moved_tags"] == [moved]
    assert f"{moved} was moved here; data (c is new" in told(project, "history")
    assert f"note: tag {moved} was moved" in told(project, "compare", "HEAD~2", moved)
    assert f"tag {moved} was moved" in told(project, "compare", moved)
    assert "moved" not in told(project, "compare", "HEAD~2", "HEAD~1")


def test_pages_stand_alone_and_show_a_picture(project, tmp_path):
    told(project, "history", "--html", tmp_path / "h.html")
    told(project, "compare", "HEAD~2", "--html", tmp_path / "c.html")
    for name, drawn in (("h.html", "value (accuracy)"), ("c.html", "B − A with 95 % interval")):
        text = (tmp_path / name).read_text()
        addresses = set(re.findall(r"https?://[^\s\"'<>)]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert "<script" not in text
        assert "default-src 'none'" in text
        assert text.count("<svg") == 1
        assert drawn in text
        assert "c is new" in text


@pytest.mark.parametrize(
    ("arguments", "rc", "message"),
    [
        (["compare", "nowhere"], 2, "nowhere: no revision of git, and no path"),
        (["compare", "--", "-x"], 2, "-x: no revision of git, and no path"),
        (
            ["compare", "HEAD~4"],
            2,
            "revision HEAD~4: holds no valuation (data/valuation/manifest.json)",
        ),
        (["compare", "HEAD", "/"], 2, "/: no valuation stands here"),
        (["history", "nowhere"], 2, "nowhere: no revision of git"),
        (["history", "HEAD~4"], 2, "revision HEAD~4: no commit holds a valuation"),
    ],
)
def test_what_is_not_there_is_one_clear_error(made, arguments, rc, message):
    done = unshapley(*arguments[:1], "-p", made.root, *arguments[1:])
    assert done.returncode == rc
    assert done.stderr.startswith(f"error: {message}")
    assert "Traceback" not in done.stderr


def test_values_that_are_not_those_of_the_manifest_are_altered(project):
    values = project.valuation / "values.csv"
    values.write_text(values.read_text().replace("0.3,", "0.4,", 1))
    assert "data/valuation: values.csv is not the file that its manifest names" in told(
        project, "compare", rc=4
    )
    commit(project, "forged")
    assert "values.csv is not the file" in told(project, "compare", "HEAD", "HEAD~1", rc=4)
    values.unlink()
    assert "values.csv is missing" in told(project, "compare", "HEAD~1", rc=2)


def test_without_git_paths_are_compared_and_the_rest_says_why(project, tmp_path, monkeypatch):
    plain = Project(tmp_path / "plain")
    shutil.copytree(project.root, plain.root)
    assert "not a git repository" in told(plain, "history", rc=2)
    assert "not a git repository" in told(plain, "compare", rc=2)
    assert "one and the same" in told(plain, "compare", plain.root)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git is not installed" in told(project, "history", rc=2)


def test_a_shallow_clone_says_that_it_is_one(project, tmp_path):
    git(project, "clone", "-q", "--depth", "1", project.root.parent.as_uri(), tmp_path / "shallow")
    done = unshapley("history", "-p", tmp_path / "shallow" / "project", "--json")
    assert len(json.loads(done.stdout)) == 1
    assert "this clone is shallow" in done.stderr
