"""An item on which the other side fails each time: it is found, waits by itself, and holds nobody else up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sync.delivery import Accepted, Lane, Later, Outcome, Unknown
from sync.send.parcels import Parcel, Part
from sync.send.suspects import FIRST_HOLD, PATIENT, Suspects
from sync.standin import Fault, StandIn
from sync.store import Store, leases, queue
from tests.make import audience, identify, keep, people, record, track
from tests.make import told as told_of
from tests.scheduler.running import wait_until

USERS = [f"u{number:03}" for number in range(250)]
FAILED = Later(reason="500", failed=True)


@contextmanager
def sending(road: Any) -> Iterator[None]:
    """Send as a service does, with a clock that passes each pause at once."""
    stop, wake = threading.Event(), threading.Event()
    over = threading.Event()

    def turn() -> None:
        while not over.is_set():
            road.clock.advance(minutes=11)
            wake.set()
            time.sleep(0.02)

    threads = [threading.Thread(target=road.sender.run, args=(stop, wake)), threading.Thread(target=turn)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        threads[1].join()
        stop.set()
        wake.set()
        threads[0].join()


def failing_on(bad: str, outcome: Outcome = FAILED) -> Any:
    return lambda _lane, documents: outcome if bad in [document["user_id"] for document in documents] else Accepted()


def states(store: Store, lane: Lane) -> dict[str, int]:
    with store.reading() as connection:
        return {state: number for (of, state), number in queue.states(connection).items() if of == lane.value}


@pytest.mark.parametrize("bad", [USERS[0], USERS[140]], ids=["the first", "within"])
@pytest.mark.parametrize("lane", [Lane.USERS, Lane.ACTIONS])
def test_of_calls_the_one_that_fails_each_time_stays_owed_and_all_others_are_told(
    store: Store, fake_road, told, lane: Lane, bad: str
) -> None:
    make = identify if lane is Lane.USERS else track
    keep(store, *(make(user) for user in USERS), forward=True)
    told.answer = failing_on(bad)

    with sending(fake_road):
        wait_until(lambda: states(store, lane) == {"owed": 1}, 30)

    assert set(told.users) == set(USERS) - {bad}


def test_of_memberships_the_one_that_fails_each_time_stays_owed_and_all_others_are_told(store: Store, fake_road, told) -> None:
    people(store, *USERS)
    record(store, audience(store), USERS)
    told.answer = failing_on(USERS[3])

    with sending(fake_road):
        wait_until(lambda: len(told.users) == len(USERS) - 1, 30)
        wait_until(lambda: told_of(store, USERS[-1])["buyers"].state == "settled", 10)

    assert USERS[3] not in told.users
    assert told_of(store, USERS[3])["buyers"].state == "owed"


def test_what_gets_no_answer_each_time_stays_unknown_and_all_others_are_told(store: Store, fake_road, told) -> None:
    keep(store, *(identify(user) for user in USERS), forward=True)
    told.answer = failing_on(USERS[7], Unknown(reason="no answer"))

    with sending(fake_road):
        wait_until(lambda: set(told.users) == set(USERS) - {USERS[7]}, 30)
        wait_until(lambda: states(store, Lane.USERS) == {"unknown": 1}, 10)


def test_moesif_that_fails_on_one_user_is_told_of_all_others_and_of_that_one_when_it_is_mended(
    store: Store, road, standin: StandIn
) -> None:
    keep(store, *(identify(user) for user in USERS), forward=True)
    standin.misbehave(Fault(lane="users", status=500, when_user=USERS[20]))

    with sending(road):
        wait_until(lambda: states(store, Lane.USERS) == {"owed": 1}, 60)
    others = set(standin.users())
    standin.behave()
    road.clock.advance(minutes=20)
    road.drain()

    assert others == set(USERS) - {USERS[20]}
    assert set(standin.users()) == set(USERS)
    assert states(store, Lane.USERS) == {}


def test_after_an_outage_all_are_told_at_once_also_the_few_that_were_tried_alone(store: Store, fake_road, told) -> None:
    keep(store, *(identify(user) for user in USERS), forward=True)
    told.answer = lambda _lane, _documents: FAILED

    with sending(fake_road):
        wait_until(lambda: len(told.posts) >= 25, 60)
        sizes = [len(documents) for _, documents in told.posts]
        told.answer = lambda _lane, _documents: Accepted()
        wait_until(lambda: set(told.users) == set(USERS), 30)
    with store.reading() as connection:
        paused = leases.pauses(connection)

    assert 1 in sizes
    assert paused == {}


def drained_again_and_again(road: Any, times: int) -> None:
    """Send as often as a timer starts a sync, each a process of its own that waits for some moments, long after the one before."""
    for _ in range(times):
        road.drain(patience=1.0)
        road.clock.advance(minutes=11)


@pytest.mark.parametrize("outcome", [FAILED, Unknown(reason="no answer")], ids=["failed", "unknown"])
@pytest.mark.parametrize("bad", [USERS[0], USERS[40], USERS[99]], ids=["the first", "within", "the last"])
def test_of_syncs_that_a_timer_starts_the_one_item_that_fails_each_time_holds_nobody_up_for_ever(
    store: Store, fake_road, told, bad: str, outcome: Outcome
) -> None:
    people(store, *USERS[:100])
    record(store, audience(store), USERS[:100])
    told.answer = failing_on(bad, outcome)

    drained_again_and_again(fake_road, 12)

    assert set(told.users) == set(USERS[:100]) - {bad}
    assert told_of(store, bad)["buyers"].state == ("owed" if outcome is FAILED else "unknown")


def test_who_comes_later_is_told_by_the_next_syncs_though_one_item_fails_each_time(store: Store, fake_road, told) -> None:
    keep(store, identify(USERS[0]), forward=True)
    told.answer = failing_on(USERS[0])
    drained_again_and_again(fake_road, 6)

    for some in (USERS[1:20], USERS[20:40]):
        keep(store, *(identify(user) for user in some), forward=True)
        drained_again_and_again(fake_road, 8)
        assert set(some) <= set(told.users)

    assert states(store, Lane.USERS) == {"owed": 1}


# ── how it is found ──────────────────────────────────────────────────────────────────────────────────────────────────────


def parcels(*users: str) -> list[Parcel]:
    return [Parcel.of(user, Part(document={"user_id": user})) for user in users]


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_fails_goes_in_halves_after_it_has_failed_three_times_as_it_is() -> None:
    suspects, batch = Suspects(Lane.USERS), parcels(*USERS[:100])

    sizes = []
    for _ in range(9):
        (first, *_) = suspects.requests(batch, 100)
        sizes.append(len(first))
        suspects.note([(first, FAILED)])

    assert sizes == [100, 100, 100, 50, 25, 12, 6, 3, 1]
    assert suspects.held().subjects == {USERS[0]}


@pytest.mark.parametrize(
    ("whole", "sizes"), [(100, [100, 100, 100, 50, 25, 20, 20, 20, 20, 20, 20]), (16, [16, 16, 16, 8, 4, 2, 1, 1, 1, 1, 1])]
)
def test_a_process_that_knows_nothing_goes_on_where_another_ended_and_with_another_part_each_time(
    whole: int, sizes: list[int]
) -> None:
    batch = parcels(*USERS[:whole])

    tried = [Suspects(Lane.USERS).to_try(batch, 100, failures) for failures in range(30)]

    assert [len(first) for first, _ in tried][:11] == sizes
    assert all({parcel.subject for parcel in (*first, *others)} == set(USERS[:whole]) for first, others in tried)
    assert {parcel.subject for first, _ in tried[11:] for parcel in first} == set(USERS[:whole])


def test_what_a_process_found_to_fail_in_passing_does_not_lead_it_back_to_the_whole() -> None:
    suspects, batch = Suspects(Lane.USERS), parcels(*USERS[:100])
    first, _ = suspects.to_try(batch, 100, 3)
    suspects.note([(first, FAILED)])
    second, _ = suspects.to_try(batch, 100, 4)

    assert batch[0] not in first
    assert (len(first), len(second)) == (50, 25)


def test_a_process_goes_on_by_what_it_saw_itself() -> None:
    suspects, batch = Suspects(Lane.USERS), parcels(*USERS[:100])
    suspects.note([(batch, FAILED)])

    assert suspects.to_try(batch, 100, 8) == (batch, [])


def test_what_was_refused_away_or_asked_to_wait_is_no_reason_to_suspect_anything() -> None:
    suspects, one = Suspects(Lane.USERS), parcels("ann")

    for _ in range(3 * PATIENT):
        suspects.note([(one, Later(reason="refused connection"))])

    assert not suspects.held()


def test_what_fails_by_itself_waits_twice_as_long_each_time_if_others_are_taken_and_goes_alone_after_all_others() -> None:
    seconds = Seconds()
    suspects, ann, others = Suspects(Lane.USERS, seconds), parcels("ann"), parcels("bob", "cid")
    for _ in range(PATIENT + 1):
        suspects.note([(ann, FAILED)])

    waits = []
    for taken in (False, True, True):
        seconds.now += FIRST_HOLD * 4
        assert not suspects.held()
        assert suspects.requests([*ann, *others], 100) == [others, ann]
        suspects.note([(others, Accepted())] if taken else [])
        suspects.note([(ann, FAILED)])
        began = seconds.now
        while suspects.held():
            seconds.now += FIRST_HOLD / 2
        waits.append(seconds.now - began)
    suspects.note([(ann, Accepted())])

    assert waits == [FIRST_HOLD, 2 * FIRST_HOLD, 4 * FIRST_HOLD]
    assert suspects.requests([*ann, *others], 100) == [[*ann, *others]]
