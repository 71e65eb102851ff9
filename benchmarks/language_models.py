"""Values of text for a small language model, against really retrained ones: two games of our own.

    python -m benchmarks.language_models [--seeds 3] [--game NAME] [--quick] [--cache FOLDER]

Of 8 providers 96 coalitions are retrained: all that keep one, all that forget one, 80 in pairs with
their complements. A method is held against them: error of the utilities over the noise of
retraining with another seed, and of the values that follow from them. Cost is counted work, in
shares of retraining all 254 coalitions. Partial: three targets, the others always stay, and nothing
is retrained.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.corpora import GAMES, game, leave_out, sizes
from benchmarks.language_scores import SCORES, parts
from unshapley.config import CalibrationSettings
from unshapley.curvature.text_store import with_text_statistics
from unshapley.fidelity.calibration import calibrate
from unshapley.fidelity.correction import correct
from unshapley.fidelity.design import Unlearned, coalitions_to_retrain
from unshapley.fidelity.gate import spearman
from unshapley.fidelity.order import MISSED, order_of_pairs
from unshapley.fidelity.residuals import operator_by_size
from unshapley.game.coalitions import Coalitions, keys
from unshapley.game.game import Game
from unshapley.game.kept import kept_rows
from unshapley.game.measuring import measure, measure_endpoints
from unshapley.game.utilities import build_utilities
from unshapley.game.work import flop_of_coalitions
from unshapley.results.conclusion import SURE
from unshapley.unlearning import Unlearner, build_unlearner
from unshapley.unlearning.auto import AutoUnlearner
from unshapley.unlearning.retrain import RetrainUnlearner

Floats = NDArray[np.float64]
UTILITIES = build_utilities(["log_likelihood"], "language-model")
PAIRS, BATCH, AGAIN, TRIPLES = 40, 8, 10, 20
METHODS = {
    "no_unlearning": ("no_unlearning", {}),
    "finetune (10 %)": ("short_retrain", {"power": 0}),
    "truncated retraining (10 %)": ("short_retrain", {"power": 50}),
    "short_retrain (10 %)": ("short_retrain", {}),
    "gradient_ascent": ("gradient_ascent", {}),
    "npo": ("npo", {}),
    "task_vector (5 %)": ("task_vector", {}),
    "ekfac": ("ekfac", {}),
    "ngram (proxy)": ("ngram", {}),
    "ekfac_ngram": ("ekfac_ngram", {}),
}
QUICK = ("no_unlearning", "ekfac", "ngram (proxy)", "ekfac_ngram")
RETAIN_FREE = (*QUICK, "task_vector (5 %)")


@dataclass
class Truth:
    """Retrained utilities of a game, kept in a file.

    coalitions: `(m, n)`; ends: U(none), U(all); noise: standard deviation of a retrained utility
    over seeds.
    """

    game: Game
    coalitions: Coalitions
    ends: Floats
    known: dict[bytes, float]
    noise: float

    def of(self, coalitions: Coalitions) -> Floats:
        return np.array([self.known[key] for key in keys(coalitions)])

    def values(self, utilities: Floats) -> Floats:
        return self.operator() @ np.array([self.ends[0], *utilities, self.ends[1]])

    def operator(self) -> Floats:
        n = self.coalitions.shape[1]
        every = np.vstack([np.zeros((1, n), bool), self.coalitions, np.ones((1, n), bool)])
        return operator_by_size(every)

    def ceiling(self) -> float:
        """Relative error of the values expected of retraining the same with another seed."""
        variance = 2 * self.noise**2 * (self.operator()[:, 1:-1] ** 2).sum()
        return float(np.sqrt(variance) / np.linalg.norm(self.values(self.of(self.coalitions))))


def plan(n: int) -> Coalitions:
    """All ends, then pairs of complements of sizes in between, without repetition."""
    rng, rows = np.random.default_rng(7), list(leave_out(n))
    seen = {tuple(row) for row in rows}
    while len(rows) < 2 * n + 2 * PAIRS:
        stays = np.zeros(n, dtype=bool)
        stays[rng.choice(n, int(rng.integers(2, n // 2 + 1)), replace=False)] = True
        if tuple(stays) not in seen and tuple(~stays) not in seen:
            seen |= {tuple(stays), tuple(~stays)}
            rows += [stays, ~stays]
    return np.array(rows)


def all_coalitions(n: int) -> Coalitions:
    """All but nobody and everybody `(2^n − 2, n)`."""
    return (np.arange(1, 2**n - 1)[:, None] >> np.arange(n) & 1).astype(bool)


def utilities_of(of: Game, unlearner: Unlearner, coalitions: Coalitions) -> Floats:
    """Measured in batches of similar size."""
    order, out = np.argsort(coalitions.sum(axis=1), kind="stable"), np.zeros(len(coalitions))
    size = 4 if isinstance(unlearner, RetrainUnlearner) else BATCH
    for begin in range(0, len(order), size):
        part = order[begin : begin + size]
        out[part] = measure(of, unlearner, coalitions[part], UTILITIES)["log_likelihood"]
    return out


def load(name: str, seed: int, cache: Path) -> Truth:
    """A game with its statistics, and what retraining gives, computed once."""
    of = game(name, seed)
    own = dict(zip(of.providers, parts(of), strict=True))
    pretrained = replace(of.pretrained, test=(of.test_x, of.test_y))
    of = replace(of, pretrained=with_text_statistics(pretrained, own))
    chosen = plan(len(of.providers))
    file = cache / f"{name}_{seed}.npz"
    if not file.is_file():
        retrain = build_unlearner("retrain")
        ends = measure_endpoints(of, retrain, UTILITIES).primary_utilities
        again = chosen[2 * len(of.providers) :: 8][:AGAIN]
        other = utilities_of(of, build_unlearner("retrain", {"seed": seed + 100}), again)
        utilities = utilities_of(of, retrain, chosen)
        np.savez(file, ends=ends, utilities=utilities, again=again, other=other)
    stored = np.load(file)
    known = dict(zip(keys(chosen), stored["utilities"], strict=True))
    truth = Truth(of, chosen, stored["ends"], known, 0.0)
    apart = stored["other"] - truth.of(stored["again"])
    truth.noise = float(np.sqrt(np.mean(apart**2) / 2))
    return truth


def with_partial(truth: Truth, name: str, seed: int, cache: Path) -> Truth:
    """What retraining gives where some of the targets are forgotten, computed once."""
    file = cache / f"{name}_{seed}_partial.npz"
    n = len(truth.game.providers)
    forgotten = np.array([members for triple in targets(n) for members in below(triple)])
    asked = np.unique(~forgotten, axis=0)
    asked = asked[[key not in truth.known for key in keys(asked)]]
    if not file.is_file():
        np.savez(file, partial=utilities_of(truth.game, build_unlearner("retrain"), asked))
    known = dict(zip(keys(asked), np.load(file)["partial"], strict=True))
    return replace(truth, known={**truth.known, **known})


def targets(n: int) -> list[NDArray[np.bool_]]:
    """`TRIPLES` different triples, drawn once."""
    every = list(combinations(range(n), 3))
    chosen = np.random.default_rng(3).choice(len(every), TRIPLES, replace=False)
    return [np.isin(np.arange(n), every[i]) for i in chosen]


def below(triple: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """What is forgotten of a triple: each non-empty subset."""
    members = np.flatnonzero(triple)
    for size in (1, 2, 3):
        for chosen in combinations(members, size):
            yield np.isin(np.arange(len(triple)), chosen)


def row(truth: Truth, method: str, utilities: Floats, cost: float, cpu: float) -> dict[str, object]:
    """One line of the table."""
    true, found = truth.of(truth.coalitions), truth.values(utilities)
    out = scored(truth, method, found)
    error = float(np.sqrt(np.mean((utilities - true) ** 2)))
    return {**out, "noises": error / truth.noise, "cost": cost, "cpu_ms": 1000 * cpu}


def scored(truth: Truth, method: str, found: Floats) -> dict[str, object]:
    """Values against those of retraining."""
    values = truth.values(truth.of(truth.coalitions))
    error = float(np.linalg.norm(found - values) / np.linalg.norm(values))
    pairs = list(combinations(range(len(values)), 2))
    right = sum((found[a] - found[b]) * (values[a] - values[b]) > 0 for a, b in pairs)
    rank = spearman(list(values), list(found))
    return {"method": method, "spearman": rank, "rel_l2": error, "pairs": right / len(pairs)}


def full(truth: Truth, *, quick: bool = False) -> Iterator[dict[str, object]]:
    """Every method on the whole plan; quick: those that train nothing, and `auto`."""
    of, chosen = truth.game, truth.coalitions
    every = all_coalitions(len(of.providers))
    work = float(flop_of_coalitions(of, RetrainUnlearner(), every).sum())
    for method, (name, options) in METHODS.items():
        if quick and method not in QUICK:
            continue
        unlearner, begin = build_unlearner(name, options), time.process_time()
        utilities = utilities_of(of, unlearner, chosen)
        cost = float(flop_of_coalitions(of, unlearner, every).sum() / work)
        yield row(truth, method, utilities, cost, (time.process_time() - begin) / len(chosen))
    for method, score in () if quick else SCORES.items():
        found = score(of)
        scale = (truth.ends[1] - truth.ends[0]) / found.sum()
        yield scored(truth, f"{method} (score)", found * scale)
    by_auto = with_auto(truth, every, work)
    yield by_auto
    yield alone(truth, float(by_auto["cost"]) * work, float(by_auto["cost"]))


def with_auto(truth: Truth, every: Coalitions, work: float) -> dict[str, object]:
    """`auto`: smallest coalitions retrained, a candidate chosen, what it misses corrected; said_l2:
    the relative error that it expects.
    """
    of, chosen = truth.game, truth.coalitions

    def measured(unlearner: Unlearner, coalitions: Coalitions) -> Floats:
        if isinstance(unlearner, RetrainUnlearner):
            return truth.of(coalitions)
        return utilities_of(of, unlearner, coalitions)

    found = calibrate(of, AutoUnlearner(), chosen, chosen, CalibrationSettings(), measured)
    staying = of.staying(chosen)
    exact = found.unlearner.exact(of.pretrained, staying).numpy()
    candidate = found.unlearner.candidate(of.pretrained)
    utilities = truth.of(chosen)
    utilities[~exact] = utilities_of(of, candidate, chosen[~exact])
    kept = kept_rows(of, chosen)
    retraining = flop_of_coalitions(of, RetrainUnlearner(), chosen)
    spent = found.cost_share * retraining.sum() + retraining[exact].sum()
    cost = float((spent + flop_of_coalitions(of, candidate, every).sum()) / work)
    retrained, before = (found.rows, found.retrained), found.before(utilities)
    vanishing = candidate.vanishes
    corrected = correct(chosen, kept, before, retrained, exact, 0, vanishing=vanishing).corrected
    said = next(trial.error for trial in found.trials if trial.method == found.method)
    size = float(np.linalg.norm(truth.values(truth.of(chosen))))
    out = row(truth, f"auto ({found.method})", corrected, cost, 0.0)
    return {**out, "said_l2": (said or 0.0) / size}


def alone(truth: Truth, work: float, cost: float) -> dict[str, object]:
    """As many coalitions as `auto`'s work pays for, and the process on what is left."""
    of, chosen = truth.game, truth.coalitions
    retraining = flop_of_coalitions(of, RetrainUnlearner(), chosen)
    settings, none = CalibrationSettings(share=work / retraining.sum()), np.zeros(len(chosen), bool)
    rows = coalitions_to_retrain(Unlearned(of, chosen, none), retraining, settings)
    level = np.full(len(chosen), truth.ends[1])
    kept = kept_rows(of, chosen)
    known = rows, truth.of(chosen[rows])
    corrected = correct(chosen, kept, level, known, none, 0).corrected
    return row(truth, f"{len(rows)} retrained + process", corrected, cost, 0.0)


