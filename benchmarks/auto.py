"""`auto` against its candidates in hindsight and against retraining at equal cost; a table.

`python benchmarks/auto.py [--only NAME]... [--seeds N] [--json FILE]`. Retrained utilities come
from `truth.py`. Cost is counted work in shares of that of retraining the plan.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DATASETS, Dataset
from numpy.typing import NDArray
from truth import available, fill, plan_of, retrained

from unshapley.config import CalibrationSettings
from unshapley.environment import versions
from unshapley.estimators import Plan, estimate
from unshapley.fidelity.calibration import Calibration, Trial, calibrate
from unshapley.fidelity.correction import FEWEST, correct
from unshapley.fidelity.gate import spearman
from unshapley.game.coalitions import Coalitions, batches_by_size, everybody, keys, positions
from unshapley.game.game import Game
from unshapley.game.kept import kept_rows
from unshapley.game.measuring import measure, measure_endpoints
from unshapley.game.utilities import build_utility
from unshapley.game.utility import Utility
from unshapley.game.work import flop_of_coalitions
from unshapley.unlearning.auto import AutoUnlearner, candidates
from unshapley.unlearning.base import Unlearner
from unshapley.unlearning.hybrid import HybridUnlearner
from unshapley.unlearning.none import NoUnlearning
from unshapley.unlearning.retrain import RetrainUnlearner, TruncatedRetrainUnlearner

CHUNK = 64
COLUMNS = ("dataset", "what", "method", "seeds", "rel_l2", "rel_l2_std", "spearman", "rmse", "cost",
           "ceiling_ratio")  # fmt: skip
Floats = NDArray[np.float64]
Line = dict[str, Any]


@dataclass(frozen=True)
class Truth:
    """A game whose plan was really retrained: utilities `(m,)` of it, U(none) and U(all).

    known: what unlearners have given, by their options and coalition.
    """

    game: Game
    plan: Plan
    utility: Utility
    utilities: Floats
    ends: Floats
    known: dict[str, dict[bytes, float]] = field(default_factory=dict)

    @property
    def coalitions(self) -> Coalitions:
        return self.plan.coalitions

    def measure(self, unlearner: Unlearner, coalitions: Coalitions) -> Floats:
        """Utilities `(k,)`; retrained ones are looked up, others measured once."""
        if isinstance(unlearner, RetrainUnlearner):
            return self.utilities[positions(coalitions, self.coalitions)]
        known = self.known.setdefault(json.dumps(unlearner.described()), {})
        new = coalitions[[key not in known for key in keys(coalitions)]]
        for batch in batches_by_size(new, CHUNK) if len(new) else ():
            part = measure(self.game, unlearner, new[batch], [self.utility])
            known.update(zip(keys(new[batch]), part[self.utility.name], strict=True))
        return np.array([known[key] for key in keys(coalitions)])

    def values(self, utilities: Floats, ends: Floats | None = None) -> Floats:
        none, full = self.ends if ends is None else ends
        return estimate(self.plan, np.array([none, *utilities, full])).value

    def work(self, unlearner: Unlearner) -> Floats:
        """Of each coalition, in shares of that of retraining all `(m,)`."""
        total = flop_of_coalitions(self.game, RetrainUnlearner(), self.coalitions).sum()
        found: Floats = flop_of_coalitions(self.game, unlearner, self.coalitions) / total
        return found


def truths(dataset: Dataset, seeds: int) -> list[Truth]:
    """For each pretraining seed."""
    plan, utility, found = plan_of(dataset), build_utility(dataset.utility), []
    for seed in range(seeds):
        game = dataset.game(seed)
        ends = measure_endpoints(game, NoUnlearning(), [utility]).utilities[utility.name]
        true = retrained(dataset, game, plan.coalitions)
        found.append(Truth(game, plan, utility, true, np.array(ends)))
    return found


def auto_of(
    truth: Truth, auto: AutoUnlearner, seed: int, share: float | None = None
) -> Calibration:
    settings = CalibrationSettings(seed=seed)
    if share is not None:
        settings = CalibrationSettings(seed=seed, share=share)
    plan = truth.coalitions
    return calibrate(truth.game, auto, plan, plan, settings, truth.measure)


def by_method(
    truth: Truth, found: Calibration, method: str, correcting: str
) -> tuple[Floats, float]:
    """Utilities of the plan `(m,)` if `method` had been chosen, and the cost of all.

    correcting: 'cv' where it helps, 'always' or 'never'.
    """
    unlearner = found.unlearner.model_copy(update={"method": method})
    staying = truth.game.staying(truth.coalitions)
    exact = unlearner.exact(truth.game.pretrained, staying).cpu().numpy()
    known = exact.copy()
    known[found.rows] = True
    utilities = truth.utilities.copy()
    candidate = candidates(truth.game.pretrained)[method]
    if not known.all():
        utilities[~known] = truth.measure(candidate, truth.coalitions[~known])
    cost = found.cost_share + float(
        np.where(exact, truth.work(RetrainUnlearner()), truth.work(candidate))[~known | exact].sum()
    )
    if len(found.rows) < FEWEST or correcting == "never":
        return utilities, cost
    at_rows = truth.measure(candidate, truth.coalitions[found.rows])
    found = replace(found, unlearner=unlearner, unlearned=at_rows)
    correction = correct(
        truth.coalitions,
        kept_rows(truth.game, truth.coalitions),
        found.before(utilities),
        (found.rows, found.retrained),
        exact,
        0,
        vanishing=unlearner.vanishes,
    )
    helps = correcting == "always" or found.is_improved_by(correction)
    return correction.corrected if helps else utilities, cost


def compared(truth: Truth, seed: int) -> Iterator[tuple[str, str, Floats, float]]:
    """(what, method, utilities, cost) of everything that is held against the truth."""
    found = auto_of(truth, AutoUnlearner(), seed)
    chosen = found.unlearner.method
    assert chosen is not None
    utilities, cost = by_method(truth, found, chosen, "cv")
    yield "auto", chosen, utilities, cost
    yield "auto, never corrected", chosen, *by_method(truth, found, chosen, "never")
    yield "auto, always corrected", chosen, *by_method(truth, found, chosen, "always")
    if found.trials:
        tried = [trial for trial in found.trials if trial.rmse is not None]
        least = min(tried, key=_rmse).method
        yield "auto, by utility error", least, *by_method(truth, found, least, "cv")
        placebo = _without_placebo(truth, found, chosen)
        yield "auto, placebo subtracted", chosen, placebo, cost
    plain = auto_of(truth, AutoUnlearner(cost=0.0, retrain_up_to=0), seed)
    if plain.trials:
        method = plain.unlearner.method
        assert method is not None
        yield "auto, none but calibration retrained", method, *by_method(truth, plain, method, "cv")
    for method in candidates(truth.game.pretrained):
        yield "candidate", method, *by_method(truth, found, method, "cv")
    steps = max(1, round(cost * truth.game.pretrained.recipe.steps))
    short = TruncatedRetrainUnlearner(steps=steps)
    spent = float(truth.work(short).sum())
    yield "equal cost", "truncated_retrain", truth.measure(short, truth.coalitions), spent
    rival = auto_of(truth, AutoUnlearner(), seed, share=max(0.01, cost - 0.03))
    yield "equal cost", "k retrained + process", *by_method(truth, rival, "no_unlearning", "always")
    for unlearner in (HybridUnlearner(), NoUnlearning()):
        staying = truth.game.staying(truth.coalitions)
        fitted = unlearner.fitted(truth.game.pretrained, staying)
        spent = float(truth.work(fitted).sum())
        yield "other", unlearner.name, truth.measure(fitted, truth.coalitions), spent


def _rmse(trial: Trial) -> float:
    assert trial.rmse is not None
    return trial.rmse


def _without_placebo(truth: Truth, found: Calibration, method: str) -> Floats:
    """Not corrected, but less what the method shifts the utility by where nobody is forgotten."""
    utilities, _ = by_method(truth, found, method, "never")
    candidate = candidates(truth.game.pretrained)[method]
    shift = truth.measure(candidate, everybody(truth.plan.n))[0] - truth.ends[1]
    staying = truth.game.staying(truth.coalitions)
    known = found.unlearner.exact(truth.game.pretrained, staying).cpu().numpy()
    known[found.rows] = True
    return np.where(known, utilities, utilities - shift)


def lines_of(dataset: Dataset, seeds: int) -> list[Line]:
    """The rows of a data set; figures are means over seeds, of calibration too."""
    games = truths(dataset, seeds)
    rows: dict[tuple[str, str], list[tuple[float, float | None, float, float, str]]] = {}
    for seed, truth in enumerate(games):
        true = truth.values(truth.utilities)
        for what, method, utilities, cost in compared(truth, seed):
            key = (what, method if what in ("candidate", "equal cost", "other") else "")
            rows.setdefault(key, []).append(
                (*_errors(truth, utilities, truth.values(utilities), true), cost, method)
            )
        if seeds > 1:
            other = games[(seed + 1) % seeds]
            values = truth.values(other.utilities, other.ends)
            errors = _errors(truth, other.utilities, values, true)
            rows.setdefault(("ceiling", "retrain, another seed"), []).append((*errors, 1.0, ""))
    ceiling = [row[0] for row in rows.get(("ceiling", "retrain, another seed"), [])]
    return [
        {
            "dataset": dataset.name,
            "what": what,
            "method": method or ", ".join(sorted({row[4] for row in found})),
            "seeds": len(found),
            "rel_l2": float(np.mean([row[0] for row in found])),
            "rel_l2_std": float(np.std([row[0] for row in found])),
            "spearman": None
            if any(row[1] is None for row in found)
            else float(np.mean([row[1] for row in found])),  # type: ignore[arg-type]
            "rmse": float(np.mean([row[2] for row in found])),
            "cost": float(np.mean([row[3] for row in found])),
            "ceiling_ratio": float(np.mean([row[0] for row in found]) / np.mean(ceiling))
            if ceiling
            else None,
        }
        for (what, method), found in rows.items()
    ]


def _errors(
    truth: Truth, utilities: Floats, values: Floats, true: Floats
) -> tuple[float, float | None, float]:
    relative = float(np.linalg.norm(values - true) / np.linalg.norm(true))
    rank = (
        spearman(values.round(12).tolist(), true.round(12).tolist()) if truth.plan.n > 5 else None
    )
    return relative, rank, float(np.sqrt(np.mean((utilities - truth.utilities) ** 2)))


def verdicts(lines: Sequence[Line]) -> list[str]:
    """What was asked for, met or missed, for each data set."""
    out = []
    for name in dict.fromkeys(line["dataset"] for line in lines):
        own = [line for line in lines if line["dataset"] == name]
        auto = next(line for line in own if line["what"] == "auto")
        best = min((x for x in own if x["what"] == "candidate"), key=lambda x: x["rel_l2"])
        rivals = [line for line in own if line["what"] == "equal cost"]
        still = next(line for line in own if line["method"] == "no_unlearning")
        near = auto["rel_l2"] <= 1.25 * best["rel_l2"]
        near |= auto["rel_l2"] - best["rel_l2"] <= max(auto["rel_l2_std"], best["rel_l2_std"])
        ratio = auto["ceiling_ratio"]
        checks = {
            f"within 25 % or the spread of seeds of the best, {best['method']}": near,
            "no worse than no_unlearning": auto["rel_l2"] <= still["rel_l2"],
            "cost ≤ .10": auto["cost"] <= 0.10,
            "≤ 1.5 × another seed": ratio is not None and ratio <= 1.5,
            "beats both rivals": all(auto["rel_l2"] <= line["rel_l2"] for line in rivals),
        }
        out += [f"{'met   ' if met else 'missed'}  {name}: {what}" for what, met in checks.items()]
    return out


def table(lines: Sequence[Line]) -> str:
    """Markdown."""

    def shown(value: object) -> str:
        if value is None:
            return "–"
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    head = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    return "\n".join(head + [f"| {' | '.join(shown(x[c]) for c in COLUMNS)} |" for x in lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=DATASETS, help="may be repeated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="processes that retrain")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    names = [*available(arguments.only or list(DATASETS))]
    packages = ", ".join(f"{k} {v}" for k, v in versions().items())
    print(
        f"{platform.machine()}, seeds 0 … {arguments.seeds - 1}; {packages}; {' '.join(sys.argv)}"
    )
    fill(names, arguments.seeds, arguments.workers)
    lines: list[Line] = []
    for name in names:
        lines += lines_of(DATASETS[name](), arguments.seeds)
        print(f"{name}: done", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(lines, indent=2))
    print(table(lines))
    print("\n".join(verdicts(lines)))


if __name__ == "__main__":
    main()
