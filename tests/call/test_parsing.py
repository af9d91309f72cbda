"""One item becomes one call, or is refused with Segment's reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sync.call import Call, CallType, Defaults, InvalidCall, parse

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def parsed(item: Any, **options: Any) -> Call:
    return parse(item, received_at=NOW, **options)


def track(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "userId": "ann", "event": "Order Completed", **fields}


def test_a_track_call_is_read_with_everything_it_has() -> None:
    item = track(
        messageId="m1", anonymousId="a1", properties={"revenue": 10}, context={"ip": "192.0.2.1"}, integrations={"All": False}
    )

    call = parsed(item)

    assert call == Call(
        type=CallType.TRACK,
        message_id="m1",
        user_id="ann",
        anonymous_id="a1",
        event="Order Completed",
        timestamp=NOW,
        received_at=NOW,
        properties={"revenue": 10},
        context={"ip": "192.0.2.1"},
        integrations={"All": False},
    )


def test_null_is_the_same_as_absent_at_the_top_level() -> None:
    fields = ("anonymousId", "messageId", "timestamp", "originalTimestamp", "properties", "context", "integrations", "channel")

    call = parsed(track(**dict.fromkeys(fields)))

    assert call.anonymous_id is None
    assert call.properties == call.context == call.integrations == {}
    assert len(call.message_id) == 36


def test_null_inside_traits_is_kept_since_it_removes_a_trait() -> None:
    call = parsed({"type": "identify", "userId": "ann", "traits": {"plan": None}})

    assert call.properties == {"plan": None}


@pytest.mark.parametrize("value", [1, 1.0, "1", True, 2**62, 10**300, -0.5, "", [], {}])
def test_a_value_keeps_its_type(value: Any) -> None:
    found = parsed(track(properties={"x": value})).properties["x"]

    assert found == value
    assert type(found) is type(value)


def test_a_number_as_an_id_is_taken_as_its_digits() -> None:
    assert parsed(track(userId=42)).user_id == "42"


def test_an_empty_user_id_is_absent() -> None:
    call = parsed(track(userId="", anonymousId="a1"))

    assert (call.user_id, call.anonymous_id) == (None, "a1")


def test_the_route_decides_the_type_where_there_is_one() -> None:
    assert parsed(track(type="identify"), type=CallType.TRACK).type is CallType.TRACK


@pytest.mark.parametrize(
    ("kind", "event", "key"), [("page", "Page Viewed", "page_name"), ("screen", "Screen Viewed", "screen_name")]
)
def test_a_page_and_a_screen_become_events_with_their_name_and_category_among_the_properties(
    kind: str, event: str, key: str
) -> None:
    call = parsed({"type": kind, "userId": "ann", "name": "Home", "category": "Docs", "properties": {"url": "/"}})

    assert call.event == event
    assert call.properties == {"url": "/", key: "Home", "category": "Docs"}


def test_a_category_among_the_properties_wins_and_an_empty_one_is_none() -> None:
    page = {"type": "page", "userId": "ann"}

    assert parsed({**page, "category": "A", "properties": {"category": "B"}}).properties == {"category": "B"}
    assert parsed({**page, "category": ""}).properties == {}


def test_a_group_call_has_its_group_and_traits() -> None:
    call = parsed({"type": "group", "userId": "ann", "groupId": 7, "traits": {"name": "Acme"}})

    assert (call.group_id, call.properties) == ("7", {"name": "Acme"})


def test_an_alias_without_a_previous_id_means_the_anonymous_id() -> None:
    assert parsed({"type": "alias", "userId": "ann", "previousId": "old"}).previous_id == "old"
    assert parsed({"type": "alias", "userId": "ann", "anonymousId": "a1"}).previous_id == "a1"


def test_a_message_id_is_made_where_there_is_none_and_can_be_given() -> None:
    assert parsed(track()).message_id != parsed(track()).message_id
    assert parsed(track(), message_id="line-1").message_id == "line-1"
    assert parsed(track(messageId="own"), message_id="line-1").message_id == "own"


def test_the_defaults_of_a_batch_are_merged_and_the_call_wins() -> None:
    defaults = Defaults(context={"ip": "192.0.2.1", "locale": "de"}, integrations={"All": False})

    call = parsed(track(context={"locale": "fr"}, integrations={"Moesif API Analytics": True}), defaults=defaults)

    assert call.context == {"ip": "192.0.2.1", "locale": "fr"}
    assert call.integrations == {"All": False, "Moesif API Analytics": True}


@pytest.mark.parametrize(
    ("fields", "filled"),
    [
        ({"context": {"library": {"name": "analytics.js"}}}, True),
        ({"context": {"library": {"name": "analytics-kotlin"}}}, True),
        ({"context": {"direct": True}}, True),
        ({"channel": "browser"}, True),
        ({"context": {"channel": "mobile"}}, True),
        # A server's own address says nothing about the user.
        ({"context": {"library": {"name": "analytics-python"}}}, False),
        ({"context": {"direct": "yes"}}, False),
        ({"channel": "server"}, False),
        ({"channel": ["browser"], "context": {"library": {"name": {}}}}, False),
    ],
)
def test_the_address_is_filled_in_for_client_side_calls_only(fields: dict[str, Any], filled: bool) -> None:
    call = parsed(track(**fields), defaults=Defaults(ip="192.0.2.9"))

    assert call.context.get("ip") == ("192.0.2.9" if filled else None)


def test_an_address_that_was_sent_is_kept() -> None:
    item = track(context={"direct": True, "ip": "198.51.100.1"})

    assert parsed(item, defaults=Defaults(ip="192.0.2.9")).context["ip"] == "198.51.100.1"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


PAGE = {"type": "page", "userId": "ann"}
IDENTIFY = {"type": "identify", "userId": "ann"}
GROUP = {"type": "group", "userId": "ann"}
REFUSED: list[tuple[Any, str]] = [
    ([], "call_not_object"),
    ("track", "call_not_object"),
    (None, "call_not_object"),
    ({"userId": "ann"}, "invalid_type"),
    ({"userId": "ann", "type": "Track"}, "invalid_type"),
    ({"userId": "ann", "type": ["track"]}, "invalid_type"),
    (track(userId=None), "no_user_anon_id"),
    (track(userId="", anonymousId=""), "no_user_anon_id"),
    (track(userId=True), "id_not_string"),
    (track(userId=1.5), "id_not_string"),
    (track(userId=[]), "id_not_string"),
    (track(anonymousId={}), "id_not_string"),
    (track(userId="x" * 256), "id_too_long"),
    (track(userId=10**255), "id_too_long"),
    (track(event=None), "event_not_defined"),
    (track(event=""), "event_not_defined"),
    (track(event=5), "event_not_string"),
    (track(event=False), "event_not_string"),
    (track(event="x" * 256), "event_too_long"),
    (track(properties=[]), "properties_not_object"),
    (track(properties="x"), "properties_not_object"),
    (track(properties=False), "properties_not_object"),
    (track(context="x"), "context_not_object"),
    (track(integrations=[]), "integrations_not_object"),
    (track(messageId="x" * 101), "message_id_too_long"),
    (track(messageId=[]), "message_id_not_string"),
    (track(timestamp="yesterday"), "invalid_timestamp"),
    (track(timestamp=1700000000), "invalid_timestamp"),
    (track(timestamp=""), "invalid_timestamp"),
    (track(timestamp="1969-12-31T23:59:59Z"), "invalid_timestamp"),
    (track(timestamp="10000-01-01T00:00:00Z"), "invalid_timestamp"),
    ({**IDENTIFY, "traits": "x"}, "traits_not_object"),
    ({**GROUP, "groupId": "g", "traits": []}, "traits_not_object"),
    ({**GROUP}, "id_required"),
    ({**GROUP, "groupId": ""}, "id_required"),
    ({**GROUP, "groupId": {}}, "id_not_string"),
    ({"type": "alias", "userId": "ann"}, "id_required"),
    ({"type": "alias", "anonymousId": "a", "previousId": "b"}, "id_required"),
    ({"type": "alias", "userId": "ann", "previousId": 1.5}, "id_not_string"),
    ({**PAGE, "name": 5}, "name_not_string"),
    ({**PAGE, "name": ""}, "name_not_string"),
    ({**PAGE, "category": 5}, "category_not_string"),
    (track(properties={"a": "b\0c"}), "invalid_character"),
    (track(properties={"a\0": 1}), "invalid_character"),
    (track(extra=["\0"]), "invalid_character"),
    (track(properties={"a": 10**400}), "number_out_of_range"),
    (track(properties={"a": -(10**400)}), "number_out_of_range"),
    (track(properties=nested(64)), "nested_too_deeply"),
    (track(properties=nested(5000)), "nested_too_deeply"),
    (track(properties={"a": "x" * 33_000}), "call_too_large"),
    (track(properties=dict.fromkeys(map(str, range(10_001)), 1)), "too_many_keys"),
]


@pytest.mark.parametrize(("item", "code"), REFUSED, ids=[f"{index}-{code}" for index, (_, code) in enumerate(REFUSED)])
def test_what_breaks_a_rule_is_refused_with_its_code(item: Any, code: str) -> None:
    with pytest.raises(InvalidCall) as refused:
        parsed(item)

    assert refused.value.code == code
    assert "ann" not in refused.value.message


def test_what_stands_just_within_a_limit_is_taken() -> None:
    assert parsed(track(properties=nested(63)))
    assert parsed(track(userId="x" * 255, messageId="y" * 100, event="z" * 255))
    assert parsed(track(properties={"a": 10**308}))
