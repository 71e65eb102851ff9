"""The command `unshapley fidelity` on a small project, and its mistakes."""

import json
import re

import pandas as pd
import pytest
import torch

from flows.cli.fidelity import benchmark
from flows.pretrain import pretrain
from tests.cli import unshapley
from tests.conftest import set_params
from unshapley.config import load_params
from unshapley.errors import InputError


def call(project, **options):
    wanted = {"coalitions": 16, "seeds": 1, "names": ["newton"], "utility": None}
    out = project.data / "fidelity"
    return benchmark(project, load_params(project.params), out=out, **{**wanted, **options})


def test_table_plot_and_json(project, tmp_path):
    out = tmp_path / "found"
    done = unshapley("fidelity", "-p", project.root, "--coalitions", 16, "--seeds", 1,
                     "--unlearner", "newton", "--json", "--out", out)  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {row["unlearner"]: row for row in json.loads(done.stdout)}
    assert {"newton", "no_unlearning", "truncated_retrain", "retrain_other_seed"} <= set(rows)
    assert rows["newton"]["rmse"] < rows["no_unlearning"]["rmse"]
    assert rows["newton"]["noise_floor"] is None
    frame = pd.read_csv(out / "fidelity.csv")
    assert list(frame["unlearner"]) == list(rows)
    assert "rmse_75_100" in frame.columns
    assert re.search(r"<svg.*newton.*</svg>", (out / "fidelity.svg").read_text(), re.DOTALL)


def test_seeds_differ_and_the_first_is_the_project_s_model(project):
    one, two = (
        {row.unlearner: row for row in call(project, seeds=seeds, utility="accuracy")}
        for seeds in (1, 2)
    )
    assert two["newton"].noise_floor > 0
    assert two["newton"].rel_l2_std is not None
    assert one["newton"].rel_l2 != two["newton"].rel_l2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["magic"]}, "^--unlearner: there is no unlearner 'magic'.*\n.*newton"),
        ({"utility": "neg_mse"}, "^--utility: neg_mse is a utility for regression"),
        ({"utility": "recall_per_class"}, "^--utility: recall_per_class is a number for every"),
        ({"coalitions": 3}, "^--coalitions: 3 coalitions are too few(.|\n)*do: raise it"),
    ],
)
def test_mistakes_are_told(project, options, message):
    with pytest.raises(InputError, match=message):
        call(project, **options)


def test_a_mistake_in_params_yaml_is_told_as_such(project):
    set_params(project, valuation__unlearner="newton", valuation__options={"dampng": 1})
    with pytest.raises(InputError, match=r"^valuation.options: newton has no option 'dampng'"):
        call(project)
    set_params(project, valuation__options={}, valuation__utilities=["neg_mse"])
    with pytest.raises(InputError, match=r"^valuation.utilities: neg_mse is a utility for"):
        call(project)


def test_memory_and_device_of_params_yaml_hold_here_too(project, monkeypatch):
    wide = {"pretrain__kwargs": {"hidden": [512]}, "pretrain__steps": 2}
    set_params(project, **wide, curvature__directions=5, valuation__memory_mb=1)
    pretrain(project, load_params(project.params))
    with pytest.raises(InputError, match=r"^valuation.memory_mb: one coalition takes about"):
        call(project)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    set_params(project, valuation__device="cuda")
    with pytest.raises(InputError, match=r"^valuation.device: there is no CUDA device"):
        call(project)
    assert not (project.data / "fidelity").exists()


def test_names_and_figures_are_readable_without_a_terminal(project):
    done = unshapley("fidelity", "-p", project.root, "--coalitions", 30, "--seeds", 1,
                     "--unlearner", "newton", "--unlearner", "newton_finetune")  # fmt: skip
    assert "retrain_other_seed (control)" in done.stdout
    assert "…" not in done.stdout


def test_the_reason_stands_last(project):
    call(project)
    frame = pd.read_csv(project.data / "fidelity" / "fidelity.csv")
    assert frame.columns[-1] == "reason"


def test_rows_of_all_providers_are_needed(project):
    project.partition("form-01").unlink()
    with pytest.raises(InputError, match=r"'form-01' is missing, 1 of 5(.|\n)*all providers"):
        call(project)
    assert not (project.data / "fidelity").exists()
