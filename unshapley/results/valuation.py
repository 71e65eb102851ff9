"""The result of a valuation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from unshapley.errors import UnshapleyError
from unshapley.estimators import TEST_SET, Estimate, Plan, estimate
from unshapley.estimators.base import Floats
from unshapley.fidelity.calibration import Calibration
from unshapley.fidelity.correction import Correction, with_correction
from unshapley.fidelity.gate import Fidelity
from unshapley.game.measuring import Measured
from unshapley.game.utility import RESAMPLES
from unshapley.models.convergence import Convergence
from unshapley.numerics import one_thread
from unshapley.origin import Origin


@dataclass(frozen=True)
class Valuation:
    """Values of the players for the primary utility, with all that they were computed from.

    rows: training rows by provider, also of quarantined ones; chunk_ids: chunk of every coalition
    of the plan `(m,)`, negative where it was retrained for calibration; measured: utilities of the
    plan's coalitions; endpoints: utilities of the
    empty and the full coalition; unlearner: name and options, as used for the plan; game: content
    key of the game: utilities can be reused only in a game with the same key; unit: of the primary
    utility; tolerance: by how much numbers may differ elsewhere, by step; training: how near the
    pretrained model is to an optimum, none where that is unknown; origin: where the model comes
    from, none if it was trained here; test_sources: test rows by the
    provider that gave them, none for a test set of the user's own.
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
    calibration: Calibration | None = None
    unlearner: tuple[Any, ...] = ()
    game: str = ""
    unit: str = ""
    training: Convergence | None = None
    origin: Origin | None = None
    tolerance: Mapping[str, Any] = field(default_factory=dict)
    test_sources: Mapping[str, int] = field(default_factory=dict)

    @property
    def primary(self) -> str:
        """Name of the utility that is divided among the players."""
        return self.measured.primary

    @property
    def table(self) -> Floats:
        """Primary utility, with correction: empty coalition, plan, full coalition `(m + 2,)`."""
        return utility_table(self.measured, self.endpoints, self.primary, self.correction)

    @property
    def u_none(self) -> float:
        return self.endpoints.utilities[self.primary][0]

    @property
    def u_all(self) -> float:
        return self.endpoints.utilities[self.primary][1]

    @property
    def undefined_samples(self) -> float | None:
        """Share of the bootstrap samples of the test rows on which the primary utility is not
        defined; they are left out of its error. None where nothing was resampled.
        """
        if not self.endpoints.resampled.size:
            return None
        return 1 - len(self.endpoints.resampled.T) / RESAMPLES


def calibration_summary(valuation: Valuation) -> dict[str, Any] | None:
    """How `auto` chose, for manifest and metrics; None for other unlearners."""
    if valuation.calibration is None:
        return None
    return {**valuation.calibration.summary(), "corrected": valuation.correction is not None}


def utility_table(
    measured: Measured, endpoints: Measured, column: str, correction: Correction | None = None
) -> Floats:
    """Utility of the empty coalition, the plan's coalitions, the full coalition `(m + 2,)`."""
    of_none, of_all = endpoints.utilities[column]
    planned = measured.utilities[column] if correction is None else correction.corrected
    return np.array([of_none, *planned, of_all])


def estimate_values(
    plan: Plan,
    measured: Measured,
    endpoints: Measured,
    column: str | None = None,
    correction: Correction | None = None,
) -> Estimate:
    """Values of the players; they sum to U(all) − U(none) if the estimator guarantees that.

    measured: utilities of the plan's coalitions; endpoints: of the empty and the full coalition;
    column: the utility, by default the primary one; correction: replaces the measured utilities by
    corrected ones and adds its uncertainty to the standard errors. For the primary utility, the
    standard errors include that of the finite test set, if bootstrap samples were measured.
    """
    column = column or measured.primary
    table = utility_table(measured, endpoints, column, correction)
    result = estimate(plan, table)
    if correction is not None:
        result = with_correction(correction, result)
    if column == measured.primary and endpoints.resampled.size and result.operator is not None:
        of_none, of_all = endpoints.resampled
        result = with_test_noise(result, np.vstack([of_none, measured.resampled, of_all]))
    deviation = abs(result.value.sum() - (table[-1] - table[0]))
    if result.efficient and deviation > 1e-6 * np.abs(table).max():
        raise UnshapleyError(
            f"values miss efficiency by {deviation:.3g}: this is a defect of unshapley"
        )
    return result


@one_thread()
def with_test_noise(estimate: Estimate, resampled: Floats) -> Estimate:
    """The estimate with an added error: that of the finite test set.

    resampled: utilities on bootstrap samples of the test rows `(m + 2, samples)`.
    """
    assert estimate.operator is not None
    values = estimate.operator @ resampled
    error = np.atleast_2d(np.cov(values))
    return replace(estimate, errors={**estimate.errors, TEST_SET: error})
