"""A batch of parcels → an outcome for each: cut to size, sent, and halved until whatever is bad in it stands alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from sync.delivery import Accepted, AllRefused, Lane, Later, Outcome, Rejected, name_of
from sync.errors import Unreachable
from sync.payload import ITEM_BYTES, size, size_of_all
from sync.send.parcels import Desk, Parcel, Result

log = logging.getLogger(__name__)

NO_RIGHT: Final = Later(reason="the right to send ran out")

REFUSALS: Final = 20
"""So many in a row without anything that was taken speak against the other side. One bad item among a thousand costs ten."""


@dataclass(kw_only=True, slots=True)
class Division:
    """The halving of batches on one lane, one at a time: what refuses everything must not be asked by every connection at once."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    verdict: AllRefused | None = None
    """What the last one found of the other side; until the lane has been tried anew."""
    doubts: bool = True
    """Whether the other side can be to blame at all."""


class Exchange:
    """Sends the parcels of one claim. After an answer that speaks against going on, the rest is not sent."""

    def __init__(self, desk: Desk, lane: Lane, may_send: Callable[[], bool], division: Division) -> None:
        self._desk = desk
        self._lane = lane
        self._may_send = may_send
        self._division = division
        self._stopped_by: Outcome | None = None
        self._refusals = 0
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
        outcome = self._stopped_by or self._post(batch)
        if not isinstance(outcome, Rejected) or not _can_be_divided(batch):
            return self._told(batch, outcome)
        with self._division.lock:
            self._stopped_by = self._stopped_by or self._division.verdict
            results = self._divide(batch)
            if isinstance(self._stopped_by, AllRefused):
                self._division.verdict = self._stopped_by
            return results

    def _divide(self, batch: list[Parcel]) -> list[Result]:
        """Send the parts of a batch that was refused."""
        middle = len(batch) // 2
        parts = [batch[:middle], batch[middle:]] if middle else [[part] for part in batch[0].apart()]
        return [result for part in parts for result in self._part(part)]

    def _part(self, batch: list[Parcel]) -> list[Result]:
        outcome = self._stopped_by or self._post(batch)
        if isinstance(outcome, Rejected) and _can_be_divided(batch):
            return self._divide(batch)
        return self._told(batch, outcome)

    def _told(self, batch: list[Parcel], outcome: Outcome) -> list[Result]:
        if not isinstance(outcome, Accepted | Rejected):
            self._stopped_by = self._stopped_by or outcome
        return [(batch, outcome)]

    def _post(self, batch: Sequence[Parcel]) -> Outcome:
        if not self._may_send():
            return NO_RIGHT
        self.requests += 1
        outcome = self._desk.destination.post(self._lane, [parcel.document for parcel in batch], self._may_send)
        self._note(batch, outcome)
        self._refusals = self._refusals + 1 if isinstance(outcome, Rejected) else 0
        if isinstance(outcome, Rejected) and self._refusals >= REFUSALS and self._division.doubts:
            self._stopped_by = AllRefused(reason=f"everything is refused, {REFUSALS} requests in a row: {outcome.reason}")
            return self._stopped_by
        return outcome

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
