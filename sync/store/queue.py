"""The queue of forwarded calls that Moesif has not accepted yet.

A row leaves when its call was accepted and stays, with the reason, when it was rejected. Calls about one subject leave in the
order in which they came; what a row becomes at Moesif is worked out from the stored call when it is sent.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, Text, delete, func, select, update

from sync.call import Call
from sync.delivery import Lane, State
from sync.store.calls import from_row
from sync.store.dialect import among, in_shares
from sync.store.prepared import Prepared, told
from sync.store.schema import calls, deliveries

_DUE = (State.UNKNOWN.value, State.OWED.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One body of one call on its way."""

    id: int
    lane: Lane
    subject: str
    """The user or company it is about; empty for an action."""
    call: Call
    in_doubt: bool
    """Whether Moesif may have taken it already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A row as people see it."""

    id: int
    lane: str
    subject: str
    state: str
    attempts: int
    created_at: datetime
    reason: str | None
    call_type: str
    event: str | None
    message_id: str


@dataclass(kw_only=True, slots=True)
class Places:
    """How far the claims of one lane have got, so that each goes on where the one before it ended.

    Without it, each would pass over all that has just been sent: on PostgreSQL that stays in the index until a vacuum. What was
    put back, or came late, is behind; so the places are forgotten at the end of what is due, and every few seconds.
    """

    queue: int = 0
    """Up to this id nothing is owed, and up to this profile, but for what has been put back."""
    ledger: int = 0
    since: float = field(default_factory=time.monotonic)

    def forget_if_old(self) -> None:
        if time.monotonic() - self.since > LOOK_BACK:
            self.queue, self.ledger, self.since = 0, 0, time.monotonic()


LOOK_BACK: Final = 5.0
"""Seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is to be claimed."""

    lane: Lane
    limit: int
    shares: frozenset[int] | None = None
    """Whose; None for everybody's."""
    places: Places = field(default_factory=Places)


def claim(
    connection: Connection, wanted: Wanted, busy: AbstractSet[str] = frozenset(), on_the_way: AbstractSet[int] = frozenset()
) -> list[Delivery]:
    """Take the next due rows of a lane, unknown ones first, leaving out subjects about whom something is on the way.

    Of one subject nothing is taken past a row that stays behind, so that order is kept; and what is unknown about one goes at once,
    whatever the limit: Moesif may hold the newest of it, which an older one alone would overwrite. `on_the_way` are the ids of what
    is in a request: SQLite gives the id of a row that was erased meanwhile to another, whose turn is when that request has been
    answered.
    """
    wanted.places.forget_if_old()
    unknown = _due(connection, State.UNKNOWN, wanted, busy, after=0)
    owed = _due(connection, State.OWED, wanted, busy, after=wanted.places.queue)
    if wanted.places.queue and len(owed) < wanted.limit:
        owed = _due(connection, State.OWED, wanted, busy, after=0)
    ids = _free([*unknown, *owed], busy, on_the_way)[: wanted.limit]
    wanted.places.queue = _reached(owed, ids, wanted)
    doubtful = {id for id, _ in unknown} | _as_doubtful(connection, wanted, {subject for id, subject in unknown if id in set(ids)})
    ids = sorted({*ids, *(doubtful - {id for id, _ in unknown})})
    d = deliveries.c
    taken = update(deliveries).where(among(connection, d.id, ids), d.state.in_(_DUE))
    ids = list(connection.scalars(taken.values(state=State.SENDING.value, attempts=d.attempts + 1).returning(d.id)))
    found = connection.execute(_with_calls().where(among(connection, d.id, ids)).order_by(d.id)).all()
    return [
        Delivery(
            id=row.delivery_id, lane=wanted.lane, subject=row.subject, call=from_row(row), in_doubt=row.delivery_id in doubtful
        )
        for row in found
    ]


def _due(connection: Connection, state: State, wanted: Wanted, busy: AbstractSet[str], *, after: int) -> list[tuple[int, str]]:
    """Return (id, subject) of the next rows; as many more as there are busy subjects, since those are left out afterwards."""
    d = deliveries.c
    statement = (
        select(d.id, d.subject)
        .where(d.lane == wanted.lane.value, d.state == state.value, d.id > after)
        .order_by(d.id)
        .limit(wanted.limit + len(busy))
    )
    return [tuple(row) for row in connection.execute(statement.where(in_shares(connection, d.subject, wanted.shares))).all()]


def _as_doubtful(connection: Connection, wanted: Wanted, subjects: set[str]) -> set[int]:
    """Return the ids of all that is unknown about some subjects; nothing about actions, which have none."""
    named = sorted(subjects - {""})
    if not named:
        return set()
    d = deliveries.c
    theirs = (d.lane == wanted.lane.value, d.state == State.UNKNOWN.value, among(connection, d.subject, named))
    return set(connection.scalars(select(d.id).where(*theirs)))


def _free(due: Sequence[tuple[int, str]], busy: AbstractSet[str], on_the_way: AbstractSet[int]) -> list[int]:
    free = (row[0] for row in due if row[1] not in busy)
    return list(takewhile(lambda due_id: due_id not in on_the_way, free))


