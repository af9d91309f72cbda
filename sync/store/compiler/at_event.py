"""Reducers inside a `where`: a subquery that gives the value for the event that is looked at, found by the index of its profile.

SQLite's parser can remember a hundred open brackets and words, and a subquery takes ten, so they are kept flat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import FromClause, Integer, Select, exists, func, literal_column

from sync.language import tree
from sync.store.compiler.operands import whole
from sync.store.compiler.places import Sql
from sync.store.compiler.reducers import Rows, aggregate, by_code_point, documents_of, mode_text, pick_order, value_of
from sync.store.compiler.scope import Found, Scope, Tally
from sync.store.compiler.streams import events_of
from sync.store.schema import calls

# A name that no table here has a column of; a table of elements has `value`.
_FOUND: Final = "found"


@dataclass(frozen=True, kw_only=True, slots=True)
class AtEvent(Scope):
    """A stream, and what stands inside of its `where`."""

    # Whose events it is about.
    profile_id: Sql

    def inside(self, event: FromClause) -> AtEvent:
        return AtEvent(run=self.run, user=self.user, event=event, parent=self.event, profile_id=event.c.profile_id)

    def reduce(self, reduced: tree.Reduced) -> Found:
        # LIMIT keeps the one row from being dissolved, and its value from being worked out again for each of its readings.
        row = _statement(reduced, self._rows(reduced)).limit(1).subquery()
        return Found(value=value_of(reduced, row.c[_FOUND]), rows=row, is_certain=not isinstance(reduced, tree.Mode | tree.Pick))

    def tally(self, count: tree.Count | tree.UniqueCount) -> Tally:
        rows = self._rows(count)
        some = exists(rows.select(literal_column("1", Integer()))) if isinstance(count, tree.Count) else None
        return Tally(count=_statement(count, rows).scalar_subquery(), some=some)

    def _rows(self, reduced: tree.Reduced) -> Rows:
        table = calls.alias()
        whose = (table.c.profile_id == self.profile_id,)
        return Rows.of(reduced, events_of(reduced.stream, self, table, table, whose, documents_of([reduced])))


def _statement(reduced: tree.Reduced, rows: Rows) -> Select[Any]:
    match reduced:
        case tree.Mode():
            text = mode_text(reduced, rows)
            often = rows.select(by_code_point(text).label(_FOUND)).where(text.is_not(None)).group_by(_FOUND)
            return often.having(func.count() >= reduced.at_least).order_by(func.count().desc(), _FOUND)
        case tree.Pick():
            found = rows.select(whole(rows.place).label(_FOUND)).where(rows.is_present)
            return found.order_by(*pick_order(reduced, rows))
        case _:
            return rows.select(aggregate(reduced, rows).label(_FOUND))
