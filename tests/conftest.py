"""A small real project, prepared and pretrained once: five forms of the digits, read from files."""

from __future__ import annotations

import atexit
import fcntl
import math
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

WORKER = "PYTEST_XDIST_WORKER" in os.environ
"""Whether this is one of several processes that run tests."""
# threads that spin while they wait take the processors from the other processes that run tests
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# a home and a server for each: SQLite refuses what several processes write at once, and Prefect's
# client waits 2, 4, 8, 16 seconds before it tries again
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="unshapley-prefect-")
atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)
os.environ.pop("PREFECT_API_URL", None)
from flows.runtime import server  # noqa: E402
from flows.runtime.server import EmbeddedServer  # noqa: E402
from flows.runtime.settings import configure  # noqa: E402

configure(Path(os.environ["PREFECT_HOME"]), verbose=False)

from ruamel.yaml import YAML  # noqa: E402

from flows.pretrain import pretrain  # noqa: E402
from tasks.expectations.suites import save_suites  # noqa: E402
from unshapley.config import Params, load_params  # noqa: E402
from unshapley.data.digits import load_forms  # noqa: E402
from unshapley.data.preparation import prepare  # noqa: E402
from unshapley.data.tables import Schema  # noqa: E402
from unshapley.game.loading import LoadedGame, load_game  # noqa: E402
from unshapley.new_project import init_project  # noqa: E402
from unshapley.project import Project  # noqa: E402

# commands are run on a home of their own: two embedded servers on one SQLite file lock each other out
USER = {**os.environ, "PREFECT_HOME": tempfile.mkdtemp(prefix="unshapley-user-")}
USER.pop("PREFECT_API_URL", None)
server.UNREACHABLE = math.inf  # while all processes compute it may be slow, and is not gone

SMALL = [
    "prepare.source=files",
    "validation.feature_range=[0, 16]",
    "pretrain.steps=60",
    "pretrain.kwargs.hidden=[8]",
    "valuation.chunk_size=5",
    "valuation.unlearner=shrink_finetune",
    "valuation.options={steps: 10}",
    "fidelity.coalitions=6",
    "run.retries=0",
]
SERVER = EmbeddedServer()
ROOT = Path(__file__).resolve().parent.parent
LARGEST_DATABASE = 2 * 2**20
"""Bytes; one in which runs have left much is not copied."""
SLOW_FOLDERS = ("tests/flows", "tests/acceptance")


def pytest_configure(config: pytest.Config) -> None:
    """An embedded server for the flows of this process; none where no flow runs."""
    fast = "not process" in (config.option.markexpr or "")
    starts_others = bool(getattr(config.option, "numprocesses", None)) and not WORKER
    if not starts_others and not fast and not config.option.collectonly:
        copy_database(Path(os.environ["PREFECT_HOME"]), ROOT / ".prefect")
        SERVER.start()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Wait for it only here: meanwhile tests are collected."""
    SERVER.wait()
    copy_database(Path(USER["PREFECT_HOME"]))


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(USER["PREFECT_HOME"], ignore_errors=True)


def copy_database(home: Path, made_in: Path | None = None) -> None:
    """Give a new home of Prefect the tables that the server of the tests has made, or those of the
    set-up; a server that makes them itself takes 4 s of a processor.
    """
    made = (made_in or Path(os.environ["PREFECT_HOME"])) / "prefect.db"
    if not made.exists() or (made_in and made.stat().st_size > LARGEST_DATABASE):
        return
    home.mkdir(exist_ok=True)
    with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(home / made.name)) as to:
        source.backup(to)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs flows or commands is marked, so that `make test-fast` leaves it out."""
    for item in items:
        path = item.path.relative_to(ROOT).as_posix()
        if path.startswith(SLOW_FOLDERS):
            item.add_marker(pytest.mark.process)


def build_project(root: Path, *settings: str) -> Project:
    """Prepare, write suites and pretrain; settings as `unshapley init --set` takes them."""
    init_project(root, [*SMALL, *settings])
    project = Project(root)
    params = load_params(project.params)
    for provider, frame in list(load_forms().items())[:5]:
        frame.to_parquet(project.raw / f"{provider}.parquet")
    prepare(project, params)
    save_suites(project.expectations, Schema.load(project.schema), params.validation)
    pretrain(project, params)
    return project


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that one of the processes that run tests makes for all; it is not to be changed."""
    base = factory.getbasetemp()
    shared = base.parent if WORKER else base
    folder, done = shared / name, shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(made_once(tmp_path_factory, "built", build_project))


@pytest.fixture(scope="session")
def valued(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small project, valued; with all that a copy needs to be valued again in a moment."""

    def make(root: Path) -> None:
        from flows.valuation import valuation

        shutil.copytree(built.root, root)
        valuation(project=root)

    return Project(made_once(tmp_path_factory, "valued", make))


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A copy that a test may change."""
    return Project(Path(shutil.copytree(built.root, tmp_path / "project")))


@pytest.fixture
def published(valued: Project, tmp_path: Path) -> Project:
    """A copy of the valued project that a test may change."""
    return Project(Path(shutil.copytree(valued.root, tmp_path / "published")))


@pytest.fixture
def params(project: Project) -> Params:
    return load_params(project.params)


@pytest.fixture(scope="session")
def inputs(built: Project) -> LoadedGame:
    return load_game(built, tuple(built.providers()), needs="curvature")


def set_params(project: Project, **settings: object) -> None:
    """Change params.yaml: keys with __ for dots, `set_params(p, valuation__budget=8)`."""
    yaml = YAML()
    content = yaml.load(project.params.read_text())
    for key, value in settings.items():
        *sections, name = key.split("__")
        part = content
        for section in sections:
            part = part[section]
        part[name] = value
    with project.params.open("w") as file:
        yaml.dump(content, file)
