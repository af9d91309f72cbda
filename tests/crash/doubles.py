"""What was told twice, and why: each time it was in the hand of one that was killed, or its answer was lost.

Knows what the store said at each death, what the stand-in took, and when. Only actions can be told from each other, by their ids.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import select

from sync.delivery import State
from sync.payload.bodies import transaction_id
from sync.standin import StandIn, Taken
from sync.store import Store
from sync.store import schema as t

CONNECTIONS = 4
"""Requests of one lane that are on their way at once: the default of SYNC_MOESIF_CONNECTIONS."""


@dataclass(frozen=True)
class Death:
    """What was so when a process had just died, before anything was started in its place."""

    at: float
    """By the monotonic clock; by then it was dead."""
    in_hand: Mapping[str, bool]
    """The actions that it had claimed and of which no answer was written down, or that one was lost; and whether it was the first
    to claim them."""
    taken: int
    """How many batches the stand-in had taken by the end of all that was on its way."""


def claimed(store: Store) -> dict[str, bool]:
    """Return what is in somebody's hand, or in nobody's any more: see `Death.in_hand`."""
    d = t.deliveries.c
    statement = select(t.calls.c.message_id, d.state, d.attempts).join(t.calls, t.calls.c.id == d.call_id)
    with store.reading() as connection:
        rows = connection.execute(statement.where(d.lane == "actions", d.state.in_([State.SENDING, State.UNKNOWN]))).all()
    return {transaction_id(id): (state, attempts) == (State.SENDING, 1) for id, state, attempts in rows}


def death(store: Store, standin: StandIn, on_its_way: object) -> Death:
    """Look at what was so; `on_its_way` is called to wait for what the dead process had sent."""
    at, in_hand = time.monotonic(), claimed(store)
    on_its_way()  # type: ignore[operator]
    return Death(at, in_hand, len(standin.history()))


def only_what_was_in_hand(history: Sequence[Taken], deaths: Sequence[Death], lost: int, batch: int) -> None:
    """Hold what was told twice to what can be so, with so many lost answers to batches of so many items.

    Between two deaths only what a lost answer was about is told again. After a death that may be what was in hand then, and
    nothing else: what had been answered and written down is not.
    """
    lives = [Counter(_ids(some)) for some in _by_life(history, deaths)]
    again = sum(number - 1 for life in lives for number in life.values())
    assert again <= lost * batch, f"{again} told again by a process that lived, {lost} answers were lost"
    told: set[str] = set()
    for (one, then), died in zip(pairwise(lives), deaths, strict=True):
        told |= one.keys()
        wrong = (told & then.keys()) - died.in_hand.keys()
        assert not wrong, f"told again, although nobody had them in hand: {wrong}"


def no_more_than_connections(history: Sequence[Taken], deaths: Sequence[Death]) -> int:
    """Hold each death to one request a connection, and return how many requests of actions at most were in doubt after one.

    A dead process has at most one request on each connection of a lane. It may have been answered others that it had not
    written down: those are its latest, since answers are written down in their order, so that of those before the last one that was
    written down at most one on each other connection is in doubt.
    """
    most = 0
    for some, died in zip(_by_life(history, deaths), deaths, strict=False):
        late = Counter(taken.lane for taken in some if taken.taken > died.at)
        assert all(number <= CONNECTIONS for number in late.values()), (
            f"a dead process had more on its way than connections: {late}"
        )
        actions = [taken for taken in some if taken.lane == "actions"]
        in_doubt = [taken for taken in actions if any(died.in_hand.get(id) for id in _ids([taken]))]
        written = [taken.arrived for taken in actions if not any(id in died.in_hand for id in _ids([taken]))]
        older = [taken for taken in in_doubt if taken.taken < max(written, default=0)]
        assert len(older) < CONNECTIONS, f"{len(older)} requests were in doubt that came before one that was written down"
        most = max(most, len(in_doubt))
    return most


def _by_life(history: Sequence[Taken], deaths: Sequence[Death]) -> list[Sequence[Taken]]:
    """Divide what was taken by who had sent it: each that died, and the one after them all."""
    return [history[one:other] for one, other in pairwise([0, *(died.taken for died in deaths), len(history)])]


def _ids(some: Sequence[Taken]) -> list[str]:
    return [str(document["transaction_id"]) for taken in some if taken.lane == "actions" for document in taken.documents]