def partial(truth: Truth, *, quick: bool = False) -> Iterator[dict[str, object]]:
    """Triples of targets, by what needs nobody's rows: errors, pairs in order, and of a method of
    which that is known how often it says they are, over all and where it is at least 90 % sure.
    The ascent family is left out, which takes 50 full-batch steps.
    """
    n = truth.coalitions.shape[1]
    for method in QUICK if quick else RETAIN_FREE:
        name, options = METHODS[method]
        errors, right, stated = [], [], []
        for triple in targets(n):
            coalitions = np.array([~forgotten for forgotten in below(triple)])
            true = _values_of(triple, coalitions, truth.of(coalitions), truth.ends[1])
            utilities = utilities_of(truth.game, build_unlearner(name, options), coalitions)
            found = _values_of(triple, coalitions, utilities, truth.ends[1])
            errors.append(np.linalg.norm(found - true) / np.linalg.norm(true))
            for pair in order_of_pairs("012", found, name) or ():
                stated.append(pair.probability)
                right.append(true[int(pair.provider)] > true[int(pair.other)])
            if name not in MISSED:
                pairs = list(combinations(range(3), 2))
                right += [(found[a] - found[b]) * (true[a] - true[b]) > 0 for a, b in pairs]
        row = {"method": method, "rel_l2": float(np.mean(errors)), "largest": float(max(errors))}
        row |= {"pairs": f"{sum(right)} of {len(right)}"}
        if stated:
            sure = np.array(stated) >= SURE
            row |= {
                "stated": float(np.mean(stated)),
                "sure": f"{np.array(right)[sure].sum()} of {sure.sum()}",
            }
        yield row


