"""Every row of the table in `docs/meaning.md`, but for the reducers, asked of a store, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.audience import Kind
from sync.json_value import Json
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reading import Event, Profile
from tests.compiler.conftest import Asked
from tests.compiler.population import Referred, World
from tests.language.histories import DAY, HOUR, NOW, TICK, did

# ── who ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_known_user_without_an_event_has_done_it_no_times(holds: Asked) -> None:
    assert holds("event('X').count() = 0")
    assert not holds("event('X').count() = 0", did("X"))


def test_nobody_without_a_user_id_is_a_member_or_has_a_value(world: World) -> None:
    # The population has one such profile, with the events of the first user.
    with world.of(Profile(events=(did("X"),))) as people:
        members = people.members(parse_audience("event('X').count() = 1"), NOW)
        values = people.values(parse_computed_trait("event('X').count()"), NOW)

    assert members == {1}
    assert values == {1: 1}


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
def test_within_keeps_what_is_younger_than_its_span(holds: Asked, ago: timedelta, expected: bool) -> None:
    assert holds("event('X').within(3 days).count() = 1", did("X", ago=ago)) is expected


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (DAY - TICK, False),
        (DAY, True),  # the near end is closed
        (3 * DAY - TICK, True),
        (3 * DAY, False),
    ],
)
def test_between_keeps_what_is_between_two_ages_in_either_order(holds: Asked, ago: timedelta, expected: bool) -> None:
    assert holds("event('X').between(1 day, 3 days).count() = 1", did("X", ago=ago)) is expected
    assert holds("event('X').between(3 days, 1 day).count() = 1", did("X", ago=ago)) is expected


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (timedelta(0), False),  # strictly after the parent
        (TICK, True),
        (DAY, True),
        (DAY + TICK, False),
    ],
)
def test_a_window_of_a_parent_begins_just_after_it(holds: Asked, later: timedelta, expected: bool) -> None:
    query = "event('X').where(event('Y').within(parent: 1 day).count() = 1).count() = 1"

    assert holds(query, did("X", ago=5 * DAY), did("Y", ago=5 * DAY - later, order=1)) is expected


@pytest.mark.parametrize(("later", "expected"), [(DAY, False), (DAY + TICK, True), (2 * DAY, True), (2 * DAY + TICK, False)])
def test_between_of_a_parent_leaves_its_near_end_open(holds: Asked, later: timedelta, expected: bool) -> None:
    query = "event('X').where(event('Y').between(parent: 2 days, 1 day).count() = 1).count() = 1"

    assert holds(query, did("X", ago=5 * DAY), did("Y", ago=5 * DAY - later, order=1)) is expected


def test_every_event_is_a_parent_of_its_own(holds: Asked) -> None:
    query = "event('X').where(event('Y').within(parent: 1 hour).count() >= 1).count() = 1"

    assert holds(query, did("X", ago=9 * HOUR), did("X", ago=5 * HOUR, order=1), did("Y", ago=4.5 * HOUR, order=2))


def test_funnels_nest_and_each_level_sees_the_one_above(holds: Asked) -> None:
    query = """
        event('A').where(
          event('B').within(parent: 1 day).where(
            event('C').within(parent: 1 day).where(property('x') = property(parent: 'x')).count() = 1
          ).count() = 1
        ).count() = 1"""
    first, second = did("A", ago=5 * DAY, x=0), did("B", ago=4.5 * DAY, order=1, x=1)

    assert holds(query, first, second, did("C", ago=4 * DAY, order=2, x=1))
    assert not holds(query, first, second, did("C", ago=4 * DAY, order=2, x=0))
    assert not holds(query, first, second, did("C", ago=3 * DAY, order=2, x=1))


def test_events_of_an_excluded_source_are_left_out(holds: Asked) -> None:
    events = (did("X", source="web"), did("X", order=1, source="app"), did("X", order=2))

    assert holds("event('X').sources({exclude: 'web', 'tv'}).count() = 2", *events)
    assert holds("event('X').sources(exclude: 'web').sources(exclude: 'app').count() = 1", *events)
    many = ", ".join(f"'{number}'" for number in range(100))
    assert holds(f"event('X').sources(exclude: 'web', {many}).count() = 2", *events)


def test_an_events_context_is_looked_into(holds: Asked) -> None:
    event = Event(name="X", timestamp=NOW, context={"page": {"path": "/buy"}})

    assert holds("event('X').where(context('page.path').starts_with('/b')).count() = 1", event)
    assert not holds("event('X').where(context('page.path').starts_with('b')).count() = 1", event)


def test_the_right_hand_side_may_be_a_trait_or_a_reducer(holds: Asked) -> None:
    assert holds("trait('a') > trait('b')", a="2", b=1)
    assert not holds("trait('a') > trait('b')", a=2, b="1")  # a string on the right, strings only
    assert holds("event('X').count() > event('Y').count()", did("X"))
    assert not holds("trait('a') = trait('b')", a=1)


def test_a_funnel_compares_with_a_property_of_the_parent(holds: Asked) -> None:
    query = "event('X').where(event('Y').where(property('sku') = property(parent: 'sku')).count() >= 1).count() >= 1"

    assert holds(query, did("X", sku="a"), did("Y", order=1, sku="a"))
    assert not holds(query, did("X", sku="a"), did("Y", order=1, sku="b"))


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
def test_dates_against_now_have_these_ends(
    holds: Asked, comparator: str, holding: list[timedelta], failing: list[timedelta]
) -> None:
    query = f"trait('d').{comparator}(1 day)"

    assert all(holds(query, d=(NOW + offset).isoformat()) for offset in holding)
    assert not any(holds(query, d=(NOW + offset).isoformat()) for offset in failing)


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("trait('d').within_last(1 day)", "2026-03-01T12:00:00Z", True),  # now
        ("trait('d').within_last(1 day)", "2026-02-28T12:00:00Z", False),
        ("trait('d').before_last(1 day)", "2026-02-28T12:00:00Z", True),
        ("trait('d').within_next(1 day)", "2026-03-01T12:00:00Z", False),
        ("trait('d').within_next(1 day)", "2026-03-02T12:00:00Z", True),
        ("trait('d').after_next(1 day)", "2026-03-02T12:00:00.000001Z", True),
        ("trait('d').before_date(2026-03-01)", "2026-02-28", True),
        ("trait('d').after_date(2026-02-28)", "2026-03-01", True),
        ("trait('d') < 2026-03-02T00:00:00Z", "2026-03-01T23:59:59+00:00", True),
        ("trait('d').before_date(2026-03-01)", "2026-02-28T23:00:00-02:00", False),  # an hour after midnight in UTC
    ],
)
def test_dates_are_compared_as_instants(holds: Asked, query: str, text: str, expected: bool) -> None:
    assert holds(query, d=text) is expected


@pytest.mark.parametrize(
    "value",
    [
        "2026-02-30",  # no such day
        "0000-01-01",
        "2026-03-01T12:00:00",  # no zone
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:00:60Z",
        "2026-03-01T12:00:00+16:00",
        "2026-3-1",
        "2026-03-01 ",
        "2026-03-01\n",
        "٢٠٢٦-03-01",
        "now",
        "infinity",
        20260301,
        None,
        ["2026-03-01"],
    ],
)
def test_what_is_no_date_is_neither_before_nor_after_one(holds: Asked, value: Json) -> None:
    assert not holds("trait('d').before_date(9999-01-01)", d=value)
    assert not holds("trait('d').after_date(0001-01-02)", d=value)


def test_a_fraction_of_a_second_is_cut_to_microseconds(holds: Asked) -> None:
    assert holds("trait('d') = 2026-03-01T12:00:00.999999Z", d="2026-03-01T12:00:00.999999999Z")


# ── absent ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "comparison", ["= 1", "!= 1", "> 1", "< 1", ".contains('a')", ".starts_with('')", ".one_of('a')", ".exists()"]
)
def test_no_comparison_holds_of_an_absent_value(holds: Asked, comparison: str) -> None:
    assert not holds(f"trait('t'){comparison}")
    assert not holds(f"trait('t'){comparison}", t=None)


@pytest.mark.parametrize("comparison", [".absent()", ".omits('a')", ".none_of('a')"])
def test_three_comparisons_hold_of_an_absent_value(holds: Asked, comparison: str) -> None:
    assert holds(f"trait('t'){comparison}")
    assert holds(f"trait('t'){comparison}", t=None)


def test_not_is_plain_negation(holds: Asked) -> None:
    assert holds("NOT (trait('a') = 1)")
    assert holds("NOT NOT trait('a') = 1", a=1)
    assert holds("NOT (trait('a') = 1 AND trait('b') = 1)", a=1)


# ── equality and order ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "literal", "expected"),
    [
        (10, "10", True),
        (10.0, "10", True),
        ("10", "10", True),
        ("1e1", "10", True),
        (" 10", "10", False),
        ("+10", "10", False),
        (True, "1", False),  # a number is never equal to a boolean
        (2**53 + 1, str(2**53), True),  # as doubles
        ("1e999", "1", False),
        (10, "'10'", True),
        (10, "'10.0'", True),
        ("10", "'10.0'", False),  # two strings
        ("Gold", "'gold'", False),
        (True, "'true'", True),
        (True, "true", True),
        ("false", "false", True),
        (0, "false", False),
        ([1], "1", False),
        ({}, "''", False),
    ],
)
def test_equality(holds: Asked, value: Json, literal: str, expected: bool) -> None:
    assert holds(f"trait('t') = {literal}", t=value) is expected
    assert holds(f"trait('t') != {literal}", t=value) is not expected


@pytest.mark.parametrize(
    ("value", "comparison", "expected"),
    [
        ("9", "< 10", True),
        ("9", "< '10'", False),  # as strings
        (9, "< '10'", False),  # strings only
        ("Z", "< 'a'", True),  # by code point
        ("\uffff", "< '\U0001d11e'", True),  # not by UTF-16
        (True, "> 0", False),
        ("x", "> 0", False),
    ],
)
def test_order(holds: Asked, value: Json, comparison: str, expected: bool) -> None:
    assert holds(f"trait('t') {comparison}", t=value) is expected


@pytest.mark.parametrize(
    ("value", "comparison", "expected"),
    [
        ("a gold b", ".contains('x', 'gold')", True),
        ("a gold b", ".contains('Gold')", False),
        ("100%", ".contains('%')", True),
        ("100", ".contains('%')", False),
        (1234.5, ".contains('34.5')", True),
        (1.0, ".contains('.')", False),  # the shortest form
        (1e21, ".starts_with('1000000000000000000000')", True),
        (1e-7, ".ends_with('0001')", True),
        (True, ".contains('true')", False),
        (["red", "blue"], ".contains('lu')", True),
        ([1, 2], ".contains(2)", True),
        ([1, 2], ".omits(3)", True),
        ("abc", ".starts_with('ab')", True),
        ("abc", ".ends_with('bc')", True),
        ("c", ".ends_with('bc')", False),
        ("abc", ".ends_with('')", True),
    ],
)
def test_search(holds: Asked, value: Json, comparison: str, expected: bool) -> None:
    assert holds(f"trait('t'){comparison}", t=value) is expected


def test_a_long_list_is_searched_for_like_a_short_one(holds: Asked) -> None:
    few = ", ".join(f"'{number}x'" for number in range(300))

    assert holds(f"trait('t').contains({few})", t="about 299x of them")
    assert not holds(f"trait('t').contains({few})", t="none")
    assert holds(f"trait('t').contains({few})", t=["3x"])
    assert holds(f"trait('t').one_of({few})", t="299x")
    assert holds(f"trait('t').none_of({few})", t="299")


def test_a_list_takes_numbers_texts_truths_and_dates(holds: Asked) -> None:
    query = "trait('t').one_of(10, 'gold', '7', true, 2026-03-01)"

    assert all(holds(query, t=value) for value in (10, "10.0", "gold", 7, "7", True, "true", "2026-03-01T00:00:00Z"))
    assert not any(holds(query, t=value) for value in (1, "Gold", "7.0", False, "2026-03-02", None))


# ── paths ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "key", ["a b", 'q"uote', "it's", "back\\slash", "$", "$[0]", "[0]", "0", "é", "\U0001d11e", "tab\t", "%s", ":x", "#-1"]
)
def test_a_key_may_be_any_text(world: World, key: str) -> None:
    written = key.replace("\\", "\\\\").replace(".", "\\.").replace("$", "\\$")
    query = parse_audience("trait(" + repr_of(f"o.{written}.p") + ") = 1")

    with world.of(Profile(traits={"o": {key: {"p": 1}}}), Profile(traits={"o": [{"p": 1}]})) as people:
        assert people.members(query, NOW) == people.read_members(query, NOW)
        assert people.members(query, NOW) <= {1}


def repr_of(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def test_a_dollar_holds_for_any_element(holds: Asked) -> None:
    items: Json = [{"sku": "a", "n": 1}, {"sku": "b", "n": [7, 8]}, "x", None]

    assert holds("trait('items.$.sku') = 'b'", items=items)
    assert holds("trait('items.$.n.$') = 8", items=items)
    assert not holds("trait('items.$.sku') = 'c'", items=items)
    assert holds("trait('items.$.sku').absent()", items=items)
    assert holds("trait('items.$').absent()", items="no array")


# ── references ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reference_reads_the_ledger(world: World) -> None:
    referred: Referred = {
        "vip": (Kind.AUDIENCE, (True, False, None)),
        "spent": (Kind.COMPUTED_TRAIT, (14, "x", None)),
        "seen": (Kind.COMPUTED_TRAIT, (["a", "b"], None, {"p": 1})),
    }
    # Whatever traits of these names the users have does not count.
    people = [Profile(traits={"vip": True, "spent": 14}, events=(did("X", amount=20),)) for _ in range(3)]

    with world.of(*people, referred=referred) as population:
        for text, expected in [
            ("trait('vip') = true", {1}),
            ("trait('vip') = 'false'", {2, 3}),
            ("trait('vip').exists()", {1, 2, 3}),
            ("trait('vip.p').absent()", {1, 2, 3}),
            ("trait('spent') > 10", {1}),
            ("trait('spent').absent()", {3}),
            ("trait('seen').contains('b')", {1}),
            ("trait('seen.$') = 'a'", {1}),
            ("trait('seen.p') = 1", {3}),
            ("event('X').where(property('amount') > trait('spent')).count() = 1", {1}),
            ("event('X').where(trait('vip') = false).count() = 1", {2, 3}),
        ]:
            assert population.members(parse_audience(text), NOW) == expected, text
