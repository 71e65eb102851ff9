"""`auto` in the flow: chosen, measured, corrected, checked, recorded, resumed."""

import json

import numpy as np
import pandas as pd
import pytest

from flows.valuation import valuation
from tests.conftest import set_params
from tests.flows.test_valuation import chunks_of, outputs
from unshapley.errors import InputError
from unshapley.fidelity.gate import ROWS_ABSENT
from unshapley.game.coalitions import from_bits
from unshapley.game.loading import load_game
from unshapley.game.measuring import measure
from unshapley.game.utilities import build_utilities
from unshapley.unlearning.retrain import RetrainUnlearner

AUTO = {
    "valuation__unlearner": "auto",
    "valuation__options": {"retrain_up_to": 0, "cost": 0.05},
    "fidelity__coalitions": 4,
}


def manifest_of(project):
    return json.loads((project.valuation / "manifest.json").read_text())


def retrained(project, bits):
    """Primary utilities by retraining."""
    game = load_game(project, tuple(project.providers()))
    utilities = build_utilities(["neg_log_loss"])
    return measure(game, RetrainUnlearner(), from_bits(bits), utilities)["neg_log_loss"]


def test_it_is_chosen_recorded_and_resumed(project):
    set_params(project, **AUTO)
    valuation(project=project.root)
    manifest = manifest_of(project)
    name, options = manifest["unlearner"]
    calibration = manifest["calibration"]
    assert (name, options["method"]) == ("auto", calibration["method"])
    assert calibration["retrained"] == 8
    tried = [c for c in calibration["candidates"] if c["value_error"] is not None]
    chosen = next(c for c in tried if c["method"] == calibration["method"])
    assert chosen["value_error"] <= 1.05 * min(c["value_error"] for c in tried)
    assert (
        json.loads((project.valuation / "metrics.json").read_text())["calibration"] == calibration
    )

    table = pd.read_parquet(project.valuation / "utilities.parquet")
    known = table[table["chunk"] == -2]
    assert len(known) >= 8
    np.testing.assert_allclose(
        known["neg_log_loss"], retrained(project, known["coalition"].tolist()), atol=1e-5
    )
    checked = pd.read_csv(project.valuation / "plots" / "fidelity.csv", dtype={"coalition": str})
    assert not set(checked["coalition"]) & set(known["coalition"])
    report = (project.valuation / "report.html").read_text()
    assert "how providers are forgotten" in report
    assert calibration["method"] in report

    recorded = outputs(project)
    valuation(project=project.root)
    assert chunks_of(project)["computed"] == 0
    assert outputs(project) == recorded


def test_a_larger_budget_measures_only_what_is_new(project):
    few, many = 20, 30
    unchecked = {"fidelity__coalitions": 0, "fidelity__publish_unchecked": True}
    set_params(project, valuation__budget=few, **{**AUTO, **unchecked})
    valuation(project=project.root)
    first = manifest_of(project)
    set_params(project, valuation__budget=many)
    valuation(project=project.root)
    second = manifest_of(project)
    assert second["coalitions"]["measured"] == many
    run = json.loads((project.valuation / "run.json").read_text())
    if first["unlearner"] == second["unlearner"]:
        assert run["coalitions_recalled"] + run["chunks"]["resumed"] > 0


def test_a_run_without_rules_continues_with_the_chunks_of_one_with_rules(project):
    rules = {"half_width": 1e-9}
    settings = {**AUTO, "valuation__chunk_size": 2, "valuation__stop": rules}
    set_params(project, **settings)
    valuation(project=project.root)
    assert chunks_of(project)["computed"] > 4
    set_params(project, valuation__stop={})
    valuation(project=project.root)
    assert chunks_of(project)["computed"] == 0


def test_without_rows_nothing_is_retrained_and_newton_is_taken(project):
    targets = project.providers()[:3]
    set_params(project, valuation__targets=targets, fidelity__publish_unchecked=True, **AUTO)
    for provider in project.providers()[3:]:
        project.partition(provider).unlink()
    valuation(project=project.root)
    manifest = manifest_of(project)
    assert manifest["calibration"]["method"] == "newton"
    assert "out of reach" in manifest["calibration"]["reason"]
    assert manifest["fidelity"]["reason"] == ROWS_ABSENT


def test_a_partial_game_has_the_true_ends(project):
    """Nobody among the targets is a coalition like others there: it is retrained, not unlearned."""
    targets = project.providers()[:4]
    options = {"retrain_up_to": 0, "cost": 0.0}
    settings = {**AUTO, "valuation__options": options, "calibration__coalitions": 5}
    set_params(project, valuation__targets=targets, **settings)
    valuation(project=project.root)
    manifest = manifest_of(project)
    assert manifest["calibration"]["reason"] == "so few coalitions are all retrained"
    metrics = json.loads((project.valuation / "metrics.json").read_text())
    assert metrics["fidelity"]["grade"] == "values"
    (none,) = retrained(project, ["00001"])
    assert metrics["u_none"] == pytest.approx(none, abs=1e-5)


def test_too_few_coalitions_are_an_error_before_anything_is_retrained(project):
    set_params(project, calibration__coalitions=2, **AUTO)
    with pytest.raises(InputError, match="2 coalitions are too few to choose"):
        valuation(project=project.root)
    assert not project.valuation.exists()
