"""A compute records what changed since the last one, at instants that only move forward, and never half of it."""

from __future__ import annotations

import threading
from datetime import datetime
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from sync.apply import apply
from sync.audience import DEFAULT_GUARD, Guard, Share
from sync.compute import Wanted, compute, compute_slot, held, look, ordered
from sync.errors import InputError, NotFound
from sync.membership import Outcome, Run
from sync.store import Store, ledger
from sync.store import calls as calls_of_store
from sync.store.audiences import Stored, by_key
from sync.store.schema import audiences, changes, memberships, runs
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

RECENT = "event('Order Completed').within(30 days).count() >= 1"


def at(store: Store, stored: Stored, instant: datetime, **wanted: object) -> Run:
    return compute(store, again(store, stored), instant, standing_clock(), **wanted)


def members(store: Store, stored: Stored) -> set[str]:
    with store.reading() as connection:
        return {user for _, user, _, _ in ledger.members(connection, stored, 0, 100)}


def count(store: Store, table) -> int:
    with store.reading() as connection:
        return connection.scalars(select(func.count()).select_from(table)).one()


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


# ── guards ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def ten(store: Store, guard: Guard) -> Stored:
    """An audience whose first run took ten people in, none of whom was told yet."""
    keep(store, *(identify(f"u{number}", {"n": 1}) for number in range(10)))
    buyers = audience(store, query="trait('n') = 1", guard=guard)
    at(store, buyers, after())
    return buyers


def test_a_guard_that_trips_holds_the_run_and_changes_nothing(store: Store) -> None:
    buyers = ten(store, Guard(max_exits=Share(Decimal(20))))
    keep(store, *(identify(f"u{number}", {"n": 2}, at=after(hours=1)) for number in range(3)))

    run = at(store, buyers, after(days=1))

    assert run.outcome is Outcome.GUARDED
    assert "3 of 10 members would leave" in str(run.error)
    assert (run.members, run.entered, run.exited, run.owed, run.balanced) == (10, 0, 3, 0, True)
    assert len(members(store, buyers)) == 10
    assert count(store, changes) == 10
    assert again(store, buyers).computed_at == after()


def test_a_guard_lets_through_what_is_within_its_limits(store: Store) -> None:
    buyers = ten(store, Guard(max_exits=Share(Decimal(20)), max_entries=1))
    keep(store, *(identify(f"u{number}", {"n": 2}, at=after(hours=1)) for number in range(2)), identify("new", {"n": 1}))

    run = at(store, buyers, after(days=1))

    assert (run.exited, run.entered, run.error) == (2, 1, None)


def test_a_first_run_has_no_guard(store: Store) -> None:
    assert at(store, ten(store, Guard(max_entries=1)), after(days=1)).error is None


def test_a_guarded_run_leaves_what_the_one_before_owes_to_that_one(store: Store) -> None:
    buyers = ten(store, Guard(max_exits=1))
    with store.reading() as connection:
        first = connection.scalars(select(func.min(runs.c.id))).one()
    keep(store, *(identify(f"u{number}", {"n": 2}, at=after(hours=1)) for number in range(5)))

    at(store, buyers, after(days=1))

    with store.reading() as connection:
        assert set(connection.scalars(select(memberships.c.run_id))) == {first}


def test_a_guard_with_resync_that_trips_owes_nothing_again(store: Store) -> None:
    buyers = ten(store, Guard(max_exits=1))
    keep(store, *(identify(f"u{number}", {"n": 2}, at=after(hours=1)) for number in range(5)))

    run = at(store, buyers, after(days=1), resync=True)

    assert run.outcome is Outcome.GUARDED
    assert len(members(store, buyers)) == 10


def leaving(store: Store, *numbers: int, hour: int = 1) -> None:
    keep(store, *(identify(f"u{number}", {"n": 2}, at=after(hours=hour)) for number in numbers))


def test_a_run_that_was_held_can_be_let_through(store: Store) -> None:
    buyers = ten(store, Guard(max_exits=Share(Decimal(20))))
    leaving(store, 0, 1, 2)
    stopped = at(store, buyers, after(days=1))

    run = at(store, buyers, after(days=1), accepted=held(store, stopped.id))

    assert (run.outcome, run.exited, len(members(store, buyers))) == (Outcome.DELIVERING, 3, 7)
    assert f"let through by run {run.id}" in str(run_of(store, stopped).error)


