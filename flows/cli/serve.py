"""Commands that run projects from a server: by schedule, on demand, for a team."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli.common import JsonOption, print_json, reported, start, warn
from unshapley.errors import InputError

if TYPE_CHECKING:
    from flows.runtime.projects import Registry
    from flows.serving.serving import Served


@reported
def serve(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER]...", help="Projects; else those registered, or this one."),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(metavar="CRON", help="Refresh the projects by this cron expression, UTC."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address that is listened to.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port.")] = 4200,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="PostgreSQL; else SQLite in .prefect of this folder."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs at once on this machine.")] = 2,
    team: Annotated[
        bool, typer.Option("--team", help="On PostgreSQL and Redis, with authentication.")
    ] = False,
    redis: Annotated[
        str | None, typer.Option(metavar="URL", help="Of a team's replicas; redis://127.0.0.1/0.")
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="Of a team's API, at one address.")] = 2,
    pool: Annotated[
        Literal["process", "docker", "kubernetes"],
        typer.Option(help="Where runs work; a worker is started for process only."),
    ] = "process",
    image: Annotated[str | None, typer.Option(help="Image of docker and kubernetes runs.")] = None,
    template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Template of the pool's jobs, your own.")
    ] = None,
) -> None:
    """Bring up a server with its UI, the deployments of all projects, and a worker; Ctrl-C ends it.

    Started again it is where it was: what was switched on stays on, history stays, and runs that
    its end interrupted go on. If PREFECT_API_URL names a server, that one is used. With --team the
    server asks for the user:password of PREFECT_API_AUTH_STRING; docs/team.md.

    Examples: `unshapley serve` · `unshapley serve ../hospitals --schedule "0 3 * * *"`
    """
    start(Path.cwd(), verbose=True)
    from flows.serving.database import database_url
    from flows.serving.schedules import check_cron
    from flows.serving.serving import serve as keep_up
    from flows.serving.settings import Settings, check_host
    from flows.serving.team import credentials, redis_url

    auth = credentials() if team else None
    if not team:
        check_host(host)
    if schedule is not None:
        check_cron(schedule)
    registry = _registry()
    if image is None and template is None and pool != "process":
        raise InputError(f"runs of the kind {pool} need an image", where="--image")
    names = _register(registry, folders or [], schedule)
    settings = Settings(
        home=registry.path.parent,
        host=host,
        port=port,
        database=database_url(database),
        pool=pool,
        image=image,
        template=template,
        runs=runs,
        redis=redis_url(redis) if team else None,
        replicas=replicas if team else 1,
        auth=auth,
    )
    keep_up(settings, registry, warn, _print, names if schedule else ())


@reported
def projects(
    action: Annotated[
        Literal["list", "add", "remove"], typer.Argument(help="What is done.")
    ] = "list",
    folder: Annotated[
        str | None, typer.Argument(metavar="[FOLDER|NAME]", help="The project.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="In the names of its deployments; else the folder's.")
    ] = None,
    drop: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where deliveries land that its refresh takes."),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(metavar="CRON", help="When it is refreshed, UTC.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List, add or remove the projects that `unshapley serve` serves, here.

    Each has deployments, limits, a schedule and a history of its own. A server that runs takes
    changes up when it is started again.

    Examples: `unshapley projects` · `unshapley projects add ../hospitals --drop /srv/deliveries`
    """
    start(Path.cwd())
    from flows.runtime.projects import check_drop_folder
    from flows.serving.schedules import check_cron

    registry = _registry()
    if action != "list" and folder is None:
        raise InputError("no project is named", where=f"unshapley projects {action}")
    if schedule is not None:
        check_cron(schedule)
    if action == "add":
        known = registry.named(Path(str(folder)))
        if drop:
            check_drop_folder(drop)
        registry.add(
            replace(
                known,
                name=name or known.name,
                drop=drop.resolve() if drop else known.drop,
                schedule=schedule or known.schedule,
            )
        )
    elif action == "remove":
        registry.remove(str(folder))
    _print_projects(registry, as_json)


def _registry() -> Registry:
    """The list in the server's home, which `start` has set."""
    from flows.runtime.projects import FILE, Registry

    home = os.environ.get("PREFECT_HOME") or Path.home() / ".prefect"
    return Registry(Path(home).expanduser().resolve() / FILE)


def _register(registry: Registry, folders: list[Path], schedule: str | None) -> list[str]:
    """Add folders to the list, and set the schedule of these, or of all; returns their names."""
    if not folders and not registry.projects() and Path("params.yaml").is_file():
        folders = [Path()]
    named = [registry.named(folder) for folder in folders] or registry.projects()
    for project in named:
        registry.add(replace(project, schedule=schedule or project.schedule))
    return [project.name for project in named]


def _print_projects(registry: Registry, as_json: bool) -> None:
    known = registry.projects()
    if as_json:
        print_json([vars(project) for project in known])
        return
    for project in known:
        drop = f", takes deliveries from {project.drop}" if project.drop else ""
        print(f"{project.name}: {project.folder}{drop}, refresh: {project.schedule or 'on demand'}")
    if not known:
        print("no project is registered; `unshapley projects add FOLDER`")


def _print(served: Served) -> None:
    ui = served.api.removesuffix("/api")
    secret = (
        "  export PREFECT_API_AUTH_STRING=…\n" if os.environ.get("PREFECT_API_AUTH_STRING") else ""
    )
    print(f"{'serving at' if served.own else 'using the server at'} {ui}; Ctrl-C ends it")
    for name in served.removed:
        print(f"  the deployments of {name} are removed")
    for name in served.resumed:
        print(f"  goes on: {name}")
    for name, schedule in served.schedules.items():
        when = "on demand"
        if schedule:
            when += f"; {schedule.cron} {schedule.timezone}, {'on' if schedule.active else 'off'}"
        print(f"  {name:<32} {when}")
    first = next(iter(served.schedules)).partition("/")[2]
    print(
        "next: the UI, where runs have a form and schedules a switch; or in another shell:\n"
        f"  export PREFECT_API_URL={served.api}\n{secret}"
        f"  prefect deployment run valuation/{first}\n"
        '  unshapley serve --schedule "0 3 * * *"   # here, instead: refresh each night, UTC',
        flush=True,
    )


COMMANDS = (serve, projects)
