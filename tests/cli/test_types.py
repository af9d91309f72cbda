"""types list, types forget: the JSON types that Moesif holds metadata keys to."""

from __future__ import annotations

from typing import Any

import pytest

from sync.standin import StandIn


@pytest.fixture
def clashed(line: Any, standin: StandIn, make_order: Any) -> Any:
    """Ann's revenue was a number, and then Bob's came as text."""
    line.import_calls(make_order("ann", "2026-01-10T00:00:00Z", revenue=9.5))
    line("replay", "--since", "2026-01-01")
    line("sync", "--at", "2026-01-20")
    line.import_calls(make_order("bob", "2026-01-11T00:00:00Z", revenue="EUR 41.7"))
    line("replay", "--since", "2026-01-11")
    line("sync", "--at", "2026-01-21")
    return line


def test_the_types_are_listed_by_lane(clashed: Any) -> None:
    listed = clashed("types", "--json").json["types"]

    assert [(one["lane"], one["key"], one["type"]) for one in listed] == [
        ("actions", "revenue", "number"),
        ("users", "buyers", "boolean"),
        ("users", "orders", "number"),
    ]
    assert "revenue" not in clashed("types", "--lane", "users").out


def test_a_clash_is_seen_among_the_deliveries_without_its_value(clashed: Any) -> None:
    shown = clashed("deliveries", "--state", "rejected")

    assert "1 rejected" in shown.out
    assert "metadata key revenue" in " ".join(shown.out.split())
    assert "41.7" not in shown.out


def test_a_type_is_forgotten_and_what_was_rejected_goes(clashed: Any, standin: StandIn) -> None:
    assert clashed("types", "forget", "actions", "revenue", "--json").json == {"forgotten": 1}
    assert clashed("deliveries", "retry", "--reason", "metadata key revenue", "--json").json["calls"] == 1

    assert clashed("sync", "--at", "2026-01-22", "--json").code == 0

    assert {action["metadata"]["revenue"] for action in standin.actions()} == {9.5, "EUR 41.7"}


def test_a_key_without_a_type_is_not_found(clashed: Any) -> None:
    done = clashed("types", "forget", "users", "revenue")

    assert (done.code, "personas-sync types --lane users" in done.err) == (2, True)


def test_without_the_lock_everything_is_sent_and_nothing_is_learned(line: Any, standin: StandIn, make_order: Any) -> None:
    line.environ["SYNC_TYPE_LOCK"] = "0"
    line.import_calls(
        make_order("ann", "2026-01-10T00:00:00Z", revenue=9.5), make_order("bob", "2026-01-11T00:00:00Z", revenue="1")
    )
    line("replay", "--since", "2026-01-01")

    assert line("sync", "--at", "2026-01-20").code == 0

    assert {action["metadata"]["revenue"] for action in standin.actions()} == {9.5, "1"}
    assert line("types", "--json").json == {"types": []}
