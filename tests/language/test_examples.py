"""Segment's documented examples (its query-language page, read 2025-11-07), re-authored: they parse, and mean what they say."""

from __future__ import annotations

import pytest

from sync.json_value import Json
from sync.language.faults import InvalidQuery
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reading import Event
from tests.language.histories import DAY, NOW, computes, holds


def bought(days_ago: float, **properties: Json) -> Event:
    return Event(name="Plan Bought", timestamp=NOW - days_ago * DAY, properties=properties)


def test_count_of_filtered_recent_events() -> None:
    query = "event('Plan Bought').where( property('amount') >= 50 ).within(14 days).count() >= 1"

    assert holds(query, bought(13, amount=50))
    assert not holds(query, bought(13, amount=49), bought(14, amount=50))


def test_funnel_with_a_dynamic_trait() -> None:
    query = """event('Plan Bought')
        .where( property('amount') >= trait('avg_amount') AND event('Plan Cancelled').within(parent: 3 days).count() >= 1 )
        .within(60 days).count() >= 1"""
    cancelled = Event(name="Plan Cancelled", timestamp=NOW - 8 * DAY)

    assert holds(query, bought(10, amount=20), cancelled, avg_amount=20)
    assert not holds(query, bought(10, amount=20), cancelled, avg_amount=21)
    assert not holds(query, bought(12, amount=20), cancelled, avg_amount=20)


def test_a_negated_group_is_not_both() -> None:
    query = "NOT ( event('Plan Bought').count() >= 1 AND trait('ltv') > 300 )"

    assert holds(query, bought(1), ltv=300)
    assert not holds(query, bought(1), ltv=301)


@pytest.mark.parametrize(
    "query",
    [
        "ALL ( event('Plan Bought').count() >= 1 AND trait('ltv') > 300 )",
        "ALL NOT event('Plan Bought').count() >= 1",
        "ANY event('Plan Bought').count() >= 1",
    ],
)
def test_account_examples_are_refused_with_the_reason(query: str) -> None:
    with pytest.raises(InvalidQuery, match="only in definitions of type accounts"):
        parse_audience(query)


@pytest.mark.parametrize(
    "query",
    [
        "entity('invoices').where( entity('lines').count() >= 1 ).count() >= 1",
        "entity('invoices').count() >= 1 OR trait('Gold') = 'true'",
        "entity('invoices').where( property('amount') > 500 ).count() >= 1",
    ],
)
def test_entity_examples_are_refused_with_the_reason(query: str) -> None:
    with pytest.raises(InvalidQuery, match="needs a warehouse entity"):
        parse_audience(query)


def test_average_of_recent_events() -> None:
    query = "event('Plan Bought').within(60 days).avg(property('amount'))"

    assert computes(query, bought(1, amount=10), bought(2, amount=15), bought(61, amount=100)) == 12.5


def test_minimum_of_filtered_events() -> None:
    query = "event('Plan Bought').where( property('amount') > 10 AND property('tier') = 'Pro Plus' ).min(property('amount'))"

    assert computes(query, bought(1, amount=9, tier="Pro Plus"), bought(1, amount=12, tier="Pro Plus"), bought(1, amount=11)) == 12


def test_first_value_of_recent_events() -> None:
    query = "event('Plan Bought').within(60 days).first(property('amount'))"

    assert computes(query, bought(61, amount=1), bought(5, amount=3), bought(59, amount=2)) == 2


def test_most_frequent_value_of_recent_events() -> None:
    query = "event('Plan Bought').within(60 days).mode(property('amount'), 2)"

    assert computes(query, bought(1, amount=10), bought(2, amount=10), bought(3, amount=99)) == "10"
    assert computes(query, bought(1, amount=10), bought(2, amount=11)) is None


@pytest.mark.parametrize(
    "query",
    [
        "event('Plan Bought').sum(property('amount')) > 100",
        "event('Plan Bought').unique(property('tier')).count() >= 3",
        "event('Plan Bought').last(property('tier')) = 'x'",
        "event('Plan Bought').max(property('tier') as string).equals('x')",
        "event('Plan Bought').where({ property('amount').at_least(50) }).count().greater_than(2)",
        "event('Plan Bought').within(7 days).where(context('page.url.path') = '/buy').count() == 1",
        "event('Plan Bought').sources({exclude: 'abc', 'def'}).count() > 0",
        "event('Plan Bought').sources({exclude: ['abc', 'def']}).count() > 0",
        "trait('created').before_date(2024-01-31T12:30:00)",
        "trait('created').after_date('2024-01-31')",
        "trait('created').within_next(7 days) OR trait('created').before_last(30 days)",
        "trait('tier').one_of('gold', 'silver') AND trait('tier').none_of('lead', 5)",
        "trait('tier') != 'gold' OR trait('tier').absent()",
        "trait('tier').eq(literal('gold')) AND trait('tier').contains_one('a', 'b') AND trait('x').gte(5) AND trait('y').is_set()",
    ],
)
def test_everything_the_page_lists_is_accepted(query: str) -> None:
    parse_audience(query)


@pytest.mark.parametrize(
    "query",
    [
        "event('Plan Bought').count()",
        "event('Plan Bought').sum(property('amount'))",
        "event('Plan Bought').max(property('amount') as number)",
        "event('Plan Bought').mode(property('items.$') as array, 3)",
        "event('Plan Bought').unique(property('tier'))",
        "event('Plan Bought').unique(property('tier')).count()",
        "event('Plan Bought').expires_after(30 seconds).last(property('tier'))",
    ],
)
def test_every_type_of_computed_trait_is_accepted(query: str) -> None:
    parse_computed_trait(query)
