"""The same rows into the same tables by the database's own fast road alone: COPY on PostgreSQL, `executemany` on SQLite.

Into a store of its own, with every index and check. The rows are ready before the clock runs, in the form in which the driver takes
them; each portion is a transaction that is durable at its end, as the server's are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Table, func, select

from benchmarks.report import Timing, require_equal
from sync.store import Store
from sync.store.profiles import portions
from sync.store.schema import calls, deliveries, profiles


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a table that come with something, as the server inserts them."""

    table: Table
    key: str
    """The column that names what they come with: a call, or a profile."""
    columns: tuple[str, ...]

    @property
    def _listed(self) -> str:
        return ", ".join(self.columns)

    def read(self, store: Store, driver: Any, first: int, last: int) -> list[Any]:
        """Return those of a range, as the driver takes them again: tuples, or lines of COPY's text."""
        wanted = f"SELECT {self._listed} FROM {self.table.name} WHERE {self.key} BETWEEN {first} AND {last} ORDER BY id"
        if store.on_sqlite:
            return list(driver.execute(wanted).fetchall())
        with driver.cursor() as cursor, cursor.copy(f"COPY ({wanted}) TO STDOUT") as copy:
            return [b"".join(bytes(line) for line in copy)]

    def write(self, store: Store, driver: Any, rows: list[Any]) -> None:
        if store.on_sqlite:
            places = ", ".join("?" * len(self.columns))
            driver.executemany(f"INSERT INTO {self.table.name} ({self._listed}) VALUES ({places})", rows)
        else:
            with driver.cursor() as cursor, cursor.copy(f"COPY {self.table.name} ({self._listed}) FROM STDIN") as copy:
                copy.write(rows[0])


PEOPLE: Final = Rows(profiles, "id", tuple(column.name for column in profiles.columns))
CALLS: Final = Rows(calls, "id", tuple(column.name for column in calls.columns))
OWED: Final = Rows(
    deliveries, "call_id", tuple(column.name for column in deliveries.columns if column.name not in {"id", "reason"})
)


class Bare:
    """Follows a server, round by round: what it stored meanwhile is written into another store, of each call these rows."""

    def __init__(self, served: Store, own: Store, *rows: Rows) -> None:
        self._served, self._own, self._rows = served, own, rows
        self._people = self._calls = 0

    def follow(self, timing: Timing, at_a_time: int) -> int:
        """Write what came with the calls that are new since the last time, so many a transaction; return how many calls."""
        with _driver(self._served) as driver:
            people, self._people = self._people, _newest(self._served, profiles)
            new = self._new_calls()
            known = PEOPLE.read(self._served, driver, people + 1, self._people)
            ready = [[one.read(self._served, driver, some[0], some[-1]) for one in self._rows] for some in portions(new, at_a_time)]
        with _driver(self._own) as driver:
            # Those to whom the calls refer.
            _write(self._own, driver, [PEOPLE], [known])
            for portion in ready:
                with timing.once():
                    _write(self._own, driver, self._rows, portion)
        return len(new)

    def require_same(self) -> None:
        """Wrong unless the other store has as many of those rows."""
        for rows in self._rows:
            with self._served.reading() as one, self._own.reading() as other:
                counted = select(func.count()).select_from(rows.table)
                require_equal(f"{rows.table.name} of the bare store", other.scalar(counted), one.scalar(counted))

    def _new_calls(self) -> Sequence[int]:
        with self._served.reading() as connection:
            new = connection.scalars(select(calls.c.id).where(calls.c.id > self._calls).order_by(calls.c.id)).all()
        self._calls = new[-1] if new else self._calls
        return new


def _write(store: Store, driver: Any, rows: Sequence[Rows], portion: list[list[Any]]) -> None:
    if store.on_sqlite:
        driver.execute("BEGIN IMMEDIATE")
    for one, ready in zip(rows, portion, strict=True):
        one.write(store, driver, ready)
    driver.execute("COMMIT") if store.on_sqlite else driver.commit()


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
