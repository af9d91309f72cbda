"""Many rows in one statement, by the road that each database has for that.

SQLAlchemy's own way binds every value of every row through Python. Here rows that are only to be inserted go by COPY on PostgreSQL
and by the driver's `executemany` on SQLite. Values are what the driver takes: instants in microseconds, documents as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from sqlalchemy import BigInteger, Connection, Table, cast, exc, func, select
from sqlalchemy.dialects.postgresql import REGCLASS

from sync.store import deadline
from sync.store.prepared import Prepared, told

Row: TypeAlias = tuple[Any, ...]

_KINDS: Final = frozenset(
    {"DataError", "IntegrityError", "InterfaceError", "InternalError", "OperationalError", "ProgrammingError"}
)


@dataclass(frozen=True, slots=True)
class Question:
    """A statement that returns rows, and what it is told."""

    statement: Prepared
    told: Mapping[str, Any]

    def rows(self, connection: Connection) -> list[Any]:
        """Ask it alone, and return the rows as the driver has them."""
        return self.statement.rows(connection, **self.told)


def insert(connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows, in the order given. Raises what SQLAlchemy raises."""
    if rows:
        insert_as_made(connection, table, names, rows)


def insert_as_made(connection: Connection, table: Table, names: Sequence[str], rows: Iterable[Row]) -> None:
    """Insert rows of which there is one at least, while they are being made: PostgreSQL keeps the first ones meanwhile."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_insert(table.name, tuple(names)), [*rows])
    else:
        _copy(connection, f"COPY {table.name} ({', '.join(names)}) FROM STDIN", rows)


@contextmanager
def together(connection: Connection) -> Iterator[None]:
    """Tell statements that return nothing without waiting for each to be done, which on PostgreSQL takes longer than most of them.

    What goes wrong is raised at the end, as SQLAlchemy would raise it; nothing after that has been done.
    """
    if not _need_not_wait(connection):
        yield
        return
    try:
        with _driver(connection).pipeline():
            yield
    except connection.dialect.loaded_dbapi.Error as error:
        raise _as_sqlalchemys("(several statements)", error) from error


def answers(connection: Connection, *asked: Question) -> list[list[Any]]:
    """Ask several things, in the order given and without waiting for each, and return the rows of each as the driver has them.

    Of a run's time (`sync.store.deadline`) each has what is left when they are asked, so not more than one of them may take long.
    """
    if len(asked) == 1 or not _need_not_wait(connection):
        return [one.rows(connection) for one in asked]
    deadline.tell(connection)
    driver = _driver(connection)
    with together(connection), ExitStack() as stack:
        cursors = [stack.enter_context(driver.cursor()) for _ in asked]
        for cursor, one in zip(cursors, asked, strict=True):
            with _planned(driver, one.statement):
                cursor.execute(*one.statement.written(connection, one.told))
        return [cursor.fetchall() for cursor in cursors]


@contextmanager
def _planned(driver: Any, statement: Prepared) -> Iterator[None]:
    """Let PostgreSQL keep its plan of a statement that says so; it would rather make one for what it is told, each time."""
    if not statement.planned_once:
        yield
        return
    # For it cannot know how little a search finds, and might think that a third of a table is best read as a whole.
    driver.execute("SELECT set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false)")
    yield
    # If something goes wrong before, all that was told together is taken back, what is set as well.
    driver.execute("RESET plan_cache_mode")
    driver.execute("RESET enable_seqscan")


def _need_not_wait(connection: Connection) -> bool:
    dbapi: Any = connection.dialect.loaded_dbapi
    # A libpq before 14 waits for each; psycopg[binary] brings a newer one.
    return connection.dialect.name != "sqlite" and bool(dbapi.Pipeline.is_supported())


def _driver(connection: Connection) -> Any:
    driver = connection.connection.driver_connection
    assert driver is not None, "it is connected"
    return driver


def new_ids(connection: Connection, table: Table, number: int) -> Sequence[int]:
    """Return ids that nobody has, for rows that this transaction, which must be one that writes, will insert."""
    return ids_in(connection, ids_wanted(connection, table, number).rows(connection), number)


def ids_wanted(connection: Connection, table: Table, number: int) -> Question:
    """Return what to ask for so many ids; the answer goes to `ids_in`."""
    return Question((_last if connection.dialect.name == "sqlite" else _following)(table), {"number": number})


def ids_in(connection: Connection, answer: Sequence[Any], number: int) -> Sequence[int]:
    """Return the ids of an answer, of which the same transaction must insert before it asks again."""
    ((found,),) = answer
    if connection.dialect.name == "sqlite":
        return range((found or 0) + 1, (found or 0) + 1 + number)
    # Of no rows there is no array.
    ids: Sequence[int] = found or ()
    return ids


@lru_cache
def _last(table: Table) -> Prepared:
    return Prepared(select(func.max(table.c.id)))


@lru_cache
def _following(table: Table) -> Prepared:
    # Below, so that it is looked up once and not for every number.
    sequence = select(cast(func.pg_get_serial_sequence(table.name, table.c.id.name), REGCLASS)).scalar_subquery()
    # In one row, since to read a thousand takes longer than to draw the numbers.
    drawn = func.array_agg(func.nextval(sequence))
    return Prepared(select(drawn).select_from(func.generate_series(1, told("number", BigInteger()))))


@lru_cache
def _insert(table: str, names: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - names of ours


def _copy(connection: Connection, statement: str, rows: Iterable[Row]) -> None:
    try:
        with _driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _as_sqlalchemys(statement, error) from error


def _as_sqlalchemys(statement: str, error: Exception) -> exc.DBAPIError:
    """Return what SQLAlchemy would have raised, had the statement been its own."""
    kind = next((one.__name__ for one in type(error).__mro__ if one.__name__ in _KINDS), "DatabaseError")
    made: exc.DBAPIError = getattr(exc, kind)(statement, None, error, hide_parameters=True)
    return made
