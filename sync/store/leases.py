"""Who may do what only one may do, and who is alive: leases, lanes and heartbeats.

A lease has an owner, an epoch that rises with every change of hands, and an end. It is a row, not an advisory lock, because it must
work alike on both databases and because a holder must be able to find out that it lost it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, TypeAlias

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Text,
    and_,
    delete,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from sync.delivery import Lane
from sync.store import listed
from sync.store.dialect import upsert
from sync.store.prepared import Prepared, told
from sync.store.schema import heartbeats, lanes, leases
from sync.store.types import Instant, from_micros

_Instant: TypeAlias = datetime | BindParameter[datetime]

LONGEST: Final = timedelta(hours=1)
"""Farther ahead no lease ends: one that does was taken by a clock that was wrong, and would be held until that time comes."""


LONGEST_PAUSE: Final = timedelta(days=2)
"""Nor does a pause: nobody is let to ask for more than a day."""

APART: Final = timedelta(seconds=5)
"""By so much the clocks of hosts may differ: a pause that begins later was begun by a clock that has been set back since."""


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
    since: datetime | None = None
    """None where an older release paused it."""

    def left(self, now: datetime) -> timedelta:
        """Return how long it lasts yet: not at all where a clock began it that was ahead, by whose time it would."""
        ahead = self.until - now > LONGEST_PAUSE or (self.since is not None and self.since > now + APART)
        return timedelta() if ahead else max(self.until - now, timedelta())


def take(connection: Connection, name: str, owner: str, now: datetime, duration: timedelta) -> Lease | None:
    """Take a lease that is free or has run out, or None where somebody else holds it."""
    ends = now + duration
    fresh = upsert(connection, leases).values(name=name, owner=owner, epoch=1, expires_at=ends)
    # RETURNING, because not every driver counts the rows of an INSERT.
    if connection.execute(fresh.on_conflict_do_nothing().returning(leases.c.name)).first() is not None:
        return Lease(name=name, owner=owner, epoch=1, expires_at=ends, taken_over=False)
    found = connection.execute(select(leases).where(leases.c.name == name).with_for_update()).one()
    if found.owner and now < found.expires_at < now + LONGEST:
        return None
    connection.execute(update(leases).where(leases.c.name == name).values(owner=owner, epoch=found.epoch + 1, expires_at=ends))
    return Lease(name=name, owner=owner, epoch=found.epoch + 1, expires_at=ends, taken_over=bool(found.owner))


def take_some(
    connection: Connection, names: Sequence[str], owner: str, now: datetime, duration: timedelta, most: int
) -> list[Lease]:
    """Take up to so many leases that are free or have run out; what another transaction is taking is passed over."""
    ends = now + duration
    free = or_(leases.c.owner == "", _is_over(**_at(now)))
    wanted = select(leases).where(leases.c.name.in_(names), free).order_by(leases.c.name).limit(most)
    found = connection.execute(wanted.with_for_update(skip_locked=True)).all()
    if len(found) < min(most, len(names)):
        # Somebody else may have the others, or there may be no rows for them yet.
        rows = [{"name": name, "owner": "", "epoch": 0, "expires_at": now} for name in names]
        connection.execute(upsert(connection, leases).values(rows).on_conflict_do_nothing())
        found = connection.execute(wanted.with_for_update(skip_locked=True)).all()
    taken = update(leases).where(leases.c.name.in_([row.name for row in found]))
    connection.execute(taken.values(owner=owner, epoch=leases.c.epoch + 1, expires_at=ends))
    return [Lease(name=row.name, owner=owner, epoch=row.epoch + 1, expires_at=ends, taken_over=bool(row.owner)) for row in found]


def renew(connection: Connection, several: Sequence[Lease], now: datetime, duration: timedelta) -> bool:
    """Hold leases for longer; False where one of them was lost."""
    ours = _told(several)
    _TAKEN_IN_ORDER.execute(connection, ours=ours).all()
    return _RENEWED.execute(connection, ours=ours, ends=now + duration).rowcount == len(several)


def still_held(connection: Connection, several: Sequence[Lease]) -> bool:
    """Whether leases are still their owner's, all of them, and keep them so until the transaction ends.

    They can be renewed meanwhile: such transactions follow each other without a gap, and a renewal would not get its turn in time.
    """
    return len(_STILL_HELD.execute(connection, ours=_told(several)).all()) == len(several)


def is_current(connection: Connection, lease: Lease) -> bool:
    """Whether nobody else has had a lease since, without keeping it so: whoever renews it must not wait for a long transaction."""
    return _CURRENT.execute(connection, name=lease.name, owner=lease.owner, epoch=lease.epoch).first() is not None


def is_held(name: ColumnElement[str], epoch: ColumnElement[int], now: datetime) -> ColumnElement[bool]:
    """Return whether somebody still has the lease of a name as of an epoch, as an expression."""
    return select(leases.c.name).where(leases.c.name == name, leases.c.epoch == epoch, _holds(**_at(now))).exists()


def give_back(connection: Connection, several: Sequence[Lease]) -> None:
    """End leases before their time; the epochs stay, so that the next holder's are others."""
    ours = _told(several)
    _TAKEN_IN_ORDER.execute(connection, ours=ours).all()
    _GIVEN_BACK.execute(connection, ours=ours)


