"""A disk without room (row 36): the kernel says ENOSPC to whoever writes to it, be it the service or PostgreSQL.

That a file may not grow, which needs no strace, is in tests/faults/test_disk.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sync.spool import look
from sync.store import Store
from tests.crash import oracle
from tests.crash.kills import wait_until
from tests.crash.life import Folder, Service
from tests.crash.traffic import Traffic
from tests.faults.kernel import needs_strace, refused, without_room
from tests.faults.places import File, Server, emptied
from tests.faults.test_disk import is_sound
from tests.faults.test_store_away import drained, post

RESUMES_WITHIN = 5.0
"""Seconds from when there is room again."""


@pytest.fixture
def place(tmp_path: Path, sqlite_template: bytes) -> File:
    (tmp_path / "personas.db").write_bytes(sqlite_template)
    return File(tmp_path / "personas.db")


def can_be_read(service: Service) -> bool:
    return requests.get(f"{service.url}/api/audiences", timeout=20).status_code == 200


def resumes(traffic: Traffic) -> None:
    before = len(traffic.answered)
    wait_until(lambda: len(traffic.answered) > before, "it did not resume", RESUMES_WITHIN)


@needs_strace
def test_a_store_without_room_is_no_success_and_is_over_when_there_is_room(folder: Folder, place: File, store: Store) -> None:
    folder.environ.pop("SYNC_SPOOL")
    service = folder.serve("--only", "web")
    with Traffic.of(2, seed=1, pause=0.01) as traffic:
        traffic.url = service.url
        wait_until(lambda: len(traffic.answered) > 5, "nothing was taken")
        with refused(service.process.pid, "pwrite64"):
            wait_until(lambda: traffic.statuses[503] > 5, "there was always room")
            assert can_be_read(service)
            oracle.stored_once(store, dict(traffic.answered))
        resumes(traffic)
        traffic.end()

    assert set(traffic.statuses) == {200, 503}
    assert service.stop() == 0
    assert "database or disk is full" in folder.log()
    oracle.stored_exactly(store, traffic.answered)
    assert is_sound(place)


@needs_strace
def test_a_spool_without_room_is_no_success_and_is_over_when_there_is_room(folder: Folder, place: File, store: Store) -> None:
    service = folder.serve("--only", "web")
    place.take_away()
    with Traffic.of(2, seed=1, pause=0.01) as traffic:
        traffic.url = service.url
        wait_until(lambda: look(folder.path / "spool").calls > 5, "nothing was spooled")
        with refused(service.process.pid, "write"):
            wait_until(lambda: traffic.statuses[503] > 5, "there was always room")
            assert can_be_read(service)
        resumes(traffic)
        place.give_back()
        traffic.end()
        drained(folder)

    assert set(traffic.statuses) == {200, 503}
    assert service.stop() == 0
    oracle.stored_exactly(store, traffic.answered)
    assert look(folder.path / "spool").set_aside == 0


@pytest.fixture
def server(own_postgresql: Server) -> Iterator[Server]:
    with emptied(own_postgresql) as emptied_server:
        yield emptied_server


@needs_strace
def test_a_postgresql_whose_disk_is_full_is_waited_for_in_the_spool(folder: Folder, server: Server) -> None:
    folder.environ["SYNC_DATABASE_URL"] = server.url
    service = folder.serve("--only", "web")
    with without_room(server, "calls"):
        statuses = [post(service.url, str(number)).status_code for number in range(3)]
        spooled = look(folder.path / "spool").calls
        assert can_be_read(service)
    wait_until(lambda: look(folder.path / "spool").bytes == 0, "it was not drained", RESUMES_WITHIN)

    assert (statuses, spooled) == ([200] * 3, 3)
    assert "No space left on device" in folder.log()
    store = Store.at(server.url)
    oracle.stored_exactly(store, {str(number): {} for number in range(3)})
    store.close()


@needs_strace
def test_a_postgresql_whose_disk_is_full_is_no_success_where_there_is_no_spool(folder: Folder, server: Server) -> None:
    folder.environ["SYNC_DATABASE_URL"] = server.url
    folder.environ.pop("SYNC_SPOOL")
    service = folder.serve("--only", "web")
    with without_room(server, "calls"):
        statuses = [post(service.url, str(number)).status_code for number in range(3)]
        assert can_be_read(service)
    wait_until(lambda: post(service.url, "later").status_code == 200, "it did not resume", RESUMES_WITHIN)

    assert statuses == [503] * 3
    store = Store.at(server.url)
    oracle.stored_exactly(store, {"later": {}})
    store.close()
