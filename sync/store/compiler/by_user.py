"""Reducers at the top of a query: one statement gives every user's values at once, grouped by profile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CTE, Select, Text, func, select

from sync.language import tree
from sync.store.compiler.at_event import AtEvent
from sync.store.compiler.needs import traits_in
from sync.store.compiler.operands import whole
from sync.store.compiler.places import Sql
from sync.store.compiler.reducers import Rows, aggregate, by_code_point, documents_of, mode_text, pick_order
from sync.store.compiler.scope import Run, with_user
from sync.store.compiler.streams import events_of
from sync.store.compiler.words import Worded
from sync.store.schema import calls


def by_user(some: Sequence[tree.Computed], run: Run) -> CTE:
    """Make a table of profile_id and, under `column_of(0)` and so on, the value of each reducer; all are of one source.

    Users without an event are not in it. It stands before the statement, in WITH: see `sync.language.depth` for why
    nothing is nested in vain.
    """
    rows = _rows(some, run)
    match some[0]:
        case tree.Mode() as mode:
            statement = _most_frequent(mode, rows)
        case tree.Pick() as pick:
            statement = _picked(pick, rows)
        case tree.Unique():
            statement = _listed(rows)
        case _:
            statement = _aggregated(some, rows)
    return statement.cte()


def anybody_with(count: tree.Count, run: Run) -> CTE:
    """Make a table of the profile_id of the users who have an event, some more than once."""
    rows = _rows([count], run)
    return rows.select(rows.events.table.c.profile_id).cte()


def _rows(some: Sequence[tree.Computed], run: Run) -> Rows:
    stream, table = some[0].stream, calls.alias()
    joined, user = with_user(table, table.c.profile_id, run, traits_in(stream))
    scope = AtEvent(run=run, user=user, profile_id=table.c.profile_id)
    events = events_of(stream, scope, table, joined, run.is_asked_about(table.c.profile_id), documents_of(some))
    return Rows.of(some[0], events)


def column_of(place: int) -> str:
    """Name the column of a reducer by its place among those of one statement, which begins with 0."""
    return "value" if place == 0 else f"value_{place}"


def _aggregated(some: Sequence[tree.Computed], rows: Rows) -> Select[Any]:
    columns = [aggregate(one, rows.beside(one)).label(column_of(place)) for place, one in enumerate(some)]
    profile_id = rows.events.table.c.profile_id
    return rows.select(profile_id, *columns).group_by(profile_id)


def _texts(text: Sql, rows: Rows) -> CTE:
    """Make a table of every event's text, so that what makes the text is in the statement once."""
    return rows.select(rows.events.table.c.profile_id, text.label("text")).cte()


def _most_frequent(mode: tree.Mode, rows: Rows) -> Select[Any]:
    texts = _texts(mode_text(mode, rows), rows)
    profile_id, text = texts.c.profile_id, texts.c.text
    rank = func.row_number().over(partition_by=profile_id, order_by=(func.count().desc(), by_code_point(text)))
    often = select(profile_id, text.label("found"), rank.label("rank")).where(text.is_not(None)).group_by(profile_id, text)
    return _first(often.having(func.count() >= mode.at_least))


def _picked(pick: tree.Pick, rows: Rows) -> Select[Any]:
    profile_id = rows.events.table.c.profile_id
    rank = func.row_number().over(partition_by=profile_id, order_by=pick_order(pick, rows))
    return _first(rows.select(profile_id, whole(rows.place).label("found"), rank.label("rank")).where(rows.is_present))


def _first(ranked: Select[Any]) -> Select[Any]:
    table = ranked.cte()
    return select(table.c.profile_id, table.c.found.label("value")).where(table.c.rank == 1)


def _listed(rows: Rows) -> Select[Any]:
    texts = _texts(rows.text, rows)
    once = select(texts.c.profile_id, texts.c.text).where(texts.c.text.is_not(None)).distinct().cte()
    listed = Worded(lambda words: words.json_list(once.c.text), Text())
    return select(once.c.profile_id, listed.label("value")).group_by(once.c.profile_id)
