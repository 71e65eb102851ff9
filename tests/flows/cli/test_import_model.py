"""A model that was trained elsewhere, taken into a small project in place of pretraining."""

import json
import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from flows.cli.printing_models import print_check
from flows.preflight import foreseen, preflight
from flows.readiness import make_ready
from tests.cli import unshapley
from tests.conftest import set_params
from tests.flows.cli.test_told_early import refused
from tests.unshapley.models.test_checkpoints import Bomb
from unshapley.config import load_params
from unshapley.errors import InputError
from unshapley.files import sha256
from unshapley.game.judging import ModelScore
from unshapley.game.loading import load_game
from unshapley.game.measuring import measure, measure_endpoints
from unshapley.models.store import CHECKPOINT, INITIALISATION, REWIND, ModelRecord
from unshapley.unlearning import UNLEARNERS
from unshapley.unlearning.none import NoUnlearning
from unshapley.unlearning.retrain import RetrainUnlearner
from unshapley.valuing.model_check import ModelCheck, UnlearnerCheck, grown_by

WHOLE = nn.Linear(64, 10)


def scaled() -> nn.Module:
    """Pixels from 0 to 16, of which the loop below takes averages."""
    return nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 10))


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))


def take(project, *arguments):
    return unshapley("import-model", *arguments, "-p", project.root)


@pytest.fixture
def trained(project):
    """The project, and a model of another network, trained on its rows by a plain loop."""
    game = load_game(project, tuple(project.providers()))
    torch.manual_seed(0)
    module, rows = scaled(), game.pretrained.rows
    torch.save(module.state_dict(), project.root / "start.pt")
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(rows.x), rows.y).backward()
        optimizer.step()
    torch.save(module.state_dict(), project.root / "net.pt")
    return project, module


def test_a_model_is_taken_with_where_it_came_from_and_what_stands_for_nobody(trained):
    project, module = trained
    file, start = project.root / "net.pt", project.root / "start.pt"
    ours = ("--architecture", f"{__name__}:scaled", "--initial", start)
    done = take(project, file, *ours, "--json")
    assert done.returncode == 0, done.stderr
    told, record = json.loads(done.stdout), ModelRecord.load(project.model)
    assert told["model"] == record.imported.model_dump()
    assert (record.imported.name, record.imported.sha256) == ("net.pt", sha256(file))
    assert record.imported.initial == "the weights before training in start.pt"
    game = load_game(project, tuple(project.providers()), "curvature", utilities=["neg_log_loss"])
    none, full = measure_endpoints(game, NoUnlearning(), game.utilities).primary_utilities
    with torch.no_grad():
        loss = nn.functional.cross_entropy(module(game.test_x), game.test_y).item()
        module.load_state_dict(torch.load(start, weights_only=True))
        first = nn.functional.cross_entropy(module(game.test_x), game.test_y).item()
    assert (none, full) == (pytest.approx(-first, abs=1e-6), pytest.approx(-loss, abs=1e-6))
    assert not game.retrainable
    assert not (project.model / REWIND).exists()


def test_it_is_valued_unchecked_and_not_trained_over(trained):
    project, _ = trained
    ours = ("--architecture", f"{__name__}:scaled", "--none", "constant")
    done = take(project, project.root / "net.pt", *ours)
    assert "fidelity will be unchecked" in done.stdout
    assert re.search(r"neg_log_loss .* (-\d\.\d+) │ +\1 ", done.stdout), "U(none) is the constant's"
    set_params(project, valuation__unlearner="auto", valuation__options={}, pretrain__steps=7)
    weights = (project.model / CHECKPOINT).read_bytes()
    params = load_params(project.params)
    make_ready(project, params, pytest.fail)
    preflight(project, params)
    assert [text[:37] for text in foreseen(project, params)] == [
        "how the model was trained is not stat"
    ]
    done = unshapley("run", "-p", project.root)
    assert done.returncode == 3
    assert "how the model was trained is not stated" in done.stderr
    manifest = json.loads((project.untrusted / "manifest.json").read_text())
    assert manifest["unlearner"][1]["method"] == "newton"
    assert manifest["model"]["kind"] == "state_dict"
    assert manifest["fidelity"]["status"] == "unchecked"
    assert "The model was imported from net.pt" in (project.untrusted / "report.html").read_text()
    assert "net.pt, and would be replaced" in refused("pretrain", "-p", project.root)
    assert (project.model / CHECKPOINT).read_bytes() == weights
    set_params(project, valuation__unlearner="retrain")
    assert "retrain retrains, and how the model was" in refused("run", "-p", project.root)
    set_params(project, valuation__unlearner="newton")
    partition = project.partition(project.providers()[0])
    partition.write_bytes(project.partition(project.providers()[1]).read_bytes())
    with pytest.raises(
        InputError, match="imported from net.pt, and since then the rows of .* changed"
    ):
        make_ready(project, load_params(project.params), lambda _: None)


