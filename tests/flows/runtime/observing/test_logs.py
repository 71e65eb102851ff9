"""Lines of JSON: one object a line, with what they are about."""

import json
import logging

import pytest
from prefect import flow, task

from flows.cli.common import warn
from flows.runtime.observing.logs import FORMAT, JsonLines, log_as_json
from unshapley.errors import InputError


@pytest.fixture
def lines(monkeypatch, capsys):
    logger = logging.getLogger("unshapley")
    before, level = list(logger.handlers), logger.level
    monkeypatch.setenv(FORMAT, "json")
    log_as_json()
    log_as_json()  # twice is once
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]  # fmt: skip
    logger.handlers, logger.level = before, level


@pytest.mark.process
def test_a_line_names_its_run_and_chunk(lines):
    log = logging.getLogger("unshapley.measure")

    @task
    def measuring(chunk: int):
        log.warning("from %s", "a chunk")

    @flow(name="valuing")
    def valuing():
        log.info("from the flow")
        measuring.submit(chunk=7).result()

    valuing()
    of_flow, of_chunk = (line for line in lines() if line["logger"] == "unshapley.measure")
    assert (of_flow["message"], of_flow["flow"], of_flow["level"]) == ("from the flow", "valuing", "info")  # fmt: skip
    assert (of_chunk["message"], of_chunk["task"], of_chunk["chunk"]) == ("from a chunk", "measuring", 7)  # fmt: skip
    assert of_chunk["run"] == of_flow["run"]


def test_what_is_said_to_people_is_a_line_too_and_errors_have_their_traceback(lines):
    warn("  north: 12 rows\n")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("unshapley.run").exception("it failed")
    said, failed = lines()
    assert said["message"] == "north: 12 rows"
    assert "run" not in said
    assert failed["error"].endswith("ValueError: why")


def test_another_format_is_refused(monkeypatch):
    monkeypatch.setenv(FORMAT, "xml")
    with pytest.raises(InputError, match=r"UNSHAPLEY_LOG_FORMAT: is 'xml'"):
        log_as_json()
    assert not any(isinstance(h, JsonLines) for h in logging.getLogger("unshapley").handlers)
