"""A service whose calls of one name to the kernel fail for a while; strace lets the kernel say so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.crash.life import Folder
from tests.faults.commands import serving
from tests.faults.places import Server

needs_strace: Final = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")


@contextmanager
def failing(folder: Folder, call: str, error: str, when: str) -> Iterator[str]:
    """Serve calls while the kernel answers some of them with an error (`when` says which of each thread's); yield the URL."""
    traced = ("strace", "-f", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}")
    command = [*traced, sys.executable, "-m", "sync", "serve", "--only", "web"]
    with serving(folder, command, {}) as (_, url):
        yield url


@contextmanager
def refused(process: int | None, writes: str, file: str | None = None) -> Iterator[None]:
    """Let the kernel refuse a process, and those that it makes from now on, whatever they write (to a file), for want of room."""
    command = ["strace", "-f", "-o", os.devnull, "-p", str(process), *(["-P", file] if file else []), "-e", f"trace={writes}"]
    with subprocess.Popen([*command, "-e", f"inject={writes}:error=ENOSPC"], stderr=subprocess.PIPE, text=True) as tracing:
        try:
            assert tracing.stderr is not None
            said = tracing.stderr.readline()
            assert "attached" in said, said
            yield
        finally:
            tracing.terminate()


@contextmanager
def without_room(server: Server, table: str) -> Iterator[None]:
    """Let the kernel refuse PostgreSQL's processes whatever they write to the file of a table, for want of room."""
    file, postmaster = _file_and_process(server, table)
    with refused(postmaster, "pwrite64,pwritev,fallocate", file):
        # Of those that were there already only the first process is followed, and those that it makes from now on.
        server.cut_off()
        yield


def _file_and_process(server: Server, table: str) -> tuple[str, int]:
    with server.asked() as connection:
        file = connection.exec_driver_sql(f"SELECT pg_relation_filepath('{table}')").scalar_one()
    first_line = (Path(server.folder) / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0]
    return str(Path(server.folder) / file), int(first_line)
