from dataclasses import replace
from itertools import permutations as orders

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unshapley.games import from_masks, to_masks
from unshapley.errors import InputError
from unshapley.estimators import ESTIMATORS, Estimate, Plan, estimate, make_plan
from unshapley.estimators.least_core import least_core
from unshapley.estimators.orders import prefixes
from unshapley.estimators.proxies import fit_linear, fit_trees
from unshapley.estimators.regression_msr import FOLDS, adjusted
from unshapley.estimators.sampling import everything, inclusion, kernel_weights, paired
from unshapley.estimators.semivalues import SEMIVALUES, banzhaf, beta, leave_one_out, shapley
from unshapley.game.coalitions import from_bits, to_bits

N = 5
BUDGETS = {  # of five providers, fewer than all 30
    "permutations": 24,
    "plain_permutations": 24,
    "truncated_permutations": 24,
    "kernel_shap": 24,
    "leverage": 24,
    "stratified": 24,
    "svarm": 24,
    "complementary_contributions": 24,
    "msr": 24,
    "regression_msr": 24,
}
FAST = [*BUDGETS]  # tree_msr fits a few hundred trees an estimate, cyclic_ needs 2n(n − 1)
ANY_SEMIVALUE = ["plain_permutations", "stratified", "svarm", "complementary_contributions", "msr"]
SHAPLEY_ONLY = ["permutations", "truncated_permutations", "kernel_shap", "leverage"]
EXACT_FROM_ALL = [
    "kernel_shap",
    "leverage",
    "stratified",
    "svarm",
    "complementary_contributions",
    "msr",
]
utilities = st.lists(st.floats(-10, 10, width=32), min_size=32, max_size=32).map(np.array)


def table_of(plan: Plan, game: np.ndarray) -> np.ndarray:
    """game: utilities by mask."""
    return game[[0, *to_masks(plan.coalitions), len(game) - 1]]


def plan_of(name: str, n: int, budget: int, seed: int = 3) -> Plan:
    return ESTIMATORS[name].plan(n, budget, seed)


def values(game, name="exact", budget=None, seed=3, semivalue=None) -> Estimate:
    n = int(np.log2(len(game)))
    plan = plan_of(name, n, budget or 2**n, seed)
    return estimate(plan, table_of(plan, game), semivalue)


def all_of(n: int) -> np.ndarray:
    return from_masks(range(2**n), n)


def saturating(n: int = 8, seed: int = 0) -> np.ndarray:
    """A smooth game that is not additive, as utilities of data are."""
    weights = np.random.default_rng(seed).uniform(0.05, 0.6, n)
    return np.tanh(all_of(n) @ weights)


def rough(n: int = 6, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=2**n)


def definition(game: np.ndarray, n: int) -> np.ndarray:
    """Mean marginal contribution over all n! orders."""
    total, count = np.zeros(n), 0
    for order in orders(range(n)):
        path = [0, *to_masks(prefixes(np.array(order))), 2**n - 1]
        total[list(order)] += np.diff(game[path])
        count += 1
    return total / count


def semivalue_by_definition(game: np.ndarray, weights: np.ndarray) -> np.ndarray:
    n = len(weights)
    out = np.zeros(n)
    for i in range(n):
        gains = [[] for _ in range(n)]
        for mask in range(2**n):
            if not mask >> i & 1:
                gains[bin(mask).count("1")].append(game[mask | 1 << i] - game[mask])
        out[i] = weights @ [np.mean(of_size) for of_size in gains]
    return out


@given(utilities)
@settings(max_examples=10, deadline=None)
def test_exact_values_are_those_of_the_definition(game):
    np.testing.assert_allclose(values(game).value, definition(game, N), atol=1e-9)


@pytest.mark.parametrize("kind", [*SEMIVALUES])
def test_exact_semivalues_are_those_of_the_definition(kind):
    weights = SEMIVALUES[kind](N)
    found = values(rough(N), semivalue=weights).value
    np.testing.assert_allclose(found, semivalue_by_definition(rough(N), weights), atol=1e-12)


@given(utilities)
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("name", ["exact", *FAST])
def test_efficiency(name, game):
    found = values(game, name, BUDGETS.get(name)).value
    assert found.sum() == pytest.approx(game[-1] - game[0], abs=1e-8)


