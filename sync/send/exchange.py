"""A batch of parcels → an outcome for each: cut to size, sent, and halved until whatever is bad in it stands alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sync.delivery import Accepted, Lane, Later, Outcome, Rejected
from sync.payload import ITEM_BYTES, size
from sync.send.parcels import Desk, Parcel

Result = tuple[Parcel, Outcome]

NO_RIGHT: Final = Later(reason="the right to send ran out")


class Exchange:
    """Sends the parcels of one claim. After an answer that speaks against going on, the rest is not sent."""

    def __init__(self, desk: Desk, lane: Lane, may_send: Callable[[], bool]) -> None:
        self._desk = desk
        self._lane = lane
        self._may_send = may_send
        self._stopped_by: Outcome | None = None
        self.requests = 0

    def send(self, parcels: Sequence[Parcel]) -> list[Result]:
        """Return what became of each parcel. Parts of a parcel may have different fates; each then has a parcel of its own."""
        results: list[Result] = []
        for batch in self._batches(parcels, results):
            results += self._deliver(batch)
        return results

    def _batches(self, parcels: Sequence[Parcel], refused: list[Result]) -> Iterator[list[Parcel]]:
        batch: list[Parcel] = []
        room = self._desk.batch_bytes
        for parcel in parcels:
            needed = size(parcel.document) + 1
            if needed > ITEM_BYTES:
                refused += self._too_large(parcel)
                continue
            if batch and (needed > room or len(batch) >= self._desk.batch_items):
                yield batch
                batch, room = [], self._desk.batch_bytes
            batch.append(parcel)
            room -= needed
        if batch:
            yield batch

    def _too_large(self, parcel: Parcel) -> list[Result]:
        if len(parcel.parts) > 1:
            # One at a time: a user must not stand in one batch twice.
            return [result for part in parcel.apart() for result in self.send([part])]
        return [(parcel, Rejected(reason=f"larger than the {ITEM_BYTES:,} bytes that Moesif takes"))]

    def _deliver(self, batch: list[Parcel]) -> list[Result]:
        outcome = self._stopped_by or self._post(batch)
        if isinstance(outcome, Rejected):
            return self._divide(batch, outcome)
        if not isinstance(outcome, Accepted):
            self._stopped_by = self._stopped_by or outcome
        return [(parcel, outcome) for parcel in batch]

    def _divide(self, batch: list[Parcel], outcome: Rejected) -> list[Result]:
        if len(batch) > 1:
            middle = len(batch) // 2
            return self._deliver(batch[:middle]) + self._deliver(batch[middle:])
        parts = batch[0].apart()
        if len(parts) > 1:
            return [result for part in parts for result in self._deliver([part])]
        return [(batch[0], outcome)]

    def _post(self, batch: Sequence[Parcel]) -> Outcome:
        if not self._may_send():
            return NO_RIGHT
        self.requests += 1
        return self._desk.destination.post(self._lane, [parcel.document for parcel in batch])
