"""What a query means: a plain reading of it over one profile. The specification in code.

Slow and simple by intent. It is the oracle that the SQL compiler is held against, and the engine that explains an answer. What a
value is as a number, text or date stands in `values`. Where a condition sees several values on one side (`$`), it holds if it
holds for any of them; where there is none, for the absent value. None is the absent value throughout.

Decided here, where the language's table is silent:

- `omits` is the negation of `contains`, `none_of` that of `one_of`, value by value.
- With a bare date `=` compares instants; `!=` is: there is a value, and it is not equal.
- Reducers take `$` element by element; `mode(… as array)` takes the elements, or a plain array, as one text.
- A session lives while less than its span has passed since its last event.
- The sum of numbers too great for a double is absent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, assert_never

from sync.json_value import Json
from sync.language import tree, values
from sync.language.tree import AnyOperator, Operator, RecencyOperator


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One thing that a user did."""

    # As `event('…')` asks for it: page calls are `Page Viewed`, screen calls `Screen Viewed`.
    name: str
    # Aware; read to the microsecond.
    timestamp: datetime
    # Arrival: decides between events of one timestamp.
    order: int = 0
    properties: Mapping[str, Json] = field(default_factory=dict)
    context: Mapping[str, Json] = field(default_factory=dict)
    source: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What is known of one user."""

    # The latest values; keys of audiences and computed traits stand among them, put there by the caller.
    traits: Mapping[str, Json] = field(default_factory=dict)
    # In any order, those after now too.
    events: Sequence[Event] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scope:
    profile: Profile
    now: int
    # The event that is looked at, and the one in whose `where` its stream stands.
    event: Event | None = None
    parent: Event | None = None

    def inside(self, event: Event) -> _Scope:
        return _Scope(profile=self.profile, now=self.now, event=event, parent=self.event)


def member(condition: tree.Condition, profile: Profile, now: datetime) -> bool:
    """Tell whether the condition holds for the profile at now."""
    return _holds(condition, _Scope(profile=profile, now=values.microseconds(now)))


def value(query: tree.Computed | tree.Trait, profile: Profile, now: datetime) -> Json:
    """Give the value of a computed trait, or of any value that a condition compares, at now; None if it is absent."""
    scope = _Scope(profile=profile, now=values.microseconds(now))
    if isinstance(query, tree.Unique):
        return [*_unique(query, scope)] or None
    return _values(query, scope)[0]


def events_of(stream: tree.Stream, profile: Profile, now: datetime) -> tuple[Event, ...]:
    """Give the events that a stream has at now, by timestamp, then arrival."""
    return tuple(_events(stream, _Scope(profile=profile, now=values.microseconds(now))))


# ── conditions ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _holds(condition: tree.Condition, scope: _Scope) -> bool:
    match condition:
        case tree.And(parts=parts):
            return all(_holds(part, scope) for part in parts)
        case tree.Or(parts=parts):
            return any(_holds(part, scope) for part in parts)
        case tree.Not(part=part):
            return not _holds(part, scope)
        case _:
            return any(_compares(condition, left, scope) for left in _values(condition.left, scope))


def _compares(condition: tree.Comparison, left: Json, scope: _Scope) -> bool:
    match condition:
        case tree.Compare(operator=operator, right=tree.Day() | tree.Instant() as right):
            return _compare_dates(operator, left, instant(right))
        case tree.Compare(operator=operator, right=right):
            return any(_RELATIONS[operator](left, other) for other in _values(right, scope))
        case tree.CompareAny(operator=AnyOperator.CONTAINS, rights=rights):
            return any(values.contains(left, other) for right in rights for other in _values(right, scope))
        case tree.CompareAny(operator=operator, rights=rights):
            found = any(_equals_literal(left, right, scope) for right in rights)
            return found is (operator is AnyOperator.ONE_OF)
        case tree.Presence(exists=exists):
            return (left is not None) is exists
        case tree.DateOrder(operator=operator, right=right):
            relation = Operator.LESS_THAN if operator is tree.DateOperator.BEFORE else Operator.GREATER_THAN
            return _compare_dates(relation, left, instant(right))
        case tree.Recency(operator=operator, span=span):
            at = values.instant_of(left)
            return at is not None and _is_recent(operator, at, scope.now, span // values.MICROSECOND)
        case _:
            assert_never(condition)


def _equals_literal(left: Json, right: tree.Operand, scope: _Scope) -> bool:
    if isinstance(right, tree.Day | tree.Instant):
        return values.instant_of(left) == instant(right)
    return any(values.equal(left, other) for other in _values(right, scope))


def _differs(left: Json, right: Json) -> bool:
    return left is not None and right is not None and not values.equal(left, right)


def _ordered(*signs: int) -> Callable[[Json, Json], bool]:
    return lambda left, right: values.in_order(left, right) in signs


def _at_edge(test: Callable[[str, str], bool]) -> Callable[[Json, Json], bool]:
    def relation(left: Json, right: Json) -> bool:
        text, part = values.searchable(left), values.searchable(right)
        return text is not None and part is not None and test(text, part)

    return relation


_RELATIONS: Final[Mapping[Operator, Callable[[Json, Json], bool]]] = {
    Operator.EQUALS: values.equal,
    Operator.DIFFERS: _differs,
    Operator.GREATER_THAN: _ordered(1),
    Operator.AT_LEAST: _ordered(0, 1),
    Operator.LESS_THAN: _ordered(-1),
    Operator.AT_MOST: _ordered(-1, 0),
    Operator.OMITS: lambda left, right: not values.contains(left, right),
    Operator.STARTS_WITH: _at_edge(str.startswith),
    Operator.ENDS_WITH: _at_edge(str.endswith),
}


def _compare_dates(operator: Operator, left: Json, right: int) -> bool:
    at = values.instant_of(left)
    if operator is Operator.DIFFERS:
        return left is not None and at != right
    return at is not None and _RELATIONS[operator](at, right)


def _is_recent(operator: RecencyOperator, at: int, now: int, span: int) -> bool:
    match operator:
        case RecencyOperator.WITHIN_LAST:
            return now - span < at <= now
        case RecencyOperator.BEFORE_LAST:
            return at <= now - span
        case RecencyOperator.WITHIN_NEXT:
            return now < at <= now + span
        case RecencyOperator.AFTER_NEXT:
            return at > now + span


def instant(literal: tree.Day | tree.Instant) -> int:
    """Give a literal's instant in microseconds since 1970; a date's is its midnight in UTC."""
    if isinstance(literal, tree.Instant):
        return values.microseconds(literal.value)
    at = values.instant_of(literal.value.isoformat())
    assert at is not None
    return at


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _values(operand: tree.Operand, scope: _Scope) -> tuple[Json, ...]:
    match operand:
        case tree.Text(value=value) | tree.Number(value=value) | tree.Truth(value=value):
            return (value,)
        case tree.Trait(path=path):
            return values.find(scope.profile.traits, path)
        case tree.Property(path=path):
            return values.find(scope.event.properties if scope.event else {}, path)
        case tree.ParentProperty(path=path):
            return values.find(scope.parent.properties if scope.parent else {}, path)
        case tree.Context(path=path):
            return values.find(scope.event.context if scope.event else {}, path)
        case tree.Day() | tree.Instant():
            raise AssertionError("dates are compared as instants")
        case _:
            return (_reduce(operand, scope),)


def _reduce(reduced: tree.Reduced, scope: _Scope) -> Json:
    match reduced:
        case tree.Count(stream=stream):
            return len(_events(stream, scope))
        case tree.UniqueCount(stream=stream, of=of):
            return len(_unique(tree.Unique(stream=stream, of=of), scope))
        case tree.Arithmetic():
            return _arithmetic(reduced, scope)
        case tree.Extreme():
            return _extreme(reduced, scope)
        case tree.Mode():
            return _mode(reduced, scope)
        case tree.Pick(function=function, stream=stream, of=of):
            present = [value for value in _each(stream, of, scope) if value is not None]
            return present[0 if function is tree.PickFunction.FIRST else -1] if present else None
        case _:
            assert_never(reduced)


def _arithmetic(reduced: tree.Arithmetic, scope: _Scope) -> Json:
    numbers = [number for value in _each(reduced.stream, reduced.of, scope) if (number := values.number_of(value)) is not None]
    if not numbers:
        return None
    amount = values.total(numbers)
    return values.rounded(amount if reduced.function is tree.ArithmeticFunction.SUM else values.share(amount, len(numbers)))


def _extreme(reduced: tree.Extreme, scope: _Scope) -> Json:
    end = min if reduced.function is tree.ExtremeFunction.MIN else max
    found = list(_each(reduced.stream, reduced.of, scope))
    if reduced.type is tree.ValueType.STRING:
        return end((text for value in found if (text := values.text_of(value)) is not None), default=None)
    numbers = [number for value in found if (number := values.number_of(value)) is not None]
    return values.tidy(end(numbers)) if numbers else None


def _mode(reduced: tree.Mode, scope: _Scope) -> Json:
    if reduced.type is tree.ValueType.ARRAY:
        texts = [_whole_text(reduced.of, scope.inside(event)) for event in _events(reduced.stream, scope)]
    else:
        texts = [values.text_of(value) for value in _each(reduced.stream, reduced.of, scope)]
    seen = Counter(text for text in texts if text is not None)
    often = {text: times for text, times in seen.items() if times >= reduced.at_least}
    return min(often, key=lambda text: (-often[text], text), default=None)


def _whole_text(of: tree.Reducible, scope: _Scope) -> str | None:
    found = _values(of, scope)
    if tree.Each.ELEMENT in of.path:
        return values.array_text(found)
    return values.array_text(found[0]) if isinstance(found[0], list) else values.text_of(found[0])


def _unique(query: tree.Unique, scope: _Scope) -> list[str]:
    texts = (values.text_of(value) for value in _each(query.stream, query.of, scope))
    return sorted({text for text in texts if text is not None})


def _each(stream: tree.Stream, of: tree.Reducible, scope: _Scope) -> Iterator[Json]:
    for event in _events(stream, scope):
        yield from _values(of, scope.inside(event))


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _events(stream: tree.Stream, scope: _Scope) -> list[Event]:
    passed = [
        event
        for event in scope.profile.events
        if event.name == stream.event
        and values.microseconds(event.timestamp) <= scope.now
        and all(_passes(filter_, event, scope) for filter_ in stream.filters)
    ]
    passed.sort(key=lambda event: (event.timestamp, event.order))
    if stream.expires_after is None:
        return passed
    return _open_session(passed, scope.now, stream.expires_after // values.MICROSECOND)


def _passes(filter_: tree.Filter, event: Event, scope: _Scope) -> bool:
    match filter_:
        case tree.Where(condition=condition):
            return _holds(condition, scope.inside(event))
        case tree.Sources(exclude=exclude):
            return event.source not in exclude
        case tree.Within(span=span, of_parent=of_parent):
            return _is_between(timedelta(0), span, event, scope, of_parent)
        case tree.Between(near=near, far=far, of_parent=of_parent):
            return _is_between(near, far, event, scope, of_parent)
        case _:
            assert_never(filter_)


def _is_between(near: timedelta, far: timedelta, event: Event, scope: _Scope, of_parent: bool) -> bool:
    """Look whether the event falls into a window; its earlier end is open and its later end closed, of a parent too."""
    at, nearer, farther = values.microseconds(event.timestamp), near // values.MICROSECOND, far // values.MICROSECOND
    if not of_parent:
        return scope.now - farther < at <= scope.now - nearer
    assert scope.event is not None
    parent = values.microseconds(scope.event.timestamp)
    return parent + nearer < at <= parent + farther


def _open_session(events: list[Event], now: int, span: int) -> list[Event]:
    """Keep the latest run of events that follow one another, and now, in less than the span."""
    following = now
    kept: list[Event] = []
    for event in reversed(events):
        at = values.microseconds(event.timestamp)
        if following - at >= span:
            break
        kept.append(event)
        following = at
    return kept[::-1]
