"""The meaning of reducers, sessions and nested funnels, row by row of the table in docs/meaning.md, by the Python reading."""

from __future__ import annotations

from datetime import timedelta

from sync.json_value import Json
from sync.language.parse import parse_computed_trait
from sync.language.reading import Profile, events_of
from tests.language.histories import DAY, HOUR, NOW, TICK, computes, did, holds

# ── reducers ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_over_no_events_counts_are_zero_and_the_rest_is_absent() -> None:
    assert computes("event('X').count()") == 0
    assert computes("event('X').unique(property('p')).count()") == 0
    for reducer in ("sum", "avg", "mode", "min", "max", "first", "last"):
        assert computes(f"event('X').{reducer}(property('p'))") is None
        assert holds(f"event('X').{reducer}(property('p')).absent()")


def test_a_list_without_a_value_is_absent_and_its_count_is_zero() -> None:
    for events in ((), (did("X"), did("X", p=None), did("X", p=[1]))):
        assert computes("event('X').unique(property('p'))", *events) is None
        assert computes("event('X').unique(property('p')).count()", *events) == 0


def test_sums_are_rounded_to_nine_decimals() -> None:
    parts = (did("X", p=33.3), did("X", p=66.7))

    assert holds("event('X').sum(property('p')) = 100", *parts)
    assert computes("event('X').sum(property('p'))", did("X", p=0.1), did("X", p=0.2)) == 0.3
    assert computes("event('X').avg(property('p'))", did("X", p=1), did("X", p=1), did("X", p=2)) == 1.333333333


def test_numeric_strings_add_and_other_values_are_ignored() -> None:
    values: tuple[Json, ...] = (1, "2.5", "many", True, None, [4], {"n": 4})
    events = [did("X", p=p) for p in values]

    assert computes("event('X').sum(property('p'))", *events) == 3.5
    assert computes("event('X').avg(property('p'))", *events) == 1.75
    assert computes("event('X').min(property('p'))", *events) == 1
    assert computes("event('X').max(property('p'))", *events) == 2.5


def test_as_string_compares_by_code_point() -> None:
    events = (did("X", p=9), did("X", p=10), did("X", p="Z"), did("X", p="a"))

    assert computes("event('X').min(property('p') as string)", *events) == "10"
    assert computes("event('X').max(property('p') as string)", *events) == "a"


def test_mode_needs_two_and_gives_ties_to_the_smallest_by_code_point() -> None:
    events = [did("X", p=p) for p in ("b", "b", "a", "a", "Z", "c")]

    assert computes("event('X').mode(property('p'))", *events) == "a"
    assert computes("event('X').mode(property('p'), 3)", *events) is None
    assert computes("event('X').mode(property('p'), 1)", did("X", p="q")) == "q"
    assert computes("event('X').mode(property('p'))", did("X", p=1), did("X", p=1.0), did("X", p="2")) == "1"


def test_mode_as_array_takes_the_whole_array_for_one_value() -> None:
    arrays: tuple[Json, ...] = (["a", "b"], ["a", "b"], ["a"])
    events = [did("X", tags=tags) for tags in arrays]

    assert computes("event('X').mode(property('tags.$'), 3)", *events) == "a"
    assert computes("event('X').mode(property('tags.$') as array)", *events) == '["a","b"]'


def test_first_and_last_go_by_timestamp_then_by_arrival_past_events_without_the_property() -> None:
    events = (did("X", ago=HOUR, order=2, p="late"), did("X", ago=DAY, order=3, p="second"), did("X", ago=DAY, order=1, p="first"))
    without = (did("X", ago=2 * DAY), did("X", ago=timedelta(0), p=None))

    assert computes("event('X').first(property('p'))", *events, *without) == "first"
    assert computes("event('X').last(property('p'))", *events, *without) == "late"
    assert computes("event('X').last(property('p'))", *events[1:]) == "second"
    assert computes("event('X').last(property('p'))", did("X", p={"a": [1]})) == {"a": [1]}


def test_unique_gives_the_values_as_sorted_strings_without_repeats() -> None:
    values: tuple[Json, ...] = ("b", 2, 2.0, "2", "10", True, "B", None, ["x"])
    events = [did("X", p=p) for p in values]

    assert computes("event('X').unique(property('p'))", *events) == ["10", "2", "B", "b", "true"]
    assert computes("event('X').unique(property('p')).count()", *events) == 5


def test_integers_keep_their_digits_as_strings() -> None:
    assert computes("event('X').unique(property('p'))", did("X", p=1234567890123456789)) == ["1234567890123456789"]


# ── account-only parts and sessions ──────────────────────────────────────────────────────────────────────────────────────


def test_a_session_ends_when_nothing_happened_for_its_span() -> None:
    query = "event('X').expires_after(2 hours).count()"
    earlier, gap, recent, latest = (did("X", ago=hours * HOUR) for hours in (9, 5, 3.4, 1.5))

    assert computes(query, earlier, gap, recent, latest) == 3
    assert computes(query, earlier, gap, latest) == 1
    assert computes(query, earlier, gap) == 0


def test_a_session_is_over_exactly_at_its_span() -> None:
    assert computes("event('X').expires_after(90 seconds).count()", did("X", ago=timedelta(seconds=90))) == 0
    assert computes("event('X').expires_after(90 seconds).count()", did("X", ago=timedelta(seconds=90) - TICK)) == 1


def test_a_session_is_one_of_the_events_that_pass_the_filters() -> None:
    query = "event('X').expires_after(2 hours).where(property('p') = 1).count()"

    assert computes(query, did("X", ago=3 * HOUR, p=1), did("X", ago=2 * HOUR, p=0), did("X", ago=HOUR, p=1)) == 1


# ── funnels ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_child_is_compared_with_its_parents_property() -> None:
    query = "event('A').where(event('B').where(property('id') = property(parent: 'id')).count() >= 1).count() >= 1"

    assert holds(query, did("A", id=1), did("B", id="1"))
    assert not holds(query, did("A", id=1), did("B", id=2))


def test_funnels_nest_and_each_level_sees_the_one_above() -> None:
    query = """
        event('A').where(
          event('B').within(parent: 1 day).where(
            event('C').within(parent: 1 day).where(property('x') = property(parent: 'x')).count() = 1
          ).count() = 1
        ).count() = 1"""
    first, second = did("A", ago=5 * DAY, x=0), did("B", ago=4.5 * DAY, x=1)

    assert holds(query, first, second, did("C", ago=4 * DAY, x=1))
    assert not holds(query, first, second, did("C", ago=4 * DAY, x=0))
    assert not holds(query, first, second, did("C", ago=3 * DAY, x=1))


def test_the_events_of_a_stream_can_be_seen_in_order() -> None:
    condition = parse_computed_trait("event('X').within(2 days).count()")
    profile = Profile(events=(did("X", ago=HOUR, order=1), did("X", ago=DAY, order=2), did("X", ago=3 * DAY, order=3)))

    assert [event.order for event in events_of(condition.stream, profile, NOW)] == [2, 1]
