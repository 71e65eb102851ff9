"""The house stays in order: what a stage runs is stated, and no files import in a circle."""

import grimp
import pytest
import yaml

from scripts.stage_code import ENTRIES, HOME, PACKAGES, code_of, stated


@pytest.mark.parametrize("stage", ENTRIES)
def test_dvc_yaml_states_the_code_that_a_stage_runs(stage):
    content = yaml.safe_load((HOME / "dvc.yaml").read_text())
    assert stated(content, stage) == code_of(stage), "run `python scripts/stage_code.py`"


def test_the_valuation_depends_on_all_of_our_code():
    content = yaml.safe_load((HOME / "dvc.yaml").read_text())
    assert set(PACKAGES) <= set(content["stages"]["valuation"]["deps"])


def test_no_files_import_in_a_circle():
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    left = {m: set(graph.find_modules_directly_imported_by(m)) for m in graph.modules}
    while free := {m for m, imported in left.items() if not imported & left.keys()}:
        left = {m: imported for m, imported in left.items() if m not in free}
    assert left == {}
