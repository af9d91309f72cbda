"""How long processors have worked for a process, and for the database server; Linux only."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from sqlalchemy import text

from sync.store import Store

_TICKS = os.sysconf("SC_CLK_TCK")


def of_process(pid: int) -> float:
    """Return the seconds of a living process and its threads, those that ended included, but not its children."""
    # What clock_getcpuclockid(3) gives: exact, where /proc counts hundredths of a second.
    return time.clock_gettime((~pid << 3) | 2)


def peak_of(pid: int) -> int:
    """Return the most memory that a living process had since `forget_peak`, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


class Server:
    """PostgreSQL's processes on this machine, but for those that only the benchmark talks to."""

    def __init__(self, store: Store, ignored: Collection[int]) -> None:
        with store.reading() as connection:
            backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        self._postmaster = _fields(backend)[1]
        self._ignored = frozenset(ignored)

    def seconds(self) -> float:
        """Return how long processors have worked for it, parallel workers and backends that ended included."""
        ended = sum(_fields(self._postmaster)[13:15]) / _TICKS
        return ended + sum(self._of_living())

    def _of_living(self) -> Iterator[float]:
        children = Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children").read_text(encoding="ascii")
        for pid in map(int, children.split()):
            if pid not in self._ignored:
                try:
                    yield of_process(pid)
                except OSError:
                    # It has just ended, and counts among those that have.
                    continue


def _fields(pid: int) -> list[int]:
    """Return the fields of /proc/PID/stat from the third, the state, which is left out; see proc(5). The parent has the place 1."""
    behind = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return [0, *map(int, behind[1:])]
