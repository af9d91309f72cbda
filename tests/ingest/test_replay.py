"""Stored history can be owed again, in steps, under the names that Moesif knows it by."""

from __future__ import annotations

from sqlalchemy import func, select

from sync.delivery import Lane
from sync.ingest import AT_A_TIME, Span, replay
from sync.payload import Mapping, bodies
from sync.store import Store, next_deliveries
from sync.store.schema import deliveries
from sync.store.wanted import Wanted
from tests.make import NOW, after, group, identify, keep, standing_clock, track


def replayed(store: Store, **span: object) -> list[int]:
    return list(replay(store, Span(**({"since": after(days=-10)} | span)), Mapping(), standing_clock()))


def taken(store: Store, lane: Lane = Lane.ACTIONS) -> list[next_deliveries.Delivery]:
    with store.writing() as connection:
        return next_deliveries.take(connection, Wanted(lane=lane, limit=10_000))


def test_a_replay_owes_again_what_was_delivered(store: Store) -> None:
    keep(store, identify("ann"), track("ann"), track("bob"))

    assert replayed(store) == [3]

    assert len(taken(store)) == 2
    assert [delivery.subject for delivery in taken(store, Lane.USERS)] == ["ann"]


def test_a_call_that_is_sent_again_has_the_same_transaction_id(store: Store) -> None:
    keep(store, track("ann", message_id="m"), forward=True)
    first = taken(store)

    replayed(store)

    again = taken(store)
    ids = {bodies(delivery.call, Mapping())[0].document["transaction_id"] for delivery in (*first, *again)}
    assert (len(first), len(again), len(ids)) == (1, 1, 1)


def test_a_replay_begins_at_since_and_ends_before_until(store: Store) -> None:
    keep(store, *(track("ann", f"Day {day}", at=after(days=-day)) for day in range(5)))

    replayed(store, since=after(days=-3), until=after(days=-1))

    assert [delivery.call.event for delivery in taken(store)] == ["Day 3", "Day 2"]


def test_a_replay_of_one_event_leaves_the_others(store: Store) -> None:
    keep(store, track("ann", "A"), track("ann", "B"), identify("ann"), track("ann", "A"))

    assert replayed(store, event="A") == [2]


def test_a_replay_goes_in_the_order_of_time_and_not_of_arrival(store: Store) -> None:
    keep(store, identify("ann", {"n": 2}, at=after(days=-1)), identify("ann", {"n": 1}, at=after(days=-2)))

    replayed(store)

    assert [delivery.call.properties["n"] for delivery in taken(store, Lane.USERS)] == [1, 2]


def test_a_long_history_is_owed_in_steps_and_nothing_twice_though_many_share_an_instant(store: Store) -> None:
    keep(store, *(track("ann", f"E{number}") for number in range(2 * AT_A_TIME + 1)))

    assert replayed(store) == [AT_A_TIME, AT_A_TIME, 1]

    assert len({delivery.call.event for delivery in taken(store)}) == 2 * AT_A_TIME + 1


def test_steps_that_were_done_stay_done_when_a_replay_is_broken_off(store: Store) -> None:
    keep(store, *(track("ann") for _ in range(AT_A_TIME + 1)))

    next(replay(store, Span(since=after(days=-1)), Mapping(), standing_clock()))

    with store.reading() as connection:
        assert connection.scalars(select(func.count()).select_from(deliveries)).one() == AT_A_TIME


def test_a_replay_respects_what_a_call_said_about_integrations(store: Store) -> None:
    keep(store, track("ann", integrations={"All": False}), group("ann", "acme", integrations={"All": False}))

    assert replayed(store) == [0]


def test_a_replay_of_nothing_does_nothing(store: Store) -> None:
    assert replayed(store, since=NOW) == []
