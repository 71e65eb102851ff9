"""The command that puts a project under git and DVC."""

from __future__ import annotations

from pathlib import Path

from flows.cli.common import JsonOption, ProjectOption, print_json, reported, start, warn
from unshapley.project import Project


@reported
def track(project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """Put a project under git and DVC, so that it can be refreshed and audited.

    Writes dvc.yaml, .gitignore and .dvcignore; DVC takes the tables in data/raw, an imported model,
    and what is up to date already. Expectation suites, which belong into the first commit, are
    written if there are none. No model is trained and nothing committed: you do that.

    Examples: `unshapley track` · `unshapley track --project clinics --json`
    """
    start(project)
    from flows.readiness import make_tables_ready
    from flows.refresh_steps.repository import Repository
    from flows.refresh_steps.tracking import track as put
    from flows.runtime.locks import only_refresh, only_run
    from unshapley.config import load_params

    paths = Project(project.resolve())
    params = load_params(paths.params)
    with only_refresh(paths) as lock, only_run(paths):
        if not paths.expectations.is_dir():
            make_tables_ready(paths, params, warn)
        done = put(paths, params, Repository(paths.root, lock))
    if as_json:
        print_json(vars(done))
        return
    print(f"dvc.yaml: {', '.join(done.stages)}")
    if done.added:
        print(f"DVC tracks {', '.join(done.added)}")
    if done.recorded:
        print(f"up to date: {', '.join(done.recorded)}")
    for stage, reason in done.stale.items():
        print(f"`dvc repro` will run {stage}: {reason}")
    print(
        "next: `git add -A && git commit -m 'Begin'`, then a remote of each for `unshapley refresh`"
        ": `git remote add origin …`, `git push -u origin main`, `dvc remote add -d far …`"
    )


COMMANDS = (track,)
