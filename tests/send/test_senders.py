"""One sender at a time: senders that die, hang, lose their right, are interrupted, or lose the store."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from sync.app import Durations
from sync.delivery import Accepted, Lane, Later, Outcome
from sync.errors import Unreachable
from sync.membership import Outcome as RunOutcome
from sync.moesif import Limits
from sync.send import LEASE, SENDING, Sender
from sync.send.parcels import Busy
from sync.send.right import MARGIN, WORKER, Holder, Right, fair_share, names
from sync.standin import StandIn
from sync.store import Store, leases, ledger, queue
from tests.make import after, audience, identify, keep, people, record, run_of, track
from tests.make import told as ledger_of


@pytest.fixture
def owing(store: Store) -> Store:
    """A store that owes a call and a membership about one user."""
    people(store, "ann")
    keep(store, identify("ann", {"plan": "gold"}), forward=True)
    record(store, audience(store), {"ann"})
    return store


def claim_and_die(road, now: Callable[[], object] | None = None) -> None:
    """Do what a sender does before its request, and nothing more."""
    with road.store.writing() as connection:
        assert leases.take_some(connection, names(road.store), "dead", road.clock(), LEASE, 99)
        assert road.desk.claim(connection, Lane.USERS, Busy())


def states(store: Store) -> dict[tuple[str, str], int]:
    with store.reading() as connection:
        return queue.states(connection) | ledger.states(connection)


def wait_until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.005)


def test_a_fault_of_ours_ends_a_sender_and_not_the_service(store: Store, road) -> None:
    stop, is_broken, raised = threading.Event(), threading.Event(), list[BaseException]()

    def clock() -> datetime:
        return after(days=1 // 0) if is_broken.is_set() else after()

    def send() -> None:
        try:
            replace(road.over(clock=clock).sender, lease=timedelta(seconds=1), margin=timedelta(0)).run(stop, threading.Event())
        except ZeroDivisionError as error:
            raised.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    wait_until(lambda: is_held(store))
    is_broken.set()
    thread.join(8)

    assert raised
    assert not stop.is_set()


def is_held(store: Store) -> bool:
    with store.reading() as connection:
        return leases.count_held(connection, SENDING, after()) > 0


# ── dead ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_lease_outlasts_every_request_that_is_begun_under_it() -> None:
    longest_request = timedelta(seconds=30)

    assert longest_request + timedelta(seconds=5) <= MARGIN, "clocks differ by that much"
    assert LEASE - MARGIN > LEASE / 10 * 2
    assert Durations() == Durations(exchange=Limits(total=30), margin=MARGIN, sending=LEASE)


@pytest.mark.parametrize("wrong", [{"exchange": Limits(total=35)}, {"margin": LEASE}], ids=["the request", "the margin"])
def test_a_process_cannot_be_built_whose_requests_could_outlast_its_right(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must end within"):
        Durations(**wrong)


def test_what_a_dead_sender_had_on_the_way_is_sent_again_once_its_lease_has_run_out(owing: Store, road, standin: StandIn) -> None:
    claim_and_die(road)

    assert road.drain(0.2).requests == 0
    road.clock.advance(seconds=LEASE.total_seconds())
    drain = road.drain()

    assert drain.requests == 1
    assert standin.users()["ann"]["metadata"] == {"plan": "gold", "buyers": True}
    assert states(owing) == {}


def test_a_value_that_changed_after_a_sender_died_is_sent_as_it_is_now(owing: Store, road, standin: StandIn) -> None:
    claim_and_die(road)
    with owing.reading() as connection:
        from sync.store import audiences

        buyers = audiences.by_key(connection, "buyers")
    record(owing, buyers, (), after(days=1))
    road.clock.advance(minutes=1)

    road.drain()

    assert standin.users()["ann"]["metadata"]["buyers"] is False


def test_a_drain_waits_for_a_sender_that_has_everything_on_the_way(owing: Store, fake_road, told) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def answer(_lane, _documents) -> Outcome:
        asked.set()
        go_on.wait(5)
        return Accepted()

    told.answer = answer
    first = threading.Thread(target=fake_road.drain)
    first.start()
    asked.wait(5)
    assert {state for _, state in states(owing)} == {"sending"}

    second = threading.Thread(target=fake_road.with_(owner="two").drain)
    second.start()
    second.join(0.3)
    waited = second.is_alive()
    go_on.set()
    first.join()
    second.join()

    assert waited
    assert len(told.posts) == 1
    assert states(owing) == {}


def test_a_drain_gives_up_waiting_for_another_sender_when_its_patience_ends(owing: Store, road) -> None:
    claim_and_die(road)
    started = time.monotonic()

    drain = road.drain(0.3)

    assert drain.requests == 0
    assert 0.25 < time.monotonic() - started < 2


def test_a_drain_without_patience_still_sends_what_is_due(owing: Store, road, standin: StandIn) -> None:
    drain = road.drain(0.0)

    assert (drain.requests, set(standin.users())) == (1, {"ann"})


def test_patience_begins_anew_with_every_success(store: Store, fake_road, told) -> None:
    keep(store, *(track(f"u{number}") for number in range(8)), forward=True)

    def answer(_lane, _documents) -> Outcome:
        time.sleep(0.1)
        return Accepted()

    told.answer = answer
    drain = fake_road.over(batch_items=1).with_(connections=1).drain(0.3)

    assert drain.accepted == 8


# ── having lost the right ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sender_that_was_taken_over_neither_settles_nor_claims(owing: Store, fake_road, told) -> None:
    """It hangs in a request; another one takes over and learns that ann's membership was refused."""
    asked, go_on = threading.Event(), threading.Event()
    hung: list[bool] = []

    def answer(_lane, _documents) -> Outcome:
        if not hung:
            hung.append(True)
            asked.set()
            go_on.wait(5)
            return Accepted()
        return Later(reason="503", after=timedelta(minutes=5))

    told.answer = answer
    first = threading.Thread(target=fake_road.drain, args=(0.5,))
    first.start()
    asked.wait(5)
    fake_road.clock.advance(seconds=LEASE.total_seconds() + 1)
    fake_road.with_(owner="two").drain(0.1)
    between = states(owing)
    go_on.set()
    first.join()

    # Both may have arrived with the first.
    assert between == {("users", "unknown"): 1, ("buyers", "unknown"): 1}
    assert states(owing) == between
    assert ledger_of(owing, "ann")["buyers"].accepted is None


