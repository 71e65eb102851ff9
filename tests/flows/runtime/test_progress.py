"""Lines of progress where there is no terminal."""

import logging

from flows.runtime import progress


def test_the_first_step_says_nothing_of_those_that_follow(monkeypatch, caplog):
    """It also waits for libraries: 40 s for one step of 300 are no two hours for all."""
    clock = iter([0.0, 40.0, 41.0, 60.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO), progress.phases("training", "steps")(300) as advance:
        for count in (1, 1, 98):
            advance(count)
    assert caplog.messages == [
        "training: 1 of 300 steps",
        "training: 100 of 300 steps, 40 s left",
    ]
