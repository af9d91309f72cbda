"""What is to be taken next to be sent, of the queue and of the ledger alike: for which lane, how much, whose, and from where on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from sync.delivery import Lane

LOOK_BACK: Final = 5.0
"""Seconds."""


@dataclass(kw_only=True, slots=True)
class Places:
    """How far one lane has got, so that each look for what is next goes on where the one before it ended.

    Without it, each would pass over all that has just been sent: on PostgreSQL that stays in the index until a vacuum. What was
    put back, or came late, is behind; so the places are forgotten at the end of what is due, and every few seconds.
    """

    live: int = 0
    """Up to this id no live call is owed, up to that no replayed one, and up to this profile nothing: but for what was put back."""
    replayed: int = 0
    ledger: int = 0
    since: float = field(default_factory=time.monotonic)

    def forget_if_old(self) -> None:
        if time.monotonic() - self.since > LOOK_BACK:
            self.live, self.replayed, self.ledger, self.since = 0, 0, 0, time.monotonic()


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What waits by itself, and is passed over, so that it holds nothing else up."""

    subjects: frozenset[str] = frozenset()
    deliveries: frozenset[int] = frozenset()
    """Of the queue, by id, where they are about no subject in order."""

    def __len__(self) -> int:
        return len(self.subjects) + len(self.deliveries)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is to be taken."""

    lane: Lane
    limit: int
    shares: frozenset[int] | None = None
    """Whose; None for everybody's."""
    places: Places = field(default_factory=Places)
    held: Held = Held()

    @property
    def in_order(self) -> bool:
        """Whether what is about one subject must leave in order, of which actions need none."""
        return self.lane is not Lane.ACTIONS
