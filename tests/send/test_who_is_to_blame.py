"""Whether what was refused is bad, or the other side refuses whatever is sent: what is found, and what follows from it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from sync.delivery import EVERYTHING, Accepted, AllRefused, KeyRefused, Lane, Later, Outcome, Rejected, Unknown
from sync.send.breaker import KEY_PAUSE, Breaker
from sync.send.lane import STUBBORN
from sync.store import Store, leases, ledger, queue
from sync.store.leases import Pause
from tests.crash.kills import wait_until
from tests.make import NOW, after, audience, identify, keep, people, record
from tests.make import told as told_of

USERS = [f"u{number:03}" for number in range(1000)]


def owe(store: Store, users: list[str]) -> None:
    """Let everybody be owed one forwarded call, in this order."""
    keep(store, *(identify(user) for user in users), forward=True)


def refusing(bad: set[str]) -> Any:
    """Refuse every request in which one of these is."""
    return lambda _lane, documents: (
        Rejected(reason="400") if bad & {str(document["user_id"]) for document in documents} else Accepted()
    )


def counts(store: Store) -> dict[str, int]:
    with store.reading() as connection:
        return {state: number for (_, state), number in queue.states(connection).items()}


def pause_of(store: Store, lane: Lane = Lane.USERS) -> Pause | None:
    with store.reading() as connection:
        return leases.pauses(connection).get(lane)


@pytest.mark.parametrize("bad", [range(7), range(25), range(400, 430), range(0, 1000, 40)], ids=["7", "25", "within", "scattered"])
def test_however_many_bad_items_stand_beside_each_other_they_alone_are_rejected(store: Store, fake_road, told, bad: range) -> None:
    owe(store, USERS)
    told.answer = refusing({USERS[number] for number in bad})

    drain = fake_road.over(batch_items=1000).drain()

    assert (drain.accepted, counts(store)) == (1000 - len(bad), {"rejected": len(bad)})
    assert pause_of(store) is None


def test_where_few_come_at_a_time_and_all_are_refused_the_lane_halts_after_twenty(store: Store, fake_road, told) -> None:
    """A proxy that answers 400 to whatever it is sent would have had everything given up, one by one."""
    stop, wake = threading.Event(), threading.Event()
    told.answer = lambda _lane, _documents: Rejected(reason="400")
    sending = threading.Thread(target=fake_road.sender.run, args=(stop, wake))
    sending.start()
    for number in range(8):
        owe(store, USERS[number * 5 : number * 5 + 5])
        wake.set()
        wait_until(lambda number=number: pause_of(store) or counts(store).get("rejected") == number * 5 + 5, "nothing came of it")
    stop.set()
    wake.set()
    sending.join()

    found = counts(store)
    assert found["rejected"] < 20
    assert found == {"rejected": found["rejected"], "owed": 40 - found["rejected"]}
    pause = pause_of(store)
    assert pause is not None
    assert pause.reason.startswith(EVERYTHING)


def test_what_was_taken_in_between_makes_those_that_were_refused_the_bad_ones(store: Store, fake_road, told) -> None:
    owe(store, USERS[:60])
    told.answer = refusing(set(USERS[:60:2]))

    fake_road.over(batch_items=1).drain()

    assert (counts(store), pause_of(store)) == ({"rejected": 30}, None)


def test_a_lane_that_another_process_has_opened_holds_nothing_against_what_is_sent_next(store: Store, fake_road, told) -> None:
    stop, wake = threading.Event(), threading.Event()
    told.answer = lambda _lane, _documents: Rejected(reason="400")
    owe(store, USERS[:100])
    sending = threading.Thread(target=fake_road.over(batch_items=100).sender.run, args=(stop, wake))
    sending.start()
    wait_until(lambda: pause_of(store), "it never halted")
    told.answer = refusing({USERS[3]})
    with store.writing() as connection:
        leases.open_lane(connection, leases.pauses(connection)[Lane.USERS])
    wake.set()
    wait_until(lambda: not counts(store).get("owed") and not counts(store).get("sending"), "it was not sent")
    stop.set()
    wake.set()
    sending.join()

    assert (counts(store), pause_of(store)) == ({"rejected": 1}, None)


@pytest.mark.parametrize(("reason", "found"), [("503", {"owed": 50}), (f"{EVERYTHING}, 20 in a row", {"rejected": 50})])
def test_only_an_hour_in_which_everything_was_refused_says_that_the_data_is_bad(
    store: Store, fake_road, told, reason: str, found: dict[str, int]
) -> None:
    owe(store, USERS[:50])
    with store.writing() as connection:
        leases.pause(connection, Pause(lane=Lane.USERS, until=NOW, reason=reason, failures=STUBBORN, key_refused=False))
    told.answer = lambda _lane, _documents: Rejected(reason="400")

    fake_road.over(batch_items=50).drain(0.5)

    assert counts(store) == found


def test_where_nobody_was_let_in_for_an_hour_and_then_all_are_refused_nothing_is_rejected(store: Store, fake_road, told) -> None:
    """A process that is started then tries part of a batch: enough to tell that everything is refused."""
    owe(store, USERS[:100])
    with store.writing() as connection:
        leases.pause(connection, Pause(lane=Lane.USERS, until=NOW, reason="500", failures=STUBBORN, key_refused=False))
    told.answer = lambda _lane, _documents: Rejected(reason="400")

    for _ in range(5):
        fake_road.drain(0.5)
        fake_road.clock.advance(minutes=11)

    assert counts(store) == {"owed": 100}


def test_failures_of_another_kind_are_not_counted_where_everything_is_refused(store: Store) -> None:
    breaker = Breaker(Lane.USERS, lambda: after(hours=1), lambda: 0.5)
    with store.writing() as connection:
        leases.pause(connection, Pause(lane=Lane.USERS, until=NOW, reason="503", failures=11, key_refused=False))
        breaker.note(connection, [AllRefused(reason=EVERYTHING)])

    pause = pause_of(store)
    assert pause is not None
    assert pause.failures == 1


WORST: dict[str, tuple[list[Outcome], timedelta, bool]] = {
    "an hour, then a reset": ([Later(reason="429", after=timedelta(hours=1)), Unknown(reason="reset")], timedelta(hours=1), False),
    "a reset, then an hour": ([Unknown(reason="reset"), Later(reason="429", after=timedelta(hours=1))], timedelta(hours=1), False),
    "the key, then 503": ([KeyRefused(reason="401"), Later(reason="503")], KEY_PAUSE, True),
    "everything, then 503": ([AllRefused(reason=EVERYTHING), Later(reason="503")], KEY_PAUSE, False),
}


@pytest.mark.parametrize(("outcomes", "least", "key_refused"), WORST.values(), ids=WORST)
def test_of_several_failures_that_come_back_together_the_one_counts_that_asks_for_most(
    store: Store, outcomes: list[Outcome], least: timedelta, key_refused: bool
) -> None:
    with store.writing() as connection:
        Breaker(Lane.USERS, lambda: NOW, lambda: 0.5).note(connection, outcomes)

    pause = pause_of(store)
    assert pause is not None
    assert (pause.until >= NOW + least, pause.key_refused) == (True, key_refused)


def test_what_was_never_sent_after_an_answer_that_is_not_known_is_owed_and_not_unknown(store: Store, fake_road, told) -> None:
    people(store, "ann", "bob", "cid")
    record(store, audience(store), {"ann", "bob", "cid"})
    told.answer = lambda _lane, _documents: Unknown(reason="no answer")

    # Each of them needs a request of its own.
    fake_road.over(batch_bytes=100).with_(connections=1).drain(0.0)

    with store.reading() as connection:
        assert ledger.states(connection) == {("buyers", "unknown"): 1, ("buyers", "owed"): 2}
    assert len(told.posts) == 1


def test_an_unknown_value_that_is_answered_later_is_still_unknown(store: Store, fake_road, told) -> None:
    people(store, "ann")
    record(store, audience(store), {"ann"})
    told.answer = lambda _lane, _documents: Unknown(reason="no answer")
    fake_road.drain(0.0)
    fake_road.clock.advance(minutes=20)
    told.answer = lambda _lane, _documents: Later(reason="503")

    fake_road.drain(0.0)

    assert told_of(store, "ann")["buyers"].state == "unknown"


@pytest.mark.parametrize("back", [{"minutes": 5}, {"hours": 1}, {"days": 1}], ids=["minutes", "an hour", "a day"])
def test_what_waits_is_tried_at_once_where_the_clock_by_which_it_waits_is_set_back(
    store: Store, fake_road, told, back: dict[str, float]
) -> None:
    owe(store, USERS[:3])
    told.answer = lambda _lane, _documents: Later(reason="429", after=timedelta(minutes=10))
    fake_road.drain(0.0)
    told.answer = lambda _lane, _documents: Accepted()
    waiting = fake_road.drain(0.0).requests

    fake_road.clock.advance(**{unit: -many for unit, many in back.items()})

    assert (waiting, fake_road.drain(0.0).requests) == (0, 1)
    assert (counts(store), pause_of(store)) == ({}, None)


def test_by_a_clock_that_was_set_back_it_is_waited_as_long_as_is_asked_anew(store: Store, fake_road, told) -> None:
    owe(store, USERS[:3])
    told.answer = lambda _lane, _documents: Later(reason="429", after=timedelta(minutes=10))
    fake_road.drain(0.0)
    fake_road.clock.advance(hours=-1)

    requests = [fake_road.drain(0.0).requests for _ in range(2)]
    paused = pause_of(store)

    assert requests == [1, 0]
    assert paused is not None
    assert timedelta(minutes=9) < paused.left(fake_road.clock()) < timedelta(minutes=11)


def test_a_pause_that_a_clock_far_ahead_has_begun_stops_nobody(store: Store, fake_road, told) -> None:
    owe(store, USERS[:3])
    with store.writing() as connection:
        leases.pause(connection, Pause(lane=Lane.USERS, until=after(days=30), reason="503", failures=1, key_refused=False))

    fake_road.drain()

    assert (counts(store), pause_of(store)) == ({}, None)
