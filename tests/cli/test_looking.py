"""The commands that only look: audiences, audience show, preview, members, user, runs, doctor."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from sync.app import opened, system_clock
from sync.call import Incoming
from sync.cli.doctor import State, looked_at_clock
from sync.settings import read
from sync.spool import Spool
from sync.standin import StandIn
from tests.make import NOW, track
from tests.spool.conftest import away


@pytest.fixture
def synced(line: Any, standin: StandIn, make_order: Any) -> Any:
    """Ann and bob are in on 1 February; on the 20th bob is out."""
    line.import_calls(
        {
            "type": "identify",
            "userId": "ann",
            "anonymousId": "a-1",
            "traits": {"plan": "pro", "n": 1.0},
            "timestamp": "2026-01-01T00:00:00Z",
        },
        make_order("ann", "2026-01-10T00:00:00Z"),
        make_order("bob", "2026-01-20T00:00:00Z"),
        make_order("ann", "2026-02-15T00:00:00Z"),
    )
    line("sync", "--at", "2026-02-01")
    line("sync", "--at", "2026-02-20")
    return line


def test_audiences_are_listed_with_size_schedule_and_debt(synced: Any) -> None:
    listed = {one["key"]: one for one in synced("audiences", "--json").json["audiences"]}

    assert (listed["buyers"]["members"], listed["buyers"]["owed"], listed["buyers"]["kind"]) == (1, 0, "audience")
    assert (listed["orders"]["members"], listed["orders"]["kind"]) == (2, "computed_trait")
    assert listed["buyers"]["computed_at"] == "2026-02-20T00:00:00Z"
    assert synced("audiences").lines[1].split() == ["buyers", "1", "manual", "2026-02-20T00:00Z", "0"]


def test_retired_ones_are_listed_when_asked_for(synced: Any) -> None:
    synced.write("personas.yaml", "audiences: []\n")
    synced("definitions", "apply")

    assert synced("audiences", "--json").json["audiences"] == []
    assert [one["key"] for one in synced("audiences", "--all", "--json").json["audiences"]] == ["buyers", "orders"]


def test_an_audience_is_shown_with_what_its_query_looks_at(synced: Any) -> None:
    shown = synced("audience", "show", "buyers", "--json").json
    people = synced("audience", "show", "buyers").out

    assert shown["query"] == "event('Order Completed').within(30 days).count() >= 1"
    assert shown["reads"]["events"] == ["Order Completed"]
    assert {"event": "Order Completed", "seconds": 30 * 86_400} in shown["reads"]["edges"]
    assert [size["members"] for size in shown["history"]] == [2, 1]
    assert (shown["last_run"]["entered"], shown["last_run"]["exited"]) == (0, 1)
    assert "30 days after event 'Order Completed'" in people


def test_an_audience_is_shown_with_the_slots_that_it_skipped_if_there_are_any(synced: Any) -> None:
    from sync.store import Store, audiences

    assert synced("audience", "show", "buyers", "--json").json["slots_skipped"] == 0
    assert "skipped" not in synced("audience", "show", "buyers").out
    store = Store.at(synced.environ["SYNC_DATABASE_URL"])
    with store.writing() as connection:
        audiences.take_slot(connection, audiences.by_key(connection, "buyers"), NOW, 1234)
    store.close()

    assert synced("audience", "show", "buyers", "--json").json["slots_skipped"] == 1234
    assert ["slots", "skipped", "1,234"] in [line.split() for line in synced("audience", "show", "buyers").lines]


def test_what_a_query_reads_and_refers_to_is_told_apart(synced: Any) -> None:
    synced.write(
        "personas.yaml",
        """\
defaults: {schedule: manual}
audiences:
  - {name: Buyers, query: "event('Order Completed').within(30 days).count() >= 1"}
  - name: Regulars
    query: |
      trait('buyers') = true AND trait('orders') >= 3 AND trait('renews').within_next(2 days)
        OR event('Page Viewed').where(context('ip').exists()).sources(exclude: 'web').last(property('until')).before_last(1 day)
