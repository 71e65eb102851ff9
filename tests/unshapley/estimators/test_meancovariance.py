"""Mean covariances of random coalitions, held against their definition."""

from itertools import combinations

import numpy as np
import pytest

from unshapley.estimators import make_plan, meancovariance
from unshapley.estimators.countkernel import CountKernel
from unshapley.estimators.interactions import LISTED, interactions
from unshapley.estimators.meancovariance import Fixed, mean_covariances


def kernel(n: int) -> CountKernel:
    rng = np.random.default_rng(0)
    tables = rng.normal(size=(4, n + 1, n + 1))
    tables[3] /= n
    return CountKernel(n, *(t + t.T for t in tables), noise=0.1)


def rows(n: int, chosen) -> np.ndarray:
    out = np.zeros((len(chosen), n), dtype=bool)
    for i, members in enumerate(chosen):
        out[i, list(members)] = True
    return out


@pytest.mark.parametrize(
    ("in_s", "in_t"),
    [({0}, {0}), ({0}, {1}), ({0, 1}, {1}), (set(), {0, 1})],
)
def test_they_are_means_over_all_coalitions(in_s, in_t):
    n, free = 7, 5
    of_kernel = kernel(n)
    fixed = Fixed(len(in_s), len(in_t), len(in_s & in_t))
    means = mean_covariances(of_kernel, free, [fixed])[0]
    for a in range(1, free):
        s = rows(n, [in_s | {2 + i for i in c} for c in combinations(range(free), a)])
        for b in range(1, free):
            t = rows(n, [in_t | {2 + i for i in c} for c in combinations(range(free), b)])
            assert means[a, b] == pytest.approx(of_kernel.gram(s, t).mean()), (a, b)


def test_numbers_of_common_providers_that_are_left_out_do_not_matter(monkeypatch):
    few = mean_covariances(kernel(402), 400, [Fixed(1, 0, 0)])[0]
    monkeypatch.setattr(meancovariance, "DEVIATIONS", 100.0)
    every = mean_covariances(kernel(402), 400, [Fixed(1, 0, 0)])[0]
    np.testing.assert_allclose(few[:-1], every[:-1], rtol=1e-10)


def test_of_very_many_pairs_the_extremes_are_listed():
    n = 120
    plan = make_plan("auto", n, 150, 0)
    coalitions = np.vstack([np.zeros(n, bool), plan.coalitions, np.ones(n, bool)])
    copies = coalitions[:, 3] & coalitions[:, 90]
    found = interactions(plan, np.log1p(coalitions.sum(axis=1) - 1.0 * copies))
    np.testing.assert_allclose(found.value, found.value.T, rtol=1e-12)
    listed = np.isfinite(found.std_error[np.triu_indices(n, 1)])
    assert listed.sum() == LISTED
    values = np.sort(found.value[np.triu_indices(n, 1)])
    assert set(found.value[np.triu_indices(n, 1)][~listed]) <= set(
        values[LISTED // 2 : -LISTED // 2]
    )
