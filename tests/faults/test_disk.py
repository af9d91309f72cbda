"""The disk: full, limited, locked, read-only, and a write-ahead log that cannot be written back (rows 33 and 35 to 37)."""

from __future__ import annotations

import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import select

from sync.errors import Unreachable
from sync.standin import StandIn
from sync.store import Store
from sync.store import schema as t
from sync.store.engine import WAL_BYTES
from tests.crash import oracle
from tests.crash.kills import hold_to_everything, settle, wait_until
from tests.crash.life import Folder, Service
from tests.crash.traffic import Traffic
from tests.faults.places import File
from tests.faults.test_store_away import drained, metric, post
from tests.make import keep, track

SMALL = 64 * 1024
"""Bytes; the store is larger, so that it cannot grow, and its log holds a few calls."""


@pytest.fixture
def place(tmp_path: Path, sqlite_template: bytes) -> File:
    (tmp_path / "personas.db").write_bytes(sqlite_template)
    return File(tmp_path / "personas.db")


@contextmanager
def full_disk(service: Service) -> Iterator[None]:
    """Let no file of the service grow beyond a small size; to it that is a disk that is full."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(service.process.pid or 0, resource.RLIMIT_FSIZE, (SMALL, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(service.process.pid or 0, resource.RLIMIT_FSIZE, unlimited)


def is_sound(place: File) -> bool:
    with sqlite3.connect(place.path) as connection:
        return bool(connection.execute("PRAGMA quick_check").fetchall() == [("ok",)])


def test_a_full_disk_is_answered_503_and_never_success_and_is_over_when_there_is_room(
    folder: Folder, place: File, store: Store, standin: StandIn
) -> None:
    folder.environ.pop("SYNC_SPOOL")
    service = folder.serve()
    with Traffic.of(2, seed=1) as traffic:
        traffic.url = service.url
        with full_disk(service):
            wait_until(lambda: traffic.statuses[503] > 20, "it was never full")
            assert requests.get(f"{service.url}/api/audiences", timeout=20).status_code == 200
            oracle.stored_once(store, dict(traffic.answered))
        before = len(traffic.answered)
        wait_until(lambda: len(traffic.answered) > before, "it did not resume", seconds=5)
        traffic.end()

    assert set(traffic.statuses) == {200, 503}
    settle(service, store)
    assert service.stop() == 0
    hold_to_everything(folder, store, standin, traffic)
    assert is_sound(place)


def test_a_store_that_cannot_grow_is_waited_for_in_the_spool(folder: Folder, place: File, store: Store) -> None:
    service = folder.serve("--only", "web")
    with Traffic.of(2, seed=1, pause=0.01) as traffic:
        traffic.url = service.url
        with full_disk(service):
            wait_until(lambda: metric(service.url, "personas_sync_spooled_calls") > 100, "nothing was spooled")
        traffic.end()
    drained(folder)

    oracle.stored_exactly(store, traffic.answered)
    # A file of the spool that has reached the limit is one answer of 503, and the next file is begun.
    assert traffic.statuses[200] > 10 * traffic.statuses[503]
    assert is_sound(place)


def test_where_neither_store_nor_spool_can_be_written_nobody_is_told_success(folder: Folder, place: File, store: Store) -> None:
    folder.environ["SYNC_SPOOL_MEGABYTES"] = "1"
    service = folder.serve("--only", "web")
    place.take_away()
    with Traffic.of(4, seed=1) as traffic:
        traffic.url = service.url
        wait_until(lambda: traffic.statuses[503] > 20, "it was never full", seconds=60)
        place.give_back()
        traffic.end()
    drained(folder)

    assert set(traffic.statuses) == {200, 503}
    oracle.stored_exactly(store, traffic.answered)


def test_a_file_that_another_program_locks_for_long_is_answered_503_where_there_is_no_spool(
    folder: Folder, place: File, store: Store
) -> None:
    folder.environ.pop("SYNC_SPOOL")
    service = folder.serve("--only", "web")
    with Traffic.of(2, seed=1, pause=0.05) as traffic:
        traffic.url = service.url
        wait_until(lambda: len(traffic.answered) > 5, "nothing was taken")
        place.take_away()
        wait_until(lambda: traffic.statuses[503] > 0, "nobody was told to come again")
        answer = post(service.url, "late")
        place.give_back()
        before, unlocked = len(traffic.answered), time.monotonic()
        wait_until(lambda: len(traffic.answered) > before, "it did not resume")
        seconds = time.monotonic() - unlocked
        traffic.end()

    assert set(traffic.statuses) == {200, 503}
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert seconds < 1
    assert service.stop() == 0
    oracle.stored_exactly(store, traffic.answered)


def test_a_file_that_another_program_locks_for_ten_seconds_costs_nobody_a_call(
    folder: Folder, place: File, store: Store, standin: StandIn
) -> None:
    service = folder.serve()
    with Traffic.of(2, seed=1, pause=0.05) as traffic:
        traffic.url = service.url
        place.take_away()
        time.sleep(10)
        place.give_back()
        unlocked = time.monotonic()
        drained(folder)
        seconds = time.monotonic() - unlocked
        traffic.end()

    assert set(traffic.statuses) == {200}
    assert seconds < 2
    settle(service, store)
    assert service.stop() == 0
    hold_to_everything(folder, store, standin, traffic)


def test_a_file_that_may_only_be_read_is_read_and_not_written(place: File) -> None:
    store = Store.at(f"sqlite:///file:{place.path}?mode=ro&uri=true")

    with pytest.raises(Unreachable, match="readonly database"):
        keep(store, track("ann"))
    store.require_current_schema()
    store.close()


def test_the_log_grows_only_for_as_long_as_somebody_reads_and_is_cut_to_its_limit_then(place: File, store: Store) -> None:
    log = place.path.with_name(place.path.name + "-wal")

    def take_in(first: int, batches: int) -> int:
        for number in range(first, first + batches):
            keep(store, *(track("ann", message_id=f"{number}-{one}", properties={"x": "x" * 30_000}) for one in range(50)))
        return log.stat().st_size

    with store.reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM calls").all()
        grown = take_in(0, 50)
    take_in(100, 2)
    written_back = take_in(200, 2)

    assert grown > WAL_BYTES
    assert written_back <= WAL_BYTES
    assert take_in(300, 20) <= WAL_BYTES, "it goes on growing"


@pytest.mark.parametrize("killed", [False, True])
def test_the_log_stays_within_its_limit_where_calls_come_while_somebody_reads_and_none_is_lost(
    folder: Folder, place: File, store: Store, killed: bool
) -> None:
    log, largest, sent = place.path.with_name(place.path.name + "-wal"), 0, []
    service = folder.serve("--only", "web")
    with store.reading() as connection, requests.Session() as session:
        connection.exec_driver_sql("SELECT count(*) FROM calls").all()
        # One and a half times what the log may take up, before indexes.
        for number in range(200):
            if killed and number == 150:
                service.kill()
                service = folder.serve("--only", "web")
            calls = [large(f"{number}-{one}") for one in range(16)]
            answer = session.post(f"{service.url}/v1/batch", json={"batch": calls}, auth=("any", ""), timeout=20)
            assert answer.status_code == 200
            sent += [call["messageId"] for call in calls]
            largest = max(largest, log.stat().st_size)
        assert metric(service.url, "personas_sync_spooled_calls") > 0
    drained(folder)

    assert WAL_BYTES // 2 < max(largest, log.stat().st_size) <= WAL_BYTES
    with store.reading() as connection:
        assert list(connection.scalars(select(t.calls.c.message_id).order_by(t.calls.c.id))) == sent
    assert service.stop() == 0


def large(id: str) -> dict[str, Any]:
    """A call that is nearly as long as one may be."""
    return {"type": "track", "messageId": id, "userId": "ann", "event": "Order Completed", "properties": {"x": "x" * 30_000}}
