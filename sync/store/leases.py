"""Who may do what only one may do, and who is alive: leases, lanes and heartbeats.

A lease has an owner, an epoch that rises with every change of hands, and an end. It is a row, not an advisory lock, because it must
work alike on both databases and because a holder must be able to find out that it lost it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from sync.delivery import Lane
from sync.store.dialect import upsert
from sync.store.schema import heartbeats, lanes, leases


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """A right that one process has for a while."""

    name: str
    owner: str
    epoch: int
    expires_at: datetime
    taken_over: bool
    """Whether the holder before let it run out instead of giving it back: it died, or it hangs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """Why a lane waits, and until when."""

    lane: Lane
    until: datetime
    reason: str
    failures: int
    key_refused: bool


def take(connection: Connection, name: str, owner: str, now: datetime, duration: timedelta) -> Lease | None:
    """Take a lease that is free or has run out, or None where somebody else holds it."""
    ends = now + duration
    fresh = upsert(connection, leases).values(name=name, owner=owner, epoch=1, expires_at=ends)
    # RETURNING, because not every driver counts the rows of an INSERT.
    if connection.execute(fresh.on_conflict_do_nothing().returning(leases.c.name)).first() is not None:
        return Lease(name=name, owner=owner, epoch=1, expires_at=ends, taken_over=False)
    found = connection.execute(select(leases).where(leases.c.name == name).with_for_update()).one()
    if found.owner and found.expires_at > now:
        return None
    connection.execute(update(leases).where(leases.c.name == name).values(owner=owner, epoch=found.epoch + 1, expires_at=ends))
    return Lease(name=name, owner=owner, epoch=found.epoch + 1, expires_at=ends, taken_over=bool(found.owner))


def renew(connection: Connection, lease: Lease, now: datetime, duration: timedelta) -> bool:
    """Hold a lease for longer; False where it was lost."""
    return connection.execute(update(leases).where(_ours(lease)).values(expires_at=now + duration)).rowcount == 1


def still_held(connection: Connection, lease: Lease) -> bool:
    """Whether the lease is still this owner's, and keep it so until the transaction ends."""
    return connection.execute(select(leases.c.name).where(_ours(lease)).with_for_update()).first() is not None


def give_back(connection: Connection, lease: Lease) -> None:
    """End a lease before its time; the epoch stays, so that the next holder's is another."""
    connection.execute(update(leases).where(_ours(lease)).values(owner=""))


def holder(connection: Connection, name: str, now: datetime) -> str | None:
    """Return who holds a lease, None where nobody does."""
    held = and_(leases.c.name == name, leases.c.owner != "", leases.c.expires_at > now)
    return connection.scalars(select(leases.c.owner).where(held)).one_or_none()


def pause(connection: Connection, pause: Pause) -> None:
    """Let nobody send on a lane before an instant."""
    row = {
        "paused_until": pause.until,
        "reason": pause.reason,
        "failures": pause.failures,
        "key_refused": pause.key_refused,
    }
    statement = upsert(connection, lanes).values(lane=pause.lane.value, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=[lanes.c.lane], set_=row))


def open_lane(connection: Connection, lane: Lane) -> None:
    """Let a lane send again."""
    connection.execute(delete(lanes).where(lanes.c.lane == lane.value))


def try_key_again(connection: Connection) -> None:
    """Open the lanes that wait because the key was refused."""
    connection.execute(delete(lanes).where(lanes.c.key_refused))


def pauses(connection: Connection) -> dict[Lane, Pause]:
    """Return the lanes that were paused and have not succeeded since; the pause itself may be over."""
    return {
        Lane(row.lane): Pause(
            lane=Lane(row.lane),
            until=row.paused_until,
            reason=row.reason,
            failures=row.failures,
            key_refused=row.key_refused,
        )
        for row in connection.execute(select(lanes))
    }


def beat(connection: Connection, name: str, at: datetime, detail: str) -> None:
    """Say that something is alive."""
    statement = upsert(connection, heartbeats).values(name=name, at=at, detail=detail)
    connection.execute(statement.on_conflict_do_update(index_elements=[heartbeats.c.name], set_={"at": at, "detail": detail}))


def last_beat(connection: Connection, name: str) -> datetime | None:
    """Return when something last said that it was alive."""
    return connection.scalars(select(heartbeats.c.at).where(heartbeats.c.name == name)).one_or_none()


def _ours(lease: Lease) -> ColumnElement[bool]:
    return and_(leases.c.name == lease.name, leases.c.owner == lease.owner, leases.c.epoch == lease.epoch)
