"""What calls come in: single, in a batch, in a line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sync.call import CallType, InvalidCall, open_batch, open_call, open_line, read

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
GOOD = b'{"type":"track","userId":"ann","event":"Order Completed"}'


def batch(*items: bytes, rest: bytes = b"") -> bytes:
    return b'{"batch":[' + b",".join(items) + b"]" + rest + b"}"


def codes(body: bytes) -> tuple[int, list[str]]:
    calls, rejected = read(open_batch(body), received_at=NOW)
    return len(calls), [one.code for one in rejected]


def test_a_batch_gives_its_key_clock_context_and_items() -> None:
    rest = b',"writeKey":"k","sentAt":"2024-05-01T11:00:00Z","context":{"locale":"de"},"integrations":{"All":false},"sequence":1'

    envelope = open_batch(batch(GOOD, GOOD, rest=rest))
    calls, rejected = read(envelope, received_at=NOW)

    assert envelope.write_key == "k"
    assert envelope.sent_at == datetime(2024, 5, 1, 11, tzinfo=UTC)
    assert [call.context for call in calls] == [{"locale": "de"}] * 2
    assert [call.integrations for call in calls] == [{"All": False}] * 2
    assert rejected == ()


def test_a_sent_at_that_is_nonsense_is_ignored() -> None:
    assert open_batch(batch(GOOD, rest=b',"sentAt":"soon"')).sent_at is None
    assert open_call(b'{"sentAt":17}', CallType.TRACK).sent_at is None


def test_calls_keep_the_order_in_which_they_were_written() -> None:
    items = [b'{"type":"track","userId":"u","event":"e%d"}' % number for number in range(50)]

    calls, _ = read(open_batch(batch(*items)), received_at=NOW)

    assert [call.event for call in calls] == [f"e{number}" for number in range(50)]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b'{"type":"track","userId":"ann"}', "event_not_defined"),
        (b'{"type":"track","userId":"ann","event":"\\ud800"}', "invalid_json"),
        (b'{"type":"track","userId":"ann","event":"\xff"}', "invalid_json"),
        (b'{"type":"track","userId":"ann","event":"x","properties":{"a":1e400}}', "invalid_json"),
        (b'{"type":"track","userId":"ann","event":"x","properties":{"a":NaN}}', "invalid_json"),
        (b'{"type":"track","userId":"ann","event":"x","properties":{"a":-Infinity}}', "invalid_json"),
        (b'{"type":"track","userId":"ann","event":"x","properties":{"a":01}}', "invalid_json"),
        (b'{"type":"track","userId":"ann","event":"x","properties":' + b'{"a":' * 3000 + b"1" + b"}" * 3001, "nested_too_deeply"),
        (b'{"a":"' + b"x" * 40_000 + b'"}', "call_too_large"),
        (b"[" * 20_000 + b"]" * 20_000, "nested_too_deeply"),
        (b"5", "call_not_object"),
        (b"null", "call_not_object"),
        (b"tru", "invalid_json"),
        (b"", "invalid_json"),
    ],
)
def test_one_item_that_cannot_be_read_costs_none_of_its_neighbours(bad: bytes, code: str) -> None:
    assert codes(batch(GOOD, bad, GOOD)) == (2, [code])
    assert codes(batch(bad, GOOD)) == (1, [code])


def test_strings_full_of_brackets_do_not_mislead_the_search_for_neighbours() -> None:
    tricky = rb'{"type":"track","userId":"]},{[\"batch\":[","event":"\\"}'

    assert codes(batch(tricky, b"NaN", GOOD, rest=b',"other":{"batch":[1,2]}')) == (2, ["invalid_json"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"[]", "batch_not_array"),
        (b"{}", "batch_not_array"),
        (b'{"batch":{}}', "batch_not_array"),
        (b'{"batch":null}', "batch_not_array"),
        (b'{"batch":"x"}', "batch_not_array"),
        (b'{"batch":[]}', "empty_batch"),
        (batch(GOOD)[:-1], "invalid_json"),
        (batch(GOOD)[:-2], "invalid_json"),
        (batch(GOOD, rest=b',"x":}'), "invalid_json"),
        (batch(GOOD) + b"{}", "invalid_json"),
        (batch(GOOD).decode().encode("utf-16"), "invalid_json"),
        (batch(GOOD, rest=b',"context":[]'), "context_not_object"),
        (batch(GOOD, rest=b',"integrations":1'), "integrations_not_object"),
        (batch(GOOD, rest=b',"context":{"a":"\\u0000"}'), "invalid_character"),
        (batch(GOOD, rest=b',"context":{"a":"\\ud800"}'), "invalid_json"),
        (batch(*[b"1"] * 2501), "too_many_calls"),
        (batch(*[b"1"] * 2500, rest=b',"context":{"a":"' + b"x" * 3000 + b'"}'), "context_too_large"),
        (b'{"batch":' + b"[" * 400_000, "nested_too_deeply"),
        (b'{"batch":["' + b'\\"' * 200_000, "invalid_json"),
    ],
)
def test_a_body_that_is_no_batch_is_refused_as_a_whole(body: bytes, code: str) -> None:
    with pytest.raises(InvalidCall) as refused:
        open_batch(body)

    assert refused.value.code == code


def test_a_byte_order_mark_is_tolerated() -> None:
    assert codes(b"\xef\xbb\xbf" + batch(GOOD)) == (1, [])
    assert len(read(open_call(b"\xef\xbb\xbf" + GOOD, CallType.TRACK), received_at=NOW)[0]) == 1


def test_of_a_key_that_stands_twice_the_last_one_counts() -> None:
    calls, _ = read(open_call(b'{"userId":"a","userId":"b"}', CallType.IDENTIFY), received_at=NOW)

    assert calls[0].user_id == "b"


def test_a_rejected_call_is_kept_as_it_came_without_its_write_key_and_cut() -> None:
    item = b'{"writeKey": "secret\\"key", "event":"\xff\x00", "a":"' + b"x" * 50_000 + b'"}'

    (rejected,) = read(open_batch(batch(item)), received_at=NOW)[1]

    assert rejected.body.startswith('{"writeKey": "***", "event":"��"')
    assert len(rejected.body.encode()) < 33_000
    assert rejected.received_at == NOW


def lines() -> list[tuple[bytes, int]]:
    historic: dict[str, Any] = {"type": "track", "userId": "ann", "event": "x", "timestamp": "2020-01-01T00:00:00Z"}
    sent = {"sentAt": "2020-02-01T00:00:00Z"}
    return [
        (json.dumps({**historic, **sent}).encode(), 1),
        (json.dumps({"batch": [historic, historic], **sent}).encode(), 2),
        (b'{"batch":[NaN,' + json.dumps(historic).encode() + b"]}", 1),
    ]


@pytest.mark.parametrize(("line", "count"), lines())
def test_a_line_is_a_call_or_a_batch_and_its_timestamps_are_history(line: bytes, count: int) -> None:
    calls, _ = read(open_line(line), received_at=NOW, message_id=lambda index: f"file:7:{index}")

    assert [call.timestamp for call in calls] == [datetime(2020, 1, 1, tzinfo=UTC)] * count
    assert calls[-1].message_id.startswith("file:7:")


@pytest.mark.parametrize("line", [b"", b"nonsense", b"{", b'{"batch":[]}', b'{"batch":5}', b"[" * 9000])
def test_a_line_that_is_neither_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidCall):
        open_line(line)
