"""Requests that have come back: what became of whom, until that is written down."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from sync.send.breaker import Failure
from sync.send.parcels import Parcel, Result


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """A request, or several where it had to be divided."""

    parcels: list[Parcel]
    """As they were claimed; the results may have them in parts."""
    results: list[Result]
    requests: int
    at: float = field(default_factory=time.monotonic)
    """By the monotonic clock."""

    @property
    def failed(self) -> bool:
        return any(isinstance(outcome, Failure) for _, outcome in self.results)


@dataclass(frozen=True, kw_only=True, slots=True)
class Writing:
    """Answers that are being written down, on another thread."""

    answered: list[Answered]
    done: Future[None]
