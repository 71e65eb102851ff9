"""Whether the rows that lie in a project are those that its model was trained and scored on."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from unshapley.errors import InputError
from unshapley.files import sha256
from unshapley.models.store import ModelRecord
from unshapley.project import Project

LISTED = 4
AGAIN = (
    "train one of these rows and import it (`unshapley import-model`), or train one here: "
    "`unshapley pretrain --replace`"
)


def changed_rows(
    project: Project, record: ModelRecord, prepared: Collection[str] | None = None
) -> Iterator[str]:
    """What changed since the model was recorded, in words: of training rows first, then of the sets
    that judge it. Rows that are absent are no change: they may be out of reach.

    prepared: providers of the tables, if they are known: whoever is none of them was removed.
    """
    yield from changed_training_rows(project, record, prepared)
    if project.test.is_file() and sha256(project.test) != record.test:
        yield "the rows of the test set changed"
    if project.reference.is_file() and sha256(project.reference) != record.reference:
        yield "the rows of the reference set changed"


def changed_training_rows(
    project: Project, record: ModelRecord, prepared: Collection[str] | None = None
) -> Iterator[str]:
    """As `changed_rows`, of the rows that it was trained on."""
    for provider in project.providers():
        if provider in record.quarantined:
            continue
        if provider not in record.partitions:
            yield f"provider {provider} was added"
        elif sha256(project.partition(provider)) != record.partitions[provider]:
            yield f"the rows of provider {provider} changed"
    if prepared is not None:
        for provider in sorted({*record.partitions} - {*prepared}):
            yield f"provider {provider} was removed"


def check_imported(
    project: Project, record: ModelRecord, prepared: Collection[str], again: str = AGAIN
) -> None:
    """Raise `InputError` where a model that was trained elsewhere belongs to other rows: unlearning
    rows that it has never seen gives numbers, and they mean nothing.

    again: what to do where its training rows changed; where others did, it is imported again.
    """
    assert record.imported is not None
    changed = list(changed_rows(project, record, prepared))
    if not changed:
        return
    trained_on = any(changed_training_rows(project, record, prepared))
    more = f", and {len(changed) - LISTED} more" if len(changed) > LISTED else ""
    raise InputError(
        f"the model was imported from {record.imported.name}, and since then "
        f"{', '.join(changed[:LISTED])}{more}",
        where=project.model / "model.json",
        expected="the rows that it was trained on, and those that judged it",
        do=again
        if trained_on
        else f"import it again, its training rows are the same: `unshapley import-model "
        f"{record.imported.name}`",
    )
