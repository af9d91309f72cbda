"""compute and sync against a real stand-in, and what each exit code means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trustme

from sync.standin import Fault, StandIn
from sync.store import Store
from tests.faults.endless import calls_that_cannot_be_read
from tests.moesif.fronts import Front

COUNTS = ("owed", "accepted", "rejected", "unknown", "held")


@pytest.fixture
def history(line: Any, make_order: Any) -> Any:
    """Ann bought in January and February, bob in January."""
    line.import_calls(
        make_order("ann", "2026-01-10T00:00:00Z"),
        make_order("bob", "2026-01-20T00:00:00Z"),
        make_order("ann", "2026-02-15T00:00:00Z"),
    )
    return line


def of(done: Any, key: str) -> dict[str, Any]:
    return next(run for run in done.json["runs"] if run["audience"] == key)


def counts(run: dict[str, Any]) -> tuple[int, ...]:
    assert run["owed"] == sum(run[name] for name in COUNTS[1:])
    return tuple(run[name] for name in COUNTS)


def test_a_first_sync_tells_every_member_and_a_later_one_only_what_changed(history: Any, standin: StandIn) -> None:
    first = history("sync", "--at", "2026-02-01", "--json")
    second = history("sync", "--at", "2026-02-20", "--json")
    third = history("sync", "--at", "2026-02-20", "--json")

    assert first.code == second.code == third.code == 0
    run = of(first, "buyers")
    assert (run["kind"], run["at"], run["outcome"]) == ("audience", "2026-02-01T00:00:00Z", "done")
    assert (run["members"], run["entered"], run["exited"], counts(run)) == (2, 2, 0, (2, 2, 0, 0, 0))
    run = of(second, "buyers")
    assert (run["members"], run["entered"], run["exited"], counts(run)) == (1, 0, 1, (1, 1, 0, 0, 0))
    assert (third.json["requests"], counts(of(third, "buyers"))) == (0, (0, 0, 0, 0, 0))
    held = {user: document["metadata"] for user, document in standin.users().items()}
    assert held == {"ann": {"buyers": True, "orders": 2}, "bob": {"buyers": False, "orders": 1}}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_audience_that_takes_too_long_fails_and_says_what_to_do_and_the_others_go_on(
    history: Any, standin: StandIn, database_url: str
) -> None:
    history.environ["SYNC_RUN_TIMEOUT"] = "3 seconds"
    history.write("personas.yaml", "audiences: [{name: Buyers, query: event('x').count() >= 1}, {name: In, query: trait('n') = 1}]")
    store = Store.at(database_url)

    with calls_that_cannot_be_read(store):
        computed, synced = history("compute", "--json"), history("sync")
    store.close()

    assert (computed.code, synced.code) == (1, 1)
    assert [run["outcome"] for run in computed.json["runs"]] == ["failed", "done"]
    assert "buyers: failed: it took longer than SYNC_RUN_TIMEOUT allows" in synced.err
    assert "allow a run more time" in synced.err


def test_a_computed_trait_has_changed_in_place_of_entered_and_exited(history: Any, standin: StandIn) -> None:
    run = of(history("sync", "orders", "--at", "2026-02-20", "--json"), "orders")

    assert run["changed"] == 2
    assert run["kind"] == "computed_trait"
    assert not {"entered", "exited"} & run.keys()


def test_the_table_reads_in_80_columns(history: Any, standin: StandIn) -> None:
    done = history("sync", "--at", "2026-02-01")

    assert done.lines[0] == "as of 2026-02-01T00:00:00Z"
    assert max(map(len, done.lines)) <= 80
    assert done.err.splitlines() == ["definitions: + buyers (new)", "definitions: + orders (new)"]


def test_without_a_key_nothing_is_done_at_all(history: Any) -> None:
    done = history("sync")

    assert done.code == 3
    assert history("audiences", "--json").json["audiences"] == []


def test_a_refused_key_is_said_with_the_report(history: Any, standin: StandIn) -> None:
    history.environ["SYNC_MOESIF_APPLICATION_ID"] = "another"

    done = history("sync", "buyers", "--at", "2026-02-01", "--wait", "1", "--json")

    assert (done.code, counts(of(done, "buyers"))) == (3, (2, 0, 0, 0, 2))
    assert "the key was refused" in done.err
    assert "another" not in done.err


def test_what_is_rejected_gives_1_and_can_be_sent_again(history: Any, standin: StandIn) -> None:
    standin.misbehave(Fault(lane="users", status=400, when_user="bob"))

    done = history("sync", "buyers", "--at", "2026-02-01", "--json")
    standin.behave()
    listed = history("deliveries", "--json").json
    retried = history("deliveries", "retry", listed["items"][0]["id"], "--json")
    again = history("sync", "buyers", "--at", "2026-02-01", "--json")

    assert (done.code, counts(of(done, "buyers"))) == (1, (2, 1, 1, 0, 0))
    assert (listed["owed"], listed["unknown"], listed["rejected"]) == (0, 0, 1)
    assert (listed["items"][0]["user_id"], listed["items"][0]["reason"][:3]) == ("bob", "400")
    assert retried.json == {"retried": 1, "calls": 0, "memberships": 1}
    assert (again.code, counts(of(again, "buyers"))) == (0, (1, 1, 0, 0, 0))
    assert standin.users()["bob"]["metadata"] == {"buyers": True}
    for run in history("runs", "--json").json["runs"]:
        counts(run)


def test_an_answer_that_never_came_is_unknown_and_told_again(history: Any, standin: StandIn) -> None:
    standin.misbehave(Fault(lane="users", close="after", times=1000))

    done = history("sync", "buyers", "--at", "2026-02-01", "--wait", "1", "--json")
    standin.behave()
    again = history("sync", "buyers", "--at", "2026-02-01", "--json")

    assert (done.code, counts(of(done, "buyers"))) == (1, (2, 0, 0, 2, 0))
    assert (again.code, counts(of(again, "buyers"))) == (0, (2, 2, 0, 0, 0))


def test_a_guard_stops_its_audience_and_the_others_go_on(history: Any, standin: StandIn) -> None:
    guarded = "guard: {max_exits: 1}\n"
    history.write(
        "personas.yaml", (history.folder / "personas.yaml").read_text().replace("count() >= 1\n", f"count() >= 1\n    {guarded}")
    )
    history("sync", "--at", "2026-02-01")

    done = history("sync", "--at", "2026-06-01", "--json")

    assert done.code == 4
    run = of(done, "buyers")
    assert (run["outcome"], run["members"], counts(run)) == ("guarded", 2, (0, 0, 0, 0, 0))
    assert (run["entered"], run["exited"]) == (0, 2)
    assert "2 of 2 members would leave" in run["error"]
    assert of(done, "orders")["outcome"] == "done"
    assert standin.users()["bob"]["metadata"]["buyers"] is True


def test_an_edited_query_that_a_guard_stops_sends_nothing_until_somebody_lets_it_through(line: Any, standin: StandIn) -> None:
    """Row 30, over HTTP: three in ten would leave, where a fifth may."""
    line.write("personas.yaml", "audiences: [{name: Many, query: trait('n') >= 0, guard: {max_exits: 20%}}]")
    line.write("calls.jsonl", "\n".join(json.dumps({"type": "identify", "userId": f"u{n}", "traits": {"n": n}}) for n in range(10)))
    line("import", "calls.jsonl")
    line("sync")
    told = standin.requests["users"].requests
    line.write("personas.yaml", "audiences: [{name: Many, query: trait('n') >= 3, guard: {max_exits: 20%}}]")

    planned, held = line("plan", "--json"), line("sync", "--json")
    asked_meanwhile = standin.requests["users"].requests - told
    number = next(run["id"] for run in line("runs", "many", "--json").json["runs"] if run["outcome"] == "guarded")
    done = line("sync", "--accept", str(number), "--json")

    assert (planned.code, held.code, done.code, asked_meanwhile) == (4, 4, 0, 0)
    assert (of(held, "many")["exited"], of(done, "many")["exited"], of(done, "many")["accepted"]) == (3, 3, 3)
    assert {user: one["metadata"]["many"] for user, one in standin.users().items()} == {f"u{n}": n >= 3 for n in range(10)}


def test_a_moesif_that_cannot_be_reached_gives_5_and_everything_stays_owed(history: Any) -> None:
    history.environ |= {"SYNC_MOESIF_URL": "http://127.0.0.1:1", "SYNC_MOESIF_APPLICATION_ID": "app-1"}

    done = history("sync", "buyers", "--at", "2026-02-01", "--wait", "1", "--json")

    assert (done.code, counts(of(done, "buyers"))) == (5, (2, 0, 0, 0, 2))
    assert "cannot be reached at http://127.0.0.1:1" in done.err


def test_everything_stays_owed_while_whoever_answers_cannot_prove_to_be_moesif(
    history: Any, standin: StandIn, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with Front(authority.issue_cert("127.0.0.1"), standin.url) as front:
        history.environ["SYNC_MOESIF_URL"] = front.url
        refused = history("sync", "buyers", "--at", "2026-02-01", "--wait", "1", "--json")
        held = standin.users()
        history.environ["SYNC_MOESIF_CA_FILE"] = str(tmp_path / "ca.pem")
        done = history("sync", "buyers", "--at", "2026-02-01", "--json")

    assert (refused.code, counts(of(refused, "buyers")), held) == (5, (2, 0, 0, 0, 2), {})
    assert "the certificate or the protocol was refused" in refused.err
    assert (done.code, counts(of(done, "buyers"))) == (0, (2, 2, 0, 0, 0))
    assert standin.users().keys() == {"ann", "bob"}


def test_an_earlier_instant_is_refused_before_anything_is_done(history: Any, standin: StandIn) -> None:
    history("sync", "--at", "2026-02-01")

    done = history("sync", "--at", "2026-01-31")

    assert (done.code, done.out) == (2, "")
    assert "buyers was computed as of 2026-02-01T00:00:00Z already" in done.err
    assert len(history("runs", "--json").json["runs"]) == 2


def test_an_instant_that_is_still_to_come_is_taken_with_a_warning(history: Any) -> None:
    early, late = (history("compute", "buyers", "--at", f"{year}-02-01") for year in (2026, 2126))

    assert "is later than now" not in early.err
    assert (late.code, "2126-02-01T00:00:00Z is later than now" in late.err) == (0, True)
    assert "until then schedules compute as of that time" in late.err


def test_a_resync_sends_everything_that_was_ever_told(history: Any, standin: StandIn) -> None:
    history("sync", "--at", "2026-02-01")
    history("sync", "--at", "2026-02-20")
    standin.forget()

    done = history("sync", "--at", "2026-02-20", "--resync", "--json")

    assert (done.code, counts(of(done, "buyers"))) == (0, (2, 2, 0, 0, 0))
    held = {user: document["metadata"] for user, document in standin.users().items()}
    assert held == {"ann": {"buyers": True, "orders": 2}, "bob": {"buyers": False, "orders": 1}}


def test_a_retired_audience_is_told_false_and_cannot_be_synced_by_name(history: Any, standin: StandIn) -> None:
    history("sync", "--at", "2026-02-01")
    history.write("personas.yaml", "audiences: [{name: Other, query: \"trait('a') = 1\", schedule: manual}]\n")

    done = history("sync", "--at", "2026-02-02")
    by_name = history("sync", "buyers")

    assert done.code == 0
    assert {user: document["metadata"]["buyers"] for user, document in standin.users().items()} == {"ann": False, "bob": False}
    assert (by_name.code, by_name.err) == (2, "personas-sync: buyers is retired: it is no longer in the definitions\n")


def test_what_a_retired_audience_still_owes_is_not_taken_for_done(history: Any, standin: StandIn) -> None:
    history("sync", "--at", "2026-02-01")
    history.write("personas.yaml", "audiences: []\n")
    standin.misbehave(Fault(lane="users", status=503, times=1000))

    done = history("sync", "--wait", "1", "--json")

    assert (done.code, done.json["runs"], done.json["still_owed"]) == (1, [], 2)


def test_one_that_is_not_enabled_is_computed_only_where_it_is_named(history: Any, standin: StandIn) -> None:
    history.write("personas.yaml", "audiences: [{name: Paused, query: \"trait('a') = 1\", schedule: manual, enabled: false}]\n")

    without, named = history("sync", "--json"), history("sync", "paused", "--json")

    assert (without.json["runs"], "nothing to compute" in without.err) == ([], True)
    assert (len(named.json["runs"]), "paused is not enabled" in named.err) == (1, True)


def test_a_faulty_definitions_file_stops_it(history: Any, standin: StandIn) -> None:
    history.write("personas.yaml", "audiences: [{name: Buyers}]\n")

    done = history("sync")

    assert (done.code, done.out) == (2, "")
    assert "personas.yaml:1:" in done.err


def test_without_a_file_the_definitions_of_the_store_stand(history: Any, standin: StandIn) -> None:
    history("definitions", "apply")
    (history.folder / "personas.yaml").unlink()

    assert len(history("sync", "--at", "2026-02-01", "--json").json["runs"]) == 2


def test_compute_sends_nothing_and_sync_sends_it_then(history: Any, standin: StandIn) -> None:
    computed = history("compute", "buyers", "--at", "2026-02-01", "--json")
    before = dict(standin.users())
    synced = history("sync", "buyers", "--at", "2026-02-01", "--json")

    assert (computed.code, counts(of(computed, "buyers")), before) == (0, (2, 0, 0, 0, 2), {})
    assert (of(synced, "buyers")["entered"], counts(of(synced, "buyers"))) == (0, (2, 2, 0, 0, 0))


def test_an_audience_that_refers_to_another_comes_after_it(history: Any, standin: StandIn) -> None:
    history.write(
        "personas.yaml",
        "defaults: {schedule: manual}\n"
        "audiences:\n"
        "  - {name: A, query: \"trait('b') = true\"}\n"
        "  - {name: B, query: \"event('Order Completed').count() >= 2\"}\n",
    )

    done = history("sync", "--at", "2026-02-20", "--json")

    assert [run["audience"] for run in done.json["runs"]] == ["b", "a"]
    assert of(done, "a")["members"] == 1


def test_replay_sends_history_again_under_the_same_transaction_ids(history: Any, standin: StandIn) -> None:
    first = history("replay", "--since", "2026-01-01", "--until", "2026-02-01", "--json")
    actions = len(standin.actions())
    again = history("replay", "--since", "2026-01-01", "--event", "Order Completed", "--json")

    assert (first.code, first.json["calls"], actions) == (0, 2, 2)
    assert (again.code, again.json["calls"], again.json["owed"]) == (0, 3, 0)
    assert len(standin.actions()) == 3


def test_replay_says_what_is_still_owed(history: Any, standin: StandIn) -> None:
    standin.misbehave(Fault(lane="actions", status=503, times=1000))

    done = history("replay", "--since", "2026-01-01", "--wait", "1")

    assert done.code == 1
    assert "3 are still owed" in done.out
