"""Somebody's own data: the four hospitals of the heart disease set, as README tells."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli import unshapley as cli
from tests.conftest import set_params
from unshapley.project import Project

DATA = Path(
    os.environ.get("UNSHAPLEY_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)


@pytest.mark.skipif(
    not (DATA / "heart_disease").is_dir(),
    reason="heart_disease is not at hand: set UNSHAPLEY_TEST_DATA to the folder that holds it",
)
def test_hospitals_are_valued_in_two_commands(tmp_path):
    """Gaps written as `?`, a label of five grades: nothing is prepared by hand."""
    project = Project(tmp_path / "hospitals")
    begin = cli(
        "init", project.root, "--data", DATA / "heart_disease", "--label", "target", "--yes",
        "--set", "prepare.label_above=0",
    )  # fmt: skip
    assert begin.returncode == 0, begin.stderr
    assert "? stands for a missing value" in " ".join(begin.stdout.split())
    run = cli("run", "--project", project.root)
    assert run.returncode == 0, run.stderr
    for said in ("preparing: nothing is prepared", "pretraining: there is no model"):
        assert said in run.stderr
    assert "14 coalitions" in run.stdout
    assert "test rows are drawn from the providers that are valued" in run.stdout
    values = pd.read_csv(project.valuation / "values.csv")
    hospitals = ("cleveland", "hungarian", "switzerland", "va")
    assert values["provider"].tolist() == [f"processed.{name}" for name in hospitals]
    assert (values["sampling_error"] == 0).all()  # all were measured; the test set is finite
    assert (values["test_error"] > 0).all()


def test_a_table_with_a_provider_column_and_a_trusted_test_set(tmp_path):
    """What is stale is done again, and only that."""
    rng, count = np.random.default_rng(0), 300
    u = rng.normal(size=count)
    rows = pd.DataFrame(
        {"site": rng.choice(["a", "b", "c"], count), "u": u, "sex": rng.choice(["f", "m"], count)}
    ).assign(y=np.where(u + 0.3 * rng.normal(size=count) > 0, "ill", "well"))
    rows[:240].to_csv(tmp_path / "all.csv", index=False)
    rows[240:].drop(columns="site").to_csv(tmp_path / "trusted.csv", index=False)
    project = Project(tmp_path / "sites")
    begin = cli(
        "init", project.root, "--data", tmp_path / "all.csv", "--provider", "site", "--label", "y",
        "--test", tmp_path / "trusted.csv", "--yes", "--set", "pretrain.steps=40",
    )  # fmt: skip
    assert begin.returncode == 0, begin.stderr
    first = cli("run", "--project", project.root)
    assert first.returncode == 0, first.stderr
    assert "drawn from" not in first.stdout + first.stderr
    assert pd.read_csv(project.valuation / "values.csv")["provider"].tolist() == ["a", "b", "c"]
    again = cli("run", "--project", project.root)
    assert "preparing" not in again.stderr
    assert "pretraining" not in again.stderr
    set_params(project, pretrain__steps=50)
    assert "pretraining: section pretrain of params.yaml changed" in cli("run", "--project", project.root).stderr  # fmt: skip
    rows[:200].to_csv(project.raw / "all.csv", index=False)
    assert "preparing: changed since: all.csv" in cli("run", "--project", project.root).stderr


ODD = ["-dash", "01", "1", '=a,"b"', "Hôpital Nord", "NA", "[red]x", "$x$"]


def test_odd_names_are_valued_and_shown_as_they_are_written(tmp_path):
    """No name becomes a number, markup, mathematics or a formula on its way."""
    project = Project(tmp_path / "odd")
    settings = [
        "prepare.source=files",
        "pretrain.steps=40",
        "pretrain.kwargs.hidden=[4]",
        "valuation.unlearner=newton",
        "valuation.budget=60",
        "fidelity.coalitions=0",
        "fidelity.publish_unchecked=true",
    ]
    cli("init", project.root, *(s for pair in settings for s in ("--set", pair)))
    rng = np.random.default_rng(0)
    for i, name in enumerate(ODD):
        x = rng.normal(size=(60, 3))
        label = (x[:, 0] + 0.2 * i * rng.normal(size=60) > 0).astype(int)
        table = pd.DataFrame(x, columns=["a", "b", "c"]).assign(label=label)
        table.to_csv(project.raw / f"{name}.csv", index=False)
    for command in ("prepare", "suites", "pretrain", "run"):
        done = cli(command, "--project", project.root)
        assert done.returncode == 0, done.stderr
    content = json.loads(cli("report", "--project", project.root, "--json").stdout)
    assert sorted(row["provider"] for row in content["values"]) == sorted(ODD)
    printed = cli("report", "--project", project.root).stdout
    assert all(name in printed for name in ODD)
    text = (project.valuation / "values.csv").read_text()
    assert '"\'=a,""b"""' in text
    assert "\n'-dash," in text
    page = (project.valuation / "report.html").read_text()
    assert "$x$" in page
    done = cli("payout", "--project", project.root, "--budget", 100, "--out", tmp_path / "p.csv")
    assert done.returncode == 0, done.stderr
