"""Services that live as long as the drill, each started when a fault first asks for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.chaos.services import ApiServer, Postgres, Worker


@dataclass
class Surroundings:
    """folder: where servers keep their databases and logs."""

    folder: Path
    started: list[Callable[[], None]] = field(default_factory=list)

    @cached_property
    def api(self) -> ApiServer:
        """The one that nothing happens to."""
        return self._server("api")

    @cached_property
    def fragile(self) -> ApiServer:
        """The one that is killed, and whose database is locked."""
        return self._server("fragile")

    @cached_property
    def postgres(self) -> Postgres:
        database = Postgres()
        self.started.append(database.remove)
        return database

    @cached_property
    def on_postgres(self) -> ApiServer:
        return self._server("on-postgres", self.postgres.address)

    @cached_property
    def worker(self) -> Worker:
        worker = Worker(self._server("deployed"))
        self.started.append(worker.kill)
        return worker

    def _server(self, name: str, database: str = "") -> ApiServer:
        server = ApiServer(self.folder / name, database)
        self.started.append(server.kill)
        return server.running()

    def stop(self) -> None:
        for stop in reversed(self.started):
            with suppress(OSError):
                stop()
