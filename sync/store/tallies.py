"""Tallies: what became of everything that was sent, counted where it is written down, so that any process can show it.

Counts only ever rise. They are added to last in a transaction that writes answers down, so that the row is held for a moment only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from sqlalchemy import Connection, select

from sync.store.dialect import upsert
from sync.store.schema import tallies

Tally: TypeAlias = tuple[str, str]
"""A lane and an outcome."""


def add(connection: Connection, counts: Mapping[Tally, int]) -> None:
    """Add to tallies, always in one order, so that two writers never wait for each other."""
    rows = [{"lane": lane, "outcome": outcome, "count": count} for (lane, outcome), count in sorted(counts.items()) if count]
    if not rows:
        return
    more = upsert(connection, tallies)
    added = {"count": tallies.c.count + more.excluded.count}
    connection.execute(more.on_conflict_do_update(index_elements=[tallies.c.lane, tallies.c.outcome], set_=added), rows)


def read(connection: Connection) -> dict[Tally, int]:
    """Return every tally."""
    return {(lane, outcome): count for lane, outcome, count in connection.execute(select(tallies))}
