import re
from pathlib import Path

import pytest
from prefect import flow, task

from flows.runtime.kept_tasks import AHEAD, run_kept
from flows.runtime.runners import opened_workers
from unshapley.config import Params, RunSettings
from unshapley.files import seal


class Searched(list):
    """Counts how often somebody goes through its elements."""

    times = 0

    def __iter__(self):
        Searched.times += 1
        return super().__iter__()


@task
def count(numbers: list, key: str) -> dict:
    return seal({"count": len(numbers)})


def run(calls: list[dict], folder: Path, settings: RunSettings, made: list[int]) -> dict:
    """Results and whether they were stored, by number of the call; made: how far arguments were
    ahead of results.
    """
    taken: dict[int, tuple[dict, bool]] = {}

    def call(number: int) -> dict:
        made.append(number - len(taken))
        return calls[number]

    @flow
    def counted() -> None:
        with opened_workers(Params(run=settings)) as workers:
            run_kept(count, len(calls), call, folder, settings, workers, take)

    def take(number: int, result: dict, stored: bool) -> None:
        assert number not in taken
        taken[number] = result["content"]["count"], stored

    counted()
    return taken


SETTINGS = RunSettings(workers=1, retries=0)


def test_no_argument_is_searched_for_futures(tmp_path, monkeypatch):
    monkeypatch.setattr(Searched, "times", 0)
    calls = [{"numbers": Searched([1] * i), "key": f"of-{i}"} for i in (2, 3)]
    for stored in (False, True):
        assert run(calls, tmp_path, SETTINGS, []) == {0: (2, stored), 1: (3, stored)}
    assert Searched.times == 0


@pytest.mark.parametrize("runner", ["threads", pytest.param("processes", marks=pytest.mark.drill)])
def test_arguments_are_made_when_a_worker_is_soon_to_have_time(tmp_path, runner):
    calls = [{"numbers": [1] * i, "key": f"of-{i}"} for i in range(12)]
    settings = RunSettings(workers=2, retries=0, runner=runner)
    made: list[int] = []
    taken = run(calls, tmp_path, settings, made)
    assert taken == {i: (i, False) for i in range(12)}
    assert max(made) < AHEAD * settings.workers


def test_what_is_damaged_is_computed_again(tmp_path):
    calls = [{"numbers": [1] * i, "key": f"of-{i}"} for i in range(3)]
    run(calls, tmp_path, SETTINGS, [])
    path = tmp_path / "of-1"
    text, changed = re.subn(r'(count\\*": ?)1', r"\g<1>7", path.read_text())
    assert changed == 1
    path.write_text(text)
    assert run(calls, tmp_path, SETTINGS, []) == {0: (0, True), 2: (2, True), 1: (1, False)}
