"""What a refresh takes, and what SIGKILL after each of its steps leaves: prints two tables.

    python benchmarks/refresh.py

A checkout of three providers of the digits with git's origin and DVC's remote beside it; the fourth
provider's table lands in the drop folder. Each process is the command a schedule would run.
"""

from __future__ import annotations

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
import flows.refreshed as refreshed
name, real = sys.argv.pop(), refreshed.step
@contextmanager
def step(job, this):
    with real(job, this):
        yield
    if this == name:
        os.kill(os.getpid(), signal.SIGKILL)
refreshed.step = step
"""
OURS = "from flows.cli import main; main()"


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


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="unshapley-refresh-"))
    first = build_checkout(folder / "first", ["form-00", "form-01", "form-02"])
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {time.strftime('%Y-%m-%d')}\n")
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

    print("| SIGKILL after | then | commits | tags | pushed | left in the folder | seconds |")
    print("| --- | --- | ---: | ---: | --- | ---: | ---: |")
    for name in STEPS:
        place = copied(first, folder / f"killed-{name.replace(' ', '-')}")
        deliver(drop, "form-03.csv", FORMS["form-03"])
        killed, *_ = refresh(place, "--drop", drop, after=name)
        assert killed == -9, (name, killed)
        code, spent, said = refresh(place, "--drop", drop)
        assert code == 0, said
        again = refresh(place, "--drop", drop)[2].strip()
        print(f"| {name} | {again} | {states(place, drop)} | {spent:.1f} |", flush=True)


if __name__ == "__main__":
    main()
