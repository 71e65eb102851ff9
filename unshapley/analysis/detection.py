"""How well scores find what was planted: precision, recall and average precision."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeVar

from unshapley.config import FaultSettings

Key = TypeVar("Key", bound=Any)


class DetectionScore(NamedTuple):
    """precision: share of the named that are faulty; recall: share of the faulty that are named."""

    precision: float
    recall: float


def precision_recall(
    scores: Mapping[Key, float], faulty: Collection[Key], k: int
) -> DetectionScore:
    """Precision and recall of naming the `k` lowest scores, of providers or of pairs of them.

    Equal scores are taken in sorted order of their keys. Raises `ValueError` where `k` is not
    between 1 and the number of scores, or a faulty one has no score.
    """
    _check(scores, faulty)
    if not 1 <= k <= len(scores):
        raise ValueError(f"k = {k} of {len(scores)} scores")
    hits = sum(key in faulty for key in _lowest_first(scores)[:k])
    return DetectionScore(hits / k, hits / len(set(faulty)))


def average_precision(scores: Mapping[Key, float], faulty: Collection[Key]) -> float:
    """Mean over the faulty of the precision at which each is named, lowest score first.

    1 where all faulty ones are lowest; chance gives about their share. Raises as above.
    """
    _check(scores, faulty)
    ranks = [i for i, key in enumerate(_lowest_first(scores), 1) if key in faulty]
    return sum(hit / rank for hit, rank in enumerate(ranks, 1)) / len(ranks)


def planted(faults: FaultSettings) -> dict[str, str]:
    """Provider → fault, of those faults that a low value should tell.

    Not duplicates: a copy shares credit with its original, and `duplicates` finds it.
    """
    kinds = {"noise": faults.noise, "wrong labels": faults.wrong_labels}
    return {provider: kind for kind, named in kinds.items() for provider in named}


def summarize(values: Mapping[str, float], faults: FaultSettings) -> dict[str, Any] | None:
    """How well the lowest values tell the planted faults; None where none are planted.

    faulty: who was valued; not_valued: who was quarantined or is no player, and counts nowhere.
    """
    known = sorted(planted(faults))
    faulty = [p for p in known if p in values]
    if not known:
        return None
    summary: dict[str, Any] = {"faulty": faulty, "not_valued": sorted({*known} - {*faulty})}
    if faulty:
        found = precision_recall(values, faulty, len(faulty))
        summary |= {**found._asdict(), "average_precision": average_precision(values, faulty)}
    return summary


def duplicates(
    interactions: Mapping[tuple[str, str], float], faults: FaultSettings
) -> dict[str, Any] | None:
    """How well the lowest interactions of pairs tell the planted copies; None without any.

    interactions: of pairs in sorted order of the two names.
    """
    pairs = [(min(pair), max(pair)) for pair in faults.duplicate.items()]
    copies: list[tuple[str, str]] = [pair for pair in pairs if pair in interactions]
    if not copies:
        return None
    found = precision_recall(interactions, copies, len(copies))
    average = average_precision(interactions, copies)
    return {"copies": copies, **found._asdict(), "average_precision": average}


def sentence_of_copies(summary: Mapping[str, Any]) -> str:
    """What `duplicates` found, in words."""
    k = len(summary["copies"])
    named = ", ".join(" = ".join(pair) for pair in summary["copies"])
    return (
        f"planted copies: {round(k * summary['recall'])} of {k} among the {k} lowest interactions "
        f"({named}): average precision {summary['average_precision']:.2f}"
    )


def sentence(summary: Mapping[str, Any]) -> str:
    """A summary in words."""
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
    strangers = [key for key in faulty if key not in scores]
    if strangers or not faulty:
        raise ValueError(f"no score of {strangers[0]!r}" if strangers else "nothing is faulty")