def _values_of(
    triple: NDArray[np.bool_], coalitions: Coalitions, utilities: Floats, whole: float
) -> Floats:
    every = np.vstack([coalitions[:, triple], np.ones((1, 3), dtype=bool)])
    return operator_by_size(every) @ np.append(utilities, whole)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--game", choices=list(GAMES), help="only this one")
    parser.add_argument("--quick", action="store_true", help="only what trains nothing, and auto")
    parser.add_argument("--cache", type=Path, default=Path(".unshapley/language_models"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    out = []
    for name in [options.game] if options.game else GAMES:
        for seed in range(options.seeds) if options.seed is None else [options.seed]:
            truth = load(name, seed, options.cache)
            print(f"\n{name}, seed {seed}: {sizes(truth.game)}; U(none) {truth.ends[0]:.3f}, ")
            print(f"U(all) {truth.ends[1]:.3f}, noise {truth.noise:.3f} nats a token; ", end="")
            print(f"another seed would be off by rel_l2 {truth.ceiling():.3f}")
            for found in full(truth, quick=options.quick):
                out.append({"game": name, "seed": seed, "kind": "full", **found})
                print(_line(found), flush=True)
            known = with_partial(truth, name, seed, options.cache)
            for found in partial(known, quick=options.quick):
                out.append({"game": name, "seed": seed, "kind": "partial", **found})
                print(_line(found), flush=True)
    if options.json:
        options.json.write_text(json.dumps(out, indent=1, default=list), encoding="utf-8")


def _line(found: dict[str, object]) -> str:
    cells = [
        f"{key} {value:.3f}"
        if isinstance(value, float)
        else f"{key} {' '.join(f'{v:.2f}' for v in value)}"
        if isinstance(value, list)
        else f"{key} {value}"
        for key, value in found.items()
    ]
    return " | ".join(cells)


if __name__ == "__main__":
    main()
