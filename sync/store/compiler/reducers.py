"""Reducers, as SQL: what one looks at, what it makes of a group of rows, and what its value then is.

Who groups the rows is said elsewhere: `by_user` for the streams at the top of a query, `at_event` for those inside a `where`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, assert_never

from sqlalchemy import Boolean, Double, Integer, Select, Text, distinct, func, select

from sync.language import tree
from sync.language.tree import ArithmeticFunction, Each, ExtremeFunction, PickFunction, ValueType
from sync.store.compiler.operands import Value, document, of_number, of_text
from sync.store.compiler.places import Document, Elements, Place, Sql, follow, side_by_side
from sync.store.compiler.streams import Events
from sync.store.compiler.words import Worded


def source_of(reduced: tree.Computed) -> Hashable:
    """Name the rows that a reducer is made of: those of one name can be made by one statement."""
    match reduced:
        case tree.Mode() | tree.Pick() | tree.Unique():
            return reduced
        case tree.UniqueCount(of=of) | tree.Arithmetic(of=of) | tree.Extreme(of=of) if Each.ELEMENT in of.path:
            return reduced.stream, of
        case _:
            return reduced.stream


def documents_of(some: Iterable[tree.Computed]) -> frozenset[str]:
    """Name the columns that reducers take their values from."""
    return frozenset(_document(one.of) for one in some if not isinstance(one, tree.Count))


def _document(of: tree.Reducible) -> str:
    return "properties" if isinstance(of, tree.Property) else "context"


def value_of(reduced: tree.Reduced, column: Sql) -> Value:
    """Give what a reducer's column holds."""
    match reduced:
        case tree.Count() | tree.UniqueCount() | tree.Arithmetic() | tree.Extreme(type=ValueType.NUMBER):
            return of_number(column)
        case tree.Extreme() | tree.Mode():
            return of_text(column)
        case tree.Pick():
            return document(column)
        case _:
            assert_never(reduced)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """What a reducer looks at: events, or the elements of an array in each of them, and where the value stands."""

    events: Events
    tables: tuple[Elements, ...]
    place: Place

    @classmethod
    def of(cls, reduced: tree.Computed, events: Events) -> Rows:
        if isinstance(reduced, tree.Count):
            return cls(events=events, tables=(), place=Place(origin=Document(column=events.table.c.profile_id)))
        origin = Document(column=events.table.c[_document(reduced.of)])
        if isinstance(reduced, tree.Mode) and reduced.type is ValueType.ARRAY:
            # All that the path leads to is one value.
            return cls(events=events, tables=(), place=Place(origin=origin))
        tables, place = follow(origin, reduced.of.path)
        return cls(events=events, tables=tables, place=place)

    def beside(self, reduced: tree.Computed) -> Rows:
        """Take another reducer's values from the same rows."""
        return self if self.tables else Rows.of(reduced, self.events)

    def select(self, *columns: Sql) -> Select[Any]:
        rows = side_by_side(self.tables, self.events.rows)
        own = (self.events.table, *(table.rows for table in self.tables))
        return select(*columns).select_from(rows).where(*self.events.conditions).correlate_except(*own)

    @property
    def text(self) -> Sql:
        place = self.place
        return Worded(lambda words: words.text(place), Text())

    @property
    def number(self) -> Sql:
        place = self.place
        return Worded(lambda words: words.number(place), Double())

    @property
    def is_present(self) -> Sql:
        place = self.place
        return Worded(lambda words: words.present(place), Boolean())


def aggregate(reduced: tree.Computed, rows: Rows) -> Sql:
    """Reduce the rows of a group; for all but `mode`, `first`, `last` and lists."""
    place, number, text = rows.place, rows.number, by_code_point(rows.text)
    match reduced:
        case tree.Count():
            return func.count()
        case tree.UniqueCount():
            return func.count(distinct(text))
        case tree.Arithmetic(function=ArithmeticFunction.SUM):
            return Worded(lambda words: words.total(place), Double())
        case tree.Arithmetic():
            return Worded(lambda words: words.mean(place), Double())
        case tree.Extreme(function=function, type=type_):
            end = func.min if function is ExtremeFunction.MIN else func.max
            return end(number if type_ is ValueType.NUMBER else text)
        case _:
            raise AssertionError("this reducer is no plain aggregate")


def mode_text(mode: tree.Mode, rows: Rows) -> Sql:
    """Give the text whose frequency counts."""
    if mode.type is not ValueType.ARRAY:
        return rows.text
    origin, path = rows.place.origin, mode.of.path
    assert isinstance(origin, Document)
    return Worded(lambda words: words.array_text(origin, path), Text())


def pick_order(pick: tree.Pick, rows: Rows) -> list[Sql]:
    """Order the rows so that the one to take is the first."""
    table = rows.events.table
    order: list[Sql] = [table.c.timestamp, table.c.id, *map(_ordinal, rows.tables)]
    return order if pick.function is PickFunction.FIRST else [one.desc() for one in order]


def _ordinal(elements: Elements) -> Sql:
    return Worded(lambda words: words.ordinal(elements), Integer())


def by_code_point(text: Sql) -> Sql:
    """Have a text compared and sorted by code point."""
    return Worded(lambda words: words.by_code_point(text), Text())
