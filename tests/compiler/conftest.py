"""A store that can be filled with people, and the shortest ways to ask about one of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sync.json_value import Json
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reading import Event, Profile
from sync.store import Store
from tests.compiler.population import World
from tests.language.histories import NOW

Asked = Callable[..., bool]
Computed = Callable[..., Json]


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


@pytest.fixture
def holds(world: World) -> Asked:
    """Give a function that asks an audience's query about a user with these events and traits."""

    def ask(query: str, *events: Event, **traits: Json) -> bool:
        with world.of(Profile(traits=traits, events=events)) as people:
            return people.members(parse_audience(query), NOW) == {1}

    return ask


@pytest.fixture
def computes(world: World) -> Computed:
    """Give a function that asks for a computed trait's value; None where it is absent."""

    def ask(query: str, *events: Event) -> Json:
        with world.of(Profile(events=events)) as people:
            return people.values(parse_computed_trait(query), NOW).get(1)

    return ask
