"""The least core: a division of the total that no coalition has much reason to leave."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from unshapley.errors import UnshapleyError
from unshapley.estimators.base import Plan, check_table

Floats = NDArray[np.float64]


def least_core(plan: Plan, table: Floats) -> Floats:
    """Payments `(n,)` that leave the most dissatisfied measured coalition as little as can be.

    min e  such that  Σ_{i∈S} x_i + e ≥ U(S) − U(none) for every measured S,
                      Σ_i x_i = U(all) − U(none)

    Maschler, Peleg, Shapley 1979; from sampled coalitions: Yan, Procaccia, "If you like Shapley
    then you'll love the core" (AAAI 2021), section 4. A cross-check of fairness beside Shapley
    values; a corner of the least core where it has more than one point.
    """
    check_table(plan, table)
    n, m = plan.n, len(plan.coalitions)
    found = optimize.linprog(
        c=np.append(np.zeros(n), 1.0),
        A_ub=-np.column_stack([plan.coalitions, np.ones(m)]),
        b_ub=table[0] - table[1:-1],
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[table[-1] - table[0]],
        bounds=(None, None),
        method="highs",
    )
    if not found.success:
        raise UnshapleyError(
            f"the linear programme of the least core was not solved: {found.message}"
        )
    out: Floats = found.x[:n]
    return out
