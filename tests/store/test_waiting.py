"""What waits for a service to come is told by one question, whatever it is."""

from __future__ import annotations

from sync.delivery import Lane
from sync.store import Store, debts, next_deliveries, requested
from sync.store.waiting import Waiting, waiting
from sync.store.wanted import Wanted
from tests.make import NOW, audience, identify, keep, people, record, track


def waits(store: Store) -> Waiting:
    with store.reading() as connection:
        return waiting(connection)


def test_nothing_waits_where_everything_has_been_seen_to(store: Store) -> None:
    keep(store, identify("ann"), track("ann"))
    record(store, audience(store), set())

    assert waits(store) == Waiting(requested=False, owed=False)


def test_a_sync_that_was_asked_for_waits_until_it_is_done(store: Store) -> None:
    buyers = audience(store)
    with store.writing() as connection:
        requested.ask(connection, buyers.id, NOW)
    asked = waits(store)
    with store.writing() as connection:
        for wish in requested.waiting(connection):
            requested.done(connection, wish)

    assert (asked.requested, waits(store).requested) == (True, False)


def test_what_the_ledger_owes_waits_and_still_does_while_it_is_on_the_way(store: Store) -> None:
    people(store, "ann")
    record(store, audience(store), {"ann"})
    owed = waits(store)
    with store.writing() as connection:
        debts.claim(connection, debts.due_profiles(connection, Wanted(lane=Lane.USERS, limit=1)))

    assert (owed.owed, waits(store).owed) == (True, True)


def test_a_forwarded_call_waits_until_it_is_on_the_way(store: Store) -> None:
    for lane, call in ((Lane.USERS, identify("ann")), (Lane.ACTIONS, track("ann"))):
        keep(store, call, forward=True)
        queued = waits(store)
        with store.writing() as connection:
            next_deliveries.take(connection, Wanted(lane=lane, limit=10))

        assert (queued.owed, waits(store).owed) == (True, False)
