import json

import pytest

from unshapley.config import parse_params
from unshapley.data.tokenizing import trained
from unshapley.errors import InputError
from unshapley.models.huggingface_folders import ARCHITECTURE
from unshapley.models.own_tokens import check_base, check_tokens

TEXTS = ["the snow falls on the river and the river falls into the sea"] * 3


@pytest.fixture
def folder(tmp_path):
    """As far as the checks read one: no weights, and a tokenizer of its own."""
    path = tmp_path / "base"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").touch()
    (path / "tokenizer.json").write_text(trained(TEXTS, 270).content)
    return path


def settings(folder, tokenizer=None):
    return parse_params(
        {
            "prepare": {
                "source": "files", "task": "language-model", "documents": {"tokenizer": tokenizer}
            },
            "pretrain": {"architecture": ARCHITECTURE, "kwargs": {"folder": str(folder)}},
            "valuation": {"utilities": ["log_likelihood"]},
        },
        "test",
    )  # fmt: skip


def test_a_base_reads_its_own_tokens_only(folder, tmp_path):
    check_base(settings(folder, "base"), tmp_path)
    with pytest.raises(InputError, match=r"documents.tokenizer: is not set(.|\n)*do: set it to /"):
        check_base(settings(folder), tmp_path)
    other = tmp_path / "other.json"
    other.write_text(trained(["wool and cotton, cotton and wool"] * 3, 266).content)
    with pytest.raises(InputError, match=r"gives 9 of its 266 tokens another number"):
        check_base(settings(folder, "other.json"), tmp_path)


def test_a_tokenizer_with_a_mark_more_is_still_its_own(folder, tmp_path):
    content = json.loads((folder / "tokenizer.json").read_text())
    mark = dict(content["added_tokens"][0], id=270, content="<pad>")
    content["added_tokens"].append(mark)
    padded = tmp_path / "padded.json"
    padded.write_text(json.dumps(content))
    check_tokens(folder, padded)


def test_a_folder_without_a_tokenizer_leaves_the_choice(folder, tmp_path):
    (folder / "tokenizer.json").unlink()
    check_base(settings(folder), tmp_path)


def test_a_folder_that_is_not_named_or_not_there(tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        check_base(settings(tmp_path / "none"), tmp_path)
    with pytest.raises(InputError, match="folder is ''"):
        check_base(settings(""), tmp_path)
