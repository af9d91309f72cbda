"""The rows of the meaning table that begin with calls: what is taken in is what a query finds, on both databases.

The history is taken in as a source would send it, then asked in SQL, and read from what the store says of the user.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

from sync.call import Incoming
from sync.call.parsing import parse
from sync.ingest import accept
from sync.json_value import Json, decode, encode, encode_sorted
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reading import Event, Profile, member
from sync.payload import Mapping
from sync.store import Store
from sync.store.compiler import compile_audience, compile_trait
from sync.store.schema import calls, profiles
from tests.language.histories import NOW

Sent = dict[str, Json]


def sent(type: str, at: str = "2026-02-20T00:00:00Z", **fields: Json) -> Sent:
    return {"type": type, "userId": "ann", "timestamp": at, **fields}


def taken_in(store: Store, *items: Sent, source: str = "web") -> None:
    """Take calls in, in this order, one request each."""
    for item in items:
        accept(store, [Incoming(source=source, calls=(parse(item, received_at=NOW),))], Mapping(), NOW, forward=False)


def holds(store: Store, query: str, now: datetime = NOW) -> bool:
    """Ask the database, and hold its answer to that of the reading."""
    condition = parse_audience(query)
    with store.reading() as connection:
        found = connection.scalars(compile_audience(condition, now)).all()
        traits = connection.scalars(select(profiles.c.traits)).one()
        rows = connection.execute(select(calls).where(calls.c.event.is_not(None))).all()
    answer = member(condition, Profile(traits=traits, events=[_event(row) for row in rows]), now)
    assert bool(found) is answer
    return answer


def _event(row: Any) -> Event:
    return Event(
        name=row.event, timestamp=row.timestamp, order=row.id, properties=row.properties, context=row.context, source=row.source
    )


def test_a_page_call_is_a_page_viewed_with_its_name(store: Store) -> None:
    taken_in(store, sent("page", name="Home", properties={"path": "/"}))

    assert holds(store, "event('Page Viewed').where(property('page_name') = 'Home' AND property('path') = '/').count() = 1")
    assert not holds(store, "event('Screen Viewed').count() = 1")


def test_a_screen_call_is_a_screen_viewed_with_its_name(store: Store) -> None:
    taken_in(store, sent("screen", name="Cart"))

    assert holds(store, "event('Screen Viewed').where(property('screen_name') = 'Cart').count() = 1")


def test_a_track_call_of_that_name_counts_like_a_page_call(store: Store) -> None:
    taken_in(store, sent("page", name="Home"), sent("track", event="Page Viewed"))

    assert holds(store, "event('Page Viewed').count() = 2")


def test_an_identify_call_is_no_event(store: Store) -> None:
    taken_in(store, sent("identify", traits={"plan": "gold"}))

    assert holds(store, "event('identify').count() = 0 AND event('Identify').count() = 0")


def test_the_latest_value_by_timestamp_counts_whatever_came_in_last(store: Store) -> None:
    taken_in(
        store,
        sent("identify", "2026-02-02T00:00:00Z", traits={"plan": "gold"}),
        sent("identify", "2026-02-01T00:00:00Z", traits={"plan": "free", "age": 30}),
    )

    assert holds(store, "trait('plan') = 'gold' AND trait('age') = 30")


def test_a_later_object_replaces_the_earlier_one_whole(store: Store) -> None:
    taken_in(
        store,
        sent("identify", "2026-02-01T00:00:00Z", traits={"addr": {"city": "Rome", "zip": 1}}),
        sent("identify", "2026-02-02T00:00:00Z", traits={"addr": {"city": "Bari"}}),
    )

    assert holds(store, "trait('addr.city') = 'Bari' AND trait('addr.zip').absent()")


def test_a_trait_is_never_as_of_now(store: Store) -> None:
    taken_in(store, sent("identify", "2026-02-20T00:00:00Z", traits={"plan": "gold"}), sent("track", event="X"))
    earlier = datetime.fromisoformat("2026-01-01T00:00:00Z")

    assert holds(store, "trait('plan') = 'gold' AND event('X').count() = 0", earlier)


@pytest.mark.parametrize(
    "value", [1, 1.0, "1", True, 10**30, 0.1, 1e-7, "", "１", "\ufeff", [1, "1", None, {"a": []}], {"b": 1, "a": {"$": 2}}]
)
def test_a_value_comes_back_as_it_went_in(store: Store, value: Json) -> None:
    taken_in(store, sent("track", event="X", properties={"p": value}))

    with store.reading() as connection:
        (row,) = connection.execute(compile_trait(parse_computed_trait("event('X').last(property('p'))"), NOW))

    assert encode(decode(row.value)) == encode_sorted(value)


def test_sources_and_contexts_are_those_of_the_calls(store: Store) -> None:
    taken_in(store, sent("track", event="X", context={"page": {"path": "/a"}}), source="web")
    taken_in(store, sent("track", event="X", context={"page": {"path": "/b"}}), source="app")

    assert holds(store, "event('X').sources({exclude: 'web'}).where(context('page.path') = '/b').count() = 1")
    assert holds(store, "event('X').sources({exclude: 'web', 'app'}).count() = 0")


def test_of_events_of_one_instant_the_first_to_arrive_is_the_first(store: Store) -> None:
    taken_in(store, *(sent("track", event="X", properties={"p": letter}) for letter in "bca"))

    assert holds(store, "event('X').first(property('p')) = 'b' AND event('X').last(property('p')) = 'a'")
