"""The command line as a user meets it: real processes, exit codes, one clear error."""

import json
import os
import re
import shutil
import subprocess
import sys
import webbrowser
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import httpx
import pandas as pd
import pytest
import typer

from flows.cli.common import reported
from flows.runtime.locks import only_audit
from tests.cli import unshapley
from tests.conftest import USER, set_params
from unshapley.project import Project

COMMANDS = [
    "run",
    "validate",
    "report",
    "prepare",
    "pretrain",
    "suites",
    "init",
    "seeds",
    "refresh",
]


def process(*arguments: object) -> subprocess.CompletedProcess:
    """The command in a process of its own."""
    code = "from flows.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env=USER,
    )  # fmt: skip


def edit(project: Project, column: str, value: object) -> None:
    path = project.partition("form-01")
    frame = pd.read_parquet(path).astype({column: object})
    frame.loc[3, column] = value
    frame.astype({column: str} if isinstance(value, str) else {}).to_parquet(path)


def test_the_command_is_installed():
    done = process("--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


@pytest.mark.parametrize("command", [[], *[[c] for c in COMMANDS]])
def test_help_helps(command):
    done = unshapley(*command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout
    assert (
        not command or command[0] in ("prepare", "pretrain", "suites") or "Example" in done.stdout
    )


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("pixel_10", "many", "form-01: not a number"),
        (
            "pixel_10",
            float("nan"),
            "form-01: missing or infinite: 1 of 5632, first 'pixel_10' row 3",
        ),
        ("label", 11, "form-01: label is unknown to the model: 1 of 88 (11)"),
    ],
)
def test_bad_rows_are_one_error_and_exit_code_2(project, column, value, message):
    edit(project, column, value)
    done = unshapley("validate", "-p", project.root)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"valuation__budget": -1}, "valuation.budget = -1"),
        ({"valuation__budgets": 3}, "unknown key 'valuation.budgets'"),
        ({"valuation__utilities": ["fame"]}, "no utility 'fame' for classification"),
    ],
)
def test_bad_parameters_are_one_error_and_exit_code_2(project, settings, message):
    set_params(project, **settings)
    done = unshapley("run", "-p", project.root)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not project.valuation.exists()


def test_a_folder_that_is_no_project_is_named(tmp_path):
    done = process("run", "-p", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "params.yaml: file is missing" in done.stderr


@pytest.fixture
def small_disk(project, tmp_path):
    """The project on a file system of its own, with a little room left."""
    used = sum(p.stat().st_size for p in project.root.rglob("*") if p.is_file())
    place = tmp_path / "disk"
    place.mkdir()
    size = f"size={used + 2_000_000}"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield Project(Path(shutil.copytree(project.root, place / "project")))
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_stops_the_run_and_leaves_nothing_half_written(small_disk):
    with (small_disk.root / "ballast").open("wb") as ballast:
        ballast.write(b"x" * 1_880_000)
    done = unshapley("run", "-p", small_disk.root)
    assert done.returncode == 2, done.stderr
    assert re.search(r"cannot be written: .*No space left on device", done.stderr)
    assert "Traceback" not in done.stderr
    assert not small_disk.valuation.exists()
    assert not list(small_disk.data.glob(".valuation.*"))
    (small_disk.root / "ballast").unlink()
    done = unshapley("run", "-p", small_disk.root)
    assert done.returncode == 0, done.stderr


def test_report_and_run_speak_json(project):
    done = unshapley("report", "-p", project.root)
    assert done.returncode == 2
    assert "run `unshapley run`" in done.stderr
    done = unshapley("run", "-p", project.root, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["fidelity"]["status"] == "trusted"
    content = json.loads(unshapley("report", "-p", project.root, "--json").stdout)
    assert [v["provider"] for v in content["values"]] == project.providers()
    text = unshapley("report", "-p", project.root).stdout
    assert re.search(r"sum [\d.]+ = U\(all\) -[\d.]+ − U\(none\) -[\d.]+, 30 coalitions", text)


@pytest.mark.parametrize("there_is_one", [True, False])
def test_the_report_is_opened_in_the_browser(published, monkeypatch, there_is_one):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or there_is_one)
    done = unshapley("report", "-p", published.root, "--open")
    path = published.valuation / "report.html"
    assert done.returncode == 0
    assert str(path) in done.stdout
    assert ("no browser" in done.stdout) != there_is_one
    assert opened == [path.resolve().as_uri()]
    path.unlink()
    assert "is missing" in unshapley("report", "-p", published.root, "--open").stderr


def test_data_docs_are_written_on_request(project, tmp_path):
    done = unshapley("validate", "-p", project.root, "--data-docs", tmp_path / "docs", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 7
    pages = sorted(p.name for p in (tmp_path / "docs").glob("*.html"))
    assert len(pages) == 6, pages
    assert "Expectation" in (tmp_path / "docs" / pages[0]).read_text()


def test_a_project_with_the_targets_rows_only_is_validated_and_renewed(project):
    set_params(project, valuation__targets=["form-00", "form-02"])
    project.partition("form-04").unlink()
    done = unshapley("validate", "-p", project.root)
    assert done.returncode == 0, done.stderr
    assert "form-02: meets all expectations" in done.stdout
    done = unshapley("curvature", "-p", project.root, "--provider", "form-02")
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["form-02"]
    done = unshapley("curvature", "-p", project.root, "--provider", "form-99")
    assert done.returncode == 2
    assert "--provider: the model was not trained on provider 'form-99'" in done.stderr


def test_rows_that_are_needed_and_absent_are_told_before_the_server_starts(project):
    set_params(project, valuation__targets=["form-00", "form-02"])
    project.partition("form-04").unlink()
    done = unshapley("run", "-p", project.root)
    assert done.returncode == 2
    assert done.stderr.startswith("error: valuation.unlearner: shrink_finetune needs the rows")


def test_init_keeps_comments_and_refuses_what_is_wrong(tmp_path):
    done = unshapley("init", tmp_path / "a", "--set", "valuation.budget=77")
    assert done.returncode == 0
    text = (tmp_path / "a" / "params.yaml").read_text()
    assert "budget: 77" in text
    assert "# The one configuration" in text
    for arguments, message in (
        ([tmp_path / "a"], "stands there already"),
        ([tmp_path / "b", "--set", "valuation.budget"], "expected: KEY=VALUE"),
        ([tmp_path / "b", "--set", "valuation.budget=-1"], "valuation.budget = -1"),
    ):
        done = unshapley("init", *arguments)
        assert done.returncode == 2
        assert message in done.stderr
    assert not Path(tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (httpx.ConnectError("connection refused"), "Prefect's server failed: connection refused"),
        (BrokenProcessPool("A process was terminated"), "a process that measures was killed, as"),
        (MemoryError(), "the machine is out of memory: MemoryError"),
        (RuntimeError("can't start new thread"), "the machine is out of memory: can't start"),
        (ImportError("a.so: failed to map segment"), "the machine is out of memory: a.so: failed"),
    ],
)
def test_what_the_machine_does_to_a_command_is_one_clear_error(error, says, capsys):
    @reported
    def command():
        raise error

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 1
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: {says}")
    kept, do = rest
    assert kept == "  finished chunks are kept"
    assert do.startswith("  do: run the same command again")
    assert ("valuation.memory_mb" in do) == ("memory" in says or "killed" in says)


def test_a_second_audit_is_told_so_and_nothing_else(project):
    with only_audit(project):
        done = process("audit", "-p", project.root)
    assert done.returncode == 6
    assert done.stderr == (
        f"error: {project.root}: another audit works here\n  do: wait until it has ended\n"
    )
