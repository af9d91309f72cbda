"""What Prometheus is told: read from the store when it asks, so that every process shows the same, and nothing about any user."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, insert, select

from sync.compute import compute, compute_slot, note_ended
from sync.delivery import Lane, State
from sync.errors import TookTooLong
from sync.scheduler import HEARTBEAT
from sync.store import Store, audiences, figures, leases, next_deliveries, queue, tallies
from sync.store.schema import runs
from sync.store.wanted import Wanted
from tests.make import NOW, after, again, audience, identify, keep, people, record, standing_clock, track
from tests.scheduler.running import wait_until

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(place: Any) -> Samples:
    answer = place.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    families = text_string_to_metric_families(answer.text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"personas_sync_{name}", frozenset(labels.items())))


def test_calls_taken_in_are_counted_by_what_became_of_them(operated: Any) -> None:
    good = {"type": "track", "userId": "ann", "event": "Order Completed", "messageId": "m1"}
    for batch in ([good, {"type": "track"}], [good, good | {"messageId": "m2"}]):
        assert operated.post("/v1/batch", {"batch": batch, "writeKey": "any"}, token=None).status_code == 200

    found = scraped(operated)

    assert [value(found, "calls_total", result=one) for one in ("accepted", "duplicate", "rejected")] == [2, 1, 1]


def test_answers_to_senders_are_counted_by_status_and_sources_that_had_to_wait_by_name(operate: Any, database_url: str) -> None:
    place = operate(SYNC_WRITE_KEYS="web=k,app=l", SYNC_SOURCE_RATE="0.01", SYNC_DATABASE_URL=database_url)
    call = {"userId": "ann", "event": "x"}
    for body in (call | {"writeKey": "k"}, call | {"writeKey": "k"}, call | {"writeKey": "l"}, call | {"writeKey": "no"}, {}):
        place.post("/v1/track", body, token=None)

    found = scraped(place)

    assert [value(found, "answers_total", status=one) for one in ("200", "401", "429")] == [2, 2, 1]
    assert [value(found, "limited_total", source=one) for one in ("web", "app")] == [1, None]


def test_whoever_is_turned_away_since_too_many_connections_are_open_is_counted(operate: Any, database_url: str) -> None:
    place = operate(SYNC_DATABASE_URL=database_url, connections=2)
    answers: list[int] = []

    def answered(status: int) -> bool:
        answers.append(place.get("/metrics").status_code)
        return answers[-1] == status

    with ExitStack() as stack:
        for _ in range(2):
            sitting = stack.enter_context(socket.create_connection(("127.0.0.1", place.port)))
            sitting.sendall(b"POST /v1/track HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n{")
        wait_until(lambda: answered(429))
    wait_until(lambda: answered(200))

    assert value(scraped(place), "answers_total", status="429") == answers.count(429)


def test_what_is_owed_is_shown_with_its_age_by_lane_and_state(operated: Any) -> None:
    keep(operated.store, identify("ann", {"plan": "gold"}), track("ann"), track("bob"), forward=True)
    record(operated.store, audience(operated.store), ["ann", "bob"])
    with operated.store.writing() as connection:
        first, _ = next_deliveries.take(connection, Wanted(lane=Lane.ACTIONS, limit=2))
        queue.settle(connection, [first.id], State.REJECTED, "400")
    operated.clock.advance(timedelta(seconds=90))

    found = scraped(operated)

    assert value(found, "calls_owed", lane="users", state="owed") == 1
    assert [value(found, "calls_owed", lane="actions", state=one) for one in ("owed", "sending", "rejected")] == [0, 1, 1]
    assert value(found, "memberships_owed", state="owed") == 2
    assert [value(found, "oldest_owed_seconds", lane="users", what=one) for one in ("calls", "memberships")] == [90, 90]
    assert value(found, "oldest_owed_seconds", lane="companies", what="calls") == 0


def test_outcomes_pauses_and_the_heart_are_shown_whoever_sends(operated: Any) -> None:
    with operated.store.writing() as connection:
        tallies.add(connection, {("users", "accepted"): 3, ("actions", "unknown"): 1})
        tallies.add(connection, {("users", "accepted"): 2, ("users", "rejected"): 0})
        leases.pause(connection, leases.Pause(lane=Lane.USERS, until=after(hours=1), reason="401", failures=4, key_refused=True))
        leases.beat(connection, HEARTBEAT, NOW, "")
    operated.clock.advance(timedelta(seconds=7))

    found = scraped(operated)

    assert value(found, "told_total", lane="users", outcome="accepted") == 5
    assert value(found, "told_total", lane="actions", outcome="unknown") == 1
    assert [value(found, name, lane="users") for name in ("lane_paused", "lane_failures", "key_refused")] == [1, 4, 1]
    assert value(found, "lane_paused", lane="actions") == 0
    assert value(found, "scheduler_heartbeat_age_seconds") == 7


def test_each_audience_shows_its_size_its_last_run_and_its_last_success(operated: Any) -> None:
    people(operated.store, "ann")
    record(operated.store, audience(operated.store, "empty"), [])
    record(operated.store, audience(operated.store, "owing"), ["ann"])
    audience(operated.store, "new")

    found = scraped(operated)

    assert [value(found, "members", key=key, kind="audience") for key in ("empty", "owing", "new")] == [0, 1, 0]
    assert value(found, "run_outcome", key="owing", outcome="delivering") == 1
    assert value(found, "success_timestamp_seconds", key="empty") == NOW.timestamp()
    assert value(found, "success_timestamp_seconds", key="owing") is None
    assert value(found, "run_duration_seconds", key="empty") == 0


def test_a_run_that_fails_while_the_clock_is_behind_is_the_last_one_until_another_is_recorded(operated: Any) -> None:
    store, buyers = operated.store, audience(operated.store, query="trait('in') = true")
    compute(store, buyers, None, standing_clock(after(hours=1)))
    note_ended(store, again(store, buyers), None, NOW, standing_clock(), None, TookTooLong())
    failed = scraped(operated)

    keep(store, identify("ann", {"in": True}))
    compute(store, again(store, buyers), None, standing_clock(after(minutes=1)))
    computed = scraped(operated)

    outcomes = [value(failed, "run_outcome", key="buyers", outcome=one) for one in ("failed", "done")]
    assert outcomes == [1, None]
    assert value(computed, "run_outcome", key="buyers", outcome="delivering") == 1


def test_a_run_that_failed_is_over_once_a_later_one_has_found_nothing_new(operated: Any) -> None:
    store, buyers = operated.store, audience(operated.store, query="trait('in') = true")
    compute(store, buyers, None, standing_clock())
    note_ended(store, again(store, buyers), None, after(minutes=1), standing_clock(after(minutes=1)), None, TookTooLong())

    assert compute_slot(store, again(store, buyers), after(minutes=2), after(minutes=2), standing_clock(after(minutes=2))) is None

    assert value(scraped(operated), "run_outcome", key="buyers", outcome="done") == 1


def test_slots_that_were_skipped_are_counted_by_audience(operated: Any) -> None:
    for key, skipped in (("late", 3), ("in_time", 0)):
        seen = audience(operated.store, key)
        with operated.store.writing() as connection:
            audiences.take_slot(connection, seen, NOW, skipped)

    found = scraped(operated)

    assert [value(found, "slots_skipped_total", key=key) for key in ("late", "in_time")] == [3, 0]


def test_a_store_that_is_away_is_shown_and_what_the_process_knows_still_is(operate: Any, tmp_path: Any) -> None:
    place = operate(SYNC_DATABASE_URL=f"sqlite:///{tmp_path / 'nothing.db'}")

    found = scraped(place)

    assert value(found, "store_up") == 0
    assert value(found, "calls_total", result="accepted") == 0


def test_what_lies_in_the_spool_is_shown_with_its_age(operate: Any, tmp_path: Any) -> None:
    place = operate(SYNC_DATABASE_URL=f"sqlite:///{tmp_path / 'nothing.db'}", SYNC_SPOOL=str(tmp_path / "spool"))
    place.post("/v1/track", {"userId": "ann", "event": "Order Completed"}, auth=("any", ""))
    place.clock.advance(timedelta(minutes=3))

    found = scraped(place)

    assert value(found, "spooled_calls") == 1
    assert value(found, "oldest_spooled_seconds") == 180
    assert value(found, "spool_bytes") > 100
    assert value(found, "spool_set_aside") == 0


def test_metrics_say_nothing_about_users(operated: Any) -> None:
    keep(operated.store, identify("ann@example.com", {"plan": "gold-plan"}), track("ann@example.com", "Secret Event"), forward=True)
    record(operated.store, audience(operated.store), ["ann@example.com"])

    text = operated.get("/metrics").text

    assert 'key="buyers"' in text
    assert not [word for word in ("ann@", "gold-plan", "Secret Event") if word in text]


@pytest.fixture
def crowded(store: Store) -> Store:
    """A store in which a scan would be dearer than an index, and both planners know it."""
    people(store, *(f"u{number}" for number in range(2000)))
    everybody = [f"u{number}" for number in range(2000)]
    run = record(store, audience(store), everybody)
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE memberships SET state = 'settled', accepted = 'true'")
        connection.exec_driver_sql("UPDATE runs SET outcome = 'done', accepted = owed")
        row = connection.execute(select(runs).where(runs.c.id == run.id)).one()._asdict()
        connection.execute(insert(runs), [row | {"id": run.id + number} for number in range(1, 3000)])
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    return store


def test_no_figure_needs_a_scan_of_what_is_settled(crowded: Store) -> None:
    plans: list[str] = []

    def explain(connection, _cursor, statement, parameters, *_):
        cursor = connection.connection.driver_connection.cursor()
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if crowded.on_sqlite else ''}{statement}", parameters)
        plans.extend(str(row[-1]) for row in cursor.fetchall())

    with crowded.reading() as connection:
        if not crowded.on_sqlite:
            # On tables this small PostgreSQL would rather scan; what no index can serve is scanned even so.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        event.listen(connection, "before_cursor_execute", explain)
        figures.figures(connection, HEARTBEAT)

    of_ledger = [plan for plan in plans if re.search(r"(SCAN|SEARCH|Scan.* on) memberships", plan)]
    of_runs = [plan for plan in plans if re.search(r"(SCAN|SEARCH|Scan.* on) (runs|last|good)", plan)]
    assert of_ledger
    assert of_runs
    assert all("ix_memberships_unsettled" in plan for plan in of_ledger), of_ledger
    assert all(re.search(r"ix_runs_|Scan using pk_runs on runs (last|good)|PRIMARY KEY", plan) for plan in of_runs), of_runs


def test_the_page_for_operators_explains_every_metric_and_no_other() -> None:
    root = Path(__file__).parents[2]
    made = set(re.findall(r'"(personas_sync_\w+)"', (root / "sync/web/metrics.py").read_text(encoding="utf-8")))
    page = (root / "docs/operations.md").read_text(encoding="utf-8")
    first_cells = " ".join(re.findall(r"^\| (`personas_sync_[^|]*)", page, re.MULTILINE))
    explained = {name.removesuffix("_total") for name in re.findall(r"personas_sync_\w+", first_cells)}

    assert explained == made | {"personas_sync_info"}
