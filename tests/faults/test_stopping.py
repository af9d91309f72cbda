"""SIGTERM under traffic: calls come in, several requests are under way, and more is owed than can leave (row 5)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import func, select

from sync.app import opened
from sync.delivery import Lane
from sync.serve import Part, serve
from sync.settings import read
from sync.standin import Fault, StandIn
from sync.store import Store, queue
from sync.store import schema as t
from tests.crash import oracle
from tests.crash.kills import hold_to_everything, let_leases_end, settle, wait_until
from tests.crash.life import Folder, Service
from tests.crash.traffic import Traffic
from tests.faults.places import Place

ROOT = Path(__file__).parents[2]
WITHIN = 10.0
"""Seconds, as is promised."""


@contextmanager
def under_traffic(folder: Folder, store: Store, standin: StandIn) -> Iterator[tuple[Service, Traffic]]:
    """A service that takes calls and has several requests under way; afterwards the next one ends what it began."""
    folder.environ.pop("SYNC_SPOOL")
    service = folder.serve()
    with Traffic.of(4, seed=1) as traffic:
        traffic.url = service.url
        wait_until(lambda: len(traffic.answered) > 300 and standin.open_connections >= 4, "nothing is under way")
        yield service, traffic
        standin.behave()
        let_leases_end(store, standin)
        following = folder.serve()
        traffic.url = following.url
        traffic.end()
        settle(following, store)
    assert following.stop() == 0
    hold_to_everything(folder, store, standin, traffic)


def told_to_stop(service: Service) -> float:
    """Return how many seconds it took to end well."""
    began = time.monotonic()
    assert service.stop() == 0
    return time.monotonic() - began


def states(store: Store) -> set[str]:
    """Return in what states anything in the queue and the ledger is."""
    with store.reading() as connection:
        ledger = connection.scalars(select(t.memberships.c.state).distinct()).all()
        return {state for _, state in queue.states(connection)} | set(ledger)


def test_what_is_under_way_is_finished_what_was_acknowledged_is_stored_and_the_rest_is_owed(
    folder: Folder, store: Store, standin: StandIn
) -> None:
    # Eight calls every two seconds: that is less than comes in on any machine.
    folder.environ["SYNC_MOESIF_BATCH"] = "2"
    standin.misbehave(Fault(delay_seconds=2, times=1_000_000))
    with under_traffic(folder, store, standin) as (service, traffic):
        taken = told_to_stop(service)

        assert taken < WITHIN
        oracle.stored_once(store, traffic.answered)
        assert states(store) <= {"owed", "settled"}
        with store.reading() as connection:
            owed = connection.scalar(
                select(func.count()).select_from(t.deliveries).where(t.deliveries.c.lane == Lane.ACTIONS.value)
            )
            orders = connection.scalar(select(func.count()).select_from(t.calls).where(t.calls.c.type == "track"))
        assert 0 < owed == orders - len(standin.actions())


def test_a_worker_that_is_told_to_stop_the_moment_it_says_that_it_works_ends_well(place: Place) -> None:
    too_early: list[int] = []
    kept = signal.signal(signal.SIGTERM, lambda number, _: too_early.append(number))
    # What ends it all the same where the first is lost.
    later = threading.Timer(5, os.kill, (os.getpid(), signal.SIGTERM))
    later.start()
    with opened(read({"SYNC_DATABASE_URL": place.url, "SYNC_DEFINITIONS": "none.yaml"})) as app:
        serve(app, Part.WORKER, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    later.cancel()
    signal.signal(signal.SIGTERM, kept)

    assert not too_early


def test_a_worker_ends_by_a_signal_that_the_system_gave_to_another_of_its_threads(place: Place) -> None:
    given: list[float] = []

    def take_it() -> None:
        given.append(time.monotonic())
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        # It stays, or there would be nobody to give it to.
        time.sleep(1)

    # What ends it all the same where that one is lost.
    later = threading.Timer(15, os.kill, (os.getpid(), signal.SIGTERM))
    later.start()
    with opened(read({"SYNC_DATABASE_URL": place.url, "SYNC_DEFINITIONS": "none.yaml"})) as app:
        serve(app, Part.WORKER, lambda _: threading.Timer(1, take_it).start())
    later.cancel()

    assert time.monotonic() - given[0] < 10


WAITS_OFTEN = """
import os, signal
from sync.stopping import until_told_to_stop

signal.signal(signal.SIGTERM, lambda *_: None)
print(os.getpid(), flush=True)
for _ in range(2000):
    until_told_to_stop(lambda: None)
# Without an end in which Python no longer listens to signals.
os._exit(0)
"""


def test_a_process_ends_by_a_signal_whatever_it_does_at_that_moment() -> None:
    """One that came while the process was just beginning to wait was taken, and it waited for ever."""
    until, moments = time.monotonic() + 60, random.Random(1)
    with subprocess.Popen([sys.executable, "-c", WAITS_OFTEN], stdout=subprocess.PIPE, cwd=ROOT) as waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        while waiting.poll() is None and time.monotonic() < until:
            waiting.send_signal(signal.SIGTERM)
            time.sleep(moments.random() * 0.0003)
        waiting.kill()

    assert waiting.returncode == 0


def test_what_is_not_answered_in_time_is_cut_off_and_told_again(folder: Folder, store: Store, standin: StandIn) -> None:
    standin.misbehave(Fault(drip_seconds=1.0, times=1_000_000))
    with under_traffic(folder, store, standin) as (service, traffic):
        taken = told_to_stop(service)

        assert 5 < taken < WITHIN
        oracle.stored_once(store, traffic.answered)
        assert "sending" in states(store)
