"""Against scikit-learn, on random batches with ties and with classes that the test set lacks."""

import math
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from flows.preflight import preflight
from unshapley.config import load_params
from unshapley.data.preparation import prepare
from unshapley.errors import InputError
from unshapley.estimators import make_plan
from unshapley.fidelity.gate import check_fidelity
from unshapley.game.keys import chunk_key, game_key
from unshapley.game.loading import load_game
from unshapley.game.measuring import measure_batch, measure_endpoints
from unshapley.game.pretraining import pretrain
from unshapley.game.utilities import UTILITIES, build_utilities, evaluate, scores_of, sources_of
from unshapley.new_project import init_project
from unshapley.project import Project
from unshapley.results.tables import utilities_table
from unshapley.results.valuation import Valuation, estimate_values
from unshapley.unlearning import build_unlearner

CLASSIFYING = [name for name, u in UTILITIES.items() if u.task == "classification"]
OWN = """
import math
import numpy as np

weight = 2

def weighted(y_true, y_score):
    assert isinstance(y_true, np.ndarray) and isinstance(y_score, np.ndarray)
    found = weight * float(np.mean(y_score.argmax(axis=1) == y_true))
    y_true[:], y_score[:] = 0, 0
    return found

def within_one(y_true, y_score):
    found = np.float32(np.mean(abs(y_true - y_score) < 1))
    y_true[:], y_score[:] = 0, 0
    return found

def raising(y_true, y_score): raise ValueError("no such column")
def lists(y_true, y_score): return [1.0, 2.0]
def words(y_true, y_score): return "0.5"
def nothing(y_true, y_score): return None
def infinite(y_true, y_score): return math.inf
"""


