"""Who is let in: whoever has the token; without a token, this machine alone."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.operating.conftest import Operated, started


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:".encode()).decode()


@pytest.mark.parametrize("given", ["Bearer token-of-operators", "bearer  token-of-operators", basic("token-of-operators")])
def test_the_token_comes_as_bearer_or_as_basic_user(place: Any, given: str) -> None:
    assert place.get("/metrics", token=None, headers={"authorization": given}).status_code == 200


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", "Bearer token", "Bearer token-of-operators2", "token-of-operators", basic(""), "Basic !", "Digest x"],
)
def test_anything_else_is_answered_401_that_says_what_to_send(place: Any, given: str) -> None:
    answer = place.get("/metrics", token=None, headers={"authorization": given})

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert "Bearer" in answer.headers["www-authenticate"]
    assert "SYNC_API_TOKEN" in answer.json()["message"]


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A server without a token, on loopback."""
    with ExitStack() as stack:
        yield started(stack, SYNC_API_TOKEN="", SYNC_DATABASE_URL=f"sqlite:///{tmp_path_factory.mktemp('bare') / 'personas.db'}")


def test_without_a_token_only_loopback_is_served(operate: Any, unguarded: Operated, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'personas.db'}"
    open_to_all = operate(SYNC_API_TOKEN="", SYNC_HOST="0.0.0.0", SYNC_WRITE_KEYS="web=k", SYNC_DATABASE_URL=url)

    answer = open_to_all.get("/metrics", token=None)

    assert unguarded.get("/metrics", token=None).status_code == 200
    assert (answer.status_code, answer.json()["code"]) == (403, "not_served")
    assert "SYNC_API_TOKEN" in answer.json()["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:8400"}, 200),
        ({"host": "[::1]:8400"}, 200),
        ({"host": "evil.example:8400"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "[broken"}, 403),
        ({"x-forwarded-for": "203.0.113.7"}, 403),
        ({"via": "1.1 proxy"}, 403),
    ],
)
def test_loopback_alone_protects_only_from_what_was_meant_for_it(unguarded: Operated, headers: dict[str, str], status: int) -> None:
    assert unguarded.get("/metrics", token=None, headers=headers).status_code == status


def test_the_rate_of_a_source_is_a_setting_and_holds_nobody_where_any_key_is_taken(operate: Any, database_url: str) -> None:
    call = {"userId": "ann", "event": "x", "writeKey": "k"}
    with_keys = operate(SYNC_WRITE_KEYS="web=k", SYNC_SOURCE_RATE="0.01", SYNC_DATABASE_URL=database_url)
    with_any = operate(SYNC_SOURCE_RATE="0.01", SYNC_DATABASE_URL=database_url)

    statuses = [with_keys.post("/v1/track", call, token=None) for _ in range(2)]

    assert [answer.status_code for answer in statuses] == [200, 429]
    assert 90 <= int(statuses[1].headers["retry-after"]) <= 100
    assert {with_any.post("/v1/track", call, token=None).status_code for _ in range(2)} == {200}
