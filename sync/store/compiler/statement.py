"""The whole statement: every known user, beside them the tables of what their streams come to, and the condition over both.

Each stream at the top of a query is one table grouped by profile, made once however often it is asked, so that the database can
hash or merge it. It is joined inwards where the query cannot hold without an event of it; and where the query asks for nothing but
such an event, the users are looked for in the stream and nothing is grouped.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import CTE, BigInteger, FromClause, Select, Text, cast, func, literal, literal_column, select, true

from sync.language import tree
from sync.store.compiler.at_event import AtEvent
from sync.store.compiler.by_user import anybody_with, by_user, column_of
from sync.store.compiler.conditions import holds
from sync.store.compiler.needs import needed, numbers_in, reducers_of, traits_in, traits_of
from sync.store.compiler.operands import json_of, of_number
from sync.store.compiler.places import Sql
from sync.store.compiler.reducers import source_of, value_of
from sync.store.compiler.scope import Among, Found, Reference, Run, Tally, with_user
from sync.store.prepared import told
from sync.store.schema import profiles
from sync.store.types import to_micros

MOST_TABLES: Final = 40
"""How many tables of streams are joined; SQLite joins 64 tables at most, and those of the ledger are among them."""

NOW: Final[Sql] = told("now", BigInteger())
"""The instant that counts as now, where a statement is written once and told at each execution."""

NO_REFERENCES: Final[Mapping[str, Reference]] = MappingProxyType({})


def compile_audience(
    query: tree.Condition,
    now: datetime | Sql,
    among: Among | None = None,
    references: Mapping[str, Reference] = NO_REFERENCES,
) -> Select[Any]:
    """Select `profile_id` of the users for whom a condition holds at now, each once, in no order.

    `now` is an instant, or `NOW` for a statement that is told at each execution, in microseconds. `among` says
    which are the only profiles that are asked about; the cost then follows their number. `references` has the
    audiences and computed traits by key; a trait of such a key is read from the ledger. Whatever query the language accepts can be
    asked of every store (`sync.language.depth`).
    """
    run = _run(now, among, references)
    users, present = profiles.alias(), _only_present(query)
    tables, beyond = _tables(query, run, present)
    rows: FromClause = users
    for made in tables:
        rows = rows.join(made.table, made.table.c.profile_id == users.c.id, isouter=not made.is_needed)
    keys = traits_of(query).union(*map(traits_in, beyond))
    rows, user = with_user(rows, users.c.id, run, keys, users.c.traits)
    condition = holds(query, _AtUser(run=run, user=user, profile_id=users.c.id, tables=tables, present=present))
    return _users(users, rows, run).where(*(_is_in(users, one, run) for one in present), condition)


def compile_trait(
    query: tree.Computed,
    now: datetime | Sql,
    among: Among | None = None,
    references: Mapping[str, Reference] = NO_REFERENCES,
) -> Select[Any]:
    """Select `profile_id` and `value`, JSON as text, of the users for whom a computed trait has a value at now, in no order.

    A list without any element is no value. `now`, `among` and `references` are as for an audience.
    """
    run = _run(now, among, references)
    users, table = profiles.alias(), by_user([query], run)
    is_count = isinstance(query, tree.Count | tree.UniqueCount)
    rows = users.join(table, table.c.profile_id == users.c.id, isouter=is_count)
    selected = _users(users, rows, run)
    if is_count:
        count: Sql = cast(func.coalesce(table.c.value, literal_column("0")), Text())
        return selected.add_columns(count.label("value"))
    value = table.c.value if isinstance(query, tree.Unique) else json_of(value_of(query, table.c.value))
    return selected.add_columns(value.label("value")).where(table.c.value.is_not(None))


def _run(now: datetime | Sql, among: Among | None, references: Mapping[str, Reference]) -> Run:
    instant = literal(to_micros(now), BigInteger()) if isinstance(now, datetime) else now
    return Run(now=instant, references=references, among=among)


def _users(users: FromClause, rows: FromClause, run: Run) -> Select[Any]:
    """Select the users that are asked about: profiles with a user id."""
    asked_about = run.is_asked_about(users.c.id)
    return select(users.c.id.label("profile_id")).select_from(rows).where(users.c.user_id.is_not(None), *asked_about)


def _only_present(query: tree.Condition) -> Sequence[tree.Count]:
    """List the counts that need not be counted: without an event the query is false, and no more than that is asked of them."""
    counted = numbers_in(query)
    shared = {source_of(one) for one in counted}
    certain = needed(query) - counted
    return [one for one in reducers_of(query) if isinstance(one, tree.Count) and one in certain and source_of(one) not in shared]


def _is_in(users: FromClause, count: tree.Count, run: Run) -> Sql:
    return users.c.id.in_(select(anybody_with(count, run).c.profile_id))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    """What one stream at the top comes to."""

    table: CTE
    reducers: tuple[tree.Computed, ...]
    # Whether the query is false of every user who is not in it.
    is_needed: bool

    def column(self, reducer: tree.Computed) -> Sql:
        return self.table.c[column_of(self.reducers.index(reducer))]


def _tables(query: tree.Condition, run: Run, present: Collection[tree.Count]) -> tuple[Sequence[_Table], Sequence[tree.Computed]]:
    """Make a table of each source; and list the reducers that are too many for a join and are asked of each user instead.

    The tables that leave users out come first, so that the others have fewer to look up.
    """
    sources: dict[Hashable, list[tree.Computed]] = {}
    for reducer in (one for one in reducers_of(query) if one not in present):
        sources.setdefault(source_of(reducer), []).append(reducer)
    indispensable = needed(query)
    groups = sorted(sources.values(), key=indispensable.isdisjoint)
    tables = [
        _Table(table=by_user(some, run), reducers=tuple(some), is_needed=not indispensable.isdisjoint(some))
        for some in groups[:MOST_TABLES]
    ]
    return tables, [one for some in groups[MOST_TABLES:] for one in some]


@dataclass(frozen=True, kw_only=True, slots=True)
class _AtUser(AtEvent):
    """The top of a query."""

    tables: Sequence[_Table]
    # Of which it is settled elsewhere that there is an event.
    present: Collection[tree.Count]

    def inside(self, event: FromClause) -> AtEvent:
        return AtEvent(run=self.run, user=self.user, event=event, profile_id=event.c.profile_id)

    def reduce(self, reduced: tree.Reduced) -> Found:
        made = self._table_of(reduced)
        if made is None:
            return AtEvent.reduce(self, reduced)
        if isinstance(reduced, tree.Count | tree.UniqueCount):
            return Found(value=of_number(self.tally(reduced).count))
        return Found(value=value_of(reduced, made.column(reduced)))

    def tally(self, count: tree.Count | tree.UniqueCount) -> Tally:
        made = self._table_of(count)
        if made is None:
            tally = AtEvent.tally(self, count)
            return replace(tally, some=true()) if count in self.present else tally
        number = made.column(count) if made.is_needed else func.coalesce(made.column(count), literal_column("0"))
        some = true() if made.is_needed else made.table.c.profile_id.is_not(None)
        return Tally(count=number, some=some if isinstance(count, tree.Count) else None)

    def _table_of(self, reducer: tree.Computed) -> _Table | None:
        return next((one for one in self.tables if reducer in one.reducers), None)
