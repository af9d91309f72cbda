"""A disk that says it could not write through what it was given (row 37); strace lets the kernel say so."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sync.store import Store
from tests.crash import oracle
from tests.crash.kills import wait_until
from tests.crash.life import Folder
from tests.crash.traffic import Traffic
from tests.faults.places import File
from tests.faults.test_disk import is_sound
from tests.faults.test_store_away import drained

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")

ROOT = Path(__file__).parents[2]
FAILING = "3..8"
"""Which of each thread's attempts fail."""


@pytest.fixture
def place(tmp_path: Path, sqlite_template: bytes) -> File:
    (tmp_path / "personas.db").write_bytes(sqlite_template)
    return File(tmp_path / "personas.db")


@contextmanager
def serving(folder: Folder, failing: str) -> Iterator[str]:
    """Serve in a process whose calls of one name to the kernel fail for a while; yield the URL."""
    traced = ("strace", "-f", "-o", os.devnull, "-e", f"trace={failing}", "-e", f"inject={failing}:error=EIO:when={FAILING}")
    command = [*traced, sys.executable, "-m", "sync", "serve", "--only", "web"]
    environ = os.environ | {"PYTHONPATH": str(ROOT)} | folder.environ
    with (folder.path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder.path, env=environ, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: " listens on " in folder.log() or process.poll() is not None, "it does not start")
        yield folder.log().partition(" listens on ")[2].partition("\n")[0]
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_store_that_could_not_be_written_through_is_no_success(folder: Folder, place: File, store: Store) -> None:
    folder.environ.pop("SYNC_SPOOL")
    with serving(folder, "fdatasync") as url, Traffic.of(2, seed=1, pause=0.01) as traffic:
        traffic.url = url
        wait_until(lambda: traffic.statuses[503] > 0 and traffic.statuses[200] > 20, "it did not fail, or not resume")
        traffic.end()

    oracle.stored_exactly(store, traffic.answered)
    assert is_sound(place)


def test_a_spool_that_could_not_be_written_through_is_no_success(folder: Folder, place: File, store: Store) -> None:
    place.take_away()
    with serving(folder, "fsync") as url, Traffic.of(2, seed=1, pause=0.01) as traffic:
        traffic.url = url
        wait_until(lambda: traffic.statuses[503] > 0 and traffic.statuses[200] > 20, "it did not fail, or not resume")
        place.give_back()
        traffic.end()
        drained(folder)

    oracle.stored_exactly(store, traffic.answered)
