"""plan, sync --plan and sync --accept as a person meets them."""

from __future__ import annotations

from typing import Any

import pytest

from sync.standin import StandIn


@pytest.fixture
def history(line: Any, make_order: Any) -> Any:
    line.import_calls(make_order("ann", "2026-01-10T00:00:00Z"), make_order("bob", "2026-01-20T00:00:00Z"))
    return line


def of(done: Any, key: str) -> dict[str, Any]:
    return next(one for one in done.json["plans"] if one["audience"] == key)


def test_a_plan_has_the_fields_that_programs_rely_on(history: Any) -> None:
    done = history("plan", "--at", "2026-02-01", "--json")

    assert done.code == 0
    found = {name: of(done, "buyers")[name] for name in ("at", "members", "entered", "exited", "resent", "requests", "seconds")}
    assert found == {
        "at": "2026-02-01T00:00:00Z",
        "members": 0,
        "entered": 2,
        "exited": 0,
        "resent": 0,
        "requests": 1,
        "seconds": 0.0,
    }


def test_a_plan_reads_in_80_columns(history: Any, standin: StandIn, golden: Any) -> None:
    history("sync", "--at", "2026-02-01", "--wait", "1")
    history.write("personas.yaml", (history.folder / "personas.yaml").read_text().replace(".count() >= 1", ".count() >= 2"))

    done = history("plan", "--at", "2026-02-11", "--sample", "1")

    assert done.code == 0
    assert max(map(len, done.lines)) <= 80
    golden.check("plan/plan.txt", done.out)


def test_what_was_sealed_is_what_is_done(history: Any, standin: StandIn) -> None:
    history("plan", "--at", "2026-02-01", "--out", "it.plan")

    done = history("sync", "--plan", "it.plan", "--json")

    assert done.code == 0
    assert {run["audience"]: run["owed"] for run in done.json["runs"]} == {"buyers": 2, "orders": 2}
    assert standin.users()["ann"]["metadata"] == {"buyers": True, "orders": 1}


def test_a_plan_that_no_longer_holds_is_refused_and_nothing_is_sent(history: Any, standin: StandIn, make_order: Any) -> None:
    history("plan", "--at", "2026-02-01", "--out", "it.plan")
    history.import_calls(make_order("cid", "2026-01-21T00:00:00Z"))

    done = history("sync", "--plan", "it.plan")

    assert done.code == 2
    assert "buyers: 3 would enter, the plan has 2" in done.err
    assert standin.users() == {}


def test_a_plan_is_never_overwritten(history: Any) -> None:
    history.write("it.plan", "mine")

    done = history("plan", "--out", "it.plan")

    assert (done.code, (history.folder / "it.plan").read_text()) == (2, "mine")
    assert "exists" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sync", "--plan", "none.plan"), "there is no file none.plan"),
        (("sync", "--plan", "."), ". cannot be read: is a directory"),
        (("sync", "--plan", "personas.yaml"), "no plan that `personas-sync plan --out` wrote"),
        (("sync", "--plan", "it.plan", "buyers"), "--plan says which audiences"),
        (("sync", "--accept", "5", "--resync"), "--accept lets one run through"),
        (("sync", "--accept", "5"), "there is no run 5"),
        (("plan", "nobody"), "there is no audience or computed trait 'nobody'"),
        (("plan", "--at", "soon"), "is no time"),
    ],
)
def test_what_cannot_be_is_said(history: Any, standin: StandIn, arguments: tuple[str, ...], said: str) -> None:
    done = history(*arguments)

    assert done.code == 2
    assert said in done.err.replace("\n", " ")


def test_a_run_that_a_guard_holds_can_be_let_through(history: Any, standin: StandIn) -> None:
    text = (history.folder / "personas.yaml").read_text()
    history.write("personas.yaml", text.replace(">= 1\n", ">= 1\n    guard: {max_exits: 0}\n"))
    history("sync", "--at", "2026-02-01")
    planned = history("plan", "buyers", "--json")
    held = history("sync", "buyers", "--json")
    number = next(run["id"] for run in history("runs", "buyers", "--json").json["runs"] if run["outcome"] == "guarded")

    done = history("sync", "--accept", str(number), "--json")

    assert (planned.code, held.code, done.code) == (4, 4, 0)
    assert "2 of 2 members would leave" in of(planned, "buyers")["guard"]
    assert [(run["audience"], run["exited"], run["accepted"]) for run in done.json["runs"]] == [("buyers", 2, 2)]
    assert standin.users()["ann"]["metadata"]["buyers"] is False