def let_go(connection: Connection, several: Collection[str], owner: str) -> None:
    """End whichever of these leases an owner holds, who has lost count of them."""
    theirs = and_(leases.c.name.in_(several), leases.c.owner == owner)
    if _lock(connection, leases.c.name, theirs):
        connection.execute(update(leases).where(theirs).values(owner=""))


def count_held(connection: Connection, prefix: str, now: datetime) -> int:
    """Count the leases below a name that somebody holds."""
    return int(_COUNTED.execute(connection, below=f"{prefix}%", **_at(now)).scalar_one())


def present(connection: Connection, prefix: str, owner: str, now: datetime, duration: timedelta) -> int:
    """Say that a worker is there for a while, forget those that have gone, and return how many there are."""
    here = {"name": f"{prefix}{owner}", "owner": owner, "epoch": 1, "ends": now + duration}
    _here(connection.dialect.name).execute(connection, **here)
    _GONE.execute(connection, below=f"{prefix}%", **_at(now))
    return count_held(connection, prefix, now)


def leave(connection: Connection, prefix: str, owner: str) -> None:
    """Say that a worker is going."""
    connection.execute(delete(leases).where(leases.c.name == f"{prefix}{owner}"))


def holder(connection: Connection, name: str, now: datetime) -> str | None:
    """Return who holds a lease, None where nobody does."""
    return connection.scalars(select(leases.c.owner).where(leases.c.name == name, _holds(**_at(now)))).one_or_none()


def pause(connection: Connection, pause: Pause) -> None:
    """Let nobody send on a lane before an instant."""
    row = {
        "paused_until": pause.until,
        "paused_at": pause.since,
        "reason": pause.reason,
        "failures": pause.failures,
        "key_refused": pause.key_refused,
    }
    statement = upsert(connection, lanes).values(lane=pause.lane.value, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=[lanes.c.lane], set_=row))


def try_key_again(connection: Connection, now: datetime) -> None:
    """Let lanes that wait because the key was refused try at once."""
    waiting = and_(lanes.c.key_refused, lanes.c.paused_until > now)
    if _lock(connection, lanes.c.lane, waiting):
        connection.execute(update(lanes).where(waiting).values(paused_until=now))


def begin_probe(connection: Connection, pause: Pause, now: datetime, until: datetime) -> bool:
    """Let one request find out whether a lane that was paused can send, and everybody else wait; False where another does.

    Where the key was refused, one request tries it for all lanes.
    """
    ahead = or_(lanes.c.paused_until > now + LONGEST_PAUSE, lanes.c.paused_at > now + APART)
    over = or_(lanes.c.paused_until <= now, ahead)
    _lock(connection, lanes.c.lane, _opened_with(pause))
    begun = {"paused_until": until, "paused_at": now}
    probed = update(lanes).where(lanes.c.lane == pause.lane.value, over).values(begun)
    if connection.execute(probed).rowcount == 0:
        return False
    if pause.key_refused:
        connection.execute(update(lanes).where(lanes.c.key_refused, over).values(begun))
    return True


def open_lane(connection: Connection, pause: Pause) -> None:
    """Let a lane send again; where its key had been refused, all for which that was so."""
    _lock(connection, lanes.c.lane, _opened_with(pause))
    connection.execute(delete(lanes).where(_opened_with(pause)))


