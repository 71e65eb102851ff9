"""How well low scores detect planted faults: precision, recall and average precision."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeVar

from unshapley.config import FaultSettings

Key = TypeVar("Key", bound=Any)


class DetectionScore(NamedTuple):
    """precision: share of the selected that are faulty; recall: share of the faulty selected."""

    precision: float
    recall: float


def precision_recall(
    scores: Mapping[Key, float], faulty: Collection[Key], k: int
) -> DetectionScore:
    """Precision and recall if the `k` lowest scores are selected; keys are providers or pairs.

    Equal scores are taken in sorted order of their keys. Raises `ValueError` if `k` is not between
    1 and the number of scores, or a faulty key has no score.
    """
    _check(scores, faulty)
    if not 1 <= k <= len(scores):
        raise ValueError(f"k = {k} of {len(scores)} scores")
    hits = sum(key in faulty for key in _lowest_first(scores)[:k])
    return DetectionScore(hits / k, hits / len(set(faulty)))


def average_precision(scores: Mapping[Key, float], faulty: Collection[Key]) -> float:
    """Mean over the faulty keys of the precision at the rank of each, lowest score first.

    1 if the faulty keys have the lowest scores; a random order gives about their share. Raises as
    `precision_recall`.
    """
    _check(scores, faulty)
    ranks = [i for i, key in enumerate(_lowest_first(scores), 1) if key in faulty]
    return sum(hit / rank for hit, rank in enumerate(ranks, 1)) / len(ranks)


def planted(faults: FaultSettings) -> dict[str, str]:
    """Provider → fault, for the faults that should lead to a low value.

    Duplicates are not among them: a copy shares the value with its original. See `duplicates`.
    """
    kinds = {"noise": faults.noise, "wrong labels": faults.wrong_labels}
    return {provider: kind for kind, providers in kinds.items() for provider in providers}


def summarize(values: Mapping[str, float], faults: FaultSettings) -> dict[str, Any] | None:
    """How well the lowest values detect the planted faults; None if there are no planted faults.

    faulty: faulty providers with a value; not_valued: faulty providers that are quarantined or not
    players; they are not counted.
    """
    known = sorted(planted(faults))
    faulty = [p for p in known if p in values]
    if not known:
        return None
    summary: dict[str, Any] = {"faulty": faulty, "not_valued": sorted({*known} - {*faulty})}
    if faulty:
        score = precision_recall(values, faulty, len(faulty))
        summary |= {**score._asdict(), "average_precision": average_precision(values, faulty)}
    return summary


def duplicates(
    interactions: Mapping[tuple[str, str], float], faults: FaultSettings
) -> dict[str, Any] | None:
    """How well the lowest interactions of pairs detect the planted copies; None without copies.

    interactions: by pair, with both names in sorted order.
    """
    pairs = [(min(pair), max(pair)) for pair in faults.duplicate.items()]
    copies: list[tuple[str, str]] = [pair for pair in pairs if pair in interactions]
    if not copies:
        return None
    score = precision_recall(interactions, copies, len(copies))
    average = average_precision(interactions, copies)
    return {"copies": copies, **score._asdict(), "average_precision": average}


def sentence_of_copies(summary: Mapping[str, Any]) -> str:
    """A result of `duplicates` in words."""
    k = len(summary["copies"])
    copies = ", ".join(" = ".join(pair) for pair in summary["copies"])
    return (
        f"planted copies: {round(k * summary['recall'])} of {k} among the {k} lowest interactions "
        f"({copies}): average precision {summary['average_precision']:.2f}"
    )


def sentence(summary: Mapping[str, Any]) -> str:
    """A result of `summarize` in words."""
    faulty, absent = summary["faulty"], summary["not_valued"]
    text = "planted faults: "
    if faulty:
        k = len(faulty)
        text += (
            f"{round(k * summary['recall'])} of {k} among the {k} lowest values "
            f"({', '.join(faulty)}): precision {summary['precision']:.2f}, recall "
            f"{summary['recall']:.2f}, average precision {summary['average_precision']:.2f}"
        )
    if absent:
        text += f"{'; ' if faulty else ''}not valued: {', '.join(absent)}"
    return text


def _lowest_first(scores: Mapping[Key, float]) -> list[Key]:
    return sorted(scores, key=lambda key: (scores[key], key))


def _check(scores: Mapping[Key, float], faulty: Collection[Key]) -> None:
    without_score = [key for key in faulty if key not in scores]
    if without_score:
        raise ValueError(f"no score of {without_score[0]!r}")
    if not faulty:
        raise ValueError("nothing is faulty")
