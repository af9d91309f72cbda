"""What a run had seen, kept so that the next one need only look at what came since.

Knows when that is not enough, because what the query means may have changed: then everyone must be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from sync.store import arrivals, bulk, runs
from sync.store.arrivals import Mark
from sync.store.audiences import Stored
from sync.store.bulk import Question

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

    def refers_to(self, referred: Sequence[Stored]) -> bool:
        """Whether it is of the language's meaning of today, and of a query that referred to just these, in order of keys."""
        same = [(one.key, one.audience_id) for one in self.references] == [(one.key, one.id) for one in referred]
        return same and self.meaning == MEANING


def seen_now(connection: Connection, referred: Sequence[Stored]) -> Basis:
    """Return what a run that begins now sees; read it first, and everything else in the same transaction after it."""
    return seen_in(connection, referred, bulk.answers(connection, *wanted(connection, referred)))


def wanted(connection: Connection, referred: Sequence[Stored]) -> list[Question]:
    """Return what to ask for what a run sees, before anything else; the answers go to `seen_in`. `referred` is in order of keys."""
    return [arrivals.mark_wanted(connection), *(runs.last_wanted(one.id) for one in referred)]


def seen_in(connection: Connection, referred: Sequence[Stored], answers: Sequence[Sequence[Any]]) -> Basis:
    """Return what answers have of what a run sees."""
    marked, *ran = answers
    references = tuple(
        Seen(key=one.key, audience_id=one.id, run_id=last or 0) for one, ((last,),) in zip(referred, ran, strict=True)
    )
    return Basis(mark=arrivals.mark_in(connection, marked), references=references)


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
