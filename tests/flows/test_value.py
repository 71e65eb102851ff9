"""`unshapley.value` and the flow give the same numbers for the same rows."""

import json
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import unshapley as us
from flows.valuation import valuation
from tests.conftest import set_params
from tests.flows.test_auto import AUTO
from unshapley.config import load_params
from unshapley.project import Project

EXACT = {"check_exact": True}


def partitions(project: Project) -> dict[str, pd.DataFrame]:
    return {name: pd.read_parquet(project.partition(name)) for name in project.providers()}


def assert_same(result: us.Result, folder: Path) -> None:
    utilities = pd.read_parquet(folder / "utilities.parquet")
    if not result.valuation.test_sources:  # a table that is handed over has none
        utilities = utilities[[c for c in utilities if not c.startswith("neg_log_loss[")]]
    assert_frame_equal(result.utilities(), utilities, **EXACT)
    values = pd.read_csv(folder / "values.csv")
    assert_frame_equal(result.frame, values, check_dtype=False, rtol=0, atol=1e-12)
    metrics = json.loads((folder / "metrics.json").read_text())
    found = result.fidelity.summary()
    assert json.loads(json.dumps(found)) == metrics["fidelity"]
    manifest = json.loads((folder / "manifest.json").read_text())
    for step, tolerance in result.valuation.tolerance.items():
        if isinstance(tolerance, dict):
            assert tolerance.items() <= manifest["tolerance"][step].items()
        else:
            assert tolerance == manifest["tolerance"][step]


def test_tables_as_they_come_are_split_and_valued_as_in_the_flow(valued):
    raw = {path.stem: pd.read_parquet(path) for path in sorted(valued.raw.glob("*.parquet"))}
    before = {name: frame.copy() for name, frame in raw.items()}
    with pytest.warns(us.ValuationWarning, match="drawn from the providers that are valued"):
        result = us.value(None, raw, params=load_params(valued.params))
    assert_same(result, valued.valuation)
    for name, frame in raw.items():
        assert_frame_equal(frame, before[name], **EXACT)


def test_sets_of_the_users_own_and_auto_with_its_correction(project):
    set_params(project, **AUTO, valuation__budget=20, valuation__seed=3)
    valuation(project=project.root)
    sets = {name: pd.read_parquet(getattr(project, name)) for name in ("test", "reference")}
    result = us.value(None, partitions(project), **sets, params=load_params(project.params))
    assert result.valuation.calibration is not None
    assert_same(result, project.valuation)
    assert result.findings == ()


def test_targets_alone_are_valued_and_refused_as_in_the_flow(project):
    targets = project.providers()[1:3]
    set_params(project, valuation__targets=targets)
    with pytest.raises(us.UntrustedError):
        valuation(project=project.root)
    sets = {name: pd.read_parquet(getattr(project, name)) for name in ("test", "reference")}
    with pytest.warns(us.ValuationWarning, match="untrusted"):
        result = us.value(None, partitions(project), **sets, params=load_params(project.params))
    assert result.frame["provider"].tolist() == targets
    assert_same(result, project.untrusted)
