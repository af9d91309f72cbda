"""Several workers on one PostgreSQL, as real processes: killed, or stopped for longer than their rights last (rows 2, 9, 10)."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from sqlalchemy import func, select

from sync.errors import Unreachable
from sync.standin import StandIn
from sync.store import Store, runs
from sync.store import schema as t
from tests.crash.kills import wait_until
from tests.crash.life import SOON, Folder, Service
from tests.faults.workers import is_stopped, kept_busy, kill_workers, led_by, slots_were_taken_once, stop_workers, tell
from tests.make import after, audience

pytestmark = pytest.mark.parametrize("place", ["postgresql"], indirect=True)


@contextmanager
def working(folder: Folder, store: Store, standin: StandIn, first: Callable[[], Service] | None = None) -> Iterator[list[Service]]:
    """Three workers, of whom the first leads, and traffic; in the end everything is held to the oracle."""
    workers = [(first or folder.work)()]
    wait_until(lambda: led_by(store, workers), "nobody leads")
    with kept_busy(folder, store, standin, workers, seed=3):
        workers += [folder.work() for _ in range(2)]
        yield workers


def followed(store: Store, workers: Sequence[Service], former: Service) -> Service:
    """Return who leads instead of a former leader, as soon as somebody does."""
    others = [one for one in workers if one is not former]
    wait_until(lambda: led_by(store, others), "nobody took over", 20)
    return led_by(store, others)


def leading_epoch(store: Store) -> int:
    with store.reading() as connection:
        return connection.scalars(select(t.leases.c.epoch).where(t.leases.c.name == "scheduler")).one()


def runs_go_on(store: Store) -> None:
    def latest() -> int:
        with store.reading() as connection:
            return connection.scalars(select(func.max(t.runs.c.id))).one() or 0

    before = latest()
    wait_until(lambda: latest() > before + 2, "no run is recorded")


def test_workers_that_are_killed_one_after_another_lose_nothing_and_claim_nothing(
    folder: Folder, store: Store, standin: StandIn
) -> None:
    tally = kill_workers(folder, store, standin, kills=8, seed=1)

    assert tally.answered > 0
    assert tally.requests > 0


def test_workers_that_were_stopped_past_their_rights_do_not_overwrite_what_is_newer(
    folder: Folder, store: Store, standin: StandIn
) -> None:
    tally = stop_workers(folder, store, standin, rounds=2, seed=1)

    assert tally.answered > 0


def test_a_leader_that_is_killed_is_followed_and_one_that_was_stopped_stands_by_when_it_comes_back(
    folder: Folder, store: Store, standin: StandIn
) -> None:
    with working(folder, store, standin) as workers:
        first = led_by(store, workers)
        first.kill()
        workers.remove(first)
        second = followed(store, workers, first)
        epoch = leading_epoch(store)
        tell(second, signal.SIGSTOP)
        third = followed(store, workers, second)
        runs_go_on(store)
        tell(second, signal.SIGCONT)
        time.sleep(2 * SOON.leading.total_seconds() / 3)

        assert (led_by(store, workers), leading_epoch(store)) == (third, epoch + 1)


@pytest.mark.parametrize("step", [40, 130])
def test_a_leader_that_was_stopped_in_the_middle_of_its_work_records_nothing_when_it_comes_back(
    folder: Folder, store: Store, standin: StandIn, step: int
) -> None:
    with working(folder, store, standin, first=lambda: folder.work(stops_at=step)) as workers:
        old = workers[0]
        wait_until(lambda: is_stopped(old), "it never stopped")
        followed(store, workers, old)
        runs_go_on(store)
        tell(old, signal.SIGCONT)
        time.sleep(1)


def test_what_a_process_has_locked_that_fell_silent_in_the_middle_of_what_it_tells_is_free_again_soon(
    folder: Folder, store: Store, standin: StandIn
) -> None:
    with (
        working(folder, store, standin),
        pytest.raises(Unreachable),
        store.writing() as connection,
        connection.connection.driver_connection.pipeline() as pipeline,
    ):
        connection.connection.driver_connection.execute("SELECT id FROM audiences ORDER BY id FOR NO KEY UPDATE")
        runs_go_on(store)
        pipeline.sync()


def test_a_second_run_of_an_audience_in_one_slot_would_be_noticed(store: Store) -> None:
    first, other = audience(store, "first"), audience(store, "other")
    with store.writing() as connection:
        for one, seconds in ((first, 0.9), (other, 0.9), (first, 1.0), (other, 1.2)):
            runs.open_run(connection, one.id, after(seconds=seconds), after(), members=0)
    slots_were_taken_once(store)

    with store.writing() as connection:
        runs.open_run(connection, first.id, after(seconds=1.999999), after(), members=0)

    with pytest.raises(AssertionError):
        slots_were_taken_once(store)
