"""When the answer for one profile will next change, if no further call comes in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, assert_never

from sync.json_value import Json
from sync.language import tree, values
from sync.language.reading import Event, Profile, member
from sync.language.reads import Edge, EventEdge, TraitEdge, ValueEdge, edges


def next_change(condition: tree.Condition, profile: Profile, now: datetime) -> datetime | None:
    """Find the first instant after now at which membership will be another than now; None if time alone never changes it.

    Traits are taken to stay as they are, those that are other audiences' keys too.
    """
    before = member(condition, profile, now)
    for instant in turning_points(edges(condition), profile, now):
        if member(condition, profile, instant) is not before:
            return instant
    return None


def turning_points(crossed: Iterable[Edge], profile: Profile, now: datetime) -> tuple[datetime, ...]:
    """List the instants after now, ascending, at which now passes an edge of this profile."""
    after = values.microseconds(now)
    found = {at for edge in crossed for at in _instants(edge, profile) if at > after}
    return tuple(values.at_microseconds(at) for at in sorted(found) if at <= _LAST)


_LAST: Final = values.microseconds(datetime.fromisoformat("9999-12-31T00:00:00Z"))


def _instants(edge: Edge, profile: Profile) -> Iterator[int]:
    offset = edge.offset // values.MICROSECOND
    match edge:
        case EventEdge(event=name):
            return (values.microseconds(event.timestamp) + offset for event in profile.events if event.name == name)
        case TraitEdge(path=path):
            return (instant + offset for instant in _dates(values.find(profile.traits, path)))
        case ValueEdge(event=name, of=of):
            found = (_find(of, event) for event in profile.events if event.name == name)
            return (instant + offset for some in found for instant in _dates(some))
        case _:
            assert_never(edge)


def _find(of: tree.Reducible, event: Event) -> tuple[Json, ...]:
    return values.find(event.properties if isinstance(of, tree.Property) else event.context, of.path)


def _dates(found: Iterable[Json]) -> Iterator[int]:
    return (instant for value in found if (instant := values.instant_of(value)) is not None)
