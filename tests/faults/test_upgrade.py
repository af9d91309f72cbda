"""Upgrades of a store in use, and the way back (rows 42 and 53); `python -m tests.night upgrade` does it with a million rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from sync.store import Store, migrate
from sync.store import schema as t
from tests.crash import oracle
from tests.crash.kills import wait_until
from tests.crash.life import Folder
from tests.crash.traffic import UNANSWERED, Traffic
from tests.faults.releases import REVISION, NextRelease, next_release
from tests.faults.upgrades import fill, kill_while_upgrading, numbers_of, there_and_back_under_traffic, upgrade_under_traffic
from tests.make import after, audience, people, record


def test_a_migration_that_is_killed_in_the_middle_loses_no_row_and_can_be_run_again(folder: Folder, store: Store) -> None:
    before = fill(store, 2000)

    killed = kill_while_upgrading(folder, store, seed=1)

    assert killed > 0
    assert numbers_of(store) == before
    users = {"profiles": 500, "identifiers": 500, "dates": 500, "memberships": 500}
    assert before == users | {"calls": 2000, "deliveries": 2000, "audiences": 1, "runs": 2, "changes": 1000}


def test_another_release_takes_calls_in_while_the_store_is_upgraded(folder: Folder, store: Store) -> None:
    fill(store, 1000)

    done = upgrade_under_traffic(folder, store)

    assert done.taken > 40
    assert done.slowest < 5


def test_another_release_takes_calls_in_while_the_store_is_taken_back_and_upgraded_again(folder: Folder, store: Store) -> None:
    fill(store, 1000)

    done = there_and_back_under_traffic(folder, store)

    assert done.taken > 40
    assert done.slowest < 5


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NextRelease]:
    with next_release(tmp_path_factory.mktemp("next")) as installed:
        yield installed


def test_a_door_takes_calls_in_while_the_next_schema_comes_and_goes_until_the_next_release_has_started(
    folder: Folder, store: Store, newer: NextRelease
) -> None:
    """Without a spool, which would hide whatever the door cannot store."""
    del folder.environ["SYNC_SPOOL"]
    try:
        with Traffic.of(3, seed=1, pause=0.02) as traffic:
            door = folder.serve("--only", "web")
            traffic.url = door.url
            takes_calls(traffic)
            for revision, word in ((REVISION, "upgrade"), (migrate.head(), "downgrade"), (REVISION, "upgrade")):
                assert newer.run(folder, "db", word) == 0, folder.log()[-2000:]
                with store.reading() as connection:
                    assert migrate.revision(connection) == revision
                takes_calls(traffic)

            assert set(traffic.statuses) == {200}
            assert door.stop() == 0
            traffic.url = newer.serve(folder, "--only", "web")
            takes_calls(traffic)
            traffic.end()
    finally:
        newer.leave(folder)

    assert set(traffic.statuses) <= {200, UNANSWERED}
    assert traffic.silence < 5
    oracle.stored_exactly(store, traffic.answered)


def takes_calls(traffic: Traffic) -> None:
    before = len(traffic.answered)
    wait_until(lambda: len(traffic.answered) > before + 50, "no calls are taken in")


def test_what_was_computed_and_is_owed_outlives_the_way_back(folder: Folder, store: Store) -> None:
    people(store, "ann", "bob")
    buyers = audience(store)
    record(store, buyers, ["ann", "bob"])
    record(store, buyers, ["ann"], after(days=1))
    before = held_of(store)

    assert folder.run("db", "downgrade", "--to", "0008") == 0, folder.log()[-2000:]
    assert folder.run("db", "upgrade") == 0, folder.log()[-2000:]

    assert held_of(store) == before
    assert [len(rows) for rows in before] == [2, 3]


def held_of(store: Store) -> list[list[tuple[object, ...]]]:
    """Return the ledger and the history, as far as every release has them."""
    ledger, history = t.memberships.c, t.changes.c
    told = select(ledger.profile_id, ledger.value, ledger.state, ledger.since).order_by(ledger.profile_id)
    changed = select(history.profile_id, history.value, history.at).order_by(history.at, history.profile_id)
    with store.reading() as connection:
        return [[tuple(row) for row in connection.execute(statement)] for statement in (told, changed)]
