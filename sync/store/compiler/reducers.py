"""Reducers, as SQL.

There are two ways to ask one. *By user*: one statement that gives every user's value at once, grouped by profile, for the streams
at the top of a query. *At an event*: a table of one row that gives the value for the event that is looked at, for the streams
inside a `where`. Both are the same statement; by user it has a column more.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from sqlalchemy import Boolean, Double, FromClause, Integer, Select, Subquery, Text, distinct, exists, func, literal_column, select

from sync.language import tree
from sync.language.reads import parts_of
from sync.language.tree import ArithmeticFunction, Each, ExtremeFunction, PickFunction, ValueType
from sync.store.compiler.operands import Value, document, of_number, of_text, whole
from sync.store.compiler.places import Document, Elements, Place, Sql, follow, side_by_side
from sync.store.compiler.scope import Run, Scope, Tally, with_user
from sync.store.compiler.streams import Events, events_of
from sync.store.compiler.words import Worded
from sync.store.schema import calls


class AtEvent(Scope):
    """A stream, and what stands inside of its `where`."""

    def inside(self, event: FromClause) -> AtEvent:
        return AtEvent(run=self.run, user=self.user, event=event, parent=self.event)

    def reduce(self, reduced: tree.Reduced) -> tuple[FromClause, Value]:
        # The one row keeps the value from being worked out again for each of its readings; LIMIT keeps the row from being dissolved.
        statement = _statement(reduced, self._events(reduced), by_user=False)
        row = select(statement.scalar_subquery().label("value")).limit(1).subquery()
        return row, value_of(reduced, row.c.value)

    def tally(self, count: tree.Count | tree.UniqueCount) -> Tally:
        events = self._events(count)
        number = _statement(count, events, by_user=False).scalar_subquery()
        return Tally(count=number, some=exists(_select(events, literal_column("1", Integer()))) if isinstance(count, tree.Count) else None)

    def _events(self, reduced: tree.Reduced) -> Events:
        assert self.event is not None
        table = calls.alias()
        return events_of(
            reduced.stream, self, table, table, (table.c.profile_id == self.event.c.profile_id,), _documents([reduced])
        )


def source_of(reduced: tree.Computed) -> Hashable:
    """Name the rows that a reducer is made of: those of one name can be made by one statement."""
    match reduced:
        case tree.Mode() | tree.Pick() | tree.Unique():
            return reduced
        case tree.UniqueCount(of=of) | tree.Arithmetic(of=of) | tree.Extreme(of=of) if Each.ELEMENT in of.path:
            return reduced.stream, of
        case _:
            return reduced.stream


def by_user(some: Sequence[tree.Computed], run: Run) -> Subquery:
    """Make a table of profile_id and, under `column_of(0)` and so on, the value of each reducer; all are of one source.

    Users without an event are not in it.
    """
    stream, table = some[0].stream, calls.alias()
    rows, user = with_user(table, table.c.profile_id, run, _traits_in(stream))
    scope = AtEvent(run=run, user=user)
    events = events_of(stream, scope, table, rows, run.is_asked_about(table.c.profile_id), _documents(some))
    if len(some) == 1:
        return _statement(some[0], events, by_user=True).subquery()
    values = _Values.of(some[0], events)
    columns = [_aggregate(one, values.beside(one)).label(column_of(place)) for place, one in enumerate(some)]
    return values.select(events.table.c.profile_id, *columns).group_by(events.table.c.profile_id).subquery()


def column_of(place: int) -> str:
    """Name the column of a reducer by its place among those of one statement, which begins with 0."""
    return "value" if place == 0 else f"value_{place}"


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


def _traits_in(part: object) -> frozenset[str]:
    own = frozenset([part.key]) if isinstance(part, tree.Trait) else frozenset[str]()
    return own.union(*map(_traits_in, parts_of(part)))


def _documents(some: Sequence[tree.Computed]) -> frozenset[str]:
    """Name the columns that the reducers take their values from."""
    return frozenset(_document(one.of) for one in some if not isinstance(one, tree.Count))


def _document(of: tree.Reducible) -> str:
    return "properties" if isinstance(of, tree.Property) else "context"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Values:
    """What a reducer looks at: events, or the elements of an array in each of them, and where the value stands."""

    events: Events
    tables: tuple[Elements, ...]
    place: Place

    @classmethod
    def of(cls, reduced: tree.Computed, events: Events) -> _Values:
        if isinstance(reduced, tree.Count):
            return cls(events=events, tables=(), place=Place(origin=Document(column=events.table.c.profile_id)))
        tables, place = follow(Document(column=events.table.c[_document(reduced.of)]), reduced.of.path)
        return cls(events=events, tables=tables, place=place)

    def beside(self, reduced: tree.Computed) -> _Values:
        """Take another reducer's values from the same rows."""
        return self if self.tables else _Values.of(reduced, self.events)

    def select(self, *columns: Sql) -> Select[Any]:
        rows = side_by_side(self.tables, self.events.rows)
        own = (self.events.table, *(table.rows for table in self.tables))
        return select(*columns).select_from(rows).where(*self.events.conditions).correlate_except(*own)


