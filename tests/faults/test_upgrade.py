"""Upgrades of a store in use (row 42); `python -m tests.night upgrade` does it with a million rows."""

from __future__ import annotations

from sync.store import Store
from tests.crash.life import Folder
from tests.faults.upgrades import fill, kill_while_upgrading, numbers_of, upgrade_under_traffic


def test_a_migration_that_is_killed_in_the_middle_loses_no_row_and_can_be_run_again(folder: Folder, store: Store) -> None:
    before = fill(store, 2000)

    killed = kill_while_upgrading(folder, store, seed=1)

    assert killed > 0
    assert numbers_of(store) == before == [500, 2000, 2000]


def test_another_release_takes_calls_in_while_the_store_is_upgraded(folder: Folder, store: Store) -> None:
    fill(store, 1000)

    done = upgrade_under_traffic(folder, store)

    assert done.taken > 40
    assert done.slowest < 5
