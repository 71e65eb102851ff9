"""Programs of torch.export: the same outputs, and nothing of a file is run but listed operators."""

import io
import json
import random
import zipfile

import pytest
import torch
from torch import nn

from unshapley.errors import InputError
from unshapley.models.batching import is_batchable
from unshapley.models.building import usable
from unshapley.models.exported import Program, program
from unshapley.models.exported_reading import read_program


class Picture(nn.Module):
    """Reshapes by the number of rows, in place, with noise that evaluation leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 3, 3), nn.LayerNorm(12)
        self.noise, self.head = nn.Dropout(0.5), nn.Linear(12, 3)

    def forward(self, x):
        h = torch.relu_(self.norm(self.first(x.view(x.shape[0], 1, 4, 4)).flatten(1)))
        return self.head(self.noise(h)) * torch.tensor([1.0, 2.0, 0.5])


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 5), nn.GELU(), nn.Linear(5, 3, bias=False), nn.Softplus())


def exported(module: nn.Module, path, *, training: bool = False):
    rows = {"x": {0: torch.export.Dim("rows")}}
    if isinstance(module, nn.Sequential):
        rows = {"input": rows["x"]}
    module.train(training)
    torch.export.save(torch.export.export(module, (torch.zeros(2, 16),), dynamic_shapes=rows), path)
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    module = Picture().eval()
    return module, exported(module, tmp_path_factory.mktemp("exported") / "net.pt2")


@pytest.mark.parametrize("make", [Picture, plain])
def test_it_computes_what_the_module_does_for_many_models_at_once(tmp_path, make):
    module = make().eval()
    graph, state = read_program(exported(module, tmp_path / "net.pt2"))
    found = program(json.loads(json.dumps(graph, sort_keys=True)))  # as model.json keeps it
    found.load_state_dict(state)
    x = torch.randn(7, 16)
    assert torch.equal(found(x), module(x))
    model = usable(found, "net.pt2", 16, 3)
    assert is_batchable(model)
    assert {n for n, _ in model.named_parameters()} == {n for n, _ in module.named_parameters()}


def test_weights_are_drawn_as_layers_draw_them(saved):
    graph, _ = read_program(saved[1])
    torch.manual_seed(3)
    first, second = program(graph), program(graph)
    assert not torch.equal(first.head.weight, second.head.weight)
    assert torch.equal(first.norm.weight, torch.ones(12))
    assert not first.norm.bias.any()
    for name in ("weight", "bias"):
        assert 0.1 < getattr(first.first, name).abs().max() <= 1 / 3
    assert isinstance(first.head, nn.Linear)


def changed(saved, tmp_path, entry: str, change) -> object:
    """The file with one entry altered."""
    path = tmp_path / "changed.pt2"
    with zipfile.ZipFile(saved[1]) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name.endswith(entry) else content)
    return path


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (type(self.path).touch, (self.path,))


def bomb(ran) -> bytes:
    content = io.BytesIO()
    torch.save({"x": Bomb(ran)}, content)
    return content.getvalue()


def test_what_torch_would_unpickle_is_not_opened(saved, tmp_path):
    ran = tmp_path / "ran"
    read_program(changed(saved, tmp_path, "sample_inputs/model.pt", lambda _: bomb(ran)))
    pickled = changed(
        saved,
        tmp_path,
        "weights_config.json",
        lambda c: c.replace(b'"use_pickle": false', b'"use_pickle": true'),
    )
    with pytest.raises(InputError, match="pickles are not opened"):
        read_program(pickled)
    objects = changed(
        saved,
        tmp_path,
        "constants_config.json",
        lambda _: json.dumps(
            {
                "config": {
                    "c": {
                        "path_name": "opaque_obj_0",
                        "use_pickle": True,
                        "is_param": False,
                        "tensor_meta": None,
                    }
                }
            }
        ).encode(),
    )
    with pytest.raises(InputError, match="'c' is pickled"):
        read_program(objects)
    assert not ran.exists()


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.from_file.default",
        "torch.os.system",
        "torch.ops.aten.relu.__class__",
        "torch.ops.aten.rand_like.default",
        "_operator.add",
    ],
)
def test_other_operators_are_refused_by_name(saved, tmp_path, target):
    path = changed(
        saved, tmp_path, "models/model.json",
        lambda c: c.replace(b"torch.ops.aten.relu_.default", target.encode()),
    )  # fmt: skip
    with pytest.raises(InputError, match=f"the program computes by {target}"):
        read_program(path)
    graph, _ = read_program(saved[1])
    graph["nodes"][0][0] = target
    with pytest.raises(InputError, match="is no operator of a network"):
        Program(graph)


def test_noise_and_normalisation_by_batches_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"aten\.dropout\.default in training"):
        read_program(exported(Picture(), tmp_path / "noisy.pt2", training=True))
    norm = nn.Sequential(nn.Linear(16, 4), nn.BatchNorm1d(4))
    with pytest.raises(InputError, match=r"computes by torch\.ops\.aten\.\w*batch_norm"):
        read_program(exported(norm, tmp_path / "norm.pt2"))


@pytest.mark.parametrize("damage", ["truncated", "no archive", "compressed"])
def test_a_damaged_file_is_refused(saved, tmp_path, damage):
    path = tmp_path / "damaged.pt2"
    content = saved[1].read_bytes()
    if damage == "compressed":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("net/models/model.json", "{}" * 10**6)
    else:
        path.write_bytes(content[:-300] if damage == "truncated" else b"no archive")
    with pytest.raises(InputError, match="or damaged|holds 0 programs|is compressed"):
        read_program(path)


def places(content, path=()):
    """Where a piece of JSON can be altered."""
    if path:
        yield path
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, part in items:
        if key == "metadata":
            continue
        if isinstance(part, dict | list):
            yield from places(part, (*path, key))
        else:
            yield (*path, key)


@pytest.mark.parametrize("entry", ["models/model.json", "weights/model_weights_config.json"])
def test_a_forged_program_gives_an_error_and_no_traceback(saved, tmp_path, entry):
    rng, refused = random.Random(0), 0
    for _ in range(60):
        forged = rng.choice([None, -1, 10**12, "x", "first.weight", [], {}, True, {"as_int": 3}])

        def alter(content, forged=forged):
            content = json.loads(content)
            *path, last = rng.choice(list(places(content)))
            part = content
            for key in path:
                part = part[key]
            part[last] = forged
            return json.dumps(content)

        try:
            graph, state = read_program(changed(saved, tmp_path, entry, alter))
            module = program(graph)
            module.load_state_dict(state)
            usable(module, "net.pt2", 16, 3)
        except InputError:
            refused += 1
    assert refused > 10
