"""Segment's Profile API, as a client of Segment's would ask it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sync.call import CallType
from tests.make import NOW, audience, call, computed_trait, identify, keep, record, track

PROFILES = "/v1/spaces/default/collections/users/profiles"


@pytest.fixture
def ann(operated: Any) -> Any:
    """Somebody who is in an audience, has a computed trait, and did a few things."""
    store = operated.store
    keep(
        store,
        identify("ann", {"plan": "gold", "gone": None}, anonymous_id="a1", message_id="first"),
        track("ann", "Order Completed", NOW - timedelta(days=20)),
        *(track("ann", "Looked", NOW - timedelta(minutes=number), properties={"n": number}) for number in range(3)),
        call(CallType.PAGE, user_id="ann", anonymous_id="a2", event="Page Viewed", properties={"name": "Home"}, message_id="last"),
    )
    record(store, audience(store), ["ann"])
    record(store, audience(store, "left"), ["ann"])
    record(store, audience(store, "left_too", query="trait('x') = 1"), [])
    record(store, computed_trait(store), {"ann": 4})
    return operated


def test_traits_hold_custom_ones_memberships_and_computed_ones(ann: Any) -> None:
    answer = ann.get(f"{PROFILES}/user_id:ann/traits").json()

    assert answer["traits"] == {"plan": "gold", "buyers": True, "left": True, "orders": 4}
    assert answer["cursor"] == {"url": "", "has_more": False, "next": "", "limit": 10}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("class=audience", ["buyers", "left"]),
        ("class=computed_trait", ["orders"]),
        ("include=plan,orders,none", ["orders", "plan"]),
        ("limit=2", ["buyers", "left"]),
    ],
)
def test_traits_can_be_chosen(ann: Any, query: str, names: list[str]) -> None:
    assert list(ann.get(f"{PROFILES}/user_id:ann/traits?{query}").json()["traits"]) == names


def test_a_verbose_trait_says_since_when(ann: Any) -> None:
    traits = ann.get(f"{PROFILES}/anonymous_id:a1/traits?verbose=true").json()["traits"]

    assert traits["plan"] == {"value": "gold", "source_id": None, "updated_at": "2026-03-04T09:00:00Z"}


@pytest.mark.parametrize(("what", "of"), [("traits", "traits"), ("external_ids", "data"), ("events", "data")])
def test_pages_follow_each_other_by_the_cursor(ann: Any, what: str, of: str) -> None:
    whole = ann.get(f"{PROFILES}/user_id:ann/{what}?limit=100").json()[of]
    found, path = [], f"{PROFILES}/user_id:ann/{what}?limit=1"

    while path:
        page = ann.get(path).json()
        found += page[of].items() if what == "traits" else page[of]
        path = page["cursor"]["url"]

    assert len(found) > 2
    assert found == (list(whole.items()) if what == "traits" else whole)


def test_external_ids_are_the_user_id_and_the_anonymous_ones(ann: Any) -> None:
    data = ann.get(f"{PROFILES}/user_id:ann/external_ids").json()["data"]

    assert [(one["type"], one["id"]) for one in data] == [("user_id", "ann"), ("anonymous_id", "a1"), ("anonymous_id", "a2")]


def test_events_are_those_of_two_weeks_the_latest_first(ann: Any) -> None:
    data = ann.get(f"{PROFILES}/user_id:ann/events").json()["data"]

    assert sorted(one["event"] for one in data) == ["Looked"] * 3 + ["Page Viewed"]
    assert [one["timestamp"] for one in data] == sorted((one["timestamp"] for one in data), reverse=True)
    (page,) = [one for one in data if one["type"] == "page"]
    assert page["properties"]["page_name"] == "Home"
    assert (page["source_id"], [one["id"] for one in page["external_ids"]]) == ("web", ["ann", "a2"])


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("include=Looked", 3),
        ("exclude=Looked", 1),
        ("start=2026-01-01", 5),
        ("end=2026-03-04T09:00Z", 2),
        ("start=2026-03-04T08:59Z&end=2026-03-04T09:00Z", 1),
        ("sort=asc&limit=2", 2),
    ],
)
def test_events_can_be_chosen(ann: Any, query: str, number: int) -> None:
    assert len(ann.get(f"{PROFILES}/user_id:ann/events?{query}").json()["data"]) == number


def test_an_end_in_the_first_days_of_the_calendar_has_no_events_before_it(ann) -> None:
    answer = ann.get(f"{PROFILES}/user_id:ann/events?end=0001-01-01T00:04:00Z")

    assert (answer.status_code, answer.json()["data"]) == (200, [])


def test_metadata_says_by_which_calls_somebody_was_seen(ann: Any) -> None:
    found = ann.get(f"{PROFILES}/user_id:ann/metadata").json()

    assert (found["first_message_id"], found["last_message_id"], found["last_source_id"]) == ("first", "last", "web")
    assert found["created_at"] == "2026-03-04T09:00:00Z"


@pytest.mark.parametrize(
    "path",
    [
        f"{PROFILES}/user_id:nobody/traits",
        f"{PROFILES}/email:ann/traits",
        f"{PROFILES}/user_id:/traits",
        f"{PROFILES}/ann/traits",
        "/v1/spaces/other/collections/users/profiles/user_id:ann/traits",
    ],
)
def test_nobody_is_found_is_said_as_segment_says_it(ann: Any, path: str) -> None:
    answer = ann.get(path)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("next", ["x", "!!!", "IiI=", "MQ==", "IjkxMjM0NTY3ODkwMTIzNDU2Ny45OTk5OTk5OTk5OTk5OTk5OTki", "é"])
def test_a_cursor_that_is_none_is_refused(ann: Any, next: str) -> None:
    assert ann.get(f"{PROFILES}/user_id:ann/events", params={"next": next}).status_code == 400
