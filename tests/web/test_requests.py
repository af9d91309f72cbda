"""Every path, place for the key, encoding and answer that a sender may use."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests

TRACK = {"userId": "ann", "event": "Order Completed", "messageId": "m1", "properties": {"revenue": 1}}
ITEM = {"type": "track", **TRACK}
ALL_KINDS = {
    "identify": {},
    "track": {"event": "x"},
    "page": {},
    "screen": {},
    "group": {"groupId": "g"},
    "alias": {"previousId": "p"},
}


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_each_kind_of_call_has_its_path_and_its_letter(place: Any, kind: str, slash: str) -> None:
    for path in (f"/v1/{kind}{slash}", f"/v1/{kind[0]}{slash}"):
        answer = place.post(path, {"userId": "ann", **ALL_KINDS[kind]})

        assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert [call.type for call in place.calls] == [kind, kind]
    assert {incoming.source for incoming in place.taken} == {"web"}


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/batch/", "/v1/import", "/v1/import/", "/v1/b", "/v1/b/"])
def test_a_batch_is_taken_on_each_of_its_paths(place: Any, path: str) -> None:
    answer = place.post(path, {"batch": [ITEM, ITEM], "sentAt": "2024-05-01T11:00:00Z"})

    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert [call.event for call in place.calls] == ["Order Completed"] * 2


def test_what_analytics_js_reports_about_itself_is_taken_and_not_kept(place: Any) -> None:
    answer = place.post("/v1/m", {"series": []}, key=None)

    assert answer.status_code == 200
    assert place.taken == []


def basic(user: bytes) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(user).decode()}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (basic(b"key-of-web:"), {}),
        (basic(b"key-of-web:whatever"), {}),
        # Without the colon
        (basic(b"key-of-web"), {}),
        ({"Authorization": "basic " + base64.b64encode(b"key-of-web:").decode().rstrip("=")}, {}),
        (basic("schlüssel:".encode()), {}),
        ({}, {"writeKey": "key-of-web"}),
        ({}, {"writeKey": "schlüssel"}),
        ({"Authorization": "Bearer token"}, {"writeKey": "key-of-web"}),
        (basic(b"wrong:"), {"writeKey": "key-of-web"}),
        (basic(b"key-of-web:"), {"writeKey": "wrong"}),
        ({"Authorization": "Basic ???"}, {"writeKey": "key-of-web"}),
    ],
)
def test_the_write_key_is_found_wherever_an_sdk_puts_it(place: Any, headers: dict[str, str], body: dict[str, str]) -> None:
    assert place.post("/v1/track", {**TRACK, **body}, key=None, headers=headers).status_code == 200
    assert place.post("/v1/batch", {"batch": [ITEM], **body}, key=None, headers=headers).status_code == 200
    assert len(place.calls) == 2


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({}, {}, "missing_write_key"),
        ({}, {"writeKey": ""}, "missing_write_key"),
        ({}, {"writeKey": 5}, "missing_write_key"),
        (basic(b":"), {}, "missing_write_key"),
        ({"Authorization": "Basic"}, {}, "missing_write_key"),
        ({"Authorization": "Bearer key-of-web"}, {}, "missing_write_key"),
        (basic(b"key-of-we:"), {}, "unknown_source"),
        (basic(b"\xff\xfe:"), {}, "unknown_source"),
        ({}, {"writeKey": "KEY-OF-WEB"}, "unknown_source"),
    ],
)
def test_a_key_that_is_missing_or_unknown_is_answered_401(place: Any, headers: dict[str, str], body: Any, code: str) -> None:
    answer = place.post("/v1/track", {**TRACK, **body}, key=None, headers=headers)

    assert answer.status_code == 401
    assert answer.json()["success"] is False
    assert answer.json()["code"] == code
    assert place.taken == []


def test_without_configured_sources_any_key_is_the_source_default(serve: Any) -> None:
    place = serve(sources=None)

    assert place.post("/v1/track", TRACK, key="anything").status_code == 200
    assert place.post("/v1/track", TRACK, key=None).status_code == 401
    assert [incoming.source for incoming in place.taken] == ["default"]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/json", "application/x-www-form-urlencoded", "nonsense", ""]
)
def test_the_content_type_does_not_matter(place: Any, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}

    assert (
        place.post("/v1/t", json.dumps({**TRACK, "writeKey": "key-of-web"}).encode(), key=None, headers=headers).status_code == 200
    )


PLAIN = json.dumps({"batch": [ITEM], "writeKey": "key-of-web"}).encode()


def chunks() -> Iterator[bytes]:
    packed = gzip.compress(PLAIN)
    yield packed[:10]
    yield packed[10:]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(PLAIN)),
        ("x-gzip", gzip.compress(PLAIN)),
        ("GZIP", gzip.compress(PLAIN)),
        ("gzip", chunks),
        ("deflate", zlib.compress(PLAIN)),
        ("identity", PLAIN),
        ("", PLAIN),
    ],
)
def test_a_body_may_be_compressed_and_come_in_chunks(place: Any, encoding: str, body: Any) -> None:
    sent = body() if callable(body) else body

    answer = requests.post(f"{place.url}/v1/b", data=sent, headers={"Content-Encoding": encoding}, timeout=5)

    assert answer.json() == {"success": True}
    assert len(place.calls) == 1


@pytest.mark.parametrize(
    ("encoding", "body", "status", "code"),
    [
        ("gzip", PLAIN, 400, "invalid_encoding"),
        ("gzip", b"", 400, "invalid_encoding"),
        ("gzip", gzip.compress(PLAIN)[:-5], 400, "invalid_encoding"),
        ("gzip", gzip.compress(PLAIN) + gzip.compress(PLAIN), 400, "invalid_encoding"),
        ("gzip", gzip.compress(PLAIN) + b"x", 400, "invalid_encoding"),
        ("gzip", gzip.compress(b" " * 100_000_000), 413, "body_too_large"),
        ("deflate", gzip.compress(PLAIN), 400, "invalid_encoding"),
        ("br", PLAIN, 415, "unsupported_encoding"),
        ("gzip, gzip", gzip.compress(gzip.compress(PLAIN)), 415, "unsupported_encoding"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_refused(place: Any, encoding: str, body: bytes, status: int, code: str) -> None:
    answer = place.post("/v1/batch", body, headers={"Content-Encoding": encoding})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert place.taken == []


def padded(size: int) -> bytes:
    body = json.dumps(TRACK).encode()
    return body + b" " * (size - len(body))


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/track", padded(32 * 1024), 200, None),
        ("/v1/track", padded(32 * 1024 + 1), 413, "body_too_large"),
        ("/v1/batch", PLAIN + b" " * (500 * 1024 - len(PLAIN)), 200, None),
        ("/v1/batch", PLAIN + b" " * (500 * 1024 - len(PLAIN) + 1), 413, "body_too_large"),
        ("/v1/batch", b" " * 8_000_000, 413, "body_too_large"),
        ("/v1/batch", b" " * 40_000_000, 413, "body_too_large"),
        ("/v1/batch", json.dumps({"batch": [{}] * 2501}).encode(), 413, "too_many_calls"),
        ("/v1/batch", b"", 400, "invalid_json"),
        ("/v1/batch", b'{"batch":[]}', 400, "empty_batch"),
        ("/v1/track", b"[]", 400, "call_not_object"),
        ("/v1/track", b"{}", 400, "no_user_anon_id"),
    ],
)
def test_sizes_and_shapes_are_held_to_segments_limits(place: Any, path: str, body: bytes, status: int, code: str | None) -> None:
    answer = place.post(path, body)

    assert answer.status_code == status
    assert answer.json().get("code") == code


def test_a_batch_of_2500_calls_is_taken(place: Any) -> None:
    body = {"batch": [{"type": "identify", "userId": str(number)} for number in range(2500)]}

    assert place.post("/v1/batch", body).status_code == 200
    assert len(place.calls) == 2500


def test_of_a_batch_the_good_calls_are_stored_and_the_bad_ones_kept_with_their_reasons(place: Any) -> None:
    bad = {"type": "track", "userId": "bob", "writeKey": "key-of-web"}

    answer = place.post("/v1/batch", {"batch": [ITEM, bad, ITEM]})

    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert len(place.calls) == 2
    (kept,) = place.rejected
    assert kept.code == "event_not_defined"
    assert json.loads(kept.body) == {**bad, "writeKey": "***"}


def test_a_single_call_that_is_bad_is_answered_400_and_kept(place: Any) -> None:
    answer = place.post("/v1/track", {"userId": "ann", "event": 5})

    message = "event must be a string"
    assert answer.status_code == 400
    assert answer.json() == {"success": False, "code": "event_not_string", "message": message, "error": message}
    assert [kept.code for kept in place.rejected] == ["event_not_string"]


def test_the_time_is_corrected_by_the_senders_clock(place: Any) -> None:
    place.post("/v1/track", {**TRACK, "timestamp": "2024-05-01T09:59:00Z", "sentAt": "2024-05-01T10:00:00Z"})
    place.post("/v1/batch", {"batch": [{**ITEM, "timestamp": "2024-05-01T09:58:00Z"}], "sentAt": "2024-05-01T10:00:00Z"})

    assert [call.timestamp.minute for call in place.calls] == [59, 58]
    assert {call.timestamp.hour for call in place.calls} == {11}


def test_the_address_of_a_browser_is_noted_and_that_of_a_server_is_not(place: Any) -> None:
    place.post("/v1/track", {**TRACK, "context": {"library": {"name": "analytics.js"}}})
    place.post("/v1/track", {**TRACK, "context": {"library": {"name": "analytics-python"}}})

    assert [call.context.get("ip") for call in place.calls] == ["127.0.0.1", None]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/track"), ("PUT", "/v1/batch"), ("DELETE", "/v1/t/"), ("POST", "/v1/pixel/track")]
)
def test_a_wrong_method_is_answered_405_in_json(place: Any, method: str, path: str) -> None:
    answer = requests.request(method, place.url + path, timeout=5)

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] in ("POST", "GET, HEAD")


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/tracks", "/v1/track//", "//v1/track", "/v1/pixel/other", "/v1/%ff", "/v1/track%2f.."]
)
def test_an_unknown_path_is_answered_404_in_json_and_never_redirected(place: Any, path: str) -> None:
    answer = place.post(path, TRACK)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_nothing_tells_which_server_this_is(place: Any) -> None:
    assert "Server" not in place.post("/v1/track", TRACK).headers
