"""Tokenizers: trained here, of a file, or of a Hugging Face folder."""

import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from unshapley.data.tokenizing import existing, trained
from unshapley.data.windows import windows
from unshapley.errors import InputError

TEXT = ["the people of this nation, the law of the people"] * 5


def words(*special: str) -> str:
    """A tokenizer of words, as JSON, that does not know most of them."""
    vocabulary = {name: i for i, name in enumerate(["[UNK]", "the", "people", "of", ","])}
    library = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.add_special_tokens(list(special))
    library.enable_truncation(2)
    library.enable_padding()
    return library.to_str()


def folder(tmp_path, content: str, **files):
    (tmp_path / "tokenizer.json").write_text(content)
    for name, config in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
    return tmp_path


def test_training_is_repeatable_and_knows_every_byte():
    first, second = trained(TEXT, 270), trained(TEXT, 270)
    assert first == second
    tokens = first.encode(["".join(map(chr, range(1, 3000)))])[0]
    assert 0 not in tokens
    assert max(tokens) < 270
    assert first.unknown == -1


def test_an_existing_one_keeps_its_tokens(tmp_path):
    tokenizer = existing(folder(tmp_path, words("</s>")))
    assert (tokenizer.vocabulary, tokenizer.boundary, tokenizer.unknown) == (6, 5, 0)
    texts = ["the people of law", "of"]  # neither cut nor filled, as its settings would have it
    assert [tokens.tolist() for tokens in tokenizer.encode(texts)] == [[1, 2, 3, 0], [3]]
    assert 5 not in tokenizer.encode(["the </s> people"])[0]
    x, y = windows([[1, 2]], 4, tokenizer.boundary)
    assert (x.tolist(), y.tolist()) == ([[5, 1, 2, 5]], [[1, 2, 5, -1]])
    assert existing(tmp_path / "tokenizer.json") == tokenizer


@pytest.mark.parametrize("end", ["<b>", {"content": "<b>", "lstrip": False}])
@pytest.mark.parametrize("name", ["tokenizer_config", "special_tokens_map"])
def test_the_folder_says_what_ends_documents(tmp_path, end, name):
    tokenizer = existing(folder(tmp_path, words("</s>", "<b>"), **{name: {"eos_token": end}}))
    assert tokenizer.boundary == 6


def test_code_and_pickles_of_a_folder_are_not_touched(tmp_path):
    config = {"eos_token": "</s>", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    folder(tmp_path, words("</s>"), tokenizer_config=config)
    (tmp_path / "evil.py").write_text("raise SystemExit('run')")
    (tmp_path / "vocab.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert existing(tmp_path).boundary == 5


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"holds no tokenizer.json(.|\n)*save_pretrained"),
        ({"tokenizer.json": "{"}, "is no tokenizer"),
        ({"tokenizer.json": b"\xff"}, "cannot be read"),
        ({"tokenizer.json": words()}, r"by which token a document ends(.|\n)*eos_token"),
        ({"tokenizer.json": words("</s>", "<eos>")}, "it has '</s>' and '<eos>'"),
        ({"tokenizer.json": words("</s>"), "tokenizer_config.json": "{"}, "not readable as JSON"),
    ],
)
def test_what_is_no_tokenizer_is_refused(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=message):
        existing(tmp_path)
