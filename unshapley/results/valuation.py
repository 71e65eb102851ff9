"""The result of a valuation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unshapley.errors import InputError, UnshapleyError
from unshapley.estimators import TEST_SET, Estimate, Plan, estimate
from unshapley.estimators.base import Floats
from unshapley.fidelity.correction import Correction, with_correction
from unshapley.fidelity.gate import Fidelity
from unshapley.game.measuring import Measured


@dataclass(frozen=True)
class Valuation:
    """Values of the players for the primary utility, with all that they were computed from.

    rows: training rows by provider, quarantined ones included; chunk_ids: chunk of every coalition
    of the plan `(m,)`; measured: the plan's coalitions; endpoints: nobody and everybody; unlearner:
    name and options, as they were resolved for the plan; game: content key of the game, as the
    utilities of this one may be taken over and of no other; unit: of the primary utility.
    """

    players: tuple[str, ...]
    rows: Mapping[str, int]
    quarantined: Mapping[str, str]
    plan: Plan
    chunk_ids: tuple[int, ...]
    measured: Measured
    endpoints: Measured
    estimate: Estimate
    fidelity: Fidelity
    correction: Correction | None = None
    unlearner: tuple[Any, ...] = ()
    game: str = ""
    unit: str = ""

    @property
    def primary(self) -> str:
        """Name of the utility that the values are of."""
        return self.measured.primary

    @property
    def table(self) -> Floats:
        """Primary utility, as corrected, of nobody, the plan's coalitions, everybody `(m + 2,)`."""
        return utility_table(self.measured, self.endpoints, self.primary, self.correction)

    @property
    def u_none(self) -> float:
        return self.endpoints.utilities[self.primary][0]

    @property
    def u_all(self) -> float:
        return self.endpoints.utilities[self.primary][1]


def utility_table(
    measured: Measured, endpoints: Measured, column: str, correction: Correction | None = None
) -> Floats:
    """Utility of nobody, of the plan's coalitions, of everybody `(m + 2,)`, as corrected."""
    none, full = endpoints.utilities[column]
    between = measured.utilities[column] if correction is None else correction.corrected
    return np.array([none, *between, full])


def estimate_values(
    plan: Plan,
    measured: Measured,
    endpoints: Measured,
    column: str | None = None,
    correction: Correction | None = None,
) -> Estimate:
    """Values of the players; they sum to U(all) − U(none) where the estimator promises it.

    measured: the plan's coalitions; endpoints: nobody and everybody; column: the utility, the
    primary one if not named. With a `correction` from the corrected utilities, its uncertainty in
    the standard errors. Of the primary utility also the error of a finite test set, if it was
    measured on bootstrap samples.
    """
    column = column or measured.primary
    table = utility_table(measured, endpoints, column, correction)
    result = estimate(plan, table)
    if correction is not None:
        result = with_correction(correction, result)
    if column == measured.primary and endpoints.resampled and result.operator is not None:
        of_none, of_all = endpoints.resampled
        result = with_test_noise(result, np.array([of_none, *measured.resampled, of_all]))
    gap = abs(result.value.sum() - (table[-1] - table[0]))
    if result.efficient and gap > 1e-6 * np.abs(table).max():
        raise UnshapleyError(f"values miss efficiency by {gap:.3g}: this is a defect of unshapley")
    return result


def with_test_noise(estimate: Estimate, resampled: Floats) -> Estimate:
    """An estimate with the error that other test rows would make.

    resampled: utilities on bootstrap samples of the test rows `(m + 2, samples)`; those on which
    the utility is not defined are left out.
    """
    assert estimate.operator is not None
    samples = resampled.shape[1]
    defined = np.flatnonzero(np.isfinite(resampled).all(axis=0))
    if len(defined) < 2:
        raise InputError(
            f"the utility is defined on {len(defined)} of {samples} bootstrap samples of the "
            "test rows: its error by them is not known",
            expected="at least 2",
            do="use more test rows, or a utility that needs less of them",
        )
    values = estimate.operator @ resampled[:, defined]
    error = np.atleast_2d(np.cov(values))
    return replace(estimate, errors={**estimate.errors, TEST_SET: error})
