"""Documents that are nearly the same: found by MinHash (Broder 1997), confirmed by comparing all.

A document counts by its shingles, runs of `WORDS` words in lower case. The similarity of two is the
share of shingles that both have among those that either has (Jaccard).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unshapley.data.row_index import SETS
from unshapley.errors import InputError

WORDS = 5
"""Words of a shingle."""
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+")
"""A word; of scripts that put no spaces between them, a character."""
PERMUTATIONS = 128
WEIGHTS = (0.1, 0.9)
"""A pair that is missed is worse than one that is looked at in vain: candidates are compared."""
MOST = 10
"""So many candidates of a document are compared in each table."""
LONGEST = 4000
"""Words of a document in which a passage is looked for."""
PASSAGE = 240
"""Characters of a passage that are shown."""

Shingles = NDArray[np.uint32]


@dataclass(frozen=True)
class Copy:
    """Row `row` of a table is much like row `other_row` of the table `other`."""

    row: int
    other: str
    other_row: int
    similarity: float


def shingles(text: str) -> Shingles:
    """Hashes of the distinct shingles of a text, in ascending order; at least one."""
    words = WORD.findall(text.lower()) or [text]
    hashes = pd.util.hash_array(np.array(words, dtype=object))
    size = min(WORDS, len(hashes))
    factors = np.array([pow(0x9E3779B97F4A7C15, k, 2**64) for k in range(size)], dtype=np.uint64)
    runs = np.lib.stride_tricks.sliding_window_view(hashes, size)
    return np.unique(
        ((runs * factors).sum(axis=1, dtype=np.uint64) >> np.uint64(32)).astype(np.uint32)
    )


def check_library() -> None:
    """Raise `InputError` where the package datasketch is not installed."""
    try:
        import datasketch  # noqa: F401
    except ImportError:
        raise InputError(
            "the package datasketch is not installed",
            where="validation.near_copies",
            do="pip install 'unshapley[text]', or set it to null",
        ) from None


class NearCopies:
    """Which documents are nearly those of other tables.

    sets: shingles of every document, by table; prints: hashes of their texts: of equal ones, which
    are no near-copies, one is compared.
    """

    def __init__(
        self,
        sets: Mapping[str, Sequence[Shingles]],
        prints: Mapping[str, NDArray[np.uint64]],
        threshold: float,
    ) -> None:
        self.sets, self.prints, self.threshold = sets, prints, threshold
        partitions = sorted(name for name in sets if name not in SETS)
        self.order = [name for name in SETS if name in sets] + partitions

    def of(self, name: str) -> dict[str, list[Copy]]:
        """Near-copies of the documents of a table, at most one for each: in its own table, in an
        earlier partition, in the test and the reference set.
        """
        out: dict[str, list[Copy]] = {"near_repeated": []}
        if name not in SETS:
            out["near_in_partitions"] = []
        if name != "reference":
            out |= {f"near_in_{other}": [] for other in SETS if other not in (name, "reference")}
            out["near_in_reference"] = []
        for row, text in enumerate(self.prints[name].tolist()):
            for other_text, similarity in self._neighbours.get(text, ()):
                for key, other, other_row in self._where(name, other_text):
                    if key in out and not (out[key] and out[key][-1].row == row):
                        out[key].append(Copy(row, other, other_row, similarity))
        return out

    def _where(self, name: str, text: int) -> list[tuple[str, str, int]]:
        """Where a text stands, and what a near-copy in that table is called."""
        places = []
        for table, row in self._places[text]:
            if table == name:
                places.append(("near_repeated", table, row))
            elif table in SETS:
                places.append((f"near_in_{table}", table, row))
            elif name not in SETS and table < name:
                places.append(("near_in_partitions", table, row))
        return places

    @cached_property
    def _places(self) -> dict[int, list[tuple[str, int]]]:
        """Where each text stands, in the order of tables."""
        places: dict[int, list[tuple[str, int]]] = {}
        for name in self.order:
            for row, text in enumerate(self.prints[name].tolist()):
                places.setdefault(text, []).append((name, row))
        return places

    @cached_property
    def _neighbours(self) -> dict[int, list[tuple[int, float]]]:
        """Texts that are nearly each text, with their similarity."""
        check_library()
        from datasketch import MinHashLSH

        index = MinHashLSH(self.threshold, PERMUTATIONS, weights=WEIGHTS)
        distinct = {text: self.sets[at[0][0]][at[0][1]] for text, at in self._places.items()}
        position = {text: i for i, text in enumerate(distinct)}
        sketches = {}
        first = None
        for text, hashes in distinct.items():
            sketches[text] = _sketch(hashes, first)
            first = first or sketches[text]
            index.insert(text, sketches[text])
        out = {}
        for text, sketch in sketches.items():
            candidates = sorted(set(index.query(sketch)) - {text}, key=position.__getitem__)
            near = [(t, similarity(distinct[text], distinct[t])) for t in self._few(candidates)]
            out[text] = [(t, share) for t, share in near if share >= self.threshold]
        return out

    def _few(self, texts: Sequence[int]) -> Iterator[int]:
        """The first `MOST` of these texts in each table."""
        taken: Counter[str] = Counter()
        for text in texts:
            table = self._places[text][0][0]
            if taken[table] < MOST:
                taken[table] += 1
                yield text


def similarity(a: Shingles, b: Shingles) -> float:
    """Share of shingles that both have among those that either has."""
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)


def _sketch(hashes: Shingles, like: Any = None) -> Any:
    from datasketch import MinHash

    permutations = None if like is None else like.permutations
    sketch = MinHash(PERMUTATIONS, hashfunc=int, permutations=permutations, scheme="affine32")
    sketch.update_batch(hashes.tolist())
    return sketch


def passage(text: str, other: str) -> str:
    """The longest run of words that two texts have in common, as the first one writes it."""
    spans = [match.span() for match in WORD.finditer(text)][:LONGEST]
    words = [text[begin:end].lower() for begin, end in spans]
    others = [word.lower() for word in WORD.findall(other)[:LONGEST]]
    match = SequenceMatcher(None, words, others, autojunk=False).find_longest_match()
    if not match.size:
        return ""
    begin, end = spans[match.a][0], spans[match.a + match.size - 1][1]
    return text[begin:end] if end - begin <= PASSAGE else text[begin : begin + PASSAGE] + " …"
