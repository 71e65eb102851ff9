"""The flow on a small real project, in this process, behind Prefect's embedded server."""

import json
import shutil
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from flows.cli.printing import print_valuation
from flows.preflight import preflight
from flows.runtime.locks import only_run
from flows.valuation import valuation
from tests.cli import unshapley
from tests.conftest import set_params
from unshapley.analysis.summary import summarize_valuation
from unshapley.config import ValuationSettings, load_params
from unshapley.errors import BusyError, InputError, UntrustedError, ValidationError
from unshapley.fidelity.gate import ALL_RETRAINED, ROWS_ABSENT
from unshapley.files import sha256
from unshapley.models.store import ModelRecord
from unshapley.project import Project
from unshapley.results.layout import RUN
from unshapley.results.published import GRADES
from unshapley.valuing.planning import fitting_coalitions


def outputs(project: Project) -> dict[str, str]:
    """Hash of every published file but run.json, by name."""
    folder = project.valuation
    return {
        p.relative_to(folder).as_posix(): sha256(p)
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != RUN
    }


def run_of(project: Project) -> dict:
    return json.loads((project.valuation / RUN).read_text())


def chunks_of(project: Project) -> dict[str, int]:
    return run_of(project)["chunks"]


def test_outputs_keep_their_contract(project, params):
    valuation(project=project.root)
    folder = project.valuation
    values = pd.read_csv(folder / "values.csv")
    assert ",".join(values.columns) == (
        "provider,rows,value,std_error,ci_low,ci_high,rank,status,"
        "sampling_error,test_error,correction_error"
    )
    assert (values["sampling_error"] == 0).all()  # all coalitions were measured
    np.testing.assert_allclose(values["test_error"], values["std_error"])
    assert values["provider"].tolist() == project.providers()
    assert values["status"].unique().tolist() == ["valued"]
    assert sorted(values["rank"]) == [1, 2, 3, 4, 5]

    utilities = pd.read_parquet(folder / "utilities.parquet")
    by_source = [f"neg_log_loss[{name}]" for name in project.providers()]
    assert list(utilities.columns) == ["coalition", "chunk", "neg_log_loss", *by_source, "accuracy"]
    assert sorted(utilities["coalition"]) == [f"{m:05b}" for m in range(32)]
    assert utilities["chunk"].value_counts().to_dict() == {-1: 2} | dict.fromkeys(range(6), 5)

    metrics = json.loads((folder / "metrics.json").read_text())
    u = utilities.set_index("coalition")["neg_log_loss"]
    assert metrics["sum_of_values"] == pytest.approx(u["11111"] - u["00000"], abs=1e-6)
    assert values["value"].sum() == pytest.approx(metrics["u_all"] - metrics["u_none"], abs=1e-6)
    record = ModelRecord.load(project.model)
    assert metrics["u_all"] == pytest.approx(record.score["neg_log_loss"], abs=1e-6)

    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["outputs"] == {
        k: v for k, v in outputs(project).items() if k != "manifest.json"
    }
    assert all(sha256(project.root / path) == h for path, h in manifest["inputs"].items())
    read = {p.as_posix() for p in map(project.root.__class__, manifest["inputs"])}
    assert {"data/test.parquet", "data/model/checkpoint.safetensors"} <= read
    assert manifest["coalitions"] == {"planned": 30, "measured": 30}
    assert manifest["config"]["valuation"]["budget"] == params.valuation.budget
    assert "run" not in manifest["config"]
    assert manifest["unlearner"] == ["shrink_finetune", {"steps": 10, "learning_rate": 0.02}]
    assert chunks_of(project) == {"computed": 6, "resumed": 0}


def test_the_same_again_resumes_every_chunk_and_gives_the_same_bytes(project):
    valuation(project=project.root)
    first = outputs(project)
    valuation(project=project.root)
    assert chunks_of(project) == {"computed": 0, "resumed": 6}
    assert outputs(project) == first


