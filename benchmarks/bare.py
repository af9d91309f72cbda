"""The same rows into the same table by the database's own fast road alone: COPY on PostgreSQL, `executemany` on SQLite.

Into a store of its own, with every index and check. The rows are ready before the clock runs, in the form in which the driver takes
them; each portion is a transaction that is durable at its end, as the server's are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Table, func, select

from benchmarks.report import Timing, require_equal
from sync.store import Store
from sync.store.profiles import portions
from sync.store.schema import calls, profiles

_CALLS: Final = tuple(column.name for column in calls.columns if column.name != calls.c.id.name)
_PEOPLE: Final = tuple(column.name for column in profiles.columns)


class Bare:
    """Follows a server, round by round: whatever calls it stored meanwhile are written into another store."""

    def __init__(self, served: Store, own: Store) -> None:
        self._served, self._own = served, own
        self._calls = self._people = 0

    def follow(self, timing: Timing, at_a_time: int) -> int:
        """Write the calls that are new since the last time, so many a transaction; return how many."""
        with _driver(self._served) as driver:
            people = _read(self._served, driver, profiles, _PEOPLE, self._people)
            rows = _read(self._served, driver, calls, _CALLS, self._calls)
        self._people, self._calls = _newest(self._served, profiles), _newest(self._served, calls)
        with _driver(self._own) as driver:
            # Those to whom the calls refer.
            _write(self._own, driver, profiles, _PEOPLE, people, len(people) or 1, Timing(name="unreported"))
            _write(self._own, driver, calls, _CALLS, rows, at_a_time, timing)
        return len(rows)

    def require_same(self) -> None:
        """Wrong unless the other store has as many calls."""
        with self._served.reading() as one, self._own.reading() as other:
            counted = select(func.count()).select_from(calls)
            require_equal("calls of the bare store", other.scalar(counted), one.scalar(counted))


def _read(store: Store, driver: Any, table: Table, columns: Sequence[str], after: int) -> list[Any]:
    """Return rows as the driver takes them again: tuples, or lines of COPY's text."""
    wanted = f"SELECT {', '.join(columns)} FROM {table.name} WHERE id > {after} ORDER BY id"
    if store.on_sqlite:
        return list(driver.execute(wanted).fetchall())
    with driver.cursor() as cursor, cursor.copy(f"COPY ({wanted}) TO STDOUT") as copy:
        return [bytes(line) for line in copy]


def _write(
    store: Store, driver: Any, table: Table, columns: Sequence[str], rows: list[Any], at_a_time: int, timing: Timing
) -> None:
    listed = ", ".join(columns)
    if store.on_sqlite:
        statement = f"INSERT INTO {table.name} ({listed}) VALUES ({', '.join('?' * len(columns))})"
        for some in portions(rows, at_a_time):
            with timing.once():
                driver.execute("BEGIN IMMEDIATE")
                driver.executemany(statement, some)
                driver.execute("COMMIT")
        return
    for text in [b"".join(some) for some in portions(rows, at_a_time)]:
        with timing.once():
            with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({listed}) FROM STDIN") as copy:
                copy.write(text)
            driver.commit()


@contextmanager
def _driver(store: Store) -> Iterator[Any]:
    """Yield the driver's own connection, opened as the program opens it."""
    connection = store.engine.raw_connection()
    try:
        yield connection.driver_connection
    finally:
        connection.close()


def _newest(store: Store, table: Table) -> int:
    with store.reading() as connection:
        return int(connection.scalar(select(func.max(table.c.id))) or 0)
