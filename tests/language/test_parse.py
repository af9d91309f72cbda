"""The form of the language: what is one and the same, and that every tree can be written and read back."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, assume, given, settings

from sync.language import tree
from sync.language.depth import DEEPEST, depth
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.text import text_of
from tests import strategies

PLAN = tree.Trait(path=("plan",))


def right_of(query: str) -> tree.Operand:
    condition = parse_audience(query)
    assert isinstance(condition, tree.Compare)
    return condition.right


# ── what is one and the same ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("trait('a') = 1", "trait('a') == 1"),
        ("trait('a') = 1", "trait('a').equals(1)"),
        ("trait('a') = 1", "trait('a').eq(literal(1))"),
        ("trait('a') = 1", 'trait("a")=1'),
        ("trait('a') = 1", "((trait('a') = 1))"),
        ("trait('a') = 1", "(trait('a')) = 1"),
        ("trait('a') = 1", "\ufeff trait\n(\t'a' ) # the plan\r\n = 1 # of all"),
        ("trait('a') != 1", "trait('a').neq(1)"),
        ("trait('a') != 1", "trait('a').differs(1)"),
        ("trait('a') > 1", "trait('a').gt(1)"),
        ("trait('a') > 1", "trait('a').greater_than(1)"),
        ("trait('a') >= 1", "trait('a').gte(1)"),
        ("trait('a') >= 1", "trait('a').at_least(1)"),
        ("trait('a') < 1", "trait('a').lt(1)"),
        ("trait('a') < 1", "trait('a').less_than(1)"),
        ("trait('a') <= 1", "trait('a').lte(1)"),
        ("trait('a') <= 1", "trait('a').at_most(1)"),
        ("trait('a').absent()", "trait('a').is_null()"),
        ("trait('a').exists()", "trait('a').is_set()"),
        ("trait('a').contains('b')", "trait('a').contains_one('b')"),
        ("NOT trait('a') = 1", "not (trait('a') = 1)"),
        ("trait('a') = 1 AND trait('b') = 2", "trait('a') = 1 and trait('b') = 2"),
        ("trait('a') = 1 OR trait('b') = 2 AND trait('c') = 3", "trait('a') = 1 Or (trait('b') = 2 And trait('c') = 3)"),
        ("NOT trait('a') = 1 AND trait('b') = 2", "(NOT (trait('a') = 1)) AND trait('b') = 2"),
        ("event('X').where({trait('a') = 1}).count() = 1", "event('X').where(trait('a') = 1).count() = 1"),
        ("event('X').sources({exclude: 'a', 'b'}).count() = 1", "event('X').sources(EXCLUDE: 'a', 'b').count() = 1"),
        ("event('X').between(1 day, 3 days).count() = 1", "event('X').between(72hours, 24 hours).count() = 1"),
        ("trait('a') < 2026-03-04", "trait('a') < '2026-03-04'"),
        ("trait('a').before_date(2026-03-04)", "trait('a').before_date('2026-03-04')"),
        ("trait('a') = 2026-03-04T10:00:00+02:00", "trait('a') = 2026-03-04T08:00Z"),
        ("trait('a') = 2026-03-04T10:00:00", "trait('a') = 2026-03-04T10:00:00Z"),
    ],
)
def test_two_ways_of_writing_give_one_tree(one: str, other: str) -> None:
    assert parse_audience(one) == parse_audience(other)


def test_the_type_that_goes_without_saying_may_be_said() -> None:
    event = "event('X')"

    assert parse_computed_trait(f"{event}.max(property('p') as number)") == parse_computed_trait(f"{event}.max(property('p'))")
    assert parse_computed_trait(f"{event}.mode(property('p') AS string, 2)") == parse_computed_trait(f"{event}.mode(property('p'))")


# ── literals ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("written", "literal"),
    [
        ("'it\\'s'", tree.Text(value="it's")),
        ('"it\'s"', tree.Text(value="it's")),
        ('"say \\"no\\""', tree.Text(value='say "no"')),
        (r"'a\\b'", tree.Text(value=r"a\b")),
        (r"'a\nb'", tree.Text(value=r"a\nb")),  # no escape
        ("'a\nb'", tree.Text(value="a\nb")),
        ("'# no comment'", tree.Text(value="# no comment")),
        ("''", tree.Text(value="")),
        ("'日本 🎉'", tree.Text(value="日本 🎉")),
        ("-5", tree.Number(value=-5)),
        ("0.25", tree.Number(value=0.25)),
        ("12345678901234567890", tree.Number(value=12345678901234567890)),
        ("true", tree.Truth(value=True)),
        ("false", tree.Truth(value=False)),
        ("2026-03-04", tree.Day(value=date(2026, 3, 4))),
        ("2026-03-04T10:30:00.123456Z", tree.Instant(value=datetime(2026, 3, 4, 10, 30, 0, 123456, tzinfo=UTC))),
        ("2026-03-04T10:30:00-05:00", tree.Instant(value=datetime(2026, 3, 4, 15, 30, tzinfo=UTC))),
        ("'2026-03-04'", tree.Text(value="2026-03-04")),  # against `=` a text
        ("trait('b')", tree.Trait(path=("b",))),
        ("event('X').count()", tree.Count(stream=tree.Stream(event="X"))),
    ],
)
def test_a_right_hand_side_is_read_as(written: str, literal: tree.Operand) -> None:
    right = right_of(f"trait('a') = {written}")

    assert right == literal
    assert type(right) is type(literal)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("a", ("a",)),
        ("a.b.c", ("a", "b", "c")),
        (r"a\.b.c", ("a.b", "c")),
        (r"a\\\\.b", ("a.b",)),  # as Segment's page prints it
        ("a.$.b", ("a", tree.Each.ELEMENT, "b")),
        ("a.$.$", ("a", tree.Each.ELEMENT, tree.Each.ELEMENT)),
        (r"a.\$", ("a", "$")),
        ("$5", ("$5",)),
        ("a b-c", ("a b-c",)),
    ],
)
def test_a_path_is_read_as(written: str, path: tree.Path) -> None:
    assert parse_audience(f"trait('{written}').exists()") == tree.Presence(left=tree.Trait(path=path), exists=True)


# ── binding, limits, speed ───────────────────────────────────────────────────────────────────────────────────────────────


def test_fifty_primary_expressions_are_accepted() -> None:
    condition = parse_audience(" OR ".join(f"trait('a') = {number}" for number in range(50)))

    assert isinstance(condition, tree.Or)
    assert len(condition.parts) == 50


def test_thirty_levels_are_accepted() -> None:
    assert parse_audience("(" * 29 + "trait('a') = 1" + ")" * 29) == parse_audience("trait('a') = 1")


def test_a_trait_knows_where_it_stands() -> None:
    condition = parse_audience("trait('a') = 1 AND\n  trait('b') = 2")

    assert isinstance(condition, tree.And)
    second = condition.parts[1]
    assert isinstance(second, tree.Compare)
    assert isinstance(second.left, tree.Trait)
    assert second.left.at == tree.Position(line=2, column=3)


def test_two_hundred_queries_take_less_than_a_second() -> None:
    query = "event('A').where(property('p') >= 5 AND event('B').within(parent: 3 days).count() >= 1).within(60 days).count() >= 1"
    started = time.perf_counter()

    for number in range(200):
        parse_audience(f"{query} AND NOT trait('plan') = {number}")

    assert time.perf_counter() - started < 1


def test_the_tree_can_be_had_without_the_parser() -> None:
    code = "import sys; from sync.language import horizon, reading, reads, text, tree; assert 'lark' not in sys.modules"

    subprocess.run([sys.executable, "-c", code], check=True)


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "query",
    [
        "trait('plan') = 'internal'",
        "(trait('a') = 1 OR trait('b') = 2) AND NOT (trait('c') > 0.5 AND trait('d').absent())",
        "trait('a') = 1 AND (trait('b') = 2 AND trait('c') = 3)",
        "NOT NOT trait('a').exists()",
        "event('Order').where(property('total') >= 50).within(14 days).count() >= 1",
        "event('A').where(event('B').within(parent: 1 hour).where(property('x') = property(parent: 'x')).count() = 0).count() >= 1",
        "event('A').sources({exclude: 'a', 'b'}).between(1 day, 3 days).unique(property('p')).count() != 2",
        "event('A').mode(property('p.$') as array, 3).contains('a', 5)",
        "trait('due').within_next(36 hours) OR trait('due').before_date(2026-03-04T10:30:00.500000Z)",
        """trait("it's").one_of('a "b" \\\\', true, 2026-03-04)""",
    ],
)
def test_a_query_is_written_like_this(query: str) -> None:
    assert text_of(parse_audience(query)) == query


def test_seconds_are_written_only_where_they_are_needed() -> None:
    hour, odd = (parse_computed_trait(f"event('A').expires_after({seconds} seconds).count()") for seconds in (3600, 90))

    assert text_of(hour) == "event('A').expires_after(1 hour).count()"
    assert text_of(odd) == "event('A').expires_after(90 seconds).count()"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(strategies.audiences())
def test_an_audience_that_is_written_reads_back_the_same(condition: tree.Condition) -> None:
    assume(depth(condition) <= DEEPEST)

    assert parse_audience(text_of(condition)) == condition


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(strategies.computed_traits())
def test_a_computed_trait_that_is_written_reads_back_the_same(query: tree.Computed) -> None:
    assume(depth(query) <= DEEPEST)

    assert parse_computed_trait(text_of(query)) == query


def test_every_span_up_to_a_hundred_years_is_read() -> None:
    condition = parse_audience("event('A').within(36500 days).count() = 1")

    assert isinstance(condition, tree.Compare)
    assert isinstance(condition.left, tree.Count)
    assert condition.left.stream.filters == (tree.Within(span=timedelta(days=36_500)),)
