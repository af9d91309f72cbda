"""The whole statement: every known user, beside them the tables of what their streams come to, and the condition over both.

Each stream at the top of a query is one table grouped by profile, made once however often it is asked, so that the database can
hash or merge it. It is joined inwards where the query cannot hold without an event of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import FromClause, Select, Subquery, Text, cast, func, literal_column, select, true

from sync.language import tree
from sync.store.compiler.conditions import holds
from sync.store.compiler.needs import needed, reducers_of, refuse_unstorable, traits_of
from sync.store.compiler.operands import Value, json_of, of_number
from sync.store.compiler.places import Sql
from sync.store.compiler.reducers import by_user, column_of, source_of, value_of
from sync.store.compiler.scope import Reference, Run, Scope, Tally, with_user
from sync.store.schema import profiles
from sync.store.types import to_micros

NO_REFERENCES: Final[Mapping[str, Reference]] = MappingProxyType({})


def compile_audience(
    query: tree.Condition,
    now: datetime,
    among: Select[Any] | None = None,
    references: Mapping[str, Reference] = NO_REFERENCES,
) -> Select[Any]:
    """Select `profile_id` of the users for whom a condition holds at now, each once, in no order.

    `among` selects the ids of the only profiles that are asked about; the cost then follows their number. `references` has the
    audiences and computed traits by key; a trait of such a key is read from the ledger. Raises InputError for what cannot be asked.
    """
    run = _run(query, now, among, references)
    users, tables = profiles.alias(), _tables(query, run)
    rows: FromClause = users
    # Those that leave users out come first, so that the others have fewer to look up.
    for made in sorted(tables, key=lambda made: not made.is_needed):
        rows = rows.join(made.table, made.table.c.profile_id == users.c.id, isouter=not made.is_needed)
    rows, user = with_user(rows, users.c.id, run, traits_of(query), users.c.traits)
    condition = holds(query, _AtUser(run=run, user=user, tables=tables))
    return _users(users, rows, run).where(condition)


def compile_trait(
    query: tree.Computed,
    now: datetime,
    among: Select[Any] | None = None,
    references: Mapping[str, Reference] = NO_REFERENCES,
) -> Select[Any]:
    """Select `profile_id` and `value`, JSON as text, of the users for whom a computed trait has a value at now, in no order.

    A list without any element is no value. `among`, `references` and errors are as for an audience.
    """
    run = _run(query, now, among, references)
    users, table = profiles.alias(), by_user([query], run)
    is_count = isinstance(query, tree.Count | tree.UniqueCount)
    rows = users.join(table, table.c.profile_id == users.c.id, isouter=is_count)
    selected = _users(users, rows, run)
    if is_count:
        return selected.add_columns(cast(func.coalesce(table.c.value, literal_column("0")), Text()).label("value"))
    value = table.c.value if isinstance(query, tree.Unique) else json_of(value_of(query, table.c.value))
    return selected.add_columns(value.label("value")).where(table.c.value.is_not(None))


def _run(query: tree.Query, now: datetime, among: Select[Any] | None, references: Mapping[str, Reference]) -> Run:
    refuse_unstorable(query)
    return Run(now=to_micros(now), references=references, among=among)


def _users(users: FromClause, rows: FromClause, run: Run) -> Select[Any]:
    """Select the users that are asked about: profiles with a user id."""
    asked_about = run.is_asked_about(users.c.id)
    return select(users.c.id.label("profile_id")).select_from(rows).where(users.c.user_id.is_not(None), *asked_about)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    """What one stream at the top comes to."""

    table: Subquery
    reducers: tuple[tree.Computed, ...]
    # Whether the query is false of every user who is not in it.
    is_needed: bool


def _tables(query: tree.Condition, run: Run) -> list[_Table]:
    sources: dict[Hashable, list[tree.Computed]] = {}
    for reducer in reducers_of(query):
        sources.setdefault(source_of(reducer), []).append(reducer)
    indispensable = needed(query)
    return [
        _Table(table=by_user(some, run), reducers=tuple(some), is_needed=not indispensable.isdisjoint(some))
        for some in sources.values()
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class _AtUser(Scope):
    """The top of a query."""

    tables: Sequence[_Table]

    def inside(self, event: FromClause) -> Scope:
        raise AssertionError("a stream at the top is compiled by itself")

    def reduce(self, reduced: tree.Reduced) -> tuple[FromClause | None, Value]:
        if isinstance(reduced, tree.Count | tree.UniqueCount):
            return None, of_number(self.tally(reduced).count)
        _, column = self._column(reduced)
        return None, value_of(reduced, column)

    def tally(self, count: tree.Count | tree.UniqueCount) -> Tally:
        made, column = self._column(count)
        number = column if made.is_needed else func.coalesce(column, literal_column("0"))
        some = true() if made.is_needed else made.table.c.profile_id.is_not(None)
        return Tally(count=number, some=some if isinstance(count, tree.Count) else None)

    def _column(self, reducer: tree.Computed) -> tuple[_Table, Sql]:
        made = next(one for one in self.tables if reducer in one.reducers)
        return made, made.table.c[column_of(made.reducers.index(reducer))]
