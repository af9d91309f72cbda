"""The benchmarks run, at sizes that say nothing about time, and give JSON of the shape that `docs/benchmarks.md` promises."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any

import pytest

from benchmarks import audiences, population, traffic
from benchmarks.__main__ import main
from benchmarks.report import Report, Timing, Wrong, require_equal
from sync.store.types import to_micros
from tests.make import after

SMALL = ["--profiles", "200", "--events", "2000", "--idle", "5", "--looks", "5", "--changed", "10", "20"]


def held_to_its_musts(code: int, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return what a run told; whether it ended well must follow from its musts, which need not hold at such a size."""
    out, err = capsys.readouterr()
    told: dict[str, Any] = json.loads(out)
    missed = [f"NOT HELD: {one['name']}" for one in told["musts"] if not one["holds"]]
    assert [line[: len(name)] for line, name in zip(err.splitlines(), missed, strict=True)] == missed
    assert code == (1 if missed else 0)
    return told


def test_list_names_every_benchmark(capsys) -> None:
    assert main(["list", "--json"]) == 0

    assert {one["name"] for one in json.loads(capsys.readouterr().out)} == {
        *("compute", "delivery", "ingest", "peers", "plans", "reader", "start")
    }


@pytest.mark.parametrize("name", audiences.AUDIENCES)
def test_compute_measures_and_checks_every_part_of_each_audience(database_kind, name: str, capsys) -> None:
    code = main(["run", "compute", "--database", database_kind, "--audience", name, "--smaller", "--json", *SMALL])

    told = held_to_its_musts(code, capsys)
    assert (told["subject"], told["facts"]["audience"]) == (name, audiences.AUDIENCES[name].definition.query)
    assert {"benchmark", "database", "command", "date", "machine", "versions", "sizes"} <= told.keys()
    assert {"cores", "memory_gib", "cpu"} <= told["machine"].keys()
    assert {"python", "sqlalchemy", "personas-sync", "commit", database_kind} <= told["versions"].keys()
    assert told["sizes"] == {"profiles": 200, "events": 2000}
    names = {one["name"] for one in told["timings"]}
    assert {"everyone: rebuild", "everyone: by hand", "nothing changed: a tick", "10 users changed: a tick"} <= names
    assert {"look: user", "look: explain", "look: members, one page"} <= names
    assert all(one["min_ms"] <= one["median_ms"] <= one["p99_ms"] <= one["max_ms"] for one in told["timings"])
    assert all(one.keys() == {"name", "found", "unit", "most", "least", "holds"} for one in told["musts"])


def test_delivery_is_measured_beside_a_loop_and_held_to_what_arrived(database_kind, capsys) -> None:
    code = main(["run", "delivery", "--database", database_kind, "--backlogs", "150", "300", "--script", "--json"])

    told = held_to_its_musts(code, capsys)
    assert {one["name"] for one in told["timings"]} >= {"300 users: delivered", "300 users: the loop", "300 users: first push"}
    assert len(told["musts"]) == 7


def test_a_push_of_everybody_is_measured_in_a_process_of_its_own(capsys) -> None:
    code = main(["run", "compute", "--database", "sqlite", "--push", "--json", *SMALL])

    memory = next(one for one in held_to_its_musts(code, capsys)["musts"] if one["name"].startswith("memory"))
    assert 10 < memory["found"] < 500


def test_plans_tells_what_each_query_found(database_kind, capsys) -> None:
    code = main(["run", "plans", "--database", database_kind, "--profiles", "20", "--explain", "--json"])

    told = held_to_its_musts(code, capsys)
    assert told["facts"]["users found"].keys() == told["facts"]["plans"].keys() == {one["name"] for one in told["timings"]}


def test_ingest_is_measured_beside_what_the_database_takes_and_held_to_what_was_sent(database_kind, capsys) -> None:
    small = ["--rounds", "1", "--batches", "3", "--singles", "10", "--senders", "2", "--few", "1", "--clients", "4"]
    code = main(["run", "ingest", "--database", database_kind, "--json", *small])

    told = held_to_its_musts(code, capsys)
    assert {one["name"]: one["times"] for one in told["timings"]} == {
        "calls in batches of 100": 3,
        "calls in batches of 100 from few connections": 3,
        "bare rows, a commit per 100": 6,
        "bare rows, a commit per as many as the server had": told["timings"][3]["times"],
        "bare rows of `calls` alone, a commit per 100": 6,
        "single calls": 10,
        "requests to an empty handler": 10,
    }
    assert {"batches ÷ bare rows, a commit per 100", "single calls ÷ requests to an empty handler"} <= {
        one["name"] for one in told["musts"]
    }


