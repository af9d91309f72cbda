"""What a run had seen, kept so that the next one need only look at what came since.

Knows when that is not enough, because what the query means may have changed: then everyone must be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
from sqlalchemy import Connection

from sync.store import arrivals, runs
from sync.store.arrivals import Mark
from sync.store.audiences import Stored

MEANING: Final = 1
"""Which meaning of the query language the values in the ledger were computed by; raise it with whatever changes an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """How far an audience or computed trait that is referred to had been computed."""

    key: str
    audience_id: int
    run_id: int
    """Its latest run; 0 before the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Basis:
    """What a run had seen."""

    mark: Mark
    references: tuple[Seen, ...]
    """By key."""
    meaning: int = MEANING

    def extends(self, earlier: Basis) -> bool:
        """Whether what happened between an earlier run and this one can be told from the two."""
        return (
            self.meaning == earlier.meaning
            and self.mark.holds_after(earlier.mark)
            and [(one.key, one.audience_id) for one in self.references]
            == [(one.key, one.audience_id) for one in earlier.references]
        )


def seen_now(connection: Connection, referred: Iterable[Stored]) -> Basis:
    """Return what a run that begins now sees; read it first, and everything else in the same transaction after it."""
    mark = arrivals.mark(connection)
    references = tuple(
        Seen(key=one.key, audience_id=one.id, run_id=runs.last(connection, one.id) or 0)
        for one in sorted(referred, key=lambda one: one.key)
    )
    return Basis(mark=mark, references=references)


def to_json(basis: Basis) -> str:
    """Return the text that the store keeps."""
    return msgspec.json.encode(basis).decode()


# Made once, before there are threads: two that were the first to decode at the same time have ended in a segmentation fault, for
# msgspec works out what a type looks like when it is first asked.
_decoder: Final = msgspec.json.Decoder(Basis)


def from_json(text: str | None) -> Basis | None:
    """Read what `to_json` wrote; None where there is none, or one of another release."""
    if text is None:
        return None
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:
        # Not worth stopping for: the run looks at everyone and writes a new one.
        return None
