"""A compute records what changed since the last one, at instants that only move forward, and never half of it."""

from __future__ import annotations

import threading

import pytest

from sync.apply import apply
from sync.compute import compute, compute_slot, ordered
from sync.errors import InputError, NotFound
from sync.membership import Outcome
from sync.store import Store, ledger
from sync.store.schema import audiences, changes, runs
from tests.compute.instants import RECENT, again_by_key, at, count, members
from tests.make import (
    after,
    again,
    audience,
    computed_trait,
    definition,
    identify,
    keep,
    people,
    run_of,
    standing_clock,
    told,
    track,
)


def test_time_alone_makes_members_leave(store: Store) -> None:
    keep(store, track("ann", at=after(days=-20)), track("bob", at=after(days=-5)))
    buyers = audience(store, query=RECENT)

    first, second = at(store, buyers, after()), at(store, buyers, after(days=15))

    assert (first.members, first.entered) == (2, 2)
    assert (second.members, second.exited) == (1, 1)
    assert members(store, buyers) == {"bob"}


def test_calls_of_the_future_do_not_count_yet(store: Store) -> None:
    keep(store, track("ann", at=after(days=1)))
    buyers = audience(store, query=RECENT)

    assert [at(store, buyers, after(days=day)).members for day in range(3)] == [0, 1, 1]


def test_what_an_anonymous_visitor_did_counts_once_they_are_known(store: Store) -> None:
    keep(store, track(None, anonymous_id="a"))
    buyers = audience(store, query=RECENT)
    before = at(store, buyers, after(hours=1)).members

    keep(store, identify("ann", {}, anonymous_id="a"))

    assert (before, at(store, buyers, after(hours=2)).members) == (0, 1)


def test_an_earlier_instant_than_the_last_is_refused_and_nothing_done(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    at(store, buyers, after(days=1))

    with pytest.raises(InputError, match="only move forward"):
        at(store, buyers, after(hours=1))

    assert count(store, runs) == 1


def test_without_an_instant_it_is_as_of_now(store: Store) -> None:
    buyers = audience(store, query=RECENT)

    assert compute(store, buyers, None, standing_clock(after(hours=3))).at == after(hours=3)


def test_without_an_instant_one_that_somebody_else_took_meanwhile_is_no_fault(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    at(store, buyers, after(hours=5))

    run = compute(store, buyers, None, standing_clock(after(hours=3)))

    assert (run.at, run.members, run.changed) == (after(hours=5), 1, 0)


def test_the_same_instant_can_be_computed_again(store: Store) -> None:
    keep(store, track("ann", at=after(days=-1)))
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())
    keep(store, track("bob", at=after(days=-1)))

    assert at(store, buyers, after()).entered == 1


def test_a_retired_audience_is_not_computed(store: Store) -> None:
    apply(store, [definition()], after())
    apply(store, [], after())

    with pytest.raises(InputError, match="retired"):
        at(store, again_by_key(store), after(days=1))


def test_an_audience_that_nobody_defined_is_not_found(store: Store) -> None:
    buyers = audience(store)
    with store.writing() as connection:
        connection.execute(audiences.delete())

    with pytest.raises(NotFound):
        compute(store, buyers, after(), standing_clock())


def test_a_changed_query_owes_only_the_difference(store: Store) -> None:
    people(store, "ann", "bob", "cid")
    keep(store, identify("ann", {"n": 1}), identify("bob", {"n": 2}), identify("cid", {"n": 3}))
    apply(store, [definition(query="trait('n') >= 2")], after())
    stored = again_by_key(store)
    at(store, stored, after())

    apply(store, [definition(query="trait('n') <= 2")], after())
    run = at(store, stored, after(days=1))

    assert (run.entered, run.exited) == (1, 1)
    assert members(store, stored) == {"ann", "bob"}


def test_definitions_are_computed_after_those_they_refer_to(store: Store) -> None:
    third = audience(store, "a_third", query="trait('b_second') = true")
    second = audience(store, "b_second", query="trait('c_first') = true AND trait('n') = 1")
    first = audience(store, "c_first", query="trait('n') >= 1")
    keep(store, identify("ann", {"n": 1}), identify("bob", {"n": 2}))

    order = ordered([third, second, first])
    found = {stored.key: at(store, stored, after()).members for stored in order}

    assert [stored.key for stored in order] == ["c_first", "b_second", "a_third"]
    assert found == {"c_first": 2, "b_second": 1, "a_third": 1}


def test_a_computed_trait_appears_changes_and_vanishes(store: Store) -> None:
    trait = computed_trait(store, query="event('Order Completed').within(30 days).last(property('n'))")
    keep(store, track("ann", properties={"n": 1}), track("bob", properties={"n": "x"}, at=after(days=-20)))
    first = at(store, trait, after())
    keep(store, track("ann", properties={"n": 2}, at=after(days=1)))

    second = at(store, trait, after(days=15))

    assert (first.members, first.changed, first.owed) == (2, 2, 2)
    assert (second.members, second.changed) == (1, 2)
    assert (told(store, "ann")["orders"].value, told(store, "bob")["orders"].value) == ("2", None)


# ── at once ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("computed_before", [False, True], ids=["first run", "a later run of the same instant"])
def test_computes_at_once_do_not_double(store: Store, computed_before: bool) -> None:
    buyers = audience(store, query="trait('n') >= 1")
    if computed_before:
        at(store, buyers, after())
    keep(store, *(identify(f"u{number}", {"n": 1}) for number in range(20)))
    barrier, done = threading.Barrier(4), []

    def work() -> None:
        barrier.wait()
        try:
            done.append(at(store, buyers, after()))
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            done.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(run.entered for run in done) == [0, 0, 0, 20]
    assert {run.members for run in done} == {20}
    assert count(store, changes) == 20
    latest = max(done, key=lambda run: run.id)
    assert run_of(store, latest).owed == 20


def test_a_slot_is_taken_by_the_run_that_was_made_for_it(store: Store) -> None:
    buyers = audience(store)

    compute_slot(store, buyers, after(), after(seconds=1), standing_clock())

    assert again(store, buyers).slot_at == after()
    with pytest.raises(InputError, match="already"):
        compute_slot(store, buyers, after(), after(seconds=2), standing_clock())


def test_an_audience_that_returns_goes_on_from_the_instant_of_its_retirement(store: Store) -> None:
    keep(store, identify("ann", {"n": 1}))
    wanted = definition(query="trait('n') = 1")
    apply(store, [wanted], after())
    at(store, again_by_key(store), after())
    apply(store, [], after(days=5))
    apply(store, [wanted], after(days=6))

    with pytest.raises(InputError, match="only move forward"):
        at(store, again_by_key(store), after(days=4))
    at(store, again_by_key(store), after(days=6))

    with store.reading() as connection:
        stored = again_by_key(store)
        found = [len(list(ledger.members_at(connection, stored, after(days=day)))) for day in (0, 4, 5, 6)]
    assert found == [1, 1, 0, 1]


def test_an_audience_retired_before_it_was_ever_computed_can_begin_in_the_past(store: Store) -> None:
    apply(store, [definition()], after())
    apply(store, [], after())
    apply(store, [definition()], after())

    assert at(store, again_by_key(store), after(days=-100)).outcome is Outcome.DONE
