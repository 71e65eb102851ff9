"""What can be refused before anything is started or spent."""

from __future__ import annotations

from tasks.validation import check_parameters, tables
from unshapley.config import Params
from unshapley.errors import InputError
from unshapley.modelstore import ModelRecord
from unshapley.project import Project


def preflight(place: Project, params: Params) -> None:
    """Raise `InputError` where tables, suites or model are missing or not of these parameters."""
    tables(place)
    check_parameters(place, params)
    if ModelRecord.load(place.model).recipe != params.pretrain:
        raise InputError(
            "the model was trained with another recipe than params.yaml states under pretrain",
            where=place.model / "model.json",
            do="run `unshapley pretrain` (or `dvc repro`), or restore params.yaml",
        )
