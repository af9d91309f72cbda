"""Whatever a test needs and does not care about: calls, definitions and runs with every field defaulted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

from sqlalchemy import Select, case, literal, select

from sync.audience import Definition, Guard, Kind, Manual, Schedule
from sync.call import Call, CallType, Incoming, RejectedCall
from sync.ingest import accept
from sync.json_value import Json, encode
from sync.membership import IN, Run
from sync.payload import Mapping as Choices
from sync.store import Store, audiences, difference, ledger, runs
from sync.store.audiences import Stored
from sync.store.calls import Kept
from sync.store.schema import profiles
from sync.store.types import to_micros

NOW = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
"""Where the standing clock stands, too."""

_numbers = count(1)


def after(**duration: float) -> datetime:
    """Return an instant so long after NOW."""
    return NOW + timedelta(**duration)


def call(type: CallType = CallType.TRACK, **fields: Any) -> Call:
    """Make a call with a message id of its own."""
    defaults: dict[str, Any] = {"message_id": f"m{next(_numbers)}", "timestamp": NOW, "received_at": NOW}
    return Call(type=type, **(defaults | fields))


def identify(user_id: str | None, traits: Mapping[str, Json] | None = None, at: datetime = NOW, **fields: Any) -> Call:
    return call(CallType.IDENTIFY, user_id=user_id, properties=dict(traits or {}), timestamp=at, **fields)


def track(user_id: str | None, event: str = "Order Completed", at: datetime = NOW, **fields: Any) -> Call:
    return call(CallType.TRACK, user_id=user_id, event=event, timestamp=at, **fields)


def alias(user_id: str, previous_id: str, **fields: Any) -> Call:
    return call(CallType.ALIAS, user_id=user_id, previous_id=previous_id, **fields)


def group(user_id: str | None, group_id: str, traits: Mapping[str, Json] | None = None, **fields: Any) -> Call:
    return call(CallType.GROUP, user_id=user_id, group_id=group_id, properties=dict(traits or {}), **fields)


def rejected(message: str = "no user", **fields: Any) -> RejectedCall:
    defaults: dict[str, Any] = {"id": str(uuid4()), "code": "no_user_anon_id", "message": message, "body": "{}", "received_at": NOW}
    return RejectedCall(**(defaults | fields))


def keep(store: Store, *calls: Call, forward: bool = False, now: datetime = NOW, choices: Choices | None = None) -> Kept:
    """Take calls in as one request of a source; not forwarded unless asked."""
    return accept(store, [Incoming(source="web", calls=calls)], choices or Choices(), now, forward=forward)


def people(store: Store, *user_ids: str) -> None:
    """Make users about whom nothing is known."""
    keep(store, *(identify(user_id) for user_id in user_ids))


def definition(key: str = "buyers", kind: Kind = Kind.AUDIENCE, **fields: Any) -> Definition:
    schedule: Schedule = Manual()
    return Definition(**({"kind": kind, "key": key, "name": key, "query": "trait('in') = true", "schedule": schedule} | fields))


def audience(store: Store, key: str = "buyers", *, guard: Guard | None = None, **fields: Any) -> Stored:
    """Keep an audience in the store and return it."""
    return _kept(store, definition(key, guard=guard, **fields))


def computed_trait(store: Store, key: str = "orders", **fields: Any) -> Stored:
    """Keep a computed trait in the store and return it."""
    return _kept(store, definition(key, kind=Kind.COMPUTED_TRAIT, **({"query": "event('Order Completed').count()"} | fields)))


def again(store: Store, stored: Stored) -> Stored:
    """Return a definition as the store has it now."""
    with store.reading() as connection:
        return audiences.by_key(connection, stored.key)


def _kept(store: Store, wanted: Definition) -> Stored:
    with store.writing() as connection:
        audiences.add(connection, wanted, NOW)
        return audiences.by_key(connection, wanted.key)


def record(
    store: Store, stored: Stored, values: Iterable[str] | Mapping[str, Json], at: datetime = NOW, *, resync: bool = False
) -> Run:
    """Record a run whose result is given: the members of an audience, or each user's value."""
    with store.connected() as session:
        with session.reading() as connection:
            found = difference.of_everyone(connection, stored, _said(values), to_micros(at))
        with session.writing() as connection:
            audiences.locked(connection, stored.id)
            run_id, _ = ledger.apply(connection, stored, found, at, at, at, resync=resync)
            audiences.count_members(connection, stored.id, found.after)
            return runs.by_id(connection, run_id)


def _said(values: Iterable[str] | Mapping[str, Json]) -> Select[Any]:
    """Return (profile_id, value) for users, as the compiler would."""
    known = {user: encode(value) for user, value in values.items()} if isinstance(values, Mapping) else dict.fromkeys(values, IN)
    value = case(known, value=profiles.c.user_id) if known else literal(IN)
    return select(profiles.c.id.label("profile_id"), value.label("value")).where(profiles.c.user_id.in_(list(known)))


def run_of(store: Store, run: Run) -> Run:
    """Return a run as it stands now."""
    with store.reading() as connection:
        return runs.by_id(connection, run.id)


def told(store: Store, user_id: str) -> dict[str, Any]:
    """Return what the ledger says of a user, by audience."""
    with store.reading() as connection:
        profile_id = connection.scalars(select(profiles.c.id).where(profiles.c.user_id == user_id)).one()
        return {row.key: row for row in ledger.of_user(connection, profile_id)}


def traits(store: Store, user_id: str) -> dict[str, Json]:
    """Return a user's traits as they are kept, those that were taken away as null."""
    with store.reading() as connection:
        found = connection.scalars(select(profiles.c.traits).where(profiles.c.user_id == user_id)).one()
        return dict(found)


def standing_clock(at: datetime = NOW) -> Callable[[], datetime]:
    return lambda: at