def test_with_its_recipe_it_is_the_model_that_is_trained_here(project):
    """The project's own model, out and in again; only its inputs were standardised by itself."""
    before = load_game(project, tuple(project.providers()))
    files = {name: project.root / name for name in (CHECKPOINT, INITIALISATION)}
    for name, path in files.items():
        (project.model / name).rename(path)
    given = ("--initial", files[INITIALISATION], "--recipe", "project")
    done = take(project, files[CHECKPOINT], *given)
    assert done.returncode == 0, done.stderr
    assert "note:" not in done.stdout
    game = load_game(project, tuple(project.providers()))
    assert game.retrainable
    assert game.pretrained.recipe == before.pretrained.recipe
    for name, tensor in before.pretrained.initial.items():
        assert torch.equal(game.pretrained.initial[name], tensor)
    preflight(project, load_params(project.params))
    set_params(project, pretrain__steps=61)
    with pytest.raises(InputError, match="another recipe(.|\n)*import the model again"):
        preflight(project, load_params(project.params))


def test_another_recipe_than_its_own_is_noticed(trained):
    project, _ = trained
    set_params(project, pretrain__steps=1)
    ours = ("--architecture", f"{__name__}:scaled", "--recipe", "project")
    done = take(project, project.root / "net.pt", *ours)
    assert "note: trained by section pretrain on all rows" in done.stdout


