"""A program of the public API as a type checker sees it; checked by mypy, never run."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np

import unshapley as us

project = us.Project(Path("my-data"))
params = us.load_params(project.params)
rows: dict[str, int] = us.prepare(project, params)
record = us.pretrain(project, params, list(rows), {})
game = us.load_game(project, project.providers(), needs="curvature", utilities=["accuracy"])
unlearner = us.build_unlearner("newton", {"damping": 1.0})
plan = us.make_plan("auto", len(game.players), params.valuation.budget, seed=0)
measured, seconds = us.measure_batch(game, unlearner, plan.coalitions, game.utilities)
endpoints = us.measure_endpoints(game, unlearner, game.utilities)
estimate = us.estimate_values(plan, measured, endpoints)

assert_type(game.players, tuple[str, ...])
assert_type(record.score, dict[str, float])
assert_type(seconds, dict[str, float])
assert_type(estimate.std_error, np.ndarray[tuple[Any, ...], np.dtype[np.float64]])
result = us.value(None, {"north": np.eye(2), "south": np.eye(2)}, label="disease", progress=True)
assert_type(result, us.Result)
assert_type(result.status, str)
assert_type(result.warnings, tuple[str, ...])
us.value("my_models:net", {}, task="ranking")  # type: ignore[arg-type]
us.load_params("params.yaml")  # type: ignore[arg-type]
us.no_such_thing  # type: ignore[attr-defined]
