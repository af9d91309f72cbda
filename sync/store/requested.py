"""Syncs that somebody asked for over HTTP, until a scheduler has seen to them, in whichever process.

A table of its own: the audience's row is held by whoever computes it, and asking must not wait for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, select

from sync.store.dialect import upsert
from sync.store.prepared import Prepared
from sync.store.schema import audiences, requested_syncs
from sync.store.types import from_micros


@dataclass(frozen=True, kw_only=True, slots=True)
class Requested:
    """Somebody wants an audience or computed trait synced."""

    audience_id: int
    key: str
    at: datetime
    """When they last said so."""


def ask(connection: Connection, audience_id: int, at: datetime) -> None:
    """Ask for a sync; asked again before anybody has seen to it, it is one."""
    wish = upsert(connection, requested_syncs).values(audience_id=audience_id, requested_at=at)
    connection.execute(wish.on_conflict_do_update(index_elements=[requested_syncs.c.audience_id], set_={"requested_at": at}))


def waiting(connection: Connection) -> tuple[Requested, ...]:
    """Return what was asked for and not seen to, the oldest first."""
    rows = _WAITING.execute(connection)
    return tuple(Requested(audience_id=row.audience_id, key=row.key, at=from_micros(row.requested_at)) for row in rows)


# Asked in every second, so it is written once.
_WAITING: Final = Prepared(
    select(requested_syncs.c.audience_id, audiences.c.key, requested_syncs.c.requested_at)
    .select_from(requested_syncs.join(audiences, audiences.c.id == requested_syncs.c.audience_id))
    .order_by(requested_syncs.c.requested_at, audiences.c.key)
)


def done(connection: Connection, seen_to: Requested) -> None:
    """Cross out what was seen to, unless somebody has asked again since."""
    r = requested_syncs.c
    connection.execute(delete(requested_syncs).where(r.audience_id == seen_to.audience_id, r.requested_at == seen_to.at))