def test_to_let_a_run_through_is_not_to_let_through_whatever_came_since(store: Store) -> None:
    buyers = ten(store, Guard(max_exits=Share(Decimal(20))))
    leaving(store, 0, 1, 2)
    stopped = at(store, buyers, after(days=1))
    leaving(store, 3, 4, hour=2)

    run = at(store, buyers, after(days=1), accepted=held(store, stopped.id))

    assert run.outcome is Outcome.GUARDED
    assert "5 of 10 members would leave" in str(run.error)
    assert len(members(store, buyers)) == 10


def test_the_guard_stands_again_after_a_run_was_let_through(store: Store) -> None:
    buyers = ten(store, Guard(max_exits=Share(Decimal(20))))
    leaving(store, 0, 1, 2)
    at(store, buyers, after(days=1), accepted=held(store, at(store, buyers, after(days=1)).id))
    leaving(store, 3, 4, 5, hour=2)

    assert at(store, buyers, after(days=2)).outcome is Outcome.GUARDED


def test_only_a_run_that_is_held_can_be_let_through(store: Store) -> None:
    buyers = ten(store, Guard(max_exits=1))
    leaving(store, 0, 1)
    stopped = at(store, buyers, after(days=1))
    passed = at(store, buyers, after(days=1), accepted=held(store, stopped.id))

    with pytest.raises(InputError, match=f"run {passed.id} has gone through since"):
        held(store, stopped.id)
    with pytest.raises(InputError, match="not held"):
        held(store, passed.id)
    with pytest.raises(NotFound, match="no run 12345"):
        held(store, 12345)


def test_slot_after_slot_a_held_audience_has_one_run_that_says_how_it_stands(store: Store) -> None:
    buyers = ten(store, Guard(max_exits=1))
    leaving(store, 0, 1)
    first = compute_slot(store, again(store, buyers), after(hours=2), after(hours=2), standing_clock())
    leaving(store, 2, hour=2)

    second = compute_slot(store, again(store, buyers), after(hours=3), after(hours=3), standing_clock())

    assert first is not None
    assert second is not None
    assert (second.id, second.exited, second.at) == (first.id, 3, after(hours=3))


def test_what_a_guard_held_is_found_again_by_the_next_run(store: Store) -> None:
    buyers = ten(store, Guard(max_exits=1))
    leaving(store, 0, 1)
    at(store, buyers, after(days=1))
    apply(store, [definition(query="trait('n') = 1")], after(days=1))

    assert at(store, buyers, after(days=2)).exited == 2


def a_hundred_and_one(store: Store, **fields: object) -> Stored:
    keep(store, *(identify(f"u{number}", {"n": 1}) for number in range(101)))
    buyers = audience(store, query="trait('n') = 1", **fields)
    at(store, buyers, after())
    return buyers


@pytest.mark.parametrize(("leave", "outcome"), [(50, Outcome.DELIVERING), (51, Outcome.GUARDED)])
def test_an_audience_of_more_than_a_hundred_that_names_no_guard_does_not_lose_half_at_once(
    store: Store, leave: int, outcome: Outcome
) -> None:
    buyers = a_hundred_and_one(store, guard=DEFAULT_GUARD)
    leaving(store, *range(leave))

    assert at(store, buyers, after(days=1)).outcome is outcome


def test_a_small_audience_that_names_no_guard_may_change_as_it_likes(store: Store) -> None:
    buyers = ten(store, DEFAULT_GUARD)
    leaving(store, *range(10))

    assert at(store, buyers, after(days=1)).exited == 10


def test_a_guard_of_entries_does_not_let_everybody_leave(store: Store) -> None:
    buyers = a_hundred_and_one(store, guard=Guard(max_entries=5))
    leaving(store, *range(101))

    run = at(store, buyers, after(days=1))

    assert run.outcome is Outcome.GUARDED
    assert "source" in str(run.error)


def test_a_guard_that_cannot_be_read_holds_every_change(store: Store) -> None:
    buyers = ten(store, Guard(max_exits=1))
    with store.writing() as connection:
        connection.execute(audiences.update().values(guard='{"max_exits": "most"}'))
    leaving(store, 0)

    run = at(store, buyers, after(days=1))

    assert run.outcome is Outcome.GUARDED
    assert "cannot be read" in str(run.error)


def test_a_guard_that_cannot_be_worked_out_holds(store: Store) -> None:
    buyers = ten(store, Guard(max_exits=Share(Decimal(100))))
    with store.writing() as connection:
        connection.execute(audiences.update().values(members=0))
    leaving(store, 0)

    assert at(store, buyers, after(days=1)).outcome is Outcome.GUARDED