@pytest.mark.parametrize(("name", "budget"), [("cyclic_permutations", 61), ("tree_msr", 40)])
def test_efficiency_of_the_others(name, budget):
    game = rough()
    assert values(game, name, budget).value.sum() == pytest.approx(game[-1] - game[0], abs=1e-8)


@given(utilities)
@settings(max_examples=25, deadline=None)
def test_a_dummy_is_worth_nothing_and_twins_are_worth_the_same(game):
    mask = np.arange(32)
    assert values(game[mask & 0b01111]).value[4] == pytest.approx(0, abs=1e-9)
    twins = game[(mask & 0b11100) | (mask & 1) + (mask >> 1 & 1)]
    found = values(twins).value
    assert found[0] == pytest.approx(found[1], abs=1e-9)


@pytest.mark.parametrize("name", ["plain_permutations", "cyclic_permutations"])
def test_plain_marginal_contributions_of_a_dummy_are_nothing(name):
    found = values(rough()[np.arange(64) & 0b011111], name, 61)
    assert found.value[5] == pytest.approx(0, abs=1e-12)
    assert found.std_error[5] == pytest.approx(0, abs=1e-12)
    assert (found.std_error[:5] > 0.01).all()


@pytest.mark.parametrize("name", [*FAST, "cyclic_permutations"])
def test_twins_are_worth_the_same_on_average(name):
    mask = np.arange(64)
    game = saturating(6)[(mask & 0b111100) | (mask & 1) + (mask >> 1 & 1)]
    found = np.array([values(game, name, 61, seed).value for seed in range(49)])
    gap = found[:, 0] - found[:, 1]
    # 1e-3: of values that are about 0.1
    assert abs(gap.mean()) < 4 * gap.std() / 7 + 1e-3
    apart = found[:, 0] - found[:, 5]
    assert abs(apart.mean()) > 4 * apart.std() / 7 + 1e-3


@given(utilities, utilities)
@settings(max_examples=8, deadline=None)
@pytest.mark.parametrize("name", ["exact", *FAST])
def test_additivity(name, one, other):
    budget = BUDGETS.get(name)
    summed = values(one, name, budget).value + values(other, name, budget).value
    np.testing.assert_allclose(values(one + other, name, budget).value, summed, atol=1e-7)


@pytest.mark.parametrize("name", [*FAST, "cyclic_permutations"])
def test_the_operator_gives_the_values_of_any_utilities(name):
    plan = plan_of(name, 6, 61)
    operator = estimate(plan, table_of(plan, rough(seed=1))).operator
    other = table_of(plan, rough(seed=2))
    np.testing.assert_allclose(operator @ other, estimate(plan, other).value, atol=1e-9)


@pytest.mark.parametrize("name", EXACT_FROM_ALL)
@pytest.mark.parametrize("n", [3, 6])
def test_from_all_coalitions_values_are_exact_and_without_error(name, n):
    found = values(rough(n), name, max(2**n - 2, 4 * n))
    np.testing.assert_allclose(found.value, values(rough(n)).value, atol=1e-9)
    np.testing.assert_allclose(found.std_error, 0, atol=1e-12)


@pytest.mark.parametrize("kind", ["banzhaf", "beta_1_16", "leave_one_out"])
@pytest.mark.parametrize("name", ["stratified", "svarm", "complementary_contributions", "msr"])
def test_from_all_coalitions_any_semivalue_is_exact(name, kind):
    weights = SEMIVALUES[kind](6)
    found = values(rough(), name, 62, semivalue=weights).value
    np.testing.assert_allclose(found, values(rough(), semivalue=weights).value, atol=1e-9)


@pytest.mark.parametrize(
    "name", [*EXACT_FROM_ALL, "regression_msr", "permutations", "cyclic_permutations"]
)
def test_more_coalitions_bring_values_to_the_exact_ones(name):
    game, few, many = saturating(), 120, 252
    truth = values(game).value

    def missed(budget):
        return np.mean(
            [np.linalg.norm(values(game, name, budget, s).value - truth) for s in range(8)]
        )

    assert missed(many) < 0.6 * missed(few)
    assert missed(many) < 0.06 * np.linalg.norm(truth)


