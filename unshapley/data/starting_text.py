"""Start a project with a corpus: the rules that an inspection inferred, as settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unshapley.config import PrepareSettings, ValidationSettings
from unshapley.data.starting import SHARE_KEPT
from unshapley.data.text_inspection import CorpusInspection

LANGUAGE_MODEL: Mapping[str, Any] = {
    "architecture": "unshapley.models:gpt",
    "optimizer": "adamw",
    "learning_rate": 0.002,
    "schedule": "cosine",
    "warmup": 0.1,
    "weight_decay": 0.1,
    "batch_size": 16,
    "steps": 480,
}
"""As small language models are trained; docs/language-models.md says more."""


def settings_of_corpus(
    inspection: CorpusInspection, test: Path | None, settings: Sequence[str]
) -> list[str]:
    """Settings of a new project, as KEY=VALUE: what an inspection found (with what the user had
    stated in section prepare), then the user's own of other sections; test: documents that judge.
    """
    chosen, default = inspection.settings.model_dump(), PrepareSettings().model_dump()
    out = [
        f"prepare.{key}={json.dumps(chosen[key])}" for key in chosen if chosen[key] != default[key]
    ]
    if test is not None:
        out.append(f"prepare.test={json.dumps(test.name)}")
    least = least_documents(inspection)
    if least is not None:
        out.append(f"validation.min_rows={least}")
    others = [text for text in settings if not text.startswith(("prepare.", "prepare="))]
    recipe = [f"pretrain.{key}={value}" for key, value in LANGUAGE_MODEL.items()]
    return [*out, *recipe, "valuation.utilities=[log_likelihood]", *others]


def doubts_about_corpus(inspection: CorpusInspection) -> list[str]:
    """What may be wrong with the providers: there is only one, or one has very few documents."""
    documents = {name: facts.documents for name, facts in inspection.providers.items()}
    if len(documents) < 2:
        return [
            f"there is one provider only, {next(iter(documents))}, and `run` needs two: give a "
            "folder of each, or name the column that says whose a document is by --provider"
        ]
    least = least_documents(inspection)
    if least is None:
        return []
    fewest = min(documents, key=lambda name: documents[name])
    return [
        f"{fewest} has {_counted(documents[fewest])} only, so validation.min_rows is set to "
        f"{least}: the value of so few says little"
    ]


def _counted(documents: int) -> str:
    return f"{documents} document{'s' * (documents != 1)}"


def least_documents(inspection: CorpusInspection) -> int | None:
    """A new project's validation.min_rows, where the usual one would refuse a provider."""
    kept = [facts.documents - facts.empty for facts in inspection.providers.values()]
    least = int(min(kept) * SHARE_KEPT)
    return max(1, least) if least < ValidationSettings().min_rows else None