def test_processes_give_the_bits_that_threads_give(project, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "")
    set_params(project, run__workers=1)
    valuation(project=project.root)
    first = outputs(project)
    for path in project.results.iterdir():
        path.unlink()
    set_params(project, run__runner="processes", run__workers=2)
    valuation(project=project.root)
    assert chunks_of(project) == {"computed": 6, "resumed": 0}
    assert outputs(project) == first
    peaks = run_of(project)["memory_mb"]["workers"]
    assert len(peaks) == 2
    assert all(peak > 100 for peak in peaks)  # torch alone takes that


def test_a_damaged_chunk_is_recognised_and_only_it_is_computed_again(project):
    valuation(project=project.root)
    first = outputs(project)
    victim = sorted(p for p in project.results.iterdir() if p.name.startswith("chunk-"))[2]
    text = victim.read_text()
    place = text.index("utilities") + 40
    digit = next(i for i in range(place, len(text)) if text[i].isdigit())
    victim.write_text(text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :])
    valuation(project=project.root)
    assert chunks_of(project) == {"computed": 1, "resumed": 5}
    assert outputs(project) == first


def test_a_budget_below_all_coalitions_samples_and_still_sums_up(project):
    set_params(project, valuation__budget=20, valuation__unlearner="newton", valuation__options={})
    valuation(project=project.root)
    metrics = json.loads((project.valuation / "metrics.json").read_text())
    assert metrics["coalitions"] <= 20
    assert metrics["largest_std_error"] > 0
    assert metrics["sum_of_values"] == pytest.approx(metrics["u_all"] - metrics["u_none"])


def test_a_larger_budget_goes_on_where_a_smaller_one_ended(project, tmp_path):
    """Chunks of whole windows are kept; what comes out is what one long run gives."""
    newton = {"valuation__unlearner": "newton", "valuation__options": {}}
    set_params(project, valuation__budget=22, **newton)
    valuation(project=project.root)
    set_params(project, valuation__budget=28)
    valuation(project=project.root)
    assert chunks_of(project) == {"computed": 2, "resumed": 4}
    continued = outputs(project)
    shutil.rmtree(project.results)
    valuation(project=project.root)
    assert chunks_of(project) == {"computed": 6, "resumed": 0}
    assert outputs(project) == continued


def test_another_estimator_measures_only_what_none_has_measured(project):
    newton = {"valuation__unlearner": "newton", "valuation__options": {}}
    several = {"valuation__utilities": ["neg_log_loss", "recall_per_class", "accuracy"]}
    set_params(project, valuation__estimator="leverage", valuation__budget=20, **newton, **several)
    valuation(project=project.root)
    fewer = {"valuation__utilities": ["neg_log_loss", "recall_per_class"]}
    set_params(project, valuation__estimator="auto", valuation__budget=1000, **fewer)
    valuation(project=project.root)
    assert run_of(project)["coalitions_recalled"] == 20
    recalled = pd.read_parquet(project.valuation / "utilities.parquet")
    valuation(project=project.root)
    assert run_of(project)["coalitions_recalled"] == 0
    assert_frame_equal(pd.read_parquet(project.valuation / "utilities.parquet"), recalled)
    shutil.rmtree(project.results)
    valuation(project=project.root)
    afresh = pd.read_parquet(project.valuation / "utilities.parquet")
    assert_frame_equal(recalled, afresh, rtol=1e-5, atol=1e-6)
    set_params(project, valuation__utilities=["accuracy", "neg_log_loss"])
    valuation(project=project.root)
    assert run_of(project)["coalitions_recalled"] == 0, "accuracy was not resampled before"


