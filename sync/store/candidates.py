"""Whom a run need look at: users about whom something arrived that the query reads, or over whom time passed.

    arrived     a call of an event that is read, a trait that changed, a new profile, or one that was given another's calls
    referred    a membership that changed in an audience or computed trait that is read
    passed      an edge of the query: an event's or a date's instant plus an offset lies between the last run's instant and now

Every part is the scan of a stretch of an index. May name a user in vain, and never misses one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, TypeAlias, assert_never

from sqlalchemy import BigInteger, Select, select, type_coerce

from sync.language import tree
from sync.language.dates import LONGEST_KEY
from sync.language.reads import Edge, EventEdge, TraitEdge, ValueEdge, edges, reads
from sync.store.basis import Basis
from sync.store.dates import COMPUTED, CONTEXT, PROPERTY, TRAIT
from sync.store.schema import calls, changes, dates, profiles
from sync.store.types import EPOCH, MICROSECOND, to_micros

Candidates: TypeAlias = Select[tuple[int]]

FARTHEST: Final = 2**61
"""In microseconds; some seventy thousand years."""


def candidates(query: tree.Query, then: Basis, now: Basis, last: datetime, at: datetime) -> list[Candidates]:
    """Return queries that together give the ids of the profiles to look at, some more than once.

    `then` and `last` are what the last run had seen and its instant; `now` and `at` those of this one.
    """
    return [*_arrived(query, then, now), *_referred(then, now), *_passed(query, now, last, at)]


def _arrived(query: tree.Query, then: Basis, now: Basis) -> Iterator[Candidates]:
    read, since = reads(query), then.mark.number
    yield select(profiles.c.id).where(profiles.c.arrival >= since)
    if read.traits - {one.key for one in now.references}:
        yield select(profiles.c.id).where(profiles.c.traits_arrival >= since)
    for event in sorted(read.events):
        yield select(calls.c.profile_id).where(calls.c.event == event, calls.c.arrival >= since)


def _referred(then: Basis, now: Basis) -> Iterator[Candidates]:
    earlier = {one.key: one for one in then.references}
    for one in now.references:
        before = earlier[one.key]
        if one.run_id != before.run_id:
            newer = (changes.c.at >= (before.at or EPOCH), changes.c.run_id > before.run_id)
            yield select(changes.c.profile_id).where(changes.c.audience_id == one.audience_id, *newer)


def _passed(query: tree.Query, now: Basis, last: datetime, at: datetime) -> Iterator[Candidates]:
    if last < at:
        referred = frozenset(one.key for one in now.references)
        for edge in edges(query):
            after, until = (_earlier(instant, edge.offset) for instant in (last, at))
            yield _over(edge, referred, after, until)


def _over(edge: Edge, referred: frozenset[str], after: int, until: int) -> Candidates:
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


def _dated(place: str, event: str, path: tree.Path, after: int, until: int) -> Candidates:
    d, key = dates.c, path[0]
    assert isinstance(key, str), "the first step of a path is a name"
    its = (d.place == place, d.event == event, d.key == key[:LONGEST_KEY])
    return select(d.profile_id).where(*its, d.at > after, d.at <= until)


def _earlier(instant: datetime, offset: timedelta) -> int:
    """Return an instant less an offset in microseconds; of one farther away than the store can hold, the farthest."""
    return max(-FARTHEST, min(FARTHEST, to_micros(instant) - offset // MICROSECOND))
