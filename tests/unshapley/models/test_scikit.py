"""Estimators of scikit-learn as modules: the same probabilities and predictions."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

from unshapley.errors import InputError
from unshapley.models.building import usable
from unshapley.models.scikit import converted, is_estimator

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(90, 4)) * [1, 10, 0.1, 3] + [0, 5, 1, -2]).astype("f4").astype("f8")
SCORE = X[:, 0] + X[:, 1] / 10 + RNG.normal(size=90)
TWO = np.where(SCORE > 0.5, "yes", "no")
THREE = np.digitize(SCORE, [0, 1])
SOON = {"max_iter": 40, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore:.*converge")


@pytest.mark.parametrize("y", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(C=0.5),
        make_pipeline(StandardScaler(), LogisticRegression(fit_intercept=False)),
        make_pipeline(MinMaxScaler((-1, 2)), StandardScaler(with_std=False), MLPClassifier((6,), **SOON)),
        MLPClassifier((5, 4), activation="logistic", **SOON),
        MLPClassifier((5,), activation="tanh", **SOON),
    ],
)  # fmt: skip
def test_probabilities_are_the_same(estimator, y):
    estimator.fit(X, y)
    found = converted(estimator)
    model = usable(found.module(), found.name, 4, len(found.classes))
    with torch.no_grad():
        p = torch.softmax(model(torch.from_numpy(X).float()), dim=1).numpy()
    assert p.dtype == np.float64
    np.testing.assert_allclose(p, estimator.predict_proba(X), atol=1e-6)
    assert found.classes == tuple(str(name) for name in estimator.classes_)


def test_a_binary_sgd_classifier_of_log_loss():
    estimator = SGDClassifier(loss="log_loss", random_state=0).fit(X, TWO)
    model = usable(converted(estimator).module(), "sgd", 4, 2)
    with torch.no_grad():
        p = torch.softmax(model(torch.from_numpy(X).float()), dim=1).numpy()
    np.testing.assert_allclose(p, estimator.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize(
    "estimator",
    [
        LinearRegression(),
        make_pipeline(StandardScaler(), Ridge(2.0)),
        make_pipeline(StandardScaler(), SGDRegressor(random_state=0)),
        MLPRegressor(hidden_layer_sizes=(5,), activation="identity", **SOON),
    ],
)
def test_predictions_are_the_same(estimator):
    estimator.fit(X, SCORE)
    with torch.no_grad():
        found = converted(estimator).module()(torch.from_numpy(X).float())[:, 0].numpy()
    np.testing.assert_allclose(found, estimator.predict(X), atol=1e-6)


@pytest.mark.parametrize("y", [TWO, THREE], ids=["two", "three"])
def test_columns_and_classes_are_put_into_the_order_of_the_tables(y):
    names = ["a", "b", "c", "d"]
    estimator = LogisticRegression().fit(pd.DataFrame(X, columns=names), y)
    order, classes = [2, 0, 3, 1], sorted({str(name) for name in y}, reverse=True)
    moved = converted(estimator).fitted_to([names[i] for i in order], classes)
    model = usable(moved.module(), "moved", 4, len(classes))
    with torch.no_grad():
        p = torch.softmax(model(torch.from_numpy(X[:, order]).float()), dim=1).numpy()
    expected = estimator.predict_proba(pd.DataFrame(X, columns=names))[:, ::-1]
    np.testing.assert_allclose(p, expected, atol=1e-6)


def test_the_penalty_is_that_of_the_summed_loss():
    """At its weights, the gradient of scikit-learn's loss and of this penalty is none."""
    estimator = LogisticRegression(C=0.5, tol=1e-8).fit(X, TWO)
    found = converted(estimator)
    module = found.module()
    z = module(torch.from_numpy(X))[:, 0]
    target = torch.from_numpy((TWO == "yes").astype(float))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(z, target, reduction="sum")
    loss = loss + 0.5 * found.penalty * module.head.weight.square().sum()
    loss.backward()
    assert module.head.weight.grad.abs().max() < 1e-3
    assert found.decay(100) == 0.02
    assert converted(MLPClassifier((5,), alpha=0.3, **SOON).fit(X, TWO)).decay(1000) == 0.3 / 200


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (RandomForestClassifier(n_estimators=2).fit(X, TWO), "a RandomForestClassifier is no network"),
        (LogisticRegression(), "this LogisticRegression is not fitted"),
        (SGDClassifier(random_state=0).fit(X, TWO), "are no softmax"),
        (make_pipeline(PolynomialFeatures(), LinearRegression()).fit(X, SCORE), "has a PolynomialFeatures"),
        (LinearRegression().fit(X, X[:, :2]), "predicts several labels"),
        (MLPRegressor(loss="poisson", **SOON).fit(X, TWO == "yes"), "ends in exp"),
    ],
)  # fmt: skip
def test_others_are_refused_by_name(estimator, message):
    with pytest.raises(InputError, match=message):
        converted(estimator)


@pytest.mark.parametrize(
    ("features", "classes", "message"),
    [
        (["a", "b"], ["no", "yes"], "4 columns, and the tables have 2"),
        (["a", "b", "c", "e"], ["no", "yes"], "no column 'e'"),
        (["a", "b", "c", "d"], ["no", "perhaps", "yes"], "classes no, yes, and the tables have no, perhaps"),
        (["a", "b", "c", "d"], [], "the tables have a number"),
    ],
)  # fmt: skip
def test_other_columns_or_classes_are_refused(features, classes, message):
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    with pytest.raises(InputError, match=message):
        converted(LogisticRegression().fit(frame, TWO)).fitted_to(features, classes)


def test_what_is_an_estimator():
    assert is_estimator(LinearRegression())
    assert not is_estimator(LinearRegression)
    assert not is_estimator(torch.nn.Linear(1, 1))
