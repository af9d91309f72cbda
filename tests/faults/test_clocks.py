"""Clocks that were wrong and have been set right (rows 11 and 12); what a schedule makes of missed time is in tests/scheduler."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.app import opened
from sync.health import health
from sync.scheduler import HEARTBEAT
from sync.settings import read
from sync.store import Store, leases
from tests.conftest import StandingClock
from tests.make import NOW, after

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