def pauses(connection: Connection) -> dict[Lane, Pause]:
    """Return the lanes that were paused and have not succeeded since; the pause itself may be over."""
    return {
        Lane(row.lane): Pause(
            lane=Lane(row.lane),
            until=from_micros(row.paused_until),
            since=None if row.paused_at is None else from_micros(row.paused_at),
            reason=row.reason,
            failures=row.failures,
            key_refused=bool(row.key_refused),
        )
        for row in _PAUSES.execute(connection)
    }


def beat(connection: Connection, name: str, at: datetime, detail: str) -> None:
    """Say that something is alive."""
    _beaten(connection.dialect.name).execute(connection, name=name, at=at, detail=detail)


def last_beat(connection: Connection, name: str) -> datetime | None:
    """Return when something last said that it was alive."""
    return connection.scalars(select(heartbeats.c.at).where(heartbeats.c.name == name)).one_or_none()


def _lock(connection: Connection, key: Column[str], condition: ColumnElement[bool]) -> bool:
    """Keep other writers away from rows of a table, taking them in the order of their key; return whether there are any.

    An UPDATE takes them as they lie in the table: two that meet the same rows in different orders would wait for each other.
    """
    return bool(connection.execute(select(key).where(condition).order_by(key).with_for_update(key_share=True)).all())


def _at(now: datetime) -> dict[str, datetime]:
    return {"now": now, "far": now + LONGEST}


def _holds(now: _Instant, far: _Instant) -> ColumnElement[bool]:
    """Return whether a row is a lease that somebody has."""
    return and_(leases.c.owner != "", leases.c.expires_at > now, leases.c.expires_at < far)


def _is_over(now: _Instant, far: _Instant) -> ColumnElement[bool]:
    return or_(leases.c.expires_at <= now, leases.c.expires_at >= far)


def _opened_with(pause: Pause) -> ColumnElement[bool]:
    """Return whether a row is the lane of a pause, or one that waits for the same key."""
    return or_(lanes.c.lane == pause.lane.value, and_(lanes.c.key_refused, literal(pause.key_refused)))


def _told(several: Sequence[Lease]) -> str:
    return listed.documents({"name": one.name, "owner": one.owner, "epoch": one.epoch} for one in several)


# Executed by an idle service, too, so they are written once.
_OURS: Final = tuple_(leases.c.name, leases.c.owner, leases.c.epoch).in_(
    select(*listed.rows("ours", {"name": Text, "owner": Text, "epoch": Integer}).c)
)
_IN_ORDER: Final = select(leases.c.name).where(_OURS).order_by(leases.c.name)
_TAKEN_IN_ORDER: Final = Prepared(_IN_ORDER.with_for_update(key_share=True))
_STILL_HELD: Final = Prepared(_IN_ORDER.with_for_update(read=True, key_share=True))
_RENEWED: Final = Prepared(update(leases).where(_OURS).values(expires_at=told("ends", Instant())))
_GIVEN_BACK: Final = Prepared(update(leases).where(_OURS).values(owner=""))
_CURRENT: Final = Prepared(
    select(leases.c.name).where(
        leases.c.name == told("name", Text()), leases.c.owner == told("owner", Text()), leases.c.epoch == told("epoch", Integer())
    )
)

_THEN: Final = {"now": told("now", Instant()), "far": told("far", Instant())}
_BELOW: Final = leases.c.name.like(told("below", Text()))
_COUNTED: Final = Prepared(select(func.count()).select_from(leases).where(_BELOW, _holds(**_THEN)))
# What another transaction has is left for the next time, and not waited for with a row of one's own in hand.
_GONE: Final = Prepared(
    delete(leases).where(
        leases.c.name.in_(select(leases.c.name).where(_BELOW, _is_over(**_THEN)).with_for_update(skip_locked=True))
    )
)

_PAUSES: Final = Prepared(select(lanes))


@lru_cache
def _here(database: str) -> Prepared:
    row = {"owner": told("owner", Text()), "epoch": told("epoch", Integer()), "expires_at": told("ends", Instant())}
    here = upsert(database, leases).values(name=told("name", Text()), **row)
    return Prepared(here.on_conflict_do_update(index_elements=[leases.c.name], set_=row))


@lru_cache
def _beaten(database: str) -> Prepared:
    row = {"at": told("at", Instant()), "detail": told("detail", Text())}
    beaten = upsert(database, heartbeats).values(name=told("name", Text()), **row)
    return Prepared(beaten.on_conflict_do_update(index_elements=[heartbeats.c.name], set_=row))
