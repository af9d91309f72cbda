"""When a lane waits, and how it begins again: with one request, whose answer decides for all.

    open ──a failure──► paused, for a while that grows ──over──► one request ──an answer that takes or refuses──► open
                           ▲                                         │
                           └──────────────a failure──────────────────┘

Pauses are kept in the store, so that every process keeps them and a restart does not end them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from sync.delivery import EVERYTHING, Accepted, AllRefused, KeyRefused, Lane, Later, Outcome, Rejected, Unknown, wait_after
from sync.instant import iso
from sync.store import leases
from sync.store.leases import Pause

log = logging.getLogger(__name__)

KEY_PAUSE: Final = timedelta(minutes=5)
"""How long to wait before a refused key, or a destination that refuses everything, is tried again."""

PROBE: Final = timedelta(seconds=31)
"""How long others wait for the one request: longer than it can take."""

Failure = Later | Unknown | KeyRefused | AllRefused


class Breaker:
    """One lane's."""

    def __init__(self, lane: Lane, clock: Callable[[], datetime], draw: Callable[[], float]) -> None:
        self._lane = lane
        self._clock = clock
        self._draw = draw
        self.is_probing = False
        """Whether this process has the one request on its way."""

    def wait(self, connection: Connection) -> timedelta:
        """Return how long the lane is still paused."""
        pause = leases.pauses(connection).get(self._lane)
        return pause.left(self._clock()) if pause else timedelta()

    def pause(self, connection: Connection) -> Pause | None:
        """Return the pause after which the lane has not been tried yet, or None where it may just send."""
        return leases.pauses(connection).get(self._lane)

    def begin(self, connection: Connection, pause: Pause) -> bool:
        """Take upon this process to find out; False where another one does. It is, once the transaction has been committed."""
        now = self._clock()
        return leases.begin_probe(connection, pause, now, now + PROBE)

    def note(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        """Pause or open lanes by what came back. Changes nothing here: the transaction may fail, and be done again."""
        failed = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
        known, now = leases.pauses(connection), self._clock()
        last = known.get(self._lane)
        # An answer that comes during a pause is to a request from before it, and says nothing new.
        late = last is not None and bool(last.left(now)) and not self.is_probing
        if failed:
            # Of several that came back together the one counts that asks for most; of alike ones the first, of which others follow.
            worst = max(failed, key=_wait_asked_for)
            before = last.failures if last and _is_alike(last, worst) else 0
            self._pause(connection, worst, known, before + (not late), late=late)
        elif last is not None and not late and any(map(_is_answer, outcomes)):
            leases.open_lane(connection, last)
        elif last is not None and self.is_probing:
            # Nothing was asked, since all was refused here: whoever is next finds out.
            for pause in [one for _, one in sorted(known.items()) if one is last or (one.key_refused and last.key_refused)]:
                leases.pause(connection, replace(pause, until=now))

    def _pause(self, connection: Connection, worst: Failure, known: dict[Lane, Pause], failures: int, *, late: bool) -> None:
        refused = isinstance(worst, KeyRefused)
        asked = worst.after if isinstance(worst, Later) else None
        now = self._clock()
        until = now + (KEY_PAUSE if isinstance(worst, KeyRefused | AllRefused) else wait_after(failures, asked, self._draw))
        extra = {"lane": self._lane.value}
        log.warning("lane %s paused until %s: %s", self._lane, iso(until, "seconds"), worst.reason, extra=extra)
        # In the order in which whoever else holds several takes them.
        for lane in sorted(Lane) if refused else (self._lane,):
            before = known.get(lane)
            # What the destination asked for before holds, if it is longer; while it is probed, that is not what it asked for.
            if before is None or now + before.left(now) < until or (lane is self._lane and not late):
                paused = Pause(lane=lane, until=until, reason=worst.reason, failures=failures, key_refused=refused, since=now)
                leases.pause(connection, paused)


def _wait_asked_for(failure: Failure) -> timedelta:
    """Return how long a failure asks to wait, whatever came before it; a key that is refused concerns all lanes: it counts most."""
    match failure:
        case KeyRefused():
            return timedelta.max
        case AllRefused():
            return KEY_PAUSE
        case Later(after=after):
            return after or timedelta()
        case Unknown():
            return timedelta()


def _is_alike(last: Pause, worst: Failure) -> bool:
    """Whether a failure goes on where the last one was. How often everything was refused in a row decides who is to blame."""
    return was_refused_everything(last) or not isinstance(worst, AllRefused)


def was_refused_everything(pause: Pause) -> bool:
    """Whether a lane waits because whatever was sent was refused."""
    return pause.reason.startswith(EVERYTHING)


def _is_answer(outcome: Outcome) -> bool:
    """Whether the other side took something, or refused it."""
    return isinstance(outcome, Accepted) or (isinstance(outcome, Rejected) and not outcome.unsent)
