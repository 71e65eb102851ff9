"""A recorded valuation is derived and measured again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.audit import audit
from tests.cli import unshapley
from unshapley.audit.derivation import check_tables, derive
from unshapley.audit.recorded import check_plan, read_recorded
from unshapley.audit.settings import AuditSettings
from unshapley.audit.surroundings import differences, is_other_code, rebuild_commands
from unshapley.audit.verdict import (
    IDENTICAL,
    UNEXAMINED,
    NotCheckableError,
    NotReproducedError,
    Verdict,
)
from unshapley.data.tables import write_table
from unshapley.errors import AlteredError, InputError
from unshapley.files import sha256, write_csv, write_json
from unshapley.project import Project
from unshapley.results.tables import all_tables


def derived(project: Project) -> Verdict:
    recorded = read_recorded(project)
    return Verdict((check_plan(recorded), *check_tables(recorded, derive(recorded))))


def edit(project: Project, name: str, column: str, row: int, value: object) -> None:
    path = project.valuation / name
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
        frame.loc[row, column] = value
        write_table(frame, path)
        return
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.loc[row, column] = str(value)
    frame.to_csv(path, index=False, lineterminator="\n")


def test_stored_utilities_give_every_table_again(valued):
    found = derived(valued)
    assert found.exit_code == 0
    assert {c.outcome for c in found.checks} == {IDENTICAL, UNEXAMINED}
    assert [c.what for c in found.checks if c.outcome == UNEXAMINED] == ["values.csv: test_error"]
    assert differences(read_recorded(valued).manifest) == []


@pytest.mark.parametrize(
    ("name", "column", "row", "value", "since"),
    [
        ("values.csv", "value", 0, 0.5, "aggregate"),
        ("values.csv", "ci_low", 1, -0.5, "aggregate"),
        ("values.csv", "rank", 1, 9, "aggregate"),
        ("differences.csv", "other", 0, "nobody", "publish"),
        ("semivalues.csv", "banzhaf", 0, 0.5, "aggregate"),
        ("plots/fidelity.csv", "unlearned", 0, 0.5, "aggregate"),
        ("plots/fidelity.csv", "retrained", 0, 0.5, "publish"),
        ("utilities.parquet", "neg_log_loss", 7, 0.5, "aggregate"),
    ],
)
def test_one_edited_number_is_found(published, name, column, row, value, since):
    edit(published, name, column, row, value)
    found = derived(published)
    assert (found.exit_code, found.since) == (4, since)
    assert any(check.details for check in found.differing)


def test_other_coalitions_than_the_parameters_plan_are_found(published):
    coalition = list(pd.read_parquet(published.valuation / "utilities.parquet")["coalition"])
    edit(published, "utilities.parquet", "coalition", 7, coalition[8])
    edit(published, "utilities.parquet", "coalition", 8, coalition[7])
    assert derived(published).since == "plan"


def test_a_table_that_is_none_is_named(published):
    (published.valuation / "values.csv").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"values\.csv"):
        derived(published)
    edit(published, "utilities.parquet", "coalition", 0, "11111")
    with pytest.raises(InputError, match="the empty and the full coalition"):
        read_recorded(published)


def test_surroundings_that_differ_are_named_with_commands_that_rebuild_them(valued):
    manifest = dict(read_recorded(valued).manifest)
    manifest["numerics"] = {**manifest["numerics"], "vector": "NEON"}
    manifest["code"] = {**manifest["code"], "dirty": False, "commit": "0123456789"}
    other = [d for d in differences(manifest) if d.name == "vector"]
    assert [d.recorded for d in other] == ["NEON"]
    assert not is_other_code(other)
    manifest["versions"] = {**manifest["versions"], "torch": "1.0+cpu"}
    assert is_other_code(differences(manifest))
    assert "torch==1.0" in rebuild_commands(manifest)[-1]


# --- the flow, in a project that git tracks ---


def git(project: Project, *arguments: str) -> str:
    who = ["-c", "user.name=auditor", "-c", "user.email=auditor@example.org"]
    command = ["git", *who, *arguments]
    done = subprocess.run(command, cwd=project.root, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def committed(published: Project) -> Project:
    """The valued project in git, which tracks what it tracks of a project with DVC."""
    (published.root / ".gitignore").write_text(".unshapley/\n.prefect/\ndata/audit/\n")
    git(published, "init", "-q")
    small = ("manifest.json", "values.csv", "metrics.json")
    paths = [f"data/valuation/{name}" for name in small]
    git(published, "add", ".gitignore", "params.yaml", "data/expectations", *paths)
    git(published, "commit", "-qm", "valuation")
    return published


def audited(project: Project, revision: str | None = None, **settings: object) -> dict[str, Any]:
    chosen = {"sample": 6, "retrain": 1, "seed": 3, **settings}
    return audit(project=project.root, revision=revision, settings=AuditSettings(**chosen))


def forge(project: Project, *names: str) -> None:
    """Commit edited files with the hashes that they have now."""
    path = project.valuation / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in names:
        manifest["outputs"][name] = sha256(project.valuation / name)
    write_json(path, manifest)
    git(project, "add", "-u")
    git(project, "commit", "-qm", "forged")


def republish(project: Project) -> None:
    """Write every table anew from the utilities that are stored."""
    recorded = read_recorded(project)
    found = derive(recorded)
    for name, table in all_tables(found).items():
        written = recorded.csv(name)
        same = [c for c in table.columns if not table[c].isna().all()]
        written[same] = table[same]
        write_csv(written, project.valuation / name)
    forge(project, "utilities.parquet", *all_tables(found))


def test_a_sample_is_reproduced_and_nothing_of_the_user_is_touched(committed):
    (committed.params).write_text(committed.params.read_text() + "# mine\n")
    git(committed, "add", "params.yaml")
    (committed.valuation / "values.csv").unlink()
    status, index = git(committed, "status", "--porcelain"), committed.root / ".git" / "index"
    before = index.read_bytes()
    summary = audited(committed, "HEAD")
    assert summary["verdict"] in ("reproduced", "reproduced within tolerance")
    assert git(committed, "status", "--porcelain") == status
    assert index.read_bytes() == before
    assert len(git(committed, "worktree", "list").splitlines()) == 1
    assert not (committed.root / ".unshapley" / "audit").exists()
    measured = summary["figures"]["measured"]
    assert (measured["coalitions"], measured["chunks_from_a_cache"]) == (6, 0)
    folder = Path(summary["folder"])
    assert json.loads((folder / "audit.json").read_text())["verdict"] == summary["verdict"]
    assert "not reproduced" not in (folder / "audit.html").read_text()


def test_all_coalitions_give_the_same_bits_and_every_error(committed):
    summary = audited(committed, everything=True)
    left = {check["what"] for check in summary["checks"] if check["outcome"] == "not examined"}
    assert left == {"signature"}
    utilities = [c for c in summary["checks"] if "unlearned coalitions" in c["what"]]
    assert len(utilities) == 2 + 5  # two utilities, and the first on the test rows of each
    assert {c["outcome"] for c in utilities} == {"identical"}
    assert any(check["what"] == "values.csv: test_error" for check in summary["checks"])


def test_a_forged_utility_with_all_hashes_and_tables_anew_is_measured_to_be_wrong(committed):
    edit(committed, "utilities.parquet", "neg_log_loss", 9, -0.05)
    republish(committed)
    with pytest.raises(NotReproducedError) as found:
        audited(committed, sample=8)
    assert found.value.summary["since"] == "measure"
    assert found.value.exit_code == 4


@pytest.mark.parametrize(
    ("name", "edited", "step"),
    [
        ("report.html", lambda text: text.replace("<td>1</td>", "<td>2</td>", 1), "publish"),
        ("report.html", lambda text: text.replace("<svg", '<svg class="x"', 1), "publish"),
        ("validation.json", lambda text: text.replace("true", "false", 1), "validate"),
        ("values.csv", lambda text: text.replace("test_error", "best_error", 1), "publish"),
        ("metrics.json", lambda text: text.replace('"spearman": 0', '"spearman": 1', 1), "publish"),
    ],
)
def test_an_edited_page_or_figure_with_its_hash_anew_is_found(committed, name, edited, step):
    path = committed.valuation / name
    path.write_text(edited(path.read_text()))
    forge(committed, name)
    with pytest.raises(NotReproducedError) as found:
        audited(committed)
    assert found.value.summary["since"] == step


def test_an_edited_entry_of_the_manifest_is_found(committed):
    path = committed.valuation / "manifest.json"
    manifest = json.loads(path.read_text())
    fidelity = {**manifest["fidelity"], "grade": "extremes"}
    write_json(path, {**manifest, "game": "0" * 64, "fidelity": fidelity})
    git(committed, "commit", "-qam", "forged")
    with pytest.raises(NotReproducedError) as found:
        audited(committed)
    differing = {c["what"] for c in found.value.summary["checks"] if c["outcome"] == "different"}
    assert {"key of the game", "verdict of the fidelity check"} <= differing


def test_edited_and_missing_files_are_named(committed):
    edit(committed, "values.csv", "value", 0, 0.5)
    git(committed, "commit", "-qam", "edited")
    with pytest.raises(NotReproducedError, match=r"values\.csv has SHA-256") as found:
        audited(committed)
    assert found.value.summary["since"] == "inputs"
    git(committed, "reset", "-q", "--hard", "HEAD^")
    committed.test.unlink()
    with pytest.raises(NotCheckableError, match=r"data/test\.parquet") as missing:
        audited(committed)
    assert missing.value.exit_code == 5


def test_what_is_no_recorded_valuation_is_one_clear_error(committed):
    with pytest.raises(InputError, match="no revision 'nowhere'"):
        audited(committed, "nowhere")
    manifest = committed.valuation / "manifest.json"
    content = json.loads(manifest.read_text())
    assert audited(committed, str(manifest), everything=True)["verdict"].startswith("reproduced")
    write_json(manifest, {**content, "players": []})
    with pytest.raises(InputError, match=r"not committed: data/valuation/manifest\.json"):
        audited(committed)
    with pytest.raises(AlteredError, match="no commit holds this manifest"):
        audited(committed, str(manifest))
    write_json(manifest, {**content, "schema_version": 99})
    git(committed, "commit", "-qam", "of the future")
    with pytest.raises(InputError, match="schema version 99"):
        audited(committed)
    assert not (committed.root / ".unshapley" / "audit").exists()
    git(committed, "rm", "-q", "--cached", "data/valuation/manifest.json")
    git(committed, "commit", "-qm", "none")
    with pytest.raises(InputError, match="HEAD holds no valuation"):
        audited(committed, "HEAD")


def test_a_moved_tag_and_a_broken_chain_are_told(committed):
    stated = sha256(committed.valuation / "manifest.json")[:8]
    git(committed, "tag", f"valuation/2026-11-27-{stated}")
    git(committed, "clone", "-q", "--bare", ".", str(committed.root.parent / "origin.git"))
    git(committed, "remote", "add", "origin", str(committed.root.parent / "origin.git"))
    good = audited(committed, f"valuation/2026-11-27-{stated}")
    assert sum(c["what"].startswith("tag") for c in good["checks"]) == 2
    path = committed.valuation / "manifest.json"
    write_json(path, {**json.loads(path.read_text()), "previous": "0" * 64})
    git(committed, "commit", "-qam", "edited")
    git(committed, "tag", "-f", f"valuation/2026-11-27-{stated}")
    with pytest.raises(NotReproducedError) as found:
        audited(committed, f"valuation/2026-11-27-{stated}")
    text = str(found.value)
    assert "its name states" in text
    assert "the tag stands at" in text
    assert "no older commit holds" in text


def test_the_command_ends_with_the_verdict(committed):
    done = unshapley("audit", "-p", committed.root, "--sample", 4, "--retrain", 0, "--seed", 1)
    assert done.returncode == 0, done.stderr
    assert "reproduced" in done.stdout
    assert "--seed 1" in done.stdout
    committed.test.unlink()
    done = unshapley("audit", "-p", committed.root, "--json")
    assert done.returncode == 5
    assert json.loads(done.stdout)["verdict"] == "not checkable"
    assert "data/test.parquet" in done.stderr
