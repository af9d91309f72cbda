"""What goes into the store comes out of it as it was: JSON values with type and digits, instants to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from sync.json_value import Json
from sync.profile import same
from sync.store import Store
from sync.store.schema import profiles, runs
from tests.make import NOW, audience

numbers = st.one_of(
    st.sampled_from(
        [0, 1, -1, 1.0, 10.0, 1e16, 1e22, 1.5e300, -1e22, 5e-324, 1e-7, 0.1, 2**53 + 1, 2**63, 2**64, -(2**200), 10**308]
    ),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
# The door refuses U+0000 and lone surrogates, which PostgreSQL cannot keep.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.sampled_from(
    ["", "true", "1", "1.0", "1e22", "null", "é", "\U0001f600", "\u2028", '"\\', "1e5 and 2E+7", "NaN"]
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def kept(store: Store, value: Json) -> Json:
    with store.writing() as connection:
        statement = insert(profiles).values(traits={"v": value}, traits_at={}, created_at=NOW).returning(profiles.c.id)
        id = connection.scalars(statement).one()
        found: dict[str, Json] = connection.scalars(select(profiles.c.traits).where(profiles.c.id == id)).one()
        return found["v"]


@given(value=values)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_json_value_keeps_its_type_and_digits(store: Store, value: Json) -> None:
    assert same(kept(store, value), value)


@pytest.mark.parametrize("value", [1, 1.0, "1", "1.0", True, "true", False, 0, 0.0, "", None, [], {}, [None], 1e22, 10**22])
def test_values_that_look_alike_stay_apart(store: Store, value: Json) -> None:
    found = kept(store, value)

    assert type(found) is type(value)
    assert found == value


@pytest.mark.parametrize("value", [5e-324, 1.7976931348623157e308, 2.2250738585072014e-308, 0.1 + 0.2, 123456789.123456789, 1 / 3])
def test_a_double_keeps_every_bit(store: Store, value: float) -> None:
    assert repr(kept(store, value)) == repr(value)


def test_an_integer_of_three_hundred_digits_keeps_them_all(store: Store) -> None:
    number = int("1234567890" * 30)

    assert kept(store, number) == number


def test_a_long_text_with_what_looks_like_an_exponent_is_left_alone(store: Store) -> None:
    text = "1e5 " * 5000

    assert kept(store, {"text": text, "number": 1e5}) == {"text": text, "number": 1e5}


instants = st.datetimes(timezones=st.just(UTC))


def kept_instant(store: Store, at: datetime) -> datetime:
    with store.writing() as connection:
        statement = insert(profiles).values(traits={}, traits_at={}, created_at=at).returning(profiles.c.id)
        id = connection.scalars(statement).one()
        return connection.scalars(select(profiles.c.created_at).where(profiles.c.id == id)).one()


@given(at=instants)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_instant_is_kept_to_the_microsecond(store: Store, at: datetime) -> None:
    assert kept_instant(store, at) == at


@pytest.mark.parametrize(
    "at",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2262, 4, 11, 23, 47, 16, 854776, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
def test_instants_at_the_ends_of_the_calendar_are_exact(store: Store, at: datetime) -> None:
    assert kept_instant(store, at) == at


def test_an_instant_of_another_zone_is_the_same_instant_in_utc(store: Store) -> None:
    found = kept_instant(store, datetime(2026, 3, 4, 10, 30, tzinfo=timezone(timedelta(hours=1, minutes=30))))

    assert found == datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
    assert found.tzinfo is UTC


def test_an_instant_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(Exception, match="offset-naive"):
        kept_instant(store, NOW.replace(tzinfo=None))


def test_instants_sort_as_they_happened(store: Store) -> None:
    audience_id = audience(store).id
    instants = [datetime(9999, 1, 1, tzinfo=UTC), datetime(1960, 1, 1, tzinfo=UTC), NOW, NOW + timedelta(microseconds=1)]
    counts = dict.fromkeys(("members", "entered", "exited", "changed", "owed", "accepted", "rejected", "unknown", "held"), 0)
    with store.writing() as connection:
        rows = [counts | {"audience_id": audience_id, "at": at, "started_at": at, "outcome": "done"} for at in instants]
        connection.execute(insert(runs), rows)
        found = connection.scalars(select(runs.c.at).order_by(runs.c.at)).all()

    assert list(found) == sorted(instants)
