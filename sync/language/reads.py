"""What a query depends on, found without any data: what it reads, and when time alone can change its answer.

A run of an audience looks only at users of whom something arrived that the query reads, or of whom an instant plus an offset of
the query, an *edge*, was passed by now since the run before. Both lists are made here and may be too long but never too short.

A funnel's window (`within(parent: 3 days)`) has no edge: whether the child falls into it is settled as soon as the child
happened, and that is the child's own edge of zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final, TypeAlias

from sync.language import tree
from sync.language.tree import RecencyOperator

_NOTHING: Final = timedelta(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reads:
    """What a query looks at."""

    # Event names as `event('…')` has them.
    events: frozenset[str]
    # Top-level trait keys; keys of audiences and computed traits among them.
    traits: frozenset[str]
    # Whether any event's `context` is read.
    context: bool
    # Whether events' sources are told apart.
    sources: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class EventEdge:
    """The answer can change at the timestamp of an event of this name, plus the offset."""

    event: str
    offset: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class TraitEdge:
    """The answer can change at the date in this trait, plus the offset, which may be negative."""

    path: tree.Path
    offset: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueEdge:
    """The answer can change at the date in a property or context field of an event, plus the offset, which may be negative."""

    event: str
    of: tree.Reducible
    offset: timedelta


Edge: TypeAlias = EventEdge | TraitEdge | ValueEdge


class Feature(Enum):
    """What a query makes use of, for whoever cannot do everything."""

    CONTEXT = "context(…)"
    SOURCES = "sources(…)"
    WINDOW = "within(…) or between(…)"
    FUNNEL = "an event inside where(…)"
    PARENT_WINDOW = "within(parent: …) or between(parent: …)"
    PARENT_PROPERTY = "property(parent: …)"
    ELEMENTS = "`$` in a path"
    NESTED_PATH = "`.` in a path"
    DYNAMIC_RIGHT = "a right-hand side that is no constant"
    REDUCED_RIGHT = "a reducer on the right-hand side"
    DATES = "a comparison of dates"
    SESSION = "expires_after(…)"
    TYPED = "as string, as number or as array"
    TEXT_SEARCH = "contains, omits, starts_with, ends_with"
    ARITHMETIC = "sum(…) or avg(…)"
    EXTREME = "min(…) or max(…)"
    MODE = "mode(…)"
    PICK = "first(…) or last(…)"
    UNIQUE = "unique(…)"


# A part of a query, with the names of the events in whose `where` it stands, outermost first.
_Found: TypeAlias = tuple[object, tuple[str, ...]]


def reads(query: tree.Query) -> Reads:
    """List what a query looks at."""
    parts = [part for part, _ in _walk(query, ())]
    return Reads(
        events=frozenset(part.event for part in parts if isinstance(part, tree.Stream)),
        traits=frozenset(part.key for part in parts if isinstance(part, tree.Trait)),
        context=any(isinstance(part, tree.Context) for part in parts),
        sources=any(isinstance(part, tree.Sources) for part in parts),
    )


def references(query: tree.Query) -> tuple[tree.Trait, ...]:
    """List the traits in the order of the text, repeats and all; which are audiences or computed traits, the caller knows."""
    return tuple(part for part, _ in _walk(query, ()) if isinstance(part, tree.Trait))


def edges(query: tree.Query) -> tuple[Edge, ...]:
    """List the edges, each once, in the order of the text: the answer changes without a call only when now passes one."""
    found: dict[Edge, None] = {}
    for part, events in _walk(query, ()):
        found.update(dict.fromkeys(_edges_of(part, events)))
    return tuple(found)


def features(query: tree.Query) -> frozenset[Feature]:
    """List what a query makes use of."""
    return frozenset(feature for part, events in _walk(query, ()) for feature in _features_of(part, events))


def parts_of(part: object) -> tuple[object, ...]:
    """Give the nodes directly below one, in the order of the text."""
    match part:
        case tree.And(parts=parts) | tree.Or(parts=parts):
            return parts
        case tree.Not(part=negated):
            return (negated,)
        case tree.Compare(left=left, right=right) | tree.DateOrder(left=left, right=right):
            return (left, right)
        case tree.CompareAny(left=left, rights=rights):
            return (left, *rights)
        case tree.Presence(left=left) | tree.Recency(left=left):
            return (left,)
        case tree.Where(condition=condition):
            return (condition,)
        case tree.Stream(filters=filters):
            return filters
        case tree.Count(stream=stream):
            return (stream,)
        case (
            tree.UniqueCount(stream=stream, of=of)
            | tree.Unique(stream=stream, of=of)
            | tree.Arithmetic(stream=stream, of=of)
            | tree.Extreme(stream=stream, of=of)
            | tree.Mode(stream=stream, of=of)
            | tree.Pick(stream=stream, of=of)
        ):
            return (stream, of)
        case _:
            return ()


def _walk(part: object, events: tuple[str, ...]) -> Iterator[_Found]:
    yield part, events
    inner = events
    if isinstance(part, tree.Stream):
        inner = (*events, part.event)
    for child in parts_of(part):
        # A reducer's own property is of its stream's event, as if it stood in a `where`.
        below = (*events, part.stream.event) if isinstance(part, _WITH_VALUE) and child is part.of else inner
        yield from _walk(child, below)


_WITH_VALUE: Final = (tree.UniqueCount, tree.Unique, tree.Arithmetic, tree.Extreme, tree.Mode, tree.Pick)


def _edges_of(part: object, events: tuple[str, ...]) -> Iterator[Edge]:
    match part:
        case tree.Stream(event=event, filters=filters, expires_after=expiry):
            offsets = [_NOTHING, *(offset for filter_ in filters for offset in _window(filter_))]
            if expiry is not None:
                offsets.append(expiry)
            for offset in offsets:
                yield EventEdge(event=event, offset=offset)
        case tree.Recency(left=left, operator=operator, span=span):
            yield from _date_edges(left, _RECENCY[operator](span), events)


def _window(filter_: tree.Filter) -> tuple[timedelta, ...]:
    match filter_:
        case tree.Within(span=span, of_parent=False):
            return (span,)
        case tree.Between(near=near, far=far, of_parent=False):
            return (near, far)
        case _:
            return ()


_RECENCY: Final[Mapping[RecencyOperator, Callable[[timedelta], tuple[timedelta, ...]]]] = {
    RecencyOperator.WITHIN_LAST: lambda span: (_NOTHING, span),
    RecencyOperator.BEFORE_LAST: lambda span: (span,),
    RecencyOperator.WITHIN_NEXT: lambda span: (-span, _NOTHING),
    RecencyOperator.AFTER_NEXT: lambda span: (-span,),
}


def _date_edges(left: tree.Scalar, offsets: tuple[timedelta, ...], events: tuple[str, ...]) -> Iterator[Edge]:
    for offset in offsets:
        match left:
            case tree.Trait(path=path):
                yield TraitEdge(path=path, offset=offset)
            case tree.Property() | tree.Context():
                yield ValueEdge(event=events[-1], of=left, offset=offset)
            case tree.ParentProperty(path=path):
                yield ValueEdge(event=events[-2], of=tree.Property(path=path), offset=offset)
            case tree.Extreme(stream=stream, of=of) | tree.Mode(stream=stream, of=of) | tree.Pick(stream=stream, of=of):
                yield ValueEdge(event=stream.event, of=of, offset=offset)
            case _:
                # Counts, sums and means are never dates.
                return


def _features_of(part: object, events: tuple[str, ...]) -> Iterator[Feature]:  # noqa: C901 - one for each kind of node
    yield from _FEATURES.get(type(part), ())
    match part:
        case tree.Stream(expires_after=expiry):
            if events:
                yield Feature.FUNNEL
            if expiry is not None:
                yield Feature.SESSION
        case tree.Within(of_parent=of_parent) | tree.Between(of_parent=of_parent):
            yield Feature.PARENT_WINDOW if of_parent else Feature.WINDOW
        case tree.Compare(operator=tree.Operator.OMITS | tree.Operator.STARTS_WITH | tree.Operator.ENDS_WITH, right=right):
            yield Feature.TEXT_SEARCH
            yield from _right_features((right,))
        case tree.Compare(right=right):
            yield from _right_features((right,))
        case tree.CompareAny(operator=operator, rights=rights):
            if operator is tree.AnyOperator.CONTAINS:
                yield Feature.TEXT_SEARCH
            yield from _right_features(rights)
        case tree.Trait(path=path) | tree.Property(path=path) | tree.ParentProperty(path=path) | tree.Context(path=path):
            if tree.Each.ELEMENT in path:
                yield Feature.ELEMENTS
            if len(path) > 1:
                yield Feature.NESTED_PATH
        case tree.Extreme(type=tree.ValueType.STRING) | tree.Mode(type=tree.ValueType.NUMBER | tree.ValueType.ARRAY):
            yield Feature.TYPED


_FEATURES: Final[dict[type, tuple[Feature, ...]]] = {
    tree.Context: (Feature.CONTEXT,),
    tree.Sources: (Feature.SOURCES,),
    tree.ParentProperty: (Feature.PARENT_PROPERTY,),
    tree.DateOrder: (Feature.DATES,),
    tree.Recency: (Feature.DATES,),
    tree.Day: (Feature.DATES,),
    tree.Instant: (Feature.DATES,),
    tree.Arithmetic: (Feature.ARITHMETIC,),
    tree.Extreme: (Feature.EXTREME,),
    tree.Mode: (Feature.MODE,),
    tree.Pick: (Feature.PICK,),
    tree.Unique: (Feature.UNIQUE,),
    tree.UniqueCount: (Feature.UNIQUE,),
}


def _right_features(rights: tuple[tree.Operand, ...]) -> Iterator[Feature]:
    if any(isinstance(right, tree.Scalar) for right in rights):
        yield Feature.DYNAMIC_RIGHT
    if any(isinstance(right, tree.Reduced) for right in rights):
        yield Feature.REDUCED_RIGHT
