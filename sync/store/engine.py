"""Connections: the one place that knows how each database is opened and how its transactions begin.

On SQLite the driver's own transaction control is switched off (it opens no transaction for a SELECT and loses updates between
threads without an error); every transaction begins with an explicit BEGIN, and one that writes with BEGIN IMMEDIATE, so that a
writer waits at its start and never fails in the middle. WAL lets readers go on meanwhile; `synchronous=FULL` because a call that
was answered 200 must survive a power cut.
"""

from __future__ import annotations

import sqlite3
from importlib.util import find_spec
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url

from sync.errors import SettingsError
from sync.json_value import decode
from sync.store.sqlite_functions import register
from sync.store.types import to_text

BUSY_SECONDS: Final = 10
"""How long a writer waits for another process to let go of a SQLite file."""

OLDEST_SQLITE: Final = (3, 38, 0)
"""The first with the `->` operators and JSON functions built in."""


def open_engine(url: str) -> Engine:
    """Return an engine for `sqlite:///…` or `postgresql+psycopg://…`; nothing is connected yet.

    Errors of the engine never show bound values: those are people's data.
    """
    parsed = make_url(url)
    return _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)


def _postgresql(url: URL) -> Engine:
    if find_spec("psycopg") is None:
        raise SettingsError("SYNC_DATABASE_URL: PostgreSQL needs its driver: python -m pip install 'personas-sync[postgres]'")
    return create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=10,
        json_serializer=to_text,
        json_deserializer=decode,
        connect_args={"connect_timeout": 10, "application_name": "personas-sync"},
    )


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def opened(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536"):
            connection.execute(f"PRAGMA {pragma}")
        register(connection)

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine
