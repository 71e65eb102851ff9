"""Divide a budget among providers by their values, exact to the last unit."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path

from unshapley.errors import InputError
from unshapley.files import written_whole
from unshapley.results.published import PublishedValue

COLUMNS = ("provider", "value", "share", "share_low", "share_high", "payout", "note")
MOST_DIGITS = 15
"""Most digits of an amount; budget / unit then fits the 28 digits of Decimal."""
FINEST = -12
"""Smallest exponent of an amount: 12 digits after the point."""


@dataclass(frozen=True)
class Payout:
    """What one provider gets and why.

    share: share of the sum of positive values, 0 for a negative value; share_low, share_high: the
    95 % interval of the value, divided by the same sum; None for a provider without a value.
    """

    provider: str
    value: float | None
    share: float | None
    share_low: float | None
    share_high: float | None
    payout: Decimal
    note: str


def amount(text: str, option: str) -> Decimal:
    """The decimal number in `text`, read without conversion to float.

    Raises `InputError` for the `option` if the text is not a number, or has too many digits.
    """
    expected = "an amount such as 10000 or 0.01"
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise InputError(f"{text!r} is no amount", where=option, expected=expected) from None
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise InputError(f"{text} is no amount", where=option, expected=expected)
    if len(digits) > MOST_DIGITS or exponent < FINEST or number.adjusted() >= MOST_DIGITS:
        raise InputError(
            f"{text} has too many digits",
            where=option,
            expected=f"at most {MOST_DIGITS} digits, {-FINEST} of them after the point",
        )
    return number


def pay(
    providers: Sequence[PublishedValue], budget: Decimal, floor: Decimal, unit: Decimal
) -> tuple[Payout, ...]:
    """Payouts in the order of `providers`; their sum is exactly the budget.

    Raises `InputError` as `divide` does.
    """
    values = {p.provider: p.value for p in providers if p.value is not None}
    paid = divide(values, budget, floor, unit)
    total = sum(v for v in values.values() if v > 0)

    proportional = {p: v / total * float(budget) for p, v in values.items()}

    def share(value: float | None) -> float | None:
        return None if value is None else min(1.0, max(0.0, value) / total)

    return tuple(
        Payout(
            entry.provider,
            entry.value,
            share(entry.value),
            share(entry.ci_low),
            share(entry.ci_high),
            paid.get(entry.provider, 0 * unit),
            _note(entry, paid.get(entry.provider), floor, proportional),
        )
        for entry in providers
    )


def write_payouts(payouts: Sequence[Payout], path: Path) -> None:
    """Write payouts as CSV, one row each; figures that are None stay empty."""
    with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for payout in payouts:
            row = {**vars(payout), "payout": f"{payout.payout:f}"}
            writer.writerow("" if row[c] is None else row[c] for c in COLUMNS)


def divide(
    values: Mapping[str, float], budget: Decimal, floor: Decimal, unit: Decimal
) -> dict[str, Decimal]:
    """Payout by provider: in proportion to positive values, nobody below `floor`.

    A provider gets the floor if its value is not positive or its proportional part is below the
    floor; the others divide the rest in proportion. Parts are rounded to multiples of `unit` by
    largest remainders (Hamilton): each part is rounded down, and the units that are left go to the
    largest remainders, among equal ones to the name that sorts first. A larger value never gets
    less than a smaller one.

    Raises `InputError` for amounts that do not fit together, for a value that is not finite, and if
    no value is positive.
    """
    _check_amounts(len(values), budget, floor, unit)
    _check_values(values)
    units = int(Fraction(budget) / Fraction(unit))
    least = int(Fraction(floor) / Fraction(unit))
    parts = _proportional({p: Fraction(v) for p, v in values.items()}, units, least)
    whole = {p: math.floor(part) for p, part in parts.items()}
    by_remainder = sorted(parts, key=lambda p: (whole[p] - parts[p], p))
    for provider in by_remainder[: units - sum(whole.values())]:
        whole[provider] += 1
    return {p: whole[p] * unit for p in values}


def _proportional(values: Mapping[str, Fraction], units: int, least: int) -> dict[str, Fraction]:
    """Exact part of each provider in units; parts below `least` are raised to it."""
    lifted = {p for p, value in values.items() if value <= 0}
    while True:
        remaining = units - least * len(lifted)
        total = sum(value for p, value in values.items() if p not in lifted)
        parts = {p: remaining * value / total for p, value in values.items() if p not in lifted}
        below = {p for p, part in parts.items() if part < least}
        if not below:
            return {**dict.fromkeys(lifted, Fraction(least)), **parts}
        lifted |= below


def _check_amounts(count: int, budget: Decimal, floor: Decimal, unit: Decimal) -> None:
    if unit <= 0:
        raise InputError(f"{unit} is no unit", where="--unit", expected="more than 0")
    if budget <= 0:
        raise InputError(f"{budget} is nothing to pay", where="--budget", expected="more than 0")
    if floor < 0:
        raise InputError(f"{floor} is below nothing", where="--floor", expected="0 or more")
    for option, money in (("--budget", budget), ("--floor", floor)):
        if Fraction(money) % Fraction(unit):
            raise InputError(
                f"{money:f} is no multiple of the unit {unit:f}",
                where=option,
                do="change it, or give a smaller --unit",
            )
    if count * Fraction(floor) > Fraction(budget):
        raise InputError(
            f"{count} providers with {floor:f} each need {floor * count:f}, more than the budget "
            f"{budget:f}",
            where="--floor",
            do="lower it, or raise --budget",
        )


def _check_values(values: Mapping[str, float]) -> None:
    for provider, value in values.items():
        if not math.isfinite(value):
            raise InputError(
                f"the value of provider {provider!r} is {value}",
                expected="finite values",
                do="run `unshapley run` again",
            )
    if not any(value > 0 for value in values.values()):
        raise InputError(
            "no provider has a positive value, so the budget cannot be divided in proportion",
            expected="at least one positive value",
            do="look at the report: the model may be no better than an untrained one, or another "
            "utility may suit your purpose; an equal split needs no values",
        )


def _note(
    entry: PublishedValue, paid: Decimal | None, floor: Decimal, proportional: Mapping[str, float]
) -> str:
    if entry.value is None:
        return f"{entry.status}: nothing"
    gets = "the floor" if floor else "nothing"
    if entry.value <= 0:
        return f"{'negative' if entry.value else 'zero'} value: {gets}"
    lifted = floor and paid == floor and proportional[entry.provider] < float(floor)
    return "lifted to the floor" if lifted else ""
