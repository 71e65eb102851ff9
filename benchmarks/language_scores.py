"""Scores that others give to providers' text, from gradients or by moving the model once.

Scores are no utilities: they are scaled to the sum of the values before they are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, grad, vmap

from unshapley.game.game import Game
from unshapley.models.batching import State
from unshapley.models.losses import token_loss
from unshapley.models.recipes import train_by_recipe
from unshapley.models.rows import Rows
from unshapley.models.training import stack, trainable

Scores = NDArray[np.float64]
EVERY = 16
"""In-run gradients are taken at every so many steps."""
STEPS, RATE = 20, 5e-4
"""Of the ascent that UnTrac takes."""
WIDTH = 256
"""Of the random projection."""


def parts(game: Game) -> list[Rows]:
    """Rows of each provider."""
    rows = game.pretrained.rows
    masks = [rows.owner == i for i in range(len(game.providers))]
    return [(rows.x[mask], rows.y[mask]) for mask in masks]


def loss_of(game: Game, state: State, rows: Rows) -> Tensor:
    """Summed loss of the tokens of rows."""
    outputs = functional_call(
        game.pretrained.model, {**game.pretrained.trained, **state}, (rows[0],)
    )
    return token_loss(outputs, rows[1]).sum()


def mean_loss(game: Game, state: State, rows: Rows) -> float:
    """Loss of a token of rows."""
    with torch.no_grad():
        return float(loss_of(game, state, rows) / (rows[1] >= 0).sum())


def gradient(game: Game, state: State, rows: Rows) -> Tensor:
    """Gradient of the summed loss of rows `(weights,)`."""
    theta = {
        n: state[n].detach().clone().requires_grad_() for n in trainable(game.pretrained.model)
    }
    for x, y in zip(rows[0].split(32), rows[1].split(32), strict=True):
        loss_of(game, theta, (x, y)).backward()
    return torch.cat([t.grad.flatten() for t in theta.values()])


def tracin(game: Game) -> Scores:
    """TracInCP (Pruthi et al., NeurIPS 2020): products with the test gradient, two checkpoints."""
    p, test = game.pretrained, (game.test_x, game.test_y)
    total = np.zeros(len(game.providers))
    for state in (p.rewind, p.trained):
        asked = gradient(game, state, test)
        total += [float(gradient(game, state, rows) @ asked) for rows in parts(game)]
    return total


def in_run(game: Game) -> Scores:
    """In-run Data Shapley of first order (Wang et al., 2024), at every `EVERY`th step."""
    p, test, own = game.pretrained, (game.test_x, game.test_y), parts(game)
    total = np.zeros(len(own))

    def stepped(step: int, theta: State) -> None:
        nonlocal total
        if step % EVERY == 0:
            state = {name: tensor[0].detach() for name, tensor in theta.items()}
            asked = gradient(game, state, test)
            rate = 0.5 * (1 + np.cos(np.pi * step / p.recipe.steps))
            total = total + [rate * float(gradient(game, state, rows) @ asked) for rows in own]

    everybody = torch.ones(1, len(own), dtype=torch.bool)
    start = stack(p.initial, 1)
    train_by_recipe(p.model, start, p.rows, p.counts, everybody, p.recipe, p.reference, stepped)
    return total


def untrac(game: Game) -> Scores:
    """UnTrac (Isonuma and Titov, EACL 2024): the test loss after ascent on a provider's rows."""
    test, trained = (game.test_x, game.test_y), game.pretrained.trained
    before = mean_loss(game, trained, test)
    return np.array([mean_loss(game, _ascended(game, rows), test) - before for rows in parts(game)])


def untrac_inv(game: Game) -> Scores:
    """UnTrac-Inv: a provider's loss after ascent on the test rows, times its tokens."""
    own, trained = parts(game), game.pretrained.trained
    moved = _ascended(game, (game.test_x, game.test_y))
    gained = [mean_loss(game, moved, rows) - mean_loss(game, trained, rows) for rows in own]
    return np.array(gained) * [float((rows[1] >= 0).sum()) for rows in own]


def _ascended(game: Game, rows: Rows) -> State:
    theta = {
        n: game.pretrained.trained[n].clone().requires_grad_()
        for n in trainable(game.pretrained.model)
    }
    adam = torch.optim.Adam(theta.values(), lr=RATE, maximize=True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        index = torch.randint(len(rows[1]), (32,), generator=generator)
        adam.zero_grad()
        loss_of(game, theta, (rows[0][index], rows[1][index])).backward()
        adam.step()
    return {n: t.detach() for n, t in theta.items()}


def trak_like(game: Game) -> Scores:
    """As TRAK (Park et al., ICML 2023), of one model: projected gradients and their kernel."""
    own = [_projected(game, rows) for rows in parts(game)]
    asked = _projected(game, (game.test_x, game.test_y)).sum(dim=0)
    every = torch.cat(own)
    kernel = every.T @ every
    kernel += torch.eye(WIDTH, dtype=kernel.dtype) * kernel.diagonal().mean()
    weights = torch.linalg.solve(kernel, asked)
    return np.array([float((rows @ weights).sum()) for rows in own])


def _projected(game: Game, rows: Rows) -> Tensor:
    """Gradients of each row in random directions `(rows, WIDTH)`, float64."""
    names = trainable(game.pretrained.model)
    theta = {n: game.pretrained.trained[n] for n in names}
    count = sum(t.numel() for t in theta.values())
    directions = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(0)) / count**0.5

    def loss(theta: State, x: Tensor, y: Tensor) -> Tensor:
        return loss_of(game, theta, (x[None], y[None]))

    out = []
    for x, y in zip(rows[0].split(32), rows[1].split(32), strict=True):
        found = vmap(grad(loss), in_dims=(None, 0, 0))(theta, x, y)
        out.append(torch.cat([found[n].flatten(1) for n in names], dim=1) @ directions)
    return torch.cat(out).double()


SCORES: Mapping[str, Callable[[Game], Scores]] = {
    "TracInCP": tracin,
    "in-run Shapley": in_run,
    "UnTrac": untrac,
    "UnTrac-Inv": untrac_inv,
    "TRAK-like": trak_like,
}