@pytest.mark.parametrize("approximator", ["KernelSHAP", "SVARM"])
def test_an_estimator_of_shapiq_is_published_without_errors(project, approximator):
    newton = {"valuation__unlearner": "newton", "valuation__options": {}}
    named = {"valuation__estimator": f"shapiq:{approximator}", "valuation__budget": 20}
    set_params(project, **newton, **named)
    valuation(project=project.root)
    values = pd.read_csv(project.valuation / "values.csv")
    assert values["value"].notna().all()
    assert values["std_error"].isna().all()
    metrics = json.loads((project.valuation / "metrics.json").read_text())
    assert metrics["largest_std_error"] is None
    assert "unknown" in unshapley("report", "-p", project.root).stdout


def test_all_coalitions_go_on_where_a_few_ended_and_rules_may_end_them(project):
    newton = {"valuation__unlearner": "newton", "valuation__options": {}}
    set_params(project, valuation__chunk_size=5, valuation__budget=20, **newton)
    valuation(project=project.root)
    set_params(project, valuation__budget=1000)
    valuation(project=project.root)
    assert chunks_of(project) == {"computed": 2, "resumed": 4}
    set_params(project, valuation__stop={"half_width": 9.0})
    valuation(project=project.root)
    manifest = json.loads((project.valuation / "manifest.json").read_text())
    assert manifest["coalitions"]["measured"] == 20


def test_the_unlearner_is_fitted_alike_whatever_the_budget():
    for n in (5, 11):
        budgets = (20, 500, 1500, 2**n - 2)
        plans = [fitting_coalitions(ValuationSettings(budget=budget), n) for budget in budgets]
        for plan in plans[1:]:
            np.testing.assert_array_equal(plan, plans[0])


def test_rules_leave_exact_values_alone(project):
    """Who asks for them gets them: values of a beginning would not be exact."""
    newton = {"valuation__unlearner": "newton", "valuation__options": {}}
    exact = {"valuation__estimator": "exact", "valuation__budget": 1000}
    set_params(project, valuation__chunk_size=2, **exact, **newton)
    valuation(project=project.root)
    first = pd.read_csv(project.valuation / "values.csv")
    set_params(project, valuation__stop={"half_width": 9.0, "seconds": 0.001})
    valuation(project=project.root)
    manifest = json.loads((project.valuation / "manifest.json").read_text())
    assert manifest["coalitions"] == {"planned": 30, "measured": 30}
    assert manifest["estimator"]["name"] == "exact"
    assert "no part of this plan gives values" in manifest["estimator"]["reason"]
    assert_frame_equal(pd.read_csv(project.valuation / "values.csv"), first)


def test_a_round_too_small_for_an_estimate_is_passed_over(project):
    newton = {"valuation__unlearner": "newton", "valuation__options": {}}
    rule = {"valuation__stop": {"half_width": 9.0}, "valuation__estimator": "leverage"}
    set_params(project, valuation__chunk_size=2, valuation__budget=28, **newton, **rule)
    valuation(project=project.root)
    manifest = json.loads((project.valuation / "manifest.json").read_text())
    assert 20 <= manifest["coalitions"]["measured"] <= 28


