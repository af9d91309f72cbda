"""Who is let in: whoever has the token; without a token, this machine alone."""

from __future__ import annotations

import base64
from typing import Any

import pytest


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:".encode()).decode()


@pytest.mark.parametrize("given", ["Bearer token-of-operators", "bearer  token-of-operators", basic("token-of-operators")])
def test_the_token_comes_as_bearer_or_as_basic_user(operated: Any, given: str) -> None:
    assert operated.get("/metrics", token=None, headers={"authorization": given}).status_code == 200


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", "Bearer token", "Bearer token-of-operators2", "token-of-operators", basic(""), "Basic !", "Digest x"],
)
def test_anything_else_is_answered_401_that_says_what_to_send(operated: Any, given: str) -> None:
    answer = operated.get("/metrics", token=None, headers={"authorization": given})

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert "Bearer" in answer.headers["www-authenticate"]
    assert "SYNC_API_TOKEN" in answer.json()["message"]


def test_answers_for_operators_are_not_kept_framed_or_read_by_other_sites(operated: Any) -> None:
    for answer in (operated.get("/metrics"), operated.get("/metrics", token=None), operated.get("/readyz", token=None)):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not {"set-cookie", "access-control-allow-origin", "server"} & {*answer.headers}


def test_without_a_token_only_loopback_is_served(operate: Any) -> None:
    assert operate(SYNC_API_TOKEN="").get("/metrics", token=None).status_code == 200
    answer = operate(SYNC_API_TOKEN="", SYNC_HOST="0.0.0.0", SYNC_WRITE_KEYS="web=k").get("/metrics", token=None)

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
def test_loopback_alone_protects_only_from_what_was_meant_for_it(operate: Any, headers: dict[str, str], status: int) -> None:
    assert operate(SYNC_API_TOKEN="").get("/metrics", token=None, headers=headers).status_code == status
