"""Many values or rows in one statement, by the road that each database has for that.

SQLAlchemy's own way binds every value of every row through Python and words a list of a hundred values as a hundred parameters, so
that few statements are the same as one before. Here a list is one parameter whatever its length, as JSON; and rows that are only
to be inserted go by COPY on PostgreSQL and by the driver's `executemany` on SQLite. Values are what the driver takes: instants in
microseconds, documents as text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

from sqlalchemy import JSON, ColumnElement, Connection, FromClause, Table, Text, any_, cast, column, exc, func, literal, select
from sqlalchemy.types import TypeEngine

from sync.json_value import Writable, encode

Row: TypeAlias = tuple[Any, ...]

_KINDS: Final = frozenset(
    {"DataError", "IntegrityError", "InterfaceError", "InternalError", "OperationalError", "ProgrammingError"}
)


def insert(connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows, in the order given. Raises what SQLAlchemy raises."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_insert(table.name, tuple(names)), [*rows])
    else:
        _copy(connection, f"COPY {table.name} ({', '.join(names)}) FROM STDIN", rows)


def among(connection: Connection, what: ColumnElement[Any], values: Collection[str] | Collection[int]) -> ColumnElement[bool]:
    """Return the condition that a column has one of some values; by its index, if there is one."""
    listed = literal(encode([*values]), Text)
    if connection.dialect.name == "sqlite":
        return what.in_(select(func.json_each(listed).table_valued("value").c.value))
    elements = select(cast(func.json_array_elements_text(cast(listed, JSON)), what.type))
    # An array rather than the elements themselves, of which the planner would expect a hundred.
    return what == any_(func.array(elements.scalar_subquery()))


def given(connection: Connection, rows: Iterable[Mapping[str, Writable]], types: Mapping[str, type[TypeEngine[Any]]]) -> FromClause:
    """Return rows as something to select from; in what order it gives them is not said."""
    listed = literal(encode([*rows]), Text)
    if connection.dialect.name == "sqlite":
        value = func.json_each(listed).table_valued("value").c.value
        return select(*(value.op("->>")(name).label(name) for name in types)).subquery("given")
    columns = [column(name, type_) for name, type_ in types.items()]
    return func.json_to_recordset(cast(listed, JSON)).table_valued(*columns).render_derived(name="given", with_types=True)


def new_ids(connection: Connection, table: Table, number: int) -> Sequence[int]:
    """Return ids that nobody has, for rows that this transaction, which must be one that writes, will insert."""
    if connection.dialect.name == "sqlite":
        last = connection.scalar(select(func.max(table.c.id))) or 0
        return range(last + 1, last + 1 + number)
    following = func.nextval(func.pg_get_serial_sequence(table.name, table.c.id.name))
    return connection.scalars(select(following).select_from(func.generate_series(1, number))).all()


@lru_cache
def _insert(table: str, names: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - names of ours


def _copy(connection: Connection, statement: str, rows: Sequence[Row]) -> None:
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
