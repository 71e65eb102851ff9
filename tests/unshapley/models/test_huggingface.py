import json
import warnings
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from unshapley.config import PretrainSettings
from unshapley.curvature.text_store import with_text_statistics
from unshapley.data.windows import windows
from unshapley.errors import InputError
from unshapley.game.game import Game
from unshapley.game.measuring import measure
from unshapley.game.utilities import build_utilities
from unshapley.models.batching import is_batchable
from unshapley.models.building import build, source_of_architecture
from unshapley.models.fitting import fit
from unshapley.unlearning import build_unlearner

transformers = pytest.importorskip("transformers", reason="needs unshapley[llm]")
peft = pytest.importorskip("peft", reason="needs unshapley[llm]")
NAME = "unshapley.models:huggingface"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("llama")
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=8, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=16,
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(path)
    return path


def made(folder, context=8, vocabulary=32, **kwargs):
    kwargs = {"folder": str(folder), **kwargs}
    return build(NAME, in_features=context, classes=vocabulary, kwargs=kwargs, seed=0, text=True)


def test_it_answers_as_transformers_does_and_only_adapters_are_of_its_state(folder):
    model = made(folder, adapters=2)
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder)
    x = torch.arange(16).view(2, 8).int()
    with torch.no_grad():
        expected = plain(input_ids=x.long()).logits[..., :32]
        torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-4)
    assert is_batchable(model)
    assert all("lora" in name for name in model.state_dict())
    assert {*model.state_dict()} == {name for name, _ in model.named_parameters()}


def test_copies_share_the_base_in_double_precision_too(folder):
    double = deepcopy(made(folder, adapters=2)).double()
    base = {tensor.data_ptr() for tensor in double.buffers()}
    assert base == {tensor.data_ptr() for tensor in deepcopy(double).buffers()}
    named = dict(double.named_buffers(remove_duplicate=False))
    head, tokens = (
        next(tensor for name, tensor in named.items() if part in name)
        for part in ("lm_head.weight", "embed_tokens.weight")
    )
    assert head.dtype == torch.float64
    assert head is tokens  # tied ones stay so


def test_without_adapters_all_of_it_is_trained(folder, caplog):
    model = made(folder, adapters=None)
    assert any(name.endswith("embed_tokens.weight") for name in model.state_dict())
    assert "apart from those of the tokens" in caplog.text


def test_adapters_of_several_providers_are_trained_and_forgotten_together(folder):
    rng = np.random.default_rng(0)

    def rows(word, count):
        x, y = windows([[word + int(rng.integers(3)) for _ in range(7)] for _ in range(count)], 8)
        return torch.from_numpy(x), torch.from_numpy(y)

    parts = {f"p{i}": rows(3 * i + 1, 4) for i in range(3)}
    recipe = PretrainSettings(
        architecture=NAME, kwargs={"folder": str(folder), "adapters": 2}, steps=10,
        optimizer="adamw", learning_rate=0.01,
    )  # fmt: skip
    test = rows(1, 4)
    pretrained = replace(fit(recipe, parts, rows(1, 2), outputs=32), test=test)
    game = Game((*parts,), (*parts,), with_text_statistics(pretrained, parts), *test)
    utilities = build_utilities(["log_likelihood"], "language-model")
    coalitions = ~np.eye(3, dtype=bool)
    for name in ("retrain", "ekfac", "ekfac_ngram", "short_retrain"):
        found = measure(game, build_unlearner(name), coalitions, utilities)["log_likelihood"]
        assert found[0] == min(found), name  # the test set is of p0's words


def test_the_weights_that_it_reads_are_part_of_the_models_identity(folder, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    same, other = ({"folder": str(path)} for path in (folder, copy))
    assert source_of_architecture(NAME, same) == source_of_architecture(NAME, other)
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert source_of_architecture(NAME, same) != source_of_architecture(NAME, other)


def test_another_vocabulary_and_a_shorter_context_are_refused(folder):
    with pytest.raises(InputError, match="knows 40 tokens, the tokenizer of the data 50"):
        made(folder, vocabulary=50)
    with pytest.raises(InputError, match="reads 16 tokens, a row of the data has 17"):
        made(folder, context=17)


def test_a_folder_that_would_run_code_is_refused(folder, tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(InputError, match=r"holds weights as \.bin, which can run code"):
        made(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    config = json.loads((folder / "config.json").read_text())
    remote = {"auto_map": {"AutoModelForCausalLM": "code.Model"}}
    (tmp_path / "config.json").write_text(json.dumps({**config, **remote}))
    with pytest.raises(InputError, match="wants code of its own"):
        made(tmp_path)


def test_a_folder_that_is_none_or_damaged_is_named(folder, tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        made(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no weights"):
        made(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(InputError, match="cannot be read as a causal language model"):
        made(tmp_path)
    with pytest.raises(InputError, match="no adapters can be added"):
        made(folder, layers=["nothing_like_it"])
    with pytest.raises(InputError, match=r"kwargs.adapters: adapters of rank -1"):
        made(folder, adapters=-1)
    with pytest.raises(InputError, match="'adapter'\n  expected: folder, adapters, scale"):
        made(folder, adapter=4)


def test_tensors_that_are_missing_are_not_drawn_at_random(folder, tmp_path):
    state = load_file(folder / "model.safetensors")
    state.pop("model.layers.0.mlp.up_proj.weight")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lacks 1 of the model's tensors: .*up_proj"):
        made(tmp_path)


def test_adapters_are_no_base_though_transformers_would_load_them_over_theirs(folder, tmp_path):
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # peft's own
        model = peft.get_peft_model(
            transformers.AutoModelForCausalLM.from_pretrained(folder),
            peft.LoraConfig(r=2, target_modules=["q_proj"]),
        )
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"holds adapters \(adapter_config.json\)"):
        made(tmp_path)
