"""Every route there is, asked by whoever may be at the door: nobody known, a sender, an operator, another site's page."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import requests
from sqlalchemy import func, select

from sync.store.schema import calls, rejected_calls
from sync.web.answers import CLOSED
from sync.web.api.operations import OPERATIONS
from sync.web.ingest import PIXELS, POSTS
from tests.operating.conftest import TOKEN, Operated, started

KEY = "key-of-web"

ROUTES = [
    *((one.method, one.path.format(key="k", id="i", lane="users", space="default", profile="user_id:p")) for one in OPERATIONS),
    ("GET", "/api/openapi.json"),
    ("GET", "/metrics"),
    ("GET", "/api/nothing"),
    ("DELETE", "/api/audiences"),
    ("GET", "/v1/spaces/nothing"),
]
HEALTH = [("GET", "/healthz"), ("GET", "/readyz")]
NOTHING = [("POST", "/metrics"), ("DELETE", "/healthz"), ("PUT", "/readyz"), ("GET", "/"), ("GET", "/nothing")]
"""What is no route, be it by its method."""


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, sqlite_template: bytes) -> Iterator[Operated]:
    """A server that knows a write key and a token."""
    path = tmp_path_factory.mktemp("keyed") / "personas.db"
    path.write_bytes(sqlite_template)
    with ExitStack() as stack:
        yield started(stack, SYNC_WRITE_KEYS=f"web={KEY}", SYNC_DATABASE_URL=f"sqlite:///{path}")


def basic(user: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


# ── what is for operators ────────────────────────────────────────────────────────────────────────────────────────────────

STRANGERS = [{}, bearer(TOKEN[:-1]), basic(TOKEN[:-1]), bearer(KEY), basic(KEY)]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_for_operators_wants_the_token(keyed: Operated, method: str, path: str) -> None:
    told = [keyed.ask(method, path, token=None, headers=headers) for headers in STRANGERS]

    assert [(answer.status_code, answer.json()["code"]) for answer in told] == [(401, "unauthorized")] * len(STRANGERS)
    assert keyed.ask(method, path).status_code not in (401, 403)


@pytest.mark.parametrize(("method", "path"), HEALTH)
def test_health_wants_none(keyed: Operated, method: str, path: str) -> None:
    assert keyed.ask(method, path, token=None).status_code in (200, 503)


SHUT = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
OPENING = {"set-cookie", "access-control-allow-origin", "access-control-allow-credentials", "server"}
ELSEWHERE = {"origin": "https://evil.example"}


@pytest.mark.parametrize("token", [TOKEN, None], ids=["with the token", "without"])
@pytest.mark.parametrize(("method", "path"), ROUTES + HEALTH + NOTHING)
def test_answers_for_operators_are_not_kept_framed_or_read_by_other_sites(
    keyed: Operated, method: str, path: str, token: str | None
) -> None:
    for headers in ({}, ELSEWHERE):
        given = keyed.ask(method, path, token=token, headers=headers).headers

        assert {name: given.get(name) for name in SHUT} == SHUT
        assert not OPENING & {*given}


def test_no_header_is_forgotten_here_that_answers_for_operators_have() -> None:
    assert {name.decode() for name, _ in CLOSED} | {"x-content-type-options"} == {*SHUT}


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path in ROUTES if method != "GET"])
def test_a_page_of_another_site_cannot_change_anything(keyed: Operated, method: str, path: str) -> None:
    for headers in (ELSEWHERE, {"origin": "null"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}):
        answer = keyed.ask(method, path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin")

    assert keyed.ask(method, path, headers={"origin": keyed.url, "sec-fetch-site": "same-origin"}).status_code != 403


# ── what takes calls in ──────────────────────────────────────────────────────────────────────────────────────────────────

CALL = {"userId": "ann", "event": "x", "groupId": "g", "previousId": "p"}
BODY = CALL | {"batch": [CALL | {"type": "track"}]}
"""Of every kind of call, and of a batch."""
KEPT_NOWHERE = "/v1/m"
"""Takes what Analytics.js says about itself, of anybody."""


def kept(place: Operated) -> int:
    with place.store.reading() as connection:
        return sum(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in (calls, rejected_calls))


def keys(send: Callable[..., requests.Response], place: Operated) -> Iterator[tuple[str | None, requests.Response]]:
    """Send with each key that is none of a source's, in each place for one."""
    yield None, send(place)
    for key in ("key-of-we", TOKEN):
        yield key, send(place, key=key)
        yield key, send(place, headers=basic(key))
        yield key, send(place, headers=bearer(key))


def post(path: str) -> Callable[..., requests.Response]:
    def send(place: Operated, key: str | None = None, headers: dict[str, str] | None = None) -> requests.Response:
        return place.post(path, BODY | ({} if key is None else {"writeKey": key}), token=None, headers=headers or {})

    return send


@pytest.mark.parametrize("path", sorted(POSTS - {KEPT_NOWHERE}))
def test_a_call_is_taken_from_a_source_and_from_nobody_else_not_even_an_operator(keyed: Operated, path: str) -> None:
    before = kept(keyed)
    for key, answer in keys(post(path), keyed):
        assert answer.status_code == 401, key
        assert answer.json()["code"] in ("missing_write_key", "unknown_source")
    assert kept(keyed) == before

    assert post(path)(keyed, headers=basic(KEY)).status_code == 200
    assert kept(keyed) == before + 1


def test_what_analytics_js_says_about_itself_is_taken_from_anybody_and_kept_nowhere(keyed: Operated) -> None:
    before = kept(keyed)

    assert {answer.status_code for _, answer in keys(post(KEPT_NOWHERE), keyed)} == {200}
    assert kept(keyed) == before


def get(path: str) -> Callable[..., requests.Response]:
    def send(place: Operated, key: str | None = None, headers: dict[str, str] | None = None) -> requests.Response:
        data = base64.urlsafe_b64encode(json.dumps(CALL | ({} if key is None else {"writeKey": key})).encode()).decode()
        return place.get(f"{path}?data={data}", token=None, headers=headers or {})

    return send


@pytest.mark.parametrize("path", sorted(PIXELS))
def test_a_pixel_is_an_image_for_everybody_and_a_call_for_a_source_alone(keyed: Operated, path: str) -> None:
    before = kept(keyed)
    for _, answer in keys(get(path), keyed):
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
    assert kept(keyed) == before

    get(path)(keyed, key=KEY)
    assert kept(keyed) == before + 1


@pytest.mark.parametrize(("key", "status"), [(KEY, 200), ("key-of-we", 404), (TOKEN, 404), ("", 404)])
def test_only_a_source_has_settings(keyed: Operated, key: str, status: int) -> None:
    assert keyed.get(f"/v1/projects/{key}/settings", headers=bearer(TOKEN) | ELSEWHERE).status_code == status
