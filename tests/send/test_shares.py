"""Several processes send, each about its share; what nobody may do alone; and how a lane begins again."""

from __future__ import annotations

import gc
import random
import threading
import time
import tracemalloc
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import event

from sync.delivery import Accepted, AllRefused, KeyRefused, Lane, Later, Outcome, Rejected, State, Unknown
from sync.errors import StoreBusy
from sync.send.breaker import KEY_PAUSE
from sync.send.drain import Drain
from sync.send.lane import STUBBORN, LaneSender
from sync.send.parcels import Busy
from sync.send.right import LEASE, SENDING, Holder, Right, names
from sync.standin import Fault, StandIn
from sync.store import Store, audiences, debts, leases, ledger, next_deliveries, queue
from sync.store.leases import Pause
from sync.store.wanted import Places, Wanted
from tests.make import audience, identify, keep, people, record, run_of, track
from tests.make import told as ledger_of
from tests.meeting import wait_for_waiting

several_processes = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
"""SQLite is served by one process, so there is nothing to share."""


def held(store: Store, road) -> int:
    with store.reading() as connection:
        return leases.count_held(connection, SENDING, road.clock())


def pauses(store: Store) -> dict[Lane, leases.Pause]:
    with store.reading() as connection:
        return leases.pauses(connection)


# ── shares ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_of_two_that_hold_half_each_sends_its_half_and_together_they_send_all(store: Store, fake_road) -> None:
    users = [f"u{number}" for number in range(60)]
    keep(store, *(identify(user) for user in users), *(track(user) for user in users), forward=True)
    record(store, audience(store), set(users))
    if store.on_sqlite:
        halves: list[frozenset[int] | None] = [None]
    else:
        halves = [frozenset(range(8)), frozenset(range(8, 16))]

    taken = Counter[str]()
    with store.writing() as connection:
        for half in halves:
            for lane in (Lane.USERS, Lane.ACTIONS):
                parcels = fake_road.desk.claim(connection, lane, Busy(), items=9_000, shares=half)
                taken.update(parcel.subject for parcel in parcels)

    assert taken == dict.fromkeys(users, 2)


@several_processes
def test_two_services_share_the_work_and_nobody_is_in_two_requests(store: Store, fake_road, told) -> None:
    users = [f"u{number}" for number in range(200)]
    under_way, together, lock = Counter[str](), set[str](), threading.Lock()

    def answer(_lane, documents) -> Outcome:
        subjects = [str(document["user_id"]) for document in documents]
        with lock:
            together.update(user for user in subjects if under_way[user])
            under_way.update(subjects)
        time.sleep(0.01)
        with lock:
            under_way.subtract(subjects)
        return Accepted()

    told.answer = answer
    stop, wake = threading.Event(), threading.Event()
    roads = [fake_road.over(batch_items=5).with_(owner=owner) for owner in ("one", "two")]
    sending = [threading.Thread(target=road.sender.run, args=(stop, wake)) for road in roads]
    for thread in sending:
        thread.start()
    for number in range(10):
        keep(store, *(identify(user, {"n": number}) for user in users), forward=True)
        wake.set()
    deadline = time.monotonic() + 20
    while told.users != {user: {"n": 9} for user in users} and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    for thread in sending:
        thread.join()

    assert told.users == {user: {"n": 9} for user in users}
    assert together == set()
    assert held(store, fake_road) == 0


@several_processes
def test_who_comes_later_gets_half_and_who_stays_gets_all(store: Store, fake_road) -> None:
    stops = [threading.Event(), threading.Event()]
    # A lease of which a tenth, after which it is renewed, passes at once.
    senders = [fake_road.with_(owner=owner).sender for owner in ("one", "two")]

    def shares_of(owner: str) -> int:
        with store.reading() as connection:
            return sum(leases.holder(connection, name, fake_road.clock()) == owner for name in names(store))

    def wait_for(counts: tuple[int, int]) -> None:
        deadline = time.monotonic() + 15
        while (shares_of("one"), shares_of("two")) != counts:
            assert time.monotonic() < deadline, (shares_of("one"), shares_of("two"))
            time.sleep(0.05)

    sending = [threading.Thread(target=one.run, args=(stop, threading.Event())) for one, stop in zip(senders, stops, strict=True)]
    sending[0].start()
    wait_for((16, 0))
    sending[1].start()
    wait_for((8, 8))
    stops[0].set()
    sending[0].join()
    wait_for((0, 16))
    stops[1].set()
    sending[1].join()


@several_processes
def test_what_a_dead_one_had_is_unknown_to_whoever_takes_a_share_and_what_another_has_is_not(store: Store, fake_road) -> None:
    users = {f"u{number}" for number in range(40)}
    people(store, *users)
    record(store, audience(store), users)
    now = fake_road.clock()
    with store.writing() as connection:
        dead, alive = (leases.take_some(connection, names(store), owner, now, LEASE, 8) for owner in ("dead", "alive"))
        for lost in (dead, alive):
            shares = frozenset(int(one.name.removeprefix(SENDING)) for one in lost)
            fake_road.desk.claim(connection, Lane.USERS, Busy(), shares=shares, lease=lost[0])
        leases.give_back(connection, dead)

        debts.abandon(connection, "died", now)
        states = {state: number for (_, state), number in ledger.states(connection).items()}
        again = {parcel.subject for parcel in fake_road.desk.claim(connection, Lane.USERS, Busy())}

    assert states["unknown"] + states["sending"] == 40
    assert len(again) == states["unknown"] > 0


