"""What is owed to Moesif, and what may become of it.

Knows lanes, states, outcomes and waits. Does not know tables, HTTP status codes or the shape of a body.

A delivery's life, for forwarded calls (the queue) and for memberships (the ledger) alike:

    owed ──claim──► sending ──Accepted────► (gone from the queue; settled in the ledger)
     ▲                 │──────Later───────► owed again, not before `next_try_at`; the lane waits as one
     │                 │──────Unknown─────► unknown: first in line, before anything newer about that user
     │                 │──────Rejected────► rejected, with the answer; `retry` makes it owed again
     │                 │──────KeyRefused──► owed again; every lane waits until a probe succeeds
     │                 └──────AllRefused──► owed again; the lane waits until a probe succeeds
     └──the sender died (its lease ran out): unknown
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final


class Lane(StrEnum):
    """One kind of request to Moesif; pauses as one, and independently of the others."""

    USERS = "users"
    ACTIONS = "actions"
    COMPANIES = "companies"


class State(StrEnum):
    """Where a delivery stands. `settled` occurs in the ledger only: an accepted forwarded call leaves the queue."""

    OWED = "owed"
    SENDING = "sending"
    UNKNOWN = "unknown"
    REJECTED = "rejected"
    SETTLED = "settled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """A 2xx came back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Later:
    """Not taken; to be tried again. `reason` holds no personal data."""

    reason: str
    after: timedelta | None = None
    """What the destination asked for (`Retry-After`), None where it did not ask."""
    failed: bool = field(default=False, compare=False)
    """Whether it failed on the batch, of which an item may be the cause; what says so is to be tried again all the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknown:
    """The request went out and no answer is known: it may or may not have been taken."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """Refused for good: something in the body is wrong. In a batch, at least one of its items."""

    reason: str
    unsent: bool = False
    """Whether it was refused here, so that it says nothing about the other side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRefused:
    """401, 402 or 403: the key or the account, not the data."""

    reason: str


EVERYTHING: Final = "everything is refused"
"""How the reason begins of an `AllRefused`, by which a pause that follows from one is known again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AllRefused:
    """Whatever is sent is refused, not this item or that: the other side, and not the data."""

    reason: str


Outcome = Accepted | Later | Unknown | Rejected | KeyRefused | AllRefused


def name_of(outcome: Outcome) -> str:
    """Return the word under which an outcome is counted."""
    match outcome:
        case Accepted():
            return "accepted"
        case Later():
            return "later"
        case Unknown():
            return "unknown"
        case Rejected():
            return "rejected"
        case KeyRefused():
            return "key_refused"
        case AllRefused():
            return "all_refused"


FIRST_WAIT: Final = timedelta(seconds=1)
LONGEST_WAIT: Final = timedelta(minutes=10)


def wait_after(attempt: int, asked: timedelta | None, draw: Callable[[], float] = random.random) -> timedelta:
    """Return how long to wait after the given failed attempt (the first is 1).

    Full jitter: anywhere between nothing and 1 s, 2 s, 4 s … up to ten minutes. What the destination asked for is honoured in
    full and comes on top, so that many senders do not return in the same instant.
    """
    ceiling = min(LONGEST_WAIT, FIRST_WAIT * (1 << min(attempt - 1, 16)))
    return (asked or timedelta()) + ceiling * draw()
