"""The command that checks the files of a valuation."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from flows.cli.common import JsonOption, ProjectOption, print_json, reported
from unshapley.errors import AlteredError
from unshapley.project import Project


@reported
def verify(project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """Check every file that the valuation read or wrote against its manifest, and that against git.

    Names each file that is altered, missing or of unknown origin. Exit code 0: all as recorded,
    also in a new valuation that is not committed yet (a note says so); 4: something is altered;
    5: not checkable, as nothing vouches for the manifest.

    Examples: `unshapley verify` · `unshapley verify --json`
    """
    from unshapley.results.verification import verify_files

    found = verify_files(Project(project))
    count = len(found.manifest.get("inputs", {})) + len(found.manifest.get("outputs", {}))
    if as_json:
        altered = [asdict(file) for file in found.altered]
        print_json({"files": count, "altered": altered, "note": found.note})
    elif not found.altered:
        print(f"{count} files, parameters and manifest are as recorded")
        if found.note:
            print(f"note: {found.note}")
    if found.altered:
        lines = "\n".join(f"  {file.path}: {file.problem}" for file in found.altered)
        raise AlteredError(
            f"{len(found.altered)} files of the valuation are not as recorded\n{lines}\n"
            "  do: restore them with `git checkout` and `dvc checkout --force`, or run "
            "`unshapley run` for a new valuation"
        )


COMMANDS = (verify,)
