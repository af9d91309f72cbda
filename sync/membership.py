"""Membership: who is in, since when, what changed in a run, and how a run's counts must add up.

Knows values, counts and the law they obey. Does not know how membership is worked out or kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

IN: Final = "true"
OUT: Final = "false"
"""The ledger keeps values as JSON; these are an audience's two."""


class Outcome(StrEnum):
    """What became of a run."""

    DELIVERING = "delivering"
    """Computed; something is still owed."""
    DONE = "done"
    """Everything it owed was accepted, or it owed nothing."""
    INCOMPLETE = "incomplete"
    """Ended with something rejected, or left to the next run."""
    GUARDED = "guarded"
    """A guard stopped it: nothing was changed and nothing sent."""
    FAILED = "failed"
    """It did not get to its end; nothing was changed."""
    UNBALANCED = "unbalanced"
    """Its counts do not add up, which no run may do: please report it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One compute, or sync, of one audience or computed trait."""

    id: int
    audience: str
    """The key."""
    kind: str
    at: datetime
    """The instant that counted as now."""
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome
    members: int
    """How many are in (or have a value) after the run."""
    entered: int
    exited: int
    changed: int
    """Entered and exited together; of a computed trait, the users whose value changed."""
    owed: int
    """What had to be told: what changed, and what earlier runs left over."""
    accepted: int
    rejected: int
    unknown: int
    held: int
    error: str | None

    @property
    def balanced(self) -> bool:
        """Whether everything owed is accounted for."""
        return self.owed == self.accepted + self.rejected + self.unknown + self.held
