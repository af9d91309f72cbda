"""A replay and live traffic share the road: neither waits for the end of the other, and each user is told in order."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

import pytest

from sync.call import Call
from sync.delivery import Accepted, Lane, Outcome, State
from sync.ingest import Span, replay
from sync.payload import Mapping
from sync.send.lane import AHEAD, AT_ONCE
from sync.store import Store, next_deliveries, queue
from sync.store.wanted import Places, Wanted
from tests.make import NOW, after, audience, group, identify, keep, record, standing_clock, track


def replayed(store: Store, *history: Call) -> None:
    """Keep calls and owe them again."""
    keep(store, *history)
    list(replay(store, Span(since=NOW - timedelta(days=10)), Mapping(), standing_clock()))


def taken(
    store: Store, lane: Lane, limit: int, busy: Iterable[str] = (), places: Places | None = None
) -> list[next_deliveries.Delivery]:
    with store.writing() as connection:
        return next_deliveries.take(connection, Wanted(lane=lane, limit=limit, places=places or Places()), set(busy))


def numbers(found: list[next_deliveries.Delivery]) -> list[object]:
    return [one.call.properties["n"] for one in found]


def place(told, user: str) -> int:
    """Return in which request, from nought, a user was told first."""
    return next(at for at, (_, documents) in enumerate(told.posts) if user in {one["user_id"] for one in documents})


# ── live calls do not wait ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("made", [identify, track], ids=["users", "actions"])
def test_a_live_call_leaves_with_the_first_requests_of_a_replay_of_thousands(store: Store, fake_road, told, made) -> None:
    replayed(store, *(made(f"u{number}") for number in range(3000)))
    keep(store, made("live"), forward=True)

    fake_road.over(batch_items=100).drain()

    assert len(told.posts) >= 31
    assert place(told, "live") < fake_road.connections


def test_a_call_that_comes_in_during_a_replay_leaves_after_what_was_taken_before_it(store: Store, fake_road, told) -> None:
    replayed(store, *(track(f"u{number}") for number in range(1500)))
    came: list[int] = []

    def answer(_lane, _documents) -> Outcome:
        if len(told.posts) >= 20 and not came:
            came.append(len(told.posts))
            keep(store, track("live"), forward=True)
        return Accepted()

    told.answer = answer
    fake_road.over(batch_items=10).with_(connections=1).drain()

    assert len(told.posts) == 151
    assert place(told, "live") <= came[0] + AHEAD + AT_ONCE + 1


def test_an_entry_is_told_with_the_first_requests_of_a_replay_about_everybody(store: Store, fake_road, told) -> None:
    replayed(store, *(identify(f"u{number}", {"n": number}) for number in range(2000)))
    record(store, audience(store), {"u1999"})

    fake_road.drain()

    assert told.users["u1999"] == {"n": 1999, "buyers": True}
    assert place(told, "u1999") < fake_road.connections


# ── nor does a replay ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_replay_alone_takes_all_the_room_each_time(store: Store) -> None:
    replayed(store, *(track("ann") for _ in range(30)))

    assert [len(taken(store, Lane.ACTIONS, 20)) for _ in range(3)] == [20, 10, 0]


@pytest.mark.parametrize(("limit", "part"), [(100, 25), (10, 3), (2, 1), (1, 0)])
def test_a_quarter_of_what_is_taken_is_replayed_however_many_live_calls_wait(store: Store, limit: int, part: int) -> None:
    replayed(store, *(track("ann") for _ in range(100)))
    keep(store, *(track("bob") for _ in range(200)), forward=True)

    found = taken(store, Lane.ACTIONS, limit)

    assert (len(found), sum(one.replayed for one in found)) == (limit, part)


def test_a_replay_ends_while_live_calls_come_in_without_end(store: Store, fake_road, told) -> None:
    replayed(store, *(track(f"old{number}") for number in range(200)))
    stop, wake = threading.Event(), threading.Event()

    def answer(_lane, documents) -> Outcome:
        keep(store, *(track("live") for _ in documents), forward=True)
        if len({one["user_id"] for _, posted in told.posts for one in posted}) == 201 or len(told.posts) > 300:
            stop.set()
        return Accepted()

    keep(store, *(track("live") for _ in range(200)), forward=True)
    told.answer = answer
    fake_road.over(batch_items=10).with_(connections=1).sender.run(stop, wake)

    assert len(told.posts) < 200
    with store.reading() as connection:
        assert queue.waiting(connection, Lane.ACTIONS), "live calls had ended"


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_live_call_takes_along_what_is_replayed_of_its_user(store: Store, fake_road, told) -> None:
    replayed(store, *(identify(f"u{number % 500}", {"n": number}) for number in range(2000)))
    keep(store, identify("u499", {"n": 9999}, at=after(hours=1)), forward=True)

    fake_road.drain()

    assert place(told, "u499") < fake_road.connections
    assert sum(one["user_id"] == "u499" for _, posted in told.posts for one in posted) == 1
    assert (told.users["u499"], told.users["u0"]) == ({"n": 9999}, {"n": 1500})


def test_a_live_call_about_one_of_whom_more_is_replayed_than_fits_waits_for_that_and_nobody_for_it(store: Store) -> None:
    replayed(store, *(group(None, "acme", {"n": number}, anonymous_id="x") for number in range(50)))
    keep(
        store,
        group(None, "acme", {"n": "acme"}, anonymous_id="x"),
        group(None, "zed", {"n": "zed"}, anonymous_id="x"),
        forward=True,
    )

    found = [numbers(taken(store, Lane.COMPANIES, 20)) for _ in range(4)]

    assert found == [[*range(19), "zed"], [*range(19, 39)], [*range(39, 50), "acme"], []]


def test_what_is_replayed_waits_for_live_calls_that_were_queued_before_it(store: Store) -> None:
    keep(store, *(identify("ann", {"n": number}) for number in range(10)), forward=True)
    replayed(store)

    found = [numbers(taken(store, Lane.USERS, 6)) for _ in range(4)]

    assert found == [[*range(6)], [6, 7, 8, 9, 0, 1], [*range(2, 8)], [8, 9]]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_queued_and_taken_each_user_is_told_in_the_order_of_the_queue(store: Store, seed: int) -> None:
    dice, sent = random.Random(seed), defaultdict[str, list[int]](list)
    places, under_way = Places(), list[next_deliveries.Delivery]()
    for _ in range(40):
        said = [identify(f"u{dice.randrange(6)}", {"n": 1}, at=after(days=-11)) for _ in range(dice.randrange(12))]
        keep(store, *said, forward=True)
        replayed(store, *(identify(f"u{dice.randrange(6)}") for _ in range(dice.choice((0, 0, 0, 9)))))
        found = taken(store, Lane.USERS, dice.randint(1, 20), (one.subject for one in under_way), places)
        with store.writing() as connection:
            queue.settle(connection, [one.id for one in under_way], State.REJECTED, "answered")
        for one in under_way:
            sent[one.subject].append(one.id)
        under_way = found

    assert sum(len(ids) for ids in sent.values()) > 100
    assert all(ids == sorted(ids) for ids in sent.values())
