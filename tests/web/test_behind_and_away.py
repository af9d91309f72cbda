"""What senders are told when calls cannot be stored at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from starlette.routing import Route

from sync.call import Incoming
from sync.errors import StoreBusy, Unreachable
from sync.web import Health, Limits

TRACK = {"userId": "ann", "event": "Order Completed", "messageId": "m1"}


def failing_with(
    error: Exception, when: Callable[[Sequence[Incoming]], bool] = lambda _: True
) -> Callable[[Sequence[Incoming]], None]:
    def fail(incoming: Sequence[Incoming]) -> None:
        if when(incoming):
            raise error

    return fail


@pytest.mark.parametrize("error", [Unreachable("secret host"), StoreBusy("locked")])
def test_a_store_that_is_away_is_answered_503_and_when_to_come_again(place: Any, error: Exception) -> None:
    place.fails = failing_with(error)

    answer = place.post("/v1/track", TRACK)

    assert (answer.status_code, answer.json()["code"]) == (503, "store_away")
    assert answer.headers["Retry-After"] == answer.headers["X-RateLimit-Reset"] == "5"
    assert "secret" not in answer.text


def test_a_store_that_comes_back_takes_calls_again_and_both_are_said_once(place: Any, caplog: pytest.LogCaptureFixture) -> None:
    place.post("/v1/track", TRACK)
    caplog.clear()
    place.fails = failing_with(Unreachable("away"))
    for _ in range(3):
        place.post("/v1/track", TRACK)
    place.fails = lambda _: None

    assert [place.post("/v1/track", TRACK).status_code for _ in range(2)] == [200, 200]
    said = [record.message for record in caplog.records if record.name == "sync.web.writer"]
    assert said == ["calls are answered 503, since they cannot be stored: away", "calls are stored again"]


def test_one_request_that_the_store_chokes_on_costs_none_of_its_neighbours(place: Any, caplog: pytest.LogCaptureFixture) -> None:
    first, go_on = threading.Event(), threading.Event()

    def choke(incoming: Sequence[Incoming]) -> None:
        first.set()
        go_on.wait(5)
        if any(call.user_id == "poison" for one in incoming for call in one.calls):
            raise RuntimeError("poison is in the message")

    place.fails = choke
    users = ["first", *(f"u{number}" for number in range(20)), "poison", *(f"v{number}" for number in range(20))]
    with ThreadPoolExecutor(len(users)) as pool, caplog.at_level(logging.ERROR):
        answers = [pool.submit(place.post, "/v1/track", {**TRACK, "userId": user}) for user in users]
        first.wait(5)
        wait_until_asked(place, len(users))
        go_on.set()
        statuses = {user: answer.result().status_code for user, answer in zip(users, answers, strict=True)}

    assert statuses.pop("poison") == 500
    assert set(statuses.values()) == {200}
    assert {call.user_id for call in place.calls} == set(statuses)
    assert "RuntimeError" in caplog.text
    assert "poison" not in caplog.text


def wait_until_asked(place: Any, times: int) -> None:
    for _ in range(500):
        if len(place.asked) >= times:
            return
        time.sleep(0.01)
    raise AssertionError(f"only {len(place.asked)} of {times} requests came")


def stuck(place: Any) -> tuple[threading.Event, threading.Event]:
    """Make the store hang; return what says that it does, and what lets it go on."""
    hangs, go_on = threading.Event(), threading.Event()

    def hang(_incoming: Sequence[Incoming]) -> None:
        hangs.set()
        go_on.wait(10)

    place.fails = hang
    return hangs, go_on


@pytest.mark.parametrize("limits", [Limits(waiting_calls=1), Limits(waiting_bytes=120)], ids=["calls", "bytes"])
def test_too_much_that_waits_is_answered_429_until_it_is_stored(serve: Any, limits: Limits) -> None:
    place = serve(limits=limits)
    hangs, go_on = stuck(place)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(place.post, "/v1/track", TRACK)
        hangs.wait(5)

        refused = place.post("/v1/track", TRACK)
        go_on.set()
        taken = waiting.result()

    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert refused.headers["Retry-After"] == refused.headers["X-RateLimit-Reset"] == "1"
    assert taken.status_code == 200
    assert place.post("/v1/track", TRACK).status_code == 200


def test_success_is_not_said_before_the_calls_are_stored(place: Any) -> None:
    hangs, go_on = stuck(place)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(place.post, "/v1/track", TRACK)
        hangs.wait(5)

        assert not answer.done()
        go_on.set()
        assert answer.result().status_code == 200


def test_many_requests_share_one_transaction(place: Any) -> None:
    sizes: list[int] = []
    hangs, go_on = stuck(place)
    hang = place.fails

    def count(incoming: Sequence[Incoming]) -> None:
        sizes.append(len(incoming))
        hang(incoming)

    place.fails = count
    with ThreadPoolExecutor(30) as pool:
        answers = [pool.submit(place.post, "/v1/track", TRACK) for _ in range(30)]
        hangs.wait(5)
        wait_until_asked(place, 30)
        go_on.set()
        assert {answer.result().status_code for answer in answers} == {200}

    assert sum(sizes) == 30
    assert len(sizes) < 10


def test_health_says_alive_and_readiness_asks_the_program(serve: Any) -> None:
    well = serve()
    ill = serve(health=lambda: Health(ready=False, facts={"schema": "old"}))

    assert requests.get(f"{well.url}/healthz", timeout=5).json() == {"alive": True}
    assert requests.get(f"{well.url}/readyz", timeout=5).status_code == 200
    answer = requests.get(f"{ill.url}/readyz", timeout=5)
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "schema": "old"})
    assert requests.head(f"{ill.url}/healthz", timeout=5).status_code == 200
    assert requests.post(f"{ill.url}/healthz", timeout=5).json()["code"] == "method_not_allowed"


def test_what_nobody_foresaw_is_answered_500_without_details(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def explode(_request: object) -> None:
        raise KeyError("ann@example.com")

    place = serve(more_routes=[Route("/explode", explode)])
    with caplog.at_level(logging.DEBUG):
        answer = requests.get(f"{place.url}/explode", timeout=5)

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "KeyError" in caplog.text
    assert "ann@" not in answer.text + caplog.text
