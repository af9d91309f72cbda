"""Where a JSON value stands: in a document, or in an element of an array, and the keys that lead from there to it.

A place is not SQL yet. How it is reached, and what can be said of the value there, is in the words of each database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, FromClause, TableValuedAlias, column, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.functions import FunctionElement

from sync.language.tree import Each, Path

Sql: TypeAlias = ColumnElement[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A column that holds a whole JSON value."""

    column: Sql
    # PostgreSQL, too, keeps it as text.
    is_text: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Elements:
    """The elements of the array at a place, as a table: a row each, and none if there is no array."""

    array: Place
    rows: TableValuedAlias


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where one value stands."""

    origin: Document | Elements
    keys: tuple[str, ...] = ()


class ElementRows(FunctionElement[Any]):
    """The function that takes an array apart."""

    inherit_cache = False
    name = "elements"

    def __init__(self, array: Place) -> None:
        super().__init__()
        self.array = array


def elements_of(array: Place) -> Elements:
    """Take the array at a place apart. Each call gives another table."""
    # `key` and `type` are SQLite's, `ordinality` is PostgreSQL's.
    columns: list[Any] = [column(name) for name in ("key", "type", "ordinality")]
    return Elements(array=array, rows=ElementRows(array).table_valued(column("value", JSONB), *columns))


def follow(origin: Document, path: Path) -> tuple[tuple[Elements, ...], Place]:
    """Follow a path: give the tables that its `$` make, outermost first, and the place that is reached in each of their rows."""
    place = Place(origin=origin)
    tables: list[Elements] = []
    for step in path:
        if isinstance(step, Each):
            tables.append(elements_of(place))
            place = Place(origin=tables[-1])
        else:
            place = Place(origin=place.origin, keys=(*place.keys, step))
    return tuple(tables), place


def side_by_side(tables: Sequence[Elements], first: FromClause | None = None) -> FromClause:
    """Join tables of elements, each of which may look at those before it; after another table, if there is one."""
    joined = first
    for table in tables:
        joined = table.rows if joined is None else joined.join(table.rows, true())
    assert joined is not None
    return joined
