"""How many runs go on at once: a few, and besides them those that have gone on for so long that they may be hanging.

Knows nothing of what goes on. Whoever hangs ends at a deadline (`sync.store.deadline`); until then it must keep nobody else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta


class Gate:
    """Lets so many through at the same time, of whom those no longer count that have been in there for `long`."""

    def __init__(self, width: int, long: timedelta) -> None:
        self._width = width
        self._long = long.total_seconds()
        self._left = threading.Condition()
        self._inside: dict[object, float] = {}

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Wait until there is room, and go through; the room is given back at the end."""
        one = object()
        with self._left:
            while (seconds := self._to_wait()) > 0:
                self._left.wait(seconds)
            self._inside[one] = time.monotonic()
        try:
            yield
        finally:
            with self._left:
                del self._inside[one]
                self._left.notify()

    def _to_wait(self) -> float:
        """Return after how many seconds there is room at the latest; nothing, where there is."""
        now = time.monotonic()
        counting = sorted(begun for begun in self._inside.values() if now - begun < self._long)
        # As many as are too many must have grown old before.
        return 0.0 if len(counting) < self._width else counting[len(counting) - self._width] + self._long - now
