"""What a valuation takes over from others of the same model, and what it must not."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from flows.valuation import valuation
from tasks.recall import recall
from tests.conftest import set_params
from tests.flows.test_valuation import chunks_of, outputs, run_of
from unshapley.game.coalitions import from_bits
from unshapley.game.coalitions import keys as coalition_keys
from unshapley.game.keys import forgotten_of, game_key, hashes_of_forgotten_rows
from unshapley.game.loading import load_game
from unshapley.game.utilities import build_utilities
from unshapley.project import Project
from unshapley.unlearning import build_unlearner

NEWTON = {"valuation__unlearner": "newton", "valuation__options": {}}


def test_other_targets_recall_whom_the_full_valuation_has_forgotten(project):
    set_params(project, **NEWTON)
    valuation(project=project.root)
    full = json.loads((project.valuation / "manifest.json").read_text())["game"]
    targets = ["form-01", "form-03", "form-04"]
    set_params(project, valuation__targets=targets)
    valuation(project=project.root)
    said = run_of(project)
    # of the six coalitions and the eight that are checked, everything was forgotten before
    assert said["coalitions_recalled"] == 6
    assert said["recalled_from"] == {
        f"gaussian_process with seed 0, players {', '.join(project.providers())}": 6
    }
    assert json.loads((project.valuation / "manifest.json").read_text())["game"] == full
    recalled = pd.read_csv(project.valuation / "values.csv")
    recorded = outputs(project)
    shutil.rmtree(project.results)
    valuation(project=project.root)
    assert run_of(project)["coalitions_recalled"] == 0
    assert_frame_equal(pd.read_csv(project.valuation / "values.csv"), recalled, atol=1e-5)
    valuation(project=project.root)
    assert chunks_of(project)["computed"] == 0
    assert outputs(project).keys() == recorded.keys()


def test_a_provider_in_quarantine_leaves_the_coalitions_where_it_stays(project):
    set_params(project, validation__policy="quarantine", **NEWTON)
    valuation(project=project.root)
    suite = project.expectations / "partition.json"
    content = json.loads(suite.read_text())
    rows = next(e for e in content["expectations"] if e["kwargs"]["column"] == "rows")
    rows["kwargs"]["min_value"] = 90  # form-01 has 88
    suite.write_text(json.dumps(content))
    valuation(project=project.root)
    assert run_of(project)["coalitions_recalled"] == 14


@pytest.mark.parametrize(
    ("settings", "recalled"), [({"budget": 22}, 2), ({"budget": 9}, 9), ({"chunk_size": 7}, 30)]
)
def test_a_copied_project_with_a_smaller_budget_recalls_it(valued, tmp_path, settings, recalled):
    """Whole windows of chunks are resumed; of the last one what a larger budget has measured is
    taken over.
    """
    copy = Project(shutil.copytree(valued.root, tmp_path / "copy"))
    before = pd.read_parquet(copy.valuation / "utilities.parquet").set_index("coalition")
    set_params(copy, **{f"valuation__{key}": value for key, value in settings.items()})
    valuation(project=copy.root)
    assert run_of(copy)["coalitions_recalled"] == recalled
    after = pd.read_parquet(copy.valuation / "utilities.parquet").set_index("coalition")
    columns = ["neg_log_loss", "accuracy"]
    assert_frame_equal(after[columns], before.loc[after.index, columns], rtol=0, atol=0)


def test_what_is_measured_anew(built, tmp_path):
    """By whom and what an unlearner reads: of the forgotten, of all, or of nobody."""
    inputs = load_game(built, built.providers(), needs="curvature")
    other = {**inputs.record.partitions, "form-02": "0" * 64}
    corrected = inputs.record.model_copy(update={"partitions": other})
    changed = inputs.__class__(**{**vars(inputs), "record": corrected})
    keys = {
        name: [
            game_key(i, build_unlearner(name), build_utilities(["accuracy"]), {})
            for i in (inputs, changed)
        ]
        for name in ("gradient_ascent", "finetune", "newton")
    }
    assert keys["gradient_ascent"][0] == keys["gradient_ascent"][1]
    assert keys["finetune"][0] != keys["finetune"][1]
    # newton reads the statistics, of those who stay too, and these are hashed by themselves
    assert keys["newton"][0] == keys["newton"][1]
    restated = inputs.__class__(**{**vars(inputs), "statistics": inputs.statistics[:-1]})
    assert keys["newton"][0] != game_key(
        restated, build_unlearner("newton"), build_utilities(["accuracy"]), {}
    )

    kind = build_unlearner("gradient_ascent")
    before, after = hashes_of_forgotten_rows(inputs, kind), hashes_of_forgotten_rows(changed, kind)
    bits = ["11011", "01111", "00111", "01011"]

    def named(*some):
        return set(coalition_keys(from_bits(some)))

    store(tmp_path, forgotten_of(from_bits(bits), before))
    assert set(recall(tmp_path, "game", "mine", before, ["accuracy"], ())) == named(*bits)
    # the rows of form-02 are others now: what forgets them is unknown, all else is as it was
    assert set(recall(tmp_path, "game", "mine", after, ["accuracy"], ())) == named("01111", "00111")
    two = {name: after[name] for name in ("form-00", "form-03")}
    ((key, found),) = recall(tmp_path, "game", "mine", two, ["accuracy"], ()).items()
    assert key == coalition_keys(from_bits(["01"]))[0]
    assert (found.utilities, found.resampled.size, found.plan) == ({"accuracy": 1.0}, 0, "p")
    # an own plan is resumed chunk by chunk, but what was measured for a larger budget is recalled
    own = [recall(tmp_path, "game", "p", before, ["accuracy"], named(*b)) for b in (bits, bits[:2])]
    assert [set(found) for found in own] == [set(), named(*bits)]


def store(folder, gone) -> None:
    """A kept result of the plan `p`, as Prefect writes it."""
    from prefect.results import ResultRecord, ResultRecordMetadata
    from prefect.serializers import JSONSerializer

    from unshapley.files import seal

    content = {"asked": ["accuracy"], "plan": "p", "forgotten": gone, "resampled": "",
               "utilities": {"accuracy": np.arange(len(gone), dtype=float).tolist()}}  # fmt: skip
    metadata = ResultRecordMetadata(serializer=JSONSerializer(), storage_key="k")
    record = ResultRecord(metadata=metadata, result=seal(content))
    (folder / "chunk-game-p-0").write_bytes(record.serialize())


@pytest.mark.parametrize("changed", ["data", "model"])
def test_nothing_is_taken_over_from_another_model_or_test_set(project, changed):
    inputs = load_game(project, project.providers(), needs="curvature")
    record = inputs.record
    update = {"test": "0" * 64} if changed == "data" else {"files": {}}
    other = inputs.__class__(**{**vars(inputs), "record": record.model_copy(update=update)})
    for name in ("gradient_ascent", "newton", "retrain"):
        kind = build_unlearner(name)
        assert game_key(inputs, kind, build_utilities(["r2"]), {}) != game_key(
            other, kind, build_utilities(["r2"]), {}
        )
