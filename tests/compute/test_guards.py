"""A guard holds a run that would flip suspiciously many, before anything is told, until somebody lets it through."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import func, select

from sync.apply import apply
from sync.audience import DEFAULT_GUARD, Guard, Share
from sync.compute import compute_slot, held, note_ended
from sync.errors import InputError, NotFound, TookTooLong
from sync.membership import Outcome
from sync.store import Store
from sync.store.audiences import Stored
from sync.store.schema import audiences, changes, memberships, runs
from tests.compute.instants import again_by_key, at, count, members
from tests.make import after, again, audience, definition, identify, keep, run_of, standing_clock


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


def test_a_run_that_failed_since_leaves_one_that_is_held_to_be_let_through(store: Store) -> None:
    buyers = ten(store, Guard(max_exits=1))
    leaving(store, 0, 1)
    stopped = at(store, buyers, after(days=1))
    failed = note_ended(store, again(store, buyers), None, after(days=1), standing_clock(), None, TookTooLong())

    run = at(store, buyers, after(days=1), accepted=held(store, stopped.id))

    assert (failed.outcome, run.outcome) == (Outcome.FAILED, Outcome.DELIVERING)


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