def test_a_run_ends_when_enough_is_known(project):
    newton = {"valuation__unlearner": "newton", "valuation__options": {}}
    set_params(project, valuation__budget=28, valuation__stop={"half_width": 9.0}, **newton)
    valuation(project=project.root)
    manifest = json.loads((project.valuation / "manifest.json").read_text())
    assert manifest["coalitions"]["measured"] == 20
    assert (
        "stopped before 28, as every 95 % interval is within ± 9"
        in (manifest["estimator"]["reason"])
    )
    set_params(project, valuation__stop={"cost": 25, "price": 2.5})
    valuation(project=project.root)
    manifest = json.loads((project.valuation / "manifest.json").read_text())
    assert manifest["coalitions"]["measured"] == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"valuation__estimator": "magic"}, "no estimator 'magic'.*\n.*gaussian_process"),
        ({"valuation__budget": 6}, "too small|too few|at least"),
        ({"valuation__stop": {"cost": 1, "price": 2}}, "does not pay for one coalition"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_before_anything_starts(project, params, change, message):
    set_params(project, **change)
    with pytest.raises(InputError, match=message):
        preflight(project, load_params(project.params))


def test_an_untrusted_valuation_leaves_the_last_good_one_alone(project, monkeypatch):
    valuation(project=project.root)
    good = outputs(project)
    # one tiny step towards nowhere: as good as not unlearning at all
    options = {"steps": 1, "learning_rate": 3.0}
    set_params(project, valuation__unlearner="finetune", valuation__options=options)
    with pytest.raises(UntrustedError, match="not published.*\n.*without unlearning"):
        valuation(project=project.root)
    assert outputs(project) == good
    assert (project.untrusted / "values.csv").exists()


def test_nothing_checked_is_published_only_on_request(project):
    set_params(project, fidelity__coalitions=0)
    with pytest.raises(UntrustedError, match="publish_unchecked"):
        valuation(project=project.root)
    assert not project.valuation.exists()
    set_params(project, fidelity__publish_unchecked=True)
    valuation(project=project.root)
    assert "no coalition was retrained" in (project.valuation / "report.html").read_text().lower()


def test_a_quarantined_provider_in_the_model_always_stays(project):
    set_params(project, validation__policy="quarantine")
    suite = project.expectations / "partition.json"
    content = json.loads(suite.read_text())
    rows = next(e for e in content["expectations"] if e["kwargs"]["column"] == "rows")
    # 86 rows or more: form-07 is not among the five, form-01 has 88 and the others 91
    rows["kwargs"]["min_value"] = 90
    suite.write_text(json.dumps(content))
    valuation(project=project.root)
    values = pd.read_csv(project.valuation / "values.csv").set_index("provider")
    assert values.loc["form-01", "status"] == "quarantined"
    assert values.loc["form-01", "rows"] == 88
    assert np.isnan(values.loc["form-01", "value"])
    metrics = json.loads((project.valuation / "metrics.json").read_text())
    # with form-01 staying, nobody else's rows already give a model better than the initial one
    assert metrics["coalitions"] == 14
    assert metrics["u_none"] > -2.0
    assert values["value"].sum() == pytest.approx(metrics["u_all"] - metrics["u_none"], abs=1e-6)


def partial(project: Project) -> None:
    """Two targets; of all others the rows are gone."""
    set_params(
        project,
        valuation__targets=["form-01", "form-03"],
        valuation__unlearner="newton",
        valuation__options={},
        fidelity__publish_unchecked=True,
    )
    for name in ("form-00", "form-02", "form-04"):
        project.partition(name).unlink()


def test_a_partial_valuation_needs_the_rows_of_its_targets_only(project):
    with_all = project.root.with_name("all")
    shutil.copytree(project.root, with_all)
    partial(project)
    valuation(project=project.root)
    values = pd.read_csv(project.valuation / "values.csv")
    assert values["provider"].tolist() == ["form-01", "form-03"]
    metrics = json.loads((project.valuation / "metrics.json").read_text())
    assert metrics["fidelity"]["status"] == "unchecked"
    assert metrics["u_none"] > -2.0  # all others stay
    manifest = json.loads((project.valuation / "manifest.json").read_text())
    assert "data/partitions/form-00.parquet" not in manifest["inputs"]
    assert "data/curvature/providers/form-00.safetensors" in manifest["inputs"]

    other = Project(with_all)
    set_params(
        other,
        valuation__targets=["form-03", "form-01"],
        valuation__unlearner="newton",
        valuation__options={},
    )
    # with the rows of all others there is a check: it tells that newton turns these two around
    with pytest.raises(UntrustedError, match=r"with probability 0\.00"):
        valuation(project=other.root)
    untrusted = other.data / "untrusted"
    assert pd.read_csv(untrusted / "values.csv").equals(values)
    check = json.loads((untrusted / "metrics.json").read_text())["fidelity"]
    assert check["coalitions"] == 3  # nobody, and each of the two alone: all were unlearned
    assert check["grade"] == "none"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unlearner": "shrink_finetune"}, "(?s)shrink_finetune needs the rows.*newton"),
        ({"targets": ["form-01", "form-77"]}, "not trained on provider 'form-77'"),
        ({"targets": ["form-01"]}, "names one provider only"),
        ({"targets": ["form-01", "form-00"]}, "partition of provider 'form-00' is missing"),
        ({"options": {"damp": 1}}, "newton has no option 'damp'"),
        ({"targets": []}, "'form-00' is missing"),
    ],
)
def test_what_a_partial_valuation_cannot_do(project, settings, message):
    partial(project)
    set_params(project, **{f"valuation__{key}": value for key, value in settings.items()})
    with pytest.raises(InputError, match=message):
        valuation(project=project.root)
    assert not project.valuation.exists()


