"""The law between checker and compiler: what is accepted can be asked of every store, and what cannot is refused when it is read.

`COMPILER_EXAMPLES=20000 pytest tests/compiler/test_what_is_accepted_compiles.py` searches longer.
"""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Select, func, literal, select, true

from sync.audience import Kind
from sync.language import tree
from sync.language.depth import DEEPEST, depth
from sync.language.faults import InvalidQuery
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reads import reads
from sync.language.text import text_of
from sync.store.compiler import Reference, compile_audience, compile_trait
from tests.compiler.population import World
from tests.language.histories import NOW
from tests.strategies import computed, conditions

_EXAMPLES: Final = int(os.environ.get("COMPILER_EXAMPLES", "150"))
_DEEP: Final = conditions(0, 7) | computed(0, 6, True)


def parsed(text: str, kind: Kind = Kind.AUDIENCE) -> tree.Query:
    return parse_audience(text) if kind is Kind.AUDIENCE else parse_computed_trait(text)


def ask(connection: Connection, query: tree.Query, *, with_references: bool = False) -> None:
    """Have a database answer a query, with as much around it as the store ever puts."""
    keys = reads(query).traits if with_references else ()
    references = {key: Reference(audience_id=place, kind=Kind.COMPUTED_TRAIT) for place, key in enumerate(sorted(keys), 1)}
    found: Select[Any]
    if isinstance(query, tree.Computed):
        found = compile_trait(query, NOW, references=references)
    else:
        found = compile_audience(query, NOW, references=references)
    rows = found.subquery()
    nobody = select(literal(0)).where(true())
    connection.execute(select(func.count()).select_from(rows).where(rows.c.profile_id.not_in(nobody)))


def test_a_query_is_refused_when_it_is_read_or_can_be_asked_of_every_store(world: World) -> None:
    with world.of() as people:

        @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(query=_DEEP, with_references=st.booleans())
        def law(query: tree.Query, with_references: bool) -> None:
            kind = Kind.COMPUTED_TRAIT if isinstance(query, tree.Computed) else Kind.AUDIENCE
            try:
                accepted = parsed(text_of(query), kind)
            except InvalidQuery as fault:
                event(f"refused: {fault.message}")
                return
            event(f"accepted at a depth of {depth(accepted) // 10 * 10}")
            ask(people.connection, accepted, with_references=with_references)

        law()


def many(number: int, form: str, joint: str = ", ") -> str:
    return joint.join(form.format(place) for place in range(number))


def nested(level: str, times: int, inner: str = "property('p') = 1") -> str:
    for _ in range(times):
        inner = level.format(inner)
    return inner


COUNT: Final = "event('A').where({}).count() >= 1"
LEVELS: Final = [
    COUNT,
    "event('A').within(9 days).where({}).count() = 2",
    "event('A').where(property('p') = 1 AND {}).count() >= 1",
    "event('A').where(property('p') = 1 AND NOT (property('q') = 2 OR {})).count() >= 1",
    "event('A').where({}).unique(property('p')).count() = 2",
    "event('A').where({}).sum(property('p')) >= 1",
    "event('A').where({}).first(property('p')) = 1",
    "event('A').where({}).last(property('p')).absent()",
    "event('A').where({}).mode(property('p.$')).none_of('a', 1)",
    "event('A').where({}).max(property('p.$.q.$') as string).omits(property('q.$'))",
    "trait('p.$') > event('A').where({}).sum(property('p'))",
    "NOT ({})",
    "({} AND trait('p') = 1 OR trait('q') = 2)",
]


@pytest.mark.parametrize("inner", ["property('p') = 1", "property('p.$.\"q').omits(property('q.$'))"])
@pytest.mark.parametrize("level", LEVELS)
def test_nesting_is_computed_as_deep_as_it_is_accepted(world: World, level: str, inner: str) -> None:
    with world.of() as people:
        for times in range(1, 30):
            text = COUNT.format(nested(level, times, inner))
            try:
                query = parsed(text)
            except InvalidQuery:
                return
            ask(people.connection, query)
    raise AssertionError("nothing was too deep")


