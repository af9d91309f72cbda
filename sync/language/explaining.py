"""Why a query gives what it gives for one profile: each of its nodes with the value it has, and what bears that out.

Every value is asked of the plain reading (`reading`): this module walks the tree, puts the questions, and decides nothing.

What stands inside a `where` has no one value, since it is asked of event after event. Its value here is the number of events, of
those that the outermost stream is named for, of which it holds; for what a deeper stream is made of, the number of them for which
that stream has such an event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, TypeAlias

from sync.json_value import Json, encode
from sync.language import horizon, tree, values
from sync.language.constants import instant_text
from sync.language.reading import Event, Profile, events_of, member, value
from sync.language.reads import edges, parts_of
from sync.language.text import text_of
from sync.language.tree import Operator, RecencyOperator
from sync.language.vocabulary import SIGNS


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """Of AND, OR and NOT: how many of the parts hold."""

    word: str
    holding: int
    of: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """Of a comparison: what was compared with what. Where a path has `$` there are several values; None is an absent one."""

    left: tuple[Json, ...]
    operator: str
    """A sign, or the name of a method."""
    right: tuple[Json, ...]
    """Of a comparison with a moving instant, the instants that its span comes to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """Of `trait('…')`: which trait, and what is there."""

    key: str
    found: tuple[Json, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Occurred:
    """An event that counts."""

    event: Event
    value: Json = None
    """What is read of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Happened:
    """Of whatever is made of events: which count."""

    name: str
    of: int
    """How many events of the name there are, up to and including now."""
    events: tuple[Occurred, ...]
    """Those that count: first the ones that the value was taken from; otherwise the newest first."""
    reads: str | None
    """What is read of the events, as the query writes it; None if nothing is."""
    last: datetime | None
    """When the newest event of the name was, whether it counts or not."""


Evidence: TypeAlias = Joined | Compared | Looked | Happened


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """A node of a query."""

    text: str
    """As the query writes it."""
    value: Json
    """true or false of a condition; the value of what is looked up or reduced; of a filter, and of all inside it, a number."""
    evidence: Evidence
    parts: tuple[Explained, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class NextChange:
    """When the answer will next be another, if no further call comes in."""

    at: datetime | None
    """None if time alone never changes it."""
    is_known: bool = True
    """False where so many events are still to pass an edge that working it out would take too long."""


_NOTHING: Final[Mapping[str, tree.Query]] = MappingProxyType({})


def explain(query: tree.Query, profile: Profile, now: datetime) -> Explained:
    """Explain a query, node by node; the first node's value is the answer."""
    asked = _Asked(profile=profile, now=now)
    return _condition(query, asked) if isinstance(query, tree.Condition) else _reduced(query, asked)


def next_change(
    query: tree.Query, profile: Profile, now: datetime, most_work: int, referred: Mapping[str, tree.Query] = _NOTHING
) -> NextChange:
    """Find the first instant after now at which the answer will be another, while the traits stay as they are.

    `referred` has the queries whose values stand among the traits by their keys, theirs in turn included, each after those that it
    refers to: they change with time, too. Where one of them has another value already than the traits say, so that the answer
    changes as soon as that is put right, the instant is now.

    Gives up where events would have to be looked at more than `most_work` times in all.
    """
    queries = (*referred.values(), query)
    profile = _in_play(queries, profile, now)
    turns = horizon.turning_points([edge for one in queries for edge in edges(one)], profile, now)
    if len(turns) * sum(work(one, profile) for one in queries) > most_work:
        return NextChange(at=None, is_known=False)
    if isinstance(query, tree.Condition) and not referred:
        return NextChange(at=horizon.next_change(query, profile, now))
    # As JSON, in which 1 and true are two.
    before = encode(_answer(query, profile, now))
    changed = (at for at in (now, *turns) if encode(_answer(query, _with(referred, profile, at), at)) != before)
    return NextChange(at=next(changed, None))


def _with(referred: Mapping[str, tree.Query], profile: Profile, at: datetime) -> Profile:
    """Put the values that definitions have at an instant among the traits."""
    for key, query in referred.items():
        profile = replace(profile, traits={**profile.traits, key: _answer(query, profile, at)})
    return profile


def _answer(query: tree.Query, profile: Profile, at: datetime) -> Json:
    return member(query, profile, at) if isinstance(query, tree.Condition) else value(query, profile, at)


def work(query: tree.Query, profile: Profile) -> int:
    """Estimate how many events the reading looks at for one answer: a funnel looks at all of them for each parent."""
    named = [event.name for event in profile.events]
    return _work(query, {name: named.count(name) for name in set(named)}, len(named))


def _work(part: object, named: Mapping[str, int], everything: int) -> int:
    inner = sum(_work(below, named, everything) for below in parts_of(part))
    return everything + named.get(part.event, 0) * inner if isinstance(part, tree.Stream) else inner


# ── what can still matter ────────────────────────────────────────────────────────────────────────────────────────────────


def _in_play(queries: Iterable[tree.Query], profile: Profile, now: datetime) -> Profile:
    """Leave out the events that lie before every window that could take them in, and so will at any later instant, too."""
    at, reaches = values.microseconds(now), _reaches(queries)
    kept = [event for event in profile.events if values.microseconds(event.timestamp) > at - reaches.get(event.name, _FOREVER)]
    return replace(profile, events=kept)


_FOREVER: Final = 1 << 63


def _reaches(queries: Iterable[tree.Query]) -> dict[str, int]:
    """Tell how long an event of each name can count, in microseconds."""
    found: dict[str, int] = {}
    for stream in (stream for query in queries for stream in _streams(query)):
        found[stream.event] = max(_reach(stream), found.get(stream.event, 0))
    return found


def _reach(stream: tree.Stream) -> int:
    spans = [span for filter_ in stream.filters for span in _farthest(filter_)]
    return min(spans) // values.MICROSECOND if spans else _FOREVER


def _farthest(filter_: tree.Filter) -> tuple[timedelta, ...]:
    match filter_:
        case tree.Within(span=span, of_parent=False) | tree.Between(far=span, of_parent=False):
            return (span,)
        case _:
            return ()


def _streams(part: object) -> Iterator[tree.Stream]:
    if isinstance(part, tree.Stream):
        yield part
    for below in parts_of(part):
        yield from _streams(below)


# ── conditions ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """Who is asked, and where in the query we are."""

    profile: Profile
    now: datetime
    # The names of the events in whose `where` we are, outermost first.
    names: tuple[str, ...] = ()

    def inside(self, stream: tree.Stream) -> _Asked:
        return replace(self, names=(*self.names, stream.event))

    def all_of(self, name: str) -> tuple[Event, ...]:
        return events_of(tree.Stream(event=name), self.profile, self.now)

    def passing(self, filter_: tree.Filter) -> tuple[Event, ...]:
        """Give the events of the outermost stream that pass a filter of the innermost, or for which there is one that does."""
        *outer, innermost = self.names
        stream = tree.Stream(event=innermost, filters=(filter_,))
        for name in reversed(outer):
            stream = tree.Stream(event=name, filters=(_having(stream),))
        return events_of(stream, self.profile, self.now)


def _having(stream: tree.Stream) -> tree.Where:
    """Keep the events for which a stream has one."""
    one = tree.Number(value=1)
    return tree.Where(condition=tree.Compare(left=tree.Count(stream=stream), operator=Operator.AT_LEAST, right=one))


def _condition(condition: tree.Condition, asked: _Asked) -> Explained:
    match condition:
        case tree.And(parts=parts):
            return _joined("AND", condition, parts, asked)
        case tree.Or(parts=parts):
            return _joined("OR", condition, parts, asked)
        case tree.Not(part=part):
            return _joined("NOT", condition, (part,), asked)
        case _:
            return _comparison(condition, asked)


def _joined(word: str, condition: tree.Condition, parts: tuple[tree.Condition, ...], asked: _Asked) -> Explained:
    explained = tuple(_condition(part, asked) for part in parts)
    if asked.names:
        return _of_events(text_of(condition), asked.passing(tree.Where(condition=condition)), None, explained, asked)
    holding = sum(part.value is True for part in explained)
    evidence = Joined(word=word, holding=holding, of=len(parts))
    answer = member(condition, asked.profile, asked.now)
    return Explained(text=text_of(condition), value=answer, evidence=evidence, parts=explained)


def _comparison(comparison: tree.Comparison, asked: _Asked) -> Explained:
    rights = _rights(comparison)
    parts = tuple(_operand(side, asked) for side in (comparison.left, *rights) if isinstance(side, tree.Scalar))
    if asked.names:
        read = _read_of_outermost(comparison.left, asked)
        return _of_events(text_of(comparison), asked.passing(tree.Where(condition=comparison)), read, parts, asked)
    return Explained(
        text=text_of(comparison),
        value=member(comparison, asked.profile, asked.now),
        evidence=Compared(
            left=_found(comparison.left, asked),
            operator=_operator(comparison),
            right=tuple(_bounds(comparison, asked.now)) or tuple(one for right in rights for one in _found(right, asked)),
        ),
        parts=parts,
    )


def _rights(comparison: tree.Comparison) -> tuple[tree.Operand, ...]:
    match comparison:
        case tree.Compare(right=right) | tree.DateOrder(right=right):
            return (right,)
        case tree.CompareAny(rights=rights):
            return rights
        case _:
            return ()


def _operator(comparison: tree.Comparison) -> str:
    match comparison:
        case tree.Compare(operator=operator):
            return _SIGN_OF.get(operator, operator.value)
        case tree.Presence(exists=exists):
            return "exists" if exists else "absent"
        case _:
            method: str = comparison.operator.value
            return method


_SIGN_OF: Final = {operator: sign for sign, operator in SIGNS.items() if sign != "=="}


def _found(operand: tree.Operand, asked: _Asked) -> tuple[Json, ...]:
    """Give what stands on one side of a comparison that is outside of every stream."""
    match operand:
        case tree.Text(value=constant) | tree.Number(value=constant) | tree.Truth(value=constant):
            return (constant,)
        case tree.Day() | tree.Instant():
            return (instant_text(operand),)
        case tree.Trait(path=path):
            return values.find(asked.profile.traits, path)
        case tree.Property() | tree.ParentProperty() | tree.Context():
            raise AssertionError("the checker lets no property stand outside of a stream")
        case _:
            return (value(operand, asked.profile, asked.now),)


def _bounds(comparison: tree.Comparison, now: datetime) -> Iterator[str]:
    """Give the instants that a comparison with a moving one comes to, earliest first."""
    if not isinstance(comparison, tree.Recency):
        return
    at, span = values.microseconds(now), comparison.span // values.MICROSECOND
    for bound in _RECENCY[comparison.operator](at, span):
        try:
            yield instant_text(tree.Instant(value=values.at_microseconds(bound)))
        except OverflowError:
            # Outside of the calendar, where nobody's date is either.
            continue


_RECENCY: Final[Mapping[RecencyOperator, Callable[[int, int], tuple[int, ...]]]] = {
    RecencyOperator.WITHIN_LAST: lambda now, span: (now - span, now),
    RecencyOperator.BEFORE_LAST: lambda now, span: (now - span,),
    RecencyOperator.WITHIN_NEXT: lambda now, span: (now, now + span),
    RecencyOperator.AFTER_NEXT: lambda now, span: (now + span,),
}


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _operand(operand: tree.Scalar, asked: _Asked) -> Explained:
    match operand:
        case tree.Trait(path=path):
            found = values.find(asked.profile.traits, path)
            answer = value(operand, asked.profile, asked.now)
            return Explained(text=text_of(operand), value=answer, evidence=Looked(key=operand.key, found=found))
        case tree.Property() | tree.ParentProperty() | tree.Context():
            there = tree.Where(condition=tree.Presence(left=operand, exists=True))
            return _of_events(text_of(operand), asked.passing(there), _read_of_outermost(operand, asked), (), asked)
        case _ if asked.names:
            return _of_events(
                text_of(operand), asked.passing(_having(operand.stream)), None, _filters(operand.stream, asked), asked
            )
        case _:
            return _reduced(operand, asked)


def _reduced(reduced: tree.Computed, asked: _Asked) -> Explained:
    counted = events_of(reduced.stream, asked.profile, asked.now)
    answer = value(reduced, asked.profile, asked.now)
    read = None if isinstance(reduced, tree.Count) else reduced.of
    occurred = _occurred(counted, read)
    if isinstance(reduced, tree.Pick) and reduced.function is tree.PickFunction.FIRST:
        occurred = occurred[::-1]
    if read is not None:
        is_one_of_them = isinstance(reduced, tree.Extreme | tree.Mode | tree.Pick)
        occurred.sort(key=lambda one: not _gave(one.value, answer) if is_one_of_them else one.value is None)
    return Explained(
        text=text_of(reduced),
        value=answer,
        evidence=_happened(reduced.stream.event, occurred, read, asked),
        parts=_filters(reduced.stream, asked),
    )


def _gave(read: Json, answer: Json) -> bool:
    """Tell whether this is where a value was taken from."""
    several = read if isinstance(read, list) else [read]
    return answer is not None and (read == answer or any(values.equal(one, answer) for one in several))


def _filters(stream: tree.Stream, asked: _Asked) -> tuple[Explained, ...]:
    """Explain each filter by itself: how many events pass it, whatever the others say."""
    inside = asked.inside(stream)
    explained = [_filter(filter_, stream, inside) for filter_ in stream.filters]
    if stream.expires_after is not None:
        # The session is made of what passed the filters.
        left = events_of(stream, asked.profile, asked.now)
        text = _after_the_name(tree.Stream(event=stream.event, expires_after=stream.expires_after))
        explained.append(_of_events(text, left, None, (), inside))
    return tuple(explained)


def _filter(filter_: tree.Filter, stream: tree.Stream, inside: _Asked) -> Explained:
    parts = (_condition(filter_.condition, inside),) if isinstance(filter_, tree.Where) else ()
    text = _after_the_name(tree.Stream(event=stream.event, filters=(filter_,)))
    return _of_events(text, inside.passing(filter_), None, parts, inside)


def _after_the_name(stream: tree.Stream) -> str:
    return text_of(stream).removeprefix(text_of(tree.Stream(event=stream.event)) + ".")


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_events(
    text: str, counted: tuple[Event, ...], read: tree.Reducible | None, parts: tuple[Explained, ...], asked: _Asked
) -> Explained:
    evidence = _happened(asked.names[0], _occurred(counted, read), read, asked)
    return Explained(text=text, value=len(counted), evidence=evidence, parts=parts)


def _happened(name: str, occurred: Iterable[Occurred], read: tree.Reducible | None, asked: _Asked) -> Happened:
    everything = asked.all_of(name)
    return Happened(
        name=name,
        of=len(everything),
        events=tuple(occurred),
        reads=None if read is None else text_of(read),
        last=everything[-1].timestamp if everything else None,
    )


def _occurred(counted: tuple[Event, ...], read: tree.Reducible | None) -> list[Occurred]:
    """Give events with what is read of them, newest first."""
    return [Occurred(event=event, value=None if read is None else _read(event, read)) for event in reversed(counted)]


def _read(event: Event, of: tree.Reducible) -> Json:
    found = values.find(event.properties if isinstance(of, tree.Property) else event.context, of.path)
    return found[0] if len(found) == 1 else list(found)


def _read_of_outermost(operand: tree.Scalar, asked: _Asked) -> tree.Reducible | None:
    """Give what an operand reads of the events of the outermost stream, if it reads of them."""
    match operand:
        case tree.Property() | tree.Context() if len(asked.names) == 1:
            return operand
        case tree.ParentProperty(path=path) if len(asked.names) == 2:
            return tree.Property(path=path)
        case _:
            return None
