"""What `explain` prints: read the files in tests/golden/explain as somebody would who asks why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sync.standin import StandIn

DEFINITIONS = """\
defaults: {schedule: manual}
audiences:
  - name: Buyers
    query: event('Order Completed').within(30 days).count() >= 1
  - name: Big Spenders
    query: |
      event('Order Completed').within(30 days).sum(property('revenue')) >= 100
        AND NOT trait('plan') = 'internal'
  - name: Looked And Bought
    query: |
      event('Product Viewed').where(
        property('price') >= 50
          AND event('Order Completed').within(parent: 3 days).where(property('sku') = property(parent: 'sku')).count() >= 1
      ).count() >= 1
  - name: Valued
    query: trait('buyers') = true AND (trait('orders') >= 5 OR trait('renews').within_next(10 days))
computed_traits:
  - name: Orders
    query: event('Order Completed').count()
  - name: Best
    query: event('Order Completed').where(property('revenue') > 20).max(property('revenue'))
"""


@pytest.fixture
def computed(line: Any, make_order: Any) -> Any:
    """Ann and bob have ordered; everything was computed as of 1 February."""
    line.write("personas.yaml", DEFINITIONS)
    viewed = {"type": "track", "event": "Product Viewed", "userId": "ann"}
    line.import_calls(
        {
            "type": "identify",
            "userId": "ann",
            "traits": {"plan": "pro", "renews": "2026-02-05"},
            "timestamp": "2026-01-01T00:00:00Z",
        },
        viewed | {"timestamp": "2026-01-09T00:00:00Z", "messageId": "v-1", "properties": {"sku": "A", "price": 60}},
        viewed | {"timestamp": "2026-01-19T00:00:00Z", "messageId": "v-2", "properties": {"sku": "B", "price": 40}},
        viewed | {"timestamp": "2026-01-29T00:00:00Z", "messageId": "v-3", "properties": {"sku": "C", "price": 70}},
        make_order("ann", "2025-12-10T00:00:00Z", "o-1", revenue=75, sku="D"),
        make_order("ann", "2026-01-10T00:00:00Z", "o-2", revenue=60, sku="A"),
        make_order("ann", "2026-01-20T00:00:00Z", "o-3", revenue="15.5", sku="B"),
        make_order("ann", "2026-01-22T00:00:00Z", "o-4", revenue=40.25, sku="B"),
        make_order("ann", "2026-01-24T00:00:00Z", "o-5", sku="B"),
        make_order("bob", "2026-01-10T00:00:00Z", "o-6", revenue=5, sku="A"),
    )
    done = line("compute", "--at", "2026-02-01")
    assert done.code == 0, done
    return line


@pytest.mark.parametrize("user", ["ann", "bob"])
@pytest.mark.parametrize("key", ["buyers", "big_spenders", "looked_and_bought", "valued", "orders", "best"])
def test_an_answer_is_explained_to_people_in_80_columns(computed: Any, golden: Any, key: str, user: str) -> None:
    done = computed("explain", key, user, "--at", "2026-02-01T12:00:00Z")

    assert done.code == 0
    assert max(map(len, done.lines)) <= 80
    golden.check(f"explain/{key}-{user}.txt", done.out)


@pytest.mark.parametrize("key", ["big_spenders", "looked_and_bought", "valued", "best"])
def test_an_answer_is_explained_to_programs(computed: Any, golden: Any, key: str) -> None:
    report = computed("explain", key, "ann", "--at", "2026-02-01T12:00:00Z", "--json").json

    # By the clock.
    assert report["run"].pop("started_at")
    golden.check(f"explain/{key}-ann.json", json.dumps(report, indent=2) + "\n")


def test_the_report_has_the_fields_that_are_relied_on(computed: Any) -> None:
    report = computed("explain", "buyers", "ann", "--at", "2026-02-01T12:00:00Z", "--json").json

    assert (report["audience"], report["user_id"], report["member"]) == ("buyers", "ann", True)
    assert (report["since"], report["next_change_at"]) == ("2026-02-01T00:00:00Z", "2026-02-23T00:00:00Z")
    assert report["condition"].keys() >= {"text", "value", "evidence", "parts"}
    assert report["condition"]["value"] is True
    assert report["condition"]["evidence"] == {"left": [4], "operator": ">=", "right": [1]}
    counted = report["condition"]["parts"][0]["evidence"]
    assert counted["events"][0] == {"timestamp": "2026-01-24T00:00:00Z", "message_id": "o-5"}
    assert (counted["counted"], counted["of"], counted["more"]) == (4, 5, 1)


def test_of_a_computed_trait_the_value_is_reported_too(computed: Any) -> None:
    report = computed("explain", "best", "ann", "--at", "2026-02-01T12:00:00Z", "--json").json
    nobody = computed("explain", "best", "bob", "--at", "2026-02-01T12:00:00Z", "--json").json

    assert (report["kind"], report["value"], report["member"]) == ("computed_trait", 75, True)
    assert (nobody["value"], nobody["member"], nobody["since"]) == (None, False, None)


def test_as_many_events_are_listed_as_are_asked_for(computed: Any) -> None:
    lines = computed("explain", "orders", "ann", "--events", "2").lines
    listed = computed("explain", "orders", "ann", "--events", "2", "--json").json["condition"]["evidence"]
    none = computed("explain", "buyers", "ann", "--events", "0", "--at", "2026-02-01").lines

    assert lines[-4:] == [
        "event('Order Completed').count(): 5 of 5 events 'Order Completed'",
        "  2026-01-24T00:00:00Z",
        "  2026-01-22T00:00:00Z",
        "  and 3 more",
    ]
    assert ([one["message_id"] for one in listed["events"]], listed["more"]) == (["o-5", "o-4"], 3)
    assert none[-1].strip().startswith("4 >= 1: 4 of 5 events")


def test_the_ledger_of_the_last_run_is_said_to_differ_where_it_does(computed: Any) -> None:
    done = computed("explain", "buyers", "ann", "--at", "2026-02-24")
    report = computed("explain", "buyers", "ann", "--at", "2026-02-24", "--json").json

    assert "ann is not in buyers as of 2026-02-24T00:00:00Z" in done.lines
    assert "still says in since 2026-02-01T00:00:00Z, by run" in done.out
    assert "not yet synced" in done.out
    assert (report["member"], report["in_step"], report["since"]) == (False, False, None)
    assert report["recorded"] == {"value": True, "since": "2026-02-01T00:00:00Z"}


def test_without_an_instant_the_answer_is_that_of_now(computed: Any) -> None:
    report = computed("explain", "buyers", "ann", "--json").json

    assert report["member"] is False
    assert report["at"] > "2026-03-01"


def test_a_changed_query_is_said_to_be_why_the_ledger_differs(computed: Any) -> None:
    computed.write("personas.yaml", DEFINITIONS.replace("within(30 days).count() >= 1", "within(30 days).count() >= 9"))
    computed("definitions", "apply")

    assert "the query has changed since" in " ".join(computed("explain", "buyers", "ann", "--at", "2026-02-02").out.split())


def test_what_moesif_was_told_is_said_in_each_state(line: Any, standin: StandIn, make_order: Any) -> None:
    line.import_calls(make_order("ann", "2026-01-10T00:00:00Z"), {"type": "identify", "userId": "bob"})
    line("compute", "--at", "2026-01-11")
    owed = line("explain", "buyers", "ann", "--at", "2026-01-12").out
    line("sync", "--at", "2026-01-11")
    accepted = line("explain", "buyers", "ann", "--at", "2026-01-12").out
    told = line("explain", "buyers", "ann", "--at", "2026-01-12", "--json").json
    never = line("explain", "buyers", "bob", "--at", "2026-01-12").out

    assert "Moesif       owed true; nothing accepted so far" in owed
    assert "Moesif       accepted true at " in accepted
    assert (told["told"]["state"], told["told"]["value"], told["accepted"]) == ("settled", True, True)
    assert told["told"]["at"] == told["accepted_at"]
    assert "Moesif       was never told anything about it" in never
    assert "since        never in" in never


def test_a_rejection_and_an_answer_that_never_came_are_said_with_their_reason(line: Any, standin: StandIn, make_order: Any) -> None:
    from sync.store import Store
    from sync.store.schema import memberships

    line.import_calls(make_order("ann", "2026-01-10T00:00:00Z"))
    line("sync", "buyers", "--at", "2026-01-11")
    store = Store.at(line.environ["SYNC_DATABASE_URL"])

    def in_state(state: str, **values: Any) -> str:
        with store.writing() as connection:
            connection.execute(memberships.update().values(state=state, reason="400 Bad Request", **values))
        return " ".join(line("explain", "buyers", "ann", "--at", "2026-01-12").out.split())

    assert "rejected true (400 Bad Request); accepted last: true at 20" in in_state("rejected")
    assert "owed true, tried 2 times (400 Bad Request); accepted last: true" in in_state("owed", attempts=2)
    unknown = in_state("unknown", accepted=None, accepted_at=None)
    assert "was told, and no answer is known (400 Bad Request); true goes first next" in unknown
    store.close()


def test_a_value_that_is_on_its_way_is_said_to_be_so(line: Any, standin: StandIn, make_order: Any) -> None:
    from sync.store import Store, ledger_claims
    from sync.store.schema import memberships

    line.import_calls(make_order("ann", "2026-01-10T00:00:00Z"))
    line("sync", "buyers", "--at", "2026-01-11")
    store = Store.at(line.environ["SYNC_DATABASE_URL"])
    with store.writing() as connection:
        row = connection.execute(memberships.update().values(state="owed").returning(memberships)).one()
        ledger_claims.make(connection, [ledger_claims.Same(row.audience_id, "true", [row.profile_id])], None)
    store.close()

    said = " ".join(line("explain", "buyers", "ann", "--at", "2026-01-12").out.split())

    assert "true is on its way; accepted last: true" in said


def test_what_strangers_call_themselves_and_their_things_steers_no_terminal(line: Any, make_order: Any) -> None:
    line.write(
        "personas.yaml",
        "defaults: {schedule: manual}\n"
        "audiences: [{name: Last, query: \"event('Order Completed').last(property('sku')) = trait('sku')\"}]\n",
    )
    escape = "\x1b[2J" + "x" * 200
    line.import_calls(
        make_order(escape, "2026-01-10T00:00:00Z", sku=escape),
        {"type": "identify", "userId": escape, "traits": {"sku": escape}, "timestamp": "2026-01-10T00:00:00Z"},
    )
    line("definitions", "apply")

    done = line("explain", "last", escape)

    assert done.code == 0
    assert "\x1b" not in done.out
    assert "…" in done.out


def test_what_is_not_there_or_no_longer_computed_is_refused(computed: Any) -> None:
    computed.write("personas.yaml", "audiences: []\n")
    computed("definitions", "apply")

    for arguments, message in (
        (("buyers", "ann"), "buyers is retired, since "),
        (("nobody", "ann"), "there is no audience or computed trait 'nobody'"),
    ):
        done = computed("explain", *arguments)
        assert (done.code, done.out) == (2, "")
        assert message in done.err
