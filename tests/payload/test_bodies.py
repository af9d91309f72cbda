"""What Moesif is told of a call, field by field: the golden files hold it, and are read by people."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sync.call import Call, CallType, parse
from sync.json_value import Json, decode
from sync.payload import Body, Mapping, addressed, bodies, transaction_id, wanted

FOLDER = Path(__file__).parents[1] / "golden" / "payload"
ARRIVAL = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def call(**fields: Json) -> Call:
    return parse(
        {"userId": "ann", "messageId": "m-1", **fields}, type=CallType(str(fields.get("type", "track"))), received_at=ARRIVAL
    )


def track(**fields: Json) -> Call:
    return call(type="track", event="Paid", **fields)


def shown(told: tuple[Body, ...]) -> str:
    written = [{"lane": body.lane, "subject": body.subject, "document": body.document} for body in told]
    return json.dumps(written, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("stem", sorted(path.name.removesuffix(".call.json") for path in FOLDER.glob("*.call.json")))
def test_a_call_becomes_the_bodies_of_its_golden_file(stem: str, golden: Any) -> None:
    given = json.loads((FOLDER / f"{stem}.call.json").read_text(encoding="utf-8"))

    told = bodies(parse(given["call"], received_at=ARRIVAL), Mapping(**given.get("mapping", {})))

    golden.check(f"payload/{stem}.moesif.json", shown(told))


@pytest.mark.parametrize("stem", sorted(path.name.removesuffix(".call.json") for path in FOLDER.glob("*.call.json")))
@pytest.mark.parametrize("mapping", [Mapping(), Mapping(forward_pages=True, forward_anonymous=True)], ids=["", "everything"])
def test_whom_the_bodies_are_about_is_the_same_whether_they_are_written_or_not(stem: str, mapping: Mapping) -> None:
    given = json.loads((FOLDER / f"{stem}.call.json").read_text(encoding="utf-8"))["call"]
    read = parse(given, received_at=ARRIVAL)

    assert addressed(read, mapping) == tuple((body.lane, body.subject) for body in bodies(read, mapping))


def test_no_body_of_a_golden_file_holds_a_null_anywhere() -> None:
    texts = [path.read_text(encoding="utf-8") for path in FOLDER.glob("*.moesif.json")]

    assert texts
    assert not [text for text in texts if "null" in text]


def test_the_transaction_id_is_a_version_5_uuid_and_never_changes() -> None:
    first = transaction_id("m-1")

    assert UUID(first).version == 5
    assert first == transaction_id("m-1") == "2572ea13-0d64-53ca-971a-2f4c53a08c1a"
    assert first != transaction_id("m-2")


def test_what_is_sent_again_is_the_same_to_the_byte() -> None:
    once, again = (bodies(track(timestamp="2026-03-04T09:00:00Z"), Mapping()) for _ in range(2))

    assert shown(once) == shown(again)


def test_the_call_itself_is_left_as_it_was() -> None:
    given = call(type="identify", traits={"firstName": "Ann", "tags": [None, {"a": None}]})
    before = str(given)

    bodies(given, Mapping())

    assert str(given) == before


@pytest.mark.parametrize("value", ["1", "1.0", "-0.0", "123456789012345678901234567890", '"1"', "true", "[]", "{}", '"\\u2028é"'])
def test_every_value_keeps_its_type_and_its_digits(value: str) -> None:
    properties: dict[str, Json] = {"deep": {"value": decode(value)}}

    (body,) = bodies(track(properties=properties), Mapping())

    assert repr(body.document["metadata"]) == repr(properties)


def test_a_subject_is_the_user_or_company_and_empty_for_an_action_of_nobody_known() -> None:
    group = bodies(call(type="group", groupId="acme"), Mapping())
    anonymous = bodies(track(userId=None, anonymousId="a-1"), Mapping(forward_anonymous=True))

    assert [body.subject for body in group] == ["acme", "ann"]
    assert [body.subject for body in anonymous] == [""]


@pytest.mark.parametrize(
    ("integrations", "expected"),
    [
        ({}, True),  # the default is everything
        ({"All": True}, True),
        ({"All": False}, False),
        ({"Salesforce": False}, True),
        ({"Moesif API Analytics": False}, False),
        ({"moesif-api-analytics": False}, False),
        ({"All": True, "Moesif API Analytics": False}, False),  # the name is worth more than All
        ({"All": False, "Moesif API Analytics": True}, True),
        ({"All": False, "moesif-api-analytics": True}, True),
        ({"All": False, "Moesif API Analytics": {"option": 1}}, True),  # options count as yes
        ({"All": False, "Moesif API Analytics": {}}, True),  # even if there are none
        ({"All": False, "moesif api analytics": True}, False),  # another name, if by case alone
        ({"moesif api analytics": False}, True),
        ({"All": False, "Salesforce": True}, False),
        ({"Moesif API Analytics": True, "moesif-api-analytics": False}, False),  # they disagree: false wins
        ({"Moesif API Analytics": False, "moesif-api-analytics": {"option": 1}}, False),
        ({"All": False, "Moesif API Analytics": None}, False),  # null is absent
        ({"Moesif API Analytics": None}, True),
        ({"All": None}, True),
    ],
)
def test_the_integrations_of_a_call_say_whether_it_is_wanted(integrations: dict[str, Json], expected: bool) -> None:
    assert wanted(track(integrations=integrations)) is expected
