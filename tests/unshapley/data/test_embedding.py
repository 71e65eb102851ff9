"""Texts through a local sentence-embedding model: what a folder gives, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from unshapley.config import parse_params
from unshapley.data.embedding import embedder
from unshapley.data.preparation import prepare
from unshapley.data.tables import Schema, read_table
from unshapley.errors import InputError
from unshapley.project import Project

transformers = pytest.importorskip("transformers", reason="needs unshapley[llm]")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "sea", "is", "cold", "warm", "rain", "sun"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small BERT with random weights, saved as sentence-transformers does."""
    path = tmp_path_factory.mktemp("bert")
    (path / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
    config = transformers.BertConfig(vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=16)  # fmt: skip
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(path)
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}))  # fmt: skip
    return path


def rows(project: Project, folder, texts) -> None:
    for provider, notes in texts.items():
        project.raw.mkdir(parents=True, exist_ok=True)
        frame = pd.DataFrame({"note": notes, "label": ["yes", "no"] * (len(notes) // 2)})
        frame.to_csv(project.raw / f"{provider}.csv", index=False)
    columns = {"source": "files", "label": "label", "columns": {"note": "embedding"}, "embedding": str(folder)}  # fmt: skip
    prepare(project, parse_params({"prepare": columns}, "test"))


def notes(seed):
    rng = np.random.default_rng(seed)
    return [f"the {' '.join(rng.choice(WORDS[4:], 9))}" for _ in range(40)]


def test_a_text_becomes_what_the_model_says_whatever_others_write(folder, tmp_path):
    alone, together = Project(tmp_path / "alone"), Project(tmp_path / "together")
    rows(alone, folder, {"a": notes(0), "b": notes(1)})
    rows(together, folder, {"a": notes(0), "b": notes(1), "c": [*notes(2)[:38], "sun " * 40, "rain"]})  # fmt: skip
    assert read_table(alone.partition("a")).equals(read_table(together.partition("a")))
    schema = Schema.load(alone.schema)
    assert schema.features == tuple(f"note#{i}" for i in range(8))
    assert sum("model.safetensors" in name for name in schema.sources) == 1
    found = read_table(alone.partition("a"))[list(schema.features)].to_numpy()
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    model = transformers.AutoModel.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = notes(0)[0]
    with torch.no_grad():
        mean = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
    expected = (mean / mean.norm()).numpy()
    assert np.allclose(embedder(folder).vectors([text])[text], expected, atol=1e-6)


def test_what_is_no_such_model_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        embedder(tmp_path / "none")
    other = tmp_path / "other"
    other.mkdir()
    for name in ("tokenizer.json", "model.safetensors"):
        (other / name).write_bytes((folder / name).read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "own.py"}}))
    with pytest.raises(InputError, match="wants to run code of its own"):
        embedder(other)
    (other / "config.json").write_text(json.dumps(config))
    (other / "1_Pooling").mkdir()
    (other / "1_Pooling/config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(InputError, match="pools by pooling_mode_max_tokens"):
        embedder(other)
    (other / "model.safetensors").write_bytes(b"no tensors")
    (other / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}')
    with pytest.raises(InputError, match="cannot be loaded"):
        embedder(other)


def test_a_column_to_embed_needs_a_model(tmp_path):
    project = Project(tmp_path)
    project.raw.mkdir(parents=True)
    for name in "ab":
        pd.DataFrame({"note": notes(3), "label": ["yes", "no"] * 20}).to_csv(project.raw / f"{name}.csv", index=False)  # fmt: skip
    stated = {"source": "files", "label": "label", "columns": {"note": "embedding"}}
    with pytest.raises(InputError, match=r"embedding: column 'note' is to be embedded"):
        prepare(project, parse_params({"prepare": stated}, "test"))
