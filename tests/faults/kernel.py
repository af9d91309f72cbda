"""A service whose calls of one name to the kernel fail for a while; strace lets the kernel say so."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.crash.kills import wait_until
from tests.crash.life import Folder
from tests.faults.places import Server

needs_strace: Final = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")

ROOT: Final = Path(__file__).parents[2]


@contextmanager
def failing(folder: Folder, call: str, error: str, when: str) -> Iterator[str]:
    """Serve calls while the kernel answers some of them with an error (`when` says which of each thread's); yield the URL."""
    traced = ("strace", "-f", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}")
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


@contextmanager
def without_room(server: Server, table: str) -> Iterator[None]:
    """Let the kernel refuse PostgreSQL's processes whatever they write to the file of a table, for want of room."""
    file, postmaster = _file_and_process(server, table)
    writes = "pwrite64,pwritev,fallocate"
    command = ["strace", "-f", "-o", os.devnull, "-p", str(postmaster), "-P", file, "-e", f"trace={writes}"]
    with subprocess.Popen([*command, "-e", f"inject={writes}:error=ENOSPC"], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            assert "attached" in said, said
            # Of those that were there already only the first process is followed, and those that it makes from now on.
            server.cut_off()
            yield
        finally:
            process.terminate()


def _file_and_process(server: Server, table: str) -> tuple[str, int]:
    with server.asked() as connection:
        file = connection.exec_driver_sql(f"SELECT pg_relation_filepath('{table}')").scalar_one()
    first_line = (Path(server.folder) / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0]
    return str(Path(server.folder) / file), int(first_line)
