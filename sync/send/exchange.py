"""A batch of parcels → an outcome for each: cut to size, sent, and halved until whatever is bad in it stands alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from sync.delivery import EVERYTHING, Accepted, AllRefused, Lane, Later, Outcome, Rejected, Unknown, name_of
from sync.errors import Unreachable
from sync.payload import ITEM_BYTES, size, size_of_all
from sync.send.parcels import Desk, Parcel, Result

log = logging.getLogger(__name__)

NO_RIGHT: Final = Later(reason="the right to send ran out")

SUSPICIOUS: Final = 12
"""After so many requests in a row that were refused, some others of the batch are asked about one by one, here and there: that is
more than it takes to find one bad item among a thousand, and several beside each other cost as many."""

SOUNDED: Final = 8
"""Where so many of them are refused, too, everything is."""

REFUSALS: Final = 20
"""So many items in a row, in whatever requests, without anything that was taken speak against the other side as well."""


@dataclass(kw_only=True, slots=True)
class Division:
    """The halving of batches on one lane, one at a time: what refuses everything must not be asked by every connection at once."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    verdict: AllRefused | None = None
    """What the last one found of the other side; until the lane has been tried anew, by whatever process."""
    doubts: bool = True
    """Whether the other side can be to blame at all; it can as soon as it takes something."""
    refused: int = 0
    """How many items have been refused one by one since something was taken."""

    def took(self) -> None:
        """The other side took something."""
        self.doubts, self.refused = True, 0


