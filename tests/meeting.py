"""Writers that meet: each waits for a lock of another's, which PostgreSQL tells."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Select, event, func, select, text
from sqlalchemy.exc import IntegrityError

from sync.errors import StoreBusy
from sync.store import Store

several_writers = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
"""SQLite has one at a time."""


def wait_for_waiting(store: Store, number: int) -> None:
    """Return once so many wait for a lock."""
    waiting = text("wait_event_type = 'Lock' AND datname = current_database()")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with store.reading() as connection:
            if connection.scalars(select(func.count()).select_from(text("pg_stat_activity")).where(waiting)).one() >= number:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def met(store: Store, row: Select[Any], *works: Callable[[Connection], object]) -> list[StoreBusy]:
    """Let writers begin one after another while a row is held that all of them want; return what went wrong."""
    failures: list[StoreBusy] = []

    def write(work: Callable[[Connection], object]) -> None:
        try:
            with store.writing() as connection:
                work(connection)
        except StoreBusy as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(work,)) for work in works]
    with store.writing() as holding:
        holding.execute(row.with_for_update(read=True)).all()
        for number, thread in enumerate(threads, 1):
            thread.start()
            wait_for_waiting(store, number)
    for thread in threads:
        thread.join()
    return failures


@contextmanager
def losing_at_first(store: Store) -> Iterator[None]:
    """Let every transaction that has written lose to another writer the first time, and not when done again. PostgreSQL only."""
    tries = 0

    def committing(connection: Connection) -> None:
        nonlocal tries
        has_written = connection.exec_driver_sql("SELECT pg_current_xact_id_if_assigned() IS NOT NULL").scalar_one()
        tries += has_written
        if has_written and tries % 2:
            raise IntegrityError("COMMIT", None, Exception("another writer was faster"))

    event.listen(store.engine, "commit", committing)
    try:
        yield
    finally:
        event.remove(store.engine, "commit", committing)
    assert tries, "nothing was to be committed"
