"""A utility that is not defined on every sample of the test rows."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from tests.cli import unshapley
from tests.conftest import set_params
from unshapley.data.tables import read_table
from unshapley.project import Project

QUICK = [
    "prepare.source=files",
    "pretrain.steps=60",
    "pretrain.kwargs.hidden=[4]",
    "valuation.utilities=[auroc, accuracy]",
]


def rare_disease(folder, ill: int) -> Project:
    """Three hospitals of 60 patients each, of whom few are ill: `ill` of the test set."""
    project = Project(folder)
    settings = (part for setting in QUICK for part in ("--set", setting))
    assert unshapley("init", project.root, *settings).returncode == 0
    rng = np.random.default_rng(0)
    tables = {n: pd.DataFrame({"id": rng.permutation(60) + 60 * i, "u": rng.normal(size=60)})
              for i, n in enumerate("abc")}  # fmt: skip

    def prepared(is_ill) -> pd.DataFrame:
        for name, table in tables.items():
            labelled = table.assign(label=is_ill(table).astype(int))
            labelled.to_csv(project.raw / f"{name}.csv", index=False)
        assert unshapley("prepare", "-p", project.root).returncode == 0
        return read_table(project.test)

    tested = prepared(lambda table: table["id"] % 2 == 0)["id"]
    chosen = tested.head(ill)
    test = prepared(lambda t: t["id"].isin(chosen) | (~t["id"].isin(tested) & (t["u"] > 1.2)))
    assert test["label"].sum() == ill
    assert unshapley("suites", "-p", project.root).returncode == 0
    return project


def test_what_is_undefined_is_left_out_and_its_share_reported(tmp_path):
    project = rare_disease(tmp_path / "project", ill=2)
    for command in ("pretrain", "run"):
        done = unshapley(command, "-p", project.root)
        assert done.returncode == 0, done.stderr
        assert ("times its sampling noise: training ended" in done.stdout) == (
            command == "pretrain"
        )
    metrics = json.loads((project.valuation / "metrics.json").read_text())
    assert 0 < metrics["undefined_samples"] <= 0.25
    assert metrics["largest_test_error"] > 0
    kept = [p.read_text() for p in project.results.glob("chunk-*")]
    assert kept
    assert not any("NaN" in text for text in kept)
    page = " ".join((project.valuation / "report.html").read_text().split())
    share = f"{100 * metrics['undefined_samples']:.1f} % of bootstrap samples of its rows"
    assert share in page
    set_params(project, valuation__utilities=["accuracy", "auroc"])
    assert unshapley("run", "-p", project.root).returncode == 0
    metrics = json.loads((project.valuation / "metrics.json").read_text())
    assert metrics["undefined_samples"] == 0


@pytest.mark.parametrize("ill", [0, 1])
def test_too_few_are_an_error_before_anything_is_trained(tmp_path, ill):
    project = rare_disease(tmp_path / "project", ill)
    done = unshapley("pretrain", "-p", project.root)
    assert done.returncode == 2
    told = (
        r"auroc is not defined (where all test rows|on \d+ of 60 bootstrap samples of the 36 test)"
    )
    assert re.search(told, done.stderr), done.stderr
    assert not project.model.exists()
