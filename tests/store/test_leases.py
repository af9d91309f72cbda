"""A right that one has at a time, pauses of lanes, and signs of life."""

from __future__ import annotations

import threading
from datetime import timedelta

from sync.delivery import Lane
from sync.store import Store, leases
from sync.store.leases import Lease, Pause
from tests.make import NOW, after

MINUTE = timedelta(minutes=1)


def take(store: Store, owner: str, at=NOW) -> Lease | None:
    with store.writing() as connection:
        return leases.take(connection, "send", owner, at, MINUTE)


def test_a_lease_is_held_by_one_at_a_time(store: Store) -> None:
    assert take(store, "one") is not None
    assert take(store, "two") is None
    assert take(store, "one") is None


def test_a_lease_that_was_given_back_can_be_taken_at_once(store: Store) -> None:
    held = take(store, "one")
    assert held is not None
    with store.writing() as connection:
        leases.give_back(connection, held)

    taken = take(store, "two")

    assert taken is not None
    assert (taken.epoch, taken.taken_over) == (2, False)


def test_a_lease_that_ran_out_is_taken_over(store: Store) -> None:
    take(store, "one")

    assert take(store, "two", after(seconds=59)) is None
    taken = take(store, "two", after(seconds=60))

    assert taken is not None
    assert (taken.epoch, taken.taken_over) == (2, True)


def test_who_lost_a_lease_can_neither_renew_it_nor_give_it_back(store: Store) -> None:
    lost = take(store, "one")
    taken = take(store, "two", after(minutes=2))
    assert lost is not None
    assert taken is not None

    with store.writing() as connection:
        assert not leases.renew(connection, lost, after(minutes=2), MINUTE)
        assert not leases.still_held(connection, lost)
        leases.give_back(connection, lost)
        assert leases.still_held(connection, taken)


def test_a_lease_is_lost_to_a_later_life_of_the_same_owner(store: Store) -> None:
    first = take(store, "one")
    second = take(store, "one", after(minutes=2))
    assert first is not None
    assert second is not None

    with store.writing() as connection:
        assert not leases.still_held(connection, first)
        assert leases.still_held(connection, second)


def test_a_renewed_lease_lasts_longer(store: Store) -> None:
    held = take(store, "one")
    assert held is not None
    with store.writing() as connection:
        assert leases.renew(connection, held, after(seconds=50), MINUTE)

    assert take(store, "two", after(seconds=100)) is None
    with store.reading() as connection:
        assert leases.holder(connection, "send", after(seconds=100)) == "one"
        assert leases.holder(connection, "send", after(seconds=110)) is None


def test_of_many_who_reach_for_a_lease_one_gets_it(store: Store) -> None:
    barrier, got = threading.Barrier(8), []

    def reach(owner: str) -> None:
        barrier.wait()
        got.append(take(store, owner))

    threads = [threading.Thread(target=reach, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len([lease for lease in got if lease is not None]) == 1


def test_leases_of_other_names_are_other_leases(store: Store) -> None:
    take(store, "one")

    with store.writing() as connection:
        assert leases.take(connection, "other", "two", NOW, MINUTE) is not None


def pause(lane: Lane, **fields) -> Pause:
    return Pause(**({"lane": lane, "until": after(minutes=1), "reason": "503", "failures": 1, "key_refused": False} | fields))


def test_a_pause_is_remembered_until_the_lane_is_opened(store: Store) -> None:
    with store.writing() as connection:
        leases.pause(connection, pause(Lane.USERS))
        leases.pause(connection, pause(Lane.USERS, failures=2, until=after(minutes=2)))
        leases.pause(connection, pause(Lane.ACTIONS))
        leases.open_lane(connection, Lane.ACTIONS)

        assert leases.pauses(connection) == {Lane.USERS: pause(Lane.USERS, failures=2, until=after(minutes=2))}


def test_trying_the_key_again_opens_only_what_waited_for_it(store: Store) -> None:
    with store.writing() as connection:
        leases.pause(connection, pause(Lane.USERS, key_refused=True))
        leases.pause(connection, pause(Lane.ACTIONS))

        leases.try_key_again(connection)

        assert set(leases.pauses(connection)) == {Lane.ACTIONS}


def test_the_last_beat_is_remembered(store: Store) -> None:
    with store.writing() as connection:
        assert leases.last_beat(connection, "heart") is None
        leases.beat(connection, "heart", NOW, "")
        leases.beat(connection, "heart", after(seconds=5), "")

        assert leases.last_beat(connection, "heart") == after(seconds=5)
