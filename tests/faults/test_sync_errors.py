"""A disk that says it could not write through what it was given (row 37)."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.store import Store
from tests.crash import oracle
from tests.crash.kills import wait_until
from tests.crash.life import Folder
from tests.crash.traffic import Traffic
from tests.faults.kernel import failing, needs_strace
from tests.faults.places import File
from tests.faults.test_disk import is_sound
from tests.faults.test_store_away import drained

pytestmark = needs_strace

SOME = "3..8"


@pytest.fixture
def place(tmp_path: Path, sqlite_template: bytes) -> File:
    (tmp_path / "personas.db").write_bytes(sqlite_template)
    return File(tmp_path / "personas.db")


def test_a_store_that_could_not_be_written_through_is_no_success(folder: Folder, place: File, store: Store) -> None:
    folder.environ.pop("SYNC_SPOOL")
    with failing(folder, "fdatasync", "EIO", SOME) as url, Traffic.of(2, seed=1, pause=0.01) as traffic:
        traffic.url = url
        wait_until(lambda: traffic.statuses[503] > 0 and traffic.statuses[200] > 20, "it did not fail, or not resume")
        traffic.end()

    assert set(traffic.statuses) == {200, 503}
    oracle.stored_exactly(store, traffic.answered)
    assert is_sound(place)


def test_a_spool_that_could_not_be_written_through_is_no_success(folder: Folder, place: File, store: Store) -> None:
    place.take_away()
    with failing(folder, "fsync", "EIO", SOME) as url, Traffic.of(2, seed=1, pause=0.01) as traffic:
        traffic.url = url
        wait_until(lambda: traffic.statuses[503] > 0 and traffic.statuses[200] > 20, "it did not fail, or not resume")
        place.give_back()
        traffic.end()
        drained(folder)

    assert set(traffic.statuses) == {200, 503}
    oracle.stored_exactly(store, traffic.answered)
