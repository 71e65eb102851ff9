"""Task: load model, rows and test set, and check them; once in each worker process."""

from __future__ import annotations

from prefect import task

from tasks.engine import Engine
from tasks.worker import WORKER, GameSource, load_here


@task(name="load")
def load(source: GameSource, engine: Engine) -> None:
    """Load everything once, here and on the workers that there are; raises `InputError` if a file
    is not the recorded one, or a worker is of another kind.
    """
    WORKER.load(source)
    engine.everywhere(load_here, source)
