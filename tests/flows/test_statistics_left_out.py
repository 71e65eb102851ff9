"""Statistics of text that no coalition would read are not computed, and nothing takes their place."""

import pytest

from flows.preflight import Step, preflight
from flows.readiness import _why_pretrain
from tasks.expectations.suites import save_suites
from unshapley.config import Params
from unshapley.curvature.renewing import renew
from unshapley.curvature.store import CurvatureRecord
from unshapley.data.preparation import prepare
from unshapley.data.tables import Schema
from unshapley.errors import InputError
from unshapley.game.loading import load_game
from unshapley.game.pretraining import pretrain
from unshapley.game.statistics_use import statistics_are_read
from unshapley.models.store import ModelRecord
from unshapley.origin import Origin
from unshapley.project import Project
from unshapley.unlearning import UNLEARNERS, build_unlearner


def params(**valuation) -> Params:
    return Params.model_validate(
        {
            "prepare": {
                "source": "files", "task": "language-model",
                "documents": {"vocabulary": 260, "context": 8},
            },
            "pretrain": {
                "architecture": "unshapley.models:gpt", "steps": 3, "batch_size": 8,
                "kwargs": {"width": 8, "layers": 1, "heads": 2},
            },
            "validation": {"min_rows": 2},
            "valuation": {"utilities": ["log_likelihood"], **valuation},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("text"))
    for provider, word in (("north", "snow "), ("south", "sand "), ("west", "rain ")):
        for i in range(8):
            path = project.raw / provider / f"{i}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{word * 4}{i} {word}")
    prepare(project, params())
    save_suites(project.expectations, Schema.load(project.schema), params().validation)
    pretrain(project, params(), project.providers(), {})
    return project


def test_where_all_coalitions_are_retrained_only_that_is_recorded(project):
    assert CurvatureRecord.load(project.curvature).left_out
    assert [path.name for path in project.curvature.rglob("*") if path.is_file()] == [
        "curvature.json"
    ]
    preflight(project, params(), Step.RUN)
    assert not _why_pretrain(project, params())
    game = load_game(project, project.providers(), "curvature", utilities=["log_likelihood"])
    assert game.pretrained.kronecker is None
    assert not game.statistics


def test_an_unlearner_that_reads_them_makes_the_model_stale_and_is_refused(project):
    for changed in (
        params(unlearner="ekfac"),
        params(options={"retrain_up_to": 2}),
        params(options={"method": "ngram"}),
        params(targets=["north", "south"]),
    ):
        assert "pretraining left them out" in _why_pretrain(project, changed)
        with pytest.raises(InputError, match=r"left them out.*\n.*unshapley curvature"):
            preflight(project, changed, Step.RUN)
    with pytest.raises(InputError, match="for all providers first"):
        renew(project, params().curvature, ["north"])
    renew(project, params().curvature, [])
    assert not CurvatureRecord.load(project.curvature).left_out
    preflight(project, params(unlearner="ekfac"), Step.RUN)
    again = pretrain(project, params(unlearner="retrain"), project.providers(), {})
    assert CurvatureRecord.load(project.curvature).left_out  # those of before are removed
    assert again.files == ModelRecord.load(project.model).files


def test_what_is_left_out_is_what_the_unlearner_never_reads(project):
    record = ModelRecord.load(project.model)
    for name in UNLEARNERS:
        read = statistics_are_read(params(unlearner=name).valuation, record)
        few = name == "auto"  # it retrains all of a game of three
        assert read == (build_unlearner(name).needs is not None and not few)
    origin = Origin(name="a", sha256="b", kind="safetensors", initial="d", recipe_known=False)
    unknown = record.model_copy(update={"imported": origin})
    assert statistics_are_read(params().valuation, unknown)
    tables = record.model_copy(update={"text": False})
    assert statistics_are_read(params(unlearner="retrain").valuation, tables)