class Exchange:
    """Sends the parcels of one claim. After an answer that speaks against going on, the rest is not sent."""

    def __init__(self, desk: Desk, lane: Lane, may_send: Callable[[], bool], division: Division) -> None:
        self._desk = desk
        self._lane = lane
        self._may_send = may_send
        self._division = division
        self._stopped_by: Outcome | None = None
        self._refusals = 0
        self._last_refusal = ""
        """What the last refusal said."""
        self._undecided: dict[int, Parcel] = {}
        """Those of the batch that is divided of which nothing is known yet, by their Python ids, in order."""
        self._sounded: set[int] = set()
        """Those about whom it was asked out of their turn."""
        self._has_taken = False
        self.requests = 0

    def send(self, parcels: Sequence[Parcel]) -> list[Result]:
        """Return what became of each parcel. Parts of a parcel may have different fates; each then has a parcel of its own."""
        results: list[Result] = []
        for batch in self._batches(self._without_clashes(parcels, results), results):
            results += self._deliver(batch)
        verdict = self._stopped_by
        if isinstance(verdict, AllRefused):
            # Those that were found to be bad on the way to the verdict are no worse than the others.
            return [(some, verdict if isinstance(outcome, Rejected) else outcome) for some, outcome in results]
        return results

    def _without_clashes(self, parcels: Sequence[Parcel], refused: list[Result]) -> list[Parcel]:
        """Return the parcels whose metadata keys have the types that Moesif holds them to."""
        try:
            clashes = self._desk.types.clashes(self._desk.store, self._lane, [parcel.document for parcel in parcels])
        except Unreachable as error:
            refused += self._told(list(parcels), Later(reason=f"the types of metadata keys cannot be looked up: {error}"))
            return []
        if not any(clashes):
            return [*parcels]
        for parcel, clash in zip(parcels, clashes, strict=True):
            if clash is not None:
                refused += self._apart(parcel) or [([parcel], Rejected(reason=str(clash), unsent=True))]
        return [parcel for parcel, clash in zip(parcels, clashes, strict=True) if clash is None]

    def _batches(self, parcels: Sequence[Parcel], refused: list[Result]) -> Iterator[list[Parcel]]:
        if self._fit_together(parcels):
            yield list(parcels)
            return
        batch: list[Parcel] = []
        room = self._desk.batch_bytes
        for parcel in parcels:
            needed = size(parcel.document) + 1
            if needed > ITEM_BYTES:
                too_large = Rejected(reason=f"larger than the {ITEM_BYTES:,} bytes that Moesif takes", unsent=True)
                refused += self._apart(parcel) or [([parcel], too_large)]
                continue
            if batch and (needed > room or len(batch) >= self._desk.batch_items):
                yield batch
                batch, room = [], self._desk.batch_bytes
            batch.append(parcel)
            room -= needed
        if batch:
            yield batch

    def _fit_together(self, parcels: Sequence[Parcel]) -> bool:
        """Whether all go into one request, as most do; each by itself costs more to weigh."""
        most = min(self._desk.batch_bytes, ITEM_BYTES)
        return 0 < len(parcels) <= self._desk.batch_items and size_of_all([parcel.document for parcel in parcels]) <= most

    def _apart(self, parcel: Parcel) -> list[Result]:
        """Send the parts of a parcel one at a time, since a user must not stand in one batch twice; nothing where there is one."""
        return [result for part in parcel.apart() for result in self.send([part])] if len(parcel.parts) > 1 else []

    def _deliver(self, batch: list[Parcel]) -> list[Result]:
        outcome = self._unsent() or self._post(batch)
        if not isinstance(outcome, Rejected) or not _can_be_divided(batch):
            return self._told(batch, outcome)
        with self._division.lock:
            self._stopped_by = self._stopped_by or self._division.verdict
            self._undecided = {id(parcel): parcel for parcel in batch}
            results = self._divide(batch)
            if isinstance(self._stopped_by, AllRefused):
                self._division.verdict = self._stopped_by
            return results

    def _unsent(self) -> Outcome | None:
        """Return what becomes of what is not sent any more; None where all is well. Nothing that was not sent is unknown."""
        stopped = self._stopped_by
        return Later(reason=f"not sent, after: {stopped.reason}") if isinstance(stopped, Unknown) else stopped

    def _divide(self, batch: list[Parcel]) -> list[Result]:
        """Send the parts of a batch that was refused."""
        middle = len(batch) // 2
        parts = [batch[:middle], batch[middle:]] if middle else [[part] for part in batch[0].apart()]
        return [result for part in parts for result in self._part(part)]

    def _part(self, batch: list[Parcel]) -> list[Result]:
        left = [parcel for parcel in batch if id(parcel) not in self._sounded]
        if not left:
            return []
        outcome = self._unsent() or self._post(left)
        if not isinstance(outcome, Rejected):
            return self._told(left, outcome)
        found = self._divide(left) if _can_be_divided(left) else self._told(left, outcome)
        return [*found, *self._sounded_out()]

    def _sounded_out(self) -> list[Result]:
        """Where much was refused in a row, ask about a few others of the batch, whether really everything is."""
        results: list[Result] = []
        while self._is_suspicious() and self._refusals < SUSPICIOUS + SOUNDED:
            single = [parcel for parcel in self._undecided.values() if not _can_be_divided([parcel])]
            if not single or self._stopped_by:
                return results
            one = [single[int(self._desk.draw() * len(single))]]
            self._sounded.add(id(one[0]))
            results += self._told(one, self._post(one))
        if self._is_suspicious():
            self._stopped_by = self._stopped_by or AllRefused(
                reason=f"{EVERYTHING}, {self._refusals} requests in a row: {self._last_refusal}"
            )
        return results

    def _is_suspicious(self) -> bool:
        return self._division.doubts and not self._has_taken and self._refusals >= SUSPICIOUS

    def _told(self, batch: list[Parcel], outcome: Outcome) -> list[Result]:
        for parcel in batch:
            self._undecided.pop(id(parcel), None)
        if not isinstance(outcome, Accepted | Rejected):
            self._stopped_by = self._stopped_by or outcome
        return [(batch, outcome)]

    def _post(self, batch: Sequence[Parcel]) -> Outcome:
        if not self._may_send():
            return NO_RIGHT
        self.requests += 1
        outcome = self._desk.destination.post(self._lane, [parcel.document for parcel in batch], self._may_send)
        self._note(batch, outcome)
        if isinstance(outcome, Accepted):
            self._has_taken = True
            self._division.took()
        elif isinstance(outcome, Rejected):
            self._refusals += 1
            self._last_refusal = outcome.reason
            return self._refused(batch, outcome)
        return outcome

    def _refused(self, batch: Sequence[Parcel], outcome: Rejected) -> Outcome:
        """Return what to make of a refusal: where nothing has been taken for long, it is the other side that is to blame."""
        if self._has_taken or _can_be_divided(batch):
            return outcome
        self._division.refused += 1
        if self._division.refused < REFUSALS or not self._division.doubts:
            return outcome
        self._stopped_by = AllRefused(reason=f"{EVERYTHING}, {REFUSALS} in a row: {outcome.reason}")
        return self._stopped_by

    def _note(self, batch: Sequence[Parcel], outcome: Outcome) -> None:
        """Log one request, under an id of its own."""
        level = logging.DEBUG if isinstance(outcome, Accepted) else logging.INFO
        if log.isEnabledFor(level):
            what, id = name_of(outcome), uuid4().hex[:12]
            extra = {"batch": id, "lane": self._lane.value, "items": len(batch), "outcome": what}
            reason = "" if isinstance(outcome, Accepted) else f": {outcome.reason}"
            log.log(level, "batch %s of %d %s: %s%s", id, len(batch), self._lane, what, reason, extra=extra)


def _can_be_divided(batch: Sequence[Parcel]) -> bool:
    return len(batch) > 1 or len(batch[0].parts) > 1
