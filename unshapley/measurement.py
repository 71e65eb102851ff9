"""Measure the utility of coalitions: unlearn a chunk as one batch of models, then evaluate it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unshapley.coalitions import Coalitions, to_bits
from unshapley.errors import UnshapleyError
from unshapley.files import digest
from unshapley.inputs import Inputs
from unshapley.models import State
from unshapley.modelstore import STATISTICS
from unshapley.training import batched_logits, deterministic
from unshapley.unlearning import Unlearner
from unshapley.utilities import evaluate

Utilities = dict[str, list[float]]
"""Utility name → one value a coalition `(m,)`."""


def unlearn(inputs: Inputs, unlearner: Unlearner, coalitions: Coalitions) -> State:
    """The models of a chunk: tensors that differ from the pretrained model `(m, …)`."""
    deterministic()
    # functional_call swaps tensors in and out of the module it runs: threads must not share one
    pretrained = replace(inputs.pretrained, model=deepcopy(inputs.pretrained.model))
    return unlearner(pretrained, inputs.staying(coalitions))


def evaluate_batch(inputs: Inputs, batch: State, names: Sequence[str]) -> Utilities:
    """Utilities of a batch of models on the test set; a model that is not finite is no score."""
    deterministic()
    trained = inputs.pretrained.trained
    shared = {n: t for n, t in trained.items() if n not in batch}
    with torch.no_grad():
        logits = batched_logits(deepcopy(inputs.pretrained.model), batch, shared, inputs.test_x)
    return evaluate(names, logits, inputs.test_y)


def measure(
    inputs: Inputs, unlearner: Unlearner, coalitions: Coalitions, names: Sequence[str]
) -> Utilities:
    """Unlearn and evaluate; raises `UnshapleyError` naming a coalition whose model diverged."""
    return checked(
        evaluate_batch(inputs, unlearn(inputs, unlearner, coalitions), names), unlearner, coalitions
    )


def checked(utilities: Utilities, unlearner: Unlearner, coalitions: Coalitions) -> Utilities:
    """`utilities` as they are; `UnshapleyError` if any is not finite."""
    bad: NDArray[np.bool_] = ~np.all(np.isfinite(list(utilities.values())), axis=0)
    if bad.any():
        raise UnshapleyError(
            f"{unlearner.name} gave {bad.sum()} of {len(bad)} models that are not finite, "
            f"the first for coalition {to_bits(coalitions[bad])[0]}\n"
            "  do: lower the unlearner's learning rate, or raise its damping"
        )
    return utilities


def measure_endpoints(inputs: Inputs, unlearner: Unlearner, names: Sequence[str]) -> Utilities:
    """Utilities of nobody and of everybody, in this order.

    U(all) is the pretrained model. U(none) is the model at its recorded initialisation; where some
    providers always stay, it is every player forgotten.
    """
    if inputs.players == inputs.providers:
        none = evaluate_batch(inputs, _batch_of_one(inputs.pretrained.initial), names)
    else:
        none = measure(inputs, unlearner, np.zeros((1, len(inputs.players)), dtype=bool), names)
    everybody = evaluate_batch(inputs, _batch_of_one(inputs.pretrained.trained), names)
    return {name: none[name] + everybody[name] for name in names}


def chunk_key(
    inputs: Inputs,
    unlearner: Unlearner,
    coalitions: Coalitions,
    names: Sequence[str],
    environment: Mapping[str, Any],
) -> str:
    """Content key of a chunk: everything that its utilities depend on, and nothing else.

    environment: versions, device, threads and source hash, as `environment.numerics` gives them.
    """
    record = inputs.record
    rows = {} if unlearner.retain_free else record.partitions
    unread = set() if unlearner.retain_free else {STATISTICS}
    return digest(
        {
            "coalitions": to_bits(coalitions),
            "players": inputs.players,
            "providers": inputs.providers,
            "partitions": rows,
            "model": {n: h for n, h in record.files.items() if n not in unread},
            "recipe": record.recipe.model_dump(mode="json"),
            "architecture": record.architecture_source,
            "test": record.test,
            "reference": record.reference,
            "unlearner": [unlearner.name, asdict(unlearner)],  # type: ignore[call-overload]
            "utilities": list(names),
            "environment": environment,
        }
    )


def _batch_of_one(state: State) -> State:
    return {name: tensor.unsqueeze(0) for name, tensor in state.items()}
