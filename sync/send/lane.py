"""The loop of one lane: fill the connections, write down what comes back, wait where the other side asks to."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any, Final

from sqlalchemy import Connection

from sync.delivery import Lane, name_of
from sync.errors import StoreBusy
from sync.payload import size
from sync.send.answered import Answered, Writing
from sync.send.breaker import Breaker, was_refused_everything
from sync.send.drain import Drain
from sync.send.exchange import Division, Exchange
from sync.send.known_types import Learned
from sync.send.parcels import Busy, Desk, Parcel, Result
from sync.send.right import Right
from sync.send.suspects import Suspects
from sync.store import audiences, tallies
from sync.store.leases import Pause
from sync.store.wanted import Places

log = logging.getLogger(__name__)

POLL: Final = timedelta(seconds=1)
"""How often a lane that is paused looks whether it still is."""

REST: Final = timedelta(minutes=1)
"""After so long a lane that nobody has woken looks all the same."""

AT_ONCE: Final = 32
"""For how many requests at most is claimed, and how many answers are written down, in one transaction."""

AHEAD: Final = 36
"""How many requests may wait for a connection, so that none is idle while claims and answers are written: a claim takes fifty
milliseconds, and a request over loopback a little more than one."""

ITEMS: Final = 3_600
"""How many items at most those are, but for one request, so that memory stays flat whatever goes into one."""

SAMPLE: Final = 16
"""Of how many items the size is looked at to tell how large those of a claim are."""

FIRST: Final = 400
"""Items that are claimed where nothing is on its way, but for one request: more take longer than a connection should be idle."""

SETTLE_WITHIN: Final = 0.1
"""Seconds that an answer may wait for others to be written down with it."""

LOOK_AGAIN: Final = 0.05
"""Seconds after which a lane that found nothing more looks again while requests are on their way."""

STUBBORN: Final = 12
"""After so many tries, an hour, that were refused whatever was sent, the data is to blame after all, and not the other side."""


class LaneSender:
    """Sends one lane until its drain is over.

    Claims for several requests at once and writes down several answers at once, since a transaction costs as much as a request.
    What was claimed waits for a connection, and is recalled where an answer speaks against going on. Answers that do not are
    written down beside all that.
    """

    def __init__(self, desk: Desk, lane: Lane, connections: int, right: Right, drain: Drain) -> None:
        self._desk = desk
        self.lane: Final = lane
        self._connections = connections
        most = max(1, ITEMS // desk.batch_items)
        self._at_once = min(AT_ONCE, most)
        self._ahead = min(AHEAD, most)
        self._right = right
        self._drain = drain
        self._breaker = Breaker(lane, desk.clock, desk.draw)
        self._division = Division()
        self._suspects = Suspects(lane)
        self._places = Places()
        self._busy = Busy()
        self._under_way: dict[Future[Any], list[Parcel]] = {}
        self._ended: SimpleQueue[Future[Any]] = SimpleQueue()
        """Requests, and answers being written down, in the order in which they came to an end."""
        self._answered: list[Answered] = []
        self._writing: Writing | None = None
        self._recalled: list[Parcel] = []
        self._usual = desk.batch_items
        """How many items make a request, as far as is known: fewer than is allowed where they are large, since all that is claimed
        is in memory."""
        self._looked_in_vain = float("-inf")
        """When nothing was found to be due, by the monotonic clock."""
        self._halted = threading.Event()
        """An answer speaks against going on, and has not been written down yet: what waits for a connection stays here."""
        self.awake: Final = threading.Event()
        """Set by the sender where there may be something to send, or an end."""
        self.failure: BaseException | None = None

    def work(self) -> None:
        """Run until stopped, or, where patience is limited, until nothing is due."""
        try:
            with (
                ThreadPoolExecutor(1, thread_name_prefix=f"settle-{self.lane}") as writer,
                ThreadPoolExecutor(self._connections, thread_name_prefix=f"send-{self.lane}") as pool,
            ):
                self._work(pool, writer)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for this one
            self.failure = error

    def _work(self, pool: ThreadPoolExecutor, writer: ThreadPoolExecutor) -> None:
        try:
            while self._step(pool, writer):
                pass
        except BaseException:
            # Before the pool is left, which waits for all that it was given: that comes back unsent from now on.
            self._drain.broken.set()
            raise

    def _step(self, pool: ThreadPoolExecutor, writer: ThreadPoolExecutor) -> bool:
        try:
            pause = self._fill(pool)
            # What comes to an end now may have been in the way of what could not be claimed.
            is_busy = bool(self._under_way or self._writing)
            if is_busy:
                self._collect()
            if self._is_time_to_settle():
                self._settle(writer)
                return True
            return is_busy or bool(self._answered) or self._rest(pause)
        except StoreBusy as error:
            log.info("%s", error)
            is_busy = bool(self._answered or self._recalled or self._under_way or self._writing)
            return is_busy or not self._drain.is_over()

    def _fill(self, pool: ThreadPoolExecutor) -> timedelta:
        """Keep every connection busy; return how long to wait where nothing could be claimed."""
        if self._is_ending():
            self._recall()
            return timedelta()
        while len(self._under_way) < self._connections + self._ahead and not self._is_to_wait():
            claimed, pause = self._claim()
            if not claimed:
                self._looked_in_vain = time.monotonic()
                return pause
            self._looked_in_vain = float("-inf")
            if self._busy.has_any(claimed):
                # Their answers are in the store, or they could not have been claimed, but here they have not been let go yet.
                self._finish_writing()
            self._busy.add(claimed)
            # What finds out whether the lane can send is one, whatever is in it.
            is_one = self._breaker.is_probing
            for parcels in [claimed] if is_one else self._suspects.requests(claimed, self._in_one(claimed)):
                exchanged = pool.submit(self._exchange, parcels)
                self._under_way[exchanged] = parcels
                exchanged.add_done_callback(self._ended.put)
        return timedelta()

    def _is_to_wait(self) -> bool:
        """Whether it is known that nothing can be claimed just now."""
        if self._breaker.is_probing or self._halted.is_set():
            return True
        return bool(self._under_way) and time.monotonic() - self._looked_in_vain < LOOK_AGAIN

    def _exchange(self, parcels: list[Parcel]) -> Answered | None:
        """Make the requests for some parcels, on a thread of the pool; None where nothing is to be sent any more."""
        if self._halted.is_set() or self._is_ending():
            return None
        exchange = Exchange(self._desk, self.lane, lambda: self._right.holds, self._division)
        answered = Answered(parcels=parcels, results=exchange.send(parcels), requests=exchange.requests)
        if answered.failed:
            self._halted.set()
        return answered

    # ── taking ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _claim(self) -> tuple[list[Parcel], timedelta]:
        """Claim for several requests; return how long to wait where the lane is paused."""
        # While requests are on their way more is likely due, if it was the last time.
        if not self._under_way or self._looked_in_vain > 0:
            with self._desk.store.glancing() as connection:
                # Asked first, since mostly nothing is, and then a pause is of no interest.
                if not self._desk.is_waiting(connection, self.lane):
                    return [], timedelta()
                pause = self._breaker.wait(connection)
                if pause:
                    return [], pause
        # Said beforehand, so that no other lane takes the pause that this begins for one that will last.
        self._drain.probing(1)
        try:
            with self._desk.store.writing() as connection:
                claimed, probed = self._claimed(connection) if self._right.check(connection) else ([], None)
                # Another lane or process may just have begun to find out.
                pause = timedelta() if claimed else self._breaker.wait(connection)
            if probed is not None:
                self._breaker.is_probing = True
                is_stubborn = probed.failures >= STUBBORN and was_refused_everything(probed)
                self._division.verdict, self._division.doubts = None, not is_stubborn
        except BaseException:
            # They have moved past what was not taken after all; something newer must not go before it.
            self._places = Places()
            raise
        finally:
            if not self._breaker.is_probing:
                self._drain.probing(-1)
        return claimed, pause

    def _claimed(self, connection: Connection) -> tuple[list[Parcel], Pause | None]:
        """Return what was claimed; and, where that is to find out whether the lane can send, the pause that it was in."""
        pause = self._breaker.pause(connection)
        if pause is not None:
            if self._under_way or self._answered or self._writing or self._breaker.wait(connection):
                return [], None
            # In the order of whoever writes answers down, audiences before lanes; who had them may just have opened this one.
            audiences.hold(connection)
            pause = self._breaker.pause(connection)
        if pause is None:
            # Whatever was found of the other side, some process has seen it take something since.
            self._division.verdict = None
            return self._many(connection), None
        return self._one(connection, pause)

    def _many(self, connection: Connection) -> list[Parcel]:
        # Few at first, so that they leave at once, and more as more are on the way.
        few = max(1, min(self._connections, FIRST // self._desk.batch_items))
        return self._taken(connection, min(self._at_once, max(few, 2 * len(self._under_way))))

    def _one(self, connection: Connection, pause: Pause) -> tuple[list[Parcel], Pause | None]:
        claimed = self._taken(connection, 1)
        # Only this one goes out; whoever else has just looked, too, leaves it to us.
        mine = bool(claimed) and self._breaker.begin(connection, pause)
        # Where everything was refused, that is not what is to be found.
        failures = 0 if was_refused_everything(pause) else pause.failures
        first, others = self._suspects.to_try(claimed, self._desk.batch_items, failures) if mine else ([], claimed)
        if others:
            self._desk.put_back(connection, others)
            self._places = Places()
        return first, pause if mine else None

    def _taken(self, connection: Connection, requests: int) -> list[Parcel]:
        right, items = self._right, requests * self._usual
        held = self._suspects.held()
        return self._desk.claim(connection, self.lane, self._busy, self._places, items, right.shares, right.lease, held)

    def _in_one(self, claimed: Sequence[Parcel]) -> int:
        """Return how many of these go into a request by their number and, judging by some of them, by their size."""
        some = claimed[:: max(1, len(claimed) // SAMPLE)]
        heavy = max(1, sum(size(parcel.document) for parcel in some) // len(some))
        self._usual = max(1, min(self._desk.batch_items, self._desk.batch_bytes // heavy))
        return self._usual

    # ── writing down ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _collect(self) -> None:
        """Take in what has come back and what has been written down, and wait a little for the first."""
        with suppress(Empty):
            self._take_in(self._ended.get(timeout=SETTLE_WITHIN if self._answered else 1.0))
            while True:
                self._take_in(self._ended.get_nowait())

    def _take_in(self, ended: Future[Any]) -> None:
        if self._writing and self._writing.done is ended:
            self._finish_writing()
        # What has been recalled is no longer among them.
        parcels = self._under_way.pop(ended, None)
        if parcels is None:
            return
        answered = ended.result()
        if answered is None:
            self._recalled += parcels
        else:
            self._answered.append(answered)

    def _recall(self) -> None:
        """Take back what still waits for a connection."""
        for future, parcels in list(self._under_way.items()):
            if future.cancel():
                del self._under_way[future]
                self._recalled += parcels

    def _is_time_to_settle(self) -> bool:
        if self._recalled or any(answered.failed for answered in self._answered):
            return True
        if not self._answered or self._writing:
            return False
        if not self._under_way or time.monotonic() - self._answered[0].at >= SETTLE_WITHIN:
            return True
        if self._looked_in_vain < 0:
            return len(self._answered) >= self._at_once
        # Where nothing is left to claim there is time to write down a few; but the last wait for each other, since to write them
        # down takes longer than their requests, and what is written meanwhile would be in their way.
        return len(self._answered) >= self._connections and len(self._under_way) > self._connections

    def _settle(self, writer: ThreadPoolExecutor) -> None:
        """Write down what came back: beside what this thread does, unless that depends on it."""
        is_bad = any(answered.failed for answered in self._answered)
        if is_bad or self._recalled or self._breaker.is_probing:
            self._finish_writing()
            self._settle_before_all_else(is_bad=is_bad)
            return
        results = [result for answered in self._answered for result in answered.results]
        self._writing = Writing(answered=self._answered, done=writer.submit(self._write_down, results, ()))
        self._writing.done.add_done_callback(self._ended.put)
        self._answered = []

    def _finish_writing(self) -> None:
        """Wait for what is being written down. Where the store was too busy for that, it is to be tried again."""
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            writing.done.result()
        except StoreBusy as error:
            log.info("%s", error)
            self._answered = [*writing.answered, *self._answered]
        else:
            self._let_go(writing.answered)

    def _settle_before_all_else(self, *, is_bad: bool) -> None:
        """Write down what came back. After an answer that speaks against going on, nothing more of what was claimed is sent."""
        was_probing = self._breaker.is_probing
        if is_bad:
            self._recall()
        self._write_down([result for answered in self._answered for result in answered.results], self._recalled)
        self._let_go(self._answered)
        self._busy.remove(self._recalled)
        if is_bad:
            self._halted.clear()
        if is_bad or self._recalled:
            # What has been put back comes before what would be claimed next.
            self._places, self._looked_in_vain = Places(), float("-inf")
        if was_probing:
            self._breaker.is_probing = False
            self._drain.probing(-1)
        self._answered, self._recalled = [], []

    def _let_go(self, written: Sequence[Answered]) -> None:
        """Let users go about whom the answers are in the store."""
        for answered in written:
            self._busy.remove(answered.parcels)
            self._suspects.note(answered.results)
        results = [(len(parcels), outcome) for answered in written for parcels, outcome in answered.results]
        self._drain.note(results, sum(answered.requests for answered in written))

    def _write_down(self, results: Sequence[Result], recalled: Sequence[Parcel]) -> None:
        learned = None
        with self._desk.store.writing() as connection:
            # Whoever took over has called these unknown; writing now could hide what they learn.
            if self._right.check(connection):
                learned = self._written(connection, results)
                self._desk.put_back(connection, recalled)
        if learned is not None:
            self._desk.types.remember(learned)

    def _written(self, connection: Connection, results: Sequence[Result]) -> Learned | None:
        """Write answers down; return what was learned of types, which holds once it is committed."""
        self._desk.settle(connection, results)
        answers = ((parcel.document, outcome) for parcels, outcome in results for parcel in parcels)
        learned = self._desk.types.answered(connection, self.lane, answers, self._desk.clock())
        counts: Counter[tallies.Tally] = Counter()
        for parcels, outcome in results:
            counts[self.lane, name_of(outcome)] += len(parcels)
        tallies.add(connection, counts)
        self._breaker.note(connection, [outcome for _, outcome in results])
        return learned

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_ending(self) -> bool:
        right, drain = self._right, self._drain
        return drain.stop.is_set() or drain.broken.is_set() or right.is_to_be_shared or not right.holds

    def _rest(self, pause: timedelta) -> bool:
        """Wait for work, or for a pause to end; False where there is nothing to wait for."""
        if self._is_ending():
            return False
        if self._drain.patience is None:
            self.awake.wait((min(pause, POLL) or REST).total_seconds())
            self.awake.clear()
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
