"""Columns of text as numbers: what a local sentence-embedding model makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unshapley.errors import InputError
from unshapley.files import read_json, sha256

WHERE = "prepare.embedding"
EXPECTED = (
    "a local folder as sentence-transformers saves it: config.json, tokenizer.json and "
    "model.safetensors"
)
READ = (
    "config.json",
    "tokenizer.json",
    "model.safetensors",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
)
"""Files that decide what a text becomes; those that a folder has are hashed."""
MEAN, FIRST = "pooling_mode_mean_tokens", "pooling_mode_cls_token"


Vectors = Mapping[str, NDArray[np.float32]]
"""The vector `(width,)` of each text."""


@dataclass(frozen=True)
class Embedder:
    """A model of transformers that turns a text into a vector of length 1.

    model, tokenizer: transformers'; first: the first token's vector, else the mean of all; longest:
    tokens that are read of a text.
    """

    model: Any
    tokenizer: Any
    first: bool
    longest: int

    def vectors(self, texts: Iterable[str]) -> Vectors:
        """Each text goes through the model alone, so that it becomes the same whatever other texts
        there are: nobody's words have a say in another's rows.
        """
        return {text: self._vector(text) for text in sorted(set(texts))}

    def _vector(self, text: str) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            tokens = self.tokenizer(
                text, truncation=True, max_length=self.longest, return_tensors="pt"
            )
            states = self.model(**tokens).last_hidden_state[0]
            vector = states[0] if self.first else states.mean(dim=0)
            unit = torch.nn.functional.normalize(vector, dim=0)
        return np.asarray(unit.numpy(), dtype=np.float32)


def embedder(folder: Path) -> Embedder:
    """The model of a folder. No code of it is run, no pickle is opened, nothing is fetched.

    Raises `InputError` where it is none, wants code of its own, or pools in another way.
    """
    files = embedding_files(folder)
    pooling = _pooling(folder)
    try:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging as of_transformers
    except ImportError:
        raise InputError(
            "the package transformers is not installed",
            where=WHERE,
            do="pip install 'unshapley[llm]'",
        ) from None
    of_transformers.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with quiet(of_transformers):
            model, report = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # noqa: BLE001 (the library raises whatever its parts raise)
        raise InputError(
            f"cannot be loaded: {str(error).splitlines()[0]}", where=folder, expected=EXPECTED
        ) from None
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:  # which transformers would draw at random; the pooler is not asked
        raise InputError(
            f"lacks {len(missing)} of the model's tensors: {missing[0]}",
            where=folder,
            expected=EXPECTED,
            do="save the model again",
        )
    limits = "sentence_bert_config.json"
    stated = read_json(folder / limits, do="correct it") if limits in files else {}
    most = int(getattr(model.config, "max_position_embeddings", 512))
    longest = int(stated.get("max_seq_length") or most)
    return Embedder(model.eval(), tokenizer, pooling == FIRST, longest)


@contextmanager
def quiet(of_transformers: Any) -> Iterator[None]:
    """Without the tables that transformers prints of tensors: what of them matters is an error."""
    before = of_transformers.get_verbosity()
    of_transformers.set_verbosity_error()
    try:
        yield
    finally:
        of_transformers.set_verbosity(before)


def embedding_files(folder: Path) -> dict[str, str]:
    """Hex SHA-256 of the files that decide, by name; `InputError` where one is missing."""
    found = {name: folder / name for name in READ if (folder / name).is_file()}
    missing = [name for name in READ[:3] if name not in found]
    if missing:
        raise InputError(
            f"holds no {missing[0]}" if folder.is_dir() else "there is no such folder",
            where=f"{WHERE}: {folder}",
            expected=EXPECTED,
            do="save it so: SentenceTransformer(NAME).save_pretrained(FOLDER)",
        )
    if "auto_map" in read_json(folder / "config.json", do="save the model again"):
        raise InputError(
            "wants to run code of its own (auto_map)",
            where=folder / "config.json",
            expected="a model that transformers knows",
        )
    return {name: sha256(path) for name, path in found.items()}


def _pooling(folder: Path) -> str:
    """How the vectors of a text's tokens become one; the mean where the folder does not say."""
    path = folder / "1_Pooling/config.json"
    stated: Mapping[str, Any] = read_json(path, do="correct it") if path.is_file() else {MEAN: True}
    modes = [mode for mode, on in stated.items() if mode.startswith("pooling_mode_") and on]
    if modes not in ([MEAN], [FIRST]):
        raise InputError(
            f"pools by {', '.join(modes) or 'nothing'}", where=path, expected=f"{MEAN} or {FIRST}"
        )
    return modes[0]


def embedded(name: str, texts: list[str | None], vectors: Vectors) -> pd.DataFrame:
    """Features `(rows, width)` of a column of texts; one that is missing is 0 throughout."""
    width = len(next(iter(vectors.values())))
    nothing = np.zeros(width, dtype=np.float32)
    rows = np.stack([vectors[text] if text else nothing for text in texts])
    digits = len(str(width - 1))
    return pd.DataFrame(rows, columns=[f"{name}#{i:0{digits}d}" for i in range(width)])
