"""What a refresh takes, what deliveries cost by their number, and what SIGKILL after each step
leaves: prints three tables.

    python benchmarks/refresh.py
    python benchmarks/refresh.py --only deliveries --before 4d2a03a
    python benchmarks/refresh.py --only killed --steps prepare,tag

A checkout of three providers of the digits with git's origin and DVC's remote beside it; the fourth
provider's table lands in the drop folder. Each process is the command a schedule would run.
--before: a commit to compare with, whose modules of the refresh stood in flows/ itself; its code is
checked out into a folder of its own and runs by turns with ours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))

from tests.flows.checkouts import ENV, FORMS, Checkout, build_checkout, copied, deliver  # noqa: E402

STEPS = ("follow", "inputs", "drop", "prepare", "pretrain", "value", "record", "commit", "tag",
         "push data", "push", "clear")  # fmt: skip
KILLED = """
import os, signal, sys
from contextlib import contextmanager
from flows.refresh_steps.job import RefreshJob
name, real = sys.argv.pop(), RefreshJob.step
@contextmanager
def step(job, this):
    with real(job, this):
        yield
    if this == name:
        os.kill(os.getpid(), signal.SIGKILL)
RefreshJob.step = step
"""
OURS = "from flows.cli import main; main()"
DELIVERED = (20, 40, 80)
"""Files that land in the drop folder at once."""
NOW, BEFORE = "flows.refresh_steps", "flows"
"""Packages that hold the modules of the refresh: ours, and of a commit to compare with."""
TAKEN = """
import json, os, sys, time
from importlib import import_module
from pathlib import Path
package, root, folder, count = sys.argv[1:]
drop, repository = (import_module(f"{package}.{name}") for name in ("dropfolder", "repository"))
from unshapley.project import Project
with open(os.devnull) as lock:
    repo = repository.Repository(Path(root), lock.fileno())
    before = os.times()
    taken = drop.take(Project(Path(root)), repo, drop.Drop(Path(folder)), "label", "classification")
    after = os.times()
assert len(taken) == int(count), taken
own, children = sum(after[:2]) - sum(before[:2]), sum(after[2:4]) - sum(before[2:4])
print(json.dumps([own, children]))
"""


def refresh(place: Checkout, *arguments: object, after: str = "") -> tuple[int, float, str]:
    """Exit code, seconds and what was printed; killed after the step named."""
    code = [KILLED + OURS] if after else [OURS]
    command = [sys.executable, "-c", *code, "refresh", "-p", str(place.root), *map(str, arguments)]
    command += [after] if after else []
    # to files: the embedded server that outlives a killed run would hold pipes open
    out, err = (place.root.parent / name for name in ("out", "err"))
    begin = time.monotonic()
    with out.open("w") as printed, err.open("w") as told:
        done = subprocess.run(command, env=ENV, stdout=printed, stderr=told, check=False)
    return done.returncode, time.monotonic() - begin, out.read_text() or err.read_text()


def states(place: Checkout, drop: Path) -> str:
    made = sum(title.startswith("Valuation") for title in place.log()) - 1
    left = len(list(drop.iterdir()))
    return f"{made} | {len(place.tags()) - 1} | {'yes' if place.published() else 'no'} | {left}"


def delivery(place: Checkout, drop: Path, count: int, package: str, code: Path) -> list[float]:
    """CPU seconds of taking `count` deliveries: of the process, and of DVC's below it."""
    command = [sys.executable, "-c", TAKEN, package, place.root, drop, count]
    environment = {**ENV, "PYTHONPATH": str(code)}
    done = subprocess.run(
        [*map(str, command)], env=environment, cwd=code, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def print_deliveries(first: Checkout, folder: Path, before: str | None) -> None:
    codes = {"now": (NOW, HOME)}
    if before:
        old = folder / "before"
        subprocess.run(
            ["git", "worktree", "add", "-q", "--detach", old, before], cwd=HOME, check=True
        )
        codes = {before: (BEFORE, old), **codes}
    print("| files delivered | code | CPU s | CPU ms a file | CPU s of DVC |")
    print("| ---: | --- | ---: | ---: | ---: |")
    try:
        for count in DELIVERED:
            for name, (package, code) in codes.items():
                place = copied(first, folder / f"{count}-{name}")
                for i in range(count):
                    form = FORMS[f"form-{3 + i % 11:02d}"]
                    drop = deliver(folder / f"drop-{count}", f"delivered-{i:02d}.csv", form).parent
                own, dvc = delivery(place, drop, count, package, code)
                each = 1000 * own / count
                print(f"| {count} | {name} | {own:.2f} | {each:.0f} | {dvc:.1f} |", flush=True)
    finally:
        if before:
            subprocess.run(["git", "worktree", "remove", "--force", old], cwd=HOME, check=True)


def print_refreshes(first: Checkout, folder: Path) -> None:
    print("| refresh | exit | seconds |\n| --- | ---: | ---: |")
    for name in ("first valuation", "nothing changed", "nothing changed, again"):
        code, spent, said = refresh(first)
        print(f"| {name} | {code} | {spent:.1f} |", flush=True)
        assert code == 0, said
    place = copied(first, folder / "delivered")
    drop = deliver(folder / "drop", "form-03.csv", FORMS["form-03"]).parent
    code, spent, said = refresh(place, "--drop", drop, "--json")
    print(f"| a new partition in the folder | {code} | {spent:.1f} |", flush=True)
    assert code == 0, said
    print(f"\nits steps: {json.loads(said)['seconds']}\n")


def print_killed(first: Checkout, folder: Path, steps: list[str]) -> None:
    code, _, said = refresh(first)
    assert code == 0, said
    print("| SIGKILL after | then | commits | tags | pushed | left in the folder | seconds |")
    print("| --- | --- | ---: | ---: | --- | ---: | ---: |")
    for name in steps:
        place = copied(first, folder / f"killed-{name.replace(' ', '-')}")
        drop = deliver(folder / "drop-killed", "form-03.csv", FORMS["form-03"]).parent
        killed, _, said = refresh(place, "--drop", drop, after=name)
        assert killed == -9, (name, killed, said)
        code, spent, said = refresh(place, "--drop", drop)
        assert code == 0, said
        again = refresh(place, "--drop", drop)[2].strip()
        print(f"| {name} | {again} | {states(place, drop)} | {spent:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default="deliveries,refreshes,killed")
    parser.add_argument("--before", metavar="COMMIT", help="for the table of deliveries")
    parser.add_argument("--steps", default=",".join(STEPS), help="of the table of kills")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="unshapley-refresh-"))
    first = build_checkout(folder / "first", ["form-00", "form-01", "form-02"])
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {time.strftime('%Y-%m-%d')}\n")
    if "deliveries" in options.only:
        print_deliveries(first, folder, options.before)
    if "refreshes" in options.only:
        print_refreshes(first, folder)
    if "killed" in options.only:
        print_killed(first, folder, options.steps.split(","))


if __name__ == "__main__":
    main()
