"""Early stopping: the weights that have the smallest loss on the reference set."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unshapley.models.adapting import evaluating
from unshapley.models.batching import State, batched_outputs
from unshapley.models.losses import row_loss
from unshapley.models.rows import Rows
from unshapley.models.training import rows_of_block


class EarlyStop:
    """Called after each step of a batch of models, each of which stops by itself.

    A model is checked after every pass over the rows and after the last step. It stops after
    `patience` checks in a row without a smaller mean loss on the reference set, and what it does
    later is not looked at.

    start: weights before training `(models, …)`; pass_steps: steps of a pass; steps: of all.
    """

    best: State
    """parameters of each model at the check with its smallest loss `(models, …)`"""
    steps: Tensor
    """number of the step of that check `(models,)`"""

    def __init__(
        self,
        model: nn.Module,
        start: State,
        reference: Rows,
        *,
        patience: int,
        pass_steps: int,
        steps: int,
    ) -> None:
        self._model, self._reference = model, reference
        self._patience, self._pass_steps, self._last = patience, pass_steps, steps
        self._start = start
        self._block = rows_of_block(model, start, reference[0].unsqueeze(0))
        first = next(iter(start.values()))
        self.best = {}
        self.steps = torch.zeros(len(first), dtype=torch.long, device=first.device)
        self._least = torch.full((len(first),), torch.inf, device=first.device)
        self._waited = torch.zeros_like(self.steps)

    @torch.no_grad()
    def __call__(self, step: int, theta: State) -> bool:
        """Whether all models have stopped; theta: parameters after the step `(models, …)`."""
        if step % self._pass_steps and step != self._last:
            return False
        loss = self._loss(theta).nan_to_num(nan=torch.inf)
        going = self._waited < self._patience
        better = going & ((loss < self._least) | (self.steps == 0))
        self._least = torch.where(better, loss, self._least)
        self.steps = torch.where(better, step, self.steps)
        self._waited = torch.where(better, 0, self._waited + going)
        for name, tensor in theta.items():
            chosen = better.view(-1, *[1] * (tensor.dim() - 1))
            self.best[name] = torch.where(chosen, tensor, self.best.get(name, tensor))
        return bool((self._waited >= self._patience).all())

    def _loss(self, theta: State) -> Tensor:
        """Mean loss on the reference set `(models,)`."""
        x, y = self._reference
        shared = {name: t[0] for name, t in self._start.items() if name not in theta}
        total = torch.zeros(len(self.steps), device=x.device)
        with evaluating(self._model):
            for rows in (slice(i, i + self._block) for i in range(0, len(x), self._block)):
                outputs = batched_outputs(self._model, theta, shared, x[rows])
                total = total + row_loss(outputs, y[rows]).sum(dim=1)
        return total / len(x)
