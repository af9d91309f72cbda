"""Short ways to write what a user did, and to ask a query about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sync.json_value import Json
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reading import Event, Profile, member, value

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)


def did(name: str, ago: timedelta = HOUR, order: int = 0, source: str | None = None, **properties: Json) -> Event:
    """Make an event of so long before now."""
    return Event(name=name, timestamp=NOW - ago, order=order, properties=properties, source=source)


def holds(query: str, *events: Event, **traits: Json) -> bool:
    """Ask an audience's query about a user."""
    return member(parse_audience(query), Profile(traits=traits, events=events), NOW)


def computes(query: str, *events: Event) -> Json:
    """Ask a computed trait's query about a user."""
    return value(parse_computed_trait(query), Profile(events=events), NOW)
