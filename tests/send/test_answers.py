"""What becomes of what is owed for each way in which Moesif may answer, over real HTTP."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import format_datetime
from typing import Any

import pytest
from sqlalchemy import true

from sync.delivery import Accepted, KeyRefused, Lane, Later, Rejected, State, Unknown
from sync.membership import Outcome
from sync.moesif import Collector
from sync.standin import Fault, StandIn
from sync.store import Store, leases, queue, tallies
from tests.make import after, audience, identify, keep, people, record, run_of, told, track

Forward = Callable[..., None]


@pytest.fixture
def forward(store: Store) -> Forward:
    def queued(*calls: Any) -> None:
        keep(store, *calls, forward=True)

    return queued


def states(store: Store) -> dict[tuple[str, str], int]:
    with store.reading() as connection:
        return queue.states(connection)


def reasons(store: Store) -> list[str | None]:
    with store.reading() as connection:
        return [row.reason for row in queue.listed(connection, State.REJECTED, 100)]


def paused(store: Store) -> dict[Lane, leases.Pause]:
    with store.reading() as connection:
        return leases.pauses(connection)


def test_what_becomes_of_each_item_is_counted_for_whoever_watches(store: Store, road, standin: StandIn, forward: Forward) -> None:
    forward(identify("ann", {"plan": "gold"}), track("ann"), track("bob"))
    standin.misbehave(Fault(lane="actions", status=503, times=1))

    road.drain()

    with store.reading() as connection:
        assert tallies.read(connection) == {("users", "accepted"): 1, ("actions", "later"): 2, ("actions", "accepted"): 2}


# ── accepted ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_forwarded_calls_arrive_and_leave_the_queue(store: Store, road, standin: StandIn, forward: Forward) -> None:
    forward(identify("ann", {"plan": "gold", "n": 1}), track("ann", "Order Completed", properties={"revenue": 9.5}))

    drain = road.drain()

    assert (drain.requests, drain.accepted, drain.last_failure) == (2, 2, None)
    assert standin.users()["ann"]["metadata"] == {"plan": "gold", "n": 1}
    assert [(action["action_name"], action["metadata"]) for action in standin.actions()] == [("Order Completed", {"revenue": 9.5})]
    assert states(store) == {}


def test_memberships_arrive_as_real_booleans_and_the_run_is_done(store: Store, road, standin: StandIn) -> None:
    people(store, "ann", "bob")
    buyers = audience(store)
    record(store, buyers, {"ann", "bob"})
    road.drain()
    run = record(store, buyers, {"bob"}, after(days=1))

    road.drain()

    assert {user: held["metadata"] for user, held in standin.users().items()} == {"ann": {"buyers": False}, "bob": {"buyers": True}}
    assert run_of(store, run).outcome is Outcome.DONE


def test_all_that_is_owed_about_one_user_goes_in_one_item(store: Store, road, standin: StandIn, forward: Forward) -> None:
    forward(identify("ann", {"a": 1}), identify("ann", {"a": 2, "b": 1}, at=after(hours=1)))
    record(store, audience(store, "first"), {"ann"})
    record(store, audience(store, "second"), {"ann"})

    drain = road.drain()

    assert drain.requests == 1
    assert standin.requests["users"].rows == 1
    assert standin.users()["ann"]["metadata"] == {"a": 2, "b": 1, "first": True, "second": True}


def test_nothing_is_asked_where_nothing_is_owed(road, standin: StandIn) -> None:
    drain = road.drain()

    assert (drain.requests, drain.accepted) == (0, 0)
    assert sum(counts.requests for counts in standin.requests.values()) == 0


# ── later ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [503, 500, 408, 429])
def test_what_is_not_taken_now_is_taken_later(store: Store, road, standin: StandIn, forward: Forward, status: int) -> None:
    forward(identify("ann", {"n": 1}))
    standin.misbehave(Fault(status=status))

    drain = road.drain()

    assert standin.users()["ann"]["metadata"] == {"n": 1}
    assert (drain.requests, drain.last_failure) == (2, None)
    assert paused(store) == {}


def test_a_lane_that_is_told_to_wait_waits_in_full_and_the_others_go_on(
    store: Store, road, standin: StandIn, forward: Forward
) -> None:
    forward(identify("ann"), track("ann"))
    standin.misbehave(Fault(lane="users", status=429, retry_after=60))

    road.drain(1.0)

    assert len(standin.actions()) == 1
    assert standin.users() == {}
    pause = paused(store)[Lane.USERS]
    assert 55 <= (pause.until - road.clock()).total_seconds() <= 62
    assert set(paused(store)) == {Lane.USERS}
    road.clock.advance(seconds=50)
    assert road.drain(0.1).requests == 0
    road.clock.advance(seconds=20)
    road.drain()
    assert set(standin.users()) == {"ann"}


DAY = 24 * 60 * 60


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        (0, 0),
        ("60", 60),
        (6 * 60 * 60, 6 * 60 * 60),  # far more than we would wait of our own accord
        (DAY, DAY),
        (2 * DAY, DAY),  # a mistake of somebody's
        ("9" * 400, DAY),
        (format_datetime(after(hours=6), usegmt=True), 6 * 60 * 60),
        (format_datetime(after(days=400), usegmt=True), DAY),
        (format_datetime(after(days=-1), usegmt=True), 0),
        ("soon", 0),
        ("-5", 0),
        ("1.5", 0),
        ("Wed, 99 Mar 2026 09:00:30 GMT", 0),
    ],
)
def test_what_retry_after_asks_for_is_waited_in_full_and_a_day_at_most(
    store: Store, road, standin: StandIn, forward: Forward, asked: int | str, seconds: int
) -> None:
    forward(identify("ann"))
    standin.misbehave(Fault(status=429, retry_after=asked))

    road.over(draw=lambda: 1.0).drain(0.1)

    # A second of our own comes on top; and some time has gone since.
    wait = (paused(store)[Lane.USERS].until - road.clock()).total_seconds()
    assert seconds - 30 < wait <= seconds + 1
    if seconds:
        road.clock.advance(seconds=wait - 30)
        assert road.drain(0.1).requests == 0
    road.clock.advance(seconds=31)
    road.drain()
    assert set(standin.users()) == {"ann"}


def test_a_wait_that_ends_within_the_patience_is_waited_out(road, standin: StandIn, forward: Forward) -> None:
    forward(identify("ann"))
    standin.misbehave(Fault(status=429, retry_after=1))

    drain = road.drain(10.0)

    assert drain.accepted == 1


def test_a_wait_is_remembered_by_the_next_process(store: Store, road, standin: StandIn, forward: Forward) -> None:
    forward(identify("ann"))
    standin.misbehave(Fault(status=503, retry_after=300))
    road.drain(0.5)

    drain = road.with_(owner="two").drain(0.5)

    assert drain.requests == 0


def test_nobody_there_is_later_and_nothing_is_lost(store: Store, road, standin: StandIn, forward: Forward) -> None:
    forward(identify("ann"))
    standin.stop()

    drain = road.drain(0.3)

    assert (drain.accepted, drain.last_failure is None) == (0, False)
    assert states(store) == {("users", "owed"): 1}


# ── the key ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refused_key_stops_every_lane_and_keeps_everything(
    store: Store, road, standin: StandIn, moved_clock, forward: Forward
) -> None:
    forward(identify("ann"), track("ann"))
    with Collector("wrong", standin.url, clock=moved_clock) as wrong:
        drain = road.over(destination=wrong).drain(0.5)

    assert isinstance(drain.last_failure, KeyRefused)
    assert set(paused(store)) == set(Lane)
    assert sum(states(store).values()) == 2
    assert {state for _, state in states(store)} == {"owed"}


def test_once_the_key_is_right_the_next_sender_need_not_wait(
    store: Store, road, standin: StandIn, moved_clock, forward: Forward
) -> None:
    forward(identify("ann"), track("ann"))
    with Collector("wrong", standin.url, clock=moved_clock) as wrong:
        road.over(destination=wrong).drain(0.5)

    drain = road.drain()

    assert drain.accepted == 2
    assert paused(store) == {}


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refused_key_rejects_nothing(store: Store, road, standin: StandIn, forward: Forward, status: int) -> None:
    forward(*(identify(f"u{number}") for number in range(3)))
    standin.misbehave(Fault(status=status))

    drain = road.drain(0.3)

    assert drain.requests == 1
    assert states(store) == {("users", "owed"): 3}


# ── unknown ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", [Fault(applied=True, delay_seconds=2.0), Fault(close="after"), Fault(close="before")], ids=str)
def test_a_request_without_an_answer_is_made_again(store: Store, road, standin: StandIn, forward: Forward, fault: Fault) -> None:
    forward(track("ann"), track("bob"))
    standin.misbehave(fault)

    drain = road.drain()

    assert drain.requests >= 2
    assert sorted(str(action["user_id"]) for action in standin.actions()) == ["ann", "bob"]
    assert states(store) == {}


def test_what_may_have_arrived_is_sent_before_anything_newer(store: Store, fake_road, told) -> None:
    people(store, "ann", "bob", "zoe")
    buyers = audience(store)
    record(store, buyers, {"zoe"})
    answers = iter([Unknown(reason="no answer")])
    told.answer = lambda lane, documents: next(answers, Accepted())
    road = fake_road.over(batch_items=1).with_(connections=1)
    road.drain(0.0)
    record(store, buyers, {"ann", "bob", "zoe"}, after(days=1))

    road.drain()

    assert [documents[0]["user_id"] for _, documents in told.posts] == ["zoe", "zoe", "ann", "bob"]
    assert told.users == {user: {"buyers": True} for user in ("ann", "bob", "zoe")}


def test_a_membership_without_an_answer_is_unknown_in_the_run_until_it_is_told_again(store: Store, road, standin: StandIn) -> None:
    people(store, "ann")
    run = record(store, audience(store), {"ann"})
    standin.misbehave(Fault(close="after", retry_after=1, times=1), Fault(status=503, retry_after=60))

    road.drain(1.5)

    assert told(store, "ann")["buyers"].accepted is None
    road.clock.advance(minutes=2)
    road.drain()
    now = run_of(store, run)
    assert (now.owed, now.accepted, now.unknown, now.outcome) == (1, 1, 0, Outcome.DONE)


# ── rejected ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_bad_item_among_a_hundred_is_found_with_at_most_fifteen_requests(
    store: Store, road, standin: StandIn, forward: Forward
) -> None:
    forward(*(identify(f"u{number}") for number in range(100)))
    standin.misbehave(Fault(status=400, when_user="u37", body='{"message": "metadata is wrong"}'))

    drain = road.drain()

    assert drain.requests <= 15
    assert (drain.accepted, len(standin.users())) == (99, 99)
    assert states(store) == {("users", "rejected"): 1}
    assert reasons(store) == ["400 Bad Request: metadata is wrong"]


def test_a_bad_action_does_not_hold_the_others_back(store: Store, road, standin: StandIn, forward: Forward) -> None:
    forward(*(track(f"u{number}") for number in range(20)))
    standin.misbehave(Fault(lane="actions", status=422, when_user="u0"), Fault(lane="actions", status=413, when_user="u19"))

    road.drain()

    assert len(standin.actions()) == 18
    assert states(store) == {("actions", "rejected"): 2}


def test_a_batch_of_nothing_but_bad_items_is_rejected_item_by_item(store: Store, road, standin: StandIn, forward: Forward) -> None:
    forward(*(identify(f"u{number}") for number in range(8)))
    standin.misbehave(Fault(status=400, times=100))

    drain = road.drain()

    assert drain.requests <= 15
    assert (drain.accepted, states(store)) == (0, {("users", "rejected"): 8})


def test_of_one_users_parts_only_the_bad_one_is_rejected(store: Store, fake_road, told) -> None:
    people(store, "ann")
    keep(store, identify("ann", {"plan": "gold"}), forward=True)
    first, second = (record(store, audience(store, key), {"ann"}) for key in ("good", "wrong"))

    def answer(_lane, documents):
        bad = any("wrong" in document["metadata"] for document in documents)
        return Rejected(reason="400") if bad else Accepted()

    told.answer = answer
    fake_road.drain()

    assert told.users == {"ann": {"plan": "gold", "good": True}}
    assert states(store) == {}
    assert (run_of(store, first).accepted, run_of(store, first).outcome) == (1, Outcome.DONE)
    assert (run_of(store, second).accepted, run_of(store, second).rejected) == (0, 1)


def test_of_one_users_parts_those_that_were_not_sent_stay_owed(store: Store, fake_road, told) -> None:
    people(store, "ann")
    runs = [record(store, audience(store, key), {"ann"}) for key in ("a", "b", "c")]
    answers = iter([Rejected(reason="400"), Accepted(), Later(reason="503")])
    told.answer = lambda lane, documents: next(answers, Accepted())

    fake_road.drain(0.0)

    assert [run_of(store, run).accepted for run in runs] == [1, 0, 0]
    fake_road.drain()
    assert told.users == {"ann": {"a": True, "b": True, "c": True}}
    assert [run_of(store, run).outcome for run in runs] == [Outcome.DONE] * 3


def test_a_bad_forwarded_call_does_not_take_a_membership_with_it(store: Store, road, standin: StandIn, forward: Forward) -> None:
    people(store, "ann")
    record(store, audience(store), {"ann"})
    forward(identify("ann", {"plan": "gold"}))
    # The merged item, and then the first of its parts.
    standin.misbehave(Fault(status=400, times=2))

    road.drain()

    assert standin.users()["ann"]["metadata"] == {"buyers": True}
    assert states(store) == {("users", "rejected"): 1}


def test_an_item_above_a_megabyte_is_rejected_without_being_sent(store: Store, road, standin: StandIn, forward: Forward) -> None:
    forward(identify("ann", {"text": "x" * 1_000_001}), identify("bob"))

    drain = road.drain()

    assert drain.requests == 1
    assert set(standin.users()) == {"bob"}
    assert "1,000,000 bytes" in str(reasons(store)[0])


def test_parts_that_are_too_large_together_go_one_after_the_other(store: Store, fake_road, told) -> None:
    sizes = (600_000, 1_000, 600_000)
    calls = [identify("ann", {f"t{number}": "x" * size}, at=after(hours=number)) for number, size in enumerate(sizes)]
    keep(store, *calls, forward=True)

    fake_road.drain()

    assert {trait: len(value) for trait, value in told.users["ann"].items()} == {"t0": 600_000, "t1": 1_000, "t2": 600_000}
    assert all(len(documents) == 1 for _, documents in told.posts)


def test_rejected_calls_are_sent_again_when_somebody_asks(store: Store, road, standin: StandIn, forward: Forward) -> None:
    forward(identify("ann", {"n": 1}))
    standin.misbehave(Fault(status=400))
    road.drain()
    with store.writing() as connection:
        assert queue.retry(connection, true()) == 1

    road.drain()

    assert standin.users()["ann"]["metadata"] == {"n": 1}
