"""A proxy for text: what counts of n-grams predict, without any network."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from unshapley.curvature.ngrams import ngram_log_probabilities
from unshapley.errors import InputError, UnshapleyError
from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.models.tokens import asked_tokens, token_scores, vocabulary_of
from unshapley.unlearning.base import Unlearner
from unshapley.unlearning.ekfac import EkfacUnlearner


class NgramProxy(Unlearner):
    """Not a model that has forgotten, but a proxy for one: an interpolated trigram model of the
    retained providers' counts, scaled to the pretrained network.

    ℓ_t(S) = ℓ_t(θ_0) + r (log p_S(t) − log p_∅(t)), with ℓ_t(θ_0) the log-probability of test token
    t by the network before training, p_S that of `curvature.ngrams` from the counts of S, and r
    such that U(all) is the pretrained network's. What the data themselves say of a test set is
    nearly additive in who wrote them, and so is what a network learns of it.

    Retain-free: counts alone. Cost per coalition: a sum over providers.
    """

    name: ClassVar[str] = "ngram"
    retain_free: ClassVar[bool] = True
    needs: ClassVar[str | None] = "curvature"
    reads_rows: ClassVar[bool] = False
    predicts: ClassVar[bool] = True
    of_text: ClassVar[bool | None] = True

    def flop(self, pretrained: Pretrained, staying: Tensor, row_step: float) -> Tensor:
        counts = 0 if pretrained.ngrams is None else pretrained.ngrams[0].numel()
        work = super().flop(pretrained, staying, row_step)
        return work + 2 * staying.shape[1] * counts

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        raise UnshapleyError(f"{self.name} is a proxy: it predicts answers, and makes no model")

    def answers(self, pretrained: Pretrained, staying: Tensor) -> Tensor:
        counts, (before, after), (_, y) = _known(pretrained, self.name)
        vocabulary = vocabulary_of(pretrained.model, pretrained.reference[0])
        everybody = torch.ones_like(staying[:1])
        who = torch.cat([staying, everybody, ~everybody]).to(counts.dtype)
        summed = (who @ counts.flatten(1)).view(-1, *counts.shape[1:])
        p = ngram_log_probabilities(summed, vocabulary)
        gained, all_gained = p[:-2] - p[-1], p[-2] - p[-1]
        tokens, asked = (y >= 0).to(p.dtype), (asked_tokens(y) >= 0).to(p.dtype)
        total = (all_gained * tokens).sum()
        if not total > 0:
            raise UnshapleyError(
                "counts of n-grams of all providers predict the test set no better than none do\n"
                "  do: set valuation.unlearner to ekfac"
            )
        scale = ((after - before) * tokens.unsqueeze(-1)).sum(dim=(0, 1)) / total
        scores = before + gained.unsqueeze(-1) * scale
        return scores * asked.unsqueeze(-1)


class EkfacNgramUnlearner(EkfacUnlearner):
    """The mean of what `ekfac`'s models and the proxy `ngram` answer.

    One forgets too much, the other knows nothing of the network. Where both rank well the mean was
    nearer than either, else it was not (benchmarks/README.md). Retain-free: statistics alone.
    """

    name: ClassVar[str] = "ekfac_ngram"

    def answers(self, pretrained: Pretrained, staying: Tensor) -> Tensor:
        proxy = NgramProxy().answers(pretrained, staying)
        return (proxy + answers_of_models(pretrained, self(pretrained, staying))) / 2


def answers_of_models(pretrained: Pretrained, batch: State) -> Tensor:
    """What a batch of models answers on the test set, as `token_scores` gives it."""
    assert pretrained.test is not None
    shared = {n: t for n, t in pretrained.trained.items() if n not in batch}
    return token_scores(pretrained.model, batch, shared, *pretrained.test)


def _known(
    pretrained: Pretrained, unlearner: str
) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Counts, answers before and after training, and the test set."""
    counts, ends, test = pretrained.ngrams, pretrained.ends, pretrained.test
    if counts is None or ends is None or test is None:
        raise InputError(
            f"{unlearner} needs counts of n-grams, and the model has none",
            where="valuation.unlearner",
            expected="a language model, with the statistics that `unshapley pretrain` stores",
            do="run `unshapley curvature`, or set valuation.unlearner to retrain",
        )
    return counts, ends.scores, test
