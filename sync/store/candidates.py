"""Whom a run need look at: users about whom something arrived that the query reads, or over whom time passed.

    arrived     a call of an event that is read, a trait that changed, a new profile, or one that was given another's calls
    referred    a membership that changed in an audience or computed trait that is read
    passed      an edge of the query: an event's or a date's instant plus an offset lies between the last run's instant and now

Every part is the scan of a stretch of an index. May name a user in vain, and never misses one. Which stretches there are follows
from the query; where each begins and ends is told by the two runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self, TypeAlias, assert_never

from sqlalchemy import BigInteger, BindParameter, Select, select, type_coerce

from sync.language import tree
from sync.language.dates import LONGEST_KEY
from sync.language.reads import Edge, EventEdge, TraitEdge, ValueEdge, edges, reads
from sync.store.basis import Basis
from sync.store.dates import COMPUTED, CONTEXT, PROPERTY, TRAIT
from sync.store.prepared import told
from sync.store.schema import calls, changes, dates, profiles
from sync.store.types import MICROSECOND, to_micros

Scan: TypeAlias = Select[tuple[int]]

FARTHEST: Final = 2**61
"""In microseconds; some seventy thousand years."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """The search for whom one query need look at; `references` are the audiences and computed traits that it reads, by key."""

    scans: tuple[Scan, ...]
    """Statements that together give the ids of the profiles, some more than once; they ask for what `between` tells."""
    edges: tuple[Edge, ...]

    @classmethod
    def of(cls, query: tree.Query, references: Mapping[str, int]) -> Self:
        passed = edges(query)
        scans = (*_arrived(query, references.keys()), *_referred(references), *_passed(passed, references.keys()))
        return cls(scans=scans, edges=passed)

    def between(self, then: Basis, last: datetime, at: datetime) -> dict[str, int]:
        """Return where the stretches begin and end: `then` and `last` are what the last run had seen and its instant."""
        ends = {"since": then.mark.number}
        for number, one in enumerate(sorted(then.references, key=lambda one: one.key)):
            ends[f"run_{number}"] = one.run_id
        for number, edge in enumerate(self.edges):
            ends[f"after_{number}"], ends[f"until_{number}"] = (_earlier(instant, edge.offset) for instant in (last, at))
        return ends


def _arrived(query: tree.Query, referred: Collection[str]) -> Iterator[Scan]:
    read, since = reads(query), _told("since")
    yield select(profiles.c.id.label("profile_id")).where(profiles.c.arrival >= since)
    if read.traits - set(referred):
        yield select(profiles.c.id).where(profiles.c.traits_arrival >= since)
    for event in sorted(read.events):
        yield select(calls.c.profile_id).where(calls.c.event == event, calls.c.arrival >= since)


def _referred(references: Mapping[str, int]) -> Iterator[Scan]:
    for number, (_, audience_id) in enumerate(sorted(references.items())):
        newer = changes.c.run_id > _told(f"run_{number}")
        yield select(changes.c.profile_id).where(changes.c.audience_id == audience_id, newer)


def _passed(passed: Sequence[Edge], referred: Collection[str]) -> Iterator[Scan]:
    for number, edge in enumerate(passed):
        yield _over(edge, referred, _told(f"after_{number}"), _told(f"until_{number}"))


def _told(name: str) -> BindParameter[int]:
    return told(name, BigInteger())


def _over(edge: Edge, referred: Collection[str], after: BindParameter[int], until: BindParameter[int]) -> Scan:
    match edge:
        case EventEdge(event=event):
            happened = type_coerce(calls.c.timestamp, BigInteger())
            return select(calls.c.profile_id).where(calls.c.event == event, happened > after, happened <= until)
        case TraitEdge(path=path):
            return _dated(COMPUTED if path[0] in referred else TRAIT, "", path, after, until)
        case ValueEdge(event=event, of=of):
            return _dated(PROPERTY if isinstance(of, tree.Property) else CONTEXT, event, of.path, after, until)
        case _:
            assert_never(edge)


def _dated(place: str, event: str, path: tree.Path, after: BindParameter[int], until: BindParameter[int]) -> Scan:
    d, key = dates.c, path[0]
    assert isinstance(key, str), "the first step of a path is a name"
    its = (d.place == place, d.event == event, d.key == key[:LONGEST_KEY])
    return select(d.profile_id).where(*its, d.at > after, d.at <= until)


def _earlier(instant: datetime, offset: timedelta) -> int:
    """Return an instant less an offset in microseconds; of one farther away than the store can hold, the farthest."""
    return max(-FARTHEST, min(FARTHEST, to_micros(instant) - offset // MICROSECOND))
