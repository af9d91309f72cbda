"""The query API: the same objects as the commands print with --json, bounded and paged; clear errors for everything else."""

from __future__ import annotations

import inspect
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sync.apply import apply
from sync.compute import compute
from sync.delivery import Lane, State
from sync.store import Store, leases, metadata_types, next_deliveries, queue, requested
from sync.store.wanted import Wanted
from sync.web.api.operations import OPERATIONS, Operation
from tests.cli.conftest import CommandLine
from tests.make import NOW, after, audience, computed_trait, definition, identify, keep, people, record, standing_clock, track


@pytest.fixture
def lived_in(operated: Any) -> Any:
    """A store in which something of everything is: calls, runs, memberships, something owed, something rejected."""
    store: Store = operated.store
    keep(store, identify("ann", {"in": True, "plan": "gold"}, anonymous_id="a1"), track("ann"), track("bob"), forward=True)
    record(store, audience(store), ["ann", "bob"])
    record(store, computed_trait(store), {"ann": 1, "bob": 2})
    record(store, audience(store, "buyers_of_late", query="event('Order Completed').within(30 days).count() >= 1"), ["ann"])
    with store.writing() as connection:
        first, _ = next_deliveries.take(connection, Wanted(lane=Lane.ACTIONS, limit=2))
        queue.settle(connection, [first.id], State.REJECTED, "answered 400: bad")
    return operated


SAME = {
    "/api/audiences": ("audiences",),
    "/api/audiences/buyers": ("audience", "show", "buyers"),
    "/api/audiences/orders?limit=3": ("audience", "show", "orders", "--limit", "3"),
    "/api/users/ann": ("user", "ann"),
    "/api/users/ann?limit=1": ("user", "ann", "--limit", "1"),
    "/api/users/ann/explain/buyers_of_late?at=2026-03-04T09:00Z": ("explain", "buyers_of_late", "ann", "--at", "2026-03-04T09:00Z"),
    "/api/runs": ("runs",),
    "/api/runs?audience=buyers&limit=1": ("runs", "buyers", "--limit", "1"),
    "/api/deliveries": ("deliveries",),
    "/api/deliveries?state=rejected": ("deliveries", "list", "--state", "rejected"),
    "/api/deliveries/ledger-1-1": ("deliveries", "show", "ledger-1-1"),
}


@pytest.mark.parametrize("path", SAME)
def test_an_answer_is_what_the_command_prints(lived_in: Any, database_url: str, tmp_path: Path, path: str) -> None:
    line = CommandLine(tmp_path, {"SYNC_DATABASE_URL": database_url})

    answer = lived_in.get(path)

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == line(*SAME[path], "--json").json


def test_members_come_page_by_page_and_lose_nobody(operated: Any) -> None:
    users = [f"u{number}" for number in range(7)]
    people(operated.store, *users)
    record(operated.store, audience(operated.store), users)
    found, path = [], "/api/audiences/buyers/members?limit=3"

    while path:
        page = operated.get(path).json()
        found += [member["user_id"] for member in page["members"]]
        path = page["next"] and f"/api/audiences/buyers/members?limit=3&after={page['next']}"

    assert found == users
    assert page["members"][0]["since"] == "2026-03-04T09:00:00Z"


@pytest.mark.parametrize(
    ("at", "members"), [("2026-03-04T08:59Z", []), ("2026-03-04T09:00Z", ["ann", "bob"]), ("2026-03-04T11:00Z", ["bob", "cid"])]
)
def test_members_of_a_past_instant_come_page_by_page(operated: Any, at: str, members: list[str]) -> None:
    people(operated.store, "ann", "bob", "cid")
    buyers = audience(operated.store)
    record(operated.store, buyers, ["ann", "bob"])
    record(operated.store, buyers, ["bob", "cid"], after(hours=1))
    found, start = [], 0

    while start is not None:
        page = operated.get(f"/api/audiences/buyers/members?at={at}&limit=1&after={start}").json()
        found += [member["user_id"] for member in page["members"]]
        start = page["next"]

    assert found == members


