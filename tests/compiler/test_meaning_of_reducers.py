"""The rows of the table in `docs/meaning.md` on reducers and sessions, asked of a store, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.json_value import Json
from sync.language.reading import Event
from tests.compiler.conftest import Asked, Computed
from tests.language.histories import HOUR, TICK, did

# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def bought(*amounts: Json) -> list[Event]:
    return [did("X", ago=(20 - order) * HOUR, order=order, p=amount) for order, amount in enumerate(amounts)]


@pytest.mark.parametrize(
    ("query", "amounts", "expected"),
    [
        ("sum(property('p'))", (33.3, 66.7), 100),
        ("sum(property('p'))", (0.1, 0.2), 0.3),
        ("sum(property('p'))", (1e16, 1.0, -1e16), 1),  # exactly, whatever the order
        ("sum(property('p'))", ("7", "x", True, 3, None, [1]), 10),
        ("sum(property('p'))", ("x",), None),
        ("sum(property('p'))", (1e308, 1e308), None),
        ("avg(property('p'))", (1, 2), 1.5),
        ("avg(property('p'))", (1, 1, 0), 0.666666667),
        ("avg(property('p'))", (-1, -1, 0), -0.666666667),
        ("avg(property('p'))", (1e-9, 0), 1e-9),  # a half goes away from zero
        ("min(property('p'))", (3, "2", "x"), 2),
        ("max(property('p'))", (9, 10), 10),
        ("max(property('p') as string)", (9, 10, True), "true"),
        ("min(property('p') as string)", ("b", "B"), "B"),
        ("mode(property('p'))", ("a", "b", "b", "a", "c"), "a"),
        ("mode(property('p'))", (10, "10", 10.0), "10"),
        ("mode(property('p'), 3)", ("a", "a"), None),
        ("mode(property('p') as array)", (["a", 1], ["a", 1], ["b"]), '["a",1]'),
        ("first(property('p'))", (None, 1.0, "1"), 1.0),
        ("last(property('p'))", (1, {"a": [True, None]}, None), {"a": [True, None]}),
        ("last(property('p'))", (10**30,), 10**30),
        (
            "unique(property('p'))",
            ("b", "a", "b", 2, True, "\uffff", "\U0001d11e"),
            ["2", "a", "b", "true", "\uffff", "\U0001d11e"],
        ),
        ("unique(property('p'))", (), None),
        ("unique(property('p')).count()", ("b", "a", "b", None), 2),
        ("unique(property('p.$')).count()", (["b", "a"], ["b"], "x"), 2),
        ("last(property('p.$'))", (["a", "b"], []), "b"),
        ("count()", (1, 2, 3), 3),
        ("count()", (), 0),
    ],
)
def test_reducers(computes: Computed, query: str, amounts: tuple[Json, ...], expected: Json) -> None:
    found = computes(f"event('X').{query}", *bought(*amounts))

    assert found == expected
    assert type(found) is type(expected)


def test_reducers_over_no_events_are_absent_but_counts(holds: Asked) -> None:
    for reducer in ("sum", "avg", "min", "max", "mode", "first", "last"):
        assert holds(f"event('X').{reducer}(property('p')).absent()"), reducer
    assert holds("event('X').unique(property('p')).count() = 0")


def test_the_first_is_by_timestamp_and_then_by_arrival(computes: Computed) -> None:
    events = (did("X", order=1, p="a"), did("X", order=2, p="b"), did("X", ago=2 * HOUR, order=3, p="c"))

    assert computes("event('X').first(property('p'))", *events) == "c"
    assert computes("event('X').last(property('p'))", *events) == "b"


@pytest.mark.parametrize(("ago", "expected"), [(timedelta(seconds=90) - TICK, 1), (timedelta(seconds=90), 0)])
def test_a_session_is_over_exactly_at_its_span(computes: Computed, ago: timedelta, expected: int) -> None:
    assert computes("event('X').expires_after(90 seconds).count()", did("X", ago=ago)) == expected


def test_a_session_is_one_of_the_events_that_pass_the_filters(computes: Computed) -> None:
    query = "event('X').expires_after(2 hours).where(property('p') = 1).last(property('p'))"
    events = (did("X", ago=3 * HOUR, p=1), did("X", ago=2 * HOUR, order=1, p=0), did("X", ago=HOUR, order=2, p=1))

    assert computes(query, *events) == 1
    assert computes(query.replace("last(property('p'))", "count()"), *events) == 1


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ((1, 3, 5, 9), 3),  # hours; the gap of four ends the session
        ((2.5, 4), 2),
        ((3, 4), 0),  # it has ended by now
        ((), 0),
    ],
)
def test_a_session_is_the_run_of_events_that_is_still_open(computes: Computed, ages: tuple[float, ...], expected: int) -> None:
    events = [did("X", ago=age * HOUR, order=order) for order, age in enumerate(ages)]

    assert computes("event('X').expires_after(3 hours).count()", *events) == expected
