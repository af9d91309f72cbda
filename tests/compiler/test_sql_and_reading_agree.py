"""The law of the language: the compiled statement gives what the plain reading gives, on SQLite and on PostgreSQL.

Some hundred cases each time; `COMPILER_EXAMPLES=10000 pytest tests/compiler/test_sql_and_reading_agree.py`
searches for half an hour.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sync.language import tree
from sync.language.depth import DEEPEST, depth
from sync.language.reading import Profile
from tests.compiler.population import World
from tests.strategies import NOW, audiences, computed_traits, profiles

_EXAMPLES: Final = int(os.environ.get("COMPILER_EXAMPLES", "150"))

searching = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    # The store stays; what is in it goes with the end of each example.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
populations: Final = st.lists(profiles(), min_size=1, max_size=6)


@searching
@given(query=audiences(), population=populations)
def test_an_audience_has_the_members_that_the_reading_gives(world: World, query: tree.Condition, population: list[Profile]) -> None:
    assume(depth(query) <= DEEPEST)

    with world.of(*population) as people:
        assert people.members(query, NOW) == people.read_members(query, NOW)


@searching
@given(query=computed_traits(), population=populations)
def test_a_computed_trait_has_the_values_that_the_reading_gives(
    world: World, query: tree.Computed, population: list[Profile]
) -> None:
    assume(depth(query) <= DEEPEST)

    with world.of(*population) as people:
        assert people.values(query, NOW) == people.read_values(query, NOW)