def test_a_sender_whose_time_is_up_begins_no_further_request(store: Store, fake_road, told) -> None:
    keep(store, *(identify(f"u{number}") for number in range(60)), forward=True)
    stop = threading.Event()

    def answer(_lane, _documents) -> Outcome:
        stop.set()
        time.sleep(0.05)
        return Accepted()

    told.answer = answer
    # Its lease leaves it a fifth of a second; a twentieth is gone with each request, and renewing is not due yet.
    road = fake_road.over(batch_items=30, batch_bytes=100)
    short = Sender(desk=road.desk, owner="one", connections=1, lease=MARGIN + timedelta(seconds=0.2))
    short.run(stop, threading.Event())

    assert 1 <= len(told.posts) <= 6
    assert sum(states(store).values()) == 60 - len(told.users)
    assert "sending" not in {state for _, state in states(store)}


@pytest.fixture
def right(road) -> Right:
    """A right that trusts itself for three tenths of a second."""
    second = timedelta(seconds=1)
    holder = Holder(store=road.store, owner="one", clock=road.clock, duration=second, margin=0.7 * second)
    with road.store.writing() as connection:
        fair_share(connection, holder)
        held = leases.take_some(connection, names(road.store), "one", road.clock(), holder.duration, 99)
    return Right(holder, held, time.monotonic(), worker=True)


def test_a_right_that_some_lane_has_seen_end_is_over_for_all_although_it_could_be_renewed(right: Right, road) -> None:
    time.sleep(0.35)
    seen = right.holds
    right.renew_when_due()
    with road.store.reading() as connection:
        could_be_renewed = right.check(connection)

    assert (seen, could_be_renewed, right.holds) == (False, True, False)