@several_processes
def test_calls_that_a_dead_one_had_are_unknown_to_whoever_takes_their_share(store: Store, fake_road) -> None:
    users = [f"u{number}" for number in range(40)]
    keep(store, *(identify(user) for user in users), forward=True)
    with store.writing() as connection:
        assert len(fake_road.desk.claim(connection, Lane.USERS, Busy())) == 40
        queue.abandon(connection, "died", frozenset(range(8)))

        again = {parcel.subject for parcel in fake_road.desk.claim(connection, Lane.USERS, Busy(), items=9_000)}
        theirs = {one.state for one in queue.listed(connection, None, 100)}

    assert 0 < len(again) < 40
    assert theirs == {"sending"}


@several_processes
def test_shares_that_a_process_had_once_cost_no_memory(store: Store, fake_road) -> None:
    record(store, audience(store), {f"u{number}" for number in range(200)})
    keep(store, *(identify(f"u{number}") for number in range(200)), forward=True)
    dice = random.Random(1)

    def claim_of_others() -> None:
        shares = frozenset(dice.sample(range(16), 6))
        with store.writing() as connection:
            fake_road.desk.claim(connection, Lane.USERS, Busy(), items=1, shares=shares)

    for _ in range(20):
        claim_of_others()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(60):
            claim_of_others()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert after - before < 2 * 1024 * 1024


def test_who_may_no_longer_send_is_stopped_at_the_last_moment(road, standin: StandIn) -> None:
    told = road.desk.destination.post(Lane.USERS, [{"user_id": "ann"}], lambda: False)

    assert told == Later(reason="the right to send ran out")
    assert standin.users() == {}


# ── beginning again ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_after_a_pause_one_request_finds_out_and_then_all_go(store: Store, fake_road, told) -> None:
    keep(store, *(track(f"u{number}") for number in range(40)), forward=True)
    told.answer = lambda lane, documents: Later(reason="503")
    road = fake_road.over(batch_items=2).with_(connections=4)
    road.drain(0.0)
    road.clock.advance(minutes=20)
    told.posts.clear()

    road.drain(0.0)
    asked_while_away = len(told.posts)
    told.answer = lambda lane, documents: Accepted()
    road.clock.advance(minutes=20)
    road.drain()

    assert asked_while_away == 1
    assert len(told.users) == 40


def test_a_lane_opens_although_the_answer_that_says_so_could_not_be_committed_at_once(store: Store, fake_road, told) -> None:
    keep(store, *(identify(f"u{number}") for number in range(9)), forward=True)
    with store.writing() as connection:
        leases.pause(connection, Pause(lane=Lane.USERS, until=fake_road.clock(), reason="503", failures=1, key_refused=False))
    failed = []

    @event.listens_for(store.engine, "commit")
    def committing(_connection) -> None:
        if told.posts and not failed:
            failed.append(True)
            raise StoreBusy("another process is writing the same rows")

    drain = fake_road.over(batch_items=1).drain(2.0)

    assert (failed, drain.accepted, drain.probes) == ([True], 9, 0)


@several_processes
def test_who_finds_out_about_a_lane_and_who_opens_it_never_wait_for_each_other(store: Store, fake_road) -> None:
    people(store, "ann", "bob")
    record(store, audience(store), {"bob"})
    keep(store, identify("ann"), forward=True)
    paused = Pause(lane=Lane.USERS, until=fake_road.clock(), reason="503", failures=1, key_refused=False)
    with store.writing() as connection:
        leases.pause(connection, paused)
        held = leases.take_some(connection, names(store), "one", fake_road.clock(), LEASE, 16)
    right = Right(Holder(store=store, owner="one", clock=fake_road.clock), held, time.monotonic(), worker=False)
    drain = Drain(stop=threading.Event(), wake=threading.Event(), patience=timedelta(seconds=5))
    # Two are claimed, of which one is put back.
    lane = LaneSender(fake_road.over(batch_items=1).desk, Lane.USERS, 1, right, drain)
    finding_out = threading.Thread(target=lane.work)

    with store.writing() as settling:
        audiences.hold(settling)
        finding_out.start()
        wait_for_waiting(store, 1)
        # PostgreSQL looks once whether somebody waits in vain, after a second: so this one would be the one to find out.
        time.sleep(1.2)
        leases.open_lane(settling, paused)
    finding_out.join()

    assert (lane.failure, drain.accepted) == (None, 2)


