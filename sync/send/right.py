"""The right to send: leases on shares of the users and companies, held together for a while, and given back together.

Whom a share is about is decided by the subject, a user's or a company's id, so that everything about one subject is sent by one
process at a time. Calls without one, of people who are not known, are all in one share.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from sync.errors import Unreachable
from sync.store import Store, leases
from sync.store.dialect import SHARES
from sync.store.leases import Lease

log = logging.getLogger(__name__)

SENDING: Final = "send/"
"""What the leases' names begin with; the number of the share follows."""

WORKER: Final = "sender/"
"""What the names of those that are there to send begin with."""

LEASE: Final = timedelta(seconds=45)
"""Longer than the longest request, which the collector bounds at 30 s."""

MARGIN: Final = timedelta(seconds=35)
"""No request is begun in the last part of a lease, which is longer than a request: another holder must not meet ours on the way.
It is so by five seconds, since the other one goes by a clock of its own."""


def names(store: Store) -> list[str]:
    """Return the names of all leases. On SQLite, which one process serves, there is nothing to share."""
    return [f"{SENDING}{number:02}" for number in range(1 if store.on_sqlite else SHARES)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who holds rights, and for how long."""

    store: Store
    owner: str
    clock: Callable[[], datetime]
    duration: timedelta = LEASE
    margin: timedelta = MARGIN


class Right:
    """The right to send about some shares, while it is renewed.

    A holder trusts it by its own monotonic clock, counted from before it asked. It is lost as a whole: a process that was too slow
    for one lease was too slow for all. And for good, although its leases may still be renewed: a lane that has seen it end has
    ended, and is begun again only together with the others.
    """

    def __init__(self, holder: Holder, held: Sequence[Lease], started: float, *, worker: bool) -> None:
        self._holder = holder
        self._leases = held
        self._worker = worker
        self._renewed = started
        self._lost = False
        self._all = len(names(holder.store))
        self.is_to_be_shared = False
        """Another process has come, or one has gone: what is on the way is to be finished, and the rights taken anew."""

    @property
    def shares(self) -> frozenset[int] | None:
        """The numbers of the shares; None where it is all of them."""
        found = frozenset(int(one.name.removeprefix(SENDING)) for one in self._leases)
        return None if len(found) == self._all else found

    @property
    def lease(self) -> Lease:
        """One of the leases, which stands for all: they are renewed and lost together."""
        return self._leases[0]

    @property
    def holds(self) -> bool:
        if time.monotonic() - self._renewed >= (self._holder.duration - self._holder.margin).total_seconds():
            self._lost = True
        return not self._lost

    def renew_when_due(self) -> None:
        """Renew it after a tenth of its time; a store that is away is asked again, until the time is up."""
        started = time.monotonic()
        if started - self._renewed < self._holder.duration.total_seconds() / 10:
            return
        try:
            with self._holder.store.writing() as connection:
                held = leases.renew(connection, self._leases, self._holder.clock(), self._holder.duration)
                if self._worker:
                    self.is_to_be_shared = self.is_to_be_shared or self._is_unfair(connection)
        except Unreachable as error:
            log.warning("cannot renew the right to send: %s", error)
            time.sleep(0.5)
        else:
            self._renewed = started if held else float("-inf")

    def check(self, connection: Connection) -> bool:
        """Whether this process still has it, inside of a transaction that depends on it."""
        return leases.still_held(connection, self._leases)

    def give_back(self) -> None:
        """Let others send at once."""
        try:
            with self._holder.store.writing() as connection:
                leases.give_back(connection, self._leases)
        except Unreachable as error:
            log.warning("cannot give back the right to send, it will run out: %s", error)

    def _is_unfair(self, connection: Connection) -> bool:
        share, now = fair_share(connection, self._holder), self._holder.clock()
        free = self._all - leases.count_held(connection, SENDING, now)
        return len(self._leases) > share or (len(self._leases) < share and free > 0)


def fair_share(connection: Connection, holder: Holder) -> int:
    """Say that this process is there to send, and return how many leases are for each that is."""
    workers = leases.present(connection, WORKER, holder.owner, holder.clock(), holder.duration)
    return -(-len(names(holder.store)) // workers)