def test_a_corrected_partial_valuation_has_the_true_ends(project):
    """Where everything is retrained, its values are those of retraining."""
    found = []
    targets = ["form-00", "form-02", "form-04"]
    for name, retrain in (("retrain", 0), ("newton", 6)):
        set_params(
            project,
            valuation__targets=targets,
            valuation__unlearner=name,
            valuation__options={},
            correction__coalitions=retrain,
        )
        valuation(project=project.root)
        found.append(pd.read_csv(project.valuation / "values.csv")["value"].to_numpy())
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)


def test_a_few_retrainings_correct_the_utilities(project):
    """Against the values of really retraining everything."""
    found = {}
    for name, options, retrain, published in (
        ("retrain", {}, 0, True),
        ("finetune", {"steps": 3}, 0, False),
        ("finetune", {"steps": 3}, 10, True),
    ):
        set_params(
            project,
            valuation__unlearner=name,
            valuation__options=options,
            correction__coalitions=retrain,
        )
        with nullcontext() if published else pytest.raises(UntrustedError):
            valuation(project=project.root)
        folder = project.valuation if published else project.data / "untrusted"
        values = pd.read_csv(folder / "values.csv")
        found[name, retrain] = values["value"].to_numpy()
    truth = found["retrain", 0]
    plain, corrected = (np.linalg.norm(found["finetune", k] - truth) for k in (0, 10))
    assert corrected < 0.5 * plain
    assert (values["std_error"] > 0).all()
    metrics = json.loads((project.valuation / "metrics.json").read_text())
    assert metrics["largest_correction_error"] == pytest.approx(values["correction_error"].max())
    parts = np.hypot(values["test_error"], values["correction_error"])
    np.testing.assert_allclose(values["std_error"], parts)
    assert metrics["fidelity"]["coalitions"] == 10
    assert metrics["sum_of_values"] == pytest.approx(metrics["u_all"] - metrics["u_none"])
    utilities = pd.read_parquet(project.valuation / "utilities.parquet")
    assert (utilities["neg_log_loss_corrected"] != utilities["neg_log_loss"]).sum() == 30


@pytest.mark.parametrize("corrections", [0, 6])
def test_really_retrained_coalitions_are_not_held_against_themselves(project, capsys, corrections):
    set_params(
        project,
        valuation__unlearner="hybrid",
        valuation__options={},
        correction__coalitions=corrections,
    )
    valuation(project=project.root)
    check = json.loads((project.valuation / "metrics.json").read_text())["fidelity"]
    assert (check["status"], check["reason"]) == ("trusted", ALL_RETRAINED)
    assert (check["coalitions"], check["rmse"]) == (0, None)
    assert ALL_RETRAINED.capitalize() in (project.valuation / "report.html").read_text()
    print_valuation(summarize_valuation(project))
    assert f"fidelity trusted: {ALL_RETRAINED}" in " ".join(capsys.readouterr().out.split())


