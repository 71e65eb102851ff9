"""How good a model is, beside the best constant and the model before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import torch

from unshapley.data.tables import TEXT, Schema
from unshapley.game.constants import constant_answer, constant_scores
from unshapley.game.game import Game
from unshapley.game.utilities import evaluate, scores_of
from unshapley.models.batching import batch_of_one
from unshapley.models.pretrained import Pretrained
from unshapley.numerics import deterministic

ORDERS = 4
"""Most classes whose every order is tried, to see if a model has them in another one."""


@dataclass(frozen=True)
class ModelScore:
    """A utility of a model, higher is better.

    test, training: on the test set and on the training rows; constant: of the best constant, on the
    test set; initial: of what stands for U(none), on the test set.
    """

    utility: str
    test: float
    training: float
    constant: float
    initial: float

    @property
    def beats_constant(self) -> bool:
        return self.test > self.constant


@deterministic()
def score_model(pretrained: Pretrained, schema: Schema) -> list[ModelScore]:
    """Every utility of the task that is one number a model; `pretrained` holds its test set.

    schema: as the model sees labels (`ModelRecord.seen_by_model`).
    """
    assert pretrained.test is not None
    x, y = pretrained.rows.x, pretrained.rows.y
    on_test = Game((), (), pretrained, *pretrained.test, schema.label_mean, schema.label_scale)
    on_training = Game((), (), pretrained, x, y, schema.label_mean, schema.label_scale)
    utilities = scores_of(schema.task, pretrained.test[1])
    models = {n: torch.stack([t, pretrained.initial[n]]) for n, t in pretrained.trained.items()}
    outputs, labels = on_test.outputs(models)
    test = evaluate(utilities, outputs, labels)
    if schema.task == TEXT:
        answer = constant_scores(on_training, labels)
    else:
        answer = constant_answer(on_training).expand(1, len(labels), -1)
    constant = evaluate(utilities, answer, labels)
    training = evaluate(utilities, *on_training.outputs(batch_of_one(pretrained.trained)))
    return [
        ModelScore(name, trained, training[name][0], constant[name][0], initial)
        for name, (trained, initial) in test.items()
    ]


def better_order(pretrained: Pretrained, classes: Sequence[str]) -> tuple[str, ...]:
    """The order of a model's outputs that suits the training rows better than that of the classes,
    and than the most frequent class alone; empty if there is none.
    """
    rows = pretrained.rows
    if rows.y.is_floating_point() or not 1 < len(classes) <= ORDERS:
        return ()
    outputs = Game((), (), pretrained, rows.x, rows.y).outputs(batch_of_one(pretrained.trained))[0][
        0
    ]
    answer = outputs.argmax(dim=1)

    def hits(order: tuple[int, ...]) -> float:
        return float((torch.tensor(order)[answer] == rows.y).double().mean())

    orders = list(permutations(range(len(classes))))
    best = max(orders, key=hits)
    most_frequent = float(torch.bincount(rows.y).max()) / len(rows.y)
    if hits(best) <= max(hits(orders[0]), most_frequent):
        return ()
    return tuple(classes[code] for code in best)
