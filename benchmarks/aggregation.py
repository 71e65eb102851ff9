"""What one estimate of 100,000 coalitions × 100 providers costs: run by estimators.py, prints JSON.

`python benchmarks/aggregation.py ESTIMATOR GIGABYTES`: fails if it needs more memory than that.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np
from synthetic import learning

from unshapley.estimators import ESTIMATORS, make_plan
from unshapley.estimators.semivalues import shapley

N, COALITIONS = 100, 100_000
MOST_S, MOST_GB = 10.0, 1.0


def main() -> None:
    name, gigabytes = sys.argv[1], int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (gigabytes << 30, gigabytes << 30))
    plan = make_plan(name, N, COALITIONS, 0)
    ends = np.array([[False], [True]]).repeat(N, axis=1)
    table = learning(N).utility(np.vstack([ends[:1], plan.coalitions, ends[1:]]))
    begin = time.perf_counter()
    found = ESTIMATORS[plan.estimator].estimate(plan, table, shapley(N))
    assert np.isfinite(found.ci_high).all()
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    met = seconds < MOST_S and peak < MOST_GB
    said = {"estimator": plan.estimator, "coalitions": len(plan.coalitions)}
    said |= {"seconds": round(seconds, 2), "peak_gb": round(peak, 2)}
    print(json.dumps(said | {"verdict": "met" if met else "missed"}))


if __name__ == "__main__":
    main()
