"""Connections: the one place that knows how each database is opened and how its transactions begin.

On SQLite the driver's own transaction control is switched off (it opens no transaction for a SELECT and loses updates between
threads without an error); every transaction begins with an explicit BEGIN, and one that writes with BEGIN IMMEDIATE, so that a
writer waits at its start and never fails in the middle. WAL lets readers go on meanwhile; `synchronous=FULL` because a call that
was answered 200 must survive a power cut.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from math import ceil
from typing import Any, Final
from uuid import uuid4
from weakref import WeakSet

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.pool import Pool

from sync.errors import SettingsError
from sync.json_value import decode
from sync.store import deadline
from sync.store.sqlite_functions import register
from sync.store.types import to_text

BUSY_SECONDS: Final = 10.0
"""How long a writer waits for another process to let go of a SQLite file, and anybody for a connection to PostgreSQL."""

IDLE_SECONDS: Final = 30
"""How long a process may be silent in the middle of a transaction on PostgreSQL: one that was stopped there must not keep its locks
for longer than a lease lasts."""

WAL_BYTES: Final = 64 * 1024 * 1024
"""To which the write-ahead log of a SQLite file is cut when whoever read for long, and made it grow, has ended."""

OLDEST_SQLITE: Final = (3, 38, 0)
"""The first with the `->` operators and JSON functions built in."""

_MENDED: Final = ((3, 44, 6), (3, 50, 7), (3, 51, 3))


def has_mended_log(version: tuple[int, int, int]) -> bool:
    """Whether a release of SQLite is free of a rare fault by which a file that several connections have open can be damaged.

    It is in the write-ahead log, which began anew while somebody wrote back what was in it. Mended in 3.51.3, and in 3.44.6 and
    3.50.7 of the older ones (SQLite's news of 3.51.3, 2026-03); vendors may have mended others.
    """
    return version >= _MENDED[-1] or any(version[:2] == one[:2] and version >= one for one in _MENDED)


SILENCE: Final = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""After how much silence, 25 seconds, a server of PostgreSQL is given up that the network no longer reaches: without these a
statement would wait for it for hours. One that works on a statement answers them all the while. What the URL says goes before."""

CACHE_BYTES: Final = 2 * 1024 * 1024
"""How much of a SQLite file a connection keeps in memory, which is what SQLite does by itself. What runs and people read the system
keeps as well, once for all: with 64 MB, connections that a service has had for long keep the whole file, each for itself, and are
no faster."""

_PRAGMAS: Final = (
    *("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"),
    f"journal_size_limit={WAL_BYTES}",
)

_engines: Final[WeakSet[Engine]] = WeakSet()
_left_behind: Final[list[Pool]] = []


def open_engine(url: str, patience: float = BUSY_SECONDS, longest: float | None = None, cache_bytes: int = CACHE_BYTES) -> Engine:
    """Return an engine for `sqlite:///…` or `postgresql+psycopg://…`; nothing is connected yet.

    `patience` is how many seconds to wait for a connection, be it until one of this program's is free again, and for a file or, if
    it is less than usual, a row that another process has locked. `longest` is after how many seconds PostgreSQL ends a statement.
    `cache_bytes` is how much of a SQLite file each connection keeps in memory.
    Errors of the engine never show bound values, which are people's.
    """
    parsed = make_url(url)
    on_sqlite = parsed.get_backend_name() == "sqlite"
    engine = _sqlite(parsed, patience, cache_bytes) if on_sqlite else _postgresql(parsed, patience, longest)
    _engines.add(engine)
    return engine


def _postgresql(url: URL, patience: float, longest: float | None) -> Engine:
    if find_spec("psycopg") is None:
        raise SettingsError("SYNC_DATABASE_URL: PostgreSQL needs its driver: python -m pip install 'personas-sync[postgres]'")
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=10,
        pool_timeout=patience,
        # The one used last, which has our statements prepared.
        pool_use_lifo=True,
        json_serializer=to_text,
        json_deserializer=decode,
        connect_args={"connect_timeout": round(patience)},
    )
    told = {"idle_in_transaction_session_timeout": IDLE_SECONDS * 1000}
    if longest is not None:
        told["statement_timeout"] = ceil(longest * 1000)
    if patience < BUSY_SECONDS:
        told["lock_timeout"] = round(patience * 1000)
        _hurry(engine, round(patience * 1000))
    _notice_silence(engine)
    _introduce(engine)
    _tell(engine, told)
    deadline.follow(engine)
    return engine


def _tell(engine: Engine, settings: Mapping[str, int]) -> None:
    """Say some settings to the server whenever a connection is made."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        # Not among the options of the connection: a pooler between would refuse those.
        connection.execute("; ".join(f"SET {name} = {value}" for name, value in settings.items()))
        connection.commit()


def _leave_connections_behind() -> None:
    """In a forked process, open connections of one's own: two that share one read each other's answers."""
    for engine in list(_engines):
        # Nor may they be closed, since the parent goes on using them.
        _left_behind.append(engine.pool)
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):  # Not where no process is forked: Windows.
    os.register_at_fork(after_in_child=_leave_connections_behind)


def _notice_silence(engine: Engine) -> None:
    @event.listens_for(engine, "do_connect")
    def connecting(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        for name, value in SILENCE.items():
            options.setdefault(name, value)


def _introduce(engine: Engine) -> None:
    """Let the server know which of its sessions are of one process."""

    @event.listens_for(engine, "do_connect")
    def connecting(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        options["application_name"] = _name_of_process(os.getpid())


@cache
def _name_of_process(pid: int) -> str:
    # Other machines and containers have the same numbers.
    return f"personas-sync {pid}-{uuid4().hex[:8]}"


def _hurry(engine: Engine, milliseconds: int) -> None:
    """Let no connection wait longer than that for a server that has fallen silent."""

    @event.listens_for(engine, "do_connect")
    def connecting(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        options["tcp_user_timeout"] = milliseconds


def _sqlite(url: URL, patience: float, cache_bytes: int) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_timeout=patience,
        # The one used last, which has in memory what is looked at often.
        pool_use_lifo=True,
        connect_args={"timeout": patience, "check_same_thread": False},
    )

    @event.listens_for(engine, "do_connect")
    def opening(_dialect: Any, _record: Any, arguments: list[Any], _options: Any) -> None:
        if not arguments[0].startswith("file:"):
            _make_private(arguments[0])

    @event.listens_for(engine, "connect")
    def opened(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in (*_PRAGMAS, f"cache_size=-{cache_bytes // 1024}"):
            connection.execute(f"PRAGMA {pragma}")
        register(connection)

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("without_transaction", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writing", False) else "BEGIN")

    return engine


def _make_private(name: str) -> None:
    """Make a file that is not there yet, for its owner alone to read; SQLite gives its companions the same mode."""
    # Only a new one is opened here: to close a file that SQLite has open would drop its locks. Where none can be made SQLite says
    # so, in better words.
    with suppress(OSError):
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
