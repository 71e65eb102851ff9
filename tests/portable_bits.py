"""Digests of what unlearners, estimators and corrections give; prints them as JSON."""

import hashlib
import json

import numpy as np
import torch

from unshapley.config import CurvatureSettings, PretrainSettings
from unshapley.curvature.statistics import with_statistics
from unshapley.estimators import estimate, make_plan
from unshapley.fidelity.correction import correct
from unshapley.game.game import Game
from unshapley.game.kept import Kept
from unshapley.game.measuring import measure
from unshapley.game.utilities import build_utilities
from unshapley.models.fitting import fit
from unshapley.models.rows import Rows
from unshapley.numerics import one_thread
from unshapley.unlearning import build_unlearner

UNLEARNERS = ("newton", "natural_gradient", "finetune", "retrain")
MODELS = {"mlp": {"hidden": [12]}, "cnn": {}}


def digest(numbers: object) -> str:
    return hashlib.sha256(np.ascontiguousarray(numbers).tobytes()).hexdigest()


def main() -> None:
    rng = np.random.default_rng(0)

    def rows(count: int) -> Rows:
        x = rng.normal(size=(count, 16)).astype(np.float32)
        y = (x[:, :3] + 0.3 * rng.normal(size=(count, 3))).argmax(axis=1)
        return torch.from_numpy(x), torch.from_numpy(y)

    parts = {f"p{i}": rows(30) for i in range(8)}
    reference, test = rows(40), rows(60)
    found = {"rows": digest(test[0])}
    plan = make_plan("gaussian_process", len(parts), 24, 0)
    for model, kwargs in MODELS.items():
        recipe = PretrainSettings(architecture=f"unshapley.models:{model}", kwargs=kwargs, steps=20)
        pretrained = fit(recipe, parts, reference, outputs=3)
        weights = [tensor.flatten() for tensor in pretrained.trained.values()]
        found[f"{model}, weights"] = digest(torch.cat(weights))
        pretrained = with_statistics(pretrained, parts, CurvatureSettings(directions=30))
        game = Game(tuple(parts), tuple(parts), pretrained, *test)
        for name in UNLEARNERS:
            unlearner = build_unlearner(name)
            measured = measure(game, unlearner, plan.coalitions, build_utilities(["neg_log_loss"]))
            utilities = np.array(measured["neg_log_loss"])
            found[f"{model}, {name}"] = digest(utilities)
        with one_thread():
            values = estimate(plan, np.array([-1.1, *utilities, -0.1]))
            exact, kept = np.zeros(len(utilities), bool), Kept.apart(plan.coalitions.mean(axis=1))
            learnt = np.arange(8), utilities[:8] + 0.01 * np.arange(8)
            corrected = correct(plan.coalitions, kept, utilities, learnt, exact, 0).corrected
        found[f"{model}, values"] = digest(values.value)
        found[f"{model}, errors"] = digest(values.std_error)
        found[f"{model}, corrected"] = digest(corrected)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
