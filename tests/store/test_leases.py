"""A right that one has at a time, pauses of lanes, and signs of life."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Connection, select

from sync.delivery import Lane
from sync.store import Store, erase, leases, schema
from sync.store.leases import Lease, Pause
from tests.make import NOW, after
from tests.meeting import met, several_writers

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
        leases.give_back(connection, [held])

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
        assert not leases.renew(connection, [lost], after(minutes=2), MINUTE)
        assert not leases.still_held(connection, [lost])
        leases.give_back(connection, [lost])
        assert leases.still_held(connection, [taken])


def test_a_lease_is_lost_to_a_later_life_of_the_same_owner(store: Store) -> None:
    first = take(store, "one")
    second = take(store, "one", after(minutes=2))
    assert first is not None
    assert second is not None

    with store.writing() as connection:
        assert not leases.still_held(connection, [first])
        assert leases.still_held(connection, [second])


def test_a_renewed_lease_lasts_longer(store: Store) -> None:
    held = take(store, "one")
    assert held is not None
    with store.writing() as connection:
        assert leases.renew(connection, [held], after(seconds=50), MINUTE)

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
        leases.open_lane(connection, pause(Lane.ACTIONS))

        assert leases.pauses(connection) == {Lane.USERS: pause(Lane.USERS, failures=2, until=after(minutes=2))}


def test_trying_the_key_again_ends_only_the_pauses_that_wait_for_it(store: Store) -> None:
    with store.writing() as connection:
        leases.pause(connection, pause(Lane.USERS, key_refused=True))
        leases.pause(connection, pause(Lane.ACTIONS))

        leases.try_key_again(connection, NOW)

        assert {lane: one.until for lane, one in leases.pauses(connection).items()} == {
            Lane.USERS: NOW,
            Lane.ACTIONS: after(minutes=1),
        }


def test_of_several_leases_as_many_are_taken_as_are_free_and_wanted(store: Store) -> None:
    names = [f"share/{number}" for number in range(5)]
    with store.writing() as connection:
        first = leases.take_some(connection, names, "one", NOW, MINUTE, 3)
        rest = leases.take_some(connection, names, "two", NOW, MINUTE, 3)
        none = leases.take_some(connection, names, "three", NOW, MINUTE, 3)

        assert [lease.name for lease in (*first, *rest)] == names
        assert none == []
        assert leases.count_held(connection, "share/", NOW) == 5
        assert leases.still_held(connection, first)


def test_one_lease_that_was_lost_is_the_loss_of_all(store: Store) -> None:
    names = ["share/0", "share/1"]
    with store.writing() as connection:
        held = leases.take_some(connection, names, "one", NOW, MINUTE, 2)
        leases.take_some(connection, names[:1], "two", after(minutes=2), MINUTE, 1)

        assert not leases.still_held(connection, held)
        assert not leases.renew(connection, held, after(minutes=2), MINUTE)


def test_workers_are_counted_while_they_say_that_they_are_there(store: Store) -> None:
    with store.writing() as connection:
        counts = [leases.present(connection, "worker/", owner, NOW, MINUTE) for owner in ("one", "two", "one")]
        leases.leave(connection, "worker/", "two")

        assert counts == [1, 2, 2]
        assert leases.present(connection, "worker/", "three", after(seconds=30), MINUTE) == 2
        assert leases.present(connection, "worker/", "three", after(seconds=70), MINUTE) == 1


def test_one_at_a_time_finds_out_whether_a_lane_can_send(store: Store) -> None:
    paused, until = pause(Lane.USERS, until=NOW), after(seconds=31)
    with store.writing() as connection:
        leases.pause(connection, paused)

        assert leases.begin_probe(connection, paused, NOW, until)
        assert not leases.begin_probe(connection, paused, after(seconds=30), after(minutes=2))
        assert leases.begin_probe(connection, paused, until, after(minutes=2))


def test_one_finds_out_about_a_lane_that_a_clock_which_was_ahead_has_paused(store: Store) -> None:
    ahead = pause(Lane.USERS, since=after(hours=1), until=after(hours=2))
    with store.writing() as connection:
        leases.pause(connection, ahead)
        before = leases.pauses(connection)[Lane.USERS].left(NOW)
        begun = [leases.begin_probe(connection, ahead, NOW, after(seconds=31)) for _ in range(2)]

        assert (before, begun) == (timedelta(), [True, False])
        assert leases.pauses(connection)[Lane.USERS].left(NOW) == timedelta(seconds=31)


def test_a_pause_that_another_host_began_whose_clock_is_seconds_ahead_holds(store: Store) -> None:
    paused = pause(Lane.USERS, since=after(seconds=4), until=after(seconds=64))
    with store.writing() as connection:
        leases.pause(connection, paused)

        assert leases.pauses(connection)[Lane.USERS].left(NOW) == timedelta(seconds=64)
        assert not leases.begin_probe(connection, paused, NOW, after(seconds=31))


def test_the_key_is_tried_for_all_lanes_by_one_of_them(store: Store) -> None:
    refused = {lane: pause(lane, until=NOW, key_refused=True) for lane in Lane}
    with store.writing() as connection:
        for one in refused.values():
            leases.pause(connection, one)

        assert leases.begin_probe(connection, refused[Lane.USERS], NOW, after(seconds=31))
        assert not leases.begin_probe(connection, refused[Lane.ACTIONS], NOW, after(seconds=31))
        leases.open_lane(connection, refused[Lane.USERS])
        assert leases.pauses(connection) == {}


def test_the_last_beat_is_remembered(store: Store) -> None:
    with store.writing() as connection:
        assert leases.last_beat(connection, "heart") is None
        leases.beat(connection, "heart", NOW, "")
        leases.beat(connection, "heart", after(seconds=5), "")

        assert leases.last_beat(connection, "heart") == after(seconds=5)


def test_what_a_clock_that_was_ahead_holds_is_not_counted_as_held(store: Store) -> None:
    with store.writing() as connection:
        leases.take_some(connection, ["share/0", "share/1"], "ahead", after(days=300), MINUTE, 2)

        assert leases.count_held(connection, "share/", NOW) == 0


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@several_writers
def test_who_renews_and_who_forgets_somebody_never_wait_for_each_other(store: Store) -> None:
    with store.writing() as connection:
        # They lie in the table in another order than that of their names.
        held = leases.take_some(connection, ["c", "b", "a"], "one", NOW, MINUTE, 3)
    middle = select(schema.leases.c.name).where(schema.leases.c.name == "b")

    failures = met(
        store,
        middle,
        lambda connection: leases.renew(connection, held, NOW, MINUTE),
        lambda connection: erase.hold(connection, "nobody"),
    )

    assert failures == []


@several_writers
def test_a_right_is_renewed_while_claims_and_answers_are_written_down_without_a_gap(store: Store) -> None:
    with store.writing() as connection:
        held = leases.take_some(connection, ["a", "b"], "one", NOW, MINUTE, 2)

    with store.writing() as writing, store.once_more(0.3) as impatient:
        assert leases.still_held(writing, held)
        with impatient.writing() as renewing:
            assert leases.renew(renewing, held, NOW, MINUTE)
        with impatient.writing() as taking:
            assert leases.take_some(taking, ["a", "b"], "two", after(minutes=5), MINUTE, 2) == []


@several_writers
def test_lanes_that_try_the_key_at_once_never_wait_for_each_other(store: Store) -> None:
    refused = {lane: pause(lane, until=NOW, key_refused=True) for lane in (Lane.COMPANIES, Lane.ACTIONS, Lane.USERS)}
    with store.writing() as connection:
        for one in refused.values():
            leases.pause(connection, one)
    begun: list[bool] = []

    def begin(lane: Lane) -> Callable[[Connection], None]:
        return lambda connection: begun.append(leases.begin_probe(connection, refused[lane], NOW, after(seconds=31)))

    failures = met(
        store, select(schema.lanes.c.lane).where(schema.lanes.c.lane == "companies"), begin(Lane.USERS), begin(Lane.ACTIONS)
    )

    assert failures == []
    assert sorted(begun) == [False, True]
