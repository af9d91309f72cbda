"""What a query reads, when time alone can change it, and what it makes use of."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.language import tree
from sync.language.horizon import next_change, turning_points
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reading import Event, Profile, member, value
from sync.language.reads import Edge, EventEdge, Feature, TraitEdge, ValueEdge, edges, features, reads, references
from tests import strategies

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
# Before the most that happens to the profiles that are drawn.
START = strategies.NOW - DAY
FUNNEL = "event('A').where(event('B').within(parent: 3 days).where(context('c') = property(parent: 'p')).count() = 0).count() = 1"


def test_what_is_read_is_listed() -> None:
    listed = reads(parse_audience(f"{FUNNEL} AND trait('plan.name') = trait('other') AND event('C').count() > event('D').count()"))

    assert listed.events == {"A", "B", "C", "D"}
    assert listed.traits == {"plan", "other"}
    assert listed.context
    assert not listed.sources


def test_the_property_of_a_reducer_and_its_context_are_read_too() -> None:
    assert reads(parse_computed_trait("event('A').sources(exclude: 'x').sum(context('p'))")).context
    assert reads(parse_computed_trait("event('A').sources(exclude: 'x').sum(context('p'))")).sources


def test_references_come_in_the_order_of_the_text_with_their_places() -> None:
    query = "trait('a') = 1\n AND event('X').where(property('p') = trait('b')).count() = 1 OR trait('a').exists()"

    found = references(parse_audience(query))

    assert [(trait.key, trait.at) for trait in found] == [
        ("a", tree.Position(line=1, column=1)),
        ("b", tree.Position(line=2, column=39)),
        ("a", tree.Position(line=2, column=66)),
    ]


def event(name: str, days: int) -> EventEdge:
    return EventEdge(event=name, offset=days * DAY)


def trait(*path: str, days: int) -> TraitEdge:
    return TraitEdge(path=path, offset=days * DAY)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # a future-stamped event begins to count
        ("event('A').count() = 1", [event("A", 0)]),
        ("event('A').within(3 days).count() = 1", [event("A", 0), event("A", 3)]),
        ("event('A').between(1 day, 3 days).count() = 1", [event("A", 0), event("A", 1), event("A", 3)]),
        # settled as soon as the child happens
        (FUNNEL, [event("A", 0), event("B", 0)]),
        ("trait('a') = 1", []),
        ("trait('a').before_date(2026-01-01)", []),
        ("trait('a.b').within_last(3 days)", [trait("a", "b", days=0), trait("a", "b", days=3)]),
        ("trait('a').before_last(3 days)", [trait("a", days=3)]),
        ("trait('a').within_next(3 days)", [trait("a", days=-3), trait("a", days=0)]),
        ("trait('a').after_next(3 days)", [trait("a", days=-3)]),
        ("event('A').sum(property('p')).within_last(3 days)", [event("A", 0)]),
        (
            "event('A').last(property('p')).before_last(3 days)",
            [ValueEdge(event="A", of=tree.Property(path=("p",)), offset=3 * DAY), event("A", 0)],
        ),
        (
            "event('A').where(context('p').after_next(1 day)).count() = 1",
            [event("A", 0), ValueEdge(event="A", of=tree.Context(path=("p",)), offset=-DAY)],
        ),
        (
            "event('A').where(event('B').where(property(parent: 'p').after_next(1 day)).count() = 1).count() = 1",
            [event("A", 0), event("B", 0), ValueEdge(event="A", of=tree.Property(path=("p",)), offset=-DAY)],
        ),
    ],
)
def test_time_alone_changes_an_answer_at(query: str, expected: list[Edge]) -> None:
    assert sorted(map(repr, edges(parse_audience(query)))) == sorted(map(repr, expected))


def test_a_session_ends_its_span_after_its_last_event() -> None:
    assert edges(parse_computed_trait("event('A').expires_after(1 day).count()")) == (event("A", 0), event("A", 1))


def test_features_name_what_a_query_makes_use_of() -> None:
    assert features(parse_audience("trait('a') = 1")) == frozenset()
    assert features(parse_audience(FUNNEL)) == {
        Feature.FUNNEL,
        Feature.PARENT_WINDOW,
        Feature.PARENT_PROPERTY,
        Feature.CONTEXT,
        Feature.DYNAMIC_RIGHT,
    }
    assert features(parse_audience("trait('a.$').contains('x') AND trait('d').before_date(2026-01-01)")) == {
        Feature.ELEMENTS,
        Feature.NESTED_PATH,
        Feature.TEXT_SEARCH,
        Feature.DATES,
    }
    assert Feature.SESSION in features(parse_computed_trait("event('A').expires_after(1 day).count()"))


# ── the next change ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_window_closes_at_its_span_after_the_event() -> None:
    condition = parse_audience("event('A').within(3 days).count() >= 1")
    profile = Profile(events=(Event(name="A", timestamp=NOW - 2 * DAY), Event(name="A", timestamp=NOW - DAY)))

    assert next_change(condition, profile, NOW) == NOW + 2 * DAY


def test_what_time_cannot_change_never_changes() -> None:
    condition = parse_audience("event('A').within(3 days).count() >= 1")

    assert next_change(condition, Profile(), NOW) is None
    assert next_change(condition, Profile(events=(Event(name="A", timestamp=NOW - 9 * DAY),)), NOW) is None


EXAMPLES = int(os.environ.get("READS_EXAMPLES", "60"))

STRESS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@STRESS
@given(strategies.audiences(depth=2), st.integers(0, 1_000))
def test_between_two_turning_points_no_answer_changes(condition: tree.Condition, seed: int) -> None:
    """The law that the incremental computation rests on."""
    for profile in strategies.population(seed, 8):
        answer = member(condition, profile, START)
        for turn in turning_points(edges(condition), profile, START)[:12]:
            assert member(condition, profile, turn - TICK) is answer
            answer = member(condition, profile, turn)


@STRESS
@given(strategies.computed_traits(), st.integers(0, 1_000))
def test_between_two_turning_points_no_value_changes(query: tree.Computed, seed: int) -> None:
    for profile in strategies.population(seed, 8):
        before = value(query, profile, START)
        for turn in turning_points(edges(query), profile, START)[:12]:
            assert value(query, profile, turn - TICK) == before
            before = value(query, profile, turn)


@STRESS
@given(strategies.audiences(depth=2), st.integers(0, 1_000))
def test_the_next_change_is_a_change_and_the_first(condition: tree.Condition, seed: int) -> None:
    (profile,) = strategies.population(seed, 1)

    change = next_change(condition, profile, START)

    before = member(condition, profile, START)
    if change is None:
        assert member(condition, profile, strategies.NOW + 90 * DAY) is before
    else:
        assert member(condition, profile, change) is not before
        assert member(condition, profile, change - TICK) is before
