"""Deadlines: what is asked of the store over a connection ends in time, or is ended.

SQLite asks now and then whether to go on. PostgreSQL ends a statement by itself, after the time that is told when a connection is
made (`sync.store.engine`); here it is told a shorter one where some of the time has gone when a statement begins.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, inf
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

from sync.errors import TookTooLong

STEPS: Final = 100_000
"""Of SQLite's machine, between two questions: a few milliseconds, a second where each calls a function of ours."""

SLACK: Final = 2.0
"""Seconds that PostgreSQL may take beyond: to tell it before each statement would cost as much as a small one does."""

ENDED: Final = (
    "it took longer than SYNC_RUN_TIMEOUT allows, or somebody ended it in the database, and nothing was changed: "
    "look what the store waits for or is busy with, or allow a run more time"
)


_TELLING: Final = "deadline"
"""Under which a connection keeps what is to be told."""


@contextmanager
def ended_at(connection: Connection, until: float | None, usual: float | None) -> Iterator[None]:
    """End what is asked within at an instant of the monotonic clock, if any, be it at work or waiting.

    Raises TookTooLong, or what the driver says of a statement that was ended, of which `Store` makes the same.
    `usual` is how many seconds PostgreSQL gives a statement without further words; None where it sets no limit.
    """
    if until is None:
        yield
        return
    if connection.dialect.name == "sqlite":
        with _asking(connection, until):
            yield
        return
    # Asked for once, since at the end the connection may be lost, and would be made anew.
    kept = connection.info
    kept[_TELLING] = _Telling(until, inf if usual is None else usual)
    try:
        yield
    finally:
        kept.pop(_TELLING, None)


def follow(engine: Engine) -> None:
    """Let PostgreSQL be told by this engine's connections; to listen to a single one costs as much as some statements each time."""

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        if (telling := connection.info.get(_TELLING)) is not None:
            telling.begin()

    @event.listens_for(engine, "before_cursor_execute")
    def asked(connection: Connection, *_: Any) -> None:
        tell(connection)


def tell(connection: Connection) -> None:
    """Tell PostgreSQL how long what it is asked next may take; for whoever asks the driver. Raises TookTooLong."""
    if (telling := connection.info.get(_TELLING)) is not None:
        telling.before(connection)


@contextmanager
def ended_after(connection: Connection, seconds: float | None) -> Iterator[None]:
    """End what is asked of SQLite within after so many seconds, if any."""
    if seconds is None:
        yield
        return
    with _asking(connection, time.monotonic() + seconds):
        yield


@contextmanager
def _asking(connection: Connection, until: float) -> Iterator[None]:
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(lambda: time.monotonic() >= until, STEPS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


class _Telling:
    """Tells PostgreSQL in each transaction how long a statement may take."""

    def __init__(self, until: float, usual: float) -> None:
        self._until = until
        self._usual = self._told = usual

    def begin(self) -> None:
        self._told = self._usual

    def before(self, connection: Connection) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TookTooLong(ENDED)
        if self._told - left > SLACK:
            driver: Any = connection.connection.driver_connection
            driver.execute(f"SET LOCAL statement_timeout = {ceil(left * 1000)}")
            self._told = left