def test_batches_may_be_larger(capsys) -> None:
    small = ["--rounds", "1", "--batches", "3", "--singles", "1", "--senders", "1", "--few", "1", "--clients", "1"]
    code = main(["run", "ingest", "--calls", "250", "--json", *small])

    told = held_to_its_musts(code, capsys)
    assert told["sizes"]["calls"] == 250
    assert {"calls in batches of 250", "bare rows, a commit per 250"} <= {one["name"] for one in told["timings"]}
    assert "batches ÷ bare rows, a commit per 250" in {one["name"] for one in told["musts"]}


def test_a_call_that_is_missing_is_wrong(capsys, monkeypatch) -> None:
    monkeypatch.setattr(traffic.Traffic, "__post_init__", _with_one_call_never_sent)
    small = ["--rounds", "1", "--batches", "1", "--singles", "1", "--senders", "1", "--clients", "1"]

    assert main(["run", "ingest", "--json", *small]) == 1

    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("WRONG: calls stored")


def _with_one_call_never_sent(stream: traffic.Traffic) -> None:
    stream._draw = random.Random(1)
    stream.message_ids.append("never sent")


def test_the_start_of_the_command_is_measured(capsys) -> None:
    code = main(["run", "start", "--times", "1", "--json"])

    assert {one["name"] for one in held_to_its_musts(code, capsys)["musts"]} == {
        "personas-sync --version",
        "personas-sync --help",
        "personas-sync sync --help",
    }


def test_who_spent_enough_is_known_at_every_instant_and_when_they_leave() -> None:
    spending = population.Spending(3, timedelta(days=60), 8000)
    for id, day, cents in ((1, 0, 5000), (2, 1, 8000), (1, 2, 3000), (3, 3, 7999), (2, 30, 1)):
        spending.ordered(id, to_micros(after(days=day)), cents)

    assert [spending.members(after(days=day)) for day in (0, 1, 2, 30)] == [[], [2], [1, 2], [1, 2]]
    assert (spending.others(after(days=30)), spending.is_member(3, after(days=30))) == ([3], False)
    # The first at the end of the window is not in it any more: user 1 leaves with 50.00, user 2 with 80.00.
    assert [spending.leaving(after(days=30)).after(after(days=30), number) for number in (0, 1)] == [after(days=30), after(days=60)]
    assert [spending.members(after(days=day)) for day in (60, 61)] == [[2], []]


def test_a_wrong_answer_ends_a_benchmark_without_a_figure(capsys, monkeypatch) -> None:
    monkeypatch.setattr(population.Purchases, "members", lambda _self, _at: [1, 2, 3])

    assert main(["run", "compute", "--database", "sqlite", "--json", *SMALL]) == 1

    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("WRONG: ")


def test_what_does_not_hold_is_named_with_what_it_is_and_what_it_must_be() -> None:
    report = Report(sizes={})
    report.must("a tick", 5.0, unit="ms", most=5)
    report.must("one ÷ other", 1.52, most=1.5)
    report.must("rate", 900.4, unit="a second", least=1000)

    assert report.missed() == [
        "NOT HELD: one ÷ other: 1.52 ×, must be ≤ 1.5 ×",
        "NOT HELD: rate: 900 a second, must be ≥ 1000 a second",
    ]


def test_a_percentile_is_a_measurement_that_so_many_do_not_exceed() -> None:
    timing = Timing(name="x", seconds=[0.001 * number for number in range(100, 0, -1)])

    assert timing.percentile(99) == pytest.approx(0.099)
    assert timing.percentile(50) == pytest.approx(0.050)


def test_unequal_values_are_wrong() -> None:
    with pytest.raises(Wrong, match="found 1, and not 2"):
        require_equal("a count", 1, 2)
