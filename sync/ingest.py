"""Accept calls: keep them, learn from them, and owe to Moesif what is to be forwarded. All or nothing, in one transaction.

Knows the order of the steps. Does not know where the calls came from; the doors (HTTP, files) hand over whole batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from sync.call import Call, Incoming
from sync.delivery import Lane
from sync.payload import Mapping, addressed, wanted
from sync.store import Store
from sync.store.calls import Kept, Place, keep, owe, page, reject

AT_A_TIME: Final = 1000
"""How many stored calls a replay queues in one transaction."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A stretch of history: `since` included, `until` not; of one event, or of all calls."""

    since: datetime
    until: datetime | None = None
    event: str | None = None


def accept(store: Store, batch: Sequence[Incoming], mapping: Mapping, now: datetime, *, forward: bool = True) -> Kept:
    """Make a batch of requests durable, in the order given.

    A call whose message id was seen before changes nothing. When this returns, everything is committed.
    Raises Unreachable where the store cannot take it; nothing was kept then.
    """
    calls = [(incoming.source, call) for incoming in batch for call in incoming.calls]
    refused = [(incoming.source, rejected) for incoming in batch for rejected in incoming.rejected]

    def owed(call: Call) -> Sequence[tuple[Lane, str]]:
        return forwarded(call, mapping) if forward else ()

    def kept(connection: Connection) -> Kept:
        done = keep(connection, calls, owed, now)
        reject(connection, refused)
        return done

    return store.write(kept, alone_then=True)


def replay(store: Store, span: Span, mapping: Mapping, now: Callable[[], datetime]) -> Iterator[int]:
    """Owe to Moesif again what was forwarded of a time range; yield how many calls at each step, which is a transaction.

    Each call carries the `transaction_id` it had the first time, so that Moesif can tell. Small steps, so that calls which arrive
    meanwhile need not wait.
    """
    after: Place | None = None
    while True:
        step = _replay_step(store, span, after, mapping, now())
        if step is None:
            return
        after, count = step
        yield count


def _replay_step(store: Store, span: Span, after: Place | None, mapping: Mapping, now: datetime) -> tuple[Place, int] | None:
    def owed_again(connection: Connection) -> tuple[Place, int] | None:
        found = page(connection, span.since, span.until, span.event, after, AT_A_TIME)
        rows = [(place[1], lane, subject) for place, call in found for lane, subject in forwarded(call, mapping)]
        owe(connection, rows, now, replayed=True)
        return (found[-1][0], len({id for id, _, _ in rows})) if found else None

    return store.write(owed_again)


def forwarded(call: Call, mapping: Mapping) -> tuple[tuple[Lane, str], ...]:
    """Return the lane and subject of each body that a call becomes at Moesif; none where it is not to be forwarded."""
    return addressed(call, mapping) if wanted(call) else ()
