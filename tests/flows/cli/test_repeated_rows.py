"""Tables whose rows repeat by nature, as a user brings them."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.cli import unshapley
from unshapley.data.tables import Schema, fingerprints, read_table
from unshapley.project import Project

QUICK = ["prepare.source=files", "pretrain.steps=60", "pretrain.kwargs.hidden=[4]"]


def binary_features(rng):
    """Four binary columns, 200 rows each: every row stands in every file."""
    for name in "abc":
        x = rng.integers(0, 2, (200, 4))
        yield name, pd.DataFrame(x, columns=[*"uvwx"]).assign(label=(x.sum(axis=1) > 2).astype(int))


def repeated_rows(rng):
    """Numbers of which one provider holds a third twice."""
    for name in "abc":
        table = pd.DataFrame(rng.normal(size=(60, 3)), columns=[*"uvw"])
        table["label"] = (table["u"] > 0).astype(int)
        yield name, pd.concat([table, table[:20]]) if name == "a" else table


@pytest.mark.parametrize("tables", [binary_features, repeated_rows])
def test_they_are_valued_with_equal_rows_on_one_side_of_the_split(tmp_path, tables):
    project = Project(tmp_path / "project")
    settings = (part for setting in QUICK for part in ("--set", setting))
    assert unshapley("init", project.root, *settings).returncode == 0
    for name, table in tables(np.random.default_rng(0)):
        table.to_csv(project.raw / f"{name}.csv", index=False)
    for command in ("prepare", "suites", "pretrain", "run"):
        done = unshapley(command, "-p", project.root)
        assert done.returncode == 0, done.stderr
    values = pd.read_csv(project.valuation / "values.csv")
    assert values["status"].tolist() == ["valued"] * 3

    features = Schema.load(project.schema).features
    raw = set(fingerprints(pd.read_csv(project.raw / "a.csv"), features))
    sets = [project.partition("a"), project.test, project.reference]
    train, *others = (set(fingerprints(read_table(path), features)) & raw for path in sets)
    reports = {r["table"]: r for r in json.loads(
        unshapley("validate", "-p", project.root, "--json").stdout
    )}  # fmt: skip
    assert all(report["critical"] == [] for report in reports.values())
    if tables is repeated_rows:
        assert train.isdisjoint(set.union(*others))
    else:  # what others hold of the same rows
        text = "; ".join(reports["a"]["warnings"])
        assert "training row also stands in the test set, no more than by chance: " in text
