"""Guards: what one run may move."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from sync.audience import DEFAULT_GUARD, Guard, Limit, Share, guard_from_json, guard_to_json, parse_limit
from sync.audience.guard import SOON


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("20%", Share(Decimal(20)), "20%"),
        ("0.5%", Share(Decimal("0.5")), "0.5%"),
        ("150 %", Share(Decimal(150)), "150%"),
        ("500", 500, "500"),
        ("0", 0, "0"),
    ],
)
def test_a_limit_is_a_share_or_a_number(text: str, limit: Limit, shown: str) -> None:
    assert parse_limit(text) == limit
    assert str(parse_limit(text)) == shown


@pytest.mark.parametrize("text", ["", "%", "-1", "-5%", "1.5", "20 percent", "1e3", "nan%", "٢%"])
def test_any_other_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a share such as 20%"):
        parse_limit(text)


@pytest.mark.parametrize(
    ("guard", "before", "exited", "entered", "stops"),
    [
        # Exactly the share may go; one more may not.
        (Guard(max_exits=Share(Decimal(20))), 100, 20, 0, False),
        (Guard(max_exits=Share(Decimal(20))), 100, 21, 0, True),
        (Guard(max_exits=Share(Decimal("0.1"))), 1000, 1, 0, False),
        (Guard(max_exits=3), 1000, 3, 0, False),
        (Guard(max_exits=3), 1000, 4, 0, True),
        (Guard(max_entries=Share(Decimal(50))), 10, 0, 5, False),
        (Guard(max_entries=Share(Decimal(50))), 10, 0, 6, True),
        # A limit guards one direction only.
        (Guard(max_entries=1), 1000, 999, 0, False),
        # But that nobody stays is more likely a source that has gone silent than what anybody wants.
        (Guard(max_entries=1), 1000, 1000, 0, True),
        (Guard(max_entries=1), 1000, 1000, 1, False),
        (Guard(max_entries=1), 100, 100, 0, False),
        (Guard(max_exits=Share(Decimal(100))), 1000, 1000, 0, False),
        # A guard for large memberships only.
        (DEFAULT_GUARD, 100, 100, 0, False),
        (DEFAULT_GUARD, 101, 51, 0, True),
        (DEFAULT_GUARD, 101, 0, 505, False),
        (DEFAULT_GUARD, 101, 0, 506, True),
        # What cannot be is not let through.
        (Guard(max_exits=Share(Decimal(100))), 5, 6, 0, True),
        (Guard(max_exits=Share(Decimal(100))), 5, -1, 0, True),
        # Nothing moves: nothing to stop, even where there was nobody.
        (Guard(max_exits=0, max_entries=Share(Decimal(0))), 0, 0, 0, False),
        # A share of nobody is nobody.
        (Guard(max_entries=Share(Decimal(50))), 0, 0, 1, True),
    ],
)
def test_a_guard_stops_a_run_that_moves_more_than_its_limits(
    guard: Guard, before: int, exited: int, entered: int, stops: bool
) -> None:
    assert (guard.objection(before=before, exited=exited, entered=entered, elapsed=SOON) is not None) == stops


def test_an_objection_says_what_would_happen_and_what_the_limit_is() -> None:
    objection = Guard(max_exits=Share(Decimal(20))).objection(before=100, exited=21, entered=0, elapsed=SOON)

    assert objection == "21 of 100 members would leave, more than max_exits: 20%"


@pytest.mark.parametrize(
    ("guard", "text"),
    [
        (Guard(max_exits=Share(Decimal(20)), max_entries=500), '{"max_entries":"500","max_exits":"20%"}'),
        (Guard(max_exits=Share(Decimal("20.0"))), '{"max_exits":"20%"}'),
        (None, None),
    ],
)
def test_a_guard_survives_the_store(guard: Guard | None, text: str | None) -> None:
    assert guard_to_json(guard) == text
    assert guard_from_json(text) == guard


@pytest.mark.parametrize("text", ["[]", "{", '{"max_exits": "most"}', '"off"'])
def test_a_stored_guard_that_is_none_stops_every_run(text: str) -> None:
    guard = guard_from_json(text)

    assert guard is not None
    assert "cannot be read" in str(guard.objection(before=1000, exited=0, entered=0, elapsed=SOON))


def test_after_a_long_time_the_default_guard_minds_only_that_nobody_stays() -> None:
    long = timedelta(days=1, microseconds=1)

    assert DEFAULT_GUARD.objection(before=1000, exited=999, entered=0, elapsed=long) is None
    assert DEFAULT_GUARD.objection(before=1000, exited=1000, entered=0, elapsed=long) is not None


def test_the_default_guard_comes_back_from_the_store() -> None:
    assert guard_from_json(guard_to_json(DEFAULT_GUARD)) == DEFAULT_GUARD