computed_traits: [{name: Orders, query: "event('Order Completed').count()"}]
""",
    )
    synced("definitions", "apply")

    reads = synced("audience", "show", "regulars", "--json").json["reads"]
    people = synced("audience", "show", "regulars").lines

    assert (reads["events"], reads["traits"], reads["context"], reads["sources"]) == (["Page Viewed"], ["renews"], True, True)
    assert reads["references"] == [
        {"key": "buyers", "kind": "audience"},
        {"key": "orders", "kind": "computed_trait"},
    ]
    assert {"trait": "renews", "seconds": -2 * 86_400} in reads["edges"]
    assert {"event": "Page Viewed", "value": "property('until')", "seconds": 86_400} in reads["edges"]
    start = people.index("reads            event 'Page Viewed', and their contexts and sources")
    assert [line.strip() for line in people[start + 1 : start + 4]] == [
        "trait 'renews'",
        "audience buyers",
        "computed trait orders",
    ]
    assert "2 days before the date in trait 'renews'" in "\n".join(people)


def test_a_query_that_time_never_changes_is_shown_as_such(line: Any) -> None:
    line.write("personas.yaml", "audiences: [{name: Pro, query: \"trait('plan') = 'pro'\", schedule: manual}]\n")
    line("definitions", "apply")

    assert "time changes it  never" in line("audience", "show", "pro").lines
    assert line("audience", "show", "pro", "--json").json["history"] == []


def test_as_many_sizes_are_shown_as_are_asked_for(synced: Any) -> None:
    shown = synced("audience", "show", "buyers", "--limit", "1", "--json").json

    assert shown["history"] == [{"at": "2026-02-20T00:00:00Z", "members": 1}]
    assert synced("audience", "show", "buyers", "--limit", "1").lines[-1].split() == ["2026-02-20T00:00:00Z", "1"]


def test_the_next_run_is_the_next_slot_of_the_schedule(line: Any) -> None:
    line.write("personas.yaml", "audiences: [{name: Buyers, query: \"trait('a') = 1\", cron: '0 0 1 1 *'}]\n")
    line("definitions", "apply")

    assert line("audience", "show", "buyers", "--json").json["next_run_at"].endswith("-01-01T00:00:00Z")


def test_a_query_of_nothing_is_said_in_one_line_without_a_place_to_point_at(synced: Any) -> None:
    done = synced("preview", "")

    assert done.code == 2
    assert len(done.err.splitlines()) == 1


def test_preview_gives_size_and_sample_as_of_an_instant(synced: Any) -> None:
    query = "event('Order Completed').within(30 days).count() >= 1"

    assert synced("preview", query, "--at", "2026-02-01", "--json").json == {"size": 2, "sample": ["ann", "bob"]}
    assert synced("preview", query, "--at", "2026-02-20").lines == ["1 user", "  ann"]


def test_a_query_that_is_wrong_is_shown_with_its_place(synced: Any) -> None:
    done = synced("preview", "trait('plan') => 'pro'")

    assert done.code == 2
    assert done.err.splitlines()[1:] == ["  trait('plan') => 'pro'", "                 ^"]


def test_members_are_streamed_a_line_each(synced: Any) -> None:
    members = [json.loads(line) for line in synced("members", "buyers", "--json").lines]

    assert members == [{"user_id": "ann", "since": "2026-02-01T00:00:00Z"}]
    assert synced("members", "buyers").lines == ["2026-02-01T00:00:00Z  ann"]


def test_members_of_a_past_instant_are_those_who_were_in_then(synced: Any) -> None:
    then = [json.loads(line)["user_id"] for line in synced("members", "buyers", "--at", "2026-02-10", "--json").lines]
    before = synced("members", "buyers", "--at", "2026-01-01", "--json")

    assert then == ["ann", "bob"]
    assert (before.code, before.out) == (0, "")
    assert "nobody was in buyers at 2026-01-01T00:00:00Z" in before.err


def test_membership_begins_and_ends_at_the_instants_of_the_runs(synced: Any) -> None:
    def then(key: str, at: str) -> list[Any]:
        return [json.loads(line) for line in synced("members", key, "--at", at, "--json").lines]

    assert then("buyers", "2026-01-31T23:59:59.999999Z") == []
    assert [one["user_id"] for one in then("buyers", "2026-02-01")] == ["ann", "bob"]
    assert [one["user_id"] for one in then("buyers", "2026-02-20T01:00:00+01:00")] == ["ann"]
    assert then("orders", "2026-02-19") == [
        {"user_id": "ann", "since": "2026-02-01T00:00:00Z", "value": 1},
        {"user_id": "bob", "since": "2026-02-01T00:00:00Z", "value": 1},
    ]


def test_who_was_in_and_left_and_came_back_is_a_member_since_the_return(synced: Any, make_order: Any) -> None:
    synced.import_calls(make_order("bob", "2026-02-25T00:00:00Z"))
    synced("compute", "--at", "2026-03-01")

    assert [json.loads(line) for line in synced("members", "buyers", "--at", "2026-03-02", "--json").lines][1] == {
        "user_id": "bob",
        "since": "2026-03-01T00:00:00Z",
    }


def test_of_an_instant_after_the_last_run_it_is_said_that_nothing_is_known(synced: Any) -> None:
    done = synced("members", "buyers", "--at", "2030-01-01", "--json")

    assert [json.loads(line)["user_id"] for line in done.lines] == ["ann"]
    assert "the last run of buyers was as of 2026-02-20T00:00:00Z; nothing later is known" in done.err


def test_a_retired_audience_still_has_its_history(synced: Any) -> None:
    synced.write("personas.yaml", "audiences: []\n")
    synced("definitions", "apply")

    assert synced("members", "buyers").lines == []
    assert synced("members", "buyers", "--at", "2026-02-10").lines == ["2026-02-01T00:00:00Z  ann", "2026-02-01T00:00:00Z  bob"]


def test_members_of_a_computed_trait_have_values(synced: Any) -> None:
    members = [json.loads(line) for line in synced("members", "orders", "--json").lines]

    assert [(one["user_id"], one["value"]) for one in members] == [("ann", 2), ("bob", 1)]


def test_a_user_is_shown_with_traits_audiences_and_what_moesif_accepted(synced: Any) -> None:
    ann, bob = synced("user", "ann", "--json").json, synced("user", "bob", "--json").json

    assert ann["traits"] == {"plan": "pro", "n": 1.0}
    assert '"n":1.0' in synced("user", "ann", "--json").out
    assert ann["anonymous_ids"] == ["a-1"]
    assert {name: ann["audiences"]["buyers"][name] for name in ("member", "since", "accepted")} == {
        "member": True,
        "since": "2026-02-01T00:00:00Z",
        "accepted": True,
    }
    assert (bob["audiences"]["buyers"]["member"], bob["audiences"]["buyers"]["accepted"]) == (False, False)
    assert (ann["computed_traits"]["orders"]["value"], ann["computed_traits"]["orders"]["accepted"]) == (2, 2)
    assert [change["key"] for change in ann["changes"]] == ["orders", "orders", "buyers"]
    assert [(change["change"], change["value"], change["at"][:10]) for change in bob["changes"]] == [
        ("exited", False, "2026-02-20"),
        ("changed", 1, "2026-02-01"),
        ("entered", True, "2026-02-01"),
    ]
    assert [change["run"] for change in bob["changes"]] == sorted((change["run"] for change in bob["changes"]), reverse=True)


def test_entries_and_exits_of_a_user_are_shown_newest_first_and_as_many_as_are_asked_for(synced: Any) -> None:
    everything = synced("user", "bob").lines
    two, two_as_json = synced("user", "bob", "--limit", "2").lines, synced("user", "bob", "--limit", "2", "--json").json

    assert [line.split()[:3] for line in everything[-3:]] == [
        ["2026-02-20T00:00:00Z", "buyers", "exited"],
        ["2026-02-01T00:00:00Z", "orders", "to"],
        ["2026-02-01T00:00:00Z", "buyers", "entered"],
    ]
    assert two[-1] == "and earlier ones; --limit shows more"
    assert ([change["key"] for change in two_as_json["changes"]], two_as_json["more_changes"]) == (["buyers", "orders"], True)
    assert synced("user", "bob", "--limit", "3", "--json").json["more_changes"] is False


def test_an_audience_that_a_user_never_was_in_is_shown_as_such(synced: Any) -> None:
    synced.write(
        "personas.yaml",
        (synced.folder / "personas.yaml")
        .read_text()
        .replace("computed_traits", "  - {name: Pro, query: \"trait('a') = 1\"}\ncomputed_traits"),
    )
    synced("definitions", "apply")

    pro = synced("user", "ann", "--json").json["audiences"]["pro"]

    assert (pro["member"], pro["since"], pro["accepted"]) == (False, None, None)


def test_a_terminal_is_not_steered_by_what_strangers_call_themselves(line: Any, make_order: Any) -> None:
    line.import_calls(make_order("\x1b[2Jann\nbob", "2026-01-10T00:00:00Z"))
    line("compute", "--at", "2026-01-11")

    assert line("members", "buyers").lines == ["2026-01-11T00:00:00Z  \\x1b[2Jann\\nbob"]
    assert "\x1b" not in line("deliveries").out + line("user", "\x1b[2Jann\nbob").out


def test_runs_are_listed_the_latest_first(synced: Any) -> None:
    both, one = synced("runs", "--json").json["runs"], synced("runs", "buyers", "--limit", "1", "--json").json["runs"]

    assert [run["at"][:10] for run in both] == ["2026-02-20", "2026-02-20", "2026-02-01", "2026-02-01"]
    assert [(run["audience"], run["exited"], run["outcome"]) for run in one] == [("buyers", 1, "done")]
    assert max(map(len, synced("runs").lines)) <= 80


def test_doctor_finds_nothing_wrong_where_nothing_is(synced: Any) -> None:
    done = synced("doctor", "--json")

    assert (done.code, done.json["ok"]) == (0, True)
    assert {"settings", "store", "schema", "definitions", "key", "moesif", "clock"} <= {one["name"] for one in done.json["checks"]}


def test_doctor_goes_by_the_gravest_fault_and_says_what_to_do(bare: Any) -> None:
    bare.environ |= {"SYNC_MOESIF_APPLICATION_ID": "app-1", "SYNC_MOESIF_URL": "http://127.0.0.1:1"}
    bare.write("personas.yaml", "audiences: [{name: $$$}]\n")

    done = bare("doctor", "--json")

    states = {one["name"]: one["state"] for one in done.json["checks"]}
    assert done.code == 5
    assert {name for name, state in states.items() if state == "fault"} == {"schema", "definitions", "moesif"}
    assert all(one["advice"] or "personas-sync" in one["message"] for one in done.json["checks"] if one["state"] == "fault")


def test_doctor_says_that_there_is_no_key(line: Any) -> None:
    done = line("doctor")

    assert done.code == 3
    assert "fault  key: SYNC_MOESIF_APPLICATION_ID is not set" in done.out


def test_doctor_sees_a_clock_that_went_back(line: Any, make_order: Any) -> None:
    from sync.store import Store

    line.import_calls(make_order("ann", "2026-01-10T00:00:00Z"))
    store = Store.at(line.environ["SYNC_DATABASE_URL"])
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE calls SET received_at = 4102444800000000")
    store.close()

    assert "warn   clock: " in line("doctor").out


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, None), (1, None), (7, "7 s ahead of the database's"), (-7, "7 s behind the database's")]
)
def test_doctor_sees_a_clock_that_is_not_the_databases(database_url: str, seconds: int, said: str | None) -> None:
    with opened(read({"SYNC_DATABASE_URL": database_url}), lambda: system_clock() + timedelta(seconds=seconds)) as app:
        found = looked_at_clock(app)

        assert found.state is (State.WARN if said and not app.store.on_sqlite else State.OK)
        assert app.store.on_sqlite or said is None or found.message == said


def test_doctor_says_what_lies_in_the_spool(line: Any) -> None:
    folder = line.folder / "spool"
    assert "ok     spool: none" in line("doctor").out
    line.environ["SYNC_SPOOL"] = "spool"
    assert "ok     spool: spool is empty" in line("doctor").out

    call = track("ann", at=NOW, received_at=NOW)
    with Spool(folder, 1000) as spool:
        spool.before(away)([Incoming(source="web", calls=(call, call))])
    assert "warn   spool: 2 calls in spool since 2026-03-04T09:00:00Z\n       serve puts them into the store" in line("doctor").out

    (folder / "set-aside").write_bytes(b"one\ntwo\n")
    assert "warn   spool: 2 requests could not be read or stored and lie in spool/set-aside" in line("doctor").out


@pytest.mark.parametrize(("place", "reason"), [("file/spool", "Not a directory"), ("/proc/spool", "No such file or directory")])
def test_doctor_finds_a_spool_that_cannot_be_used_as_serve_would(line: Any, place: str, reason: str) -> None:
    (line.folder / "file").touch()
    line.environ["SYNC_SPOOL"] = place

    assert f"fault  spool: SYNC_SPOOL: the folder {place} cannot be used: {reason}\n" in line("doctor").out
    assert f"SYNC_SPOOL: the folder {place} cannot be used: {reason}" in line("serve").err


def test_doctor_leaves_nothing_where_a_spool_would_be(line: Any) -> None:
    line.environ["SYNC_SPOOL"] = "not/yet/spool"
    before = set(line.folder.rglob("*"))

    assert "ok     spool: not/yet/spool is empty\n" in line("doctor").out
    assert set(line.folder.rglob("*")) == before
