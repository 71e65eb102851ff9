"""Whether the tokens of the data mean to a model of Hugging Face's what they meant in its training:
with other numbers it reads other words, gives values all the same, and nobody would see it.
"""

from __future__ import annotations

from pathlib import Path

from unshapley.config import Params
from unshapley.data.tables import TEXT
from unshapley.data.tokenizing import KEY, file_of, numbers_of
from unshapley.errors import InputError
from unshapley.files import sha256
from unshapley.models.huggingface import check_folder, folder_of
from unshapley.models.huggingface_folders import ARCHITECTURE

NEW = 0.01
"""Share of the tokens that may be new to a folder's tokenizer: padding, marks of turns."""


def check_base(params: Params, root: Path) -> None:
    """Raise `InputError` where section pretrain names a folder of Hugging Face that cannot be used,
    or section prepare a tokenizer that is not its own.

    root: where the path of a tokenizer starts.
    """
    if not is_based(params):
        return
    folder, named = folder_of(params.pretrain.kwargs), params.prepare.documents.tokenizer
    check_folder(folder)
    if named is not None:
        check_tokens(folder, file_of(root / named))
    elif (folder / "tokenizer.json").is_file():
        raise InputError(
            f"is not set, and the model of {folder} was trained on the tokens of its own",
            where=KEY,
            expected="the model's own tokenizer, not one that is trained on these documents",
            do=f"set it to {folder.resolve()}",
        )


def is_based(params: Params) -> bool:
    """Whether section pretrain names a folder of Hugging Face."""
    return params.prepare.task == TEXT and params.pretrain.architecture == ARCHITECTURE


def check_tokens(folder: Path, tokenizer: Path) -> None:
    """Raise `InputError` where this tokenizer.json numbers tokens otherwise than that of the model
    in a folder, if it holds one.
    """
    own = folder / "tokenizer.json"
    if not own.is_file() or sha256(own) == sha256(tokenizer):
        return
    numbers, meant = numbers_of(tokenizer), numbers_of(own)
    others = [token for token, number in numbers.items() if meant.get(token) != number]
    if len(others) <= NEW * len(numbers) and not any(token in meant for token in others):
        return
    raise InputError(
        f"gives {len(others)} of its {len(numbers)} tokens another number than the model's own "
        f"tokenizer, so that the model would read other words: {min(others)!r} for one",
        where=tokenizer,
        expected=f"the tokens of {own}",
        do=f"set {KEY}: {folder.resolve()}, and run `unshapley prepare`",
    )