def test_tree_msr_comes_near():
    game = saturating(6)
    truth, found = values(game).value, values(game, "tree_msr", 60).value
    assert np.linalg.norm(found - truth) < 0.15 * np.linalg.norm(truth)
    assert (
        estimate(plan_of("tree_msr", 6, 30), table_of(plan_of("tree_msr", 6, 30), game)).operator
        is None
    )


@pytest.mark.parametrize("kind", [shapley, banzhaf, lambda n: beta(n, 16, 1)])
def test_what_the_process_has_measured_it_knows_exactly(kind):
    """Also in a game without any smoothness: from all coalitions, values are those of the sums."""
    game, weights = rough(6), kind(6)
    plan = ESTIMATORS["gaussian_process"].plan(6, 62, 0)
    found = ESTIMATORS["gaussian_process"].estimate(plan, table_of(plan, game), weights)
    np.testing.assert_allclose(found.value, values(game, semivalue=weights).value, atol=1e-9)
    np.testing.assert_allclose(found.std_error, 0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "exact"])
def test_the_unit_of_utilities_does_not_matter(name):
    """In units of 1e-9, values and errors are those in units of one, times 1e-9."""
    one, tiny = (values(unit * saturating(6), name, 60) for unit in (1.0, 1e-9))
    # a kernel is fitted to a tolerance, so that digits beyond it depend on the processor
    np.testing.assert_allclose(tiny.value / 1e-9, one.value, rtol=1e-5)
    np.testing.assert_allclose(tiny.std_error / 1e-9, one.std_error, rtol=0.01, atol=1e-9)


@pytest.mark.parametrize(
    "name",
    [
        "plain_permutations",
        "cyclic_permutations",
        "permutations",
        "msr",
        "stratified",
        "regression_msr",
    ],
)
def test_the_mean_over_seeds_is_the_value(name):
    """What is not biased: a proxy or a control variate that saw its own coalition would be."""
    game = saturating(6)
    truth = values(game).value
    found = np.array(
        [values(game, name, 61 if name[0] == "c" else 40, s).value for s in range(150)]
    )
    standard = found.std(axis=0) / np.sqrt(150)
    assert (abs(found.mean(axis=0) - truth) < 4.5 * standard + 0.015 * np.abs(truth)).all()


@pytest.mark.parametrize("name", [*ANY_SEMIVALUE, "regression_msr", "cyclic_permutations"])
def test_semivalues_of_a_sample_come_near_those_of_all(name):
    # Kwon, Zou: size j − 1 weighs B(j + β − 1, n − j + α) · C(n − 1, j − 1), here 1 : 4 : 10 for n = 3
    np.testing.assert_allclose(beta(3, 1, 4), np.array([1, 4, 10]) / 15)
    np.testing.assert_allclose(beta(3, 4, 1), np.array([10, 4, 1]) / 15)
    weights = beta(6, 2, 2)
    truth = values(saturating(6), semivalue=weights).value
    found = np.mean([values(saturating(6), name, 61, s, weights).value for s in range(60)], axis=0)
    np.testing.assert_allclose(found, truth, atol=0.05 * np.linalg.norm(truth))


