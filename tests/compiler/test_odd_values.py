"""Values at the edges of what is a number, a date or a text: each comparison of them is on both databases as it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from sync.json_value import Json
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reading import Profile
from sync.language.text import quoted
from tests.compiler.population import World
from tests.language.histories import NOW, did

NUMBERS: Final = (
    *(
        " 1",
        "1 ",
        "1\n",
        "\ufeff1",
        "+1",
        "--1",
        "-0",
        "00",
        "01",
        "1.",
        ".5",
        "1.0",
        "0.1",
        "1e3",
        "1E+3",
        "1e-3",
        "1e400",
        "1e-400",
    ),
    *("0x10", "1_000", "1,000", "１", "٣", "NaN", "nan", "Infinity", "-Infinity", "inf", "9" * 50, "9" * 401),
)
DATES: Final = (
    *("2026-02-28", "2026-02-29", "2024-02-29", "2026-2-28", "20260228", "2026-W09-6", "2026-059", "0000-01-01", "0001-01-01"),
    *("9999-12-31", "10000-01-01", "+002026-02-28", "2026-02-28T", "2026-02-28T10", "2026-02-28T10:00", "2026-02-28T10:00Z"),
    *("2026-02-28T10:00:00", "2026-02-28T10:00:00z", "2026-02-28t10:00:00Z", "2026-02-28 10:00:00Z", "2026-02-28T10:00:00,1Z"),
    *("2026-02-28T10:00:00.123456789Z", "2026-02-28T10:00:00+01", "2026-02-28T10:00:00+0100", "2026-02-28T10:00:00-00:00"),
    *("2026-02-28T10:00:00+15:59", "2026-02-28T10:00:00+24:00", "2026-02-28T23:59:60Z", "2026-02-28T24:00:00Z"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-12:00", "1772236800", "now", "infinity", "epoch", "today"),
)
TEXTS: Final = (
    *("", "a", "A", "ä", "Ä", "ß", "ẞ", "i", "İ", "é", "e\u0301", "\n", "a\tb", 'a"b', "a'b", "a\\b", "a/b", "日本"),
    *("\U0001d11e", "\uffff", "\ue000", "%", "_", "a%", "*", "?", "[a]", "^a", "true", "false", "True", "null", "x" * 5000),
)
NO_TEXTS: Final[tuple[Json, ...]] = (
    *(None, True, False, 0, 1, -1, 1.0, 1.5, -0.0, 10**30, 2**53, 2**53 + 1, 2**63, -(2**63), 10**308, 10**309, 10**400),
    *(1e308, 5e-324, 0.1, 0.1 + 0.2, 1e21, 1e16, 1e-7, 123456789012345678, 1772236800),
    *([], {}, [1], ["1"], [True], [None], ["a", "2026-02-28"], {"a": 1}, [[1]], [{"a": 1}], ['a"b'], [10**400]),
)
VALUES: Final[tuple[Json, ...]] = (*NUMBERS, *DATES, *TEXTS, *NO_TEXTS)
EVERYONE: Final = [Profile(traits={"t": value}, events=(did("X", p=value),)) for value in VALUES]

LITERALS: Final = (
    *(quoted(text) for text in (*NUMBERS, *DATES, *TEXTS) if len(text) < 100),
    *("0", "1", "-1", "1.5", "0.1", "9007199254740992", "1" + "0" * 30, "1" + "0" * 308),
)
OTHER: Final = "trait('u')"
BARE_DATES: Final = (
    "2026-02-28",
    "2026-02-28T10:00:00",
    "2026-02-28T10:00:00.123456Z",
    "0001-01-01",
    "9999-12-31T23:59:59.999999Z",
)


@pytest.mark.parametrize("comparison", ["= {}", "< {}", ".contains({})", ".starts_with({})", ".one_of({}, 'z')"])
def test_odd_values_are_compared_with_odd_constants_as_they_are_read(world: World, comparison: str) -> None:
    agree(world, comparison, LITERALS)


@pytest.mark.parametrize(
    "comparison",
    [
        *("!= {}", "<= {}", "> {}", ">= {}", ".omits({})", ".ends_with({})", ".none_of({}, 'z')"),
        ".one_of({}, 'b1', 'b2', 'b3', 'b4', 'b5', 'b6', 'b7', 'b8')",
        ".contains({}, 'b1', 'b2', 'b3', 'b4', 'b5', 'b6', 'b7', 'b8')",
    ],
)
def test_odd_values_are_compared_with_some_odd_constants_in_other_ways(world: World, comparison: str) -> None:
    agree(world, comparison, LITERALS[::4])


def agree(world: World, comparison: str, literals: Sequence[str]) -> None:
    with world.of(*EVERYONE) as people:
        for literal in literals:
            query = parse_audience(f"trait('t'){comparison.format(literal)}")
            assert people.members(query, NOW) == people.read_members(query, NOW), literal


@pytest.mark.parametrize(
    "comparison",
    [
        *("= {}", "!= {}", "< {}", "<= {}", "> {}", ">= {}", ".before_date({})", ".after_date({})", ".one_of({})", ".none_of({})"),
        *(".within_last(1 day)", ".before_last(1 day)", ".within_next(1 day)", ".after_next(1 day)", ".exists()", ".absent()"),
        *("= true", "!= true", "= false", "!= false"),
    ],
)
def test_odd_values_are_compared_with_dates_as_they_are_read(world: World, comparison: str) -> None:
    agree(world, comparison, BARE_DATES)


@pytest.mark.parametrize(
    "comparison",
    ["= {}", "!= {}", "< {}", "<= {}", "> {}", ">= {}", ".contains({})", ".omits({})", ".starts_with({})", ".ends_with({})"],
)
def test_odd_values_are_compared_with_one_another_as_they_are_read(world: World, comparison: str) -> None:
    some = (*VALUES[::3], *NO_TEXTS)
    pairs = [Profile(traits={"t": left, "u": right}) for left in some for right in some if len(str(left)) + len(str(right)) < 900]
    query = parse_audience(f"trait('t'){comparison.format(OTHER)}")

    with world.of(*pairs) as people:
        assert people.members(query, NOW) == people.read_members(query, NOW)


@pytest.mark.parametrize(
    "reducer",
    [
        *("sum(property('p'))", "avg(property('p'))", "min(property('p'))", "max(property('p'))", "min(property('p') as string)"),
        *("mode(property('p'), 1)", "mode(property('p') as array, 1)", "first(property('p'))", "last(property('p.$'))"),
        *("unique(property('p'))", "unique(property('p.$'))", "unique(property('p')).count()"),
    ],
)
def test_odd_values_are_reduced_as_they_are_read(world: World, reducer: str) -> None:
    together = Profile(events=tuple(did("X", order=order, p=value) for order, value in enumerate(VALUES, 1)))
    query = parse_computed_trait(f"event('X').{reducer}")

    with world.of(*EVERYONE, together) as people:
        assert people.values(query, NOW) == people.read_values(query, NOW)
