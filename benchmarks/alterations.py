"""Single-byte and single-number alterations of what a valuation read or wrote: are all found?

    python benchmarks/alterations.py

On a copy of this repository and its data, as `dvc pull` leaves them. Prints one table; lists what
was not found or not named.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))

from unshapley.project import Project  # noqa: E402
from unshapley.results.verification import verify_files  # noqa: E402

ALTERATIONS, CLEAN, SEED = 100, 20, 0


def altered_by(rng: random.Random, content: bytes) -> tuple[str, bytes]:
    """The kind of alteration and the content with one byte or one digit changed."""
    digits = [i for i, byte in enumerate(content) if chr(byte).isdigit()]
    number = bool(digits) and b"\0" not in content and rng.random() < 0.5
    at = rng.choice(digits) if number else rng.randrange(len(content))
    others = [b for b in (b"0123456789" if number else range(256)) if b != content[at]]
    changed = content[:at] + bytes([rng.choice(others)]) + content[at + 1 :]
    return "number" if number else "byte", changed


def main() -> None:
    rng = random.Random(SEED)  # noqa: S311 (no secret)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "copy"
        subprocess.run(["git", "clone", "-q", str(HOME), str(root)], check=True)
        shutil.copytree(HOME / "data", root / "data", dirs_exist_ok=True)
        place = Project(root)
        manifest = json.loads((place.valuation / "manifest.json").read_text())
        files = [*manifest["inputs"], *(f"data/valuation/{name}" for name in manifest["outputs"])]
        files += ["data/valuation/manifest.json", "params.yaml"]
        tried = {"byte": 0, "number": 0}
        missed = []
        for path in rng.sample(files, len(files)) + rng.choices(files, k=ALTERATIONS - len(files)):
            before = (root / path).read_bytes()
            kind, after = altered_by(rng, before)
            (root / path).write_bytes(after)
            tried[kind] += 1
            if [one.path for one in verify_files(place).altered] != [path]:
                missed.append((path, kind))
            (root / path).write_bytes(before)
        begin = time.perf_counter()
        false = sum(bool(verify_files(place).altered) for _ in range(CLEAN))
        seconds = (time.perf_counter() - begin) / CLEAN
    found = sum(tried.values()) - len(missed)
    print(f"{len(files)} files, seed {SEED}\n")
    print("| alterations | of a byte | of a number | found and named | false alarms | s a check |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(f"| {sum(tried.values())} | {tried['byte']} | {tried['number']} | {found} "
          f"| {false} of {CLEAN} clean checks | {seconds:.2f} |")  # fmt: skip
    for path, kind in missed:
        print(f"not found: a {kind} of {path}")


if __name__ == "__main__":
    main()
