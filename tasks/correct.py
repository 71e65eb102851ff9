"""Task: correct unlearned utilities by a few real retrainings."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.load import WORKER, GameSource
from unshapley.fidelity import correction
from unshapley.fidelity.correction import Correction, Floats, Ints
from unshapley.game.coalitions import Coalitions
from unshapley.unlearning import Unlearner


@task(name="correct", cache_policy=NO_CACHE, persist_result=False)
def correct(
    source: GameSource,
    unlearner: Unlearner,
    plan: Coalitions,
    unlearned: Floats,
    retrained: tuple[Ints, Floats],
    seed: int,
) -> Correction:
    """Corrected utilities of a plan, with draws that show their uncertainty."""
    game = WORKER.load(source)
    staying = game.staying(plan)
    shares = game.pretrained.share(staying).cpu().numpy()
    exact = unlearner.exact(game.pretrained, staying).cpu().numpy()
    return correction.correct(plan, shares, unlearned, retrained, exact, seed)
