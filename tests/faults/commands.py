"""The command that serves, started by another one or with something between it and the system."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.crash.kills import wait_until
from tests.crash.life import Folder

ROOT: Final = Path(__file__).parents[2]


@contextmanager
def serving(folder: Folder, command: Sequence[str], more: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run it with `more` in its environment; yield the process and the URL once it listens. At the end it has to end well."""
    environ = os.environ | {"PYTHONPATH": str(ROOT)} | folder.environ | more
    with (folder.path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder.path, env=environ, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: " listens on " in folder.log() or process.poll() is not None, "it does not start")
        yield process, folder.log().partition(" listens on ")[2].partition("\n")[0]
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
