"""Many rows in one statement, by the road that each database has for that.

SQLAlchemy's own way binds every value of every row through Python. Here rows that are only to be inserted go by COPY on PostgreSQL
and by the driver's `executemany` on SQLite. Values are what the driver takes: instants in microseconds, documents as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, TypeAlias

from sqlalchemy import BigInteger, Connection, Table, cast, exc, func, select
from sqlalchemy.dialects.postgresql import REGCLASS

from sync.store.prepared import Prepared, told

Row: TypeAlias = tuple[Any, ...]

_KINDS: Final = frozenset(
    {"DataError", "IntegrityError", "InterfaceError", "InternalError", "OperationalError", "ProgrammingError"}
)


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
    dbapi: Any = connection.dialect.loaded_dbapi
    # A libpq before 14 waits for each; psycopg[binary] brings a newer one.
    if connection.dialect.name == "sqlite" or not dbapi.Pipeline.is_supported():
        yield
        return
    driver = connection.connection.driver_connection
    assert driver is not None, "it is connected"
    try:
        with driver.pipeline():
            yield
    except dbapi.Error as error:
        raise _as_sqlalchemys("(several statements)", error) from error


def new_ids(connection: Connection, table: Table, number: int) -> Sequence[int]:
    """Return ids that nobody has, for rows that this transaction, which must be one that writes, will insert."""
    if connection.dialect.name == "sqlite":
        last = _last(table).execute(connection).scalar_one() or 0
        return range(last + 1, last + 1 + number)
    found: list[int] | None = _following(table).execute(connection, number=number).scalar_one()
    # Of no rows there is no array.
    return found or ()


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
    driver = connection.connection.driver_connection
    assert driver is not None, "it is connected"
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _as_sqlalchemys(statement, error) from error


def _as_sqlalchemys(statement: str, error: Exception) -> exc.DBAPIError:
    """Return what SQLAlchemy would have raised, had the statement been its own."""
    kind = next((one.__name__ for one in type(error).__mro__ if one.__name__ in _KINDS), "DatabaseError")
    made: exc.DBAPIError = getattr(exc, kind)(statement, None, error, hide_parameters=True)
    return made
