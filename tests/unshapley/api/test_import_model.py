"""An estimator of scikit-learn, taken into a small project from Python."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import unshapley as us
from unshapley.config import load_params
from unshapley.data.tables import Schema, read_table
from unshapley.models.store import ModelRecord
from unshapley.unlearning import UNLEARNERS
from unshapley.valuing.model_check import check_model


@pytest.fixture(scope="module")
def fitted(built):
    """A pipeline that knows columns and classes by name, in another order than the project."""
    schema = Schema.load(built.schema)
    frame = pd.concat(read_table(built.partition(name)) for name in built.providers())
    names = np.array(schema.classes)[frame.pop(schema.label).to_numpy()]
    columns = list(schema.features[::-1])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=30))
    return model.fit(frame[columns], names), columns, schema


@pytest.mark.filterwarnings("ignore:.*converge")
def test_an_estimator_is_valued_as_the_model_of_a_project(project, fitted):
    model, columns, schema = fitted
    imported = us.import_model(model, project.root)
    assert imported.record.imported.kind == "scikit-learn"
    assert imported.record.recipe.weight_decay == pytest.approx(
        10 / sum(imported.record.rows.values())
    )
    game = us.load_game(project, project.providers(), "curvature", utilities=["neg_log_loss"])
    test = read_table(project.test)
    p = model.predict_proba(test[columns])[:, np.searchsorted(model.classes_, schema.classes)]
    with torch.no_grad():
        outputs = game.pretrained.model(game.test_x)
    np.testing.assert_allclose(torch.softmax(outputs, dim=1).numpy(), p, atol=1e-6)
    score = -log_loss(test[schema.label], p)
    assert imported.record.score["neg_log_loss"] == pytest.approx(score, abs=1e-6)
    assert "best constant" in imported.record.imported.initial
    found = check_model(project, load_params(project.params).valuation, 1)
    failing = {row.unlearner for row in found.unlearners if not row.works}
    of_text = {"ekfac", "ngram", "ekfac_ngram"}
    of_the_recipe = {"retrain", "short_retrain", "hybrid", "rewind_finetune", "task_vector"}
    assert failing == of_the_recipe | of_text
    assert len(found.unlearners) == len(UNLEARNERS)
    assert found.model["dtype"] == "float64"


def test_what_is_no_estimator_of_the_project_is_refused(project):
    before = ModelRecord.load(project.model)
    with pytest.raises(us.InputError, match="estimator: is a Linear(.|\n)*unshapley import-model"):
        us.import_model(torch.nn.Linear(64, 10), project.root)
    other = LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(us.InputError, match="fitted on 4 columns, and the tables have 64"):
        us.import_model(other, project.root)
    assert ModelRecord.load(project.model) == before
