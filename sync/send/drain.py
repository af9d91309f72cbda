"""How long to go on sending, and what has been done: what the lanes of one sender share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sync.delivery import Accepted, Outcome, Rejected


@dataclass(slots=True, kw_only=True)
class Drain:
    """How long lanes go on, and what they have done. Shared by the three lanes of a sender."""

    stop: threading.Event
    wake: threading.Event
    """Set wherever something may be owed, or a lane has ended."""
    broken: threading.Event = field(default_factory=threading.Event)
    """Set by a lane that cannot go on, so that the others end, too, and the failure is seen."""
    patience: timedelta | None
    """How long to wait without progress; None for ever, which is a service."""
    progress: Callable[[int], None] = lambda count: None
    requests: int = 0
    accepted: int = 0
    last_failure: Outcome | None = None
    probes: int = 0
    """How many lanes are finding out whether they can send; the others' pauses may end with it."""
    _since: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, results: Sequence[tuple[int, Outcome]], requests: int) -> None:
        """Count what came back: of how many items the same became."""
        accepted = sum(count for count, outcome in results if isinstance(outcome, Accepted))
        decided = sum(count for count, outcome in results if isinstance(outcome, Accepted | Rejected))
        failures = [outcome for _, outcome in results if not isinstance(outcome, Accepted | Rejected)]
        with self._lock:
            self.requests += requests
            self.accepted += accepted
            self.last_failure = failures[-1] if failures else None if accepted else self.last_failure
            if accepted:
                self._since = time.monotonic()
        self.progress(decided)

    def probing(self, change: int) -> None:
        """Count one that begins to find out, or has (-1)."""
        with self._lock:
            self.probes += change

    def is_over(self) -> bool:
        """Whether patience is at its end."""
        return self.stop.is_set() or self.remaining() <= timedelta()

    def remaining(self) -> timedelta:
        if self.patience is None:
            return timedelta.max
        return self.patience - timedelta(seconds=time.monotonic() - self._since)

    def wait_for_other(self) -> None:
        """Give the process that sends now a moment."""
        self.stop.wait(0.1)
