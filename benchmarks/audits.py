"""Audits: false alarms in clean ones, alterations and forgeries in others.

    python benchmarks/audits.py                    # all of it, about an hour on two cores
    python benchmarks/audits.py --only clean       # or alterations, forgeries

A small project of eight forms of the digits, valued by `auto` on 120 of 254 coalitions, in git.
Every audit is the real flow, in this process (clean: in processes with other settings).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))
os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="unshapley-audits-"))

import numpy as np  # noqa: E402

from flows.runtime.server import embedded_server  # noqa: E402
from flows.runtime.settings import configure  # noqa: E402
from unshapley.data.digits import load_forms  # noqa: E402
from unshapley.errors import UnshapleyError  # noqa: E402
from unshapley.files import sha256, write_json  # noqa: E402
from unshapley.project import Project  # noqa: E402

FORMS, BUDGET, ALTERATIONS, SEEDS = 8, 120, 100, 60
SETTINGS = [
    "prepare.source=files", "validation.feature_range=[0, 16]", "pretrain.steps=100",
    "pretrain.kwargs.hidden=[16]", f"valuation.budget={BUDGET}", "valuation.chunk_size=20",
    "calibration.coalitions=8", "fidelity.coalitions=6", "run.retries=0",
    "valuation.options={cost: 0.05}",
]  # fmt: skip
SAMPLES = (40, 60, 80, 100, 130, 200)
"""Sizes of a sample; the default takes 97 on the embedded digits."""
MOVED = 2
"""Figures of a forgery before those by sample: its largest change, and how far the value moves."""
CLEAN: list[dict[str, str]] = [
    {}, {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "4"}, {"ATEN_CPU_CAPABILITY": "avx2"},
    {"ATEN_CPU_CAPABILITY": "default"}, {"MKL_CBWR": "COMPATIBLE"}, {"MKL_CBWR": "AVX2"},
    {"OPENBLAS_CORETYPE": "Haswell"}, {"OPENBLAS_CORETYPE": "Nehalem"},
    {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "OPENBLAS_CORETYPE": "Nehalem"},
]  # fmt: skip
"""Environments of clean audits: by a sample, whose chunks are smaller, and by all coalitions."""


def git(project: Project, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
    subprocess.run(["git", *who, *arguments], cwd=project.root, check=True, capture_output=True)


def made(folder: Path) -> Project:
    """The project, valued and committed."""
    from flows.pretrain import pretrain
    from flows.valuation import valuation
    from tasks.expectations.suites import save_suites
    from unshapley.config import load_params
    from unshapley.data.preparation import prepare
    from unshapley.data.tables import Schema
    from unshapley.new_project import init_project

    project = Project(folder)
    init_project(folder, SETTINGS)
    for name, frame in list(load_forms().items())[:FORMS]:
        frame.to_parquet(project.raw / f"{name}.parquet")
    params = load_params(project.params)
    prepare(project, params)
    save_suites(project.expectations, Schema.load(project.schema), params.validation)
    pretrain(project, params)
    valuation(project=folder)
    (folder / ".gitignore").write_text(".unshapley/\n.prefect/\ndata/audit/\n")
    git(project, "init", "-q")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "valuation")
    return project


def audited(project: Project, **settings: Any) -> dict[str, Any]:
    """The content of audit.json, or the error that came before it."""
    from flows.audit import audit
    from unshapley.audit.settings import AuditSettings

    try:
        return audit(project=project.root, settings=AuditSettings(**settings))
    except UnshapleyError as error:
        found = getattr(error, "summary", None)
        return found or {"verdict": f"error: {str(error).splitlines()[0]}", "since": None}


def is_reproduced(found: dict[str, Any]) -> bool:
    verdict: str = found["verdict"]
    return verdict.startswith("reproduced")


def clean(project: Project) -> None:
    """Audits of what nobody has touched, in other environments."""
    print("\n| environment | audit | verdict | largest difference of a log-loss | allowed |")
    print("| --- | --- | --- | ---: | ---: |")
    alarms = 0
    for i, variables in enumerate(CLEAN):
        for amount in (["--sample", "40"], ["--all"]):
            command = "from flows.cli import main; main()"
            done = subprocess.run(
                [sys.executable, "-P", "-c", command, "audit", "-p", str(project.root), "--json",
                 "--seed", str(i), *amount],
                env={**os.environ, "PYTHONPATH": str(HOME), **variables},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            found = json.loads(done.stdout)
            loss = [c for c in found["checks"] if c["what"].startswith("neg_log_loss of")]
            largest = max(c["largest"] or 0 for c in loss)
            allowed = min(c["tolerance"] or 1 for c in loss)
            alarms += done.returncode != 0
            name = ", ".join(f"{k}={v}" for k, v in variables.items()) or "as recorded"
            print(f"| {name} | {' '.join(amount)} | {found['verdict']} | {largest:.1e} "
                  f"| {allowed:.1e} |", flush=True)  # fmt: skip
    print(f"\n{alarms} false alarms in {2 * len(CLEAN)} clean audits")


def altered_by(rng: random.Random, content: bytes) -> bytes:
    """One byte, or in text one digit, changed."""
    digits = [i for i, byte in enumerate(content) if chr(byte).isdigit()]
    number = bool(digits) and b"\0" not in content and rng.random() < 0.5
    at = rng.choice(digits) if number else rng.randrange(len(content))
    others = [b for b in (b"0123456789" if number else range(256)) if b != content[at]]
    return content[:at] + bytes([rng.choice(others)]) + content[at + 1 :]


def forged(project: Project) -> None:
    """Every record that states hashes, made anew as a forger would: model, statistics, manifest."""
    path = project.valuation / "manifest.json"
    manifest = json.loads(path.read_text())
    before = manifest["inputs"]
    for record in (project.model / "model.json", project.curvature / "curvature.json"):
        text = record.read_text()
        for name, value in before.items():
            text = text.replace(value, sha256(project.root / name))
        record.write_text(text)
    manifest["inputs"] = {name: sha256(project.root / name) for name in before}
    manifest["outputs"] = {n: sha256(project.valuation / n) for n in manifest["outputs"]}
    write_json(path, manifest)


def alterations(project: Project) -> None:
    """Random alterations, before and after the hashes are made anew; by a sample, and by all."""
    rng = random.Random(0)  # noqa: S311 (no secret)
    manifest = json.loads((project.valuation / "manifest.json").read_text())
    files = [*manifest["inputs"], *(f"data/valuation/{name}" for name in manifest["outputs"])]
    chosen = [*files, *rng.choices(files, k=max(0, ALTERATIONS - len(files)))][:ALTERATIONS]
    rng.shuffle(chosen)
    counts: Counter[str] = Counter()
    left: list[str] = []
    for i, path in enumerate(chosen):
        before = (project.root / path).read_bytes()
        (project.root / path).write_bytes(altered_by(rng, before))
        for stage in ("hashes as recorded", "hashes made anew"):
            if stage == "hashes made anew":
                forged(project)
            git(project, "add", "-A")
            git(project, "commit", "-qm", "altered")
            found = audited(project, sample=40, seed=i)
            if is_reproduced(found) and stage == "hashes made anew":
                found = audited(project, everything=True, seed=i)
                counts[f"{stage}: by all coalitions"] += not is_reproduced(found)
            caught = not is_reproduced(found)
            counts[f"{stage}: {'found' if caught else 'not found'}"] += 1
            if not caught:
                left.append(path)
        git(project, "reset", "-q", "--hard", "HEAD~2")
        print(f"{i + 1}/{len(chosen)} {path}: {dict(counts)}", file=sys.stderr, flush=True)
    print("\n| stage | alterations |\n| --- | ---: |")
    for name, count in sorted(counts.items()):
        print(f"| {name} | {count} |")
    print("\nnot found:", ", ".join(f"{p} ({c})" for p, c in Counter(left).items()))


def forgeries(project: Project) -> None:
    """How surely a default sample holds a coalition that was forged to raise a value by the
    half-width of its interval; utilities of the embedded digits, 1,000 of 16,382 coalitions.
    """
    from flows.valuation import valuation
    from unshapley.audit.recorded import read_recorded
    from unshapley.estimators import estimate
    from unshapley.fidelity.comparison import linear_map

    valuation(project=project.root)
    recorded = read_recorded(project)
    values = recorded.csv("values.csv")
    half = ((values["ci_high"] - values["ci_low"]) / 2).to_numpy(dtype=float)
    honest = estimate(recorded.plan, recorded.table)
    operator = linear_map(recorded.plan, recorded.table, honest)[:, 1:-1]
    weight = np.linalg.norm(operator, axis=0)
    rng = np.random.default_rng(0)
    heads = " | ".join(f"found by {size}" for size in SAMPLES)
    print(f"\n| forger | coalitions | largest change | value moved, half-widths | {heads} |")
    print("| --- | ---: | ---: | ---: |" + " ---: |" * len(SAMPLES))
    forgers = {"at random": _at_random, "least largest": _least_largest, "least squares": _squares}
    for name, forge in forgers.items():
        for count in (1, 10, 25, 40, 60, 80):
            cases = []
            for player in rng.choice(len(half), 3, replace=False):
                rows, change = forge(recorded, operator, weight, int(player), half, count, rng)
                cases.append(_found(recorded, honest, rows, change, int(player), half))
            columns = [*zip(*cases, strict=True)]
            means = [f"{np.mean(column):.2f}" for column in columns[:MOVED]]
            found = [f"{np.mean(c):.2f} ({min(c):.2f})" for c in columns[MOVED:]]
            figures = " | ".join([*means, *found])
            print(f"| {name} | {count} | {figures} |", flush=True)


def _at_random(
    recorded: Any, operator: Any, weight: Any, player: int, half: Any, count: int, rng: Any
) -> tuple[Any, Any]:
    """Coalitions taken at random, all changed alike."""
    rows = rng.choice(len(weight), count, replace=False)
    share = np.abs(operator[player, rows])
    return rows, half[player] * np.sign(operator[player, rows]) / share.sum()


def _least_largest(
    recorded: Any, operator: Any, weight: Any, player: int, half: Any, count: int, rng: Any
) -> tuple[Any, Any]:
    """Coalitions and changes that surprise the process least, of all that move the value so far: a
    linear program, given the process that the auditor fits.
    """
    from scipy.optimize import linprog

    rows = np.argsort(-np.abs(operator[player]) / weight)[:count]
    level, change = _surprise(recorded, weight, rows)
    level, change, ones = level[rows], change[rows], -np.ones((count, 1))
    found = linprog(
        np.append(np.zeros(count), 1.0),
        A_ub=np.vstack([np.hstack([change, ones]), np.hstack([-change, ones])]),
        b_ub=np.append(-level, level),
        A_eq=np.append(operator[player, rows], 0.0)[None],
        b_eq=half[player : player + 1],
        bounds=[(None, None)] * count + [(0, None)],
    )
    return rows, found.x[:count]


def _squares(
    recorded: Any, operator: Any, weight: Any, player: int, half: Any, count: int, rng: Any
) -> tuple[Any, Any]:
    """The same by the sum of the squares of all surprises: by these some coalitions are drawn."""
    rows = np.argsort(-np.abs(operator[player]) / weight)[:count]
    level, change = _surprise(recorded, weight, rows)
    inverse = np.linalg.inv(change.T @ change)
    free = -inverse @ change.T @ level
    share = operator[player, rows]
    along = inverse @ share
    return rows, free + along * (half[player] - share @ free) / (share @ along)


def _surprise(recorded: Any, weight: Any, rows: Any) -> tuple[Any, Any]:
    """What the process misses of each coalition, by its weight `(m,)`, and what changes of some
    rows do to it `(m, k)`.
    """
    from unshapley.estimators.posterior import posterior

    process = posterior(recorded.coalitions, recorded.table[1:-1])
    diagonal = np.diag(process.precision)
    missed = process.scale * process.solve(process.residual) / diagonal
    change = (process.precision / diagonal[:, None])[:, rows] * weight[:, None]
    return missed * weight, change


def _found(
    recorded: Any, honest: Any, rows: Any, change: Any, player: int, half: Any
) -> tuple[float, ...]:
    """Largest change, how far the value moves, and the share of auditors' seeds that find it, by
    the size of the sample.
    """
    from unshapley.audit.recorded import CORRECTED
    from unshapley.audit.sampling import draw
    from unshapley.estimators import estimate

    columns = dict(recorded.columns)
    for name in (recorded.primary, recorded.primary + CORRECTED):
        if name in columns:
            columns[name] = columns[name].copy()
            columns[name][2 + rows] += change
    other = replace(recorded, columns=columns)
    values = estimate(other.plan, other.table)
    moved = (values.value - honest.value)[player] / half[player]
    shares = []
    for sample in SAMPLES:
        drawn = [draw(other, values, sample, seed).rows for seed in range(SEEDS)]
        shares.append(float(np.mean([np.isin(rows, some).any() for some in drawn])))
    return float(np.abs(change).max()), float(moved), *shares


def digits(folder: Path) -> Project:
    """The embedded digits, pretrained."""
    from benchmarks.tolerance import prepared

    prepared(folder)
    return Project(folder)


PARTS: dict[str, Callable[[Project], None]] = {
    "forgeries": forgeries,
    "clean": clean,
    "alterations": alterations,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS)
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configure(folder, verbose=False)
        with embedded_server() as server:
            server.wait()
            for part, run in PARTS.items():
                if only in (None, part):
                    begin = time.perf_counter()
                    run((digits if part == "forgeries" else made)(folder / part))
                    print(f"\n{part}: {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
