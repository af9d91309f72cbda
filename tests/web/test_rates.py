"""A source that sends more than its rate is told to wait, and no other source is."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
import requests

from sync.web import Limits
from sync.web.rates import BURST_SECONDS, Rates

CALL = {"userId": "ann", "event": "x"}


class Seconds:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def batch(size: int) -> dict[str, Any]:
    return {"batch": [{**CALL, "type": "track"}] * size}


def test_a_source_gets_its_burst_at_once_and_its_rate_over_time(seconds: Seconds) -> None:
    rates, taken = Rates(10, seconds), 0
    for _ in range(1000):
        while not rates.wait("web"):
            rates.spend("web", 1)
            taken += 1
        seconds.now += 0.1

    assert taken == pytest.approx(10 * (100 + BURST_SECONDS), rel=0.01)


def test_what_a_large_batch_costs_above_what_is_left_is_a_debt(seconds: Seconds) -> None:
    rates = Rates(10, seconds)
    rates.spend("web", 120)

    assert rates.wait("web") == pytest.approx(10.1)
    seconds.now += 10.2
    assert rates.wait("web") == 0


def test_a_rate_below_one_a_second_still_lets_a_call_in(seconds: Seconds) -> None:
    rates = Rates(0.1, seconds)

    assert rates.wait("web") == 0
    rates.spend("web", 1)
    assert rates.wait("web") == pytest.approx(10)


def test_a_flood_is_answered_429_with_when_to_come_again_and_the_other_source_is_not(serve: Any, seconds: Seconds) -> None:
    place = serve(limits=Limits(source_rate=10), monotonic=seconds)

    answers = [place.post("/v1/batch", batch(10)) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["code"] == "too_many_requests"
    assert answers[2].headers["Retry-After"] == answers[2].headers["X-RateLimit-Reset"] == "1"
    assert place.post("/v1/track", CALL, key="schlüssel".encode()).status_code == 200
    assert len(place.calls) == 21


def test_whoever_waits_as_long_as_asked_is_let_in(serve: Any, seconds: Seconds) -> None:
    place = serve(limits=Limits(source_rate=10), monotonic=seconds)
    place.post("/v1/batch", batch(60))
    wait = int(place.post("/v1/track", CALL).headers["Retry-After"])

    seconds.now += wait

    assert (wait, place.post("/v1/track", CALL).status_code) == (5, 200)


def test_the_rate_holds_for_a_key_in_the_body_and_for_pixels_too(serve: Any, seconds: Seconds) -> None:
    place = serve(limits=Limits(source_rate=1), monotonic=seconds)
    in_body = {**CALL, "writeKey": "key-of-web"}

    statuses = [place.post("/v1/track", in_body, key=None).status_code for _ in range(3)]
    pixel = requests.get(f"{place.url}/v1/pixel/track", params={"data": b64encode(json.dumps(in_body).encode())}, timeout=5)

    assert (statuses, pixel.status_code, len(place.calls)) == ([200, 200, 429], 429, 2)
    seconds.now += 1
    requests.get(pixel.url, timeout=5)
    assert len(place.calls) == 3


def test_a_limited_source_is_refused_before_its_body_is_understood(serve: Any, seconds: Seconds) -> None:
    place = serve(limits=Limits(source_rate=1), monotonic=seconds)
    place.post("/v1/batch", batch(2))

    assert place.post("/v1/track", b"{no JSON").status_code == 429


def test_an_unknown_key_has_no_bucket_of_its_own(serve: Any, seconds: Seconds) -> None:
    place = serve(limits=Limits(source_rate=1), monotonic=seconds)

    assert {place.post("/v1/track", CALL, key=f"guess-{number}").status_code for number in range(5)} == {401}
    assert place.post("/v1/track", CALL).status_code == 200


def test_without_a_rate_nobody_waits(serve: Any, seconds: Seconds) -> None:
    place = serve(monotonic=seconds)

    assert {place.post("/v1/batch", batch(500)).status_code for _ in range(5)} == {200}
