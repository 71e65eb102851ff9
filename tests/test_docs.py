"""Documentation that cannot rot: everything a user can set, run or meet is in it."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

import unshapley
from flows.cli import app
from tasks.expectations.suites import KINDS, build_suite
from unshapley import errors
from unshapley.config import Params, load_params
from unshapley.data.tables import Schema
from unshapley.estimators import ESTIMATORS
from unshapley.game.utilities import UTILITIES
from unshapley.unlearning import UNLEARNERS

HOME = Path(__file__).resolve().parents[1]
PAGES = [HOME / "README.md", HOME / "CONTRIBUTING.md", *sorted((HOME / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)


def test_params_yaml_states_every_default():
    stated = load_params(HOME / "params.yaml").model_dump()
    defaults = Params().model_dump()
    defaults["validation"]["feature_range"] = (0, 16)
    defaults["pretrain"]["kwargs"] = {"hidden": [32]}
    assert stated == defaults


@pytest.mark.parametrize(
    "command", [c.name or c.callback.__name__ for c in app.registered_commands]
)
def test_every_command_is_shown(command):
    assert f"unshapley {command}" in TEXT


@pytest.mark.parametrize("kind", KINDS)
def test_every_expectation_is_explained(kind):
    from unshapley.config import ValidationSettings

    suite = build_suite(kind, Schema(("a",), "b", ("c",)), ValidationSettings(feature_range=(0, 1)))
    page = (HOME / "docs" / "validation.md").read_text()
    for expectation in suite.to_json_dict()["expectations"]:
        assert expectation["type"] in page
        assert expectation["meta"]["view"] in page


def test_every_utility_estimator_and_unlearner_is_in_the_tables():
    page = (HOME / "docs" / "parameters.md").read_text()
    for name in UTILITIES:
        assert f"| `{name}` | " in page
    for name in ESTIMATORS:
        assert f"| `{name}` | " in page
    for name in UNLEARNERS:
        assert f"### {name}\n" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_every_column_and_file_of_the_outputs_is_explained():
    page = (HOME / "docs" / "outputs.md").read_text()
    for name in ("values.csv", "utilities.parquet", "manifest.json", "metrics.json", "run.json",
                 "report.html", "validation.json", "differences.csv", "interactions.csv", "semivalues.csv", "test_sources.csv", "plots/convergence.csv", "plots/removal.csv", "plots/fidelity.csv"):  # fmt: skip
        assert f"`{name}`" in page


def test_the_reference_holds_all_that_the_package_exports():
    page = (HOME / "docs" / "api.md").read_text()
    for name in unshapley.__all__:
        assert f".{name}\n" in page or hasattr(errors, name), name


COMMANDS = [
    pytest.param(shlex.split(line, comments=True), id=f"{page.stem}: {line[:50]}")
    for page in PAGES
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL)
    for line in re.sub(r"\\\n\s*", " ", block).splitlines()
    if line.startswith("unshapley ")
]


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_on_the_pages_are_understood(words):
    """Every option and argument, without doing what the command does."""
    words = words[1 : next((i for i, w in enumerate(words) if w in ("|", "&&", ">", ";")), None)]
    group = get_command(app)
    command = group.get_command(None, words[0])
    assert command is not None, words[0]
    command.make_context(words[0], words[1:])
