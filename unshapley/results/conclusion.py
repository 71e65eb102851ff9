"""What to conclude from a valuation, in a few plain sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[Any, Any]

NAMED = 4
"""Providers that a sentence names; more are counted."""
SURE = 0.9
"""Probability from which the order of two counts as sure."""
UNSTEADY = 0.3
"""Relative error of values by another seed of the training above which nobody should pay by them,
however well they agree with retraining."""


def conclusion(
    values: Iterable[Row],
    differences: Iterable[Row],
    fidelity: Mapping[str, Any],
    sources: Iterable[Row] = (),
) -> tuple[str, ...]:
    """Sentences for somebody who decides: whether to trust the values, who stands out, who harms,
    and how many can be told apart. Intervals decide, not ranks.

    values, differences, sources: rows of values.csv, differences.csv and test_sources.csv;
    fidelity: the figures of the check in metrics.json.
    """
    status, grade = fidelity["status"], fidelity.get("grade")
    if status == "untrusted" or grade == "none":
        return ("Do not act on these values: unlearning did not predict what retraining gives.",)
    valued = [row for row in values if row["status"] == "valued"]
    valued.sort(key=lambda row: -row["value"])
    if any(_is_unknown(row["ci_low"]) for row in valued):
        unknown = "this estimator gives no errors, so nobody is told apart"
        return (_trust(fidelity), f"{_best(valued)}; {unknown}.")
    pairs = [(row["provider"], row["other"], row["ci_low"], row["ci_high"]) for row in differences]
    better = {(a, b) for a, b, low, _ in pairs if low > 0}
    better |= {(b, a) for a, b, _, high in pairs if high < 0}
    sentences = [_trust(fidelity), _leaders(valued, better)]
    if fidelity.get("order"):
        sentences.insert(1, _order(fidelity["order"]))
    total = sum(row["value"] for row in valued)
    if total < 0:
        sentences.insert(
            1,
            f"All providers together make the model worse than without any rows ({total:.3g}): "
            "look at the label and at how it is trained before you act on this.",
        )
    harmful = [row["provider"] for row in valued if row["ci_high"] < 0]
    if harmful:
        sentences.append(f"{_names(harmful)} {_verb(harmful, 'makes', 'make')} the model worse.")
    on_others = _on_others(sources)
    flattered = [
        row["provider"]
        for row in valued
        if row["provider"] not in harmful
        and on_others.get(row["provider"], 0) + (row["ci_high"] - row["value"]) < 0
    ]
    if flattered:
        sentences.append(
            f"On the test rows of the others {_names(flattered)} "
            f"{_verb(flattered, 'makes', 'make')} the model worse; only "
            f"{_verb(flattered, 'its', 'their')} own test rows say otherwise."
        )
    unclear = [row["provider"] for row in valued if row["ci_low"] <= 0 <= row["ci_high"]]
    if unclear:
        help_ = _verb(unclear, "it helps", "they help")
        sentences.append(f"Of {_names(unclear)} it cannot be told whether {help_} at all.")
    if len(pairs) > 1:
        sentences.append(f"Of {len(pairs)} pairs of providers {len(better)} can be told apart.")
    return tuple(sentences)


def _on_others(sources: Iterable[Row]) -> dict[str, float]:
    """Value of each provider on the test rows of all others, for those that gave some."""
    total: dict[str, float] = {}
    rows: dict[str, float] = {}
    own = set()
    for row in sources:
        if row["provider"] == row["source"]:
            own.add(row["provider"])
            continue
        total[row["provider"]] = total.get(row["provider"], 0) + row["rows"] * row["value"]
        rows[row["provider"]] = rows.get(row["provider"], 0) + row["rows"]
    return {provider: total[provider] / rows[provider] for provider in own if provider in rows}


def _is_unknown(number: float | None) -> bool:
    return number is None or number != number  # noqa: PLR0124 (NaN)


def _trust(fidelity: Mapping[str, Any]) -> str:
    if fidelity["status"] == "unchecked":
        return "Nothing was retrained to check these values: take them with care."
    grade, other = fidelity.get("grade"), _error_of_another_seed(fidelity)
    if grade == "values" and other > UNSTEADY:
        return (
            "The values are as near to retraining as another training would be, but that is not "
            f"near: the same training with another seed moves them by about {100 * other:.0f} %. "
            "Train longer or at a lower rate before you pay by them."
        )
    return {
        "ranks": "The order can be relied on, the amounts less so.",
        "extremes": "Only the best and the worst can be relied on.",
    }.get(grade or "", "The values can be relied on: they agree with retraining.")


def _order(pairs: Sequence[Mapping[str, Any]]) -> str:
    """How sure the order is; pairs: the surest first, each with its probability."""
    sure = [pair for pair in pairs if pair["probability"] >= SURE]
    right = sum(pair["probability"] for pair in pairs)
    level = f"{100 * SURE:.0f} % sure"
    named = ", ".join(f"{pair['provider']} above {pair['other']}" for pair in sure[:NAMED])
    more = f" and {len(sure) - NAMED} more" if len(sure) > NAMED else ""
    begin = f"By what such a proxy missed in the benchmark, about {right:.1f} of these {len(pairs)}"
    end = f"; {level}: {named}{more}" if sure else f", and none is {level}"
    return f"{begin} pairs are in the right order{end}."


def _error_of_another_seed(fidelity: Mapping[str, Any]) -> float:
    """Expected relative error of values retrained with another seed; 0 if not known."""
    tried = (fidelity.get("implied") or {}).get("rel_l2_other_seed") or {}
    return float(tried.get("expected") or 0.0)


def _leaders(valued: Sequence[Row], better: set[tuple[str, str]]) -> str:
    """Who is best, or who may be: all that no other is better than beyond noise."""
    names = [row["provider"] for row in valued]
    best = names[0]
    rivals = [name for name in names[1:] if (best, name) not in better]
    if not rivals:
        return f"{_best(valued)}, more than every other provider beyond noise."
    if len(rivals) == len(names) - 1:
        return f"{_best(valued)}, but no other provider is worth less beyond noise."
    return f"{_best(valued)}; {_names(rivals)} may be worth as much."


def _best(valued: Sequence[Row]) -> str:
    row = valued[0]
    return f"{row['provider']} is worth most ({row['value']:.3g})"


def _names(names: Sequence[str]) -> str:
    if len(names) > NAMED:
        return f"{', '.join(names[: NAMED - 1])} and {len(names) - NAMED + 1} others"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _verb(names: Sequence[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many
