"""The least core: payments under which no coalition has much reason to leave."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from unshapley.errors import UnshapleyError
from unshapley.estimators.base import Plan, check_table

Floats = NDArray[np.float64]


def least_core(plan: Plan, table: Floats) -> Floats:
    """Payments `(n,)` that minimise the largest shortfall e of any measured coalition.

    min e  such that  Σ_{i∈S} x_i + e ≥ U(S) − U(none) for every measured S,
                      Σ_i x_i = U(all) − U(none)

    Maschler, Peleg, Shapley 1979; from sampled coalitions: Yan, Procaccia, "If you like Shapley
    then you'll love the core" (AAAI 2021), section 4. A cross-check of fairness beside Shapley
    values. Where several payments are optimal, a vertex of them is returned.
    """
    check_table(plan, table)
    n, m = plan.n, len(plan.coalitions)
    solution = optimize.linprog(
        c=np.append(np.zeros(n), 1.0),
        A_ub=-np.column_stack([plan.coalitions, np.ones(m)]),
        b_ub=table[0] - table[1:-1],
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[table[-1] - table[0]],
        bounds=(None, None),
        method="highs",
    )
    if not solution.success:
        raise UnshapleyError(
            f"the linear programme of the least core was not solved: {solution.message}"
        )
    out: Floats = solution.x[:n]
    return out