def _reached(owed: Sequence[tuple[int, str]], taken: Sequence[int], wanted: Wanted) -> int:
    """Return up to where nothing is left that is due: the last row before the first that was not taken."""
    if len(owed) < wanted.limit:
        return 0
    chosen = set(taken)
    return max((id for id, _ in takewhile(lambda row: row[0] in chosen, owed)), default=wanted.places.queue)


def settle_accepted(connection: Connection, ids: Sequence[int]) -> None:
    """Forget what Moesif took. What was erased while it was on the way is left as it is, here and in `settle`."""
    connection.execute(delete(deliveries).where(among(connection, deliveries.c.id, ids), _in(State.SENDING)))


def settle(connection: Connection, ids: Sequence[int], state: State, reason: str) -> None:
    """Put rows into a state: owed again, unknown, or rejected."""
    on_the_way = update(deliveries).where(among(connection, deliveries.c.id, ids), _in(State.SENDING))
    connection.execute(on_the_way.values(state=state.value, reason=reason))


def put_back(connection: Connection, ids: Sequence[int], state: State = State.OWED) -> None:
    """Put what was claimed and never sent into the state in which it was: that was no attempt."""
    claimed = update(deliveries).where(among(connection, deliveries.c.id, ids), _in(State.SENDING))
    connection.execute(claimed.values(state=state.value, attempts=deliveries.c.attempts - 1))


def abandon(connection: Connection, reason: str, shares: frozenset[int] | None = None) -> None:
    """Make unknown whatever a sender that is no more had on the way, of some shares or of all."""
    # With the lanes named, so that the index is used.
    theirs = in_shares(connection, deliveries.c.subject, shares)
    left = update(deliveries).where(deliveries.c.lane.in_([lane.value for lane in Lane]), _in(State.SENDING), theirs)
    connection.execute(left.values(state=State.UNKNOWN.value, reason=reason))


def states(connection: Connection) -> dict[tuple[str, str], int]:
    """Count rows by lane and state."""
    statement = select(deliveries.c.lane, deliveries.c.state, func.count()).group_by(deliveries.c.lane, deliveries.c.state)
    return {(lane, state): count for lane, state, count in connection.execute(statement)}


def waiting(connection: Connection, lane: Lane, *, on_the_way: bool = False) -> bool:
    """Whether a lane has anything to send, or, if that is asked too, on the way."""
    return (_ANY_LEFT if on_the_way else _ANY_DUE).execute(connection, lane=lane.value).first() is not None


def _any_in(*states: str) -> Prepared:
    return Prepared(
        select(deliveries.c.id).where(deliveries.c.lane == told("lane", Text()), deliveries.c.state.in_(states)).limit(1)
    )


_ANY_DUE: Final = _any_in(*_DUE)
_ANY_LEFT: Final = _any_in(*_DUE, State.SENDING.value)


def listed(connection: Connection, state: State | None, limit: int) -> list[Listed]:
    """Return rows, oldest first, of one state or of all."""
    oldest_first = _listing().order_by(deliveries.c.id).limit(limit)
    if state is None:
        return [_listed(row) for row in connection.execute(oldest_first)]
    # Lane by lane, as the index has them: a few that were rejected must not be searched for among a million that are owed.
    lanes = [oldest_first.where(deliveries.c.lane == lane.value, _in(state)) for lane in Lane]
    rows = [_listed(row) for lane in lanes for row in connection.execute(lane)]
    return sorted(rows, key=lambda row: row.id)[:limit]


def find(connection: Connection, id: int) -> tuple[Listed, Call] | None:
    """Return one row with its call."""
    row = connection.execute(_with_calls().where(deliveries.c.id == id)).one_or_none()
    listed_row = connection.execute(_listing().where(deliveries.c.id == id)).one_or_none()
    return None if row is None or listed_row is None else (_listed(listed_row), from_row(row))


def retry(connection: Connection, condition: Any) -> int:
    """Owe rejected rows again that meet a condition on `deliveries`; return how many."""
    again = update(deliveries).where(_in(State.REJECTED), condition)
    return connection.execute(again.values(state=State.OWED.value, attempts=0, reason=None)).rowcount


def _in(state: State) -> Any:
    return deliveries.c.state == state.value


def _with_calls() -> Select[Any]:
    columns = (deliveries.c.id.label("delivery_id"), deliveries.c.subject, calls)
    return select(*columns).join(calls, calls.c.id == deliveries.c.call_id)


def _listing() -> Select[Any]:
    columns = (deliveries, calls.c.type, calls.c.event, calls.c.message_id)
    return select(*columns).join(calls, calls.c.id == deliveries.c.call_id)


def _listed(row: Row[Any]) -> Listed:
    return Listed(
        id=row.id,
        lane=row.lane,
        subject=row.subject,
        state=row.state,
        attempts=row.attempts,
        created_at=row.created_at,
        reason=row.reason,
        call_type=row.type,
        event=row.event,
        message_id=row.message_id,
    )
