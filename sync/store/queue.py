"""The queue of forwarded calls that Moesif has not accepted yet.

A row leaves when its call was accepted and stays, with the reason, when it was rejected. Which rows are sent next, and in what
order, is in `sync.store.next_deliveries`; what a row becomes at Moesif is worked out from the stored call when it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, ScalarSelect, Select, Text, delete, func, literal, or_, select, update

from sync.call import Call
from sync.delivery import Lane, State
from sync.store.calls import from_row
from sync.store.dialect import in_shares
from sync.store.listed import among
from sync.store.prepared import Prepared, told
from sync.store.schema import calls, deliveries

_DUE = (State.UNKNOWN, State.OWED)


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


def settle_accepted(connection: Connection, ids: Sequence[int]) -> None:
    """Forget what Moesif took. What was erased while it was on the way is left as it is, here and in `settle`."""
    if ids:
        connection.execute(delete(deliveries).where(among(deliveries.c.id, ids), _in(State.SENDING)))


def settle(connection: Connection, ids: Sequence[int], state: State, reason: str) -> None:
    """Put rows into a state: owed again, unknown, or rejected."""
    on_the_way = update(deliveries).where(among(deliveries.c.id, ids), _in(State.SENDING))
    connection.execute(on_the_way.values(state=state.value, reason=reason))


def put_back(connection: Connection, ids: Sequence[int], state: State = State.OWED) -> None:
    """Put what was claimed and never sent into the state in which it was: that was no attempt."""
    claimed = update(deliveries).where(among(deliveries.c.id, ids), _in(State.SENDING))
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
    return bool((_ANY_LEFT if on_the_way else _ANY_DUE).execute(connection, lane=lane.value).scalar_one())


def has_due(lane: ColumnElement[str], *others: State) -> ColumnElement[bool]:
    """Return whether a lane has anything to send, or anything in one of other states.

    Asked for the first of each state by the index. Of any row of either PostgreSQL would go through the whole table where most was
    due when it last looked at it, also through what has gone since.
    """
    return or_(*(_first(lane, state).is_not(None) for state in (*_DUE, *others)))


def _first(lane: ColumnElement[str], state: State) -> ScalarSelect[int]:
    d = deliveries.c
    return select(d.id).where(d.lane == lane, _in(state)).order_by(d.replayed, d.id).limit(1).scalar_subquery()


def _in(state: State) -> ColumnElement[bool]:
    return deliveries.c.state == state.value


_LANE: Final = told("lane", Text())
_ANY_DUE: Final = Prepared(select(has_due(_LANE)))
_ANY_LEFT: Final = Prepared(select(has_due(_LANE, State.SENDING)))


def listed(connection: Connection, state: State | None, limit: int) -> list[Listed]:
    """Return rows, oldest first, of one state or of all."""
    oldest_first = _listing().order_by(deliveries.c.id).limit(limit)
    if state is None:
        return [_listed(row) for row in connection.execute(oldest_first)]
    # Part by part, as the index has them: a few that were rejected must not be searched for among a million that are owed.
    rows = [_listed(row) for part in parts() for row in connection.execute(oldest_first.where(_in(state), *part))]
    return sorted(rows, key=lambda row: row.id)[:limit]


def parts() -> Iterator[tuple[ColumnElement[bool], ...]]:
    """Yield the conditions of the parts of the queue, in each of which the index has a state's rows from the oldest on."""
    for lane in Lane:
        for replayed in (False, True):
            yield deliveries.c.lane == lane.value, deliveries.c.replayed == literal(replayed)


def find(connection: Connection, id: int) -> tuple[Listed, Call] | None:
    """Return one row with its call."""
    row = connection.execute(with_calls().where(deliveries.c.id == id)).one_or_none()
    listed_row = connection.execute(_listing().where(deliveries.c.id == id)).one_or_none()
    return None if row is None or listed_row is None else (_listed(listed_row), from_row(row))


def retry(connection: Connection, condition: Any) -> int:
    """Owe rejected rows again that meet a condition on `deliveries`; return how many."""
    again = update(deliveries).where(_in(State.REJECTED), condition)
    return connection.execute(again.values(state=State.OWED.value, attempts=0, reason=None)).rowcount


def with_calls() -> Select[Any]:
    """Return the rows of the queue with their calls."""
    columns = (deliveries.c.id.label("delivery_id"), deliveries.c.subject, deliveries.c.replayed, calls)
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
