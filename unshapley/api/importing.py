"""`unshapley.import_model`: a fitted estimator of scikit-learn, taken into a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from unshapley.config import load_params
from unshapley.errors import InputError
from unshapley.game.importing import Imported
from unshapley.game.importing import import_model as take
from unshapley.game.model_source import CONSTANT, Source
from unshapley.models.converted import ARCHITECTURE
from unshapley.models.scikit import EXPECTED, converted, is_estimator
from unshapley.project import Project


def import_model(
    estimator: Any,
    project: Path | str,
    *,
    none: Literal["constant", "fresh"] | None = None,
    seed: int = 0,
    recipe_known: bool = False,
    accept_score: bool = False,
) -> Imported:
    """Write data/model of a prepared project, so that `unshapley run` values this estimator.

    It was fitted on the rows of data/partitions. Its classes and, if it was fitted on a frame, its
    columns may have another order than the project's.

    Args:
        estimator: a fitted linear model or multi-layer perceptron of scikit-learn, also in a
            Pipeline with a scaler.
        project: folder of the project.
        none: what stands for U(none): the best constant, by default for linear models, or new
            weights, drawn by `seed`.
        seed: of new weights.
        recipe_known: whether section pretrain of the project's parameters is how it was trained, so
            that unlearning can be checked by retraining.
        accept_score: whether it may be no better than the best constant.

    Raises:
        InputError: for an estimator that is no such network or not fitted, other columns or
            classes, and a project that is not prepared.

    """
    if not is_estimator(estimator):
        raise InputError(
            f"is a {type(estimator).__name__}",
            where="estimator",
            expected=EXPECTED,
            do="save weights of a torch module, and run `unshapley import-model`",
        )
    found = converted(estimator)
    wanted = none or (CONSTANT if found.linear else "fresh")
    source = Source(
        model=found,
        architecture=ARCHITECTURE,
        kwargs=found.kwargs,
        initial=CONSTANT if wanted == CONSTANT else None,
        seed=seed,
        recipe_known=recipe_known,
        accept_score=accept_score,
    )
    paths = Project(Path(project))
    return take(paths, load_params(paths.params), source)