def test_an_audience_that_returns_after_retirement_is_not_stopped_by_its_guard(store: Store) -> None:
    wanted = definition(query="trait('n') = 1", guard=Guard(max_entries=Share(Decimal(10))))
    keep(store, identify("ann", {"n": 1}), identify("bob", {"n": 1}))
    apply(store, [wanted], after())
    at(store, again_by_key(store), after())
    apply(store, [], after(days=1))

    apply(store, [wanted], after(days=2))
    run = at(store, again_by_key(store), after(days=3))

    assert (run.entered, run.outcome) == (2, Outcome.DELIVERING)


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


# ── whom a run looks at ──────────────────────────────────────────────────────────────────────────────────────────────────


def looked_at(store: Store, stored: Stored, instant: datetime) -> tuple[bool, int]:
    """Return whether everyone is looked at, and how many would change."""
    with store.reading() as connection:
        seen = look(connection, by_key(connection, stored.key), Wanted(at=instant), instant)
        return seen.is_whole, seen.found.changed


def test_the_first_run_looks_at_everyone_and_the_next_only_at_those_concerned(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    first = looked_at(store, buyers, after())
    at(store, buyers, after())

    assert (first, looked_at(store, buyers, after(hours=1))) == ((True, 1), (False, 0))


def test_an_edited_query_is_computed_for_everyone(store: Store) -> None:
    keep(store, identify("ann", {"n": 1}))
    apply(store, [definition(query="trait('n') = 1")], after())
    at(store, again_by_key(store), after())

    apply(store, [definition(query="trait('n') = 2")], after())

    assert looked_at(store, again_by_key(store), after()) == (True, 1)


def test_a_key_that_begins_to_be_an_audiences_is_computed_for_everyone(store: Store) -> None:
    keep(store, identify("ann", {"vip": True}))
    buyers = audience(store, query="trait('vip') = true")
    at(store, buyers, after())

    audience(store, "vip", query="trait('n') = 1")

    assert looked_at(store, buyers, after()) == (True, 1)


def test_a_store_that_was_moved_to_another_server_is_computed_for_everyone(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())
    with store.writing() as connection:
        connection.execute(audiences.update().values(basis=func.replace(audiences.c.basis, '"origin":"', '"origin":"elsewhere ')))

    assert looked_at(store, buyers, after())[0] is True


def test_a_basis_that_cannot_be_read_is_no_reason_to_stop(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())
    with store.writing() as connection:
        connection.execute(audiences.update().values(basis="{"))

    assert looked_at(store, buyers, after()) == (True, 0)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_call_that_commits_after_a_run_that_began_later_is_not_missed(store: Store) -> None:
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())
    with store.writing() as slow:
        calls_of_store.keep(slow, [("web", track("ann"))], lambda _: (), after())
        keep(store, track("bob"))
        between = at(store, buyers, after(hours=1))

    last = at(store, buyers, after(hours=2))

    assert (between.entered, last.entered) == (1, 1)
    assert members(store, buyers) == {"ann", "bob"}


def test_time_that_passes_over_the_date_of_a_computed_trait_moves_who_refers_to_it(store: Store) -> None:
    due = computed_trait(store, "due", query="event('Booked').last(property('on'))")
    soon = audience(store, query="trait('due').within_next(2 days)")
    keep(store, track("ann", "Booked", properties={"on": "2026-03-10"}))
    at(store, due, after())
    at(store, soon, after())

    found = []
    for day in range(1, 8):
        at(store, due, after(days=day))
        run = at(store, soon, after(days=day))
        found.append(run.members)

    # It is 9 o'clock on the 4th; the date is midnight of the 10th, five days and fifteen hours away.
    assert found == [0, 0, 0, 1, 1, 0, 0]


def test_a_slot_with_nothing_new_leaves_no_run_and_still_moves_the_instant(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())

    assert compute_slot(store, buyers, after(hours=1), after(hours=1), standing_clock()) is None
    assert (again(store, buyers).computed_at, count(store, runs)) == (after(hours=1), 1)


def test_a_slot_leaves_to_earlier_runs_what_they_owe_and_takes_over_whom_it_has_news_of(store: Store) -> None:
    keep(store, identify("ann", {"n": 1}), identify("bob", {"n": 1}))
    buyers = audience(store, query="trait('n') = 1")
    first = at(store, buyers, after())
    keep(store, identify("cid", {"n": 1}))
    second = compute_slot(store, buyers, after(hours=1), after(hours=1), standing_clock())
    assert second is not None
    keep(store, identify("ann", {"n": 2}, at=after(hours=2)))

    third = compute_slot(store, buyers, after(hours=2), after(hours=2), standing_clock())

    assert third is not None
    assert [run_of(store, run).owed for run in (first, second, third)] == [1, 1, 1]


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


def again_by_key(store: Store) -> Stored:

    with store.reading() as connection:
        return by_key(connection, "buyers")
