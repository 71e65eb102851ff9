"""Weights of the user's own, and files that only look like them."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from unshapley.errors import InputError
from unshapley.models.building import build
from unshapley.models.checkpoints import load_weights


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))


STATE = net(1).state_dict()


@pytest.mark.parametrize(
    ("content", "altered"),
    [
        (STATE, ""),
        ({"state_dict": STATE, "optimizer": {"lr": 0.1}, "epoch": 3}, ""),
        ({f"module.{name}": tensor for name, tensor in STATE.items()}, "'module.' was taken off"),
        ({name: tensor.double() for name, tensor in STATE.items()}, "0.weight is torch.float64"),
    ],
)
def test_weights_are_read_as_training_loops_save_them(tmp_path, content, altered):
    torch.save(content, tmp_path / "net.pt")
    module = net()
    notes = load_weights(module, tmp_path / "net.pt")
    assert all(torch.equal(t, STATE[name]) for name, t in module.state_dict().items())
    assert altered in "\n".join(notes)
    assert bool(notes) == bool(altered)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (type(self.path).touch, (self.path,))


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.safetensors"])
@pytest.mark.parametrize(
    "write", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))]
)
def test_a_file_that_runs_code_is_refused_unrun(tmp_path, name, write):
    write({"0.weight": Bomb(tmp_path / "ran")}, tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: (holds more than tensors|not readable)"):
        load_weights(net(), tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": torch.ones(3, 4)}, r"tensor '0\.weight' has shape \(3, 4\)\n.*\(5, 4\)"),
        ({"2.bias": torch.tensor([0.0, torch.nan])}, r"tensor '2\.bias' holds NaN"),
        ({"more": torch.ones(1)}, "tensor 'more' is not part of the architecture"),
        ({"0.bias": torch.ones(5, dtype=torch.int64)}, r"tensor '0\.bias' is torch\.int64"),
    ],
)  # fmt: skip
def test_the_first_tensor_that_does_not_fit_is_named(tmp_path, change, message):
    save_file({**STATE, **change}, tmp_path / "net.safetensors")
    with pytest.raises(InputError, match=message):
        load_weights(net(), tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list"),
        ({"epoch": 3}, "'epoch' is no tensor but a int"),
        (net(), "holds more than tensors"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(InputError, match=message):
        load_weights(net(), tmp_path / "net.pt")


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_a_truncated_file_is_refused(tmp_path, kind):
    path = tmp_path / f"net.{kind}"
    (save_file if kind == "safetensors" else torch.save)(STATE, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="not readable as safetensors|is damaged"):
        load_weights(net(), path)


@pytest.mark.parametrize(
    ("name", "message"), [("none.pt", "no such file"), ("net.onnx", "'.onnx' is none"), (".", "Hugging Face")]
)  # fmt: skip
def test_what_is_not_there_or_of_another_kind(tmp_path, name, message):
    (tmp_path / "net.onnx").touch()
    with pytest.raises(InputError, match=message):
        load_weights(net(), tmp_path / name)


class Own(nn.Module):
    """Knows its sizes itself, and has one output for two classes."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def test_one_output_for_two_classes_is_a_logit_for_the_second():
    sizes = {"in_features": 4, "classes": 2, "kwargs": {"width": 5}, "seed": 0}
    model = build(f"{__name__}:Own", **sizes, as_it_is=True)
    x = torch.randn(6, 4)
    probability = torch.softmax(model(x), dim=1)[:, 1]
    torch.testing.assert_close(probability, torch.sigmoid(model.wrapped(x))[:, 0])
    with pytest.raises(InputError, match=r"\(rows, 3\)"):
        build(f"{__name__}:Own", **sizes | {"classes": 3}, as_it_is=True)
