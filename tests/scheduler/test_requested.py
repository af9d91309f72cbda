"""A sync that somebody asks for is run at once, whatever the schedule says, and is then crossed out."""

from __future__ import annotations

import threading

from sync.app import system_clock
from sync.audience import Manual
from sync.scheduler import Scheduler
from sync.store import Store, requested
from sync.store.audiences import by_key
from tests.make import NOW, after, definition
from tests.scheduler.running import Hands, defined, run_instants, scheduler, wait_until


def ask(store: Store, key: str) -> None:
    with store.writing() as connection:
        requested.ask(connection, by_key(connection, key).id, NOW)


def asked_for(store: Store) -> list[str]:
    with store.reading() as connection:
        return [wish.key for wish in requested.waiting(connection)]


def test_a_sync_that_somebody_asked_for_is_run_whatever_its_schedule(store: Store) -> None:
    defined(store, definition("buyers", schedule=Manual()), definition("others", schedule=Manual()))
    ask(store, "buyers")
    computed = threading.Event()
    running = Scheduler(store, system_clock, computed.set)

    running.start()
    try:
        wait_until(lambda: not asked_for(store))
    finally:
        running.stop()

    assert len(run_instants(store)) == 1
    assert computed.is_set()


def test_what_is_retired_meanwhile_is_crossed_out(store: Store, hands: Hands) -> None:
    defined(store, definition("buyers", schedule=Manual()))
    ask(store, "buyers")
    defined(store)

    with store.reading() as connection:
        (wish,) = requested.waiting(connection)
    before = run_instants(store)
    scheduler(store, hands).run_requested(wish)

    assert (asked_for(store), run_instants(store)) == ([], before)


def test_what_is_asked_for_again_while_it_runs_is_run_again(store: Store, hands: Hands) -> None:
    defined(store, definition("buyers", schedule=Manual()))
    ask(store, "buyers")
    with store.reading() as connection:
        (wish,) = requested.waiting(connection)
    with store.writing() as connection:
        requested.ask(connection, wish.audience_id, after(seconds=1))

    scheduler(store, hands).run_requested(wish)

    assert asked_for(store) == ["buyers"]
