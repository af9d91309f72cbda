"""Most slots of a schedule pass without anything having happened; they are taken for next to nothing, and only they."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import event

from sync.apply import apply
from sync.audience import Every
from sync.compute import compute_slot, passed_in_vain
from sync.lead import Lead, NotLeading, fence_of
from sync.scheduler import Scheduler
from sync.slots import latest_slot
from sync.store import Store
from sync.store.audiences import Stored, by_key
from sync.store.basis import from_json
from sync.store.schema import audiences, runs
from tests.compute.instants import RECENT, again_by_key, at, count
from tests.conftest import StandingClock
from tests.make import after, again, audience, definition, identify, keep, standing_clock, track


def passes(store: Store, stored: Stored, slot: datetime) -> bool:
    with store.connected() as session:
        return passed_in_vain(session, stored, slot, slot)


def test_a_slot_at_which_nothing_has_happened_is_taken_without_a_run(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())

    assert passes(store, again(store, buyers), after(hours=1))

    taken = again(store, buyers)
    assert (taken.slot_at, taken.computed_at, taken.members) == (after(hours=1), after(hours=1), 1)
    assert count(store, runs) == 1


def test_what_came_in_and_concerns_nobody_is_seen_by_then(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())
    before = from_json(again(store, buyers).basis)
    keep(store, track("ann", "Something Else"))

    assert passes(store, again(store, buyers), after(hours=1))

    seen = from_json(again(store, buyers).basis)
    assert before is not None
    assert seen is not None
    assert seen.mark.number > before.mark.number


def test_of_slots_in_every_second_the_store_is_told_of_each_tenth(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())

    assert all(passes(store, again(store, buyers), after(seconds=second)) for second in range(1, 20))

    assert (again(store, buyers).slot_at, again(store, buyers).computed_at) == (after(seconds=11), after(seconds=11))


def test_a_slot_soon_after_a_sync_by_hand_is_told_all_the_same_so_that_no_restart_repeats_it(store: Store) -> None:
    daily = Every(timedelta(days=1))
    apply(store, [definition(query=RECENT, schedule=daily)], after())
    slot = latest_slot(daily, after())
    assert slot is not None
    now = slot + timedelta(days=1)
    Scheduler(store, lambda: slot, lambda: None).run_due("buyers")
    at(store, again_by_key(store), now - timedelta(seconds=5))

    Scheduler(store, lambda: now, lambda: None).run_due("buyers")

    assert again_by_key(store).slot_at == now


def test_what_happens_between_slots_that_the_store_was_not_told_of_is_found(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())
    assert all(passes(store, again(store, buyers), after(seconds=second)) for second in (1, 2))
    assert again(store, buyers).slot_at == after(seconds=1)
    keep(store, track("bob", at=after(seconds=2)))

    assert not passes(store, again(store, buyers), after(seconds=3))


def test_much_that_concerns_nobody_is_not_looked_at_again_in_every_second(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())
    assert passes(store, again(store, buyers), after(seconds=1))
    for one in range(30):
        keep(store, track("ann", f"Something Else {one}"))

    assert passes(store, again(store, buyers), after(seconds=2))

    assert again(store, buyers).computed_at == after(seconds=2)


HAPPENINGS: dict[str, tuple[Callable[[Store], object], timedelta]] = {
    "a call": (lambda store: keep(store, track("ann", at=after(minutes=1))), timedelta(hours=1)),
    "a new user": (lambda store: keep(store, identify("bob")), timedelta(hours=1)),
    "an event grew too old": (lambda store: None, timedelta(days=40)),
    "the query is another": (
        lambda store: apply(store, [definition(query="event('Order Completed').count() >= 2")], after()),
        timedelta(hours=1),
    ),
}


@pytest.mark.parametrize("happens", HAPPENINGS.values(), ids=HAPPENINGS.keys())
def test_a_slot_at_which_something_has_happened_is_left_to_a_run(
    store: Store, happens: tuple[Callable[[Store], object], timedelta]
) -> None:
    keep(store, track("ann"))
    apply(store, [definition(query=RECENT)], after())
    at(store, again_by_key(store), after())
    happen, later = happens
    happen(store)

    slot, buyers = after() + later, again_by_key(store)
    assert not passes(store, buyers, slot)

    assert again_by_key(store) == buyers
    compute_slot(store, buyers, slot, slot, standing_clock())
    assert again_by_key(store).slot_at == slot


def test_the_first_slot_of_all_is_left_to_a_run(store: Store) -> None:
    assert not passes(store, audience(store, query=RECENT), after())


def test_a_slot_that_somebody_else_was_ahead_with_is_not_taken_again(store: Store) -> None:
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())
    read = again(store, buyers)
    assert passes(store, read, after(hours=2))

    assert not passes(store, read, after(hours=1))
    assert not passes(store, again(store, buyers), after(hours=1))
    assert again(store, buyers).slot_at == after(hours=2)


def test_a_guard_that_objects_to_anything_is_left_to_a_run(store: Store) -> None:
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())
    with store.writing() as connection:
        connection.execute(audiences.update().values(guard="?"))

    assert not passes(store, again(store, buyers), after(hours=1))


def test_who_leads_no_longer_takes_no_slot(store: Store) -> None:
    buyers = audience(store, query=RECENT)
    at(store, buyers, after())
    old = Lead(store, after, timedelta(minutes=1))
    assert old.seek()
    lease = old.held
    assert lease is not None
    assert Lead(store, lambda: after(minutes=2)).seek()

    with pytest.raises(NotLeading), store.connected() as session:
        passed_in_vain(session, again(store, buyers), after(hours=1), after(hours=1), fence_of(lease))

    assert again(store, buyers).slot_at is None


def test_whoever_refers_to_one_that_moves_is_run_after_it_and_not_passed_over(store: Store) -> None:
    each = Every(timedelta(hours=1))
    buyers = definition("buyers", query=RECENT, schedule=each)
    apply(store, [buyers], after())
    apply(store, [buyers, definition("vips", query="trait('buyers') = true", schedule=each)], after())
    for hour in (0, 1):
        Scheduler(store, partial(after, hours=hour), lambda: None).run_due("vips")
    keep(store, track("ann"))

    Scheduler(store, lambda: after(hours=2), lambda: None).run_due("vips")

    with store.reading() as connection:
        assert [by_key(connection, key).members for key in ("buyers", "vips")] == [1, 1]


def test_such_a_slot_takes_one_connection_and_four_statements(store: Store) -> None:
    apply(store, [definition(query=RECENT, schedule=Every(timedelta(hours=1)))], after())
    for hour in (0, 1):
        Scheduler(store, partial(after, hours=hour), lambda: None).run_due("buyers")
    statements, connections = list[str](), list[object]()
    event.listen(store.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    event.listen(store.engine, "checkout", lambda *told: connections.append(told[0]))

    Scheduler(store, partial(after, hours=2), lambda: None).run_due("buyers")

    # PostgreSQL is asked two of them at once, which is not seen here.
    assert len([one for one in statements if not one.startswith("BEGIN")]) == (4 if store.on_sqlite else 2)
    assert len(connections) == 1


def test_a_slot_that_the_store_was_not_told_of_is_over_all_the_same(store: Store, clock: StandingClock) -> None:
    apply(store, [definition(query=RECENT, schedule=Every(timedelta(seconds=1)))], clock())
    scheduler = Scheduler(store, clock, lambda: None)
    scheduler.run_due("buyers")
    clock.advance(timedelta(seconds=1))
    statements = list[str]()
    event.listen(store.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))

    for asked in (3 if store.on_sqlite else 1, 1):
        statements.clear()
        scheduler.run_due("buyers")
        assert len([one for one in statements if not one.startswith("BEGIN")]) == asked

    assert again_by_key(store).slot_at == clock() - timedelta(seconds=1)
