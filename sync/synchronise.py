"""Sync: compute, then deliver until nothing is due. The verb behind the command and the demo.

Knows the order of the two. A guard that stops one audience does not stop the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.compute import Clock, compute, ordered
from sync.delivery import KeyRefused
from sync.delivery import Outcome as Answer
from sync.membership import Outcome, Run
from sync.send import Sender
from sync.store import Store, audiences, runs
from sync.store.audiences import Stored


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a sync did. Every run's counts balance."""

    runs: tuple[Run, ...]
    requests: int
    """Made by this process; another one that was sending already may have made the rest."""
    seconds: float
    accepted: int
    """Items that Moesif took, forwarded calls among them."""
    last_failure: Answer | None
    """What the last answer was, where it was neither a success nor a refusal."""

    @property
    def key_refused(self) -> bool:
        return isinstance(self.last_failure, KeyRefused)

    @property
    def guarded(self) -> bool:
        return any(run.outcome is Outcome.GUARDED for run in self.runs)

    @property
    def failed(self) -> bool:
        return any(run.outcome is Outcome.FAILED for run in self.runs)

    @property
    def settled(self) -> bool:
        """Whether everything that had to be told was accepted."""
        return all(run.owed == run.accepted for run in self.runs)


def chosen(store: Store, keys: Sequence[str]) -> tuple[Stored, ...]:
    """Return what a sync without further words is about: the named definitions, or all that stand and are not paused, in order."""
    with store.reading() as connection:
        found = audiences.require(connection, keys)
    return ordered([one for one in found if keys or one.definition.enabled])


def synchronise(
    store: Store,
    sender: Sender,
    stored: Sequence[Stored],
    at: datetime | None,
    clock: Clock,
    *,
    resync: bool = False,
    patience: timedelta,
    progress: Callable[[int], None] = lambda count: None,
) -> Report:
    """Compute each audience as of an instant (None: now), and tell Moesif what is owed; wait so long without progress."""
    started = time.monotonic()
    computed = [compute(store, one, at, clock, resync=resync) for one in stored]
    return deliver(store, sender, computed, started, patience=patience, progress=progress)


def deliver(
    store: Store,
    sender: Sender,
    computed: Sequence[Run],
    started: float,
    *,
    patience: timedelta,
    progress: Callable[[int], None] = lambda count: None,
) -> Report:
    """Tell Moesif what is owed, and report on runs that were computed; `started` is when that began, by the monotonic clock."""
    drain = sender.drain(patience, progress)
    return Report(
        runs=_as_they_stand(store, computed),
        requests=drain.requests,
        seconds=time.monotonic() - started,
        accepted=drain.accepted,
        last_failure=drain.last_failure,
    )


def _as_they_stand(store: Store, computed: Sequence[Run]) -> tuple[Run, ...]:
    # Not closed: whoever delivers the rest, later, adds it to these runs.
    with store.reading() as connection:
        return tuple(runs.by_id(connection, run.id) for run in computed)
