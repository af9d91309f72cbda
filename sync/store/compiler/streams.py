"""The events of a stream, as SQL: the rows of `calls` that pass its filters, or those of them that the open session has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Boolean, FromClause, Integer, Text, and_, case, func, literal, select
from sqlalchemy.sql.elements import KeyedColumnElement

from sync.language import tree
from sync.language.depth import nesting
from sync.store.compiler.conditions import MOST_WRITTEN_OUT, holds, micros_of, table_of
from sync.store.compiler.operands import at
from sync.store.compiler.places import Place, Sql
from sync.store.compiler.scope import Scope, micros
from sync.store.compiler.words import Worded


@dataclass(frozen=True, kw_only=True, slots=True)
class Events:
    """A table of events with the columns of `calls` that are needed, where it stands in a FROM, and which of its rows count."""

    table: FromClause
    rows: FromClause
    conditions: tuple[Sql, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """`after < timestamp <= until`, in microseconds from now."""

    after: int | None
    until: int


def events_of(
    stream: tree.Stream, scope: Scope, table: FromClause, rows: FromClause, whose: Iterable[Sql], documents: Collection[str]
) -> Events:
    """Take the events of a stream.

    `table` is an alias of `calls`, which stands in `rows`; `whose` says whose events it may give; `documents` are the
    columns that are read of the events. The scope is that of the stream itself, not of its `where`.
    """
    name, whose = literal(stream.event, Text()), tuple(whose)
    is_named = Worded(lambda words: words.is_named(table.c.event, name), Boolean()) if whose else table.c.event == name
    # As in a condition, the deepest first.
    filters = sorted(stream.filters, key=nesting, reverse=True)
    conditions = (*_filters(filters, scope, table), *whose, is_named, *_windowed(stream.filters, scope, table))
    events = Events(table=table, rows=rows, conditions=conditions)
    return events if stream.expires_after is None else _open_session(events, stream, scope, documents)


def _windowed(filters: Iterable[tree.Filter], scope: Scope, table: FromClause) -> Iterator[Sql]:
    window = _window(filters)
    if window.after is not None:
        yield micros(table.c.timestamp) > scope.run.at(window.after)
    yield micros(table.c.timestamp) <= scope.run.at(window.until)


def _filters(filters: Sequence[tree.Filter], scope: Scope, table: FromClause) -> Iterator[Sql]:
    excluded = dict.fromkeys(source for filter_ in filters if isinstance(filter_, tree.Sources) for source in filter_.exclude)
    for filter_ in filters:
        match filter_:
            case tree.Where(condition=condition):
                yield holds(condition, scope.inside(table))
            case tree.Within(span=span, of_parent=True):
                yield _since_parent(table, scope, 0, micros_of(span))
            case tree.Between(near=near, far=far, of_parent=True):
                yield _since_parent(table, scope, micros_of(near), micros_of(far))
    if excluded:
        yield table.c.source.not_in(_listed(tuple(excluded)))


def _listed(texts: Sequence[str]) -> Any:
    """Give what texts are looked for in: the texts, or a table if they are many."""
    if len(texts) <= MOST_WRITTEN_OUT:
        return texts
    elements = table_of(tree.Text(value=text) for text in texts)
    text = at(Place(origin=elements)).string
    assert text is not None
    return select(text).select_from(elements.rows).correlate_except(elements.rows)


def _window(filters: Iterable[tree.Filter]) -> Window:
    """Put all windows that are relative to now into one, which the index can follow."""
    after, until = [], [0]
    for filter_ in filters:
        match filter_:
            case tree.Within(span=span, of_parent=False):
                after.append(-micros_of(span))
            case tree.Between(near=near, far=far, of_parent=False):
                after.append(-micros_of(far))
                until.append(-micros_of(near))
    return Window(after=max(after, default=None), until=min(until))


def _since_parent(table: FromClause, scope: Scope, after: int, until: int) -> Sql:
    assert scope.event is not None, "the checker lets no parent stand outside of a funnel"
    at, parent = micros(table.c.timestamp), micros(scope.event.c.timestamp)
    return and_(at > parent + _micros(after), at <= parent + _micros(until))


def _open_session(events: Events, stream: tree.Stream, scope: Scope, documents: Collection[str]) -> Events:
    """Keep the latest run of events each of which is followed by the next, and at last by now, in less than the span."""
    assert stream.expires_after is not None
    span, order = micros_of(stream.expires_after), (events.table.c.timestamp, events.table.c.id)
    following = func.lead(micros(events.table.c.timestamp)).over(partition_by=events.table.c.profile_id, order_by=order)
    gap = func.coalesce(following, scope.run.now) - micros(events.table.c.timestamp)
    broken = case((gap >= _micros(span), 1), else_=0).label("broken")
    kept: list[KeyedColumnElement[object]] = [
        events.table.c[name] for name in ("profile_id", "timestamp", "id", *sorted(documents))
    ]
    gaps = select(*kept, broken).select_from(events.rows).where(*events.conditions).correlate_except(events.table).subquery()
    later = func.sum(gaps.c.broken, type_=Integer()).over(
        partition_by=gaps.c.profile_id, order_by=(gaps.c.timestamp.desc(), gaps.c.id.desc())
    )
    sessions = select(*(gaps.c[one.key] for one in kept), later.label("later")).correlate_except(gaps).subquery()
    return Events(table=sessions, rows=sessions, conditions=(sessions.c.later == literal(0),))


def _micros(number: int) -> Sql:
    return literal(number, BigInteger())