def test_a_refused_key_is_tried_once_in_five_minutes_by_all_lanes_together(store: Store, fake_road, told) -> None:
    keep(store, *(identify(f"u{number}") for number in range(9)), *(track(f"u{number}") for number in range(9)), forward=True)
    told.answer = lambda lane, documents: KeyRefused(reason="401")
    stop = threading.Event()
    sending = threading.Thread(target=fake_road.over(batch_items=1).sender.run, args=(stop, threading.Event()))
    sending.start()
    time.sleep(1.5)
    asked = []
    for _ in range(2):
        told.posts.clear()
        fake_road.clock.advance(seconds=KEY_PAUSE.total_seconds())
        time.sleep(2.5)
        asked.append(len(told.posts))
    stop.set()
    sending.join()

    assert asked == [1, 1]
    assert set(pauses(store)) == set(Lane)


def test_where_everything_is_refused_the_lane_halts_and_nothing_is_given_up(store: Store, road, standin: StandIn) -> None:
    keep(store, *(identify(f"u{number}") for number in range(400)), forward=True)
    standin.misbehave(Fault(lane="users", status=400, times=10_000))

    drain = road.drain(0.5)

    assert drain.requests <= 20
    assert isinstance(drain.last_failure, AllRefused)
    assert "400" in drain.last_failure.reason
    with store.reading() as connection:
        assert queue.states(connection) == {("users", "owed"): 400}
    assert (pauses(store)[Lane.USERS].until - road.clock()).total_seconds() > 200


def test_what_is_still_refused_after_an_hour_is_to_blame_itself(store: Store, fake_road, told) -> None:
    keep(store, *(identify(f"u{number}") for number in range(20)), forward=True)
    told.answer = lambda lane, documents: Rejected(reason="400")
    for _ in range(STUBBORN):
        fake_road.drain(0.0)
        fake_road.clock.advance(seconds=KEY_PAUSE.total_seconds() + 1)

    fake_road.drain(0.0)

    with store.reading() as connection:
        assert queue.states(connection) == {("users", "rejected"): 20}


def test_one_bad_item_among_a_thousand_costs_at_most_twenty_one_requests(store: Store, road, standin: StandIn) -> None:
    users = [f"u{number}" for number in range(1000)]
    people(store, *users)
    run = record(store, audience(store), set(users))
    standin.misbehave(Fault(status=400, when_user="u700"))

    drain = road.over(batch_items=1000).drain()

    assert drain.requests <= 21
    now = run_of(store, run)
    assert (now.accepted, now.rejected) == (999, 1)
    assert ledger_of(store, "u700")["buyers"].state == State.REJECTED
    assert road.drain().requests == 0


# ── a backlog ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_that_was_put_back_is_sent_before_anything_newer_about_its_user(store: Store, fake_road, told) -> None:
    keep(store, *(identify(f"u{number % 7}", {"n": number}) for number in range(70)), forward=True)
    answers = iter([Accepted(), Later(reason="503"), Accepted(), Later(reason="503")])
    told.answer = lambda lane, documents: next(answers, Accepted())
    road = fake_road.over(batch_items=3)

    for _ in range(4):
        road.drain(0.0)
        road.clock.advance(minutes=20)
    road.drain()

    assert told.users == {f"u{user}": {"n": 63 + user} for user in range(7)}


def test_all_that_is_unknown_about_a_user_is_taken_at_once_whatever_the_limit(store: Store) -> None:
    keep(store, *(identify(f"u{number % 3}", {"n": number}) for number in range(9)), forward=True)
    with store.writing() as connection:
        everything = next_deliveries.take(connection, Wanted(lane=Lane.USERS, limit=9))
        queue.settle(connection, [one.id for one in everything], State.UNKNOWN, "no answer")
        taken = next_deliveries.take(connection, Wanted(lane=Lane.USERS, limit=2))

    assert [one.call.properties["n"] for one in taken] == [0, 1, 3, 4, 6, 7]
    assert all(one.in_doubt for one in taken)


def test_what_is_unknown_stays_so_until_it_is_accepted(store: Store, fake_road, told) -> None:
    keep(store, identify("ann", {"n": 1}), forward=True)
    answers = iter([Unknown(reason="no answer"), Later(reason="503"), Accepted()])
    told.answer = lambda lane, documents: next(answers)
    road, states = fake_road.over(), []

    for _ in range(3):
        road.drain(0.0)
        road.clock.advance(minutes=20)
        with store.reading() as connection:
            states.append(queue.states(connection))

    assert states == [{("users", "unknown"): 1}, {("users", "unknown"): 1}, {}]


def test_taking_goes_on_where_it_ended_and_comes_back_for_what_is_behind(store: Store, fake_road) -> None:
    keep(store, *(track(f"u{number}") for number in range(30)), forward=True)
    places = Places()
    wanted = Wanted(lane=Lane.ACTIONS, limit=10, places=places)
    with store.writing() as connection:
        first = [one.id for one in next_deliveries.take(connection, wanted)]
        second = [one.id for one in next_deliveries.take(connection, wanted)]
        queue.put_back(connection, first)
        third = [one.id for one in next_deliveries.take(connection, wanted)]
        fourth = [one.id for one in next_deliveries.take(connection, wanted)]

    assert first + second + third == sorted(first + second + third)
    assert fourth == first