@pytest.mark.parametrize(
    ("level", "levels"),
    [(COUNT, 7), (LEVELS[3], 5), (LEVELS[5], 4), (LEVELS[6], 4)],
)
def test_funnels_may_be_this_deep(level: str, levels: int) -> None:
    parse_audience(nested(level, levels))

    with pytest.raises(InvalidQuery, match="too deep"):
        parse_audience(nested(level, levels + 1))


def test_what_is_too_deep_is_refused_where_it_is_deepest() -> None:
    text = "trait('a') = 1 AND\n  " + nested("event('A')\n  .where({}).first(property('p')) = 1", 6)

    with pytest.raises(InvalidQuery) as caught:
        parse_audience(text)

    assert (caught.value.line, caught.value.column) == (7, 10)
    assert "fewer `where(…)`" in str(caught.value)
    assert depth(parse_audience("trait('a') = 1")) < DEEPEST


TRAITS: Final = ".where(trait('a') = 1)" * 49
TEXTS: Final = many(9_000, "'{}'")
WIDE: Final = {
    "a list of numbers": f"trait('a').one_of({many(14_000, '{}')})",
    "a list of texts that are numbers": f"trait('a').none_of({TEXTS})",
    "a list of dates": f"trait('a').one_of({many(8_000, '2026-01-01')})",
    "texts to look for": f"trait('a').contains({TEXTS})",
    "texts and a trait to look for": f"trait('a').contains(trait('b'), {TEXTS})",
    "fifty traits to look for": "trait('a').contains(" + many(50, "trait('t{}')") + ")",
    "fifty reducers to look for": "trait('a').contains(" + many(50, "event('E{}').count()") + ")",
    "sources": f"event('A').sources(exclude: {TEXTS}).count() = 1",
    "sources in a funnel": COUNT.format(f"event('A').sources(exclude: {TEXTS}).count() = 1"),
    "filters": f"event('A'){'.within(1 day)' * 50}.count() = 1",
    "windows of a parent": COUNT.format(f"event('A'){'.within(parent: 1 day)' * 50}.count() = 1"),
    "conditions": f"event('A'){TRAITS}.count() = 1",
    "fifty reducers": many(25, "event('A{0}').count() > event('B{0}').sum(property('p'))", " OR "),
    "fifty comparisons of two reducers": many(50, "event('A{0}').count() > event('B{0}').first(property('p'))", " AND "),
    "fifty traits": many(50, "trait('t{}') = 1", " AND "),
    "fifty conditions on a parent": COUNT.format(
        "event('B').where(" + many(48, "property(parent: 'p{}') = 1", " OR ") + ").count() = 1"
    ),
    "a long path": f"trait('{many(30, 'k{}', '.')}') = 1",
    "a path of arrays": f"trait('a{'.$' * 29}').omits(trait('b{'.$' * 29}'))",
    "a long name": f"trait('{'n' * 90_000}') = '{'v' * 9_000}'",
    "a great number": f"trait('a') > {'9' * 308}",
    "the longest time": "event('A').between(36500 days, 876000 hours).count() = 1 AND trait('a').after_next(36500 days)",
    "the frequency": "event('A').mode(property('p'), 1000000000) = 1",
}


@pytest.mark.parametrize("text", WIDE.values(), ids=WIDE.keys())
@pytest.mark.parametrize("with_references", [False, True], ids=["traits", "references"])
def test_what_is_wide_can_be_asked_of_every_store(world: World, text: str, with_references: bool) -> None:
    with world.of() as people:
        ask(people.connection, parsed(text), with_references=with_references)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        (f"trait('{many(31, 'k{}', '.')}') = 1", 7),
        ("trait('a').contains(" + many(52, "trait('b')") + ")", 21 + 12 * 50),
        (f"event('A'){'.within(1 day)' * 51}.count() = 1", 12 + 14 * 50),
        ("trait('" + many(25, '"k{}', ".") + "') = 1", 1),
    ],
)
def test_what_is_too_wide_is_refused_where_it_is(text: str, column: int) -> None:
    with pytest.raises(InvalidQuery) as caught:
        parse_audience(text)

    assert caught.value.column == column
