import json
import pickle
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from unshapley.config import PretrainSettings
from unshapley.errors import InputError
from unshapley.game.loading import load_game
from unshapley.models import training
from unshapley.models.architectures import mlp
from unshapley.models.batches import FullBatch
from unshapley.models.building import build
from unshapley.models.fitting import fit
from unshapley.models.layers import output_layer
from unshapley.models.store import CHECKPOINT, ModelRecord
from unshapley.models.tensors import fit_state, load_state, save_state
from unshapley.models.training import stack, train

HASH = "0" * 64


def make(seed: int = 0, **kwargs) -> nn.Module:
    return build(
        "unshapley.models:mlp",
        in_features=4,
        classes=3,
        kwargs={"hidden": [5], **kwargs},
        seed=seed,
    )


def test_the_seed_fixes_the_initial_weights():
    assert torch.equal(make(1).head.weight, make(1).head.weight)
    assert not torch.equal(make(1).head.weight, make(2).head.weight)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("nowhere:mlp", "cannot be imported"),
        ("unshapley.models:nothing", "cannot be imported"),
        ("just_a_name", "cannot be imported"),
        ("builtins:dict", "gave a dict"),
    ],
)
def test_an_architecture_that_is_none_is_named(architecture, message):
    with pytest.raises(InputError, match=message):
        build(architecture, in_features=4, classes=3, kwargs={}, seed=0)


def test_wrong_kwargs_are_named():
    with pytest.raises(InputError, match="cannot be built.*width"):
        make(width=3)


def test_equal_states_give_equal_bytes(tmp_path):
    save_state(make().state_dict(), tmp_path / "a.safetensors")
    save_state(make().state_dict(), tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_the_first_tensor_that_does_not_fit_is_named(tmp_path):
    with pytest.raises(InputError, match=r"tensor 'hidden\.0\.weight' has shape \(5, 4\)"):
        fit_state(mlp(4, 3, [6]), make().state_dict(), tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    state = make().state_dict()
    state["head.bias"][0] = torch.nan
    with pytest.raises(InputError, match=r"'head\.bias' holds NaN"):
        fit_state(make(), state, tmp_path)


def test_a_pickled_checkpoint_is_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="pickled checkpoints are never opened"):
        load_state(path, HASH)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_checkpoint_is_refused(project, damage):
    path = project.model / CHECKPOINT
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[:-100]
    else:
        content[-5] ^= 1
    path.write_bytes(content)
    expected = "not readable as safetensors" if damage == "truncated" else "not the recorded file"
    with pytest.raises(InputError, match=rf"checkpoint\.safetensors: .*{expected}"):
        load_game(project, tuple(project.providers()))


def test_another_architecture_than_the_recorded_is_refused(project):
    record = ModelRecord.load(project.model)
    wider = record.recipe.model_copy(update={"kwargs": {"hidden": [9]}})
    record.model_copy(update={"recipe": wider}).save(project.model)
    with pytest.raises(InputError, match=r"tensor 'hidden\.0\.weight' has shape \(8, 64\)"):
        load_game(project, tuple(project.providers()))


def test_a_model_that_misses_its_recorded_score_is_refused(project):
    record = ModelRecord.load(project.model)
    record.model_copy(update={"score": {"accuracy": 0.123}}).save(project.model)
    with pytest.raises(InputError, match=r"expected: the recorded 0\.123"):
        load_game(project, tuple(project.providers()))


def test_a_record_from_before_there_were_optimizers_is_read(project):
    record = ModelRecord.load(project.model)
    assert record.steps == record.recipe.steps
    assert record.convergence.noise > 0
    content = json.loads((project.model / "model.json").read_text())
    del content["steps"], content["convergence"]
    for key in ("optimizer", "momentum", "batch_size", "schedule", "warmup", "patience"):
        del content["recipe"][key]
    (project.model / "model.json").write_text(json.dumps(content))
    game = load_game(project, tuple(project.providers()))
    assert game.record == record.model_copy(update={"steps": None, "convergence": None})


def test_the_output_layer_is_the_one_that_gives_the_logits():
    x = torch.randn(7, 4)
    name, features = output_layer(make(), x)
    assert (name, features.shape) == ("head", (7, 5))
    with pytest.raises(InputError, match=r"does not end in a torch\.nn\.Linear"):
        output_layer(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), x)


def test_rows_in_blocks_train_the_same_model(monkeypatch):
    torch.manual_seed(0)
    model = mlp(6, 3, (5,))
    x, y = torch.randn(2, 50, 6), torch.randint(0, 3, (2, 50))
    weights = torch.ones(2, 50)
    weights[1, 40:] = 0
    options = {"steps": 20, "learning_rate": 0.02, "weight_decay": 0.01}
    start = stack(dict(model.state_dict()), 2)
    rows = FullBatch.weighted(x, y, weights)
    whole = train(model, start, rows, **options)
    monkeypatch.setattr(training, "LARGEST_ACTIVATION", 7 * 5 * 4)
    assert training.rows_of_block(model, start, x) == 7
    blocks = train(model, start, rows, **options)
    for name, tensor in whole.items():
        torch.testing.assert_close(blocks[name], tensor, rtol=1e-4, atol=1e-5)


def test_the_weights_early_in_training_are_those_of_a_shorter_training():
    generator = torch.Generator().manual_seed(0)
    rows = (torch.randn(30, 4, generator=generator), torch.arange(30) % 3)
    recipe = PretrainSettings(steps=20, rewind=0.25)
    counted = []
    long = fit(recipe, {"a": rows}, rows, outputs=3, progress=counting(counted))
    short = fit(recipe.model_copy(update={"steps": 5}), {"a": rows}, rows, outputs=3)
    assert sum(counted) == 20
    for name, tensor in short.trained.items():
        assert torch.equal(long.rewind[name], tensor)


def counting(counted: list[int]):
    @contextmanager
    def progress(total: int):
        assert total == 20
        yield counted.append

    return progress
