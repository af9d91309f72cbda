"""Tallies: what became of everything that was sent, counted where it is written down, so that any process can show it.

Counts only ever rise. They are added to last in a transaction that writes answers down, so that the row is held for a moment only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

from sqlalchemy import BigInteger, Connection, Text, select

from sync.store.dialect import upsert
from sync.store.prepared import Prepared, told
from sync.store.schema import tallies

Tally: TypeAlias = tuple[str, str]
"""A lane and an outcome."""


def add(connection: Connection, counts: Mapping[Tally, int]) -> None:
    """Add to tallies, always in one order, so that two writers never wait for each other."""
    for (lane, outcome), count in sorted(counts.items()):
        if count:
            _added(connection.dialect.name).execute(connection, lane=lane, outcome=outcome, more=count)


@lru_cache
def _added(database: str) -> Prepared:
    statement = upsert(database, tallies).values(
        lane=told("lane", Text()), outcome=told("outcome", Text()), count=told("more", BigInteger())
    )
    added = {"count": tallies.c.count + statement.excluded.count}
    return Prepared(statement.on_conflict_do_update(index_elements=[tallies.c.lane, tallies.c.outcome], set_=added))


def read(connection: Connection) -> dict[Tally, int]:
    """Return every tally."""
    return {(lane, outcome): count for lane, outcome, count in connection.execute(select(tallies))}
