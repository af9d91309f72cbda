"""How far back from now a query looks, found without any data: what is older than that can be thrown away unnoticed.

    event('A').within(30 days)                                              30 days
    event('A').between(7 days, 90 days)                                     90 days
    event('A').within(30 days).where(event('B').within(parent: 3 days) …)   30 days: a B counts only after an A that does
    event('A').within(30 days).where(event('B') …)                          for ever: any B counts, however old
    event('A'), and a session that is open (`expires_after`)                for ever: each event may hold the one before it
    trait('a')                                                              no time at all: traits are no events

Dates in properties and traits do not matter: the events that hold them are bounded by their own windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from sync.language import tree
from sync.language.reads import parts_of

Span: TypeAlias = timedelta | None
"""None is for ever."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """How far one stream of events looks back."""

    event: str
    span: Span


def reach(query: tree.Query) -> Span:
    """Return the span before now outside of which no event has a say; none at all is a span of zero, None is for ever.

    An event that happened exactly so long before now has no say either.
    """
    spans = [one.span for one in reaches(query)]
    return None if None in spans else max((span for span in spans if span is not None), default=timedelta())


def reaches(query: tree.Query) -> tuple[Reach, ...]:
    """List how far each stream looks back, in the order of the text."""
    return tuple(_below(query, None))


def _below(part: object, parent: Reach | None) -> Iterator[Reach]:
    if isinstance(part, tree.Stream):
        parent = Reach(event=part.event, span=_span(part, parent))
        yield parent
    for child in parts_of(part):
        yield from _below(child, parent)


def _span(stream: tree.Stream, parent: Reach | None) -> Span:
    """Return the narrowest of what bounds a stream."""
    bounds = [bound for filter_ in stream.filters if (bound := _bound(filter_, parent)) is not None]
    return min(bounds, default=None)


def _bound(filter_: tree.Filter, parent: Reach | None) -> Span:
    match filter_:
        case tree.Within(of_parent=True) | tree.Between(of_parent=True):
            # Strictly after an event of the parent's, so never older than the oldest of those.
            return None if parent is None else parent.span
        case tree.Within(span=span):
            return span
        case tree.Between(far=far):
            return far
        case _:
            return None