@st.composite
def batches(draw):
    """Outputs `(models, rows, classes)` on a coarse grid, and labels of two classes or more."""
    models, rows, classes = (draw(st.integers(*ends)) for ends in ((1, 4), (3, 40), (2, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grid = draw(st.sampled_from([0.5, 2.0, 1e-3]))
    outputs = np.round(rng.normal(size=(models, rows, classes)) * 2 / grid) * grid
    known = rng.choice(classes, size=rng.integers(2, classes + 1), replace=False)
    y = np.concatenate([known[:2], rng.choice(known, size=rows - 2)])
    return torch.tensor(outputs, dtype=torch.float32), torch.tensor(y)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The module `own_metrics`, importable; gives its file."""
    file = tmp_path / "own_metrics.py"
    file.write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield file
    sys.modules.pop("own_metrics", None)


@settings(max_examples=60, deadline=None)
@given(batches())
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_classification_agrees_with_scikit_learn(batch):
    outputs, y = batch
    classes = range(outputs.shape[-1])
    probabilities = torch.softmax(outputs.double(), dim=-1).numpy()
    found = evaluate(build_utilities(CLASSIFYING), outputs, y)
    true, present = y.numpy(), sorted(set(y.tolist()))
    for i, p in enumerate(probabilities):
        said = outputs[i].argmax(dim=-1).numpy()
        areas = [metrics.roc_auc_score(true == c, p[:, c]) for c in present]
        recalls = metrics.recall_score(true, said, labels=present, average=None)
        expected = {
            "accuracy": metrics.accuracy_score(true, said),
            "balanced_accuracy": metrics.balanced_accuracy_score(true, said),
            "macro_f1": metrics.f1_score(true, said, average="macro"),
            "neg_log_loss": -metrics.log_loss(true, p, labels=classes),
            "neg_brier": -np.mean(np.sum((p - np.eye(len(classes))[true]) ** 2, axis=1)),
            "auroc": metrics.roc_auc_score(true, p[:, 1]) if len(classes) == 2 else np.mean(areas),
            **{f"recall_per_class[{c}]": r for c, r in zip(present, recalls, strict=True)},
            **{
                f"neg_log_loss_per_class[{c}]": -metrics.log_loss(
                    true[true == c], p[true == c], labels=classes
                )
                for c in present
            },
        }
        assert {name: values[i] for name, values in found.items()} == pytest.approx(
            expected, abs=1e-9
        )
        if present == list(classes) and len(classes) > 2:
            whole = metrics.roc_auc_score(true, p, multi_class="ovr", average="macro")
            assert found["auroc"][i] == pytest.approx(whole)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(2, 30))
def test_regression_agrees_with_scikit_learn(seed, models, rows):
    rng = np.random.default_rng(seed)
    outputs, y = rng.normal(5, 3, size=(models, rows, 1)), rng.normal(5, 3, size=rows)
    found = evaluate(
        build_utilities(["neg_mse", "neg_mae", "r2"]), torch.tensor(outputs), torch.tensor(y)
    )
    for i in range(models):
        said = outputs[i, :, 0]
        assert {name: values[i] for name, values in found.items()} == pytest.approx(
            {
                "neg_mse": -metrics.mean_squared_error(y, said),
                "neg_mae": -metrics.mean_absolute_error(y, said),
                "r2": metrics.r2_score(y, said),
            }
        )


def test_a_broken_model_gets_nan_everywhere_and_the_others_what_they_had(own):
    names = [*CLASSIFYING, "own_metrics:weighted"]
    outputs, y = torch.randn(3, 20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20)
    whole = evaluate(build_utilities(names), outputs, y % 3)
    outputs[1, 4, 2] = torch.inf
    found = evaluate(build_utilities(names), outputs, y % 3)
    assert list(found) == list(whole)
    for name, values in found.items():
        assert math.isnan(values[1])
        assert values[::2] == whole[name][::2]


def test_classes_are_named_and_those_without_rows_left_out():
    outputs, y = torch.eye(3).unsqueeze(0), torch.tensor([0, 2, 2])
    found = evaluate(build_utilities(["recall_per_class"]), outputs, y, ["one", "two", "three"])
    assert found == {"recall_per_class[one]": [1.0], "recall_per_class[three]": [0.5]}


@pytest.mark.parametrize(
    ("name", "y"), [("auroc", torch.ones(4, dtype=torch.int64)), ("r2", torch.ones(4))]
)
def test_what_one_label_leaves_undefined_is_refused_not_scored(name, y):
    outputs = torch.randn(2, 4, 2 if name == "auroc" else 1)
    with pytest.raises(InputError, match=f"{name} is not defined"):
        evaluate(build_utilities([name]), outputs, y)
    task = UTILITIES[name].task
    assert UTILITIES[name] in scores_of(task)
    assert UTILITIES[name] not in scores_of(task, y)


def test_a_function_of_the_users_own(own):
    outputs, y = torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20)
    found = evaluate(build_utilities(["own_metrics:weighted", "accuracy"]), outputs, y % 4)
    assert found["own_metrics:weighted"] == [2 * u for u in found["accuracy"]]
    numbers = torch.tensor([[0.0, 2.0, 9.0]], dtype=torch.float64).unsqueeze(-1)
    names = ["own_metrics:within_one", "sklearn.metrics:r2_score", "r2"]
    y = torch.tensor([0.5, 2.0, 4.0], dtype=torch.float64)
    r2 = evaluate(build_utilities(["r2"]), numbers, y)["r2"]
    found = evaluate(build_utilities(names), numbers, y)
    assert found[names[0]] == pytest.approx([2 / 3])
    assert found[names[1]] == found["r2"] == pytest.approx(r2)
    assert build_utilities(names)[0].unit == "as own_metrics:within_one gives it"


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("raising", "failed: ValueError: no such column"),
        ("lists", "returned a list"),
        ("words", "returned a str"),
        ("nothing", "returned a NoneType"),
        ("infinite", "returned inf"),
    ],
)
def test_a_function_that_gives_no_number_is_named(own, function, told):
    with pytest.raises(InputError, match=f"own_metrics:{function}' {told}") as raised:
        evaluate(
            build_utilities([f"own_metrics:{function}"]),
            torch.zeros(1, 3, 2),
            torch.tensor([0, 1, 1]),
        )
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    ("names", "task", "told"),
    [
        (["f1"], "classification", "no utility 'f1'.*\n.*macro_f1.*package.module:function"),
        (["r2"], "classification", "r2 is a utility for regression"),
        (["neg_mse", "auroc"], "regression", "auroc is a utility for classification"),
        (["auroc", "accuracy", "auroc"], "classification", "auroc is named twice"),
        (["recall_per_class", "auroc"], "classification", "recall_per_class is a number for every"),
        (["no_such:f"], "regression", "ModuleNotFoundError: No module named(.*\n)*.*PYTHONPATH"),
        (["own_metrics:no_such"], "regression", "has no attribute 'no_such'"),
        ([":f"], "regression", "cannot be imported"),
        (["own_metrics:weight"], "regression", "not callable but of type int"),
    ],
)
def test_what_cannot_be_measured_is_refused(own, names, task, told):
    with pytest.raises(InputError, match=told):
        build_utilities(names, task)


def test_what_can_be_measured_is_not(own):
    build_utilities(CLASSIFYING, "classification")
    build_utilities(["own_metrics:within_one", "neg_mae"], "regression")


def test_values_and_tables_of_per_class_and_own_utilities(inputs, own):
    utilities = build_utilities(["own_metrics:weighted", "recall_per_class", "accuracy"])
    unlearner, plan = build_unlearner("no_unlearning"), make_plan("exact", 5, 100, 0)
    measured, _ = measure_batch(inputs, unlearner, plan.coalitions, utilities)
    ends = measure_endpoints(inputs, unlearner, utilities)
    found = measured.utilities
    assert list(found) == list(ends.utilities)
    assert sum(name.startswith("recall_per_class[") for name in found) == len(inputs.classes)
    own_values, values = (
        estimate_values(plan, measured, ends, n) for n in ("own_metrics:weighted", "accuracy")
    )
    np.testing.assert_allclose(own_values.value, 2 * values.value)
    count = len(plan.coalitions)
    unchecked = check_fidelity(plan.coalitions[:0], [], [], ends.utilities[ends.primary][1])
    result = Valuation(
        inputs.players,
        inputs.rows,
        {},
        plan,
        (0,) * count,
        measured,
        ends,
        own_values,
        unchecked,
    )
    assert list(utilities_table(result).columns) == ["coalition", "chunk", *found]
    assert len(utilities_table(result)) == count + 2


def test_a_run_is_refused_before_anything_starts(project, params):
    changed = params.valuation.model_copy(update={"utilities": ["r2"]})
    preflight(project, params)
    with pytest.raises(InputError, match="r2 is a utility for regression"):
        preflight(project, params.model_copy(update={"valuation": changed}))


def test_kept_results_depend_on_the_source_of_the_users_function(inputs, own):
    chunk, name = [{"form-00": ""}], "own_metrics:weighted"

    def key(*names):
        return chunk_key(
            game_key(inputs, build_unlearner("finetune"), build_utilities(names), {}), chunk, names
        )

    assert sources_of(build_utilities(["accuracy"])) == {}
    before = key("accuracy"), key("accuracy", name)
    own.write_text(OWN.replace("weight = 2", "weight = 3"))
    after = key("accuracy"), key("accuracy", name)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_model_of_numbers_is_scored_in_units_of_the_label(tmp_path):
    settings = ["prepare.task=regression", "validation.feature_range=null", "pretrain.steps=60"]
    init_project(tmp_path, ["prepare.source=files", "pretrain.kwargs.hidden=[4]", *settings])
    project, rng = Project(tmp_path), np.random.default_rng(0)
    params = load_params(project.params)
    for name in ("a", "b"):
        x = rng.normal(size=(60, 2))
        frame = pd.DataFrame({"x": x[:, 0], "z": x[:, 1], "label": 500 + 100 * x[:, 0]})
        frame.to_parquet(project.raw / f"{name}.parquet")
    prepare(project, params)
    record = pretrain(project, params, ["a", "b"], {})
    inputs = load_game(project, ["a", "b"])  # refuses a model that misses its recorded score
    y = inputs.test_y.double() * inputs.label_scale + inputs.label_mean
    worst = float(abs(y - 500).mean())
    assert 1 < -record.score["neg_mae"] < worst
    assert record.score["r2"] > 0.5
    found = measure_endpoints(
        inputs, build_unlearner("retrain"), build_utilities(["r2", "neg_mae"])
    ).utilities
    assert found["neg_mae"][1] == pytest.approx(record.score["neg_mae"])
    assert -found["neg_mae"][0] > 20
