"""Columns of text as numbers: words and pairs of words, hashed, or weighted by their frequency."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unshapley.config import PrepareSettings
from unshapley.data.splits import Sets
from unshapley.data.tables import Schema
from unshapley.errors import InputError

log = logging.getLogger("unshapley.prepare")

WORDS = (1, 2)
"""Single words and pairs of neighbours."""


def word_features(name: str, count: int) -> list[str]:
    """Names of the features of a hashed text column."""
    width = len(str(count - 1))
    return [f"{name}#{i:0{width}d}" for i in range(count)]


def hashed(name: str, texts: Sequence[str | None], count: int) -> pd.DataFrame:
    """Features `(rows, count)` of texts; one that is missing has no words.

    Every word and pair of words is hashed to a feature and a sign, and each row has length 1
    (Weinberger et al. 2009, feature hashing). Nothing is fitted, so no provider's words have a say
    in what another's rows become.
    """
    from sklearn.feature_extraction.text import HashingVectorizer  # its import takes a second

    hashing = HashingVectorizer(n_features=count, ngram_range=WORDS, alternate_sign=True)
    rows: NDArray[np.float64] = hashing.transform([text or "" for text in texts]).toarray()
    return pd.DataFrame(rows, columns=word_features(name, count))


def weighted(schema: Schema, sets: Sets, settings: PrepareSettings) -> tuple[Schema, Sets]:
    """Columns of `tfidf`, texts until now, as the features that the reference set gives; the schema
    states them. Nobody's training or test rows determine which words count, or how much.

    Raises `InputError` where the reference set holds no word.
    """
    for name in (n for n in schema.features if settings.columns.get(n) == "tfidf"):
        texts = sets.reference[name]
        terms = inverse_frequencies(name, list(texts), settings.text_features)
        unknown = _unknown(name, _words(texts), sets)
        features = [f"{name}#{term}" for term in terms]
        position = schema.features.index(name)
        schema = replace(
            schema,
            features=(*schema.features[:position], *features, *schema.features[position + 1 :]),
            tfidf={**schema.tfidf, name: terms},
            unknown_words={**schema.unknown_words, name: unknown},
        )
        sets = replace(
            sets,
            train={n: _with_features(table, name, terms) for n, table in sets.train.items()},
            test=_with_features(sets.test, name, terms),
            reference=_with_features(sets.reference, name, terms),
        )
    return schema, sets


def inverse_frequencies(name: str, texts: Sequence[str], count: int) -> dict[str, float]:
    """The `count` most frequent words and pairs of these texts, in order, and how rare each is:
    ln((1 + texts) / (1 + texts that hold it)) + 1 (Spärck Jones 1972, as scikit-learn smooths it).

    name: of their column, for messages. Raises `InputError` where there is no word.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    counting = CountVectorizer(ngram_range=WORDS)
    try:
        totals = counting.fit_transform(texts).sum(axis=0).A1
    except ValueError:  # no word in any text
        raise InputError(
            f"column {name!r} has no word in the reference set",
            where="prepare.columns",
            expected="texts whose words say something",
            do="raise prepare.reference_share, name a table of your own as prepare.reference, or "
            f"hash them, which needs no reference set: {{{name}: text}}",
        ) from None
    found = counting.get_feature_names_out()
    # not max_features: the order in which numpy sorts ties depends on the processor
    most = sorted(range(len(found)), key=lambda i: (-totals[i], found[i]))[:count]
    terms = sorted(str(found[i]) for i in most)
    rarity = TfidfVectorizer(ngram_range=WORDS, vocabulary=terms).fit(texts).idf_
    return dict(zip(terms, rarity.tolist(), strict=True))


def tfidf(texts: Sequence[str], terms: Mapping[str, float]) -> NDArray[np.float64]:
    """Features `(rows, terms)` of texts by what `inverse_frequencies` gave: how often each word and
    pair stands there, times how rare it is, each row of length 1; a text of other words is 0.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    weighting = TfidfVectorizer(ngram_range=WORDS, vocabulary=list(terms))
    weighting.idf_ = np.array(list(terms.values()))
    rows: NDArray[np.float64] = weighting.transform(texts).toarray()
    return rows


def _with_features(table: pd.DataFrame, name: str, terms: Mapping[str, float]) -> pd.DataFrame:
    features = pd.DataFrame(
        tfidf(list(table[name]), terms),
        columns=[f"{name}#{term}" for term in terms],
        index=table.index,
    )
    position = list(table.columns).index(name)
    return pd.concat([table.iloc[:, :position], features, table.iloc[:, position + 1 :]], axis=1)


def _unknown(name: str, known: Collection[str], sets: Sets) -> dict[str, float]:
    """Share of each provider's words, and of the test set's, that no reference row holds."""
    tables = {**sets.train, "test": sets.test}
    shares = {place: _share(_words(table[name]), known) for place, table in tables.items()}
    if any(shares.values()):
        log.warning(
            "column %r: words that no reference row holds count for nothing, of all words these "
            "shares: %s",
            name,
            ", ".join(f"{place} {share:.0%}" for place, share in shares.items()),
        )
    return shares


def _share(words: Mapping[str, int], known: Collection[str]) -> float:
    total = sum(words.values())
    unknown = sum(times for word, times in words.items() if word not in known)
    return round(unknown / total, 4) if total else 0.0


def _words(texts: Iterable[str]) -> Counter[str]:
    from sklearn.feature_extraction.text import CountVectorizer

    words_of = CountVectorizer().build_analyzer()
    return Counter(word for text in texts for word in words_of(text))
