"""The command `unshapley verify`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from flows.cli import JsonOption, ProjectOption, VerboseOption, _print_json, _start, app, reported
from unshapley.project import Project


@app.command()
@reported
def verify(
    project: ProjectOption = Path(), as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """Check every file that the valuation read or wrote against its manifest, and that against git.

    Names each file that is altered, missing or of unknown origin. Exit code 0: all as recorded;
    4: something is altered; 5: not checkable, as nothing vouches for the manifest.

    Examples: `unshapley verify` · `unshapley verify --json`
    """
    _start(project, verbose=verbose)
    from flows.verifying import AlteredError, verify_files

    manifest, found = verify_files(Project(project))
    count = len(manifest.get("inputs", {})) + len(manifest.get("outputs", {}))
    if as_json:
        _print_json({"files": count, "altered": [asdict(one) for one in found]})
    elif not found:
        print(f"{count} files, parameters and manifest are as recorded")
    if found:
        lines = "\n".join(f"  {one.path}: {one.problem}" for one in found)
        raise AlteredError(
            f"{len(found)} files of the valuation are not as recorded\n{lines}\n"
            "  do: restore them with `git checkout` and `dvc checkout --force`"
        )
