"""Bodies that were made to do harm: a clear 4xx or a stored rejection, never a 500, never a neighbour lost."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

GOOD = b'{"type":"track","userId":"good","event":"Order Completed"}'


def track(properties: bytes) -> bytes:
    return b'{"type":"track","userId":"bad","event":"x","properties":' + properties + b"}"


def with_value(value: bytes) -> bytes:
    return track(b'{"a":' + value + b"}")


def with_field(name: str, value: bytes) -> bytes:
    return b'{"type":"track","userId":"bad","event":"x","' + name.encode() + b'":' + value + b"}"


# Each is one item of a batch and, by itself, one call.
ITEMS: dict[str, bytes] = {
    "nothing": b"",
    "space": b"   ",
    "a word": b"hello",
    "half a literal": b"tru",
    "null": b"null",
    "true": b"true",
    "a number": b"17",
    "a string": b'"track"',
    "an array": b"[]",
    "an array of calls": b"[" + GOOD + b"]",
    "an empty object": b"{}",
    "NaN": with_value(b"NaN"),
    "Infinity": with_value(b"Infinity"),
    "minus Infinity": with_value(b"-Infinity"),
    "1e400": with_value(b"1e400"),
    "minus 1e400": with_value(b"-1e400"),
    "an integer of 400 digits": with_value(b"9" * 400),
    "an integer of 20,000 digits": with_value(b"9" * 20_000),
    "an exponent of 1000 digits": with_value(b"1e" + b"9" * 1000),
    "a leading zero": with_value(b"01"),
    "a trailing point": with_value(b"1."),
    "hexadecimal": with_value(b"0x10"),
    "a plus": with_value(b"+1"),
    "NUL escaped": with_value(b'"a\\u0000b"'),
    "NUL in a key": track(b'{"a\\u0000":1}'),
    "NUL raw": with_value(b'"a\x00b"'),
    "NUL in the user": b'{"type":"track","userId":"\\u0000","event":"x"}',
    "NUL in the event": b'{"type":"track","userId":"bad","event":"\\u0000"}',
    "a lone high surrogate": with_value(b'"\\ud800"'),
    "a lone low surrogate": with_value(b'"\\udfff"'),
    "surrogates reversed": with_value(b'"\\udc00\\ud800"'),
    "a surrogate in a key": track(b'{"\\ud800":1}'),
    "half an escape": with_value(b'"\\u12"'),
    "an unknown escape": with_value(b'"\\x41"'),
    "invalid UTF-8": with_value(b'"\xff\xfe"'),
    "overlong UTF-8": with_value(b'"\xc0\x80"'),
    "a surrogate in UTF-8": with_value(b'"\xed\xa0\x80"'),
    "cut UTF-8": with_value(b'"\xe2\x82"'),
    "a raw newline": with_value(b'"a\nb"'),
    "single quotes": b"{'type':'track'}",
    "a comment": with_value(b"/* 1 */ 1"),
    "a trailing comma": track(b'{"a":1,}'),
    "70 levels of objects": with_value(b'{"a":' * 70 + b"1" + b"}" * 70),
    "900 levels of arrays": with_value(b"[" * 900 + b"]" * 900),
    "15,000 levels of arrays": with_value(b"[" * 15_000 + b"]" * 15_000),
    "2,000 levels of objects": with_value(b'{"a":' * 2000 + b"1" + b"}" * 2000),
    "no user": b'{"type":"track","event":"x"}',
    "a user that is an object": with_field("userId", b'{"$ne":1}'),
    "a user that is a number beyond all": with_field("userId", b"9" * 5000),
    "a user of 300 characters": with_field("userId", b'"' + b"u" * 300 + b'"'),
    "a user of 300 wide characters": with_field("userId", '"{}"'.format("😀" * 300).encode()),
    "an event that is an array": with_field("event", b"[]"),
    "an event of 5,000 characters": with_field("event", b'"' + b"e" * 5000 + b'"'),
    "a messageId of 101 characters": with_field("messageId", b'"' + b"m" * 101 + b'"'),
    "a messageId that is an object": with_field("messageId", b"{}"),
    "properties that are an array": with_field("properties", b"[1]"),
    "a context that is a string": with_field("context", b'"x"'),
    "integrations that are true": with_field("integrations", b"true"),
    "a timestamp in words": with_field("timestamp", b'"yesterday"'),
    "a timestamp of year 10000": with_field("timestamp", b'"10000-01-01T00:00:00Z"'),
    "a timestamp of year 0": with_field("timestamp", b'"0000-01-01T00:00:00Z"'),
    "a timestamp of 1969": with_field("timestamp", b'"1969-12-31T23:59:59Z"'),
    "a timestamp that overflows": with_field("timestamp", b'"9999-12-31T23:59:59-23:59"'),
    "a timestamp that is a number": with_field("timestamp", b"1e18"),
    "40,000 bytes": with_value(b'"' + b"x" * 40_000 + b'"'),
}
# Each is odd, and still a call by every rule.
HARMLESS: dict[str, bytes] = {
    "a key twice": b'{"type":"track","userId":"a","userId":"bad","event":"x"}',
    "an empty key": track(b'{"":1}'),
    "a prototype": track(b'{"__proto__":{"a":1},"constructor":1}'),
    "SQL": b'{"type":"track","userId":"bad\'; DROP TABLE calls; --","event":"x"}',
    "a new line and a fake log line": b'{"type":"track","userId":"bad","event":"x\\nERROR root: hacked"}',
    "an astral character": with_value('"😀"'.encode()),
    "U+FFFF and a BOM inside": with_value(b'"\\uffff\\ufeff"'),
    "5,000 keys": track(json.dumps(dict.fromkeys(map(str, range(3000)), 1)).encode()),
    "an integer beyond 64 bits": with_value(b"9" * 300),
    "the smallest double": with_value(b"5e-324"),
    "minus zero": with_value(b"-0.0"),
    "sentAt of nonsense": with_field("sentAt", b'{"a":1}'),
    "unknown fields": with_field("batch", b"[1,2,3]"),
}


def test_there_are_enough_of_them() -> None:
    assert len(ITEMS) + len(HARMLESS) >= 60


@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
def test_a_hostile_item_is_rejected_alone(place: Any, item: bytes) -> None:
    answer = place.post("/v1/batch", b'{"batch":[' + GOOD + b"," + item + b"," + GOOD + b'],"sentAt":"2024-05-01T12:00:00Z"}')

    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert [call.user_id for call in place.calls] == ["good", "good"]
    (kept,) = place.rejected
    assert "\0" not in kept.body


@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
def test_a_hostile_call_is_answered_4xx_in_json(place: Any, item: bytes) -> None:
    answer = place.post("/v1/track", item)

    assert answer.status_code in (400, 413)
    assert answer.json()["success"] is False
    assert answer.json()["code"]
    assert place.calls == []


@pytest.mark.parametrize("item", HARMLESS.values(), ids=HARMLESS)
def test_what_only_looks_hostile_is_taken(place: Any, item: bytes) -> None:
    assert place.post("/v1/track", item).status_code == 200
    assert place.post("/v1/batch", b'{"batch":[' + item + b"," + GOOD + b"]}").status_code == 200
    assert len(place.calls) == 3
    assert place.rejected == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"batch":[' + b"[" * 250_000 + b"]" * 250_000,
        b'{"batch":' + b"[" * 500_000,
        b"{" * 500_000,
        b'{"batch":["' + b'\\"' * 240_000,
        b'{"batch":[' + b'"\\"' * 160_000,
        b'{"batch":[' + b'{"a":' * 90_000,
        b'{"batch":[' + b"," * 500_000 + b"]}",
        b'{"batch":[' + GOOD + b'],"context":' + b'{"a":' * 90_000 + b"1" + b"}" * 90_001,
        b'{"writeKey":"' * 35_000,
        b'{"batch":[{' + b",".join(b'"%d":1' % number for number in range(45_000)) + b"}]}",
    ],
    ids=range(10),
)
def test_a_large_body_that_is_hard_to_read_is_refused_quickly(place: Any, body: bytes) -> None:
    # Of the processor's time, since a machine that is busy otherwise makes no reader slow.
    begun = time.process_time()

    answer = place.post("/v1/batch", body)

    assert answer.status_code in (200, 400, 413)
    assert place.calls == []
    assert time.process_time() - begun < 3
