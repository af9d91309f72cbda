"""A destination that is asked no more often than the user allows (SYNC_MOESIF_RATE)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from sync.delivery import Lane, Outcome
from sync.json_value import Json
from sync.send.parcels import Destination


class Paced:
    """Spreads requests evenly, over all lanes and connections of this process."""

    def __init__(self, destination: Destination, per_second: float) -> None:
        self._destination = destination
        self._interval = 1 / per_second
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def post(self, lane: Lane, documents: Sequence[dict[str, Json]], may_send: Callable[[], bool]) -> Outcome:
        """Wait for the next place, then send one batch."""
        with self._lock:
            now = time.monotonic()
            place = max(now, self._free_at)
            self._free_at = place + self._interval
        time.sleep(place - now)
        return self._destination.post(lane, documents, may_send)
