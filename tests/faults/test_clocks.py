"""Clocks that were wrong and have been set right (rows 11 and 12); what a schedule makes of missed time is in tests/scheduler."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from sync.app import opened
from sync.audience import Every
from sync.health import health
from sync.instant import iso
from sync.scheduler import HEARTBEAT, Scheduler
from sync.settings import read
from sync.store import Store, leases
from tests.conftest import StandingClock
from tests.make import NOW, after, again, audience, identify, keep
from tests.scheduler.running import Hands, wait_until

LEASE = timedelta(seconds=45)


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=1), timedelta(days=365)])
def test_a_lease_that_a_wrong_clock_took_is_free_once_clocks_are_right(store: Store, ahead: timedelta) -> None:
    with store.writing() as connection:
        leases.take(connection, "one", "wrong", NOW + ahead, LEASE)
        leases.take_some(connection, ["two"], "wrong", NOW + ahead, LEASE, 1)
        leases.present(connection, "worker ", "wrong", NOW + ahead, LEASE)

        one = leases.take(connection, "one", "right", NOW, LEASE)
        [two] = leases.take_some(connection, ["two"], "right", NOW, LEASE, 1)
        workers = leases.present(connection, "worker ", "right", NOW, LEASE)
    assert one is not None
    assert (one.epoch, two.epoch, workers) == (2, 2, 1)


def test_a_holder_whose_clock_is_set_back_keeps_its_lease(store: Store) -> None:
    with store.writing() as connection:
        held = leases.take(connection, "one", "mine", after(hours=1), LEASE)
        assert held is not None

        assert leases.renew(connection, [held], NOW, LEASE)
        assert leases.take(connection, "one", "another", NOW, LEASE) is None


def test_a_heart_that_beat_by_a_wrong_clock_does_not_count_as_alive(database_url: str) -> None:
    clock = StandingClock(NOW)
    with opened(read({"SYNC_DATABASE_URL": database_url}), clock) as app:
        with app.store.writing() as connection:
            leases.beat(connection, HEARTBEAT, after(days=1), "")
        assert not health(app, app.store, None).ready

        with app.store.writing() as connection:
            leases.beat(connection, HEARTBEAT, after(seconds=1), "")
        assert health(app, app.store, None).ready


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=1)])
def test_a_scheduler_whose_clock_is_set_back_goes_on_leads_on_and_moves_nobody_by_time(store: Store, back: timedelta) -> None:
    hands = Hands()
    keep(store, identify("ann", {"ends": iso(after(hours=3))}))
    soon = audience(store, query="trait('ends').within_next(1 days)", schedule=Every(timedelta(seconds=1)))
    running = Scheduler(store, hands, lambda: None, lease=timedelta(seconds=0.9))
    running.start()
    try:
        wait_until(lambda: again(store, soon).computed_at == NOW)
        hands.now = NOW - back
        time.sleep(2)
        while_back = again(store, soon), running.lead.held, running.silence()
        # What comes in by then is seen within seconds, and not only once the clock has caught up.
        hands.now += timedelta(seconds=2)
        keep(store, identify("bob", {"ends": iso(after(hours=2))}))
        hands.now += timedelta(seconds=2)
        wait_until(lambda: again(store, soon).members == 2)
        with_bob = again(store, soon)
        hands.now = after(hours=4)
        wait_until(lambda: again(store, soon).computed_at == after(hours=4))
    finally:
        running.stop()

    assert (while_back[0].computed_at, while_back[0].members) == (NOW, 1)
    assert while_back[1] is not None
    assert while_back[2] < 1
    assert with_bob.computed_at == NOW
    assert again(store, soon).members == 0
