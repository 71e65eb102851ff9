"""Linear models and multi-layer perceptrons of scikit-learn, as torch modules.

Nothing is unpickled: estimators come from the user's own program. `scikit-learn` need not be
imported; estimators are told by the names of their classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from unshapley.errors import InputError
from unshapley.models.converted import Converted, Floats

CLASSIFIERS = ("LogisticRegression", "LogisticRegressionCV", "SGDClassifier")
REGRESSORS = (
    "LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV",
    "BayesianRidge", "HuberRegressor", "SGDRegressor",
)  # fmt: skip
PERCEPTRONS = ("MLPClassifier", "MLPRegressor")
SCALERS = ("StandardScaler", "MinMaxScaler")
BATCH = 200
"""Rows of a step of a perceptron, unless it says otherwise."""
ACTIVATION = {"logistic": "sigmoid"}
EXPECTED = (
    f"a fitted {', '.join((*CLASSIFIERS, *REGRESSORS, *PERCEPTRONS))}, or a Pipeline of "
    f"{' or '.join(SCALERS)} and one of them"
)


def is_estimator(target: Any) -> bool:
    """Whether an object is an estimator of scikit-learn, or derived from one."""
    return not isinstance(target, type) and any(
        kind.__module__.split(".")[0] == "sklearn" for kind in type(target).__mro__
    )


def converted(estimator: Any) -> Converted:
    """A fitted estimator as a network with the same `predict_proba` or `predict`.

    Raises `InputError` for one that is not fitted, or that no such network computes.
    """
    *scalers, last = _steps(estimator)
    name = type(last).__name__
    known = (*CLASSIFIERS, *REGRESSORS, *PERCEPTRONS)
    if name not in known:
        raise InputError(
            f"a {name} is no network that could be unlearned", where="model", expected=EXPECTED
        )
    if not hasattr(last, "coef_") and not hasattr(last, "coefs_"):
        raise InputError(f"this {name} is not fitted", where="model", expected=EXPECTED)
    found = _perceptron(last) if name in PERCEPTRONS else _linear_model(last)
    mean, scale = _scaling(scalers, found.weights[0].shape[1])
    names = getattr(estimator, "feature_names_in_", getattr(last, "feature_names_in_", ()))
    return replace(found, mean=mean, scale=scale, features=tuple(map(str, names)))


def _steps(estimator: Any) -> list[Any]:
    """The steps of a pipeline, or the estimator alone."""
    if type(estimator).__name__ != "Pipeline":
        return [estimator]
    steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    wrong = [type(step).__name__ for step in steps[:-1] if type(step).__name__ not in SCALERS]
    if wrong:
        raise InputError(
            f"the pipeline has a {wrong[0]}, which is no layer", where="model", expected=EXPECTED
        )
    return steps


def _linear_model(model: Any) -> Converted:
    name = type(model).__name__
    weight = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    bias = np.atleast_1d(np.asarray(model.intercept_, dtype=np.float64))
    if name in CLASSIFIERS:
        ovr = getattr(model, "multi_class", "") == "ovr" or name == "SGDClassifier"
        log_loss = getattr(model, "loss", "log_loss") == "log_loss"
        if not log_loss or (ovr and len(weight) > 1):
            raise InputError(
                f"the probabilities of this {name} are no softmax of its scores",
                where="model",
                expected="a logistic loss, over all classes at once",
                do="use LogisticRegression",
            )
    elif len(weight) > 1:
        raise _several_outputs(name)
    bias = np.broadcast_to(bias, len(weight)).copy()
    return _found(model, (weight,), (bias,), "identity", _penalty_of(model))


def _perceptron(model: Any) -> Converted:
    name = type(model).__name__
    outputs, labels = model.n_outputs_, len(getattr(model, "classes_", ())) or 1
    if outputs != (1 if labels <= 2 else labels):
        raise _several_outputs(name)
    if model.out_activation_ not in ("identity", "softmax", "logistic"):
        raise InputError(
            f"this {name} ends in {model.out_activation_}, which is no layer",
            where="model",
            expected="a loss of squared errors, or of classes",
        )
    weights = tuple(np.asarray(weight, dtype=np.float64).T for weight in model.coefs_)
    biases = tuple(np.asarray(bias, dtype=np.float64) for bias in model.intercepts_)
    activation = ACTIVATION.get(model.activation, model.activation)
    found = _found(model, weights, biases, activation, float(model.alpha))
    size = BATCH if model.batch_size == "auto" else model.batch_size
    return replace(found, batch=None if model.solver == "lbfgs" else size)


def _several_outputs(name: str) -> InputError:
    return InputError(
        f"this {name} predicts several labels at once", where="model", expected="one label a row"
    )


def _found(
    model: Any,
    weights: tuple[Floats, ...],
    biases: tuple[Floats, ...],
    activation: str,
    penalty: float,
) -> Converted:
    features = weights[0].shape[1]
    classes = tuple(_text(name) for name in getattr(model, "classes_", ()))
    ones = np.ones(features)
    return Converted(
        type(model).__name__, weights, biases, activation, ones * 0, ones, classes, (), penalty
    )


def _text(name: Any) -> str:
    """A class as tables write it: 1.0 is 1."""
    value = name.item() if hasattr(name, "item") else name
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def _penalty_of(model: Any) -> float:
    """Of a linear model with an L2 penalty, on the summed loss; 0 where it has another, or none."""
    name = type(model).__name__
    if name == "LogisticRegression" and getattr(model, "l1_ratio", None) in (None, 0, 0.0):
        plain = getattr(model, "penalty", "l2") in ("l2", "deprecated")
        return 1.0 / float(model.C) if plain and np.isfinite(model.C) else 0.0
    return float(model.alpha) if name == "Ridge" and isinstance(model.alpha, int | float) else 0.0


def _scaling(scalers: Sequence[Any], features: int) -> tuple[Floats, Floats]:
    """Mean and scale `(features,)` of inputs that pass several scalers."""
    mean, scale = np.zeros(features), np.ones(features)
    for scaler in scalers:
        if type(scaler).__name__ == "MinMaxScaler":
            if scaler.clip:
                raise InputError("a MinMaxScaler that clips is no layer", where="model")
            own_scale = 1 / np.asarray(scaler.scale_, dtype=np.float64)
            own_mean = -np.asarray(scaler.min_, dtype=np.float64) * own_scale
        else:
            own_mean = np.zeros(features) if scaler.mean_ is None else scaler.mean_
            own_scale = np.ones(features) if scaler.scale_ is None else scaler.scale_
        # (((x − mean) / scale) − own mean) / own scale
        mean, scale = mean + scale * own_mean, scale * own_scale
    return mean, scale
