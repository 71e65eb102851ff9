"""The harness: figures that are known beforehand come out of it."""

from dataclasses import replace

import numpy as np
import pytest

from unshapley.config import ValuationSettings
from unshapley.errors import InputError
from unshapley.estimators import make_plan
from unshapley.fidelity.benchmark import compare_unlearners as compare
from unshapley.fidelity.benchmark import compared_coalitions
from unshapley.game.measuring import measure, measure_endpoints
from unshapley.game.memory import chunk_size
from unshapley.game.utilities import build_utilities
from unshapley.unlearning import build_unlearner

UTILITY = "neg_log_loss"
MEASURED = build_utilities([UTILITY])[0]


@pytest.fixture(scope="module")
def plan():
    return make_plan("permutations", 5, 16, 0)


@pytest.fixture(scope="module")
def truth(inputs, plan):
    retrain = build_unlearner("retrain")
    return np.array(
        [measure(inputs, retrain, plan.coalitions, build_utilities([UTILITY]))[UTILITY]]
    )


@pytest.fixture(scope="module")
def table(inputs, plan, truth):
    """Two seeds that are the same, so that seeds differ by nothing."""
    unlearners = [build_unlearner("retrain"), build_unlearner("newton")]
    both = np.vstack([truth, truth])
    rows = compare([inputs, inputs], plan, unlearners, MEASURED, truth=both)
    return {row.unlearner: row for row in rows}


def test_real_retraining_is_perfect(table):
    row = table["retrain"]
    assert row.rmse == pytest.approx(0, abs=1e-5)
    assert row.rel_l2 == pytest.approx(0, abs=1e-4)
    assert row.spearman is None  # five players rank by chance
    assert row.spearman_utilities == pytest.approx(1)


def test_no_unlearning_errs_by_what_forgetting_does(table, inputs, truth):
    full = measure_endpoints(
        inputs, build_unlearner("no_unlearning"), build_utilities([UTILITY])
    ).utilities[UTILITY][1]
    assert table["no_unlearning"].rmse == pytest.approx(np.sqrt(((truth - full) ** 2).mean()))
    assert table["no_unlearning"].control


def test_equal_seeds_have_no_noise(table):
    assert table["newton"].noise_floor == 0
    assert table["retrain_other_seed"].rel_l2 == 0


def test_noise_floor_does_not_depend_on_the_order_of_seeds(inputs, plan, truth):
    for one in (np.vstack([truth, truth + 0.5]), np.vstack([truth + 0.5, truth])):
        row = compare([inputs, inputs], plan, [], MEASURED, truth=one)[0]
        assert row.noise_floor == pytest.approx(0.5)
        for floor in row.noise_by_share:
            assert floor is None or floor == pytest.approx(0.5)


def test_correction_by_retraining_is_better_than_none(table):
    corrected = next(row for name, row in table.items() if name.startswith("newton + "))
    assert corrected.rmse < table["newton"].rmse
    assert corrected.cost_share > table["newton"].cost_share
    assert not corrected.retain_free


def test_controls_stand_in_every_table_and_one_seed_has_no_ceiling(inputs, plan, truth):
    rows = {row.unlearner: row for row in compare([inputs], plan, [], MEASURED, truth=truth)}
    assert set(rows) == {"no_unlearning", "truncated_retrain", "retrain_other_seed"}
    assert rows["retrain_other_seed"].reason
    assert rows["no_unlearning"].noise_floor is None


def test_an_unlearner_that_fails_has_a_row_with_its_reason(inputs, plan, truth):
    bare = replace(inputs, pretrained=replace(inputs.pretrained, curvature=None))
    row = compare([bare], plan, [build_unlearner("newton")], MEASURED, truth=truth)[0]
    assert (row.unlearner, row.rmse, row.cost_share) == ("newton", None, None)
    assert "curvature" in row.reason


def test_a_partial_game_counts_the_coalition_of_nobody(inputs):
    partial = replace(inputs, players=inputs.players[:2])
    plan = make_plan("exact", 2, 2, 0)
    assert compared_coalitions(partial, plan).sum(axis=1).tolist() == [0, 1, 1]
    row = compare([partial], plan, [build_unlearner("retrain")], MEASURED)[0]
    assert row.rmse == row.rel_l2 == 0


def test_chunks_are_cut_to_the_memory_there_is(inputs, plan):
    limits, done = ValuationSettings(memory_mb=2), []
    fit = chunk_size(inputs, build_unlearner("retrain"), plan.coalitions, limits)
    assert fit < len(plan.coalitions)
    compare([inputs], plan, [], MEASURED, limits=limits, advance=done.append)
    assert done[0] == fit


def test_games_of_different_players_are_refused(inputs, plan):
    other = replace(inputs, players=inputs.players[:2])
    with pytest.raises(InputError, match="different players"):
        compare([inputs, other], plan, [], MEASURED)


def test_auto_is_calibrated_in_every_game_before_it_is_compared(inputs):
    plan = make_plan("exact", 5, 30, 0)
    auto = build_unlearner("auto", {"retrain_up_to": 0, "cost": 0.05})
    rows = {row.unlearner: row for row in compare([inputs], plan, [auto], MEASURED)}
    assert rows["auto"].reason == ""
    assert 0 < rows["auto"].rmse < rows["no_unlearning"].rmse