def test_a_model_no_better_than_a_constant_is_refused(trained):
    project, module = trained
    with torch.no_grad():
        module[1].weight.copy_(module[1].weight.flip(0))
        module[1].bias.copy_(module[1].bias.flip(0))
    save_file(module.state_dict(), project.root / "wrong.safetensors")
    call = (project.root / "wrong.safetensors", "--architecture", f"{__name__}:scaled")
    before = sha256(project.model)
    told = refused("import-model", *call, "-p", project.root)
    assert re.search(r"the best constant has -2\.\d+(.|\n)*outputs for \w+, .*in this order", told)
    assert sha256(project.model) == before
    assert take(project, *call, "--accept-score").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.pt"], r"none\.pt: there is no such file"),
        (["net.pt"], r"net\.pt: tensor 'mean' is missing"),
        (["net.pt", "--architecture", "nowhere:Net"], "--architecture: architecture 'nowhere:Net' cannot be imp"),
        (["net.pt", "--architecture", f"{__name__}:WHOLE"], "cannot be built"),
        (["net.pt", "--architecture", f"{__name__}:normalised"], r"tensor '0\.\w+' (is|has)"),
        (["norm.pt", "--architecture", f"{__name__}:normalised"], r"layer 1 \(BatchNorm1d\) normalises"),
        (["net.pt", "--architecture", "unshapley.models:mlp", "--kwargs", "[1]"], r"--kwargs: '\[1\]' is no JSON object"),
        (["bomb.pt"], r"bomb\.pt: holds more than tensors, or is damaged; nothing of it was run"),
        (["net.pt", "--none", "zero"], "--none: 'zero' stands for nothing(.|\n)*fresh:SEED, or constant"),
        (["net.pt", "--recipe", "mine"], "--recipe: 'mine' is no recipe"),
        (["net.pt", "--initial", "start.pt", "--none", "constant"], "--none: --initial says it already"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_error_and_nothing_is_written(trained, arguments, message):
    project, _ = trained
    torch.save(normalised().state_dict(), project.root / "norm.pt")
    torch.save({"mean": Bomb(project.root / "ran")}, project.root / "bomb.pt")
    before = sha256(project.model)
    files = [project.root / a if a.endswith(".pt") else a for a in arguments]
    told = refused("import-model", *files, "-p", project.root)
    assert re.search(message, told), told
    assert [line[:6] for line in told.splitlines() if line[:1] != " "] == ["error:"]
    assert not (project.root / "ran").exists()
    assert sha256(project.model) == before


def test_an_exported_program_needs_no_architecture(trained):
    project, module = trained
    x = torch.zeros(2, 64)
    rows = {"input": {0: torch.export.Dim("rows")}}
    torch.export.save(
        torch.export.export(module.eval(), (x,), dynamic_shapes=rows), project.root / "net.pt2"
    )
    assert (
        take(project, project.root / "net.pt2", "--initial", project.root / "start.pt").returncode
        == 0
    )
    game = load_game(project, tuple(project.providers()), "curvature")
    assert game.record.imported.kind == "torch.export"
    with torch.no_grad():
        assert torch.equal(game.pretrained.model(game.test_x), module(game.test_x))
    set_params(project, valuation__unlearner="newton", valuation__options={})
    preflight(project, load_params(project.params))
    told = refused(
        "import-model", project.root / "net.pt2", "--architecture", "a:b", "-p", project.root
    )
    assert "--architecture: an exported program has its own" in told


def test_who_is_quarantined_is_in_the_model_all_the_same(trained):
    project, _ = trained
    set_params(project, validation__policy="quarantine", validation__min_rows=90)
    assert unshapley("suites", "-p", project.root).returncode == 0
    done = take(project, project.root / "net.pt", "--architecture", f"{__name__}:scaled")
    assert re.search(r"note: form-\d\d is quarantined \(.*stays in every coalition", done.stdout)
    assert sorted(ModelRecord.load(project.model).partitions) == project.providers()


def test_dvc_would_train_over_it(trained):
    project, _ = trained
    (project.root / "dvc.yaml").write_text("stages: {pretrain: {cmd: unshapley pretrain}}\n")
    told = refused("import-model", project.root / "net.pt", "-p", project.root)
    assert "stage pretrain would train another model over" in told
    assert load_file(project.model / CHECKPOINT)


def test_every_unlearner_is_tried_on_an_imported_model(trained, capsys):
    project, _ = trained
    take(project, project.root / "net.pt", "--architecture", f"{__name__}:scaled")
    set_params(project, valuation__unlearner="newton", valuation__options={})
    done = unshapley("check-model", "-p", project.root, "--coalitions", 2, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = {row["unlearner"]: row for row in found["unlearners"]}
    assert rows.keys() == UNLEARNERS.keys()
    assert found["model"]["parameters"] == 64 * 2 + 65 * 10
    assert {name for name, row in rows.items() if not row["works"]} == {
        "hybrid", "retrain", "rewind_finetune", "short_retrain", "task_vector", "ekfac", "ngram",
        "ekfac_ngram",
    }  # fmt: skip
    assert "how the model was trained is not stated" in rows["retrain"]["note"]
    assert rows["auto"]["note"] == "is newton here, as nothing can be retrained"
    assert rows["newton"]["note"] == "valuation.unlearner"
    assert all(row["milliseconds"] > 0 for row in rows.values() if row["works"])
    print_check(
        ModelCheck(
            found["model"],
            [ModelScore(**score) for score in found["scores"]],
            [UnlearnerCheck(**row) for row in rows.values()],
        )
    )
    shown = capsys.readouterr().out
    for text in ("imported from net.pt", "best constant", "MiB estimated", "retrain (control)"):
        assert text in shown


def test_memory_that_a_run_takes_is_seen():
    kept = []
    grown = grown_by(lambda: kept.append(torch.ones(2**24)))
    assert grown is None or 60 < grown < 80


def test_the_example_is_taken_as_it_says(project):
    """With its recipe, which its loop follows, coalitions are retrained as they would be by it."""
    shutil.copy(Path(__file__).parents[3] / "examples" / "own_model.py", project.root)
    runpy.run_path(str(project.root / "own_model.py"))["train"](project.root)
    set_params(project, pretrain__steps=200, pretrain__kwargs={})
    ours = ("--architecture", "own_model:Net", "--initial", project.root / "start.pt")
    done = take(project, project.root / "net.pt", *ours, "--recipe", "project")
    assert done.returncode == 0, done.stderr
    assert "note:" not in done.stdout
    game = load_game(project, tuple(project.providers()), utilities=["neg_log_loss"])
    everybody = np.ones((1, len(game.players)), dtype=bool)
    again = measure(game, RetrainUnlearner(), everybody, game.utilities)["neg_log_loss"]
    assert again == pytest.approx([game.record.score["neg_log_loss"]], rel=0.01)
