"""deliveries list, show, retry: what is owed, what was refused and why, and sending it again."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sync.app import system_clock
from sync.cli.output import age
from sync.standin import Fault, StandIn


@pytest.fixture
def refused(line: Any, standin: StandIn, make_order: Any) -> Any:
    """Bob's membership was refused, and so was everybody's forwarded call."""
    line.write("calls.jsonl", "")
    line.import_calls(make_order("ann", "2026-01-10T00:00:00Z"), make_order("bob", "2026-01-11T00:00:00Z"))
    standin.misbehave(Fault(lane="users", status=400, when_user="bob", body='{"message":"wrong type"}'))
    standin.misbehave(Fault(lane="actions", status=413, times=1000))
    line("sync", "--at", "2026-01-20")
    line("replay", "--since", "2026-01-01")
    return line


def test_the_list_counts_and_shows_what_was_refused(refused: Any) -> None:
    listed = refused("deliveries", "--json").json

    assert (listed["owed"], listed["unknown"], listed["rejected"]) == (0, 0, 4)
    assert {"id", "lane", "state", "attempts", "next_try_at", "reason"} <= set(listed["items"][0])
    assert [item["what"] for item in listed["items"]] == [
        "buyers = true for bob",
        "orders = 1 for bob",
        "track Order Completed for ann",
        "track Order Completed for bob",
    ]
    assert [item["lane"] for item in listed["items"]] == ["users", "users", "actions", "actions"]


def test_the_list_can_be_cut_short_and_counts_all_the_same(refused: Any) -> None:
    listed = refused("deliveries", "--state", "rejected", "--limit", "3", "--json").json

    assert (listed["rejected"], len(listed["items"])) == (4, 3)
    assert refused("deliveries", "--state", "owed", "--json").json["items"] == []
    assert max(map(len, refused("deliveries").lines)) <= 80


def test_each_has_its_age(refused: Any) -> None:
    listed = refused("deliveries", "--json").json["items"]
    table = refused("deliveries").out

    assert all(system_clock() - datetime.fromisoformat(item["owed_since"]) < timedelta(minutes=5) for item in listed)
    assert "age" in table
    assert re.search(r"rejected +1 +[0-9]+ (s|min) ", table)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-5, "0 s"), (59, "59 s"), (61, "1 min"), (3_599, "59 min"), (86_399, "23 h"), (400_000, "4 d")]
)
def test_an_age_is_written_in_its_largest_unit(seconds: int, shown: str) -> None:
    now = datetime(2026, 3, 4, tzinfo=UTC)

    assert age(now - timedelta(seconds=seconds), now) == shown


def test_one_delivery_is_shown_with_what_would_be_sent(refused: Any) -> None:
    membership, call = (refused("deliveries", "--json").json["items"][number]["id"] for number in (0, 2))

    shown = refused("deliveries", "show", membership, "--json").json
    assert (shown["audience"], shown["value"], shown["accepted"], shown["reason"]) == (
        "buyers",
        True,
        None,
        "400 Bad Request: wrong type",
    )
    shown = refused("deliveries", "show", call, "--json").json
    assert shown["bodies"][0]["action_name"] == "Order Completed"
    assert shown["call"]["userId"] == "ann"
    assert "413" in refused("deliveries", "show", call).out


def test_everything_can_be_retried(refused: Any, standin: StandIn) -> None:
    standin.behave()

    done = refused("deliveries", "retry", "--all", "--json")
    sent = refused("sync", "--at", "2026-01-20", "--json")

    assert done.json == {"retried": 4, "calls": 2, "memberships": 2}
    assert (sent.code, sent.json["forwarded"]) == (0, {"owed": 0, "unknown": 0, "rejected": 0})
    assert standin.users()["bob"]["metadata"] == {"buyers": True, "orders": 1}
    assert len(standin.actions()) == 2


@pytest.mark.parametrize(
    ("chosen", "calls", "memberships"),
    [
        (("--reason", "WRONG type"), 0, 2),
        (("--reason", "413"), 2, 0),
        (("--reason", "4%3"), 0, 0),
        (("--since", "2020-01-01"), 2, 2),
        (("--until", "2020-01-01"), 0, 0),
        (("--since", "2020-01-01", "--reason", "400"), 0, 2),
        (("call-2",), 1, 0),
        (("call-1", "call-1", "ledger-1-2"), 1, 1),
        (("ledger-1-1",), 0, 0),
        (("call-1..2",), 2, 0),
        (("call-900..call-2", "ledger-1-2"), 1, 1),
        (("call-3..900",), 0, 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_retried_is_what_was_chosen(refused: Any, chosen: tuple[str, ...], calls: int, memberships: int) -> None:
    done = refused("deliveries", "retry", *chosen, "--json")

    assert (done.json["calls"], done.json["memberships"]) == (calls, memberships)


@pytest.mark.parametrize("chosen", [("call-9..3",), ("--reason", "4%3")], ids=" ".join)
def test_a_retry_of_nothing_says_so(refused: Any, chosen: tuple[str, ...]) -> None:
    done = refused("deliveries", "retry", *chosen)

    assert (done.code, done.out) == (0, "owed again: 0 calls and 0 memberships\n")
    assert "nothing of that is rejected, so there is nothing to retry" in done.err


def test_after_a_retry_every_run_still_balances(refused: Any) -> None:
    refused("sync", "--at", "2026-01-21")
    refused("deliveries", "retry", "--all")

    runs = refused("runs", "--json").json["runs"]

    assert all(run["owed"] == run["accepted"] + run["rejected"] + run["unknown"] + run["held"] for run in runs)
    assert {(run["at"][:10], run["audience"]): (run["rejected"], run["held"]) for run in runs} == {
        ("2026-01-20", "buyers"): (0, 1),
        ("2026-01-20", "orders"): (0, 1),
        ("2026-01-21", "buyers"): (0, 1),
        ("2026-01-21", "orders"): (0, 1),
    }


def test_a_lane_that_waits_is_shown_with_its_reason(line: Any, standin: StandIn, make_order: Any) -> None:
    line.import_calls(make_order("ann", "2026-01-10T00:00:00Z"))
    standin.misbehave(Fault(status=503, retry_after=600, times=100))
    line("sync", "--at", "2026-01-20", "--wait", "1")

    listed = line("deliveries", "--json").json

    assert [(lane["lane"], lane["reason"][:3]) for lane in listed["lanes"]] == [("users", "503")]
    assert listed["items"][0]["next_try_at"] == listed["lanes"][0]["paused_until"]
    assert "lane users waits until" in line("deliveries").out
