"""A recorded valuation is derived and measured again."""

from __future__ import annotations

import pandas as pd
import pytest

from unshapley.audit.derivation import check_tables, derive
from unshapley.audit.recorded import check_plan, read_recorded
from unshapley.audit.surroundings import differences, is_other_code, rebuild_commands
from unshapley.audit.verdict import IDENTICAL, UNEXAMINED, Verdict
from unshapley.data.tables import write_table
from unshapley.errors import InputError
from unshapley.project import Project


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
