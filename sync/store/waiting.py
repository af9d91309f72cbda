"""What waits in the store for a service to come: one question, since it is asked in every second and mostly in vain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, literal, or_, select

from sync.delivery import Lane
from sync.store import debts, queue
from sync.store.prepared import Prepared
from sync.store.schema import requested_syncs


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """What waits."""

    requested: bool
    """Somebody has asked for a sync."""
    owed: bool
    """Something is to be sent, or on the way."""


def waiting(connection: Connection) -> Waiting:
    """Return what waits; changes nothing."""
    row = _WAITING.execute(connection).one()
    return Waiting(requested=bool(row.requested), owed=bool(row.owed))


_OWED: Final = or_(debts.owing().exists(), *(queue.has_due(literal(lane.value)) for lane in Lane))
_WAITING: Final = Prepared(select(select(requested_syncs.c.audience_id).exists().label("requested"), _OWED.label("owed")))
