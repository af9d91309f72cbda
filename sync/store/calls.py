"""Calls: keeping them once each, and reading them back.

`keep` is the one way in, for HTTP and files alike. It writes a whole batch in one transaction, so that many small requests can
share a commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, literal, select, tuple_

from sync.call import Call, CallType, RejectedCall
from sync.delivery import Lane, State
from sync.store import arrivals, bulk, dates, listed, races, suppressions
from sync.store.bulk import Question
from sync.store.dialect import upsert
from sync.store.prepared import Prepared
from sync.store.profiles import People
from sync.store.schema import calls, deliveries, profiles, rejected_calls
from sync.store.types import to_micros, to_text

Owed = Callable[[Call], Sequence[tuple[Lane, str]]]
"""What of a call is to be forwarded: a lane, and the user or company it is about (empty for what somebody unknown did)."""


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
    first: dict[str, tuple[str, Call]] = {}
    for both in batch:
        first.setdefault(both[1].message_id, both)
    # In this order: whoever is being forgotten at this moment is either found here, or was loaded as a profile that is gone when a
    # call is to refer to it, and the batch is given again.
    *_, stored, users, owners, salt = bulk.answers(
        connection,
        *races.beside_others(connection),
        Question(_STORED, {"message_ids": listed.values(first)}),
        *People.wanted([call for _, call in first.values()]),
        Question(suppressions.SALT_IN_USE, {}),
    )
    known = {message_id for (message_id,) in stored}
    fresh = [both for message_id, both in first.items() if message_id not in known]
    wanted = suppressions.without(connection, fresh, salt)
    if wanted:
        _keep_fresh(connection, wanted, People.of(users, owners), owed, now)
    return Kept(accepted=len(wanted), duplicate=len(batch) - len(fresh), suppressed=len(fresh) - len(wanted))


def reject(connection: Connection, batch: Sequence[tuple[str, RejectedCall]]) -> None:
    """Store calls that were not understood, with the reason, once each; not those that name somebody who was forgotten."""
    rows = [
        {
            "rejection_id": refused.id,
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
        connection.execute(upsert(connection, rejected_calls).on_conflict_do_nothing(), rows)


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


def _keep_fresh(connection: Connection, fresh: Sequence[tuple[str, Call]], people: People, owed: Owed, now: datetime) -> None:
    """Store calls that are new and about nobody who was forgotten, one at least, and what they say about people."""
    said = [call for _, call in fresh]
    strangers = people.strangers(said)
    traits, numbered, numbers, ids = bulk.answers(
        connection,
        people.traits_wanted(said),
        arrivals.wanted(connection),
        bulk.ids_wanted(connection, profiles, strangers),
        bulk.ids_wanted(connection, calls, len(said)),
    )
    people.take_traits(traits)
    arrival = arrivals.number_in(connection, numbered)
    placed = [(source, call, people.place(call)) for source, call in fresh]
    found = people.write(connection, bulk.ids_in(connection, numbers, strangers), now, arrival)
    rows = [(source, call, people.id(profile)) for source, call, profile in placed]
    found += _insert(connection, rows, bulk.ids_in(connection, ids, len(rows)), owed, now, arrival)
    dates.add(connection, found)


_STORED: Final = Prepared(select(calls.c.message_id).where(listed.one_of(calls.c.message_id, "message_ids")))


class _Row(NamedTuple):
    """A row of `calls` as it is written."""

    id: int
    message_id: str
    source: str
    type: str
    profile_id: int
    event: str | None
    timestamp: int
    received_at: int
    user_id: str | None
    anonymous_id: str | None
    group_id: str | None
    previous_id: str | None
    properties: str
    context: str
    integrations: str
    arrival: int


def _row(id: int, source: str, call: Call, profile_id: int, arrival: int) -> _Row:
    return _Row(
        id,
        call.message_id,
        source,
        # As `value`, which takes its time.
        str(call.type),
        profile_id,
        call.event,
        to_micros(call.timestamp),
        to_micros(call.received_at),
        call.user_id,
        call.anonymous_id,
        call.group_id,
        call.previous_id,
        to_text(call.properties),
        to_text(call.context),
        to_text(call.integrations),
        arrival,
    )


def _insert(
    connection: Connection,
    placed: Sequence[tuple[str, Call, int]],
    ids: Sequence[int],
    owed: Owed,
    now: datetime,
    arrival: int,
) -> list[dates.Found]:
    """Insert calls of (source, call, profile id), one at least, with what is owed of them, and return the dates in them."""
    owing: list[tuple[int, Lane, str]] = []
    found: list[dates.Found] = []

    # While the database works on the rows before: the three take a third of the program's time for a call.
    def rows() -> Iterator[_Row]:
        for id, (source, call, profile_id) in zip(ids, placed, strict=True):
            row = _row(id, source, call, profile_id, arrival)
            for lane, subject in owed(call):
                owing.append((id, lane, subject))
            found.extend(dates.of_call(call, profile_id, row.properties, row.context))
            yield row

    bulk.insert_as_made(connection, calls, _Row._fields, rows())
    owe(connection, owing, now)
    return found


def owe(connection: Connection, rows: Sequence[tuple[int, Lane, str]], now: datetime, *, replayed: bool = False) -> None:
    """Queue (call id, lane, subject) for forwarding, in the order given; what is replayed lets others go first."""
    same = (State.OWED.value, 0, to_micros(now), replayed)
    values = [(call_id, str(lane), subject, *same) for call_id, lane, subject in rows]
    bulk.insert(connection, deliveries, ("call_id", "lane", "subject", "state", "attempts", "created_at", "replayed"), values)
