"""Of several schedulers one leads; the others stand by and take over when it stops, dies, or is stopped and comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from sync.app import system_clock
from sync.apply import apply
from sync.audience import Every
from sync.compute import compute, compute_slot
from sync.lead import LEAD, Lead, NotLeading, fence_of
from sync.scheduler import HEARTBEAT, STAND_BY, Scheduler
from sync.slots import latest_slot
from sync.store import Store, leases, requested
from sync.store.audiences import by_key
from sync.store.schema import leases as leases_table
from sync.store.schema import runs
from tests.make import audience, definition, keep, track

SHORT = timedelta(seconds=1)
EACH_SECOND = Every(timedelta(seconds=1))


@pytest.fixture
def started() -> Iterator[Callable[[Scheduler], Scheduler]]:
    """Start schedulers, and stop them in the end."""
    with ExitStack() as stack:

        def start(one: Scheduler) -> Scheduler:
            one.start()
            stack.callback(one.stop)
            return one

        yield start


def scheduler(store: Store, woken: threading.Event | None = None, lease: timedelta = SHORT) -> Scheduler:
    return Scheduler(store, system_clock, lambda: None if woken is None else woken.set(), lease)


def took(condition: Callable[[], object], seconds: float) -> float:
    """Return how long it took until something was so."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not happen"
        time.sleep(0.01)
    return time.monotonic() - began


def slot_of(store: Store, key: str) -> datetime | None:
    with store.reading() as connection:
        return by_key(connection, key).slot_at


def beaten(store: Store) -> bool:
    with store.reading() as connection:
        return leases.last_beat(connection, HEARTBEAT) is not None


def epoch(store: Store) -> int:
    with store.reading() as connection:
        return connection.scalars(select(leases_table.c.epoch).where(leases_table.c.name == "scheduler")).one()


def test_one_that_stands_by_runs_nothing(store: Store, started) -> None:
    apply(store, [definition("buyers", schedule=EACH_SECOND)], system_clock())
    leads, stands_by = threading.Event(), threading.Event()
    started(scheduler(store, leads, timedelta(seconds=30)))
    second = started(scheduler(store, stands_by, timedelta(seconds=30)))
    leads.clear()

    assert leads.wait(5)
    assert second.lead.held is None
    assert not stands_by.is_set()


def test_one_that_stops_is_followed_within_a_second(store: Store, started) -> None:
    apply(store, [definition("buyers", schedule=EACH_SECOND)], system_clock())
    first = scheduler(store, lease=timedelta(seconds=30))
    first.start()
    second = started(scheduler(store, lease=timedelta(seconds=30)))
    before = epoch(store)

    first.stop()

    assert took(lambda: second.lead.held, 5) <= 1.0
    slot = slot_of(store, "buyers")
    keep(store, track("ann"))
    took(lambda: slot_of(store, "buyers") != slot, 5)
    assert epoch(store) == before + 1


def test_one_that_died_is_followed_once_its_lease_has_run_out(store: Store, started) -> None:
    dead = Lead(store, system_clock, SHORT)
    assert dead.seek()
    second = started(scheduler(store))

    assert second.lead.held is None
    assert took(lambda: second.lead.held, 5) <= SHORT.total_seconds() + 1.0
    took(lambda: beaten(store), 1)


def test_as_it_is_set_one_that_died_is_followed_within_twenty_seconds() -> None:
    assert (LEAD + STAND_BY).total_seconds() + 1 <= 20


def test_what_was_asked_for_is_seen_to_by_the_leader_alone(store: Store, started) -> None:
    stored = audience(store)
    stands_by = threading.Event()
    started(scheduler(store, lease=timedelta(seconds=30)))
    started(scheduler(store, stands_by, timedelta(seconds=30)))
    with store.writing() as connection:
        requested.ask(connection, stored.id, system_clock())

    def is_done() -> bool:
        with store.reading() as connection:
            return not requested.waiting(connection)

    took(is_done, 5)
    assert not stands_by.is_set()


def test_what_another_process_has_left_to_be_sent_wakes_whoever_leads_and_whoever_stands_by(store: Store, started) -> None:
    leads, stands_by = threading.Event(), threading.Event()
    started(scheduler(store, leads, timedelta(seconds=30)))
    started(scheduler(store, stands_by, timedelta(seconds=30)))
    assert not leads.wait(1.5)
    assert not stands_by.is_set()

    keep(store, track("ann"), forward=True)

    assert leads.wait(5)
    assert stands_by.wait(5)


def test_one_that_was_stopped_for_a_while_writes_nothing_under_its_old_epoch(store: Store) -> None:
    stored = audience(store)
    keep(store, track("ann"))
    old = Lead(store, system_clock, timedelta(seconds=0.2))
    assert old.seek()
    lease = old.held
    assert lease is not None
    time.sleep(0.3)
    assert old.held is None
    assert Lead(store, system_clock).seek()

    now = system_clock()
    slot = latest_slot(EACH_SECOND, now)
    assert slot is not None
    with pytest.raises(NotLeading):
        compute_slot(store, stored, slot, now, system_clock, fence_of(lease))
    with pytest.raises(NotLeading):
        compute(store, stored, None, system_clock, fence=fence_of(lease))
    old.renew(lambda _: None)

    with store.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(runs)) == 0
        assert by_key(connection, stored.key).slot_at is None
    assert old.held is None


def test_of_many_that_seek_at_once_one_leads(store: Store) -> None:
    several = [Lead(store, system_clock) for _ in range(6)]
    meet = threading.Barrier(len(several))

    def seek(one: Lead) -> None:
        meet.wait(5)
        one.seek()

    threads = [threading.Thread(target=seek, args=(one,)) for one in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(one.held is not None for one in several) == 1
