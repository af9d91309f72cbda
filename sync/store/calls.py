"""Calls: keeping them once each, and reading them back.

`keep` is the one way in, for HTTP and files alike. It writes a whole batch in one transaction, so that many small requests can
share a commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, literal, select, tuple_

from sync.call import Call, CallType, RejectedCall
from sync.delivery import Lane, State
from sync.store import arrivals, dates, suppressions
from sync.store.profiles import People, portions
from sync.store.schema import calls, deliveries, rejected_calls

Owed = Callable[[Call], Sequence[tuple[Lane, str]]]
"""What of a call is to be forwarded: a lane, and the user or company it is about (empty for an action)."""


Place = tuple[datetime, int]
"""Where a call stands in the order of time: its timestamp and its id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What became of a batch."""

    accepted: int
    duplicate: int
    suppressed: int = 0
    """About somebody who was forgotten, and therefore not kept."""


def keep(connection: Connection, batch: Sequence[tuple[str, Call]], owed: Owed, now: datetime) -> Kept:
    """Store each call of (source, call) whose message id is new, with what it says about people and what is to be forwarded.

    The calls take effect in the order given. Raises IntegrityError where another writer stored one of them, or one of their
    people, in the same instant: nothing was written then, and the same batch can be given again. Calls that name somebody who was
    forgotten are dropped.
    """
    fresh = _without_duplicates(connection, batch)
    accepted = _keep_fresh(connection, fresh, owed, now) if fresh else 0
    return Kept(accepted=accepted, duplicate=len(batch) - len(fresh), suppressed=len(fresh) - accepted)


def reject(connection: Connection, batch: Sequence[tuple[str, RejectedCall]]) -> None:
    """Store calls that were not understood, with the reason; not those that name somebody who was forgotten."""
    rows = [
        {
            "source": source,
            "received_at": refused.received_at,
            "code": refused.code,
            "message": refused.message,
            # PostgreSQL keeps no NUL in a text.
            "body": refused.body.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        }
        for source, refused in suppressions.without_rejected(connection, batch)
    ]
    if rows:
        connection.execute(insert(rejected_calls), rows)


def page(
    connection: Connection, since: datetime, until: datetime | None, event: str | None, after: Place | None, limit: int
) -> list[tuple[Place, Call]]:
    """Return the next stored calls of a time range (`since` included, `until` not), oldest first, with their places in it."""
    statement = select(calls).where(calls.c.timestamp >= since).order_by(calls.c.timestamp, calls.c.id).limit(limit)
    if until is not None:
        statement = statement.where(calls.c.timestamp < until)
    if event is not None:
        statement = statement.where(calls.c.event == event)
    if after is not None:
        place = tuple_(literal(after[0], calls.c.timestamp.type), literal(after[1], calls.c.id.type))
        statement = statement.where(tuple_(calls.c.timestamp, calls.c.id) > place)
    return [((row.timestamp, row.id), from_row(row)) for row in connection.execute(statement)]


def from_row(row: Row[Any]) -> Call:
    """Return the call that a row of `calls` keeps."""
    return Call(
        type=CallType(row.type),
        message_id=row.message_id,
        user_id=row.user_id,
        anonymous_id=row.anonymous_id,
        group_id=row.group_id,
        previous_id=row.previous_id,
        event=row.event,
        timestamp=row.timestamp,
        received_at=row.received_at,
        properties=row.properties,
        context=row.context,
        integrations=row.integrations,
    )


def _keep_fresh(connection: Connection, fresh: Sequence[tuple[str, Call]], owed: Owed, now: datetime) -> int:
    """Store calls that are new, and return how many; the others are about people who were forgotten."""
    people = People.concerned(connection, [call for _, call in fresh])
    # After the people are loaded: whoever is being forgotten at this moment is either found here, or was loaded as a profile that
    # is gone when a call is to refer to it, and the batch is given again.
    wanted = suppressions.without(connection, fresh)
    if not wanted:
        return 0
    arrival = arrivals.number(connection)
    placed = [(source, call, people.place(call)) for source, call in wanted]
    people.write(connection, now, arrival)
    rows = [_row(source, call, people.resolve(profile).id, arrival) for source, call, profile in placed]
    _insert(connection, [call for _, call in wanted], rows, owed, now)
    dates.add(connection, [found for row in rows for found in dates.of_call(row)])
    return len(wanted)


def _without_duplicates(connection: Connection, batch: Sequence[tuple[str, Call]]) -> list[tuple[str, Call]]:
    first: dict[str, tuple[str, Call]] = {}
    for source, call in batch:
        first.setdefault(call.message_id, (source, call))
    for some in portions(list(first)):
        for known in connection.scalars(_known(some)).all():
            del first[known]
    return list(first.values())


def _known(message_ids: Sequence[str]) -> Select[Any]:
    return select(calls.c.message_id).where(calls.c.message_id.in_(message_ids))


def _row(source: str, call: Call, profile_id: int | None, arrival: int) -> dict[str, Any]:
    return {
        "message_id": call.message_id,
        "source": source,
        "type": call.type.value,
        "profile_id": profile_id,
        "event": call.event,
        "timestamp": call.timestamp,
        "received_at": call.received_at,
        "user_id": call.user_id,
        "anonymous_id": call.anonymous_id,
        "group_id": call.group_id,
        "previous_id": call.previous_id,
        "properties": call.properties,
        "context": call.context,
        "integrations": call.integrations,
        "arrival": arrival,
    }


def _insert(connection: Connection, batch: Sequence[Call], rows: list[dict[str, Any]], owed: Owed, now: datetime) -> None:
    wanted = {call.message_id: owed(call) for call in batch}
    if not any(wanted.values()):
        connection.execute(insert(calls), rows)
        return
    statement = insert(calls).returning(calls.c.id, calls.c.message_id)
    ids = {message_id: id for id, message_id in connection.execute(statement, rows)}
    owe(connection, [(ids[id], lane, subject) for id, lanes in wanted.items() for lane, subject in lanes], now)


def owe(connection: Connection, rows: Sequence[tuple[int, Lane, str]], now: datetime) -> None:
    """Queue (call id, lane, subject) for forwarding, in the order given."""
    values = [
        {
            "call_id": call_id,
            "lane": lane.value,
            "subject": subject,
            "state": State.OWED.value,
            "attempts": 0,
            "created_at": now,
            "reason": None,
        }
        for call_id, lane, subject in rows
    ]
    if values:
        connection.execute(insert(deliveries), values)