def test_types_come_page_by_page_and_one_is_given_up(operated: Any) -> None:
    with operated.store.writing() as connection:
        metadata_types.learn(connection, Lane.USERS, {"a": "object", "a.b": "string", "c": "number", "é/": "string"}, NOW)
    found, path = [], "/api/types/users?limit=2"

    while path:
        page = operated.get(path).json()
        found += [(one["key"], one["type"]) for one in page["types"]]
        path = page["next"] and f"/api/types/users?limit=2&after={page['next']}"

    assert found == [("a", "object"), ("a.b", "string"), ("c", "number"), ("é/", "string")]
    assert operated.post("/api/types/users/forget", {"metadata_key": "a"}).json() == {"forgotten": 2}
    assert [one["key"] for one in operated.get("/api/types/users").json()["types"]] == ["c", "é/"]
    assert operated.post("/api/types/users/forget", {"metadata_key": "a"}).status_code == 404
    assert operated.get("/api/types/actions").json() == {"types": [], "next": None}


def test_a_user_id_may_hold_whatever_a_path_can_be_quoted_with(operated: Any) -> None:
    for quoted, user_id in {"a%2Fb": "a/b", "%C3%A9%20%3F%23": "é ?#", "a%252Fb": "a%2Fb"}.items():
        people(operated.store, user_id)
        assert operated.get(f"/api/users/{quoted}").json()["user_id"] == user_id


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/api/runs?limit=0", "limit: expected a whole number from 1 to 1000"),
        ("/api/runs?limit=x", "limit: expected a whole number"),
        ("/api/runs?limit=1&limit=2", "'limit' is given twice"),
        ("/api/runs?limt=1", "there is no parameter 'limt'; there are: audience, after, before, limit"),
        ("/api/deliveries?state=gone", "state: expected one of owed, unknown, sending, rejected"),
        ("/api/deliveries/17", "they look like call-17 and ledger-3-42"),
        ("/api/audiences/buyers/members?at=yesterday", "expected a date such as 2026-03-04"),
        ("/api/audiences/buyers/members?after=-1", "after: expected a whole number from 0"),
        ("/api/audiences?retired=1", "retired: expected true or false"),
        ("/api/users/a%00b", "id: expected a text of 1 to 1000 characters, none of them U+0000"),
        ("/api/users/%FF", "id: expected UTF-8, percent-encoded"),
        ("/api/runs?audience=%FF", "percent-encoded in UTF-8"),
        ("/api/runs?audience=" + "x" * 1001, "audience: expected a text of 1 to 1000 characters"),
    ],
)
def test_a_wrong_parameter_is_answered_400_with_what_would_be_right(place: Any, path: str, right: str) -> None:
    answer = place.get(path)

    assert answer.status_code == 400
    assert right in answer.json()["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/audiences/nobody",
        "/api/users/nobody",
        "/api/users/ann/explain/nobody",
        "/api/deliveries/call-99",
        "/api/nothing",
        "/api/users/",
    ],
)
def test_what_is_not_there_is_answered_404_in_json(operated: Any, path: str) -> None:
    people(operated.store, "ann")
    answer = operated.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.json()["message"]


def test_a_wrong_method_is_told_the_right_ones(place: Any) -> None:
    assert place.post("/api/audiences", {}).headers["allow"] == "GET, HEAD"
    assert place.get("/api/audiences/buyers/sync").headers["allow"] == "POST"
    assert place.ask("DELETE", "/api/openapi.json").status_code == 405
    assert place.ask("HEAD", "/api/audiences").text == ""


def test_a_store_that_is_away_is_answered_503_without_its_address(operate: Any, tmp_path: Path) -> None:
    place = operate(SYNC_DATABASE_URL=f"sqlite:///{tmp_path / 'nothing' / 'personas.db'}")

    answer = place.get("/api/audiences")

    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "store_away", "5")
    assert "nothing" not in answer.text


