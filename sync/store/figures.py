"""Figures for whoever watches: what is owed, for how long, and how each audience's last run went. Reads only.

Asked for every few seconds, at any size: each statement goes by an index over what is owed, or looks up one row an audience.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, ScalarSelect, Select, func, or_, select

from sync.delivery import Lane, State
from sync.membership import Outcome
from sync.store import leases, ledger_claims, queue, tallies
from sync.store.leases import Pause
from sync.store.schema import DELIVERING, UNSETTLED, audiences, deliveries, memberships, runs
from sync.store.tallies import Tally

_DUE: Final = (State.OWED, State.UNKNOWN, State.SENDING)


@dataclass(frozen=True, kw_only=True, slots=True)
class LastRun:
    """How an audience or computed trait stands, and how its last run went."""

    key: str
    kind: str
    members: int
    computed_at: datetime | None
    """The instant of the last run that computed something."""
    slots_skipped: int
    started_at: datetime | None
    """Of the last run; None before the first."""
    ended_at: datetime | None
    """None while it delivers."""
    outcome: str | None
    done_at: datetime | None
    """When a run last ended of which Moesif had accepted everything."""

    @property
    def succeeded_at(self) -> datetime | None:
        """When Moesif last was known to hold what was computed: a run that finds nothing new leaves nothing but its instant."""
        if self.outcome != Outcome.DONE or self.computed_at is None or self.done_at is None:
            return self.done_at
        return max(self.done_at, self.computed_at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What the store knows that is worth watching."""

    calls: Mapping[tuple[str, str], int]
    """Forwarded calls in the queue, by lane and state."""
    memberships: Mapping[str, int]
    """Rows of the ledger that are not settled, by state."""
    oldest_calls: Mapping[str, datetime]
    """By lane, when the oldest call came in that is still to be told."""
    oldest_memberships: datetime | None
    """When the oldest run began that still has something to tell."""
    last_runs: tuple[LastRun, ...]
    pauses: Mapping[Lane, Pause]
    told: Mapping[Tally, int]
    beat: datetime | None
    """When a scheduler last said that it was alive."""


def figures(connection: Connection, heartbeat: str) -> Figures:
    """Return all of them, as of one instant; `heartbeat` is the name under which the scheduler's heart beats."""
    return Figures(
        calls=queue.states(connection),
        memberships=unsettled(connection),
        oldest_calls=oldest_calls(connection),
        oldest_memberships=oldest_memberships(connection),
        last_runs=last_runs(connection),
        pauses=leases.pauses(connection),
        told=tallies.read(connection),
        beat=leases.last_beat(connection, heartbeat),
    )


def unsettled(connection: Connection) -> dict[str, int]:
    """Count the rows of the ledger that are not settled, by state."""
    state, audience = ledger_claims.state().label("shown"), audiences.c.id == memberships.c.audience_id
    statement = select(state, func.count()).select_from(memberships).join(audiences, audience).where(UNSETTLED).group_by(state)
    return {row[0]: row[1] for row in connection.execute(statement)}


def oldest_calls(connection: Connection) -> dict[str, datetime]:
    """Return when the oldest call of each lane came in that is still to be told."""
    found: dict[str, datetime] = {}
    for part in queue.parts():
        for state in _DUE:
            # Ids rise with time, so that the first of each state is the oldest.
            for lane, first in connection.execute(_first(state, *part)):
                found[lane] = min(first, found.get(lane, first))
    return found


def oldest_memberships(connection: Connection) -> datetime | None:
    """Return when the oldest run began that still has something to tell."""
    oldest: datetime | None = connection.scalars(select(func.min(runs.c.started_at)).where(DELIVERING)).one()
    return oldest


def last_runs(connection: Connection) -> tuple[LastRun, ...]:
    """Return how each audience and computed trait stands that is not retired."""
    # Runs that failed are over once it has been computed after all: one that finds nothing new leaves no row of its own. One that
    # was as of the very instant of the last run is not over: while a clock is behind all runs are as of that one.
    computed = audiences.c.computed_at
    latest = _latest(or_(runs.c.outcome != Outcome.FAILED.value, computed.is_(None), runs.c.at >= computed))
    done = _latest(runs.c.outcome == Outcome.DONE.value)
    # The same table twice: the last run, and the last that ended well.
    last, good = runs.alias("last"), runs.alias("good")
    statement = (
        select(
            audiences.c.key,
            audiences.c.kind,
            audiences.c.members,
            audiences.c.computed_at,
            audiences.c.slots_skipped,
            last.c.started_at,
            last.c.ended_at,
            last.c.outcome,
            good.c.ended_at.label("done_at"),
        )
        .select_from(audiences)
        .outerjoin(last, last.c.id == latest)
        .outerjoin(good, good.c.id == done)
        .where(audiences.c.retired_at.is_(None))
        .order_by(audiences.c.key)
    )
    return tuple(LastRun(**row._mapping) for row in connection.execute(statement))


def _first(state: State, *part: ColumnElement[bool]) -> Select[Any]:
    d = deliveries.c
    return select(d.lane, d.created_at).where(d.state == state.value, *part).order_by(d.id).limit(1)


def _latest(*conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
    # A range of one instead of an equality, so that only the index by audience has this order: PostgreSQL would otherwise be
    # tempted to walk everybody's runs from the end.
    r = runs.c
    its = r.audience_id.between(audiences.c.id, audiences.c.id)
    newest = select(r.id).where(its, *conditions).order_by(r.audience_id.desc(), r.id.desc()).limit(1)
    return newest.correlate(audiences).scalar_subquery()
