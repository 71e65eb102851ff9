"""What is known from params.yaml, schema and files is told before anything is computed."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from flows.cli import printing
from flows.preflight import Step, foreseen, preflight
from tests.cli import unshapley
from tests.conftest import set_params
from unshapley.config import load_params, parse_params
from unshapley.data.preparation import prepare
from unshapley.errors import InputError
from unshapley.game.loading import load_game
from unshapley.new_project import init_project
from unshapley.project import Project
from unshapley.unlearning import build_unlearner
from unshapley.valuing.checks import check_parameters, check_plan


def refused(*arguments: object) -> str:
    done = unshapley(*arguments)
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def write_tables(project: Project, label: str = "label") -> None:
    rng = np.random.default_rng(0)
    for name in "abc":
        x = rng.normal(size=(60, 3))
        table = pd.DataFrame(x, columns=["u", "v", "w"])
        table.assign(**{label: (x[:, 0] > 0).astype(int)}).to_csv(
            project.raw / f"{name}.csv", index=False
        )


@pytest.fixture
def hospital(tmp_path):
    """Prepared files of three providers, with suites."""
    project = Project(tmp_path / "hospital")
    init_project(project.root, ["prepare.source=files"])
    write_tables(project)
    for command in ("prepare", "suites"):
        assert unshapley(command, "-p", project.root).returncode == 0
    return project


def test_a_table_that_judges_is_looked_at_before_anything_is_written(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("x,y\n" + "".join(f"{i}.5,{i % 2}\n" for i in range(40)))
    command = ("init", tmp_path / "new", "--data", path, "--label", "y", "--yes", "--test")
    assert "nope.csv: there is no such file" in refused(*command, tmp_path / "nope.csv")
    assert "all.csv: is the only table" in refused(*command, path)
    assert "none: there is no such file or folder" in refused(*command[:3], tmp_path / "none")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_utility_of_another_task_is_refused_by_the_first_command(hospital, tmp_path, task):
    wrong = "neg_log_loss" if task == "regression" else "neg_mse"
    message = rf"{wrong} is a utility for \w+, and the task is {task}(.|\n)*do: set valuation.util"
    settings = ["--set", f"prepare.task={task}", "--set", f"valuation.utilities=[{wrong}]"]
    assert re.search(message, refused("init", tmp_path / "new", *settings))
    assert not (tmp_path / "new").exists()
    set_params(hospital, prepare__task=task, valuation__utilities=[wrong])
    partition = hospital.partition("a").read_bytes()
    for command in ("prepare", "suites", "validate", "pretrain", "run"):
        assert re.search(message, refused(command, "-p", hospital.root)), command
    assert hospital.partition("a").read_bytes() == partition


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unlearner": "newton", "options": {"damp": 1}}, "newton has no option 'damp'"),
        ({"estimator": "magic"}, "no estimator 'magic'"),
        ({"targets": ["a", "a"]}, "names a provider twice"),
        ({"targets": ["a", "b"], "stop": {"top_k": 2}}, "the top 2 of 2 providers"),
        ({"stop": {"cost": 1, "price": 2}}, "does not pay for one coalition"),
        ({"unlearner": "my_own:Unlearner"}, "'my_own:Unlearner' cannot be imported"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused_alone(settings, message):
    with pytest.raises(InputError, match=message):
        check_parameters(parse_params({"valuation": settings}, "test"))


def test_a_new_project_need_not_hold_its_own_code_yet(tmp_path):
    done = unshapley("init", tmp_path / "new", "--set", "valuation.unlearner='my_own:Unlearner'")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("estimator", "providers"), [("tree_msr", 5), ("auto", 12)])
def test_an_estimator_that_no_correction_fits_is_refused(estimator, providers):
    settings = {"valuation": {"estimator": estimator}, "correction": {"coalitions": 4}}
    params = parse_params(settings, "test")
    check_plan(params, [str(i) for i in range(providers)])  # exact from all coalitions, or linear
    params = parse_params({**settings, "valuation": {"estimator": "tree_msr"}}, "test")
    with pytest.raises(InputError, match="tree_msr is not linear in the utilities"):
        check_plan(params, [str(i) for i in range(12)])


def test_what_the_tables_show_is_told_before_validation(hospital):
    for settings, message in (
        ({"valuation__targets": ["a", "x"]}, "there is no provider 'x'"),
        ({"pretrain__architecture": "torch:tensor"}, "'torch:tensor' cannot be built"),
        ({"pretrain__kwargs": {"wide": 3}}, "unexpected keyword argument 'wide'"),
    ):
        before = hospital.params.read_text()
        set_params(hospital, **settings)
        with pytest.raises(InputError, match=message):
            preflight(hospital, load_params(hospital.params), Step.PRETRAIN)
        hospital.params.write_text(before)
    preflight(hospital, load_params(hospital.params), Step.PRETRAIN)


def test_a_renamed_label_needs_no_new_suites_but_own_expectations_are_pointed_out(hospital):
    suite = hospital.expectations / "partition.json"
    content = json.loads(suite.read_text())
    own = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "label"}}
    suite.write_text(json.dumps({**content, "expectations": [*content["expectations"], own]}))
    assert unshapley("validate", "-p", hospital.root).returncode == 0
    write_tables(hospital, label="target")
    set_params(hospital, prepare__label="target")
    assert "run `unshapley prepare`" in refused("validate", "-p", hospital.root)
    assert unshapley("prepare", "-p", hospital.root).returncode == 0
    message = refused("pretrain", "-p", hospital.root)
    assert "partition.json: expect_column_values_to_not_be_null is of the column 'label'" in message
    assert "unshapley suites" in message
    assert unshapley("suites", "-p", hospital.root).returncode == 0
    suite.write_text(json.dumps(content))
    assert unshapley("validate", "-p", hospital.root).returncode == 0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"label": [f"text {i}" for i in range(60)]}, "no column is left beside the label"),
        (
            {"a": range(60), "label": [f"patient {i} had pain" for i in range(60)]},
            "has 120 different values in 120 rows(.|\n)*'q patient 0(.|\n)*name another column",
        ),
        ({"a": range(60), "label": range(60)}, "set prepare.task: regression"),
    ],
)
def test_a_label_that_is_no_class_is_refused_by_prepare(tmp_path, table, message):
    project = Project(tmp_path)
    project.raw.mkdir(parents=True)
    for name in "pq":
        frame = pd.DataFrame(table)
        if frame["label"].dtype != int:
            frame["label"] = f"{name} " + frame["label"]
        else:
            frame["label"] += 60 * (name == "q")
        frame.to_csv(project.raw / f"{name}.csv", index=False)
    with pytest.raises(InputError, match=message.replace("'q patient", "'[pq] patient")):
        prepare(project, parse_params({"prepare": {"source": "files"}}, "test"))
    assert not project.partitions.exists()


def test_statistics_that_nobody_asked_for_are_not_called_missing(built):
    game = load_game(built, tuple(built.providers()))
    nobody = ~game.staying(np.ones((1, len(game.players)), dtype=bool))
    for name, needs in (("newton", "curvature"), ("ridge_head", "features")):
        with pytest.raises(InputError, match=f"none were loaded(.|\n)*needs='{needs}'"):
            build_unlearner(name)(game.pretrained, nobody)


def test_a_run_that_will_not_be_published_says_so_at_the_start(project):
    assert list(foreseen(project, load_params(project.params))) == []
    set_params(project, fidelity__coalitions=0)
    assert "data/untrusted" in next(foreseen(project, load_params(project.params)))
    set_params(project, fidelity__publish_unchecked=True)
    assert list(foreseen(project, load_params(project.params))) == []
    set_params(project, fidelity__publish_unchecked=False, fidelity__coalitions=6)
    project.partition("form-04").unlink()
    assert "rows of providers are absent" in next(foreseen(project, load_params(project.params)))


def test_a_refused_run_is_shown_by_report(published):
    """It names the other unlearners, the command that compares them, and where the values are."""
    options = {"steps": 1, "learning_rate": 3.0}
    set_params(published, valuation__unlearner="finetune", valuation__options=options)
    done = unshapley("run", "-p", published.root)
    assert done.returncode == 3
    assert "run `unshapley fidelity`" in done.stderr
    assert "newton" in done.stderr
    assert ", finetune" not in done.stderr
    note = "the values of the last run are untrusted, and lie in data/untrusted/"
    assert note in unshapley("report", "-p", published.root).stdout
    (published.valuation / "manifest.json").unlink()
    message = refused("report", "-p", published.root)
    assert f"no valuation is published here; {note}" in message
    assert "data/untrusted/report.html" in message


def test_long_names_are_shown_whole(monkeypatch, capsys):
    name = "Krankenhaus-" + "x" * 100
    summary = {
        "metrics": {
            "utility": "accuracy", "u_all": 1.0, "u_none": 0.5, "sum_of_values": 0.5,
            "coalitions": 2,
            "fidelity": {"status": "trusted", "rmse": 0.1, "rmse_no_unlearning": 1.0, "weak": False},
        },
        "values": [
            {"rank": 1, "provider": name, "rows": 20, "value": 0.5, "std_error": 0.1,
             "ci_low": 0.3, "ci_high": 0.7, "status": "valued"}
        ],
        "conclusion": (f"{name} is worth most (0.5).",),
        "report": "report.html",
    }  # fmt: skip
    printing.print_valuation(summary)
    assert name in capsys.readouterr().out
    monkeypatch.setattr(printing, "console", lambda: Console(width=80, highlight=False))
    printing.print_valuation(summary)
    out = capsys.readouterr().out
    assert "0.3000 … 0.7000" in out
    assert out.count("x") >= 100
    assert max(len(line) for line in out.splitlines() if "worth most" not in line) <= 100
