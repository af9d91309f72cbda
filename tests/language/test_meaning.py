"""The meaning of the language, but for its reducers, row by row of the table in docs/meaning.md, by the Python reading."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.json_value import Json
from sync.language.parse import parse_audience
from sync.language.reading import Event
from tests.language.histories import DAY, HOUR, NOW, TICK, did, holds

# ── who, and what counts as an event ─────────────────────────────────────────────────────────────────────────────────────


def test_a_user_without_an_event_has_done_it_no_times() -> None:
    assert holds("event('X').count() = 0")
    assert not holds("event('X').count() = 0", did("X"))


def test_an_event_after_now_does_not_count_and_one_at_now_does() -> None:
    assert holds("event('X').count() = 1", did("X", ago=timedelta(0)), did("X", ago=-TICK))


def test_pages_and_screens_are_events_with_their_name_as_a_property() -> None:
    page, screen = did("Page Viewed", page_name="Home"), did("Screen Viewed", screen_name="Cart")

    assert holds("event('Page Viewed').where(property('page_name') = 'Home').count() = 1", page, screen)
    assert holds("event('Screen Viewed').where(property('screen_name') = 'Cart').count() = 1", page, screen)


def test_a_reference_to_another_audience_is_a_boolean_trait() -> None:
    assert holds("trait('big_spender') = true", big_spender=True)
    assert holds("trait('big_spender') = 'true'", big_spender=True)
    assert not holds("trait('big_spender') = true", big_spender=False)


def test_events_of_an_excluded_source_are_left_out() -> None:
    events = (did("X", source="web"), did("X", source="app"), did("X"))

    assert holds("event('X').sources({exclude: 'web', 'tv'}).count() = 2", *events)
    assert holds("event('X').sources(exclude: 'web').sources(exclude: 'app').count() = 1", *events)


# ── windows ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (timedelta(0), True),  # at now
        (3 * DAY - TICK, True),
        (3 * DAY, False),  # the far end is open
        (-TICK, False),  # the future
    ],
)
def test_within_keeps_what_is_younger_than_its_span(ago: timedelta, expected: bool) -> None:
    assert holds("event('X').within(3 days).count() = 1", did("X", ago=ago)) is expected


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (DAY - TICK, False),
        (DAY, True),  # the near end is closed
        (3 * DAY - TICK, True),
        (3 * DAY, False),  # the far end is open
    ],
)
@pytest.mark.parametrize("ages", ["1 day, 3 days", "3 days, 1 day", "24 hours, 72 hours"])
def test_between_keeps_what_is_between_two_ages_in_either_order(ages: str, ago: timedelta, expected: bool) -> None:
    assert holds(f"event('X').between({ages}).count() = 1", did("X", ago=ago)) is expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (timedelta(0), False),  # strictly after the parent
        (TICK, True),
        (DAY, True),  # the far end is closed
        (DAY + TICK, False),
    ],
)
def test_within_a_parent_keeps_what_follows_it(after: timedelta, expected: bool) -> None:
    query = "event('A').where(event('B').within(parent: 1 day).count() = 1).count() = 1"

    assert holds(query, did("A", ago=5 * DAY), did("B", ago=5 * DAY - after)) is expected


@pytest.mark.parametrize(("after", "expected"), [(DAY, False), (DAY + TICK, True), (2 * DAY, True), (2 * DAY + TICK, False)])
def test_between_of_a_parent_leaves_its_near_end_open(after: timedelta, expected: bool) -> None:
    query = "event('A').where(event('B').between(parent: 2 days, 1 day).count() = 1).count() = 1"

    assert holds(query, did("A", ago=5 * DAY), did("B", ago=5 * DAY - after)) is expected


def test_a_funnel_looks_at_every_parent() -> None:
    """Segment: who added, ordered, and added again has abandoned again."""
    abandoned = "event('Added').where(event('Ordered').within(parent: 1 day).count() = 0).count() >= 1"
    added, ordered = did("Added", ago=10 * DAY), did("Ordered", ago=10 * DAY - HOUR)

    assert not holds(abandoned, added, ordered)
    assert holds(abandoned, added, ordered, did("Added", ago=2 * DAY))


def test_a_day_has_24_hours_of_3600_seconds() -> None:
    assert parse_audience("event('X').within(2 days).count() = 1") == parse_audience("event('X').within(48 hours).count() = 1")


# ── dates ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("comparator", "holding", "failing"),
    [
        ("within_last", [timedelta(0), TICK - DAY], [TICK, -DAY]),  # now - N < v <= now
        ("before_last", [-DAY, -2 * DAY], [TICK - DAY, DAY]),  # v <= now - N
        ("within_next", [TICK, DAY], [timedelta(0), DAY + TICK]),  # now < v <= now + N
        ("after_next", [DAY + TICK], [DAY, -DAY]),  # v > now + N
    ],
)
def test_dates_against_now_have_these_ends(comparator: str, holding: list[timedelta], failing: list[timedelta]) -> None:
    query = f"trait('due').{comparator}(1 day)"

    assert all(holds(query, due=(NOW + offset).isoformat()) for offset in holding)
    assert not any(holds(query, due=(NOW + offset).isoformat()) for offset in failing)


@pytest.mark.parametrize(
    ("due", "is_date"),
    [
        ("2026-03-01", True),  # midnight in UTC
        ("2026-03-01T01:30:00+02:00", False),  # a date, but of the day before
        ("2026-03-01T02:00:00+02:00", True),
        ("2026-03-01T00:00Z", True),
        ("2026-03-01T00:00:00.000Z", True),
        ("2026-02-28T22:30:00-0130", True),
        ("2026-03-01T00:00:00", False),  # no zone
        ("2026-02-30", False),  # not in the calendar
        ("2026-03-01 00:00:00Z", False),  # no T
        ("20260301", False),
        ("2026-03-01T24:00:00Z", False),
        ("2026-03-01T00:00:00Z ", False),
        (1772323200, False),  # no string
        (None, False),
    ],
)
def test_a_date_value_is_an_iso_date_or_a_timestamp_with_a_zone(due: Json, is_date: bool) -> None:
    assert holds("trait('due') = 2026-03-01", due=due) is is_date


def test_before_date_and_after_date_are_strict() -> None:
    noon = "2026-03-01T12:00:00Z"

    assert not holds(f"trait('due').before_date({noon}) OR trait('due').after_date('{noon}')", due=noon)
    assert holds(f"trait('due').before_date({noon})", due="2026-03-01")
    assert holds("trait('due').after_date(2026-03-01)", due=noon)


def test_every_date_comparison_with_something_else_is_false() -> None:
    queries = ["before_date(2030-01-01)", "after_date(1990-01-01)", "within_last(1 day)", "before_last(1 day)"]
    queries += ["within_next(1 day)", "after_next(1 day)", "less_than(2030-01-01)", "at_least(1990-01-01)"]

    values: tuple[Json, ...] = ("soon", 5, True, [], {}, None)
    assert not any(holds(f"trait('due').{query}", due=due) for query in queries for due in values)


# ── absence ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("traits", [{}, {"a": None}])
def test_only_absent_omits_and_none_of_hold_for_an_absent_value(traits: dict[str, Json]) -> None:
    failing = ["= 1", "!= 1", "= 'x'", "!= 'x'", "= true", "!= true", "> 0", "< 9", "<= 'z'", "!= 2026-01-01", "= 2026-01-01"]
    failing += [".contains('')", ".starts_with('')", ".ends_with('')", ".one_of('')", ".exists()", ".within_last(1 day)"]
    holding = [".absent()", ".omits('x')", ".none_of('x', 1)"]

    assert not any(holds(f"trait('a'){query}", **traits) for query in failing)
    assert all(holds(f"trait('a'){query}", **traits) for query in holding)


def test_not_is_plain_negation() -> None:
    assert holds("NOT (trait('a') = 1)")
    assert not holds("trait('a') != 1")


def test_a_comparison_with_an_absent_right_hand_side_is_false() -> None:
    assert not any(holds(f"trait('a') {sign} trait('b')", a=1) for sign in ("=", "!=", "<", ">=", ">", "<="))
    assert not holds("trait('a').contains(trait('b'))", a="x")


# ── equality ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("a", [10, 10.0, "10", "10.0", "1e1", "010", "-0.1E-2"])
def test_a_number_equals_numbers_and_strings_that_are_one_in_full(a: Json) -> None:
    assert holds(f"trait('a') = {'-0.001' if a == '-0.1E-2' else 10}", a=a)


@pytest.mark.parametrize("a", ["10 ", " 10", "+10", "10.", ".1e2", "0xA", "１０", "ten", True, [10], {"x": 10}, "1e999"])
def test_a_number_equals_nothing_else(a: Json) -> None:
    assert not holds("trait('a') = 10", a=a)
    assert holds("trait('a') != 10", a=a)


def test_true_is_not_one() -> None:
    assert not holds("trait('a') = 1", a=True)
    assert not holds("trait('a') = true", a=1)
    assert not holds("trait('a') = 'true'", a=1)


@pytest.mark.parametrize(
    ("a", "literal", "expected"),
    [
        ("gold", "'gold'", True),
        ("Gold", "'gold'", False),  # case counts
        ("10.0", "'10'", False),  # string against string
        (10.0, "'10'", True),  # number against a string that is one
        (10, "'10.0'", True),
        (10, "'ten'", False),
        (True, "'true'", True),
        (False, "'false'", True),
        (True, "'True'", False),
        (True, "true", True),
        ("true", "true", True),
        ("false", "true", False),
        (True, "'1'", False),
        (["gold"], "'gold'", False),  # an array equals nothing
        ("e\u0301", "'é'", False),  # no normalisation
    ],
)
def test_strings_and_booleans_are_equal_like_this(a: Json, literal: str, expected: bool) -> None:
    assert holds(f"trait('a') = {literal}", a=a) is expected
    assert holds(f"trait('a').one_of('nothing', {literal})", a=a) is expected
    assert holds(f"trait('a') != {literal}", a=a) is not expected
    assert holds(f"trait('a').none_of('nothing', {literal})", a=a) is not expected


def test_differs_holds_only_if_there_is_a_value() -> None:
    assert holds("trait('a') != 1", a=2)
    assert not holds("trait('a') != 1", a=None)


def test_numbers_are_compared_as_doubles() -> None:
    assert holds("trait('a') = 9007199254740992", a=9007199254740993)
    assert not holds("trait('a') >= 0", a=10**400)


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("a", "query", "expected"),
    [
        (9, "< 10", True),
        ("9", "< 10", True),  # a numeric string against a number, as numbers
        ("nine", "< 10", False),
        (True, "< 10", False),
        (9, "< '10'", False),  # with a string, strings only
        ("9", "< '10'", False),  # by code point
        ("Z", "< 'a'", True),
        ("\uffff", "< '\U0001d11e'", True),  # not by UTF-16
        ("2026-01-05", "< 2026-01-10", True),
        ("2026-01-05T23:00:00-05:00", "< '2026-01-06'", False),  # a quoted date is a date
        ("soon", "< 2026-01-10", False),
        ("b", ">= 'b'", True),
        (10.5, "> 10.5", False),
        (-3, "<= -3", True),
    ],
)
def test_order_depends_on_the_right_hand_side(a: Json, query: str, expected: bool) -> None:
    assert holds(f"trait('a') {query}", a=a) is expected


def test_the_right_hand_side_may_be_a_trait_or_a_reducer() -> None:
    assert holds("trait('a') > trait('b')", a="2", b=1)
    assert not holds("trait('a') > trait('b')", a=2, b="1")  # a string on the right, strings only
    assert holds("event('X').count() > event('Y').count()", did("X"))


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("a", "query", "expected"),
    [
        ("premium plan", ".contains('mium', 'x')", True),  # any of them
        ("premium plan", ".contains('Plan')", False),  # case counts
        (1050, ".contains('05')", True),
        (10.0, ".ends_with('0')", True),  # written 10
        (1e-7, ".starts_with('0.0000001')", True),
        (1e21, ".ends_with('000')", True),
        (True, ".contains('tr')", False),  # not on booleans
        (["red", "dark blue"], ".contains('blue')", True),  # an element contains it
        ([5], ".contains(5)", True),  # an element equals it
        ([True], ".contains('true')", True),
        ([], ".contains('')", False),
        ({"blue": 1}, ".contains('blue')", False),
        ("plan", ".omits('x')", True),
        ("plan", ".omits('la')", False),
        (["plan"], ".omits('la')", False),
        ({"a": 1}, ".omits('a')", True),
        ("plan", ".starts_with('pl')", True),
        ("plan", ".starts_with('la')", False),
        (["plan"], ".starts_with('pl')", False),
        ("50%_off", ".contains('%_')", True),  # no wildcards
        ("50 off", ".contains('%')", False),
    ],
)
def test_text_is_searched_like_this(a: Json, query: str, expected: bool) -> None:
    assert holds(f"trait('a'){query}", a=a) is expected


# ── paths ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dot_goes_into_objects_and_an_escaped_one_does_not() -> None:
    assert holds("trait('address.city') = 'Rome'", address={"city": "Rome"})
    assert holds(r"trait('address\.city') = 'Rome'", **{"address.city": "Rome"})
    assert holds(r"trait('address\\\\.city') = 'Rome'", **{"address.city": "Rome"})


def test_a_dollar_holds_for_any_element() -> None:
    items: Json = [{"sku": "a", "n": 1}, {"sku": "b"}, "c"]

    assert holds("trait('items.$.sku') = 'b'", items=items)
    assert not holds("trait('items.$.sku') = 'c'", items=items)
    assert holds("trait('items.$') = 'c'", items=items)
    assert holds("trait('items.$.n').absent() AND trait('items.$.n').exists()", items=items)
    assert holds("trait('items.$.n').absent()", items=[])
    assert not holds("trait('items.$') = 'c'", items="c")


def test_a_dollar_counts_events_with_a_fitting_element_once() -> None:
    event = did("X", tags=["red", "red", "blue"])

    assert holds("event('X').where(property('tags.$') = 'red').count() = 1", event)


def test_an_events_context_is_looked_into() -> None:
    event = Event(name="X", timestamp=NOW, context={"page": {"path": "/buy"}})

    assert holds("event('X').where(context('page.path').starts_with('/b')).count() = 1", event)
