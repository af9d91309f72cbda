"""What browsers need: leave to send, settings, and the pixel."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import requests

from sync.errors import Unreachable
from sync.web import Limits
from tests.web.test_behind_and_away import failing_with

TRACK = {"userId": "ann", "event": "Mail Opened", "writeKey": "key-of-web"}
ORIGIN = {"Origin": "https://shop.example"}


@pytest.mark.parametrize("path", ["/v1/t", "/v1/batch", "/v1/m", "/v1/track/", "/v1/projects/key-of-web/settings"])
def test_a_browser_that_asks_first_may_send(place: Any, path: str) -> None:
    asked = {**ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-retry-count"}

    answer = requests.options(place.url + path, headers=asked, timeout=5)

    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization,x-retry-count"


@pytest.mark.parametrize(("body", "status"), [(TRACK, 200), ({"writeKey": "key-of-web"}, 400), ({}, 401)])
def test_a_page_of_any_origin_may_read_the_answer_and_when_to_come_again(place: Any, body: Any, status: int) -> None:
    answer = requests.post(f"{place.url}/v1/t", json=body, headers=ORIGIN, timeout=5)

    assert answer.status_code == status or body == {}
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Expose-Headers"] == "retry-after, x-ratelimit-reset"


def test_analytics_js_gets_settings_that_send_its_calls_here(place: Any) -> None:
    answer = requests.get(f"{place.url}/v1/projects/key-of-web/settings", headers=ORIGIN, timeout=5)

    segment = answer.json()["integrations"]["Segment.io"]
    assert list(answer.json()["integrations"]) == ["Segment.io"]
    assert segment["apiKey"] == "key-of-web"
    assert segment["apiHost"] == f"127.0.0.1:{place.port}/v1"
    assert segment["protocol"] == "http"
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"


def test_behind_a_proxy_that_speaks_tls_the_settings_say_https(place: Any) -> None:
    answer = requests.get(f"{place.url}/v1/projects/key-of-web/settings", headers={"X-Forwarded-Proto": "https"}, timeout=5)

    assert answer.json()["integrations"]["Segment.io"]["protocol"] == "https"


def test_there_are_no_settings_for_an_unknown_key(place: Any) -> None:
    assert requests.get(f"{place.url}/v1/projects/other/settings", timeout=5).status_code == 404


def encoded(value: Any) -> dict[str, str]:
    return {"data": base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")}


@pytest.mark.parametrize(
    "query",
    [
        encoded({**TRACK, "properties": {"plan": "pro???>>>"}}),
        {"data": base64.b64encode(json.dumps({**TRACK, "properties": {"plan": "pro???>>>"}}).encode()).decode()},
        {"writeKey": "key-of-web", "userId": "ann", "event": "Mail Opened", "properties.plan": "pro???>>>"},
    ],
)
def test_a_pixel_brings_a_call(place: Any, query: dict[str, str]) -> None:
    answer = requests.get(f"{place.url}/v1/pixel/track", params=query, timeout=5)

    assert (answer.status_code, answer.headers["Content-Type"], answer.content[:6]) == (200, "image/gif", b"GIF89a")
    (call,) = place.calls
    assert (call.event, call.user_id, call.properties) == ("Mail Opened", "ann", {"plan": "pro???>>>"})
    assert call.context["ip"] == "127.0.0.1"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "data=%%%",
        "data=////",
        "data=eyJ",
        "userId=ann",
        "writeKey=wrong&userId=ann&event=x",
        "writeKey=key-of-web",
        "a.b.c=1&a=2&a.b=3",
        "%ff=%ff",
        "x=1&" * 2000,
        "a." * 5000 + "b=1&writeKey=key-of-web",
        "writeKey=key-of-web&userId=%00&event=x",
        "data=" + "W1tb" * 5000,
    ],
)
def test_a_pixel_is_an_image_whatever_becomes_of_the_call(place: Any, query: str) -> None:
    answer = requests.get(f"{place.url}/v1/pixel/track?{query}", timeout=5)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/gif")
    assert place.calls == []


def test_asking_for_the_head_of_a_pixel_is_no_call(place: Any) -> None:
    assert requests.head(f"{place.url}/v1/pixel/track", params=encoded(TRACK), timeout=5).status_code == 200
    assert place.taken == []


def test_a_pixel_that_cannot_be_stored_just_now_is_an_image_and_no_success(serve: Any) -> None:
    place = serve()
    place.fails = failing_with(Unreachable("away"))

    answer = requests.get(f"{place.url}/v1/pixel/track", params=encoded(TRACK), timeout=5)

    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "image/gif")


def test_a_pixel_of_a_source_that_sends_too_much_is_an_image_and_no_success(serve: Any) -> None:
    place = serve(limits=Limits(source_rate=0.001))
    answers = [requests.get(f"{place.url}/v1/pixel/track", params=encoded(TRACK), timeout=5) for _ in range(3)]

    assert {answer.headers["Content-Type"] for answer in answers} == {"image/gif"}
    assert answers[-1].status_code == 429
