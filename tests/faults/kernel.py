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
