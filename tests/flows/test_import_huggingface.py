import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from flows.importing import import_model as import_checked
from flows.importing import source_of
from unshapley.config import Params
from unshapley.data.preparation import prepare
from unshapley.errors import InputError
from unshapley.game.importing import import_model
from unshapley.game.loading import load_game
from unshapley.game.measuring import measure
from unshapley.project import Project
from unshapley.unlearning import build_unlearner

transformers = pytest.importorskip("transformers", reason="needs unshapley[llm]")
peft = pytest.importorskip("peft", reason="needs unshapley[llm]")
PARAMS = Params.model_validate(
    {
        "prepare": {
            "source": "files", "task": "language-model",
            "documents": {"vocabulary": 260, "context": 8},
        },
        "valuation": {"utilities": ["log_likelihood"]},
    }
)  # fmt: skip


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path / "project")
    for provider, word in (("north", "snow "), ("south", "sand "), ("west", "rain ")):
        for i in range(8):
            path = project.raw / provider / f"{i}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{word * 4}{i} {word}")
    prepare(project, PARAMS)
    return project


@pytest.fixture
def base(tmp_path):
    config = transformers.LlamaConfig(
        vocab_size=270, hidden_size=8, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=16,
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def trained(model, project, folder):
    """Trained on all partitions by its own library's loss, and saved."""
    rows = pd.concat([pd.read_parquet(project.partition(p)) for p in project.providers()])
    tokens = torch.tensor(np.stack([row[:8] for row in rows["tokens"]])).long()
    adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(30):
        adam.zero_grad()
        model(input_ids=tokens, labels=tokens).loss.backward()
        adam.step()
    model.save_pretrained(folder)


def imported(project, folder, **options):
    source = source_of(folder, PARAMS.pretrain, text=True, **options)
    return import_model(project, PARAMS, source)


def test_adapters_of_peft_are_valued_over_their_base(project, base, tmp_path):
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        model = peft.get_peft_model(
            model, peft.LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj", "v_proj"])
        )
    trained(model, project, tmp_path / "tuned")
    found = imported(project, tmp_path / "tuned", accept_score=True)
    assert next(s for s in found.scores if s.utility == "log_likelihood").beats_constant in (
        True,
        False,
    )
    assert found.scores[0].test > found.scores[0].initial
    assert "U(none) is that of the base of the adapters, base;" in found.record.imported.sentence()
    game = load_game(project, project.providers(), "curvature", utilities=["log_likelihood"])
    x = game.test_x
    with torch.no_grad():
        expected = model.eval()(input_ids=x.long()).logits[..., :260]
        torch.testing.assert_close(game.pretrained.model(x), expected, atol=1e-4, rtol=1e-3)
        plain = transformers.AutoModelForCausalLM.from_pretrained(base)(input_ids=x.long()).logits[
            ..., :260
        ]
    initial = torch.func.functional_call(game.pretrained.model, game.pretrained.initial, (x,))
    torch.testing.assert_close(initial, plain, atol=1e-4, rtol=1e-3)
    utilities = measure(
        game, build_unlearner("ekfac_ngram"), ~np.eye(3, dtype=bool), game.utilities
    )
    assert np.isfinite(utilities["log_likelihood"]).all()


def test_a_base_of_other_tokens_is_refused(project, base, tmp_path):
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        model = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"]))
    model.save_pretrained(tmp_path / "tuned")
    content = json.loads(project.tokenizer.read_text())
    vocabulary = content["model"]["vocab"]
    numbers = {token: len(vocabulary) - n for token, n in vocabulary.items() if n}
    content["model"]["vocab"] = {**vocabulary, **numbers}
    (base / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="another number than the model's own tokenizer"):
        import_checked(project, PARAMS, source_of(tmp_path / "tuned", PARAMS.pretrain, text=True))


def test_a_whole_model_needs_what_it_was_before(project, base, tmp_path):
    trained(transformers.AutoModelForCausalLM.from_pretrained(base), project, tmp_path / "tuned")
    with pytest.raises(InputError, match="weights before training are not stated"):
        imported(project, tmp_path / "tuned")
    found = imported(project, tmp_path / "tuned", initial=base, accept_score=True)
    assert found.scores[0].test > found.scores[0].initial


def test_folders_that_do_not_hold_a_model_are_refused(project, base, tmp_path):
    with pytest.raises(InputError, match="no folder of a model"):
        imported(project, tmp_path)
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="adapters belong to None, which is no folder here"):
        imported(project, tmp_path)
    config["base_model_name_or_path"] = str(base)
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"adapter_model.safetensors is missing"):
        imported(project, tmp_path)


def test_adapters_of_another_base_name_the_tensor_that_does_not_fit(project, base, tmp_path):
    wide = transformers.LlamaConfig(
        vocab_size=270, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1,
    )  # fmt: skip
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        model = peft.get_peft_model(
            transformers.AutoModelForCausalLM.from_config(wide),
            peft.LoraConfig(r=2, target_modules=["q_proj"]),
        )
    model.save_pretrained(tmp_path / "tuned")
    with pytest.raises(InputError, match="lora_A"):
        imported(project, tmp_path / "tuned", kwargs=json.dumps({"folder": str(base)}))
