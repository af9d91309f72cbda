"""One user is told one thing after another, however many connections there are; and batches keep their bounds."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest
from sqlalchemy import select

from sync.delivery import Accepted, Lane, Later, Outcome, Rejected, Unknown
from sync.errors import StoreBusy
from sync.payload import size
from sync.send.known_types import KnownTypes
from sync.standin import Fault, StandIn
from sync.store import Store, queue
from sync.store.schema import memberships
from tests.make import after, audience, group, identify, keep, people, record, run_of, track


def is_due(store: Store) -> bool:
    with store.reading() as connection:
        return queue.waiting(connection, Lane.USERS)


class Watch:
    """Answers late and at odds, and notes who was in two requests at once, or twice in one."""

    def __init__(self, seed: int, fail: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.fail = fail
        self.lock = threading.Lock()
        self.under_way: Counter[str] = Counter()
        self.together: set[str] = set()
        self.twice: set[str] = set()
        self.most_at_once = 0

    def __call__(self, lane: Lane, documents) -> Outcome:
        users = [str(document["user_id"]) for document in documents]
        with self.lock:
            self.twice |= {user for user, count in Counter(users).items() if count > 1}
            self.together |= {user for user in users if self.under_way[user]}
            self.under_way.update(users)
            self.most_at_once = max(self.most_at_once, self.under_way.total() // max(len(users), 1))
            wait, fate = self.random.random() * 0.01, self.random.random()
        time.sleep(wait)
        with self.lock:
            self.under_way.subtract(users)
        if fate < self.fail:
            return [Later(reason="503"), Unknown(reason="no answer")][int(fate * 1000) % 2]
        return Accepted()


class BusyOnce(KnownTypes):
    """Finds the store busy at the end of the first claim, as a writer does who has waited for another in vain."""

    found = False

    def prepare(self, connection, lane, documents) -> None:
        if documents and not self.found:
            self.found = True
            raise StoreBusy("another process is writing the same rows")
        super().prepare(connection, lane, documents)


def test_what_a_claim_that_failed_was_about_goes_before_anything_newer(store: Store, fake_road, told) -> None:
    keep(store, *(identify("ann", {"n": number}, at=after(minutes=number)) for number in range(5)), forward=True)

    types = BusyOnce()
    fake_road.over(batch_items=1, types=types).with_(connections=1).drain()

    assert types.found
    assert [document["metadata"]["n"] for _, documents in told.posts for document in documents] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("fail", [0.0, 0.2], ids=["all goes well", "a fifth fails"])
def test_of_many_calls_about_many_users_the_newest_stands_in_the_end(store: Store, fake_road, told, fail: float) -> None:
    for number in range(20):
        keep(store, *(identify(f"u{user}", {"n": number}, at=after(minutes=number)) for user in range(50)), forward=True)
    watch = told.answer = Watch(7, fail)

    road = fake_road.over(batch_items=7)
    while is_due(store):
        road.drain(0.1)
        road.clock.advance(minutes=20)

    assert told.users == {f"u{user}": {"n": 19} for user in range(50)}
    assert (watch.together, watch.twice) == (set(), set())


def test_calls_and_memberships_of_one_user_never_travel_side_by_side(store: Store, fake_road, told) -> None:
    users = [f"u{number}" for number in range(30)]
    people(store, *users)
    stored = [audience(store, key) for key in ("a", "b")]
    watch = told.answer = Watch(3)
    road = fake_road.over(batch_items=3)
    stop = threading.Event()
    sending = threading.Thread(target=road.sender.run, args=(stop, threading.Event()))
    sending.start()

    for day in range(1, 6):
        keep(store, *(identify(user, {"n": day}, at=after(days=day)) for user in users), forward=True)
        for one in stored:
            record(store, one, users if day % 2 else (), after(days=day))
    stop.set()
    sending.join()
    road.drain(20.0)

    assert told.users == {user: {"n": 5, "a": True, "b": True} for user in users}
    assert (watch.together, watch.twice) == (set(), set())


def test_the_stand_in_ends_with_the_newest_over_real_http_with_faults(store: Store, road, standin: StandIn) -> None:
    for number in range(10):
        keep(store, *(identify(f"u{user}", {"n": number}, at=after(minutes=number)) for user in range(20)), forward=True)
    standin.misbehave(
        Fault(status=503), Fault(close="after"), Fault(close="before"), Fault(delay_seconds=0.05), Fault(close="midway")
    )

    road.over(batch_items=5).drain(20.0)

    assert {user: held["metadata"] for user, held in standin.users().items()} == {f"u{user}": {"n": 9} for user in range(20)}
    assert standin.requests["users"].duplicates == 0


def test_several_connections_are_used(store: Store, fake_road, told) -> None:
    keep(store, *(track(f"u{number}") for number in range(40)), forward=True)
    meet = threading.Barrier(4)

    def answer(_lane, _documents) -> Outcome:
        meet.wait(5)
        return Accepted()

    told.answer = answer
    drain = fake_road.over(batch_items=10).drain()

    assert (drain.requests, drain.accepted) == (4, 40)


def test_a_batch_holds_no_more_items_than_it_may(store: Store, fake_road, told) -> None:
    keep(store, *(identify(f"u{number}") for number in range(25)), forward=True)
    record(store, audience(store), [f"u{number}" for number in range(25)])

    fake_road.over(batch_items=10).drain()

    assert max(len(documents) for _, documents in told.posts) == 10
    assert len(told.users) == 25


def test_a_batch_holds_no_more_bytes_than_it_may(store: Store, fake_road, told) -> None:
    keep(store, *(identify(f"u{number}", {"text": "x" * 900}) for number in range(20)), forward=True)

    fake_road.over(batch_bytes=5_000).drain()

    assert max(sum(size(document) + 1 for document in documents) for _, documents in told.posts) <= 5_000
    assert len(told.users) == 20


def test_an_item_larger_than_a_batch_should_be_goes_alone(store: Store, fake_road, told) -> None:
    keep(store, identify("a"), identify("big", {"text": "x" * 9_000}), identify("b"), forward=True)

    fake_road.over(batch_bytes=5_000).drain()

    assert ["big"] in [[document["user_id"] for document in documents] for _, documents in told.posts]
    assert set(told.users) == {"a", "b", "big"}


def test_group_calls_about_one_company_keep_their_order(store: Store, road, standin: StandIn) -> None:
    for number in range(12):
        keep(store, group(None, "acme", {"n": number}, anonymous_id="x", timestamp=after(minutes=number)), forward=True)

    road.over(batch_items=2).drain(10.0)

    assert standin.companies()["acme"]["metadata"] == {"n": 11}


def test_a_rejected_call_does_not_stop_later_ones_about_the_same_user(store: Store, fake_road, told) -> None:
    keep(store, identify("ann", {"bad": 1}), identify("ann", {"good": 1}, at=after(hours=1)), forward=True)
    told.answer = lambda lane, documents: (
        Rejected(reason="400") if any("bad" in one["metadata"] for one in documents) else Accepted()
    )

    fake_road.drain()

    assert told.users == {"ann": {"good": 1}}


def test_actions_need_no_order_and_stay_apart(store: Store, road, standin: StandIn) -> None:
    keep(store, *(track("ann", f"E{number}") for number in range(30)), forward=True)

    drain = road.drain()

    assert drain.requests == 1
    assert len(standin.actions()) == 30


def test_what_was_claimed_and_never_sent_is_owed_again_and_was_no_attempt(store: Store, fake_road, told) -> None:
    names = [f"u{number}" for number in range(6)]
    people(store, *names)
    run = record(store, audience(store), set(names))
    answers = iter([Accepted(), Later(reason="429")])
    told.answer = lambda lane, documents: next(answers, Accepted())

    fake_road.over(batch_items=1, draw=lambda: 1.0).with_(connections=1).drain(0.0)

    with store.reading() as connection:
        found = connection.execute(select(memberships.c.state, memberships.c.attempts).order_by(memberships.c.profile_id)).all()
    assert [tuple(row) for row in found] == [("settled", 0), ("owed", 1), *[("owed", 0)] * 4]
    now = run_of(store, run)
    assert (now.owed, now.accepted, now.held) == (6, 1, 5)


def test_a_sender_that_is_stopped_puts_back_what_it_had_claimed(store: Store, fake_road, told) -> None:
    names = [f"u{number}" for number in range(6)]
    people(store, *names)
    record(store, audience(store), set(names))
    road = fake_road.over(batch_items=1).with_(connections=1)
    stop, wake = threading.Event(), threading.Event()

    def answer(lane, documents):
        stop.set()
        return Accepted()

    told.answer = answer
    road.sender.run(stop, wake)

    with store.reading() as connection:
        states = list(connection.scalars(select(memberships.c.state).order_by(memberships.c.profile_id)))
    assert states == ["settled", *["owed"] * 5]
