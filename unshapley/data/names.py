"""Names of providers: the one rule for what may be one, wherever a table enters."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

from unshapley.errors import InputError

RESERVED = ("partition", "reference", "test")
"""Names that tables and suites of ours bear."""
LONGEST = 120
"""Characters, so that every file named after a provider has room for its ending."""
INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
"""Unicode categories of characters that nobody sees."""
EXPECTED = (
    "a name that is not hidden (.x), not a path, not reserved, without invisible characters, "
    f"of at most {LONGEST} characters"
)


def provider_name(text: str, where: object = None) -> str:
    """The name of a provider in its normal form (Unicode NFC).

    Raises `InputError` for what cannot be one: empty, hidden, part of a path, reserved, with
    control or invisible characters or spaces around it, or too long.
    """
    name = unicodedata.normalize("NFC", text)
    problem = _problem(name)
    if problem:
        raise InputError(
            f"{text!r} cannot be the name of a provider: {problem}",
            where=where,
            expected=EXPECTED,
            do="rename the file; for a text in a column state the name that it means: "
            f"prepare.provider_names: {{{text!r}: …}}",
        )
    return name


def _problem(name: str) -> str:
    """What is wrong with a name; empty if nothing is."""
    problems = {
        "it is empty": not name.strip(),
        "there are spaces around it": name != name.strip(),
        "it is hidden": name.startswith("."),
        "it is a path": "/" in name or "\\" in name,
        "it is reserved": name.casefold() in RESERVED,
        "it holds control or invisible characters": any(
            unicodedata.category(c) in INVISIBLE for c in name
        ),
        f"it has {len(name)} characters": len(name) > LONGEST,
    }
    return next((problem for problem, applies in problems.items() if applies), "")


def meant(text: object, names: Mapping[str, str]) -> str:
    """The name of the provider that a text in a column means.

    names: as `prepare.provider_names` states them.
    """
    return names.get(str(text), str(text))


def alike(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ by case, spaces or forms of characters alone."""
    seen: dict[str, str] = {}
    pairs = []
    for name in sorted(names):
        look = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if look in seen:
            pairs.append((seen[look], name))
        else:
            seen[look] = name
    return pairs


def check_distinct(names: Iterable[str], where: object = None) -> None:
    """Raise `InputError` for two names that look alike (equal in Unicode NFKC)."""
    seen: dict[str, str] = {}
    for name in names:
        look = " ".join(unicodedata.normalize("NFKC", name).split())
        if look in seen:
            raise InputError(
                f"the names of providers {seen[look]!r} and {name!r} look alike",
                where=where,
                expected="names that can be told apart when printed",
                do="rename one of them; of texts in a column state the name that both mean: "
                f"prepare.provider_names: {{{name!r}: {seen[look]!r}}}",
            )
        seen[look] = name