def test_absent_rows_are_told_as_the_reason(project):
    set_params(
        project,
        valuation__unlearner="newton",
        valuation__options={},
        valuation__targets=["form-00", "form-02"],
    )
    project.partition("form-04").unlink()
    with pytest.raises(UntrustedError, match=rf"{ROWS_ABSENT}(.|\n)*do: restore the rows"):
        valuation(project=project.root)


def test_two_runs_at_once_are_kept_apart(project):
    with only_run(project), pytest.raises(BusyError, match="another valuation works here"):
        valuation(project=project.root)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda p: p.partition("form-02").unlink(), InputError, "'form-02' is missing"),
        (lambda p: p.test.unlink(), InputError, "file is missing"),
        (lambda p: (p.model / "model.json").write_text("{}"), InputError, "key 'recipe'"),
        (lambda p: edit(p.partition("form-02"), slice(0, 0)), ValidationError, "too few rows: 0"),
        (lambda p: edit(p.partition("form-02"), slice(0, 60)), InputError, "not the one the model"),
        (lambda p: edit(p.test, slice(0, 60)), InputError, "test set is not the one recorded"),
        (lambda p: set_params(p, pretrain__steps=61), InputError, "trained with another recipe"),
        (
            lambda p: set_params(p, faults__noise={"form-00": 1.0}),
            InputError,
            "prepared with faults",
        ),
        (
            lambda p: set_params(
                p, valuation__unlearner="newton", valuation__options={}, curvature__directions=9
            ),
            InputError,
            "statistics were made with",
        ),
        (
            lambda p: set_params(p, validation__min_rows=7),
            InputError,
            "written with validation.min",
        ),
    ],
)
def test_wrong_inputs_stop_before_anything_is_spent(project, damage, error, message):
    damage(project)
    with pytest.raises(error, match=message):
        valuation(project=project.root)
    assert not project.valuation.exists()
    assert not any(project.results.glob("chunk-*"))


def edit(path, rows: slice) -> None:
    frame = pd.read_parquet(path)
    frame.iloc[rows].to_parquet(path)


def test_the_grade_is_shown_wherever_the_verdict_is(valued, capsys):
    metrics = json.loads((valued.valuation / "metrics.json").read_text())
    manifest = json.loads((valued.valuation / "manifest.json").read_text())
    check = metrics["fidelity"]
    assert check == manifest["fidelity"]
    assert (check["status"], check["coalitions"]) == ("trusted", 6)
    assert check["grade"] in GRADES
    implied = check["implied"]
    assert 0 < implied["rel_l2"]["low"] < implied["rel_l2"]["expected"] < implied["rel_l2"]["high"]
    assert implied["rel_l2_other_seed"]["expected"] > 0
    assert implied["spearman"] is None  # five providers
    report = (valued.valuation / "report.html").read_text()
    print_valuation(summarize_valuation(valued))
    for text in (report, " ".join(capsys.readouterr().out.split())):
        assert check["grade"] in text
        assert GRADES[check["grade"]] in text


def test_how_near_training_came_to_an_optimum_is_published(valued):
    training = ModelRecord.load(valued.model).convergence
    metrics = json.loads((valued.valuation / "metrics.json").read_text())
    assert metrics["gradient_over_noise"] == training.ratio > 0
    assert training.sentence() in (valued.valuation / "report.html").read_text()


def test_what_hybrid_retrained_is_not_checked(project):
    """Each of the five providers has about a fifth of the rows."""
    set_params(
        project,
        valuation__unlearner="hybrid",
        valuation__options={"retrain_up_to": 0, "retrain_below": 0.25},
        fidelity__coalitions=30,
    )
    valuation(project=project.root)
    checked = pd.read_csv(project.valuation / "plots" / "fidelity.csv")
    assert sorted(set(checked["size"])) == [2, 3, 4]
    assert len(checked) == 25
    assert (checked["retrained"] != checked["unlearned"]).all()
