"""When a call happened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sync.call import InvalidCall, parse

RECEIVED = datetime(2024, 5, 1, 12, tzinfo=UTC)


def happened(sent_at: datetime | None = None, **fields: Any) -> datetime:
    return parse({"type": "identify", "userId": "ann", **fields}, received_at=RECEIVED, sent_at=sent_at).timestamp


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        # Python's SDK
        ("2024-01-02T03:04:05.678+00:00", datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)),
        # Go's SDK
        ("2024-01-02T03:04:05.123456789Z", datetime(2024, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2024-01-02T03:04:05.123456-05:30", datetime(2024, 1, 2, 8, 34, 5, 123456, tzinfo=UTC)),
        ("2024-01-02T03:04:05+0200", datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC)),
        # No zone means UTC, no time means midnight.
        ("2024-01-02T03:04:05", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02 03:04:05", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02t03:04:05z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
        ("20240102T030405Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
)
def test_a_timestamp_is_read_in_the_forms_that_senders_use(written: str, expected: datetime) -> None:
    assert happened(timestamp=written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "",
        "now",
        "2024",
        "2024-13-01",
        "2024-02-30T00:00:00Z",
        "2024-01-01T25:00:00Z",
        "2024-W01-1",
        "01/02/2024",
        "0001-01-01T00:00:00+05:00",
        "+275760-09-13T00:00:00.000Z",
        "2024-01-01T00:00:00Z; drop",
        "٢٠٢٤-٠١-٠١",
        1714560000,
        1714560000.5,
        True,
        {},
        [],
    ],
)
def test_what_is_no_timestamp_is_refused(written: Any) -> None:
    with pytest.raises(InvalidCall) as refused:
        happened(timestamp=written)

    assert refused.value.code == "invalid_timestamp"


def test_a_senders_clock_that_is_wrong_is_corrected() -> None:
    sent_at = datetime(2024, 5, 1, 11, tzinfo=UTC)

    assert happened(sent_at, timestamp="2024-05-01T10:59:50Z") == datetime(2024, 5, 1, 11, 59, 50, tzinfo=UTC)


def test_a_clock_that_was_never_set_is_corrected_too() -> None:
    sent_at = datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)

    assert happened(sent_at, timestamp="1970-01-01T00:00:20Z") == datetime(2024, 5, 1, 11, 59, 50, tzinfo=UTC)


def test_the_original_timestamp_is_the_one_to_correct() -> None:
    sent_at = datetime(2024, 5, 1, 11, tzinfo=UTC)

    found = happened(sent_at, timestamp="2024-01-01T00:00:00Z", originalTimestamp="2024-05-01T10:00:00Z")

    assert found == datetime(2024, 5, 1, 11, tzinfo=UTC)


def test_history_is_taken_as_it_is() -> None:
    found = happened(timestamp="2023-01-01T00:00:00Z", originalTimestamp="2022-01-01T00:00:00Z")

    assert found == datetime(2023, 1, 1, tzinfo=UTC)


def test_without_a_timestamp_it_happened_on_arrival() -> None:
    assert happened() == RECEIVED
    assert happened(sent_at=datetime(2024, 1, 1, tzinfo=UTC)) == RECEIVED


def test_a_correction_that_leaves_the_calendar_is_refused() -> None:
    with pytest.raises(InvalidCall):
        happened(datetime(1, 1, 1, tzinfo=UTC), timestamp="9999-01-01T00:00:00Z")