# ── to sync ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sync_is_asked_for_at_once_and_its_outcome_is_seen_where_the_answer_says(operated: Any) -> None:
    buyers = audience(operated.store)
    people(operated.store, "ann")
    record(operated.store, buyers, [])

    answer = operated.post("/api/audiences/buyers/sync")

    assert (answer.status_code, answer.json()["scheduler"]) == (202, "no heartbeat")
    assert operated.get(answer.json()["see"]).json() == {"runs": []}
    with operated.store.reading() as connection:
        assert [(wish.key, wish.at) for wish in requested.waiting(connection)] == [("buyers", NOW)]
    keep(operated.store, identify("ann", {"in": True}))
    compute(operated.store, buyers, None, standing_clock())
    (run,) = operated.get(answer.json()["see"]).json()["runs"]
    assert (run["audience"], run["entered"]) == ("buyers", 1)


def test_what_is_retired_or_unknown_cannot_be_synced(operated: Any) -> None:
    apply(operated.store, [definition("old")], NOW)
    apply(operated.store, [definition("new")], NOW)

    assert operated.post("/api/audiences/old/sync").status_code == 409
    assert operated.post("/api/audiences/none/sync").status_code == 404


# ── to owe again ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "calls"), [({"all": True}, 1), ({"reason": "400"}, 1), ({"reason": "timeout"}, 0), ({"since": "2026-03-05"}, 0)]
)
def test_what_was_rejected_is_owed_again_and_whoever_sends_is_woken(lived_in: Any, body: dict[str, Any], calls: int) -> None:
    answer = lived_in.post("/api/deliveries/retry", body)

    assert (answer.status_code, answer.json()) == (200, {"retried": calls, "calls": calls, "memberships": 0})
    assert lived_in.get("/api/deliveries?state=rejected").json()["rejected"] == 1 - calls
    assert lived_in.wakes


def test_what_was_rejected_is_owed_again_by_id(lived_in: Any) -> None:
    (item,) = lived_in.get("/api/deliveries?state=rejected").json()["items"]

    assert lived_in.post("/api/deliveries/retry", {"ids": [item["id"]]}).json()["calls"] == 1
    assert lived_in.post("/api/deliveries/retry", {"ids": ["call-999"]}).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"ids": []},
        {"ids": ["x"]},
        {"ids": "call-1"},
        {"all": False},
        {"all": True, "reason": "x"},
        {"every": True},
        {"since": 1},
        b"{",
        b"\xff",
        b"",
    ],
    ids=str,
)
def test_a_wrong_body_is_answered_400(place: Any, body: Any) -> None:
    answer = place.post("/api/deliveries/retry", body, headers={"content-type": "application/json"})

    assert answer.status_code == 400
    assert answer.json()["message"]


def test_a_body_must_be_json_said_to_be_json_and_of_bearable_size(place: Any) -> None:
    assert place.post("/api/deliveries/retry", b'{"all":true}', headers={"content-type": "text/plain"}).status_code == 415
    large = b'{"reason":"' + b"x" * 70_000 + b'"}'
    assert place.post("/api/deliveries/retry", large, headers={"content-type": "application/json"}).status_code == 413


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_whoever_answers_takes_just_what_the_table_reads(operation: Operation) -> None:
    read = {one.name for one in (*operation.in_path, *operation.query, *operation.body)}
    taken = set(inspect.signature(operation.answered_by).parameters) - {"program"}

    assert taken == {"class_" if name == "class" else name for name in read}


def test_a_lane_that_waits_says_until_when(operated: Any) -> None:
    with operated.store.writing() as connection:
        leases.pause(
            connection, leases.Pause(lane=Lane.USERS, until=NOW + timedelta(hours=1), reason="503", failures=1, key_refused=False)
        )

    (lane,) = operated.get("/api/deliveries").json()["lanes"]

    assert (lane["lane"], lane["paused_until"]) == ("users", "2026-03-04T10:00:00Z")
