"""Somebody's own data: the four hospitals of the heart disease set, as README tells."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli import unshapley as cli
from unshapley.project import Project

DATA = Path(
    os.environ.get("UNSHAPLEY_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
COLUMNS = ["age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak"]


@pytest.mark.skipif(
    not (DATA / "heart_disease").is_dir(),
    reason="heart_disease is not at hand: set UNSHAPLEY_TEST_DATA to the folder that holds it",
)
def test_hospitals_are_valued_from_csv_files(tmp_path):
    project = Project(tmp_path / "hospitals")

    def unshapley(*arguments: object) -> str:
        done = cli(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    settings = ["prepare.source=files", "prepare.label=disease", "validation.feature_range=null"]
    unshapley("init", project.root, *(s for pair in settings for s in ("--set", pair)))
    for file in sorted((DATA / "heart_disease").glob("processed.*.data")):
        table = pd.read_csv(file, na_values="?")[[*COLUMNS, "target"]]
        table["chol"] = table["chol"].replace(0, float("nan"))
        table = table.fillna(table.median()).fillna(200.0)
        table["disease"] = (table.pop("target") > 0).map({True: "yes", False: "no"})
        table.to_csv(project.raw / f"{file.name.split('.')[1]}.csv", index=False)
    for command in ("prepare", "suites", "pretrain", "run"):
        printed = unshapley(command, "--project", project.root)
    assert "14 coalitions" in printed
    values = pd.read_csv(project.valuation / "values.csv")
    assert values["provider"].tolist() == ["cleveland", "hungarian", "switzerland", "va"]
    assert (values["sampling_error"] == 0).all()  # all were measured; the test set is finite
    assert (values["test_error"] > 0).all()


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
