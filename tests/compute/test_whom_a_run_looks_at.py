"""A run looks at users about whom something arrived or over whom time passed, and at everyone only where it has to."""

from __future__ import annotations

import os
from datetime import datetime

import pytest
from sqlalchemy import event, func

from sync.apply import apply
from sync.compute import Wanted, compute_slot, look
from sync.store import Store
from sync.store import calls as calls_of_store
from sync.store.audiences import Stored, by_key
from sync.store.schema import audiences, runs
from tests.compute.instants import RECENT, again_by_key, at, count, members
from tests.make import after, again, audience, computed_trait, definition, identify, keep, run_of, standing_clock, track


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


LATE_COMMITS = int(os.environ.get("LATE_COMMITS", "20"))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_call_that_commits_after_a_run_that_began_later_is_not_missed(store: Store) -> None:
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())
    for trial in range(1, LATE_COMMITS + 1):
        with store.writing() as slow:
            calls_of_store.keep(slow, [("web", track(f"slow-{trial}"))], lambda _: (), after())
            keep(store, track(f"fast-{trial}"))
            between = at(store, buyers, after(minutes=2 * trial))

        last = at(store, buyers, after(minutes=2 * trial + 1))

        assert (between.entered, last.entered) == (1, 1)
    assert members(store, buyers) == {f"{how}-{trial}" for how in ("slow", "fast") for trial in range(1, LATE_COMMITS + 1)}


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


def test_a_slot_that_concerns_few_users_takes_few_statements(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())
    keep(store, track("bob", at=after(hours=1)))
    stored, statements = again(store, buyers), list[str]()
    event.listen(store.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))

    run = compute_slot(store, stored, after(hours=2), after(hours=2), standing_clock())

    assert run is not None
    assert (run.members, run.owed) == (2, 1)
    # PostgreSQL is asked four more, each pair at once, which is not seen here.
    assert len([one for one in statements if not one.startswith("BEGIN")]) == (9 if store.on_sqlite else 0)
