from prefect import flow, task

from flows.runtime.kept_tasks import run_kept
from flows.runtime.runners import make_runner
from unshapley.config import RunSettings
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


def test_no_argument_is_searched_for_futures(tmp_path, monkeypatch):
    monkeypatch.setattr(Searched, "times", 0)
    settings = RunSettings(workers=1, retries=0)
    resumed = []

    @flow
    def counted() -> dict:
        calls = {i: {"numbers": Searched([1] * i), "key": f"of-{i}"} for i in (2, 3)}
        with make_runner(settings) as runner:
            return run_kept(
                count, calls, tmp_path, settings, runner, lambda _, stored: resumed.append(stored)
            )

    for _ in range(2):
        assert {i: result["content"] for i, result in counted().items()} == {
            2: {"count": 2},
            3: {"count": 3},
        }
    assert Searched.times == 0
    assert resumed == [False, False, True, True]
