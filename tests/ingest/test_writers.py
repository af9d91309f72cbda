"""Many writers at once: nothing is kept twice, nothing is lost, and nobody is made twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select, update

from sync.call import Call
from sync.store import Store
from sync.store.calls import keep as keep_within
from sync.store.schema import calls, deliveries, identifiers, profiles
from tests.make import NOW, after, identify, keep, track, traits
from tests.meeting import losing_at_first, several_writers, wait_for_waiting


def at_once(jobs: Sequence[Callable[[], object]]) -> list[object]:
    """Do everything at the same time, and return what each returned."""
    results: list[object] = [None] * len(jobs)
    barrier = threading.Barrier(len(jobs))

    def work(position: int) -> None:
        barrier.wait()
        try:
            results[position] = jobs[position]()
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            results[position] = error

    threads = [threading.Thread(target=work, args=(position,)) for position in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def keeping(store: Store, batch: Sequence[Call]) -> Callable[[], object]:
    return lambda: keep(store, *batch, forward=True)


def test_one_batch_sent_by_many_at_once_is_kept_once(store: Store) -> None:
    batch = [identify("ann", {"n": 1}, anonymous_id="a"), *(track("ann", anonymous_id="a") for _ in range(5))]

    results = at_once([keeping(store, batch)] * 6)

    assert sorted(kept.accepted for kept in results) == [0, 0, 0, 0, 0, 6]
    with store.reading() as connection:
        assert len(connection.scalars(select(calls.c.id)).all()) == 6
        assert len(connection.scalars(select(deliveries.c.id)).all()) == 6
        assert len(connection.scalars(select(profiles.c.id)).all()) == 1


def test_writers_who_meet_the_same_people_in_different_orders_all_get_through(store: Store) -> None:
    names = [f"user {number}" for number in range(12)]
    batches = [
        [identify(name, {f"from {writer}": writer}) for name in (names if writer % 2 else reversed(names))] for writer in range(6)
    ]

    results = at_once([keeping(store, batch) for batch in batches])

    assert [getattr(kept, "accepted", kept) for kept in results] == [12] * 6
    assert all(len(traits(store, name)) == 6 for name in names)


def test_what_several_writers_learn_about_one_person_is_all_kept(store: Store) -> None:
    keep(store, identify("ann", {}))

    results = at_once([keeping(store, [identify("ann", {f"t{n}": n, "last": n}, at=after(minutes=n))]) for n in range(8)])

    assert [getattr(kept, "accepted", kept) for kept in results] == [1] * 8
    assert traits(store, "ann") == {f"t{n}": n for n in range(8)} | {"last": 7}


def test_a_visitor_who_is_named_while_others_write_about_them_keeps_every_event(store: Store) -> None:
    keep(store, track(None, "E", anonymous_id="a"))
    writers = [keeping(store, [track(None, "E", anonymous_id="a"), track(None, "E", anonymous_id="a")]) for _ in range(5)]

    results = at_once([*writers, keeping(store, [identify("ann", {}, anonymous_id="a")])])

    assert [getattr(kept, "accepted", kept) for kept in results] == [2] * 5 + [1]
    with store.reading() as connection:
        owners = Counter(connection.scalars(select(profiles.c.user_id).join(calls, calls.c.profile_id == profiles.c.id)).all())
        assert owners == {"ann": 12}
        assert connection.scalars(select(identifiers.c.value)).all() == ["a"]


def test_a_visitor_claimed_by_two_users_at_once_becomes_one_of_them(store: Store) -> None:
    keep(store, track(None, "E", anonymous_id="a"))

    results = at_once([keeping(store, [identify(user, {}, anonymous_id="a")]) for user in ("ann", "bob", "cid", "dan")])

    assert [getattr(kept, "accepted", kept) for kept in results] == [1] * 4
    with store.reading() as connection:
        owner = connection.scalars(select(profiles.c.user_id).join(calls).where(calls.c.event == "E")).one()
        assert owner in {"ann", "bob", "cid", "dan"}
        assert len(connection.scalars(select(profiles.c.id)).all()) == 4


@several_writers
def test_calls_of_a_user_in_a_known_browser_do_not_wait_for_whoever_writes_their_traits(store: Store) -> None:
    keep(store, identify("ann", anonymous_id="a"))

    with store.writing() as connection, store.once_more(0.5) as hurried:
        connection.execute(update(profiles).values(traits={"plan": "pro"}))
        kept = keep(hurried, track("ann", anonymous_id="a"))

    assert kept.accepted == 1


@several_writers
def test_who_takes_calls_in_and_has_lost_once_goes_alone(store: Store) -> None:
    with ThreadPoolExecutor(1) as pool:
        with store.writing() as other:
            keep_within(other, [("web", track("bob"))], lambda call: (), NOW)
            with losing_at_first(store):
                kept = pool.submit(keep, store, track("ann"))
                wait_for_waiting(store, 1)

        assert kept.result().accepted == 1
