"""A small real project, prepared and pretrained once: five forms of the digits, read from files."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# one Prefect home for all tests of a process, so that the embedded server is made once
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="unshapley-prefect-")
os.environ.pop("PREFECT_API_URL", None)
from flows.runtime.settings import configure

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

SMALL = [
    "prepare.source=files",
    "pretrain.steps=60",
    "pretrain.kwargs.hidden=[8]",
    "valuation.chunk_size=5",
    "valuation.unlearner=shrink_finetune",
    "valuation.options={steps: 10}",
    "fidelity.coalitions=6",
    "run.retries=0",
]


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


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return build_project(tmp_path_factory.mktemp("built") / "project")


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A copy that a test may change."""
    shutil.copytree(built.root, tmp_path / "project")
    return Project(tmp_path / "project")


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
        place = content
        for section in sections:
            place = place[section]
        place[name] = value
    with project.params.open("w") as file:
        yaml.dump(content, file)
