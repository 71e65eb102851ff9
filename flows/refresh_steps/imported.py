"""A model that was trained elsewhere: git and DVC track it as an input, and no stage makes it."""

from __future__ import annotations

from collections.abc import Collection

from flows.refresh_steps.repository import CommandError, Repository
from unshapley.data.tables import Schema
from unshapley.errors import InputError
from unshapley.models.staleness import check_imported
from unshapley.models.store import ModelRecord
from unshapley.project import Project

DVC_FILES = ("data/model.dvc", "data/curvature.dvc")
TRACK = "`dvc add data/model data/curvature`"
AGAIN = (
    "put the new tables into data/raw, `dvc repro prepare`, train on data/partitions, `unshapley "
    f"import-model`, {TRACK}, commit, and refresh again; or remove data/model.dvc and "
    "data/curvature.dvc and state stage pretrain in dvc.yaml, to have models trained here"
)


def is_tracked(project: Project) -> bool:
    """Whether the model is an input of the repository."""
    return (project.root / DVC_FILES[0]).is_file()


def check_stages(project: Project, stages: Collection[str]) -> None:
    """Raise `InputError` where nothing makes the model, or a stage would train over it."""
    path = project.root / "dvc.yaml"
    if "pretrain" not in stages:
        absent = [name for name in DVC_FILES if not (project.root / name).is_file()]
        if absent:
            raise InputError(
                f"has no stage 'pretrain', and there is no {absent[0]}",
                where=path,
                expected="a stage that trains the model, or an imported one that DVC tracks",
                do=f"for an imported model {TRACK}, and commit; else state the stage",
            )
    elif _is_imported(project):
        raise InputError(
            "stage pretrain would train another model over the imported one",
            where=path,
            do=f"remove the stage, then {TRACK}, and commit",
        )


def keep_unsaved(repo: Repository) -> None:
    """Raise `InputError` where fetching what is committed would destroy a model that was imported
    since: neither git nor DVC holds it.
    """
    try:
        repo.dvc("checkout", "--allow-missing", *DVC_FILES)
    except CommandError:
        raise InputError(
            f"is not what {' and '.join(DVC_FILES)} name, and DVC does not replace it unasked",
            where=repo.root / "data" / "model",
            do=f"to keep it {TRACK}, and commit; to go back `dvc checkout --force "
            f"{' '.join(DVC_FILES)}`",
        ) from None


def check_rows(project: Project) -> None:
    """Raise `InputError` where the imported model was trained on other rows than there are now."""
    record = ModelRecord.load(project.model)
    if record.imported is not None:
        check_imported(project, record, Schema.load(project.schema).providers, AGAIN)


def _is_imported(project: Project) -> bool:
    there = (project.model / "model.json").is_file()
    return there and ModelRecord.load(project.model).imported is not None
