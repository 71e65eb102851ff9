"""`python -m tests.chaos`: run the drill, or what is left of it, and print the table."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line sets it, before numpy

RECORD = Path(".chaos/record.jsonl")


def main() -> int:
    """Exit code 0: nothing was wrong in what was done so far; a second start goes on."""
    options = _options()
    from tests.chaos import record

    if options.table:
        print(record.table(record.read(options.record)))
        return 0
    from tests.chaos.drill import CODE, prepared
    from tests.chaos.faults import FAULTS

    chosen = [f for f in FAULTS if not options.only or any(part in f.name for part in options.only)]
    if options.repetitions is not None:
        chosen = [replace(fault, repetitions=options.repetitions) for fault in chosen]
    # what the drill has started ends with it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    until = time.monotonic() + 60 * options.minutes
    with prepared(options.record, options.seed) as drill:
        well = drill.run(chosen, until, lambda text: print(text, flush=True))
    print(record.table(line for line in record.read(options.record) if line.code == CODE))
    return 0 if well else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="faults whose name holds it"
    )
    parser.add_argument("--repetitions", type=int, metavar="N", help="of every fault")
    parser.add_argument("--minutes", type=float, default=50.0, help="begin none after so many")
    parser.add_argument("--record", type=Path, default=RECORD, help="JSON lines of what was done")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    parser.add_argument("--table", action="store_true", help="only print what the record holds")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
