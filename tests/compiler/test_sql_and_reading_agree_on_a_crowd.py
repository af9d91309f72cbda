"""The same law on many people at once: each query is asked of a crowd, so that few queries find what only a few people show.

`COMPILER_EXAMPLES=20000 pytest tests/compiler/test_sql_and_reading_agree_on_a_crowd.py` searches for ten minutes.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sync.language import tree
from sync.language.depth import DEEPEST, depth
from tests.compiler.population import World
from tests.strategies import NOW, audiences, computed_traits, population

CROWD: Final = 150
QUERIES: Final = int(os.environ.get("COMPILER_EXAMPLES", "100"))


def test_every_query_has_the_members_and_values_that_the_reading_gives(world: World) -> None:
    with world.of(*population(1, CROWD)) as people:

        @settings(max_examples=QUERIES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(query=st.one_of(audiences(), computed_traits()))
        def law(query: tree.Query) -> None:
            assume(depth(query) <= DEEPEST)
            if isinstance(query, tree.Computed):
                assert people.values(query, NOW) == people.read_values(query, NOW)
            else:
                assert people.members(query, NOW) == people.read_members(query, NOW)

        law()
