"""Send what is owed to Moesif: claim, send, settle.

    Sender ──leases on shares of the users──► three lanes ──a few connections each──► Moesif

Claiming and settling are short transactions; none is open while a request is on its way. Any number of processes send, each about
its share of the users: it holds leases that are longer than any request can take, so that a request of a holder that died is over
before another begins, and nothing older arrives after something newer. Within the process nobody is in two requests at once.

    right.py        the leases: taken, renewed, shared with those who come, given back
    parcels.py      what is due, as items of requests
    known_types.py  the JSON types that Moesif holds metadata keys to
    exchange.py     a batch of items → an outcome for each
    answered.py     requests that have come back, until that is written down
    lane.py         the loop of one lane
    breaker.py      when a lane waits, and how it begins again
    suspects.py     what fails each time, in ever smaller parts until it stands alone
    drain.py        how long to go on, and what has been done
    pace.py         no more requests a second than the user allows
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from sync.delivery import Lane
from sync.errors import Unreachable
from sync.send.drain import Drain
from sync.send.lane import LaneSender
from sync.send.parcels import Desk, Destination
from sync.send.right import LEASE, MARGIN, SENDING, WORKER, Holder, Right, fair_share, names
from sync.store import audiences, debts, leases, queue

log = logging.getLogger(__name__)

__all__ = ["LEASE", "MARGIN", "SENDING", "Desk", "Destination", "Drain", "Sender"]

DIED: Final = "the sender stopped before the answer came"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """The road out. `owner` names this process; two senders must not share one."""

    desk: Desk
    owner: str
    connections: int = 4
    lease: timedelta = LEASE
    margin: timedelta = MARGIN
    """In the last part of a lease, so long, no request is begun."""

    def run(self, stop: threading.Event, wake: threading.Event) -> None:
        """Send whatever becomes due until told to stop; then finish what is on its way.

        Whoever knows of something to be sent sets `wake`: without it that is found only when a lane has rested for a while.
        """
        self._begin()
        try:
            while not stop.is_set():
                with self._holding(worker=True) as right:
                    if right is None:
                        stop.wait(1)
                        continue
                    self._send(right, Drain(stop=stop, wake=wake, patience=None), tuple(Lane))
        finally:
            self._leave()

    def drain(self, patience: timedelta, progress: Callable[[int], None] = lambda count: None) -> Drain:
        """Send until nothing is due, and wait at most so long for a lane that is paused or for another process that sends."""
        self._begin()
        drain = Drain(stop=threading.Event(), wake=threading.Event(), patience=patience, progress=progress)
        while lanes := self._unsettled():
            with self._holding(worker=False) as right:
                if right is not None:
                    self._send(right, drain, lanes)
                    if right.holds and right.shares is None:
                        return drain
            if drain.is_over():
                return drain
            drain.wait_for_other()
        return drain

    def _send(self, right: Right, drain: Drain, lanes: Sequence[Lane]) -> None:
        senders = [LaneSender(self.desk, lane, self.connections, right, drain) for lane in lanes]
        # Leaving the pool waits for its threads, even if interrupted: the right must not be given back while a request is
        # on its way.
        with ThreadPoolExecutor(len(senders), thread_name_prefix="send") as pool:
            try:
                working = [pool.submit(sender.work) for sender in senders]
                for work in working:
                    work.add_done_callback(lambda _: drain.wake.set())
                # Often enough for a tenth of the lease.
                pulse = (self.lease / 20).total_seconds()
                while wait(working, timeout=0).not_done:
                    woken = drain.wake.wait(pulse)
                    drain.wake.clear()
                    right.renew_when_due()
                    if woken or drain.stop.is_set() or right.is_to_be_shared or not right.holds:
                        _rouse(senders)
            except BaseException:
                # These lanes only: `stop` is the whole service's, and would let nothing be sent until a restart.
                drain.broken.set()
                _rouse(senders)
                raise
        for sender in senders:
            if sender.failure is not None:
                raise sender.failure

    @contextmanager
    def _holding(self, *, worker: bool) -> Iterator[Right | None]:
        """Hold the right to send about as many shares as are free and fair, or None where others have them all."""
        holder = Holder(store=self.desk.store, owner=self.owner, clock=self.desk.clock, duration=self.lease, margin=self.margin)
        started = time.monotonic()
        with self.desk.store.writing() as connection:
            right = self._taken(connection, holder, started, worker=worker)
        if right is None:
            yield None
            return
        try:
            yield right
        finally:
            right.give_back()

    def _taken(self, connection: Connection, holder: Holder, started: float, *, worker: bool) -> Right | None:
        wanted = names(holder.store)
        most = fair_share(connection, holder) if worker else len(wanted)
        held = leases.take_some(connection, wanted, self.owner, holder.clock(), self.lease, most)
        if not held:
            return None
        right = Right(holder, held, started, worker=worker)
        # Only a sender that died leaves anything on the way.
        audiences.hold(connection)
        debts.abandon(connection, DIED, self.desk.clock())
        queue.abandon(connection, DIED, right.shares)
        return right

    def _leave(self) -> None:
        """Let others have this one's share at once."""
        try:
            with self.desk.store.writing() as connection:
                leases.leave(connection, WORKER, self.owner)
        except Unreachable as error:
            log.warning("cannot say that this process no longer sends, which others will notice: %s", error)

    def _begin(self) -> None:
        """Try the key, which whoever starts the program may have mended, and let go of what could not be given back before.

        All that was on its way then is over, since nobody else goes by this name.
        """
        with self.desk.store.writing() as connection:
            leases.try_key_again(connection, self.desk.clock())
            leases.let_go(connection, names(self.desk.store), self.owner)

    def _unsettled(self) -> list[Lane]:
        """Return the lanes of which anything is due, or on its way: in another process, or in one that died."""
        with self.desk.store.reading() as connection:
            return [lane for lane in Lane if self.desk.is_waiting(connection, lane, on_the_way=True)]


def _rouse(senders: Iterable[LaneSender]) -> None:
    for sender in senders:
        sender.awake.set()
