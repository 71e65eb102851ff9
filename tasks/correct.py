"""Task: correct unlearned utilities by a few real retrainings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from unshapley.fidelity import correction
from unshapley.fidelity.correction import Correction, Floats, Ints
from unshapley.game.coalitions import Coalitions
from unshapley.game.kept import Kept


@task(name="correct", cache_policy=NO_CACHE, persist_result=False)
def correct(
    plan: Coalitions,
    kept: Kept,
    unlearned: Floats,
    retrained: tuple[Ints, Floats],
    exact: NDArray[np.bool_],
    seed: int,
    *,
    vanishing: bool,
) -> Correction:
    """Corrected utilities of a plan, with draws that show their uncertainty."""
    return correction.correct(plan, kept, unlearned, retrained, exact, seed, vanishing=vanishing)
