"""What a JSON value is as a number, a text and a date."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.json_value import Json
from sync.language import values


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (100.0, "100"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (1e21, "1000000000000000000000"),
        (9007199254740993, "9007199254740993"),
        (0.1 + 0.2, "0.30000000000000004"),
    ],
)
def test_a_number_is_written_shortly_and_without_an_exponent(number: float, text: str) -> None:
    assert values.text_of(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_that_is_written_is_read_as_the_same(number: float) -> None:
    assert float(values.number_text(number)) == number


@pytest.mark.parametrize("value", [None, [], {}, [1], 10**400])
def test_these_have_no_text(value: Json) -> None:
    assert values.text_of(value) is None


@pytest.mark.parametrize("value", ["0" * 401, "1e400", "-1e400", "1e-400", "1e9999", "NaN", "inf", "1_000", "٣", "", "-"])
def test_these_are_no_numbers(value: Json) -> None:
    assert values.number_of(value) is None


@pytest.mark.parametrize("value", [True, None, [1], {}, 10**400])
def test_nor_are_these(value: Json) -> None:
    assert values.number_of(value) is None


def test_zero_is_a_number_however_it_is_written() -> None:
    assert [values.number_of(value) for value in (0, "0", "-0", "0.00", "0e-999", "00")] == [0] * 6


def test_a_sum_does_not_depend_on_the_order() -> None:
    parts = [1e16, 1.0, -1e16, 0.1]

    assert values.rounded(values.total(parts)) == values.rounded(values.total(parts[::-1])) == 1.1


def test_halves_are_rounded_away_from_zero() -> None:
    assert values.rounded(values.total([0.0000000005])) == 1e-9
    assert values.rounded(values.total([-0.0000000005])) == -1e-9


def test_a_sum_beyond_a_double_is_absent() -> None:
    assert values.rounded(values.total([1.7e308, 1.7e308])) is None


@given(st.datetimes().map(lambda at: at.replace(tzinfo=UTC)))
def test_every_instant_is_read_as_it_is_written(at: datetime) -> None:
    assert values.instant_of(at.isoformat()) == values.microseconds(at)
    assert values.at_microseconds(values.microseconds(at)) == at


def test_of_a_fraction_what_is_below_a_microsecond_is_cut_off() -> None:
    assert values.instant_of("1970-01-01T00:00:00.123456999Z") == 123_456
    assert values.instant_of("1970-01-01T00:00:00.1234567890Z") is None
