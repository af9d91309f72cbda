"""Turns: the threads of a process write to a SQLite file one after another, first come, first served.

SQLite itself lets a writer look every tenth of a second whether the file is free, and whoever writes again at once is always
faster: among several threads that write without a rest, one can wait until its patience ends. Other processes still take part in
that lottery; they are few, and rest.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from sync.errors import StoreBusy


class Turns:
    """A lock that goes to whoever has waited longest."""

    def __init__(self) -> None:
        self._changes = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    @contextmanager
    def turn(self, patience: float) -> Iterator[None]:
        """Wait for one's turn, so many seconds at most, and have it. Raises StoreBusy."""
        mine = self._queued()
        if mine is not None:
            self._wait(mine, patience)
        try:
            yield
        finally:
            self._pass_on()

    def _queued(self) -> threading.Event | None:
        """Take the turn if it is nobody's, or stand in the queue."""
        with self._changes:
            if not self._taken:
                self._taken = True
                return None
            mine = threading.Event()
            self._waiting.append(mine)
            return mine

    def _wait(self, mine: threading.Event, patience: float) -> None:
        came = False
        try:
            came = mine.wait(patience)
        finally:
            if not came and not self._left(mine):
                # It came in the very moment of giving up.
                self._pass_on()
        if not came:
            raise StoreBusy("the store is being written by other threads of this program; nothing was done, try again")

    def _left(self, mine: threading.Event) -> bool:
        """Leave the queue, unless the turn has just come."""
        with self._changes:
            if mine.is_set():
                return False
            self._waiting.remove(mine)
            return True

    def _pass_on(self) -> None:
        with self._changes:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