def _select(events: Events, *columns: Sql) -> Select[Any]:
    return _Values(events=events, tables=(), place=Place(origin=Document(column=columns[0]))).select(*columns)


def _statement(reduced: tree.Computed, events: Events, by_user: bool) -> Select[Any]:
    """Select the value; by user, the profile's id before it."""
    values = _Values.of(reduced, events)
    match reduced:
        case tree.Mode():
            return _most_frequent(reduced, values, by_user)
        case tree.Pick():
            return _picked(reduced, values, by_user)
        case tree.Unique():
            return _listed(values, by_user)
        case _:
            key = _key(events.table, by_user)
            return values.select(*key, _aggregate(reduced, values).label("value")).group_by(*key)


def _aggregate(reduced: tree.Computed, values: _Values) -> Sql:
    place = values.place
    number = Worded(lambda words: words.number(place), Double())
    match reduced:
        case tree.Count():
            return func.count()
        case tree.UniqueCount():
            return func.count(distinct(_text_of(place)))
        case tree.Arithmetic(function=ArithmeticFunction.SUM):
            return Worded(lambda words: words.total(number), number.type)
        case tree.Arithmetic():
            return Worded(lambda words: words.mean(number), number.type)
        case tree.Extreme(function=function, type=type_):
            end = func.min if function is ExtremeFunction.MIN else func.max
            return end(number if type_ is ValueType.NUMBER else _text_of(place))
        case _:
            raise AssertionError("this reducer is no plain aggregate")


def _text_of(place: Place) -> Sql:
    return _by_code_point(Worded(lambda words: words.text(place), Text()))


def _by_code_point(text: Sql) -> Sql:
    return Worded(lambda words: words.by_code_point(text), Text())


def _key(table: FromClause, by_user: bool) -> list[Sql]:
    return [table.c.profile_id] if by_user else []


def _texts(text: Sql, values: _Values, by_user: bool) -> Subquery:
    """Make a table of every event's text, so that what makes the text is in the statement once."""
    return values.select(*_key(values.events.table, by_user), text.label("text")).subquery()


def _most_frequent(mode: tree.Mode, values: _Values, by_user: bool) -> Select[Any]:
    place, events = values.place, values.events
    if mode.type is ValueType.ARRAY:
        origin = Document(column=events.table.c[_document(mode.of)])
        whole_text = Worded(lambda words: words.array_text(origin, mode.of.path), Text())
        texts = _texts(whole_text, _Values(events=events, tables=(), place=place), by_user)
    else:
        texts = _texts(Worded(lambda words: words.text(place), Text()), values, by_user)
    key, order = _key(texts, by_user), (func.count().desc(), _by_code_point(texts.c.text))
    ranked = (
        select(*key, texts.c.text, func.row_number().over(partition_by=key or None, order_by=order).label("rank"))
        .where(texts.c.text.is_not(None))
        .group_by(*key, texts.c.text)
        .having(func.count() >= mode.at_least)
        .correlate_except(texts)
        .subquery()
    )
    return _first(ranked, ranked.c.text, by_user)


def _picked(pick: tree.Pick, values: _Values, by_user: bool) -> Select[Any]:
    place, table = values.place, values.events.table
    elements = [_ordinal(elements) for elements in values.tables]
    order: list[Sql] = [table.c.timestamp, table.c.id, *elements]
    if pick.function is PickFunction.LAST:
        order = [one.desc() for one in order]
    key = _key(table, by_user)
    rank = func.row_number().over(partition_by=key or None, order_by=order).label("rank")
    found = values.select(*key, whole(place).label("picked"), rank)
    ranked = found.where(Worded(lambda words: words.present(place), Boolean())).subquery()
    return _first(ranked, ranked.c.picked, by_user)


def _ordinal(elements: Elements) -> Sql:
    return Worded(lambda words: words.ordinal(elements), Integer())


def _first(ranked: Subquery, value: Sql, by_user: bool) -> Select[Any]:
    return select(*_key(ranked, by_user), value.label("value")).where(ranked.c.rank == 1).correlate_except(ranked)


def _listed(values: _Values, by_user: bool) -> Select[Any]:
    place = values.place
    texts = _texts(Worded(lambda words: words.text(place), Text()), values, by_user)
    key = _key(texts, by_user)
    once = select(*key, texts.c.text).where(texts.c.text.is_not(None)).distinct().correlate_except(texts).subquery()
    key, text = _key(once, by_user), once.c.text
    listed = Worded(lambda words: words.json_list(text), Text()).label("value")
    return select(*key, listed).group_by(*key).correlate_except(once)
