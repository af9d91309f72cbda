"""The loop of one lane: fill the connections, write down what comes back, wait where the other side asks to."""

from __future__ import annotations

import logging
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from sync.delivery import Lane, name_of
from sync.errors import StoreBusy
from sync.send.breaker import Breaker, Failure
from sync.send.drain import Drain
from sync.send.exchange import Division, Exchange, Result
from sync.send.parcels import Desk, Parcel
from sync.send.right import Right
from sync.store import tallies
from sync.store.leases import Pause
from sync.store.queue import Places

log = logging.getLogger(__name__)

POLL: Final = timedelta(seconds=1)
"""How often an idle lane looks; what is owed within this process wakes it at once."""

AT_ONCE: Final = 8
"""How many requests are claimed for, and how many answers written down, in one transaction."""

SETTLE_WITHIN: Final = 0.05
"""Seconds that an answer may wait for others to be written down with it."""

STUBBORN: Final = 12
"""After so many tries, an hour, that were refused whatever was sent, the data is to blame after all, and not the other side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answered:
    """A request that has come back and is not written down yet."""

    parcels: list[Parcel]
    results: list[Result]
    requests: int
    at: float = field(default_factory=time.monotonic)
    """By the monotonic clock."""


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
        self._breaker = Breaker(lane, desk.clock, desk.draw)
        self._division = Division()
        self._places = Places()
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
                pause = timedelta() if self._breaker.is_probing else self._claim()
                if not self._ready:
                    return pause
            parcels = self._ready.pop(0)
            self._under_way[pool.submit(self._exchange, parcels)] = parcels
        return timedelta()

    def _exchange(self, parcels: list[Parcel]) -> tuple[list[Result], int]:
        exchange = Exchange(self._desk, self.lane, lambda: self._right.holds, self._division)
        return exchange.send(parcels), exchange.requests

    # ── taking ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _claim(self) -> timedelta:
        """Claim for several requests; return how long to wait where the lane is paused."""
        with self._desk.store.reading() as connection:
            pause = self._breaker.wait(connection)
            if pause or not self._desk.is_waiting(connection, self.lane):
                return pause
        on_the_way = [*self._under_way.values(), *(answered.parcels for answered in self._answered)]
        busy = [parcel for parcels in on_the_way for parcel in parcels]
        # Said beforehand, so that no other lane takes the pause that this begins for one that will last.
        self._drain.probing(1)
        try:
            with self._desk.store.writing() as connection:
                claimed, probed = self._claimed(connection, busy) if self._right.check(connection) else ([], None)
                # Another lane or process may just have begun to find out.
                pause = timedelta() if claimed else self._breaker.wait(connection)
            if probed is not None:
                self._breaker.is_probing = True
                self._division.verdict, self._division.doubts = None, probed.failures < STUBBORN
        finally:
            if not self._breaker.is_probing:
                self._drain.probing(-1)
        size = self._desk.batch_items
        self._ready = [claimed[start : start + size] for start in range(0, len(claimed), size)]
        return pause

    def _claimed(self, connection: Connection, busy: list[Parcel]) -> tuple[list[Parcel], Pause | None]:
        """Return what was claimed; and, where that is to find out whether the lane can send, the pause that it was in."""
        pause = self._breaker.pause(connection)
        if pause is None:
            return self._desk.claim(connection, self.lane, busy, self._places, AT_ONCE, self._right.shares), None
        if busy or self._breaker.wait(connection):
            return [], None
        claimed = self._desk.claim(connection, self.lane, busy, self._places, 1, self._right.shares)
        # Only this one goes out; whoever else has just looked, too, leaves it to us.
        mine = bool(claimed) and self._breaker.begin(connection, pause)
        first = claimed[: self._desk.batch_items] if mine else []
        if len(first) < len(claimed):
            self._desk.put_back(connection, claimed[len(first) :])
            self._places = Places()
        return first, pause if mine else None

    # ── writing down ─────────────────────────────────────────────────────────────────────────────────────────────────────

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
        was_probing = self._breaker.is_probing
        with self._desk.store.writing() as connection:
            # Whoever took over has called these unknown; writing now could hide what they learn.
            if self._right.check(connection):
                self._desk.settle(connection, results)
                answers = ((parcel.document, outcome) for parcel, outcome in results)
                self._desk.types.answered(connection, self.lane, answers, self._desk.clock())
                tallies.add(connection, Counter((self.lane, name_of(outcome)) for outcome in outcomes))
                self._breaker.note(connection, outcomes)
                if is_bad:
                    self._desk.put_back(connection, [parcel for parcels in self._ready for parcel in parcels])
        if is_bad:
            self._ready = []
            self._places = Places()
        if was_probing:
            self._drain.probing(-1)
        requests = sum(answered.requests for answered in self._answered)
        self._answered = []
        self._drain.note(outcomes, requests)

    def _put_back(self) -> None:
        """Owe again what was claimed and is not going to be sent by this process."""
        if not self._ready:
            return
        with self._desk.store.writing() as connection:
            if self._right.check(connection):
                self._desk.put_back(connection, [parcel for parcels in self._ready for parcel in parcels])
        self._ready = []

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_ending(self) -> bool:
        right, drain = self._right, self._drain
        return drain.stop.is_set() or drain.broken.is_set() or right.is_to_be_shared or not right.holds

    def _rest(self, pause: timedelta) -> bool:
        """Wait for work, or for a pause to end; False where there is nothing to wait for."""
        if self._is_ending():
            return False
        if self._drain.patience is None:
            self._drain.wake.wait(min(pause or POLL, POLL).total_seconds())
            self._drain.wake.clear()
            return True
        if not pause or (pause > self._drain.remaining() and not self._may_end_soon(pause)):
            return False
        time.sleep(min(pause, POLL).total_seconds() if pause <= self._drain.remaining() else 0.02)
        return True

    def _may_end_soon(self, pause: timedelta) -> bool:
        """Whether another lane is finding out about the key of all, or just has."""
        if self._drain.probes:
            return True
        with self._desk.store.reading() as connection:
            return self._breaker.wait(connection) < min(pause, self._drain.remaining())
