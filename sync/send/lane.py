"""The loop of one lane: fill the connections, write down what comes back, wait where the other side asks to."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from sync.delivery import Accepted, KeyRefused, Lane, Later, Outcome, Rejected, Unknown, name_of, wait_after
from sync.errors import StoreBusy, Unreachable
from sync.send.exchange import Exchange, Result
from sync.send.parcels import Desk, Parcel
from sync.store import Store, leases, tallies

log = logging.getLogger(__name__)

POLL: Final = timedelta(seconds=1)
"""How often an idle lane looks; what is owed within this process wakes it at once."""

KEY_PAUSE: Final = timedelta(minutes=5)
"""How long everything waits before a refused key is tried again."""

MARGIN: Final = timedelta(seconds=31)
"""No request is begun in the last part of a lease, which is longer than a request: another holder must not meet ours on the way."""


AT_ONCE: Final = 8
"""How many requests are claimed for, and how many answers written down, in one transaction."""

SETTLE_WITHIN: Final = 0.05
"""Seconds that an answer may wait for others to be written down with it."""

Failure = Later | Unknown | KeyRefused


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answered:
    """A request that has come back and is not written down yet."""

    parcels: list[Parcel]
    results: list[Result]
    requests: int
    at: float = field(default_factory=time.monotonic)
    """By the monotonic clock."""


class Right:
    """The right to send, while it is renewed. A holder trusts it by its own monotonic clock, counted from before it asked."""

    def __init__(
        self, store: Store, lease: leases.Lease, clock: Callable[[], datetime], duration: timedelta, started: float
    ) -> None:
        self._store = store
        self._lease = lease
        self._clock = clock
        self._duration = duration
        self._renewed = started

    @property
    def holds(self) -> bool:
        return time.monotonic() - self._renewed < (self._duration - MARGIN).total_seconds()

    def renew_when_due(self) -> None:
        """Renew it after a tenth of its time; a store that is away is asked again, until the time is up."""
        started = time.monotonic()
        if started - self._renewed < self._duration.total_seconds() / 10:
            return
        try:
            with self._store.writing() as connection:
                if leases.renew(connection, self._lease, self._clock(), self._duration):
                    self._renewed = started
                else:
                    self._renewed = float("-inf")
        except Unreachable as error:
            log.warning("cannot renew the right to send: %s", error)
            time.sleep(0.5)

    def check(self, connection: Connection) -> bool:
        """Whether this process still has it, inside of a transaction that depends on it."""
        return leases.still_held(connection, self._lease)

    def give_back(self) -> None:
        """Let others send at once."""
        try:
            with self._store.writing() as connection:
                leases.give_back(connection, self._lease)
        except Unreachable as error:
            log.warning("cannot give back the right to send, it will run out: %s", error)


@dataclass(slots=True, kw_only=True)
class Drain:
    """How long lanes go on, and what they have done. Shared by the three lanes of a sender."""

    stop: threading.Event
    wake: threading.Event
    broken: threading.Event = field(default_factory=threading.Event)
    """Set by a lane that cannot go on, so that the others end, too, and the failure is seen."""
    patience: timedelta | None
    """How long to wait without progress; None for ever, which is a service."""
    progress: Callable[[int], None] = lambda count: None
    requests: int = 0
    accepted: int = 0
    last_failure: Outcome | None = None
    _since: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, results: Iterable[Result], requests: int) -> None:
        """Count what came back."""
        outcomes = [outcome for _, outcome in results]
        accepted = sum(isinstance(outcome, Accepted) for outcome in outcomes)
        failures = [outcome for outcome in outcomes if not isinstance(outcome, Accepted | Rejected)]
        with self._lock:
            self.requests += requests
            self.accepted += accepted
            self.last_failure = failures[-1] if failures else None if accepted else self.last_failure
            if accepted:
                self._since = time.monotonic()
        self.progress(len(outcomes) - len(failures))

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


class LaneSender:
    """Sends one lane until its drain is over.

    Claims for several requests at once and writes down several answers at once, since a transaction costs as much as a request;
    what was claimed waits for a free connection.
    """

    def __init__(self, desk: Desk, lane: Lane, connections: int, right: Right, drain: Drain) -> None:
        self._desk = desk
        self.lane: Final = lane
        self._connections = connections
        self._right = right
        self._drain = drain
        self._ready: list[list[Parcel]] = []
        self._under_way: dict[Future[tuple[list[Result], int]], list[Parcel]] = {}
        self._answered: list[_Answered] = []
        self.failure: BaseException | None = None

    def work(self) -> None:
        """Run until stopped, or, where patience is limited, until nothing is due."""
        try:
            with ThreadPoolExecutor(self._connections, thread_name_prefix=f"send-{self.lane}") as pool:
                while self._step(pool):
                    pass
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for this one
            self.failure = error
            self._drain.broken.set()

    def _step(self, pool: ThreadPoolExecutor) -> bool:
        try:
            pause = self._fill(pool)
            if self._under_way:
                self._collect()
            if self._answered and self._is_time_to_settle():
                self._settle()
                return True
            return bool(self._under_way or self._answered) or self._rest(pause)
        except StoreBusy as error:
            log.info("%s", error)
            return bool(self._answered or self._ready) or not self._drain.is_over()

    def _fill(self, pool: ThreadPoolExecutor) -> timedelta:
        """Keep every connection busy; return how long to wait where nothing could be claimed."""
        while len(self._under_way) < self._connections:
            if self._is_ending():
                self._put_back()
                return timedelta()
            if not self._ready:
                pause = self._paused_for()
                if pause or not self._claim():
                    return pause
            parcels = self._ready.pop(0)
            self._under_way[pool.submit(self._exchange, parcels)] = parcels
        return timedelta()

    def _exchange(self, parcels: list[Parcel]) -> tuple[list[Result], int]:
        exchange = Exchange(self._desk, self.lane, lambda: self._right.holds)
        return exchange.send(parcels), exchange.requests

    def _claim(self) -> bool:
        """Claim for several requests; False where nothing is due."""
        with self._desk.store.reading() as connection:
            if not self._desk.is_waiting(connection, self.lane):
                return False
        on_the_way = [*self._under_way.values(), *(answered.parcels for answered in self._answered)]
        busy = [parcel for parcels in on_the_way for parcel in parcels]
        with self._desk.store.writing() as connection:
            if not self._right.check(connection):
                return False
            claimed = self._desk.claim(connection, self.lane, busy, AT_ONCE)
        size = self._desk.batch_items
        self._ready = [claimed[start : start + size] for start in range(0, len(claimed), size)]
        return bool(claimed)

    def _collect(self) -> None:
        """Take in what has come back, and wait a little for the first."""
        patience = SETTLE_WITHIN if self._answered else 1.0
        finished, _ = wait(self._under_way, timeout=patience, return_when=FIRST_COMPLETED)
        for future in finished:
            results, requests = future.result()
            self._answered.append(_Answered(parcels=self._under_way.pop(future), results=results, requests=requests))

    def _is_time_to_settle(self) -> bool:
        is_bad = any(isinstance(outcome, Failure) for answered in self._answered for _, outcome in answered.results)
        is_last = not self._under_way and not self._ready
        waited = time.monotonic() - self._answered[0].at
        return is_bad or is_last or len(self._answered) >= AT_ONCE or waited >= SETTLE_WITHIN

    def _settle(self) -> None:
        """Write down what came back. After an answer that speaks against going on, nothing more of what was claimed is sent."""
        results = [result for answered in self._answered for result in answered.results]
        outcomes = [outcome for _, outcome in results]
        is_bad = any(isinstance(outcome, Failure) for outcome in outcomes)
        with self._desk.store.writing() as connection:
            # Whoever took over has called these unknown; writing now could hide what they learn.
            if self._right.check(connection):
                self._desk.settle(connection, results)
                tallies.add(connection, Counter((self.lane, name_of(outcome)) for outcome in outcomes))
                self._pause_or_open(connection, outcomes)
                if is_bad:
                    self._desk.put_back(connection, [parcel for parcels in self._ready for parcel in parcels])
        if is_bad:
            self._ready = []
        requests = sum(answered.requests for answered in self._answered)
        self._answered = []
        self._drain.note(results, requests)

    def _put_back(self) -> None:
        """Owe again what was claimed and is not going to be sent by this process."""
        if not self._ready:
            return
        with self._desk.store.writing() as connection:
            if self._right.check(connection):
                self._desk.put_back(connection, [parcel for parcels in self._ready for parcel in parcels])
        self._ready = []

    def _pause_or_open(self, connection: Connection, outcomes: list[Outcome]) -> None:
        failed = [outcome for outcome in outcomes if isinstance(outcome, Later | Unknown | KeyRefused)]
        known, now = leases.pauses(connection), self._desk.clock()
        last = known.get(self.lane)
        # An answer that comes during a pause is to a request from before it, and says nothing new.
        late = last is not None and last.until > now
        if failed:
            self._pause(connection, failed, known, (last.failures if last else 0) + (not late), now)
        elif last is not None and not late and any(isinstance(outcome, Accepted) for outcome in outcomes):
            leases.open_lane(connection, self.lane)

    def _pause(
        self, connection: Connection, failed: list[Failure], known: dict[Lane, leases.Pause], failures: int, now: datetime
    ) -> None:
        worst = failed[-1]
        refused = isinstance(worst, KeyRefused)
        asked = worst.after if isinstance(worst, Later) else None
        until = now + (KEY_PAUSE if refused else wait_after(failures, asked))
        log.warning("lane %s paused until %s: %s", self.lane, until.isoformat(timespec="seconds"), worst.reason)
        for lane in Lane if refused else (self.lane,):
            # What the destination asked for before holds, if it is longer.
            if lane not in known or known[lane].until < until:
                pause = leases.Pause(lane=lane, until=until, reason=worst.reason, failures=failures, key_refused=refused)
                leases.pause(connection, pause)

    def _paused_for(self) -> timedelta:
        with self._desk.store.reading() as connection:
            pause = leases.pauses(connection).get(self.lane)
        return max(pause.until - self._desk.clock(), timedelta()) if pause else timedelta()

    def _is_ending(self) -> bool:
        return self._drain.stop.is_set() or self._drain.broken.is_set() or not self._right.holds

    def _rest(self, pause: timedelta) -> bool:
        """Wait for work, or for a pause to end; False where there is nothing to wait for."""
        if self._is_ending():
            return False
        if self._drain.patience is None:
            self._drain.wake.wait(min(pause or POLL, POLL).total_seconds())
            self._drain.wake.clear()
            return True
        if not pause or pause > self._drain.remaining():
            return False
        time.sleep(min(pause, POLL).total_seconds())
        return True
