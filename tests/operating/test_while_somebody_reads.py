"""While somebody reads a SQLite file, its write-ahead log cannot begin anew: calls wait in the spool then, where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from sync.spool import look
from sync.store import Store
from sync.store import schema as t
from tests.make import NOW
from tests.operating.conftest import Operated
from tests.spool.conftest import until

LIMIT = 1024 * 1024
"""Bytes; a request adds less than half of that."""


@pytest.fixture
def database(tmp_path: Path, sqlite_template: bytes) -> Path:
    (tmp_path / "personas.db").write_bytes(sqlite_template)
    return tmp_path / "personas.db"


@pytest.fixture
def place(operate: Callable[..., Operated], database: Path, tmp_path: Path) -> Operated:
    """A server with a spool, and a log that is to stay small."""
    return operate(LIMIT // 2, SYNC_DATABASE_URL=f"sqlite:///{database}", SYNC_SPOOL=str(tmp_path / "spool"))


@contextmanager
def somebody_reads(store: Store) -> Iterator[None]:
    with store.reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM calls").all()
        yield


def send(place: Operated, *ids: str) -> int:
    calls = [{"type": "track", "userId": "ann", "event": "x", "messageId": id, "properties": {"x": "x" * 20_000}} for id in ids]
    return place.post("/v1/batch", {"batch": calls}, auth=("any", "")).status_code


def send_much(place: Operated) -> list[str]:
    """Send several times what the log may take up; return the message ids, all of which were answered 200."""
    sent = []
    for number in range(40):
        ids = [f"{number}-{one}" for one in range(5)]
        assert send(place, *ids) == 200
        sent += ids
    return sent


def stored(store: Store) -> list[str]:
    """Return the message ids in the order in which they were stored."""
    with store.reading() as connection:
        return list(connection.scalars(select(t.calls.c.message_id).order_by(t.calls.c.id)))


def log_bytes(database: Path) -> int:
    return database.with_name(database.name + "-wal").stat().st_size


def test_the_log_stays_within_its_limit_and_every_call_is_stored_in_order_once_nobody_reads(
    place: Operated, database: Path, tmp_path: Path
) -> None:
    with somebody_reads(place.store):
        sent = send_much(place)
        assert log_bytes(database) < LIMIT
        assert 0 < len(stored(place.store)) < len(sent)

    until(lambda: look(tmp_path / "spool").bytes == 0, "it was not drained")
    assert stored(place.store) == sent


def test_a_log_that_is_kept_short_is_said_once_and_not_taken_for_a_store_that_is_away(
    place: Operated, caplog: pytest.LogCaptureFixture
) -> None:
    with somebody_reads(place.store):
        send_much(place)
        ready = place.get("/readyz")
        metrics = place.get("/metrics").text

    [said] = [record.getMessage() for record in caplog.records if "calls go to the spool" in record.getMessage()]
    assert "until the store takes them: the write-ahead log of the store sqlite:///" in said
    assert "has grown beyond 512 kB, and cannot begin anew while somebody reads" in said
    assert ready.status_code == 200
    assert (ready.json()["store"], ready.json()["spool"]) == ("ok", "calls wait in it")
    assert "personas_sync_store_up 1.0" in metrics


def test_calls_wait_for_one_who_reads_no_longer_than_a_quarter_of_an_hour(place: Operated, tmp_path: Path) -> None:
    with somebody_reads(place.store):
        sent = send_much(place)
        assert look(tmp_path / "spool").calls > 0
        place.clock.now = NOW + timedelta(minutes=16)
        until(lambda: look(tmp_path / "spool").bytes == 0, "it was not drained")

        assert stored(place.store) == sent


def test_calls_wait_for_one_who_reads_only_until_the_spool_is_half_full(
    operate: Callable[..., Operated], database: Path, tmp_path: Path
) -> None:
    settings = {"SYNC_DATABASE_URL": f"sqlite:///{database}", "SYNC_SPOOL": str(tmp_path / "spool"), "SYNC_SPOOL_MEGABYTES": "1"}
    place = operate(LIMIT // 2, **settings)
    half = 1024 * 1024 // 2
    with somebody_reads(place.store):
        for number in range(20):
            assert send(place, *(f"{number}-{one}" for one in range(5))) == 200
            until(lambda: look(tmp_path / "spool").bytes < half, "it becomes full")

        assert log_bytes(database) > LIMIT
    until(lambda: look(tmp_path / "spool").bytes == 0, "it was not drained")
    assert stored(place.store) == [f"{number}-{one}" for number in range(20) for one in range(5)]


def test_without_a_spool_calls_are_stored_and_the_log_grows(operate: Callable[..., Operated], database: Path) -> None:
    place = operate(LIMIT // 2, SYNC_DATABASE_URL=f"sqlite:///{database}")
    with somebody_reads(place.store):
        sent = send_much(place)

        assert stored(place.store) == sent
        assert log_bytes(database) > LIMIT
