"""How fast one source may send: a token bucket each, so that a source that floods is told to wait and the others are not.

A call costs one. A request is let in while anything is left, whatever it brings, and what it costs above that is a debt; so a batch
of any size passes, and over time no source gets more than its rate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

BURST_SECONDS: Final = 2.0
"""What a source has saved at most, in seconds of its rate."""


class Rates:
    """The buckets of all sources: as many as there are write keys. For one event loop; not thread-safe."""

    def __init__(self, rate: float | None, monotonic: Callable[[], float]) -> None:
        """`rate` is in calls a second; None lets everything in."""
        self._rate = rate
        self._monotonic = monotonic
        self._buckets: dict[str, tuple[float, float]] = {}
        """What is left, and when that was so."""

    def wait(self, source: str) -> float:
        """Return after how many seconds a source may send again; 0 where it may now."""
        if self._rate is None:
            return 0.0
        left = self._left(source, self._rate)
        return 0.0 if left >= 1 else (1 - left) / self._rate

    def spend(self, source: str, calls: int) -> None:
        """Note what a request that was let in brought."""
        if self._rate is not None:
            self._buckets[source] = self._left(source, self._rate) - calls, self._monotonic()

    def _left(self, source: str, rate: float) -> float:
        # Slow rates, too, let one call in at once.
        most = max(1.0, rate * BURST_SECONDS)
        left, since = self._buckets.get(source, (most, 0.0))
        return min(most, left + (self._monotonic() - since) * rate)
