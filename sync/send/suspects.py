"""What the other side fails on each time: a batch that fails again and again goes in smaller parts, until its cause stands alone.

In an outage everything fails, and no item is the cause. So no request is made for this that would not be made anyhow: what fails is
tried again at the pace of the lane's pauses, and only less goes along. What has failed alone waits by itself, and nothing newer
about it is sent; it is never given up. The others go on meanwhile.

A process knows this until it ends. What is left then is how often the lane has failed in a row, by which the next one goes on: a
sync that is started every hour gets to the end of it, too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from sync.delivery import Accepted, Lane, Later, Outcome, Unknown
from sync.send.exchange import REFUSALS
from sync.send.parcels import Parcel, Result
from sync.store.wanted import Held

log = logging.getLogger(__name__)

PATIENT: Final = 3
"""So often a batch fails as it is, unless another one has been divided already, and what is alone without being suspected."""

FIRST_HOLD: Final = 60.0
"""Seconds that what has failed alone waits, unless others are taken first; then it is tried, and waits twice as long each time."""
LONGEST_HOLD: Final = 3600.0

REMEMBERED: Final = 1000
"""Of so many batches at most it is known how often they failed."""

Key: TypeAlias = str | int
"""The subject of an item, or, of an action, which is about none, the id of its delivery."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    until: float
    seconds: float
    taken: int
    """How much had been taken until then."""


class Suspects:
    """One lane's."""

    def __init__(self, lane: Lane, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lane = lane
        self._monotonic = monotonic
        self._failed: dict[Key, int] = {}
        """How often a request failed that began with an item."""
        self._held: dict[Key, _Waiting] = {}
        self._taken = 0
        self._has_divided = False
        """Whether something is known to be there that fails, which is then looked for at once in whatever batch fails."""

    def held(self) -> Held:
        """Return what is not to be claimed now."""
        now = self._monotonic()
        keys = [key for key, one in self._held.items() if one.until > now]
        return Held(
            subjects=frozenset(key for key in keys if isinstance(key, str)),
            deliveries=frozenset(key for key in keys if isinstance(key, int)),
        )

    def requests(self, claimed: Sequence[Parcel], usual: int) -> list[list[Parcel]]:
        """Divide what was claimed into requests of so many: fewer where they have failed, and last of all what has failed alone."""
        alone = [[parcel] for parcel in claimed if self._key(parcel) in self._held] if self._held else []
        others = [parcel for parcel in claimed if self._key(parcel) not in self._held] if alone else list(claimed)
        times = self._failed.get(self._key(others[0]), 0) if others else 0
        first = _part(min(usual, len(others)), times)
        rest = [others[start : start + usual] for start in range(first, len(others), usual)]
        return [*([others[:first]] if others else []), *rest, *alone]

    def to_try(self, claimed: Sequence[Parcel], usual: int, failures: int) -> tuple[list[Parcel], list[Parcel]]:
        """Divide what was claimed into what finds out whether a lane can send that failed so often in a row, and the rest.

        Where it was not here that it failed on what comes first, nobody knows with what it began: each time it is another part.
        """
        first, *rest = self.requests(claimed, usual)
        begins = self._key(first[0])
        if failures < PATIENT or begins in self._failed or begins in self._held:
            return first, [parcel for several in rest for parcel in several]
        self._has_divided = True
        # Of fewer that are refused nobody could tell whether everything is.
        least = REFUSALS if len(claimed) >= 2 * REFUSALS else 1
        size = max(least, _part(len(claimed), failures))
        start = failures * size % len(claimed)
        turned = [*claimed[start:], *claimed[:start]]
        return turned[:size], turned[size:]

    def note(self, results: Sequence[Result]) -> None:
        """Note what became of one request, or of several where it was divided."""
        for parcels, outcome in results:
            if isinstance(outcome, Accepted):
                self._took(parcels)
        # What comes after it was not sent any more.
        failed = next((parcels for parcels, outcome in results if _has_failed(outcome)), None)
        if failed:
            self._note_failure(failed)

    def _took(self, parcels: Sequence[Parcel]) -> None:
        self._taken += 1
        if self._failed or self._held:
            for key in map(self._key, parcels):
                self._failed.pop(key, None)
                self._held.pop(key, None)
            self._try_again()

    def _try_again(self) -> None:
        """Let go at once what failed only while everything did, as in an outage that is over."""
        for key, one in self._held.items():
            if one.seconds == FIRST_HOLD:
                self._held[key] = replace(one, until=self._monotonic())

    def _note_failure(self, parcels: Sequence[Parcel]) -> None:
        key = self._key(parcels[0])
        if len(self._failed) >= REMEMBERED:
            self._failed.clear()
        is_sought = self._has_divided and len(parcels) > 1
        self._failed[key] = self._failed.get(key, PATIENT - 1 if is_sought else 0) + 1
        self._has_divided |= self._failed[key] >= PATIENT
        before = self._held.get(key)
        if len(parcels) > 1 or (before is None and self._failed[key] <= PATIENT):
            return
        longer = before is not None and before.taken != self._taken
        seconds = FIRST_HOLD if before is None else min(LONGEST_HOLD, before.seconds * (2 if longer else 1))
        self._held[key] = _Waiting(self._monotonic() + seconds, seconds, self._taken)
        extra = {"lane": self._lane.value}
        log.warning(
            "lane %s: one item fails by itself; it waits for %d seconds, the others go on", self._lane, seconds, extra=extra
        )

    def _key(self, parcel: Parcel) -> Key:
        return parcel.deliveries[0] if self._lane is Lane.ACTIONS else parcel.subject


def _part(whole: int, failures: int) -> int:
    """Return how many of so many go at once after so many failures."""
    return max(1, whole >> max(0, failures - PATIENT + 1))


def _has_failed(outcome: Outcome) -> bool:
    """Whether something in a batch may be why the other side failed."""
    return isinstance(outcome, Unknown) or (isinstance(outcome, Later) and outcome.failed)
