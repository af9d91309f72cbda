"""What the compiled statement is like beside its meaning: whom it can be restricted to, what it refuses, and how far it reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from sync.language import tree
from sync.language.depth import DEEPEST, depth
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reading import Profile
from sync.store.compiler import Among, compile_audience
from tests.compiler.population import World, of_list, of_table
from tests.language.histories import DAY, NOW, did
from tests.strategies import audiences, computed_traits, population

CROWD = 40


@pytest.mark.parametrize("told", [of_table, of_list])
@pytest.mark.parametrize("among", [[], [1], [2, 3, 99], list(range(1, CROWD + 2))])
def test_among_asks_the_same_of_fewer(world: World, among: list[int], told: Callable[[Sequence[int]], Among]) -> None:
    with world.of(*population(2, CROWD)) as people:

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(query=st.one_of(audiences(), computed_traits()))
        def law(query: tree.Query) -> None:
            assume(depth(query) <= DEEPEST)
            if isinstance(query, tree.Computed):
                everyone = people.values(query, NOW)
                assert people.values(query, NOW, told(among)) == {id: everyone[id] for id in among if id in everyone}
            else:
                assert people.members(query, NOW, told(among)) == people.members(query, NOW) & set(among)

        law()


def test_equal_streams_are_read_once() -> None:
    text = "event('X').within(3 days)"
    query = parse_audience(f"{text}.count() >= 1 AND {text}.sum(property('p')) > 5 OR {text}.count() > 9")

    assert str(compile_audience(query, NOW).compile(dialect=sqlite.dialect())).count("FROM calls") == 1


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("event('X').count() >= 1 AND event('Y').count() > 0", 0),
        ("event('X').count() >= 1 AND event('X').count() < 5", 1),
        ("event('X').count() >= 1 AND event('X').sum(property('p')) > 5", 1),
        ("event('X').count() >= 1 OR trait('vip') = true", 1),
        ("NOT event('X').count() >= 1", 1),
    ],
)
def test_events_are_counted_only_where_more_is_asked_than_whether_there_is_one(text: str, groups: int) -> None:
    assert str(compile_audience(parse_audience(text), NOW).compile(dialect=sqlite.dialect())).count("GROUP BY") == groups


def test_more_streams_than_can_be_joined_are_asked_of_each_user(world: World) -> None:
    text = " OR ".join(f"event('E{n}').sum(property('p')) > event('F{n}').count()" for n in range(50))
    with world.of(Profile(events=(did("E49", p=1),)), Profile(events=(did("E0", p=1),)), Profile()) as people:
        assert people.members(parse_audience(text), NOW) == {1, 2}


def test_a_window_longer_than_time_is_everything(world: World) -> None:
    recent = tree.Recency(left=tree.Trait(path=("d",)), operator=tree.RecencyOperator.WITHIN_LAST, span=timedelta.max)
    stream = tree.Stream(event="X", filters=(tree.Within(span=timedelta.max),))
    done = tree.Compare(left=tree.Count(stream=stream), operator=tree.Operator.EQUALS, right=tree.Number(value=1))

    with world.of(Profile(traits={"d": "0001-01-01"}, events=(did("X", ago=700_000 * DAY),))) as people:
        assert people.members(tree.And(parts=(recent, done)), NOW) == {1}


def test_funnels_of_four_levels_are_computed(world: World) -> None:
    text = "property('p') = 1"
    for name in ("D", "C", "B", "A"):
        text = f"event('{name}').where({text}).within(9 days).count() >= 1"
    events = tuple(did(name, order=order, p=1) for order, name in enumerate("ABCD"))

    with world.of(Profile(events=events), Profile(events=events[:3])) as people:
        assert people.members(parse_audience(text), NOW) == {1}


def test_values_are_json_that_is_equal_text_where_it_is_equal_to_the_reader(world: World) -> None:
    one, other = did("X", p={"b": 1, "a": 2}), did("X", p={"a": 2, "b": 1})
    with world.of(Profile(events=(one,)), Profile(events=(other,))) as people:
        first, second = people.texts(parse_computed_trait("event('X').first(property('p'))"), NOW).values()

    assert first == second


def test_a_mode_of_elements_inside_of_a_funnel_is_compared(world: World) -> None:
    query = parse_audience("event('X').where(event('Y').mode(property('tags.$')) = property('tag')).count() = 1")
    tagged = (did("Y", tags=["a", "b"]), did("Y", order=1, tags=["a"]))

    with world.of(
        Profile(events=(*tagged, did("X", order=2, tag="a"))), Profile(events=(*tagged, did("X", order=2, tag="b")))
    ) as people:
        assert people.members(query, NOW) == {1}
