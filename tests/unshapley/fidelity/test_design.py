"""Which coalitions are retrained: those that say most about the values for their cost."""

import numpy as np
import pytest

from unshapley.estimators import make_plan
from unshapley.fidelity.design import Budget, most_telling
from unshapley.fidelity.residuals import ResidualProcess, operator_by_size
from unshapley.game.kept import Kept

N = 7
PLAN = make_plan("exact", N, 2**N - 2, 0).coalitions
ROWS = np.arange(1, N + 1)
SHARES = (PLAN * ROWS).sum(axis=1) / ROWS.sum()
KEPT = Kept.apart(SHARES)
NOTHING = np.array([], dtype=np.int64)
EVERY = np.arange(len(PLAN))
ALIKE = np.full(len(PLAN), 0.01)


@pytest.fixture(scope="module")
def process():
    return ResidualProcess(PLAN, KEPT, np.zeros(len(PLAN)), operator_by_size(PLAN))


def left(process, rows):
    """Summed variance of the values' errors once the residuals at rows are known."""
    covariance, cross = process.prior(EVERY)
    gain = np.linalg.solve(covariance[np.ix_(rows, rows)], cross[:, rows].T)
    before = np.trace(cross @ process.operator.T)
    return before - np.trace(cross[:, rows] @ gain)


def test_each_takes_away_most_of_the_values_variance(process):
    taken = most_telling(process, NOTHING, EVERY, ALIKE, Budget(6, 6, 0.0), 0)
    assert len(set(taken)) == 6
    for i in range(len(taken)):
        best = min(left(process, [*taken[:i], other]) for other in EVERY if other not in taken[:i])
        np.testing.assert_allclose(left(process, taken[: i + 1]), best, rtol=1e-5)


def test_they_say_more_than_as_many_at_random(process):
    taken = most_telling(process, NOTHING, EVERY, ALIKE, Budget(16, 16, 0.0), 0)
    rng = np.random.default_rng(1)
    drawn = [left(process, rng.choice(EVERY, 16, replace=False)) for _ in range(20)]
    assert left(process, taken) < 0.7 * min(drawn)


def test_what_is_known_anyway_is_not_asked_again(process):
    """Only a choice that takes it into account leaves less than any that does not."""
    known = np.flatnonzero(PLAN.sum(axis=1) == 1)
    choice = np.setdiff1d(EVERY, known)
    costs = ALIKE[choice]
    aware = most_telling(process, known, choice, costs, Budget(4, 4, 0.0), 0)
    blind = most_telling(process, NOTHING, choice, costs, Budget(4, 4, 0.0), 0)
    assert not np.isin(aware, known).any()
    assert left(process, [*known, *aware]) < left(process, [*known, *blind])


def test_what_is_dear_is_taken_less_and_the_budget_is_kept_but_for_the_least(process):
    costs = PLAN.sum(axis=1) / PLAN.sum()
    taken = most_telling(process, NOTHING, EVERY, costs, Budget(2, 100, 0.1), 0)
    assert 0.09 < costs[taken].sum() <= 0.1
    plain = most_telling(process, NOTHING, EVERY, ALIKE, Budget(len(taken), len(taken), 0.0), 0)
    assert PLAN[taken].sum() < PLAN[plain].sum()
    assert len(most_telling(process, NOTHING, EVERY, costs, Budget(5, 100, 0.0), 0)) == 5
    assert len(most_telling(process, NOTHING, EVERY, costs, Budget(5, 9, 1.0), 0)) == 9


def test_among_equals_lots_decide_and_not_the_last_bit():
    """Providers of equal size make equal coalitions; a machine that rounds otherwise must take the
    same ones.
    """
    kept = Kept.apart(PLAN.mean(axis=1))
    operator = operator_by_size(PLAN)
    rng = np.random.default_rng(0)
    taken = []
    for size in (0.0, 1e-13):
        noisy = operator * (1 + size * rng.standard_normal(operator.shape))
        process = ResidualProcess(PLAN, kept, np.zeros(len(PLAN)), noisy)
        taken.append(most_telling(process, NOTHING, EVERY, ALIKE, Budget(10, 10, 0.0), 0).tolist())
    assert taken[0] == taken[1]