def test_a_right_that_is_to_be_shared_stays_so_until_it_is_taken_anew(right: Right, road) -> None:
    for work in (lambda it: leases.present(it, WORKER, "two", road.clock(), LEASE), lambda it: leases.leave(it, WORKER, "two")):
        with road.store.writing() as connection:
            work(connection)
        time.sleep(0.15)
        right.renew_when_due()

    assert right.is_to_be_shared == (not road.store.on_sqlite)


def test_two_senders_at_once_send_everything_once(store: Store, fake_road, told) -> None:
    keep(store, *(track(f"u{number}") for number in range(60)), forward=True)
    roads = [fake_road.over(batch_items=5).with_(owner=owner) for owner in ("one", "two", "three")]

    threads = [threading.Thread(target=road.drain, args=(10.0,)) for road in roads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(len(documents) for _, documents in told.posts) == 60
    assert states(store) == {}


# ── without the store ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_lost_when_the_store_goes_away_before_an_answer_is_written_down(owing: Store, road, standin: StandIn) -> None:
    away: list[bool] = []

    @event.listens_for(owing.engine, "before_cursor_execute")
    def fail(_connection, _cursor, statement, *_):
        if statement.startswith("UPDATE runs"):
            away.append(True)
            raise OperationalError(statement, {}, Exception("server closed the connection unexpectedly"))

    with pytest.raises(Unreachable):
        road.drain()
    event.remove(owing.engine, "before_cursor_execute", fail)
    assert states(owing) == {("users", "sending"): 1, ("buyers", "sending"): 1}

    road.drain()

    assert away
    assert standin.users()["ann"]["metadata"] == {"plan": "gold", "buyers": True}
    assert states(owing) == {}


def test_a_store_that_is_busy_for_a_moment_is_asked_again(owing: Store, road, standin: StandIn) -> None:
    busy = [True, True]

    @event.listens_for(owing.engine, "before_cursor_execute")
    def fail(_connection, _cursor, statement, *_):
        if statement.startswith("UPDATE runs") and busy:
            busy.pop()
            raise OperationalError(statement, {}, Exception("database is locked"))

    drain = road.drain()

    assert (drain.requests, states(owing)) == (1, {})


def test_a_fault_of_our_own_ends_the_sender_and_loses_nothing(owing: Store, fake_road, told) -> None:
    def answer(_lane, _documents) -> Outcome:
        raise ZeroDivisionError

    told.answer = answer
    with pytest.raises(ZeroDivisionError):
        fake_road.drain()

    told.answer = lambda lane, documents: Accepted()
    fake_road.drain()
    assert told.users == {"ann": {"plan": "gold", "buyers": True}}


# ── a service ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_service_sends_what_becomes_due_and_ends_when_told_to(store: Store, road, standin: StandIn) -> None:
    stop, wake = threading.Event(), threading.Event()
    sending = threading.Thread(target=road.sender.run, args=(stop, wake))
    sending.start()

    for user in ("ann", "bob"):
        keep(store, identify(user), forward=True)
        wake.set()
        wait_until(lambda user=user: user in standin.users())
    stop.set()
    wake.set()
    sending.join(5)

    assert not sending.is_alive()
    with store.reading() as connection:
        assert leases.count_held(connection, SENDING, road.clock()) == 0


def test_a_service_that_is_told_to_stop_finishes_what_is_on_the_way(store: Store, fake_road, told) -> None:
    keep(store, *(identify(f"u{number}") for number in range(30)), forward=True)
    stop, asked = threading.Event(), threading.Event()

    def answer(_lane, _documents) -> Outcome:
        asked.set()
        time.sleep(0.2)
        return Accepted()

    told.answer = answer
    sending = threading.Thread(target=fake_road.over(batch_items=5).with_(connections=1).sender.run, args=(stop, threading.Event()))
    sending.start()
    asked.wait(5)
    stop.set()
    sending.join(5)

    assert len(told.users) == 5
    assert states(store) == {("users", "owed"): 25}


class Interrupted(Exception):
    pass


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let a signal interrupt the test as Ctrl-C would."""

    def interrupt(_number: int, _frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("interruptible")
def test_a_drain_that_is_interrupted_gives_back_its_right_only_after_its_last_request(owing: Store, fake_road, told) -> None:
    over: list[bool] = []

    def answer(_lane, _documents) -> Outcome:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.2)
        over.append(True)
        return Accepted()

    told.answer = answer
    with pytest.raises(Interrupted):
        fake_road.drain()

    assert over
    assert states(owing) == {}
    with owing.reading() as connection:
        assert leases.count_held(connection, SENDING, fake_road.clock()) == 0


# ── pauses that overlap ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_success_of_before_a_pause_does_not_end_the_pause(store: Store, fake_road, told) -> None:
    keep(store, track("slow"), track("refused"), track("waiting"), forward=True)
    refused = threading.Event()

    def answer(_lane, documents) -> Outcome:
        if documents[0]["user_id"] == "refused":
            refused.set()
            return Later(reason="429", after=timedelta(seconds=60))
        refused.wait(5)
        time.sleep(0.15)
        return Accepted()

    told.answer = answer
    fake_road.over(batch_items=1).with_(connections=2).drain(0.5)

    with store.reading() as connection:
        pause = leases.pauses(connection)[Lane.ACTIONS]
    assert (pause.until - fake_road.clock()).total_seconds() > 50
    assert len(told.posts) == 2


def test_a_failure_of_before_a_pause_does_not_shorten_the_pause(store: Store, fake_road, told) -> None:
    keep(store, track("first"), track("second"), forward=True)
    asked = threading.Event()

    def answer(_lane, documents) -> Outcome:
        if documents[0]["user_id"] == "first":
            asked.set()
            return Later(reason="429", after=timedelta(seconds=60))
        asked.wait(5)
        time.sleep(0.15)
        return Later(reason="503")

    told.answer = answer
    fake_road.over(batch_items=1).with_(connections=2).drain(0.5)

    with store.reading() as connection:
        pause = leases.pauses(connection)[Lane.ACTIONS]
    assert (pause.until - fake_road.clock()).total_seconds() > 50
    assert (pause.reason, pause.failures) == ("429", 1)


def test_failures_in_a_row_are_counted_and_a_success_forgets_them(store: Store, fake_road, told) -> None:
    keep(store, track("ann"), forward=True)
    answers = iter([Later(reason="503")] * 3)
    told.answer = lambda lane, documents: next(answers, Accepted())
    seen = []
    for _ in range(3):
        fake_road.drain(0.0)
        with store.reading() as connection:
            seen.append(leases.pauses(connection)[Lane.ACTIONS].failures)
        fake_road.clock.advance(minutes=10)

    fake_road.drain()

    assert seen == [1, 2, 3]
    with store.reading() as connection:
        assert leases.pauses(connection) == {}


# ── at the same time as runs ─────────────────────────────────────────────────────────────────────────────────────────────


def test_runs_that_are_recorded_while_their_predecessors_are_delivered_all_balance(store: Store, fake_road, told) -> None:
    users = [f"u{number}" for number in range(40)]
    people(store, *users)
    buyers = audience(store)
    stop, wake = threading.Event(), threading.Event()
    sending = threading.Thread(target=fake_road.over(batch_items=3).sender.run, args=(stop, wake))
    sending.start()

    made = []
    for day in range(25):
        made.append(record(store, buyers, users[day % 3 :: 2], after(days=day)))
        wake.set()
    stop.set()
    wake.set()
    sending.join()
    fake_road.drain(10.0)

    found = [run_of(store, run) for run in made]
    assert {run.outcome for run in found} <= {RunOutcome.DONE, RunOutcome.INCOMPLETE}
    assert all(run.balanced for run in found)
    members = set(users[24 % 3 :: 2])
    assert {user: held["buyers"] for user, held in told.users.items()} == {user: user in members for user in told.users}
    assert members <= set(told.users)
