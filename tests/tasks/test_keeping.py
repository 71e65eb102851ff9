from prefect import task
from prefect.states import Completed, exception_to_failed_state

from tasks.keeping import is_transient, kept
from unshapley.config import RunSettings
from unshapley.errors import InputError
from unshapley.files import is_sealed, seal


def test_a_seal_is_broken_by_any_change():
    result = seal({"utilities": {"accuracy": [0.1, 0.2]}})
    assert is_sealed(result)
    result["content"]["utilities"]["accuracy"][1] = 0.2000000001
    assert not is_sealed(result)
    assert not is_sealed(None)
    assert not is_sealed({})


def test_only_what_may_pass_is_tried_again():
    import asyncio

    def failed(error: Exception):
        return asyncio.run(exception_to_failed_state(error))

    nan = ValueError("Out of range float values are not JSON compliant: nan")
    for error in (InputError("bad"), nan, KeyError("column")):
        assert not is_transient(None, None, failed(error))
    assert is_transient(None, None, failed(OSError("busy")))
    assert not is_transient(None, None, Completed(data=1))


def test_kept_results_are_json_named_by_their_key(tmp_path):
    calls = []

    @task
    def work(x: float, key: str) -> dict:
        calls.append(x)
        return seal({"x": x})

    ready = kept(work, tmp_path, RunSettings(retries=0))
    assert ready(0.1, key="one") == ready(0.1, key="one") == seal({"x": 0.1})
    assert calls == [0.1]
    assert "0.1" in (tmp_path / "one").read_text()
    ready(0.1, key="two")
    kept(work, tmp_path, RunSettings(retries=0), refresh=True)(0.1, key="one")
    assert len(calls) == 3


def test_a_task_that_fails_for_a_moment_is_tried_again(tmp_path):
    calls = []

    @task
    def flaky(key: str) -> dict:
        calls.append(key)
        if len(calls) < 2:
            raise OSError("try again")
        return seal({})

    ready = kept(flaky, tmp_path, RunSettings(retries=2)).with_options(retry_delay_seconds=0)
    assert is_sealed(ready(key="k"))
    assert len(calls) == 2
