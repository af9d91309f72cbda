"""`personas-sync purge`, what refuses a retention that is too short, and the purge of a process that serves."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from sync.store import Store
from sync.store.schema import calls
from tests.cli.conftest import CommandLine, bare, line, log_as_before, order

__all__ = ["bare", "line", "log_as_before"]

# The tests' definitions: one looks back 30 days, the other has no window.
BOUNDED = """\
defaults: {schedule: manual}
audiences:
  - name: Buyers
    query: event('Order Completed').within(30 days).count() >= 1
"""


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()  # noqa: TID251 - the command has the system's clock


@pytest.fixture
def known(line: CommandLine) -> CommandLine:
    line.write("personas.yaml", BOUNDED)
    line.import_calls(order("ann", ago(40)), order("ann", ago(35)), order("bob", ago(1)))
    return line


def number_of_calls(line: CommandLine) -> int:
    store = Store.at(line.environ["SYNC_DATABASE_URL"])
    with store.reading() as connection:
        number = connection.scalars(select(func.count()).select_from(calls)).one()
    store.close()
    return number


def test_without_a_setting_nothing_is_purged_and_that_is_said(known: CommandLine) -> None:
    done = known("purge")

    assert (done.code, done.out) == (0, "")
    assert "kept for ever" in done.err
    assert known("purge", "--json").json == {"dry_run": False, "purged": {}, "until": {}}
    assert number_of_calls(known) == 3


def test_the_report_says_how_much_went_and_from_before_when(known: CommandLine) -> None:
    known.environ |= {"SYNC_RETAIN_EVENTS": "30 days", "SYNC_RETAIN_REJECTED_CALLS": "12 hours"}

    dry = known("purge", "--dry-run", "--json").json
    assert number_of_calls(known) == 3
    done = known("purge", "--json").json

    assert (dry["dry_run"], done["dry_run"]) == (True, False)
    assert dry["purged"] == done["purged"] == {"calls": 2, "rejected_calls": 0}
    assert set(done["until"]) == {"calls", "rejected_calls"}
    assert number_of_calls(known) == 1


def test_people_see_the_same(known: CommandLine) -> None:
    known.environ |= {"SYNC_RETAIN_EVENTS": "5 weeks"}

    assert known("purge", "--dry-run").out.startswith("calls: 2 would go, from before ")
    assert known("purge").out.startswith("calls: 2 purged, from before ")


@pytest.mark.parametrize("command", [("definitions", "apply"), ("sync",), ("serve", "--only", "worker")], ids=" ".join)
def test_a_retention_that_undercuts_a_window_is_refused_with_the_place(known: CommandLine, command: tuple[str, ...]) -> None:
    known.environ |= {"SYNC_RETAIN_EVENTS": "29 days", "SYNC_MOESIF_APPLICATION_ID": "app-1"}

    done = known(*command)

    assert done.code == 2
    assert "personas.yaml:3:11: buyers looks back 30 days, and SYNC_RETAIN_EVENTS keeps calls for 29 days only" in done.err


def test_check_finds_it_among_the_other_faults(known: CommandLine) -> None:
    known.environ |= {"SYNC_RETAIN_EVENTS": "400 days"}
    known.write("personas.yaml", BOUNDED + "  - name: Ever\n    query: event('Order Completed').count() >= 1\n")

    done = known("definitions", "check", "--json")

    assert done.code == 2
    (fault,) = done.json["faults"]
    assert (fault["line"], fault["column"]) == (5, 11)
    assert "ever looks at event('Order Completed') however long ago" in fault["message"]


def test_definitions_that_are_in_the_store_only_are_looked_at_too(known: CommandLine) -> None:
    known("definitions", "apply", "--yes")
    (known.folder / "personas.yaml").unlink()
    known.environ |= {"SYNC_RETAIN_EVENTS": "29 days"}

    for command in (("purge",), ("purge", "--dry-run"), ("serve", "--only", "worker")):
        done = known(*command)
        assert (done.code, "buyers looks back 30 days" in done.err) == (3, True)
    assert number_of_calls(known) == 3


def test_who_was_in_before_the_horizon_is_refused(known: CommandLine) -> None:
    known("compute")
    known.environ |= {"SYNC_RETAIN_CHANGES": "10 days"}
    assert known("purge").code == 0

    refused = known("members", "buyers", "--at", ago(11))

    assert (refused.code, refused.out) == (2, "")
    assert "SYNC_RETAIN_CHANGES" in refused.err
    assert known("members", "buyers", "--at", ago(9)).code == 0
    assert "bob" in known("members", "buyers").out


def test_a_process_that_serves_purges_by_itself(known: CommandLine) -> None:
    known.environ |= {"SYNC_RETAIN_EVENTS": "30 days"}
    process = known.started("serve", "--only", "worker")
    ends = time.monotonic() + 30
    while number_of_calls(known) > 1:
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.1)
    process.terminate()
    _, err = process.communicate(timeout=30)

    assert process.returncode == 0
    assert b"purged 2 of calls" in err
