"""Unlearners, estimators and utilities of the user's own: by import path and by entry point."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from flows.valuation import valuation
from tests.conftest import set_params
from unshapley.errors import InputError
from unshapley.estimators import estimate, make_plan
from unshapley.extensions import import_object, look_in
from unshapley.game.utilities import build_utilities
from unshapley.unlearning import build_unlearner

BROKEN = """
number = 3

def one_argument(y_true): return 1.0

class NoUnlearner: ...

from typing import ClassVar
from unshapley.unlearning import Unlearner

class Unfinished(Unlearner): ...

class Misfit(Unlearner):
    name: ClassVar[str] = "misfit"
    retain_free: ClassVar[bool] = True
    def __call__(self, pretrained): ...

class NoPlan:
    def estimate(self, plan, table, semivalue): ...

class Demanding:
    def __init__(self, order): ...

class Narrow:
    def plan(self, n): ...
    def estimate(self, plan, table, semivalue): ...
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A folder on the path, to hold a module `plugin` and installed packages."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "plugin_module.py").write_text(BROKEN)
    return tmp_path


def install(folder, package: str, **groups: str) -> None:
    """What pip leaves behind of a package with entry points."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"[unshapley.{group}]\n{point}\n" for group, point in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))


def test_the_examples_value_a_project(project):
    set_params(
        project,
        valuation__utilities=["neg_log_loss", "examples.own_utility:sensitivity"],
        valuation__unlearner="examples.own_unlearner:Interpolation",
        valuation__options={"power": 0.5},
        valuation__estimator="examples.own_estimator:EndsEstimator",
        valuation__budget=12,
    )
    valuation(project=project.root)
    manifest = json.loads((project.valuation / "manifest.json").read_text())
    assert manifest["unlearner"] == ["interpolation", {"power": 0.5}]
    assert manifest["estimator"]["name"] == "examples.own_estimator:EndsEstimator"
    assert list(manifest["own_utilities"]) == ["examples.own_utility:sensitivity"]
    values = pd.read_csv(project.valuation / "values.csv")
    metrics = json.loads((project.valuation / "metrics.json").read_text())
    assert metrics["coalitions"] == 10
    assert values["value"].sum() == pytest.approx(metrics["u_all"] - metrics["u_none"])


def test_installed_ones_are_found_by_their_name(plugins):
    install(
        plugins,
        "acme",
        unlearners="straight = examples.own_unlearner:Interpolation",
        estimators="ends = examples.own_estimator:EndsEstimator",
        utilities="sensitivity = examples.own_utility:sensitivity",
    )
    assert build_unlearner("straight", {"power": 2.0}).described()[0] == "interpolation"
    assert build_utilities(["sensitivity"])[0].source is not None
    plan = make_plan("ends", 4, 10, 0)
    table = np.concatenate([[0.0], plan.coalitions.sum(axis=1), [4.0]])
    np.testing.assert_allclose(estimate(plan, table).value, np.ones(4))
    with pytest.raises(InputError, match="there is no unlearner 'bent'.*\n.*straight"):
        build_unlearner("bent")


@pytest.mark.parametrize(
    ("build", "name", "message"),
    [
        (build_unlearner, "no_such_module:Kind", "ModuleNotFoundError(.|\n)*PYTHONPATH"),
        (build_unlearner, "plugin_module:number", "is of type int(.|\n)*subclass of"),
        (build_unlearner, "plugin_module:NoUnlearner", "is another class(.|\n)*subclass of"),
        (build_unlearner, "plugin_module:Unfinished", "lacks name, retain_free, __call__"),
        (build_unlearner, "plugin_module:Misfit", "cannot be called with .*staying"),
        (make_plan, "no_such_module:Kind", "ModuleNotFoundError(.|\n)*PYTHONPATH"),
        (make_plan, "plugin_module:number", "has no method plan"),
        (make_plan, "plugin_module:NoPlan", "has no method plan(.|\n)*plan.n, budget, seed"),
        (make_plan, "plugin_module:Demanding", "cannot be made(.|\n)*no arguments"),
        (make_plan, "plugin_module:Narrow", r"Narrow.plan cannot be called with \(n, budget, seed"),
        (build_utilities, "plugin_module:number", "is not callable but of type int"),
        (build_utilities, "plugin_module:one_argument", r"cannot be called with \(y_true, y_score"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(plugins, build, name, message):
    arguments = {make_plan: (name, 4, 10, 0), build_utilities: ([name],)}.get(build, (name,))
    with pytest.raises(InputError, match=message):
        build(*arguments)


@pytest.mark.parametrize("second", ["straight", "newton"])
def test_two_of_the_same_name_are_refused(plugins, second):
    install(plugins, "acme", unlearners="straight = examples.own_unlearner:Interpolation")
    install(plugins, "other", unlearners=f"{second} = plugin_module:Misfit")
    with pytest.raises(InputError, match=f"two unlearners are called '{second}': .*\n.*every name"):
        build_unlearner("straight")


def test_a_projects_folder_is_looked_into_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "nets_of_a_project.py").write_text("def net(in_features, classes): ...")
    with pytest.raises(InputError, match="PYTHONPATH"):
        import_object("nets_of_a_project:net", "architecture", "here")
    look_in(tmp_path)
    assert import_object("nets_of_a_project:net", "architecture", "here").__name__ == "net"
    with pytest.raises(InputError, match=f"put its file into .*{tmp_path.name}"):
        import_object("nets_of_nobody:net", "architecture", "here")
