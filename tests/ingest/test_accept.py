"""Calls are kept once each, whoever sends them how often, all of a batch or nothing; and what is to be forwarded is owed."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, func, select

from sync.call import Call, CallType, Incoming
from sync.delivery import Lane, State
from sync.errors import Unreachable
from sync.ingest import accept
from sync.payload import Mapping
from sync.store import Store, next_deliveries
from sync.store.schema import calls, deliveries, profiles, rejected_calls
from sync.store.wanted import Wanted
from tests.make import NOW, after, alias, call, group, identify, keep, rejected, track


def count(store: Store, table: Any) -> int:
    with store.reading() as connection:
        return connection.scalars(select(func.count()).select_from(table)).one()


def owed(store: Store) -> list[tuple[str, str]]:
    with store.reading() as connection:
        rows = connection.execute(
            select(deliveries.c.lane, deliveries.c.subject, deliveries.c.state).order_by(deliveries.c.id)
        ).all()
    assert {row.state for row in rows} <= {State.OWED.value}
    return [(row.lane, row.subject) for row in rows]


# ── once each ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_id_that_stands_twice_in_a_batch_counts_once(store: Store) -> None:
    kept = keep(store, track("ann", message_id="m"), track("ann", message_id="m"), track("ann", message_id="n"))

    assert (kept.accepted, kept.duplicate) == (2, 1)
    assert count(store, calls) == 2


def test_of_two_calls_with_one_message_id_the_first_counts(store: Store) -> None:
    keep(store, track("ann", "First", message_id="m"), track("ann", "Second", message_id="m"))

    with store.reading() as connection:
        assert connection.scalars(select(calls.c.event)).all() == ["First"]


def test_a_message_id_of_an_earlier_batch_changes_nothing(store: Store) -> None:
    keep(store, identify("ann", {"plan": "free"}, message_id="m"), forward=True)

    kept = keep(store, identify("ann", {"plan": "gold"}, at=after(days=1), message_id="m"), forward=True)

    assert (kept.accepted, kept.duplicate) == (0, 1)
    assert owed(store) == [("users", "ann")]
    with store.reading() as connection:
        assert connection.scalars(select(profiles.c.traits)).one() == {"plan": "free"}


def test_a_duplicate_that_names_somebody_new_makes_nobody(store: Store) -> None:
    keep(store, track("ann", message_id="m"))

    keep(store, track("bob", message_id="m", anonymous_id="x"))

    assert count(store, profiles) == 1


def test_a_batch_larger_than_one_statement_can_list_is_kept_whole(store: Store) -> None:
    batch = [
        track(f"user {number % 700}", message_id=f"id {number}", anonymous_id=f"anon {number % 700}") for number in range(1300)
    ]

    first, second = keep(store, *batch), keep(store, *batch)

    assert (first.accepted, second.accepted, second.duplicate) == (1300, 0, 1300)
    assert (count(store, calls), count(store, profiles)) == (1300, 700)


def test_calls_keep_their_order_of_arrival(store: Store) -> None:
    keep(store, *(track("ann", f"Event {number}", at=after(minutes=-number)) for number in range(50)), forward=True)

    with store.reading() as connection:
        events = connection.scalars(select(calls.c.event).order_by(calls.c.id)).all()
        queued = connection.scalars(select(calls.c.event).join(deliveries).order_by(deliveries.c.id)).all()
    assert events == queued == [f"Event {number}" for number in range(50)]


def test_a_call_comes_back_as_it_was_said(store: Store) -> None:
    said = call(
        CallType.GROUP,
        user_id="ann",
        anonymous_id="a-1",
        group_id="acme",
        properties={"employees": 12, "rate": 1.0, "big": 2**70},
        context={"ip": "127.0.0.1", "page": {"url": "https://x.test/"}},
        integrations={"All": True, "Moesif API Analytics": {"option": [1, None]}},
        timestamp=after(microseconds=1),
    )
    keep(store, said, forward=True)

    with store.writing() as connection:
        found = next_deliveries.take(connection, Wanted(lane=Lane.COMPANIES, limit=10))

    assert [delivery.call for delivery in found] == [said]


# ── what was refused ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rejected_calls_are_kept_with_their_reasons_beside_the_good_ones(store: Store) -> None:
    batch = [Incoming(source="web", calls=(track("ann"),), rejected=(rejected("no user"), rejected("too large")))]

    kept = accept(store, batch, Mapping(), NOW)

    assert kept.accepted == 1
    with store.reading() as connection:
        assert connection.scalars(select(rejected_calls.c.message).order_by(rejected_calls.c.id)).all() == ["no user", "too large"]


def test_a_batch_of_nothing_but_rejected_calls_is_kept(store: Store) -> None:
    accept(store, [Incoming(source="web", rejected=(rejected(),))], Mapping(), NOW)

    assert (count(store, rejected_calls), count(store, calls)) == (1, 0)


def test_a_rejected_body_with_a_nul_can_be_kept(store: Store) -> None:
    accept(store, [Incoming(source="web", rejected=(rejected(body='{"a": "\0"}'),))], Mapping(), NOW)

    with store.reading() as connection:
        assert "\0" not in connection.scalars(select(rejected_calls.c.body)).one()


def test_an_empty_batch_changes_nothing(store: Store) -> None:
    kept = accept(store, [], Mapping(), NOW)

    assert (kept.accepted, kept.duplicate) == (0, 0)


# ── all or nothing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_at_the_last_statement_leaves_nothing_of_the_batch(store: Store) -> None:
    said = (identify("ann", {"a": 1}), track("ann", anonymous_id="x", properties={"on": "2026-03-04"}))
    batch = [Incoming(source="web", calls=said, rejected=(rejected(),))]

    @event.listens_for(store.engine, "before_cursor_execute")
    def fail(_connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO dates"):
            raise RuntimeError("the machine stops here")

    with pytest.raises(RuntimeError):
        accept(store, batch, Mapping(), NOW)
    event.remove(store.engine, "before_cursor_execute", fail)

    assert [count(store, table) for table in (calls, profiles, rejected_calls, deliveries)] == [0, 0, 0, 0]


def test_the_same_batch_can_be_given_again_after_a_failure(store: Store) -> None:
    batch = [Incoming(source="web", calls=(identify("ann", {"a": 1}), track("ann")))]
    broken: list[bool] = [True]

    @event.listens_for(store.engine, "commit")
    def fail(_connection):
        if broken:
            broken.clear()
            raise RuntimeError("no commit")

    with pytest.raises(RuntimeError):
        accept(store, batch, Mapping(), NOW)

    assert accept(store, batch, Mapping(), NOW).accepted == 2


def test_a_store_that_cannot_be_reached_is_said_to_be() -> None:
    away = Store.at("postgresql+psycopg://nobody@127.0.0.1:1/none")

    with pytest.raises(Unreachable):
        accept(away, [Incoming(source="web", calls=(track("ann"),))], Mapping(), NOW)


# ── what is owed ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (identify("ann", {"plan": "gold"}), [("users", "ann")]),
        (identify(None, {"plan": "gold"}, anonymous_id="a"), []),
        (track("ann"), [("actions", "ann")]),
        (track(None, anonymous_id="a"), []),
        (group("ann", "acme"), [("companies", "acme"), ("users", "ann")]),
        (group(None, "acme", anonymous_id="a"), [("companies", "acme")]),
        (alias("ann", "a"), []),
        (call(CallType.PAGE, user_id="ann", event="Page Viewed"), []),
        (call(CallType.SCREEN, user_id="ann", event="Screen Viewed"), []),
    ],
    ids=lambda value: value.type.value if isinstance(value, Call) else "",
)
def test_each_type_of_call_owes_what_moesif_can_take_of_it(store: Store, made: Call, wanted: list[tuple[str, str]]) -> None:
    keep(store, made, forward=True)

    assert owed(store) == wanted


def test_page_calls_are_owed_where_they_are_wanted(store: Store) -> None:
    page = call(CallType.PAGE, user_id="ann", event="Page Viewed")

    keep(store, page, forward=True, choices=Mapping(forward_pages=True))

    assert owed(store) == [("actions", "ann")]


@pytest.mark.parametrize(
    ("integrations", "forwarded"),
    [
        ({}, True),
        ({"All": True}, True),
        ({"All": False}, False),
        ({"All": False, "Moesif API Analytics": True}, True),
        ({"All": False, "moesif-api-analytics": {"x": 1}}, True),
        ({"Moesif API Analytics": False}, False),
        ({"all": False}, True),
        ({"Mixpanel": False}, True),
    ],
)
def test_the_integrations_object_decides_about_forwarding_but_not_about_keeping(
    store: Store, integrations: dict[str, Any], forwarded: bool
) -> None:
    keep(store, track("ann", integrations=integrations), forward=True)

    assert bool(owed(store)) is forwarded
    assert count(store, calls) == 1


def test_nothing_is_owed_without_forwarding(store: Store) -> None:
    keep(store, identify("ann"), track("ann"), group("ann", "acme"), forward=False)

    assert owed(store) == []
    assert count(store, calls) == 3


def test_a_duplicate_owes_nothing(store: Store) -> None:
    keep(store, track("ann", message_id="m"), forward=False)

    keep(store, track("ann", message_id="m"), forward=True)

    assert owed(store) == []