@pytest.mark.parametrize("fit", [fit_linear, fit_trees])
def test_a_residual_is_never_of_a_coalition_that_its_proxy_saw(fit):
    plan = plan_of("regression_msr", 6, 40)
    fold = np.r_[False, np.arange(40) // 2 % FOLDS == 0, False]
    table = table_of(plan, rough())
    one, two = (
        adjusted(plan.coalitions, t[:, None], shapley(6), fit)[1][:, 0]
        for t in (table, table + fold)
    )
    np.testing.assert_allclose((two - one)[fold], 1)


@pytest.mark.parametrize("kind", [shapley, banzhaf, lambda n: beta(n, 1, 4), leave_one_out])
def test_the_semivalue_of_trees_is_that_of_their_predictions(kind):
    coalitions = all_of(6)
    proxy = fit_trees(coalitions, rough()[:, None], np.ones(64))
    truth = values(proxy.predict(coalitions)[:, 0], semivalue=kind(6)).value
    np.testing.assert_allclose(proxy.semivalue(kind(6))[:, 0], truth, atol=1e-9)


@pytest.mark.parametrize(
    "name", [name for name in [*FAST, "cyclic_permutations"] if name != "regression_msr"]
)
def test_values_do_not_depend_on_the_order_of_coalitions(name):
    """Not so regression-adjusted MSR: the order deals out the folds."""
    plan = plan_of(name, 6, 61)
    shuffle = np.random.default_rng(0).permutation(len(plan.coalitions))
    other = Plan(name, plan.coalitions[shuffle], plan.reason, plan.permutations)
    one = estimate(plan, table_of(plan, rough())).value
    np.testing.assert_allclose(estimate(other, table_of(other, rough())).value, one, atol=1e-9)


@pytest.mark.parametrize("name", [*FAST, "cyclic_permutations"])
def test_values_and_errors_move_with_the_providers(name):
    plan = plan_of(name, 6, 61)
    new = np.array([3, 0, 5, 1, 4, 2])  # provider i becomes new[i]
    coalitions = np.empty_like(plan.coalitions)
    coalitions[:, new] = plan.coalitions
    other = Plan(
        name,
        coalitions,
        plan.reason,
        new[plan.permutations] if plan.permutations.size else plan.permutations,
    )
    table = table_of(plan, rough())
    before, after = estimate(plan, table), estimate(other, table)
    np.testing.assert_allclose(after.value[new], before.value, atol=1e-9)
    np.testing.assert_allclose(after.std_error[new], before.std_error, atol=1e-9)


@pytest.mark.parametrize("name", [*FAST, "tree_msr", "cyclic_permutations", "gaussian_process"])
@pytest.mark.parametrize("n", [8, 20])
def test_a_larger_plan_begins_with_a_smaller_one(name, n):
    small, large = 2 * n * (n - 1) + 1, 4 * n * (n - 1)
    if n == 8:
        large = 230
    one, two = plan_of(name, n, small), plan_of(name, n, large)
    assert len(one.coalitions) < len(two.coalitions)
    np.testing.assert_array_equal(two.coalitions[: len(one.coalitions)], one.coalitions)
    np.testing.assert_array_equal(two.permutations[: len(one.permutations)], one.permutations)


@pytest.mark.parametrize("name", [*FAST, "tree_msr"])
@pytest.mark.parametrize("n", [5, 14, 70])
def test_a_plan_is_fixed_by_its_seed_distinct_and_within_budget(name, n):
    budget = min(301, 2**n - 3)
    plan = make_plan(name, n, budget, seed=1)
    masks = to_masks(plan.coalitions)
    assert len(set(masks)) == len(masks) <= budget
    assert not {0, 2**n - 1} & set(masks)
    assert to_masks(make_plan(name, n, budget, seed=1).coalitions) == masks
    assert to_masks(make_plan(name, n, budget, seed=2).coalitions) != masks


@pytest.mark.parametrize("name", [*FAST, "tree_msr"])
def test_a_history_grows_to_all_that_was_measured(name):
    plan = plan_of(name, 8, 100)
    found = estimate(plan, table_of(plan, saturating()))
    assert 4 <= len(found.measured) <= 60
    assert (np.diff(found.measured) > 0).all()
    assert found.measured[-1] == len(plan.coalitions)
    np.testing.assert_allclose(found.history[-1], found.value)
    assert np.ptp(found.history[:, 0]) > 0


@pytest.mark.parametrize(
    "name",
    [
        "permutations",
        "plain_permutations",
        "kernel_shap",
        "leverage",
        "stratified",
        "svarm",
        "complementary_contributions",
        "msr",
        "regression_msr",
    ],
)
def test_intervals_cover_the_truth_about_as_often_as_they_say(name):
    game = saturating()
    truth, hits = values(game).value, []
    for seed in range(60):
        found = values(game, name, 120, seed)
        hits.append((found.ci_low <= truth) & (truth <= found.ci_high))
    assert 0.88 <= np.mean(hits) <= 0.998


def test_a_game_of_sizes_only_is_estimated_without_error():
    """What the control variate, and strata by size, are for: such games have equal values."""
    game = all_of(8).sum(axis=1) ** 3.0
    for name, budget in (
        ("permutations", 40),
        ("cyclic_permutations", 120),
        ("stratified", 40),
        ("svarm", 40),
        ("complementary_contributions", 40),
    ):
        found = values(game, name, budget)
        np.testing.assert_allclose(found.value, 8**3 / 8)
        np.testing.assert_allclose(found.std_error, 0, atol=1e-6)


@pytest.mark.parametrize("name", ["kernel_shap", "leverage", "regression_msr", "permutations"])
def test_an_additive_game_is_estimated_without_error(name):
    worth = np.arange(1.0, 9.0)
    found = values(all_of(8) @ worth + 2, name, 40)
    np.testing.assert_allclose(found.value, worth)
    np.testing.assert_allclose(found.std_error, 0, atol=1e-6)


def test_few_pairs_do_not_pull_the_values_together():
    """A control variate fitted on a pair's own gains would shrink every deviation by 1/pairs."""
    noise = np.random.default_rng(1).normal(size=64) / 4
    game = np.tanh(noise + all_of(6) @ [1, 2, 3, 4, 5, 6] / 9)
    truth = values(game).value
    found = [values(game, "permutations", 24, seed).value for seed in range(200)]
    slope = np.polyfit(truth, np.mean(found, axis=0), 1)[0]
    assert slope == pytest.approx(1, abs=0.05)


def test_the_probability_of_being_measured_is_as_often_as_it_happens():
    expected = inclusion(6, 30, kernel_weights)
    drawn = np.vstack([paired(6, 30, seed, kernel_weights) for seed in range(400)])
    number = np.bincount(everything(6).sum(axis=1))[1:]
    found = np.bincount(drawn.sum(axis=1))[1:] / number / 400
    np.testing.assert_allclose(found, expected, atol=0.03)
    assert (inclusion(6, 62, kernel_weights) == 1).all()


def test_truncation_measures_no_long_prefix_and_shares_out_the_rest():
    plan = plan_of("truncated_permutations", 9, 60)
    assert plan.coalitions.sum(axis=1).max() == 6
    late = np.array(
        [provider in order[6:] for order in plan.permutations[:1] for provider in range(9)]
    )
    one = Plan(plan.estimator, plan.coalitions, "", plan.permutations[:1].repeat(2, axis=0))
    found = estimate(one, table_of(one, rough(9))).value
    assert len(np.unique(found[late].round(12))) == 1
    assert len(np.unique(found[~late].round(12))) == 6


def test_svarm_measures_the_border_sizes_in_full():
    size = plan_of("svarm", 9, 60).coalitions.sum(axis=1)
    assert (size == 1).sum() == (size == 8).sum() == 9


def test_auto_is_exact_where_the_budget_covers_all():
    assert make_plan("auto", 5, 30, 0).estimator == "exact"
    assert make_plan("permutations", 5, 30, 0).estimator == "exact"
    assert make_plan("auto", 5, 29, 0).estimator == "gaussian_process"
    assert make_plan("auto", 2, 2, 0).estimator == "exact"


@pytest.mark.parametrize(
    ("name", "needed"),
    [("permutations", 36), ("plain_permutations", 18), ("truncated_permutations", 14), ("cyclic_permutations", 180),
     ("kernel_shap", 40), ("leverage", 40), ("stratified", 40), ("svarm", 40), ("complementary_contributions", 40),
     ("msr", 40), ("regression_msr", 40), ("tree_msr", 40), ("gaussian_process", 8)],
)  # fmt: skip
def test_a_budget_that_is_too_small_says_how_much_is_needed(name, needed):
    with pytest.raises(InputError, match=f"expected: at least {needed}"):
        make_plan(name, 10, needed - 1, 0)
    assert len(make_plan(name, 10, needed, 0).coalitions) <= needed


def test_exact_values_say_how_many_coalitions_they_need():
    with pytest.raises(InputError, match="need all 1022 coalitions"):
        make_plan("exact", 10, 100, 0)


def test_one_provider_and_an_unknown_estimator_are_refused():
    with pytest.raises(InputError, match="nothing to share out"):
        make_plan("auto", 1, 10, 0)
    with pytest.raises(InputError, match="there is no estimator 'shap'"):
        make_plan("shap", 5, 20, 0)


@pytest.mark.parametrize("name", SHAPLEY_ONLY)
def test_a_semivalue_that_it_cannot_give_is_refused(name):
    with pytest.raises(InputError, match=f"{name} gives Shapley values only"):
        values(rough(N), name, 24, semivalue=banzhaf(N))


@pytest.mark.parametrize("name", ["msr", "regression_msr"])
def test_a_semivalue_of_coalitions_that_were_not_measured_is_refused(name):
    with pytest.raises(
        InputError, match="no coalition that this semivalue weighs for .* of 14 providers"
    ):
        values(rough(14), name, 60, semivalue=leave_one_out(14))


def test_a_table_is_checked_before_it_is_used():
    plan = plan_of("stratified", 6, 30)
    table = table_of(plan, rough())
    with pytest.raises(InputError, match=r"of shape \(31,\)[^$]*expected: 32: empty coalition"):
        estimate(plan, table[1:])
    broken = table.copy()
    broken[[0, 2, 3, 5]] = np.nan
    names = ", ".join(["000000", *to_bits(plan.coalitions[1:3])])
    with pytest.raises(InputError, match=f"4 of 32 utilities are not finite numbers: {names}, …"):
        estimate(plan, broken)
    again = Plan("stratified", np.vstack([plan.coalitions[:-1], plan.coalitions[:1]]), "")
    with pytest.raises(
        InputError, match=f"1 coalitions are .* more than once: {to_bits(again.coalitions)[0]}"
    ):
        estimate(again, table)
    ends = Plan("stratified", np.vstack([plan.coalitions[:-1], np.ones((1, 6), dtype=bool)]), "")
    with pytest.raises(InputError, match="more than once: 111111"):
        estimate(ends, table)


@pytest.mark.parametrize("semivalue", [shapley(7), np.append(shapley(6)[1:], np.nan)])
def test_a_semivalue_of_another_game_is_refused(semivalue):
    with pytest.raises(InputError, match="expected: 6 finite weights"):
        values(rough(), "stratified", 30, semivalue=semivalue)


def test_the_least_core_of_an_additive_game_is_its_values():
    worth = np.array([3.0, 1.0, 4.0, 1.5, 2.5])
    plan = make_plan("exact", N, 30, 0)
    np.testing.assert_allclose(least_core(plan, table_of(plan, all_of(N) @ worth + 7)), worth)


def test_no_other_division_leaves_less_to_complain_of_than_the_least_core():
    game, rng = rough(N), np.random.default_rng(0)
    plan = make_plan("exact", N, 30, 0)
    table = table_of(plan, game)

    def complaint(payment):
        return (table[1:-1] - table[0] - plan.coalitions @ payment).max()

    found = least_core(plan, table)
    assert found.sum() == pytest.approx(game[-1] - game[0])
    moves = rng.normal(size=(500, N)) * rng.choice([0.01, 0.1, 1], size=(500, 1))
    moves -= moves.mean(axis=1, keepdims=True)
    assert all(complaint(found + move) >= complaint(found) - 1e-9 for move in moves)
    assert complaint(found) < complaint(values(game).value)


def test_the_least_core_refuses_what_is_not_a_number():
    plan = make_plan("exact", 3, 6, 0)
    with pytest.raises(InputError, match="8 of 8 utilities"):
        least_core(plan, np.full(8, np.nan))


def test_coalitions_round_trip():
    masks = [0b0001, 0b1010, 0b1111]
    coalitions = from_masks(masks, 4)
    assert to_bits(coalitions) == ["1000", "0101", "1111"]
    assert to_masks(from_bits(to_bits(coalitions))) == masks


def test_a_plan_of_all_coalitions_continues_one_of_a_few():
    few, everything = make_plan("auto", 6, 20, 3), make_plan("auto", 6, 62, 3)
    assert (few.estimator, everything.estimator) == ("gaussian_process", "exact")
    np.testing.assert_array_equal(everything.coalitions[:20], few.coalitions)
    assert len(np.unique(everything.coalitions, axis=0)) == 62


def test_a_beginning_of_all_coalitions_is_no_exact_plan():
    plan = make_plan("exact", 4, 14, 0)
    part = replace(plan, coalitions=plan.coalitions[:10])
    with pytest.raises(InputError, match="exact values from 10 coalitions"):
        estimate(part, np.zeros(12))


def test_permutations_of_another_plan_are_told():
    plan, other = make_plan("permutations", 6, 40, 0), make_plan("permutations", 6, 40, 1)
    mixed = replace(plan, permutations=other.permutations)
    with pytest.raises(InputError, match="does not measure"):
        estimate(mixed, np.zeros(len(plan.coalitions) + 2))
