"""Send what is owed to Moesif: claim, send, settle.

    Sender ──one lease──► three lanes ──a few connections each──► Moesif

Claiming and settling are short transactions; none is open while a request is on its way. One process sends at a time: it holds a
lease that is longer than any request can take, so that a request of a holder that died is over before another begins, and nothing
older arrives after something newer. Within the process nobody is in two requests at once.

    parcels.py   what is due, as items of requests
    exchange.py  a batch of items → an outcome for each
    lane.py      the loop of one lane
    pace.py      no more requests a second than the user allows
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sync.delivery import Lane
from sync.send.lane import Drain, LaneSender, Right
from sync.send.parcels import Desk, Destination
from sync.store import audiences, debts, leases, queue

__all__ = ["Desk", "Destination", "Drain", "Sender"]

SENDING: Final = "send"
"""The lease's name."""

LEASE: Final = timedelta(seconds=45)
"""Longer than the longest request, which the collector bounds at 30 s."""

DIED: Final = "the sender stopped before the answer came"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """The road out. `owner` names this process; two senders must not share one."""

    desk: Desk
    owner: str
    connections: int = 4
    lease: timedelta = LEASE

    def run(self, stop: threading.Event, wake: threading.Event) -> None:
        """Send whatever becomes due until told to stop; then finish what is on its way."""
        while not stop.is_set():
            with self._holding() as right:
                if right is None:
                    stop.wait(1)
                    continue
                self._send(right, Drain(stop=stop, wake=wake, patience=None))

    def drain(self, patience: timedelta, progress: Callable[[int], None] = lambda count: None) -> Drain:
        """Send until nothing is due, and wait at most so long for a lane that is paused or for another process that sends."""
        drain = Drain(stop=threading.Event(), wake=threading.Event(), patience=patience, progress=progress)
        while self._unsettled():
            with self._holding() as right:
                if right is not None:
                    self._send(right, drain)
                    if right.holds:
                        return drain
            if drain.is_over():
                return drain
            drain.wait_for_other()
        return drain

    def _send(self, right: Right, drain: Drain) -> None:
        senders = [LaneSender(self.desk, lane, self.connections, right, drain) for lane in Lane]
        # Leaving the pool waits for its threads, even if interrupted: the right must not be given back while a request is
        # on its way.
        with ThreadPoolExecutor(len(senders), thread_name_prefix="send") as pool:
            try:
                lanes = [pool.submit(sender.work) for sender in senders]
                while wait(lanes, timeout=0.05).not_done:
                    right.renew_when_due()
            except BaseException:
                drain.stop.set()
                raise
        for sender in senders:
            if sender.failure is not None:
                raise sender.failure

    @contextmanager
    def _holding(self) -> Iterator[Right | None]:
        """Hold the right to send, or None where another process has it."""
        started = time.monotonic()
        with self.desk.store.writing() as connection:
            now = self.desk.clock()
            lease = leases.take(connection, SENDING, self.owner, now, self.lease)
            if lease is not None:
                # Only a sender that died leaves anything on the way.
                audiences.hold(connection)
                debts.abandon(connection, DIED)
                queue.abandon(connection, DIED)
                leases.try_key_again(connection)
        if lease is None:
            yield None
            return
        right = Right(self.desk.store, lease, self.desk.clock, self.lease, started)
        try:
            yield right
        finally:
            right.give_back()

    def _unsettled(self) -> bool:
        """Whether anything is due, or on its way: in another process, or in one that died."""
        with self.desk.store.reading() as connection:
            return any(self.desk.is_waiting(connection, lane, on_the_way=True) for lane in Lane)
