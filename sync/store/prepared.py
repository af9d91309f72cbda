"""Statements that are executed again and again: written in SQL once for each database, and from then on only executed.

SQLAlchemy finds out at every execution whether it has written a statement before, by looking at all of its parts; of a run that
finds ten users that was most of the time, and to make the parts anew each time was most of what it took to look up one. Values that
differ are told by name (`told`). Rows come as the driver gives them: an instant is a number, a document is what the driver takes it
for; or, by name, as the program has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, ClauseElement, Connection, CursorResult, Dialect, SelectBase, bindparam
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

_ToDriver = Callable[[Any], Any]
_FromDriver = Callable[[Sequence[Any]], Any]


def told(name: str, type_: TypeEngine[Any]) -> BindParameter[Any]:
    """Give a value that each execution tells."""
    # None, since a statement is not written where a value is missing.
    return bindparam(name, None, type_)


@dataclass(frozen=True, slots=True)
class _Written:
    """A statement in the words of one database."""

    sql: str
    constants: Mapping[str, Any]
    # What each execution has to tell, and how the driver wants it where that is not as it is.
    asked: Sequence[tuple[str, _ToDriver | None]]
    # Where the driver takes values by place and not by name: the name at each.
    places: Sequence[str] | None

    def values(self, told: Mapping[str, Any]) -> Any:
        named = dict(self.constants)
        for name, convert in self.asked:
            named[name] = _converted(convert, told[name])
        return named if self.places is None else tuple([named[name] for name in self.places])


@dataclass(frozen=True, eq=False, slots=True)
class Prepared:
    """A statement without any list of values whose length may differ. Safe to share between threads and databases."""

    statement: ClauseElement
    before: str = ""
    """What SQL has to say before it; SQLAlchemy before 2.1 has no CREATE TABLE … AS."""
    planned_once: bool = False
    """Whether PostgreSQL is to keep one plan for whatever it is told, where `bulk.answers` asks it beside others: of a statement
    that goes by the same indexes whatever that is, and is planned for longer than it is executed."""
    _written: dict[str, _Written] = field(default_factory=dict, repr=False)
    _read: dict[str, _FromDriver] = field(default_factory=dict, repr=False)

    def execute(self, connection: Connection, **told: Any) -> CursorResult[Any]:
        """Execute it with values by name; those that the statement does not ask for are passed over."""
        return connection.exec_driver_sql(*self.written(connection, told))

    def written(self, connection: Connection, told: Mapping[str, Any]) -> tuple[str, Any]:
        """Return it in the words of a database, with its values as the driver takes them."""
        written = self._written.get(connection.dialect.name)
        if written is None:
            written = self._written[connection.dialect.name] = _write(self.statement, connection.dialect, self.before)
        return written.sql, written.values(told)

    def rows(self, connection: Connection, **told: Any) -> list[Any]:
        """Execute it and return all rows as the driver has them, tuples: to make each a row of SQLAlchemy's costs as much again."""
        result = self.execute(connection, **told)
        assert result.cursor is not None, "it gives rows"
        found: list[Any] = list(result.cursor.fetchall())
        result.close()
        return found

    def records(self, connection: Connection, **told: Any) -> list[Any]:
        """Execute it and return all rows with the names of its columns, and the program's own values: instants, documents.

        Only of a SELECT, all of whose columns have names that Python has, too.
        """
        read = self._read.get(connection.dialect.name)
        if read is None:
            read = self._read[connection.dialect.name] = _reading(self.statement, connection.dialect)
        return [read(row) for row in self.rows(connection, **told)]


def _write(statement: ClauseElement, dialect: Dialect, before: str) -> _Written:
    compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    assert isinstance(compiled, SQLCompiler), "it is no DDL"
    convert = {name: bound.type.dialect_impl(dialect).bind_processor(dialect) for name, bound in compiled.binds.items()}
    asked = {name: convert[name] for name, bound in compiled.binds.items() if not bound.unique and bound.value is None}
    values = compiled.params
    return _Written(
        sql=f"{before}{compiled}",
        constants={name: _converted(convert.get(name), value) for name, value in values.items() if name not in asked},
        asked=tuple(asked.items()),
        places=compiled.positiontup,
    )


def _reading(statement: ClauseElement, dialect: Dialect) -> _FromDriver:
    assert isinstance(statement, SelectBase), "it gives rows"
    columns = [*statement.selected_columns]
    # The names are the statement's to know.
    record: Any = NamedTuple("record", [(one.name, Any) for one in columns])  # type: ignore[misc]
    convert = [one.type.dialect_impl(dialect).result_processor(dialect, None) for one in columns]
    return lambda row: record._make([_converted(*one) for one in zip(convert, row, strict=True)])


def _converted(convert: _ToDriver | None, value: Any) -> Any:
    return value if convert is None or value is None else convert(value)
