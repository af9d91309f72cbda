"""Rows that are told with a statement instead of standing in a table, as one parameter: pairs, ids, or rows of named columns.

For few rows that is cheaper than a temporary table, which takes several statements; and one parameter, unlike a list of many,
lets the statement stay the same whatever their number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Self

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    FromClause,
    Select,
    TableValuedAlias,
    Text,
    bindparam,
    cast,
    column,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from sync.json_value import Writable, encode
from sync.store.prepared import told

IDS: Final = "ids"
PAIRS: Final = "pairs"
"""The names of the parameters."""

_ID: Final = "BIGINT"
"""PostgreSQL's type of an id."""


class _Told(FunctionElement[Any]):
    """The elements of an array in JSON, a row each."""

    inherit_cache = True
    name = "told"


@compiles(_Told, "postgresql")
def _on_postgresql(element: _Told, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"jsonb_array_elements(CAST({compiler.process(element.clause_expr, **arguments)} AS JSONB))"


class _Ids(FunctionElement[Any]):
    """The elements of an array in JSON of whole numbers, a row each."""

    inherit_cache = True
    name = "ids"


@compiles(_Told, "sqlite")
@compiles(_Ids, "sqlite")
def _on_sqlite(element: _Told | _Ids, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"json_each{compiler.process(element.clause_expr, **arguments)}"


@compiles(_Ids, "postgresql")
def _ids_on_postgresql(element: _Ids, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"LATERAL (SELECT {_unnested(compiler.process(element.clause_expr, **arguments))} AS value)"


def _unnested(array: str) -> str:
    # It is written alike but for the brackets; to read each by way of JSON costs PostgreSQL several times as much.
    return f"unnest(CAST(translate({array}, '[]', '{{}}') AS BIGINT[]))"


class _Last(FunctionElement[int]):
    """The last element of an array in JSON of whole numbers; null where it has none."""

    inherit_cache = True
    name = "last"
    type = BigInteger()


@compiles(_Last, "sqlite")
def _last_on_sqlite(element: _Last, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"json_extract({compiler.process(element.clauses, **arguments)}, '$[#-1]')"


@compiles(_Last, "postgresql")
def _last_on_postgresql(element: _Last, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"CAST(nullif(trim(split_part({compiler.process(element.clauses, **arguments)}, ',', -1), '[]'), '') AS BIGINT)"


def last_of(array: ColumnElement[str]) -> ColumnElement[int]:
    """Return the last element of an array in JSON of whole numbers, which takes far less than to read it; null of an empty one."""
    return _Last(array)


def ids_of(array: ColumnElement[str]) -> TableValuedAlias:
    """Return the elements of an array in JSON of whole numbers, and of nothing else, as rows with a `value`."""
    return _Ids(array).table_valued(column("value", BigInteger))


def elements_of(array: ColumnElement[Any]) -> TableValuedAlias:
    """Return the elements of an array in JSON, as rows with a `value`; to be joined with the table that has the array."""
    return _Told(array).table_valued(column("value"))


def _elements(name: str) -> ColumnElement[Any]:
    return elements_of(told(name, Text())).c.value


def _pairs() -> FromClause:
    pair = _elements(PAIRS)
    id, value = (pair.op("->>", return_type=Text())(place) for place in (0, 1))
    return select(cast(id, BigInteger).label("profile_id"), value.label("value")).subquery()


class _OneOf(FunctionElement[bool]):
    """Whether a column has one of the values of an array in JSON: (column, array), found by the column's index."""

    inherit_cache = True
    name = "one_of"
    type = Boolean()

    def self_group(self, against: Any = None) -> Self:
        """Stand in a condition as it is: SQLite, told to compare it with 1, would no longer use the index."""
        return self


@compiles(_OneOf, "sqlite")
def _one_of_on_sqlite(element: _OneOf, compiler: SQLCompiler, **arguments: Any) -> str:
    what, values = (compiler.process(part, **arguments) for part in element.clauses)
    return f"{what} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - written by SQLAlchemy


@compiles(_OneOf, "postgresql")
def _one_of_on_postgresql(element: _OneOf, compiler: SQLCompiler, **arguments: Any) -> str:
    what, values = (compiler.process(part, **arguments) for part in element.clauses)
    kind = compiler.process(cast(told("values", Text()), next(iter(element.clauses)).type).typeclause, **arguments)
    elements = _unnested(values) if kind == _ID else f"CAST(json_array_elements_text(CAST({values} AS JSON)) AS {kind})"
    # An array rather than the elements themselves, of which the planner would expect a hundred.
    return f"{what} = ANY (ARRAY(SELECT {elements}))"


def one_of(what: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return the condition that a column has one of the values that are told by a name (`values`)."""
    return _OneOf(what, told(name, Text()))


class _AnyOf(FunctionElement[bool]):
    """Whether a column has one of the values that a statement selects: (column, statement), found by the column's index."""

    inherit_cache = True
    name = "any_of"
    type = Boolean()

    def self_group(self, against: Any = None) -> Self:
        """Stand in a condition as it is, for the reason that `_OneOf` has."""
        return self


@compiles(_AnyOf, "sqlite")
def _any_of_on_sqlite(element: _AnyOf, compiler: SQLCompiler, **arguments: Any) -> str:
    what, statement = (compiler.process(part, **arguments) for part in element.clauses)
    return f"{what} IN {statement}"


@compiles(_AnyOf, "postgresql")
def _any_of_on_postgresql(element: _AnyOf, compiler: SQLCompiler, **arguments: Any) -> str:
    what, statement = (compiler.process(part, **arguments) for part in element.clauses)
    return f"{what} = ANY (ARRAY{statement})"


def any_of(what: ColumnElement[Any], statement: Select[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has one of the values that a statement selects, of which there are few."""
    return _AnyOf(what, statement.scalar_subquery())


def among(what: ColumnElement[Any], some: Collection[str] | Collection[int]) -> ColumnElement[bool]:
    """Return the same condition for a statement that is written each time, with the values in it.

    In an ordinary IN each is a parameter, and writing a thousand of them into the statement costs more than the look-up.
    """
    return _OneOf(what, bindparam(None, values(some), type_=Text(), unique=True))


def rows(name: str, types: Mapping[str, type[TypeEngine[Any]]]) -> FromClause:
    """Return the rows that are told by a name (`documents`), with these columns; in what order it gives them is not said."""
    row = _elements(name)
    columns = (cast(row.op("->>", return_type=Text())(key), type_).label(key) for key, type_ in types.items())
    return select(*columns).subquery()


LISTED_PAIRS: Final = _pairs()

# Made once, before there are threads (`sync.store.basis` says why).
_ids_decoder: Final = msgspec.json.Decoder(list[int])


def pairs(rows: Iterable[tuple[int, str | None]]) -> str:
    """Return the parameter for pairs of a profile's id and a value, which is JSON itself, or nothing."""
    return msgspec.json.encode(list(rows)).decode()


def values(some: Iterable[str] | Iterable[int]) -> str:
    """Return the parameter for ids, or for whatever `one_of` looks for."""
    return encode([*some])


def ids_in(text: str) -> list[int]:
    """Read ids that the database lists in JSON."""
    return _ids_decoder.decode(text)


def documents(some: Iterable[Mapping[str, Writable]]) -> str:
    """Return the parameter for `rows`: what each has in which column."""
    return encode([*some])
