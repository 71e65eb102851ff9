"""What a language model answers on a test set, and did before it was trained."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from unshapley.models.batching import State, batch_of_one
from unshapley.models.tokens import token_scores


@dataclass(frozen=True)
class EndAnswers:
    """Found once, when they are asked for: proxies ask with every chunk of coalitions.

    initial, trained: weights before and after training; test: rows `(x, y)`.
    """

    model: nn.Module
    initial: State
    trained: State
    test: tuple[Tensor, Tensor]

    @cached_property
    def scores(self) -> tuple[Tensor, Tensor]:
        """Before and after, as `token_scores` gives them `(rows, positions, 2)`."""
        model = deepcopy(self.model)  # that of others may be in use by another thread

        def answers(state: State) -> Tensor:
            shared = {n: t for n, t in self.trained.items() if n not in state}
            return token_scores(model, batch_of_one(state), shared, *self.test)[0]

        return answers(self.initial), answers(self.trained)
