"""`unshapley seeds`: two pretrained models of the same data, really valued, and its mistakes."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from flows.pretrain import pretrain
from flows.valuation import valuation
from tests.cli import unshapley
from tests.conftest import set_params
from unshapley.analysis.seeds import across_seeds
from unshapley.config import load_params
from unshapley.project import Project


@pytest.fixture(scope="module")
def models(built, tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    places = []
    for seed in (0, 1):
        place = Project(shutil.copytree(built.root, root / f"seed-{seed}"))
        set_params(place, valuation__unlearner="newton", valuation__options={})
        if seed:
            set_params(place, pretrain__seed=seed)
            pretrain(place, load_params(place.params))
        valuation(project=place.root)
        places.append(place)
    return places


def test_values_are_means_and_differences_stay_consistent(models, tmp_path):
    done = unshapley("seeds", *[m.root for m in models], "--out", tmp_path / "both")
    assert done.returncode == 0, done.stderr
    assert "neg_log_loss over 2 models" in done.stdout
    single = [pd.read_csv(m.valuation / "values.csv") for m in models]
    found = pd.read_csv(tmp_path / "both" / "values.csv")
    np.testing.assert_allclose(found["value"], (single[0]["value"] + single[1]["value"]) / 2)
    spread = (single[0]["value"] - single[1]["value"]).abs() / 2
    np.testing.assert_allclose(found["seeds_error"], spread, rtol=1e-9)
    assert (found["seeds_error"] > 0).all()
    squares = found["within_error"] ** 2 + found["seeds_error"] ** 2
    np.testing.assert_allclose(found["std_error"] ** 2, squares)
    pairs = pd.read_csv(tmp_path / "both" / "differences.csv").set_index(["provider", "other"])
    value = found.set_index("provider")["value"]
    for (one, other), difference in pairs["difference"].items():
        assert difference == pytest.approx(value[one] - value[other])
    swapped = unshapley("seeds", *[m.root for m in models[::-1]], "--json")
    rows = json.loads(swapped.stdout)
    np.testing.assert_allclose([row["value"] for row in rows], found["value"])


def test_mistakes(models, tmp_path):
    def refused(message, *places):
        done = unshapley("seeds", *places)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr

    first, second = (m.root for m in models)
    refused("one valuation has no spread", first)
    refused("its model is the one of", first, first)
    refused("no valuation stands here", first, tmp_path)
    other = Project(shutil.copytree(second, tmp_path / "other"))
    manifest = json.loads((other.valuation / "manifest.json").read_text())
    manifest["inputs"]["data/test.parquet"] = "0" * 64
    (other.valuation / "manifest.json").write_text(json.dumps(manifest))
    refused("differs in what it was computed from: data/test.parquet", first, other.root)
    shutil.copytree(second, tmp_path / "without")
    (tmp_path / "without" / "data" / "valuation" / "differences.csv").unlink()
    refused("dvc pull", first, tmp_path / "without")


def test_an_interval_over_models_holds_the_mean_over_all_of_them():
    """Three models of a population whose spread is known: 95 % intervals cover its mean."""
    rng, held = np.random.default_rng(0), []
    for _ in range(2000):
        tables = [
            pd.DataFrame({"provider": ["a"], "value": rng.normal(1.0, 0.2, 1), "std_error": 0.0,
                          "ci_low": 0.0, "ci_high": 0.0})
            for _ in range(3)
        ]  # fmt: skip
        found = across_seeds(tables, ["provider"], "value").iloc[0]
        held.append(found["ci_low"] <= 1.0 <= found["ci_high"])
    assert 0.93 < np.mean(held) < 0.97
